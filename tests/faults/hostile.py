"""Messages that nobody should send, made from a seed."""

import gzip
import itertools
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.unit.ingest.inlet_kit import EVENT, message

_RECORD_PLACES = (
    (), ("_id",), ("timestamp",), ("eventType",), ("identityMap",), ("identityMap", "Email"), ("identityMap", "Email", 0),
    ("identityMap", "Email", 0, "id"), ("identityMap", "Email", 0, "primary"), ("web",), ("web", "webPageDetails"),
    ("web", "webPageDetails", "URL"), ("web", "webPageDetails", "pageViews", "value"),
)  # fmt: skip
_ENVELOPE_PLACES = (
    ("header",), ("header", "schemaRef"), ("header", "schemaRef", "id"), ("header", "schemaRef", "contentType"),
    ("header", "imsOrgId"), ("header", "datasetId"), ("header", "flowId"), ("header", "createdAt"), ("header", "source"),
    ("header", "source", "name"), ("header", "msgType"), ("header", "operations"), ("header", "operations", "data"),
    ("body",), ("body", "xdmMeta"), ("body", "xdmMeta", "schemaRef"), ("body", "xdmEntity"),
)  # fmt: skip
_NAMES = (
    "../../../etc/passwd",
    "%2e%2e%2f",
    "a\x00b",
    "C:\\x",
    "'; DROP TABLE x;--",
    "\u202e\U0001f600",
    "__proto__",
    "$ref",
    "",
    " ",
)
_NO_TEXTS = (b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf8\x88\x80\x80", b"\\ud800", b"\\udc00x", b"a\x00b", b"\\u00zz")
_NUMBERS = (
    b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"9" * 400, b"1e-400", b"0x10", b"01", b"1.", b"-", b"-0",
    b"9223372036854775808", b"1." + b"3" * 2000,
)  # fmt: skip


@dataclass
class Case:
    """One hostile request.

    Attributes:
        name: What is wrong with it.
        data: Its body, or the hostile message of a batch.
        is_body: Whether only the whole body makes sense; a message can stand between good ones too.
        headers: Headers to send.
    """

    name: str
    data: bytes
    is_body: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


def cases(seed: int, count: int) -> list[Case]:
    """Return cases in turn from all kinds; the same for the same seed."""
    chance = random.Random(seed)
    return [_KINDS[number % len(_KINDS)](chance) for number in range(count)]


def good(entity_id: str) -> dict[str, Any]:
    """Return a message that is all right."""
    return message({**EVENT, "_id": entity_id, "identityMap": {"Email": [{"id": f"{entity_id}@good.example"}]}})


def _whole() -> dict[str, Any]:
    entity = {**EVENT, "_id": "hostile", "identityMap": {"Email": [{"id": "h@x.example", "primary": True}]}}
    return json.loads(json.dumps(message(entity, operations={"data": "create"})))  # type: ignore[no-any-return]


def _put(node: Any, path: tuple[str | int, ...], value: Any) -> None:
    for name, following in itertools.pairwise(path):
        if isinstance(node, dict) and name not in node:
            node[name] = [{}] if isinstance(following, int) else {}
        node = node[name]
    node[path[-1]] = value


def _value(chance: random.Random, depth: int = 3) -> Any:
    kind = chance.randrange(9 if depth else 6)
    if kind < 6:
        plain: list[Any] = [
            None,
            True,
            chance.randrange(-(1 << 70), 1 << 70),
            chance.uniform(-8e307, 8e307),
            "",
            chance.choice(_NAMES),
        ]
        return plain[kind]
    if kind < 8:
        return [_value(chance, depth - 1) for _ in range(chance.randrange(4))]
    return {chance.choice(_NAMES): _value(chance, depth - 1) for _ in range(chance.randrange(4))}


def _text(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _replaced(chance: random.Random, places: tuple[tuple[str | int, ...], ...], prefix: tuple[str, ...]) -> bytes:
    whole = _whole()
    path = chance.choice(places)
    _put(whole, (*prefix, *path), _value(chance))
    return _text(whole)


def _record_member(chance: random.Random) -> Case:
    return Case("wrong type in the record", _replaced(chance, _RECORD_PLACES, ("body", "xdmEntity")))


def _envelope_member(chance: random.Random) -> Case:
    return Case("wrong type in the envelope", _replaced(chance, _ENVELOPE_PLACES, ()))


def _truncated(chance: random.Random) -> Case:
    data = _text(_whole())
    return Case("truncated", data[: chance.randrange(len(data))], is_body=True)


def _corrupt(chance: random.Random) -> Case:
    data = bytearray(_text(_whole()))
    for _ in range(chance.randint(1, 4)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return Case("corrupt bytes", bytes(data), is_body=True)


def _spliced(chance: random.Random, name: str, literal: bytes, path: tuple[str | int, ...] | None = None) -> Case:
    whole = _whole()
    _put(whole, path or ("body", "xdmEntity", *chance.choice(_RECORD_PLACES[1:])), "@@")
    return Case(name, _text(whole).replace(b'"@@"', literal))


def _number(chance: random.Random) -> Case:
    literal = chance.choice(_NUMBERS)
    try:
        json.loads(literal, parse_constant=lambda _: 1 / 0)
    except (ValueError, ZeroDivisionError):
        case = _spliced(chance, "no number", literal)
        return Case(case.name, case.data, is_body=True)
    return _spliced(chance, "odd number", literal)


def _encoding(chance: random.Random) -> Case:
    bad = chance.choice(_NO_TEXTS)
    case = _spliced(chance, "no text", b'"' + bad + b'"')
    return Case(case.name, case.data, is_body=True)


def _deep(chance: random.Random) -> Case:
    depth = chance.choice([40, 200, 480, 900, 1100, 5000, 100_000])
    opened, closed = chance.choice([(b"[", b"]"), (b'{"a":', b"}"), (b'{"identityMap":', b"}")])
    return _spliced(chance, f"{depth} levels", opened * depth + b"1" + closed * depth)


def _long(chance: random.Random) -> Case:
    length = chance.choice([10_000, 200_000, 900_000, 1_048_000])
    return _spliced(chance, "long text", b'"' + chance.choice([b"x", b"\\\\", b"\xc3\xa9"]) * (length // 2) + b'"')


def _long_names(chance: random.Random) -> Case:
    members = b",".join(b'"%b%d":%d' % (b"n" * chance.choice([1, 500]), number, number) for number in range(1000))
    return _spliced(chance, "a thousand members", b"{" + members + b"}", ("body", "xdmEntity", "identityMap"))


def _doubled(chance: random.Random) -> Case:
    name = chance.choice([b"_id", b"timestamp", b"identityMap", b"eventType"])
    value = chance.choice([b'"x"', b"1", b"null", b"{}", b"[]"])
    return Case("a member twice", _text(_whole()).replace(b'"' + name + b'": ', b'"%b": %b, "%b": ' % (name, value, name), 1))


def _unknown(chance: random.Random) -> Case:
    whole = _whole()
    place = chance.choice([(), ("header",), ("body",), ("body", "xdmEntity"), ("body", "xdmMeta")])
    _put(whole, (*place, chance.choice(_NAMES)), _value(chance))
    return Case("unknown member", _text(whole))


def _zipped(chance: random.Random) -> Case:
    data = gzip.compress(_text(_whole()))
    kind = chance.randrange(4)
    if kind == 0:
        data = data[: chance.randrange(len(data))]
    elif kind == 1:
        data = gzip.compress(b"[" * chance.choice([1_048_577, 30_000_000]), 1 if chance.random() < 0.5 else 9)
    elif kind == 2:
        place = chance.randrange(len(data))
        data = data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :]
    else:
        data += b"rest"
    return Case("gzip", data, is_body=True, headers={"Content-Encoding": "gzip"})


def _no_object(chance: random.Random) -> Case:
    return Case("any JSON", _text(_value(chance)))


_KINDS: tuple[Callable[[random.Random], Case], ...] = (
    _record_member, _envelope_member, _truncated, _corrupt, _number, _encoding, _deep, _record_member, _long_names, _doubled,
    _unknown, _zipped, _no_object, _envelope_member, _corrupt, _long,
)  # fmt: skip
