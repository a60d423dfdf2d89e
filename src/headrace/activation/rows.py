"""From a member of an audience to the rows of an export.

A person gives one row, or one row per identity when an identity namespace is mapped. A row is exported only when every
mandatory field has a value.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from headrace.activation.fields import parse_path
from headrace.activation.mapping import AttributeMapping, DedupKey
from headrace.clock import iso_seconds
from headrace.model import Identity

Row = list[Any]
"""Values in the order of the columns: text, numbers, booleans, None; lists and objects where complex types are exported."""

Expressions = Callable[[str], Callable[[Mapping[str, Any]], Any]]
"""Compiles an expression of the Data Prep language into a function of the profile."""

_Value = Callable[[Mapping[str, Any]], Any]


class Member(msgspec.Struct, frozen=True):
    """A person as an export sees them.

    Attributes:
        profile: The merged attributes.
        identities: All identities of the person.
        is_member: Whether they are in the audience; False for an exit within a delta.
        changed_at_ms: When their membership changed (epoch ms).
        updated_at_ms: When their membership or identity graph changed last (epoch ms); decides between duplicates.
    """

    profile: Mapping[str, Any]
    identities: Sequence[Identity]
    is_member: bool
    changed_at_ms: int
    updated_at_ms: int


class MemberRows(msgspec.Struct, frozen=True):
    """The rows of one person.

    Attributes:
        rows: The rows; empty when the person is left out.
        keys: One tuple of key values per row, when rows are made unique by a key; None stands for a missing part.
    """

    rows: list[Row]
    keys: list[tuple[str | None, ...]]


_NO_ROWS = MemberRows([], [])


class RowBuilder:
    """Makes the rows of one export."""

    def __init__(
        self,
        columns: Sequence[AttributeMapping],
        *,
        mandatory: Iterable[AttributeMapping] = (),
        keys: Sequence[DedupKey] = (),
        namespaces: Mapping[int, str],
        expressions: Expressions,
    ) -> None:
        """Prepare the columns.

        Args:
            columns: The columns, in order.
            mandatory: What must have a value; need not be among the columns.
            keys: What rows are made unique by.
            namespaces: Codes of the identity namespaces by id.
            expressions: Compiles calculated fields.
        """
        self.columns = tuple(columns)
        self.names = [column.target for column in columns]
        self.keys = tuple(keys)
        self._namespace_of = {code.lower(): number for number, code in namespaces.items()}
        self._fields = _FieldReader(columns)
        self._computed = [
            (index, _value_of(column, expressions))
            for index, column in enumerate(columns)
            if column.kind in ("expression", "static") or (column.kind == "attribute" and not _is_plain(column))
        ]
        self._status = [index for index, column in enumerate(columns) if column.kind == "membership_status"]
        self._time = [index for index, column in enumerate(columns) if column.kind == "membership_time"]
        self._identity = next((index for index, column in enumerate(columns) if column.is_identity), None)
        self._row_namespace = "" if self._identity is None else columns[self._identity].namespace
        self._mandatory = [self._check_of(column, expressions) for column in mandatory]
        self._key_values = [_path_value(parse_path(key.name)) for key in keys if key.field_type == "ATTRIBUTE"]
        self._key_namespace = next((key.name for key in keys if key.field_type == "IDENTITY"), "")

    @property
    def exports_status(self) -> bool:
        """Whether a column tells the membership's status; only then are exits exported."""
        return bool(self._status)

    @property
    def is_keyed_by_identity(self) -> bool:
        """Whether rows are made unique by an identity."""
        return bool(self._key_namespace)

    def rows(self, member: Member) -> MemberRows:
        """Return the rows of a person; none when a mandatory field, the mapped identity or an identity key is missing."""
        if not all(has_value(member) for has_value in self._mandatory):
            return _NO_ROWS
        row = self._fields.row(member.profile)
        for index, value in self._computed:
            row[index] = value(member.profile)
        for index in self._status:
            row[index] = "realized" if member.is_member else "exited"
        for index in self._time:
            row[index] = iso_seconds(member.changed_at_ms)
        rows = [row] if self._identity is None else self._per_identity(row, member, self._identity)
        if not self.keys:
            return MemberRows(rows, [])
        return self._keyed(rows, member)

    def _per_identity(self, row: Row, member: Member, column: int) -> list[Row]:
        return [[*row[:column], value, *row[column + 1 :]] for value in self._identities(member, self._row_namespace)]

    def _keyed(self, rows: list[Row], member: Member) -> MemberRows:
        if not self._key_namespace:
            key = tuple(_text(value(member.profile)) for value in self._key_values)
            return MemberRows(rows, [key] * len(rows))
        values = self._identities(member, self._key_namespace)
        if not values:
            return _NO_ROWS
        if self._identity is not None and self._row_namespace.lower() == self._key_namespace.lower():
            return MemberRows(rows, [(value,) for value in values])
        # The key is not a column: the person's rows stand and fall together, under all of their identities.
        return MemberRows(rows, [tuple(values)] * len(rows))

    def _identities(self, member: Member, code: str) -> list[str]:
        number = self._namespace_of.get(code.lower())
        found = [identity.original or identity.value for identity in member.identities if identity.namespace_id == number]
        return list(dict.fromkeys(found))

    def _check_of(self, column: AttributeMapping, expressions: Expressions) -> Callable[[Member], bool]:
        if column.is_identity:
            return lambda member: bool(self._identities(member, column.namespace))
        if column.kind in ("attribute", "expression"):
            value = _value_of(column, expressions)
            return lambda member: not _is_missing(value(member.profile))
        return lambda member: True  # what the export itself knows is always there


class _FieldReader:
    """Reads the plain attributes of a row; what several columns have in common is walked once."""

    def __init__(self, columns: Sequence[AttributeMapping]) -> None:
        self._width = len(columns)
        self._parents: dict[tuple[str | int, ...], list[tuple[int, str | int]]] = {}
        for index, column in enumerate(columns):
            if column.kind == "attribute" and _is_plain(column):
                self._parents.setdefault(column.path[:-1], []).append((index, column.path[-1]))

    def row(self, profile: Mapping[str, Any]) -> Row:
        """Return a row with the attributes in their places, None elsewhere."""
        row: Row = [None] * self._width
        for parent, leaves in self._parents.items():
            node: Any = profile
            for name in parent:
                node = node.get(name)
                if node.__class__ is not dict:
                    break
            else:
                for index, leaf in leaves:
                    row[index] = node.get(leaf)
        return row


def _is_plain(column: AttributeMapping) -> bool:
    return column.type != "date-time" and all(isinstance(step, str) for step in column.path)


def _is_missing(value: Any) -> bool:
    return value is None or value in ("", [])


def _text(value: Any) -> str | None:
    if _is_missing(value):
        return None
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _value_of(column: AttributeMapping, expressions: Expressions) -> _Value:
    if column.kind == "static":
        text = column.source
        return lambda profile: text
    if column.kind == "expression":
        return expressions(column.source)
    if column.kind != "attribute":
        return lambda profile: None
    reached = _path_value(column.path)
    if column.type == "date-time":
        return lambda profile: _utc(reached(profile))
    return reached


def _path_value(path: Sequence[str | int]) -> _Value:
    if len(path) == 1 and isinstance(path[0], str):
        first = path[0]
        return lambda profile: profile.get(first)

    def reached(profile: Mapping[str, Any]) -> Any:
        node: Any = profile
        for step in path:
            if isinstance(node, dict):
                node = node.get(step)
            elif isinstance(node, list) and isinstance(step, int) and step < len(node):
                node = node[step]
            else:
                return None
        return node

    return reached


def _utc(value: Any) -> Any:
    if not isinstance(value, str) or value.endswith("Z"):
        return value
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return value
    instant = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    return instant.isoformat().replace("+00:00", "Z")
