"""A profile schema and an event schema, both enabled for Profile."""

from dataclasses import dataclass
from typing import Any

from headrace.model import Sandbox
from headrace.schemas import SchemaRegistry
from headrace.schemas.actor import Actor
from tests.unit.schemas.samples import (
    COMMERCE,
    CONTACT_DETAILS,
    EVENT,
    IDENTITY_MAP,
    PERSON_DETAILS,
    TEXT,
    group,
    schema,
)

ACTOR = Actor("client", "user@techacct.adobe.com", "user")
ENABLE = [{"op": "add", "path": "/meta:immutableTags", "value": ["union"]}]
INTEGER = {"type": "integer", "title": "Number"}


@dataclass(frozen=True)
class Enabled:
    """Ids of the two schemas."""

    profile: str
    event: str


def enable_union(schemas: SchemaRegistry, sandbox: Sandbox) -> Enabled:
    """Create and enable both schemas."""
    tags = {"type": "array", "items": TEXT, "title": "Tags"}
    fields_of_tenant = {"score": INTEGER, "crmId": TEXT, "tags": tags}
    own: dict[str, Any] = {schemas.tenant_namespace: {"type": "object", "properties": fields_of_tenant}}
    fields = schemas.resources.create(sandbox, "mixins", group("Own", own), ACTOR)
    profile = schema("People", fields.id, PERSON_DETAILS, CONTACT_DETAILS, IDENTITY_MAP)
    event = schema("Events", COMMERCE, IDENTITY_MAP, base=EVENT)
    made = [schemas.resources.create(sandbox, "schemas", body, ACTOR) for body in (profile, event)]
    for item in made:
        schemas.resources.patch(sandbox, "schemas", item.id, ENABLE, ACTOR)
    return Enabled(made[0].id, made[1].id)
