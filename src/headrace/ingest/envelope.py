"""The envelope of a streamed message: what it is made of, and how its parts are read.

The record itself (``body.xdmEntity``) is kept as the bytes that came in; it is never encoded again.
"""

import re
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from headrace.ingest.refusals import UNKNOWN_FORMAT, BodyUnreadable, MessageRefused

T = TypeVar("T")

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_MAJOR = re.compile(r"(?:;|version\s*=)\s*([0-9]+)(?:\.[0-9]+)?\s*$")


class SchemaRef(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A schema and, in the content type, its version."""

    id: str
    content_type: str = ""


class Source(msgspec.Struct, frozen=True, gc=False):
    """Where a message comes from."""

    name: str | None = None


class Operations(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """What an upsert does to the profile fragment and to identity links."""

    data: str = "create"
    identity: str | None = None
    identity_dataset_id: str | None = None


class Header(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The part of a message that says what to do with it; unknown members are ignored."""

    schema_ref: SchemaRef | None = None
    ims_org_id: str | None = None
    dataset_id: str | None = None
    flow_id: str | None = None
    source: Source | None = None
    msg_type: str | None = None
    operations: Operations | None = None


class Meta(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """What the body says about its record."""

    schema_ref: SchemaRef | None = None


class Body(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The part of a message that holds the record."""

    xdm_meta: Meta | None = None
    xdm_entity: msgspec.Raw = msgspec.Raw()


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """A message of an XDM inlet."""

    header: Header | None = None
    body: Body | None = None


class RawEnvelope(msgspec.Struct, frozen=True, gc=False):
    """A message of a raw inlet that names its flow or its operation."""

    header: Header
    body: dict[str, Any]


class _Batch(msgspec.Struct, frozen=True, gc=False):
    messages: list[Envelope]


class _RawBatch(msgspec.Struct, frozen=True, gc=False):
    messages: list[msgspec.Raw]


_envelope: msgspec.json.Decoder[Envelope] = msgspec.json.Decoder(Envelope)
_batch: msgspec.json.Decoder[_Batch] = msgspec.json.Decoder(_Batch)
_raw_batch: msgspec.json.Decoder[_RawBatch] = msgspec.json.Decoder(_RawBatch)
_anything: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def read_json(data: bytes | msgspec.Raw) -> Any:
    """Return the value that JSON text stands for.

    Raises:
        BodyUnreadable: The text is not JSON, not UTF-8, nested too deeply, or holds a number no machine can hold.
    """
    try:
        return _anything.decode(data)
    except _UNREADABLE as error:
        raise BodyUnreadable(f"The request body is not valid JSON: {error}") from error


def read_envelope(data: bytes | msgspec.Raw) -> Envelope:
    """Return a message of an XDM inlet.

    Raises:
        BodyUnreadable: The text is not JSON.
        MessageRefused: It is JSON, but no envelope.
    """
    try:
        return _envelope.decode(data)
    except msgspec.ValidationError as error:
        read_json(data)  # what is no JSON at all is the worse fault
        raise MessageRefused(UNKNOWN_FORMAT, hint=str(error)) from error
    except _UNREADABLE as error:
        raise BodyUnreadable(f"The request body is not valid JSON: {error}") from error


def read_batch(data: bytes) -> list[Envelope] | None:
    """Return the messages of a batch body, None when one of them is no envelope (see `read_messages`)."""
    try:
        return _batch.decode(data).messages
    except _UNREADABLE:
        return None


def read_messages(data: bytes) -> list[msgspec.Raw]:
    """Return the messages of a batch body, each as its own JSON text.

    Raises:
        BodyUnreadable: The text is not JSON, or has no array ``messages``.
    """
    try:
        return _raw_batch.decode(data).messages
    except msgspec.ValidationError as error:
        read_json(data)
        raise BodyUnreadable(
            "The request body has no array 'messages'.", path="/messages", hint='Send {"messages": [...]}.'
        ) from error
    except _UNREADABLE as error:
        raise BodyUnreadable(f"The request body is not valid JSON: {error}") from error


def as_header(document: Any) -> Header:
    """Return the header of a raw message.

    Raises:
        MessageRefused: A member has a wrong type.
    """
    return _converted(document, Header, "/header")


def _converted(document: Any, kind: type[T], path: str) -> T:
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise MessageRefused(UNKNOWN_FORMAT, path=path, hint=str(error)) from error


@lru_cache(maxsize=1024)
def major_version(content_type: str) -> int:
    """Return the major version that a schema's content type asks for; 1 when it names none."""
    found = _MAJOR.search(content_type)
    return int(found[1][:9]) if found else 1
