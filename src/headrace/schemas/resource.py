"""A resource of the registry: class, field group, data type, schema or behavior, as it is stored."""

import hashlib
import secrets
from functools import cached_property
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from headrace.schemas.actor import Actor
from headrace.schemas.spelling import to_compatibility

Kind = Literal["schemas", "classes", "mixins", "datatypes", "behaviors"]
Container = Literal["global", "tenant"]

PROFILE_CLASS = "https://ns.adobe.com/xdm/context/profile"
EVENT_CLASS = "https://ns.adobe.com/xdm/context/experienceevent"
RECORD_BEHAVIOR = "https://ns.adobe.com/xdm/data/record"
TIME_SERIES_BEHAVIOR = "https://ns.adobe.com/xdm/data/time-series"
ADHOC_BEHAVIOR = "https://ns.adobe.com/xdm/data/adhoc"
UNION_SUFFIX = "__union"
UNION_TAG = "union"


class Resource:
    """One resource in one version; never changed after it was made.

    Attributes:
        kind: What it is; field groups are ``mixins`` throughout the wire's ids.
        id: The ``$id``.
        alt_id: The ``meta:altId``, the form of the id that needs no escaping in a path.
        container: ``global`` for standard components, ``tenant`` for the organisation's own.
        body: The definition as it was given, without the keys that the registry assigns.
        minor_version: Second part of the version; the first is always 1.
        class_id: Of a schema: the class it is built on; else empty.
        created_at: When it was created (epoch ms).
        updated_at: When it last changed (epoch ms), also by a change of a resource it is built on.
        origin: Who created and last changed it: ``createdClientId``, ``createdUserId``, ``lastModifiedClientId``, ….
    """

    def __init__(
        self,
        kind: Kind,
        identifier: str,
        body: dict[str, Any],
        *,
        container: Container = "tenant",
        alt_id: str = "",
        minor_version: int = 0,
        class_id: str = "",
        created_at: int = 0,
        updated_at: int = 0,
        origin: dict[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.id = identifier
        self.alt_id = alt_id or alt_id_of(identifier)
        self.container = container
        self.body = body
        self.minor_version = minor_version
        self.class_id = class_id
        self.created_at = created_at
        self.updated_at = updated_at
        self.origin = origin or {}

    @property
    def title(self) -> str:
        """The name people know it by."""
        return str(self.body.get("title", ""))

    @property
    def version(self) -> str:
        """The version as the wire shows it."""
        return f"1.{self.minor_version}"

    @property
    def is_profile_enabled(self) -> bool:
        """Whether a schema takes part in the union of its class."""
        return self.kind == "schemas" and UNION_TAG in self.body.get("meta:immutableTags", ())

    @property
    def is_deprecated(self) -> bool:
        """Whether the whole resource should not be used any more."""
        return self.body.get("meta:status") == "deprecated"

    @cached_property
    def etag(self) -> str:
        """Hash that differs between any two states of the resource."""
        text = msgspec.json.encode([self.id, self.minor_version, self.updated_at, self.body], order="sorted")
        return hashlib.sha256(text).hexdigest()

    def revised(self, body: dict[str, Any], class_id: str, actor: Actor, now_ms: int) -> "Resource":
        """Return the next version of the resource."""
        return Resource(
            self.kind,
            self.id,
            body,
            container=self.container,
            alt_id=self.alt_id,
            minor_version=self.minor_version + 1,
            class_id=class_id,
            created_at=self.created_at,
            updated_at=now_ms,
            origin={**self.origin, **actor.modified()},
        )

    def at(self, body: dict[str, Any], minor_version: int, class_id: str) -> "Resource":
        """Return the resource as it was in an earlier version."""
        return Resource(
            self.kind,
            self.id,
            body,
            container=self.container,
            alt_id=self.alt_id,
            minor_version=minor_version,
            class_id=class_id,
            created_at=self.created_at,
            updated_at=self.updated_at,
            origin=self.origin,
        )

    @cached_property
    def compatible(self) -> dict[str, Any]:
        """The definition with field names in compatibility spelling."""
        converted: dict[str, Any] = to_compatibility(self.body)
        return converted


def alt_id_of(identifier: str) -> str:
    """Return the ``meta:altId`` of an ``$id``."""
    parts = urlsplit(identifier)
    place = parts.path.strip("/") if parts.netloc == "ns.adobe.com" and parts.scheme == "https" else parts.netloc + parts.path
    return "_" + place.strip("/").replace("/", ".")


def new_id(tenant_id: str, kind: Kind) -> str:
    """Return a fresh ``$id`` for a resource of the tenant."""
    return f"https://ns.adobe.com/{tenant_id}/{kind}/{secrets.token_hex(24)}"


def union_id_of(class_id: str) -> str:
    """Return the ``$id`` of the union of a class."""
    return class_id + UNION_SUFFIX
