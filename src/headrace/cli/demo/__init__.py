"""The demo: the whole way once, played live or replayed from a click-stream, and checked by an independent recomputation."""

from headrace.cli.demo.command import add_to

__all__ = ["add_to"]
