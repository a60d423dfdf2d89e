"""Lists of the Schema Registry: filters, order and pages."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from headrace.api.paging import ordered, parse_order, parse_property, value_at
from headrace.schemas.errors import QueryInvalid

DEFAULT_ORDER = "updated"
MOST_ROWS = 300
_HIGHEST_LIMIT = 500
_NEXT_CONDITION = re.compile(r",(?=[^,=!<>~]+(?:==|!=|<=|>=|<|>|~))")
_ALIASES = {
    "updated": "meta:registryMetadata.repo:lastModifiedDate",
    "created": "meta:registryMetadata.repo:createdDate",
    "id": "$id",
}


@dataclass(frozen=True)
class ListQuery:
    """What a caller asks of a list.

    Attributes:
        conditions: Texts of the ``property`` parameters; all must hold.
        orderby: Fields, comma-separated, ``-`` for descending.
        start: Value of the first order field after which the page begins.
        limit: Size of the page; None for the largest.
    """

    conditions: Sequence[str] = ()
    orderby: str = ""
    start: str = ""
    limit: str = ""

    def size(self, *, highest: int = _HIGHEST_LIMIT) -> int:
        """Return the page size.

        Raises:
            QueryInvalid: The limit is no number from 0 to ``highest``.
        """
        if not self.limit:
            return MOST_ROWS
        if not self.limit.isdigit() or int(self.limit) > highest:
            raise QueryInvalid(f"The valid query limit is 0 - {highest}, not '{self.limit}'.", path="limit")
        return min(int(self.limit) or MOST_ROWS, MOST_ROWS)

    def text(self) -> str:
        """Return the query again, for links."""
        pairs = [("property", item) for item in self.conditions]
        pairs += [(name, value) for name, value in (("orderby", self.orderby), ("limit", self.limit)) if value]
        return urlencode(pairs)


@dataclass(frozen=True)
class Page:
    """A page of a list.

    Attributes:
        rows: The entries.
        order: The order, as shown in ``_page``.
        next: Value to give as ``start`` for the next page; None on the last one.
    """

    rows: list[Mapping[str, Any]] = field(default_factory=list)
    order: str = DEFAULT_ORDER
    next: Any = None

    def body(self, shown: Sequence[Any], links: Mapping[str, Any]) -> dict[str, Any]:
        """Return the wire form, with the entries as ``shown``."""
        return {
            "results": list(shown),
            "_page": {"orderby": self.order, "next": self.next, "count": len(self.rows)},
            "_links": {"next": None, **links},
        }


def filtered(rows: Sequence[Mapping[str, Any]], conditions: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return the rows for which all conditions hold; a comma before another condition means *and*."""
    parsed = [parse_property(part) for text in conditions for part in _NEXT_CONDITION.split(text)]
    return [row for row in rows if all(condition.holds(row) for condition in parsed)]


def page_of(rows: Sequence[Mapping[str, Any]], query: ListQuery, *, size: int | None = None) -> Page:
    """Return the page that a query asks for.

    A page goes on until the first order field changes its value, so that ``start``, which is strict, skips nothing.

    Args:
        rows: All entries.
        query: Filters, order, start.
        size: Entries on the page; None for all.
    """
    order = [
        (_ALIASES.get(name, name), is_descending) for name, is_descending in parse_order(query.orderby, default=DEFAULT_ORDER)
    ]
    found = ordered(filtered(rows, query.conditions), order)
    name, is_descending = order[0]
    if query.start:
        found = [row for row in found if _is_beyond(value_at(row, name), query.start, is_descending)]
    shown_order = query.orderby or DEFAULT_ORDER
    if size is None or len(found) <= size:
        return Page(found, shown_order)
    end = size
    while end < len(found) and value_at(found[end], name) == value_at(found[end - 1], name):
        end += 1
    last = value_at(found[end - 1], name)
    return Page(found[:end], shown_order, last if end < len(found) else None)


def _is_beyond(value: Any, start: str, is_descending: bool) -> bool:
    if value is None:
        return False
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            limit = float(start)
        except ValueError:
            raise QueryInvalid(f"'start' is a number with this order, not '{start}'.", path="start") from None
        return value < limit if is_descending else value > limit
    text, edge = str(value).lower(), start.lower()
    return text < edge if is_descending else text > edge
