"""The sources: which there are, what an account of theirs needs, and where a path of theirs leads.

A source reads with the same account and through the same guards as the destination of the same service, its twin.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.destinations import registry
from headrace.destinations.base import Context, FileDestination
from headrace.destinations.reading import FileReader
from headrace.ingest.sources.errors import SourceInvalid

LANDING_ZONE = "26f526f2-58f4-4712-961d-e41bf1ccc0e8"
AMAZON_S3 = "ecadc60c-7455-4d87-84dc-2a0e293d997b"
SFTP = "b7bf2577-4520-42c9-bae9-cad01560f7bc"
SFTP_OTHER = "bf367b0d-3d9b-4060-b67b-0d3d9bd06094"  # published, too

_UNUSED: Mapping[str, Any] = {"fileType": "CSV", "compression": "NONE"}  # what a twin demands of those who write

Place = tuple[Mapping[str, Any], str]
"""Target parameters of the twin, and the path below them."""


@dataclass(frozen=True, slots=True)
class SourceKind:
    """A kind of source.

    Attributes:
        id: Connection spec.
        name: Its name in the catalogue.
        twin: Connection spec of the destination of the same service.
        needs_account: Whether it needs a base connection.
        place: Splits a path into the twin's place and the path there.
    """

    id: str
    name: str
    twin: str
    needs_account: bool
    place: Callable[[str, Mapping[str, Any]], Place]

    @property
    def auth_specs(self) -> Mapping[str, type]:
        """Settings classes of its accounts by the scheme's name."""
        return registry.destination(self.twin).auth_specs


def _in_zone(path: str, params: Mapping[str, Any]) -> Place:
    return {**_UNUSED, "path": ""}, path.strip("/")


def _in_bucket(path: str, params: Mapping[str, Any]) -> Place:
    bucket = params.get("bucketName")
    if bucket is None:
        bucket, _, path = path.lstrip("/").partition("/")
    if not bucket:
        raise SourceInvalid(
            "The path names no bucket.", path="/params/path", hint="Begin it with the bucket's name, as in 'bucket/folder/*.csv'."
        )
    return {**_UNUSED, "bucketName": bucket, "path": ""}, path.strip("/")


def _on_server(path: str, params: Mapping[str, Any]) -> Place:
    return {**_UNUSED, "remotePath": "/"}, path


ALL: Mapping[str, SourceKind] = {
    kind.id: kind
    for kind in (
        SourceKind(LANDING_ZONE, "landing-zone", "10440537-2a7b-4583-ac39-ed38d4b848e8", False, _in_zone),
        SourceKind(AMAZON_S3, "amazon-s3", "4fce964d-3f37-408f-9778-e597338a21ee", True, _in_bucket),
        SourceKind(SFTP, "sftp", "36965a81-b1c6-401b-99f8-22508f1e6a26", True, _on_server),
    )
}
_ALIASES = {SFTP_OTHER: SFTP}


def is_source(connection_spec_id: str) -> bool:
    """Whether a connection spec is one of a source of files."""
    return connection_spec_id in ALL or connection_spec_id in _ALIASES


def source_kind(connection_spec_id: str) -> SourceKind:
    """Return the source with a connection spec; `is_source` tells whether there is one."""
    return ALL[_ALIASES.get(connection_spec_id, connection_spec_id)]


@dataclass(frozen=True, slots=True)
class Account:
    """An account at a source.

    Attributes:
        kind: The source.
        auth_name: Authentication scheme; empty when there is no account.
        auth_params: Its parameters, secrets wrapped.
    """

    kind: SourceKind
    auth_name: str
    auth_params: Mapping[str, Any]

    def reader(self, path: str, params: Mapping[str, Any], context: Context) -> tuple[FileReader, str]:
        """Return what reads a place, and the path there.

        Args:
            path: A path as its owner writes it.
            params: Parameters of the source connection.
            context: What the server gives.

        Raises:
            SourceInvalid: The path leads nowhere.
            SettingInvalid, AuthSpecUnknown: The account is none.
        """
        place, below = self.kind.place(path, params)
        opened = registry.open_destination(
            self.kind.twin, auth_name=self.auth_name, auth_params=self.auth_params, target_params=place, context=context
        )
        assert isinstance(opened, FileDestination)  # noqa: S101 - every twin is one
        return opened.reader(), below
