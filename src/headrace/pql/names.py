"""What the names of a query can refer to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from headrace.pql.types import ObjectType


@dataclass(frozen=True, slots=True)
class Relationship:
    """A field that names an entity of another schema: its schema's name and the type of its records."""

    entity: str
    type: ObjectType


@dataclass(frozen=True, slots=True)
class Names:
    """What the names of a query can refer to.

    Attributes:
        profile: Union schema of the profile.
        event: Union schema of the ExperienceEvents.
        relationships: Fields that ``lookup`` accepts, by dotted path; those of events begin with ``xEvent.``.
        audience_exists: Tells whether ``inSegment`` may name an id; None accepts every id.
    """

    profile: ObjectType
    event: ObjectType
    relationships: Mapping[str, Relationship] = field(default_factory=dict)
    audience_exists: Callable[[str], bool] | None = None
