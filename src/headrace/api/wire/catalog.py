"""Catalog on the wire: lists that are keyed by id, and the queries that all of them understand."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import translate
from typing import Any

from starlette.datastructures import QueryParams

from headrace.api.paging import Condition, as_text, limit_of, ordered, parse_order, parse_property, start_of, value_at
from headrace.catalog.errors import CatalogQueryInvalid
from headrace.errors import InvalidInput

Row = dict[str, Any]
_MOST, _DEFAULT_LIMIT, _MOST_WITH_SCHEMAS = 100, 20, 20
_DEFAULT_ORDER = "desc:created"
_HIDDEN = frozenset({"id", "batch", "dataSet"})  # members that serve filters alone
_RANGES = {
    "createdAfter": ("created", True),
    "createdBefore": ("created", False),
    "updatedAfter": ("updated", True),
    "updatedBefore": ("updated", False),
    "startAfter": ("started", True),
    "startBefore": ("started", False),
    "endAfter": ("completed", True),
    "endBefore": ("completed", False),
}
_NO_FILTERS = frozenset(
    {"limit", "start", "offset", "properties", "orderBy", "sort", "property", "tags", "expansion", "requestDataSource", *_RANGES}
)


@dataclass(frozen=True)
class CatalogQuery:
    """A list request.

    Attributes:
        limit: Most objects.
        start: Objects to leave out first.
        properties: Top-level members to show; empty for all.
        order: (member, is descending) pairs.
        is_default_order: Whether the order is newest first.
        conditions: ``property`` filters and simple filters.
        tags: (tag, pattern) pairs, all of which must fit.
        ranges: (member, is lower bound, epoch ms), exclusive.
    """

    limit: int
    start: int
    properties: tuple[str, ...]
    order: tuple[tuple[str, bool], ...]
    is_default_order: bool
    conditions: tuple[Condition, ...]
    tags: tuple[tuple[str, re.Pattern[str]], ...]
    ranges: tuple[tuple[str, bool, int], ...]

    def bound(self, member: str, *, is_lower: bool) -> int | None:
        """Return the exclusive bound of a member, None without one."""
        found = [value for name, lower, value in self.ranges if name == member and lower == is_lower]
        return (max(found) if is_lower else min(found)) if found else None

    def values_of(self, field: str) -> tuple[str, ...] | None:
        """Return the alternatives that a member must equal, None when it is not filtered so."""
        found = self._equality(field)
        return found.values if found else None

    def _equality(self, field: str) -> Condition | None:
        return next((item for item in self.conditions if item.field == field and item.operator == "=="), None)

    def without(self, *fields: str) -> "CatalogQuery":
        """Return the query without what `values_of` gives for some members, since the caller has applied it."""
        applied = [self._equality(name) for name in fields]
        kept = tuple(item for item in self.conditions if not any(item is other for other in applied))
        return CatalogQuery(
            self.limit, self.start, self.properties, self.order, self.is_default_order, kept, self.tags, self.ranges
        )

    def page(self, rows: Iterable[Row]) -> dict[str, Row]:
        """Return the page as an object keyed by id.

        Args:
            rows: Objects with their ``id``, the newest first. They are read only as far as needed when that is the order.
        """
        fitting: Iterator[Row] = (row for row in rows if self._fits(row))
        if not self.is_default_order:
            fitting = iter(ordered(sorted(fitting, key=lambda row: row["id"]), self.order))
        page = [row for _, row in zip(range(self.start + self.limit), fitting, strict=False)][self.start :]
        return {row["id"]: self.shown(row) for row in page}

    def shown(self, row: Row) -> Row:
        """Return the members that were asked for; the id is the key, not a member."""
        names = self.properties or tuple(row)
        return {name: row[name] for name in names if name in row and name not in _HIDDEN}

    def _fits(self, row: Row) -> bool:
        return (
            all(_holds(condition, row) for condition in self.conditions)
            and all(_has_tag(row.get("tags", {}), tag, pattern) for tag, pattern in self.tags)
            and all(_is_within(row.get(member), is_lower, bound) for member, is_lower, bound in self.ranges)
        )


def parse_query(parameters: QueryParams) -> CatalogQuery:
    """Return the query of a list request.

    Raises:
        CatalogQueryInvalid: A parameter is not acceptable.
    """
    try:
        return _parsed(parameters)
    except CatalogQueryInvalid:
        raise
    except InvalidInput as error:
        raise CatalogQueryInvalid(error.message, path=error.path, hint=error.hint) from error


def _parsed(parameters: QueryParams) -> CatalogQuery:
    properties = tuple(part.strip() for part in parameters.get("properties", "").split(",") if part.strip())
    limit = limit_of(parameters.get("limit"), default=_DEFAULT_LIMIT, most=_MOST)
    if "observableSchema" in properties:
        limit = min(limit, _MOST_WITH_SCHEMAS)
    order = parameters.get("orderBy") or parameters.get("sort") or ""
    conditions = [parse_property(text) for text in parameters.getlist("property")]
    for name, text in parameters.multi_items():
        if name not in _NO_FILTERS:
            conditions.append(_simple_filter(name, text))
    return CatalogQuery(
        limit=limit,
        start=start_of(parameters.get("start", parameters.get("offset"))),
        properties=properties,
        order=tuple(parse_order(order)),
        is_default_order=not order.strip() or order.strip() == _DEFAULT_ORDER,
        conditions=tuple(conditions),
        tags=tuple(_tag_filters(parameters.getlist("tags"))),
        ranges=tuple(_range(name, text) for name, text in parameters.multi_items() if name in _RANGES),
    )


def _simple_filter(name: str, text: str) -> Condition:
    operator, listed = ("!=", text[1:]) if text.startswith("!") else ("==", text)
    return Condition(name, operator, tuple(part.strip() for part in listed.split(",")))


def _tag_filters(texts: Iterable[str]) -> Iterator[tuple[str, re.Pattern[str]]]:
    for text in texts:
        for part in text.split(","):
            tag, colon, value = part.strip().partition(":")
            if not colon:
                raise CatalogQueryInvalid(f"The filter tags={text} is no list of tag:value.", path="tags")
            yield tag, re.compile(translate(value.replace("[", "[[]").replace("?", "[?]")))


def _range(name: str, text: str) -> tuple[str, bool, int]:
    member, is_lower = _RANGES[name]
    try:
        return member, is_lower, int(text)
    except ValueError:
        raise CatalogQueryInvalid(f"'{name}' is '{text}'; it must be epoch milliseconds.", path=name) from None


def _holds(condition: Condition, row: Row) -> bool:
    if condition.field == "version" and condition.operator not in ("exists", "absent", "~"):
        return _compares_versions(as_text(row.get("version")), condition)
    if condition.field == "name" and condition.operator in ("==", "!="):
        name = as_text(value_at(row, "name"))
        return any(_name_pattern(value).fullmatch(name) for value in condition.values) is (condition.operator == "==")
    return condition.holds(row)


def _name_pattern(text: str) -> re.Pattern[str]:
    """Return the pattern of a name filter: ``*`` stands for any text, ``**`` for the character itself."""
    parts = [".*" if part == "*" else r"\*" if part == "**" else re.escape(part) for part in re.split(r"(\*{1,2})", text)]
    return re.compile("".join(parts), re.DOTALL)


def _compares_versions(version: str, condition: Condition) -> bool:
    numbered = {"version": _version_number(version)}
    values = tuple(str(_version_number(value)) for value in condition.values)
    return Condition("version", condition.operator, values).holds(numbered)


def _version_number(text: str) -> int:
    parts = text.split(".")
    if not all(part.isdecimal() for part in parts):
        raise CatalogQueryInvalid(f"'{text}' is no version.", path="version", hint="Write 1.0.3.")
    major, minor, patch = (int(part) for part in [*parts, "0", "0"][:3])
    return (major * 1000 + minor) * 1_000_000 + patch


def _has_tag(tags: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> bool:
    values = tags.get(name)
    listed = values if isinstance(values, list) else [] if values is None else [values]
    return any(pattern.match(as_text(value)) for value in listed)


def _is_within(value: Any, is_lower: bool, bound: int) -> bool:
    if not isinstance(value, int):
        return False
    return value > bound if is_lower else value < bound


def references(kind: str, *ids: str) -> list[str]:
    """Return what Catalog answers to a change: ``["@/dataSets/…"]``."""
    return [f"@/{kind}/{item}" for item in ids]


def version_in(header: str | None) -> str:
    """Return the version in an ``If-Match`` header, without quotes; empty for none and for ``*``."""
    text = (header or "").strip().removeprefix("W/").strip('"')
    return "" if text == "*" else text


def version_headers(version: str) -> dict[str, str]:
    """Return the headers that tell an object's version."""
    return {"ETag": f'"{version}"', "E-Tag": f'"{version}"'}
