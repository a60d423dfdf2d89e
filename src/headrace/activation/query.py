"""Lists of Flow Service: filter on any path, order, pages with a self-contained token."""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import total_ordering
from typing import Any

import msgspec

from headrace.activation.errors import FilterInvalid

MAX_LIMIT = 100

_EXPRESSION = re.compile(r"\s*(?P<path>[^=<>!~\s]+?)\s*(?P<operator>==|!=|>=|<=|>|<)\s*(?P<value>.*?)\s*", re.DOTALL)
_CASELESS = ("metrics.statusSummary.status", "state")


class Filter(msgspec.Struct, frozen=True):
    """One condition: ``a.b[].c==x,y``.

    Attributes:
        path: Names on the way; ``[]`` at the end of a name walks the items of an array.
        operator: ``==``, ``!=``, ``<``, ``<=``, ``>`` or ``>=``.
        value: Text to compare with; a comma-separated list means any of them with ``==``.
    """

    path: str
    operator: str
    value: str

    def matches(self, item: Mapping[str, Any]) -> bool:
        """Whether any value at the path fulfils the condition; an unknown path has no values."""
        found = list(_values(item, self.path.split(".")))
        caseless = self.path in _CASELESS
        if self.operator == "!=":
            return bool(found) and not any(_is_one_of(value, self.value, caseless=caseless) for value in found)
        if self.operator == "==":
            return any(_is_one_of(value, self.value, caseless=caseless) for value in found)
        return any(_is_ordered(value, self.operator, self.value) for value in found)


class ListQuery(msgspec.Struct, frozen=True):
    """What a list call asks for.

    Attributes:
        filters: All must match.
        order: Fields to sort by, descending ones with ``-``; empty for newest first.
        limit: Most items of a page.
        after: Sort key of the last item of the page before; None for the first page.
    """

    filters: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    limit: int = MAX_LIMIT
    after: list[Any] | None = None

    def parsed_filters(self) -> list[Filter]:
        """Return the filters.

        Raises:
            FilterInvalid: One of them cannot be read.
        """
        return [parse_filter(text) for text in self.filters]


class Page(msgspec.Struct, frozen=True):
    """One page of a list.

    Attributes:
        items: Its items.
        token: Token of the next page; empty on the last one.
    """

    items: list[dict[str, Any]]
    token: str = ""


def parse_filter(text: str) -> Filter:
    """Return the condition that a ``property`` parameter holds.

    Raises:
        FilterInvalid: It is not of the form ``path<operator>value``.
    """
    found = _EXPRESSION.fullmatch(text)
    if found is None:
        raise FilterInvalid(
            f"'{text}' is no filter.", path="property", hint="Write <path><operator><value> with one of == != > >= < <=."
        )
    return Filter(found["path"], found["operator"], found["value"])


def list_query(
    *,
    filters: Sequence[str] = (),
    order: str | None = None,
    limit: str | int | None = None,
    token: str | None = None,
    default_limit: int = MAX_LIMIT,
) -> ListQuery:
    """Return the query that the parameters of a list call describe.

    A token carries the whole query of the page before; parameters given beside it are the same again and change nothing but
    the limit.

    Raises:
        FilterInvalid: A parameter cannot be read.
    """
    if token:
        known = _decoded(token)
        return known if limit is None else msgspec.structs.replace(known, limit=_limit(limit, known.limit))
    query = ListQuery(
        filters=tuple(text for text in filters if text),
        order=tuple(part.strip() for part in (order or "").split(",") if part.strip()),
        limit=_limit(limit, default_limit),
    )
    query.parsed_filters()
    return query


def select(items: Iterable[Mapping[str, Any]], query: ListQuery) -> list[Mapping[str, Any]]:
    """Return the items that match all filters of a query, in the order given."""
    filters = query.parsed_filters()
    return [item for item in items if all(condition.matches(item) for condition in filters)]


def page(items: Iterable[Mapping[str, Any]], query: ListQuery) -> Page:
    """Return the page of a query: filtered, sorted, cut.

    Pages are cut by the sort key of the last item, so that items made or deleted in between move no others.
    """
    orders = [_order(part) for part in query.order] or [("createdAt", True)]
    keyed = sorted((_key(item, orders), item) for item in _Sortable.over(select(items, query)))
    if query.after is not None:
        last = _key_of([*query.after], orders)
        keyed = [entry for entry in keyed if entry[0] > last]
    shown = [dict(item.value) for _, item in keyed[: query.limit]]
    if len(keyed) <= query.limit:
        return Page(shown)
    after = [_first(shown[-1], name) for name, _ in orders] + [shown[-1].get("id")]
    return Page(shown, _encoded(msgspec.structs.replace(query, after=after)))


@total_ordering
class _Sortable:
    """An item beside its key: two items never decide the order."""

    __slots__ = ("value",)

    def __init__(self, value: Mapping[str, Any]) -> None:
        self.value = value

    @classmethod
    def over(cls, items: Iterable[Mapping[str, Any]]) -> Iterable["_Sortable"]:
        return (cls(item) for item in items)

    def __eq__(self, other: object) -> bool:
        return True

    def __lt__(self, other: "_Sortable") -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]


@total_ordering
class _Reversed:
    """A key that sorts the other way round."""

    __slots__ = ("key",)

    def __init__(self, key: tuple[Any, ...]) -> None:
        self.key = key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reversed) and self.key == other.key

    def __lt__(self, other: "_Reversed") -> bool:
        return other.key < self.key

    __hash__ = None  # type: ignore[assignment]


def _order(text: str) -> tuple[str, bool]:
    name = text.lstrip("+-")
    if not name:
        raise FilterInvalid(f"'{text}' is no field to order by.", path="orderby")
    return name, text.startswith("-")


def _key(item: _Sortable, orders: Sequence[tuple[str, bool]]) -> tuple[Any, ...]:
    return _key_of([_first(item.value, name) for name, _ in orders] + [item.value.get("id")], orders)


def _key_of(values: Sequence[Any], orders: Sequence[tuple[str, bool]]) -> tuple[Any, ...]:
    keys: list[Any] = []
    for value, (_, is_descending) in zip(values, [*orders, ("id", False)], strict=True):
        key = _comparable(value)
        keys.append(_Reversed(key) if is_descending else key)
    return tuple(keys)


def _comparable(value: Any) -> tuple[Any, ...]:
    """Return a key by which values of mixed types have an order: nothing, numbers, texts."""
    if value is None:
        return (0,)
    if isinstance(value, bool | int | float):
        return (1, value)
    return (2, str(value).casefold(), str(value))


def _first(item: Mapping[str, Any], path: str) -> Any:
    return next((value for value in _values(item, path.split(".")) if not isinstance(value, dict | list)), None)


def _values(node: Any, path: Sequence[str]) -> Iterable[Any]:
    if not path:
        yield node
        return
    name, rest = path[0], path[1:]
    walks_items = name.endswith("[]")
    if not isinstance(node, Mapping):
        return
    child = node.get(name.removesuffix("[]"))
    if walks_items:
        for item in child if isinstance(child, list) else ():
            yield from _values(item, rest)
    elif child is not None:
        yield from _values(child, rest)


def _is_one_of(value: Any, wanted: str, *, caseless: bool) -> bool:
    text = _text(value)
    if text is None:
        return False
    choices = [wanted, *(part.strip() for part in wanted.split(","))]
    if caseless or isinstance(value, bool):
        return text.casefold() in {choice.casefold() for choice in choices}
    return text in choices


def _is_ordered(value: Any, operator: str, wanted: str) -> bool:
    text = _text(value)
    if text is None:
        return False
    left: Any = text
    right: Any = wanted
    if isinstance(value, int | float):
        try:
            left, right = value, float(wanted)
        except ValueError:
            return False
    match operator:
        case ">":
            return bool(left > right)
        case ">=":
            return bool(left >= right)
        case "<":
            return bool(left < right)
        case _:
            return bool(left <= right)


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _limit(value: str | int | None, default: int) -> int:
    if value is None or value == "":
        return default
    if not re.fullmatch(r"\d+", str(value)) or int(value) < 1:
        raise FilterInvalid(f"limit must be a positive whole number, got {value!r}.", path="limit")
    return min(int(value), MAX_LIMIT)


def _encoded(query: ListQuery) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(query)).decode().rstrip("=")


def _decoded(token: str) -> ListQuery:
    # Some clients send everything that stood behind the first '=' of the link, further parameters included.
    token = token.partition("&")[0]
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)), type=ListQuery)
    except (msgspec.MsgspecError, binascii.Error, ValueError) as error:
        raise FilterInvalid("The continuationToken is none of ours.", path="continuationToken") from error
