"""The command line: one module a group of commands."""

from headrace.cli.main import main

__all__ = ["main"]
