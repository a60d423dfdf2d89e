"""Functions on texts: cutting, joining, patterns, hashes and URLs."""

import hashlib
import zlib
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from headrace.ingest.mapping.errors import TransformFailed
from headrace.ingest.mapping.functions.base import Library, items, text, whole
from headrace.ingest.mapping.operators import pattern, text_of

LIBRARY = Library()

_MOST_CHARACTERS = 100_000
_CHARSETS = {"UTF-8": "utf-8", "UTF-16": "utf-16", "ISO-8859-1": "latin-1", "US-ASCII": "ascii"}
_PORTS = {"http": 80, "https": 443, "ftp": 21, "sftp": 22, "ssh": 22, "ws": 80, "wss": 443}


@LIBRARY.add("concat", takes_nulls=True)
def concat(*parts: Any) -> str:
    """Join texts, leaving out nulls."""
    return "".join(text_of(part) for part in parts if part is not None)


@LIBRARY.add("explode")
def explode(value: Any, separator: Any = None) -> list[str]:
    """Cut a text at every match of a pattern, keeping empty parts."""
    return [str(part) for part in pattern("," if separator is None else text(separator)).split(text(value))]


@LIBRARY.add("split")
def split(value: Any, separators: Any) -> list[str]:
    """Cut a text at any of the characters, dropping empty parts."""
    wanted = set(text(separators).replace("\\\\", "\\"))
    parts, current = [], ""
    for character in text(value):
        if character in wanted:
            parts.append(current)
            current = ""
        else:
            current += character
    return [part for part in [*parts, current] if part]


@LIBRARY.add("instr")
def instr(value: Any, part: Any, start: Any = 0, occurrence: Any = 1) -> int:
    """Return where a text stands in another, -1 when it does not."""
    position = whole(start) - 1
    for _ in range(min(whole(occurrence), _MOST_CHARACTERS)):
        position = text(value).find(text(part), position + 1)
        if position < 0:
            return -1
    return position


@LIBRARY.add("replacestr")
def replacestr(value: Any, wanted: Any, replacement: Any) -> str:
    """Replace a text wherever it occurs."""
    replaced = text(value).replace(text(wanted), text(replacement))
    return _bounded(replaced)


@LIBRARY.add("substr")
def substr(value: Any, start: Any, length: Any) -> str:
    """Cut out a part; what lies beyond the end is left out."""
    first = max(0, whole(start))
    return text(value)[first : first + max(0, whole(length))]


@LIBRARY.add("lower", "lcase")
def lower(value: Any) -> str:
    """Write in lower case."""
    return text(value).lower()


@LIBRARY.add("upper", "ucase")
def upper(value: Any) -> str:
    """Write in upper case."""
    return text(value).upper()


@LIBRARY.add("trim")
def trim(value: Any) -> str:
    """Remove white space at both ends."""
    return text(value).strip()


@LIBRARY.add("ltrim")
def ltrim(value: Any) -> str:
    """Remove white space at the beginning."""
    return text(value).lstrip()


@LIBRARY.add("rtrim")
def rtrim(value: Any) -> str:
    """Remove white space at the end."""
    return text(value).rstrip()


@LIBRARY.add("left")
def left(value: Any, count: Any) -> str:
    """Return the first characters."""
    return text(value)[: max(0, whole(count))]


@LIBRARY.add("right")
def right(value: Any, count: Any) -> str:
    """Return the last characters."""
    return text(value)[max(0, len(text(value)) - max(0, whole(count))) :]


@LIBRARY.add("lpad", takes_nulls=True)
def lpad(value: Any, length: Any, padding: Any) -> str:
    """Fill a text up at its beginning."""
    present = "" if value is None else text(value)
    return _padding(len(present), length, padding) + present


@LIBRARY.add("rpad", takes_nulls=True)
def rpad(value: Any, length: Any, padding: Any) -> str:
    """Fill a text up at its end."""
    present = "" if value is None else text(value)
    return present + _padding(len(present), length, padding)


def _padding(present: int, length: Any, padding: Any) -> str:
    missing = min(whole(length), _MOST_CHARACTERS) - present
    filler = text(padding) if padding else " "
    return (filler * (missing // len(filler) + 1))[:missing] if missing > 0 else ""


@LIBRARY.add("join")
def join(separator: Any, values: Any) -> str:
    """Join the items of a list."""
    return _bounded(text(separator).join(text_of(item) for item in items(values) if item is not None))


def _bounded(value: str) -> str:
    if len(value) > 10 * _MOST_CHARACTERS:
        raise TransformFailed("The text becomes too long.")
    return value


@LIBRARY.add("extract_regex")
def extract_regex(value: Any, expression: Any) -> list[str | None]:
    """Return the first match and its groups; empty when nothing matches."""
    found = pattern(text(expression)).search(text(value))
    return [found.group(0), *found.groups()] if found else []


@LIBRARY.add("matches_regex")
def matches_regex(value: Any, expression: Any) -> bool:
    """Tell whether the whole text matches."""
    return pattern(text(expression)).fullmatch(text(value)) is not None


def _add_hash(name: str) -> None:
    @LIBRARY.add(name)
    def digest(value: Any, charset: Any = "UTF-8") -> str:
        return hashlib.new(name, _encoded(value, charset), usedforsecurity=False).hexdigest()


for _name in ("sha1", "sha256", "sha512", "md5"):
    _add_hash(_name)


@LIBRARY.add("crc32")
def crc32(value: Any, charset: Any = "UTF-8") -> str:
    """Return the check sum, its lowest byte first, as the platform prints it."""
    return zlib.crc32(_encoded(value, charset)).to_bytes(4, "little").hex()


def _encoded(value: Any, charset: Any) -> bytes:
    encoding = _CHARSETS.get(text(charset).upper())
    if encoding is None:
        raise TransformFailed(f"Charset '{charset}' is unknown.")
    return text(value).encode(encoding, "replace")


@LIBRARY.add("get_url_protocol")
def get_url_protocol(url: Any) -> str | None:
    """Return the protocol of a URL, null when it is none."""
    parts = _url(url)
    return parts.scheme if parts else None


@LIBRARY.add("get_url_host")
def get_url_host(url: Any) -> str | None:
    """Return the host of a URL."""
    parts = _url(url)
    return parts.netloc.rpartition("@")[2].partition(":")[0] if parts else None


@LIBRARY.add("get_url_port")
def get_url_port(url: Any) -> int | None:
    """Return the port of a URL, or its protocol's."""
    parts = _url(url)
    return (parts.port or _PORTS.get(parts.scheme)) if parts else None


@LIBRARY.add("get_url_path")
def get_url_path(url: Any, is_full: Any = True) -> str | None:
    """Return the path of a URL, or only its last part."""
    parts = _url(url)
    if parts is None:
        return None
    return parts.path if is_full else parts.path.rpartition("/")[2]


@LIBRARY.add("get_url_query_str")
def get_url_query_str(url: Any, anchor: Any) -> dict[str, str] | None:
    """Return the parameters of a URL; the anchor is retained in the last value, removed, or appended as ``_anchor_``."""
    parts = _url(url)
    if parts is None:
        return None
    query = parts.query
    if anchor == "retain" and parts.fragment:
        query += f"%23{quote(parts.fragment)}"
    found = dict(parse_qsl(query, keep_blank_values=True))
    if anchor == "append" and parts.fragment:
        found["_anchor_"] = parts.fragment
    return found


@LIBRARY.add("get_url_encoded")
def get_url_encoded(value: Any) -> str:
    """Encode for a URL."""
    return quote(text(value), safe="").replace("~", "%7E")


@LIBRARY.add("get_url_decoded")
def get_url_decoded(value: Any) -> str:
    """Undo the encoding for a URL."""
    return unquote(text(value))


def _url(value: Any) -> SplitResult | None:
    try:
        parts = urlsplit(text(value).strip())
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.scheme and parts.netloc else None
