"""Engines that compute over relations: what a compiler may write, and who runs it."""
