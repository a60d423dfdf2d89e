"""Loops that join stages, one a process; nothing else."""
