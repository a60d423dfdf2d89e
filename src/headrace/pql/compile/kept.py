"""What is kept of a person's past events: track → its entries, which stay encoded until somebody looks at that track.

A person has as many tracks as conditions have been met, and an event concerns two or three of them. Those that nobody looks at
are written back as they were read.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

Kept = dict[int, Any]
"""Track → list of entries, or their MessagePack as a `msgspec.Raw`."""

_decode = msgspec.msgpack.Decoder(list[Any]).decode
NAMESPACE: Mapping[str, Any] = {"Raw": msgspec.Raw, "decoded": _decode}
"""What the source of `reading` needs."""


def entries(kept: Kept, track: int) -> list[Any] | None:
    """Return the entries of a track, None when nothing was kept; what the caller changes in them stays."""
    found: list[Any] | msgspec.Raw | None = kept.get(track)
    if isinstance(found, msgspec.Raw):
        found = kept[track] = _decode(found)
    return found


def reading(name: str, track: int) -> list[str]:
    """Return source that sets ``name`` to the entries of a track of ``k``, as `entries` does."""
    return [f"{name} = k.get({track})", f"if {name}.__class__ is Raw:", f"    {name} = k[{track}] = decoded({name})"]
