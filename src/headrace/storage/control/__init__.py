"""The control plane's store: what is configured, as SQL tables."""

from headrace.storage.control.base import ControlStore

__all__ = ["ControlStore"]
