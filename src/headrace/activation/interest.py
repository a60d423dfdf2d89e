"""What the active streaming dataflows of a sandbox want to hear of."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Interest:
    """What makes a change worth sending.

    Attributes:
        audiences: Numbers of the audiences that active streaming dataflows map.
        attribute_paths: Dotted paths of the profile attributes that they map.
        flows: Dataflow id → numbers of the audiences it maps.
    """

    audiences: frozenset[int] = frozenset()
    attribute_paths: tuple[str, ...] = ()
    flows: Mapping[str, frozenset[int]] = field(default_factory=dict)
