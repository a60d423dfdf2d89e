"""Hot state: ordered keys and values with atomic, synced commits."""

from headrace.storage.state.base import StateReader, StateStore

__all__ = ["StateReader", "StateStore"]
