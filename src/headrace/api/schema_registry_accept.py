"""Media types of the Schema Registry: what an ``Accept`` header asks for.

``application/vnd.adobe.{xed|xdm}{suffixes}+json[; version=1[.m]]``; suffixes combine in any order. Unless the server is strict, a
missing or foreign media type means ``xed`` in the newest version.
"""

import re
from dataclasses import dataclass
from typing import Literal

from headrace.schemas.errors import AcceptInvalid, NotAcceptable
from headrace.schemas.views import View

ListStyle = Literal["whole", "id", "link"]

_REGISTRY_TYPE = re.compile(r"application/vnd\.adobe\.(xed|xdm)((?:-[a-z0-9]+)*)\+json", re.IGNORECASE)
_VERSION = re.compile(r"1(?:\.([0-9]+))?")
_SUFFIXES = frozenset(("full", "notext", "desc", "flat", "deprecated", "deprecatefield", "id", "link", "v2"))
_EXPECTED = "A valid Accept value should look like application/vnd.adobe."


@dataclass(frozen=True)
class Accept:
    """A media type of the registry.

    Attributes:
        header: The header as it came.
        is_standard: ``xdm`` rather than ``xed``.
        suffixes: What follows the family's name.
        version: The parameter ``version``; empty when absent.
        media_type: The media type alone, for the answer's content type.
    """

    header: str
    is_standard: bool = False
    suffixes: frozenset[str] = frozenset()
    version: str = ""
    media_type: str = "application/json"

    @property
    def minor_version(self) -> int | None:
        """The exact minor version asked for, None for the newest; -1 for one that cannot exist."""
        found = _VERSION.fullmatch(self.version or "1")
        if found is None:
            return -1
        return int(found[1]) if found[1] and found[1] != "0" else None

    @property
    def view(self) -> View:
        """How a looked-up resource is shown."""
        return View(
            is_standard=self.is_standard,
            is_full="full" in self.suffixes,
            is_flat="flat" in self.suffixes,
            has_texts="notext" not in self.suffixes,
            has_descriptors="desc" in self.suffixes,
            marks_deprecated=not self.suffixes.isdisjoint(("deprecated", "deprecatefield")),
        )

    @property
    def style(self) -> ListStyle:
        """How the entries of a list are shown."""
        return "id" if "id" in self.suffixes else "link" if "link" in self.suffixes else "whole"


def _parsed(header: str, *, is_strict: bool) -> Accept | None:
    """Return the registry's media type of a header; None when it names none and the server is not strict about that."""
    for part in header.split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        found = _REGISTRY_TYPE.fullmatch(media)
        if found:
            values = dict(pair.partition("=")[::2] for pair in parameters)
            version = {name.strip().lower(): value.strip().strip('"') for name, value in values.items()}.get("version", "")
            suffixes = frozenset(found[2].lower().split("-")[1:])
            return Accept(header, found[1].lower() == "xdm", suffixes, version, media.lower())
    if is_strict:
        text = "Accept header parameter is required" if not header else f"The media type {header} is not available"
        raise NotAcceptable(text, path="Accept", hint="Send application/vnd.adobe.xed+json.")
    return None


def _refused(number: int, header: str, example: str) -> AcceptInvalid:
    return AcceptInvalid(
        f"The supplied Accept header is not valid: {header} - {_EXPECTED}{example}", wire_code=f"XDM-{number}-400"
    )


def lookup_accept(header: str, *, is_strict: bool) -> Accept:
    """Return what a look-up of one resource asks for.

    Raises:
        AcceptInvalid: A suffix is unknown, or the version is missing and the server is strict.
        NotAcceptable: The server is strict and the header names no media type of the registry.
    """
    accept = _parsed(header, is_strict=is_strict)
    if accept is None:
        return Accept(header)
    has_version = bool(accept.version) or not is_strict
    if not has_version or not accept.suffixes <= _SUFFIXES - {"link", "v2"}:
        raise _refused(1007, header, "{xed|xdm}+json; version=1 (Version should be specified)")
    return accept


def list_accept(header: str, *, is_strict: bool) -> Accept:
    """Return what a list of resources asks for.

    Raises:
        AcceptInvalid: A version is given, or a suffix that lists do not have.
        NotAcceptable: The server is strict and the header names no media type of the registry.
    """
    accept = _parsed(header, is_strict=is_strict)
    if accept is None:
        return Accept(header)
    if accept.version or not accept.suffixes <= {"id", "notext"}:
        raise _refused(1006, header, "{xed|xdm}+json")
    return accept


def descriptor_list_accept(header: str, *, is_strict: bool) -> Accept:
    """Return what a list of descriptors asks for; only the family ``xdm`` lists them.

    Raises:
        AcceptInvalid: Another family, a version, or a suffix that these lists do not have.
        NotAcceptable: The server is strict and the header names no media type of the registry.
    """
    accept = _parsed(header, is_strict=is_strict)
    if accept is None:
        return Accept(header, is_standard=True)
    if not accept.is_standard or accept.version or not accept.suffixes <= {"id", "link", "v2"}:
        raise _refused(1008, header, "xdm-id+json")
    return accept


def descriptor_accept(header: str) -> Accept:
    """Return what a look-up of one descriptor asks for; no media type is needed.

    Raises:
        AcceptInvalid: The registry's media type is not ``xdm``.
    """
    accept = _parsed(header, is_strict=False)
    if accept is None:
        return Accept(header, is_standard=True)
    if not accept.is_standard or accept.suffixes:
        raise _refused(1009, header, "xdm+json")
    return accept
