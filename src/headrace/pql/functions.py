"""The functions of PQL, as data: how they are called, what they take and give, what they do with null."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Signature:
    """One function.

    Attributes:
        name: As written, case-sensitive.
        least: Fewest arguments, the receiver counted.
        most: Most arguments, the receiver counted; None when any number is allowed.
        form: How it is called, for documentation.
        result: What it gives, for documentation.
        on_null: What a null argument leads to, for documentation.
    """

    name: str
    least: int
    most: int | None
    form: str
    result: str
    on_null: str

    def refusal(self, found: int, *, is_method: bool) -> str:
        """Say that ``found`` arguments, the receiver counted, are the wrong number."""
        own = 1 if is_method else 0
        low, high = max(self.least - own, 0), None if self.most is None else self.most - own
        wanted = f"at least {low}" if high is None else str(low) if high == low else f"{low} to {high}"
        return f"{self.name} takes {wanted} argument{'' if wanted == '1' else 's'}, got {found - own}: {self.form}."


_FALSE, _NULL = "false", "null"

_TABLE = (
    Signature("startsWith", 2, 3, "s.startsWith(text[, caseSensitive])", "boolean", _FALSE),
    Signature("doesNotStartWith", 2, 3, "s.doesNotStartWith(text[, caseSensitive])", "boolean", _FALSE),
    Signature("endsWith", 2, 3, "s.endsWith(text[, caseSensitive])", "boolean", _FALSE),
    Signature("doesNotEndWith", 2, 3, "s.doesNotEndWith(text[, caseSensitive])", "boolean", _FALSE),
    Signature("contains", 2, 3, "s.contains(text[, caseSensitive])", "boolean", _FALSE),
    Signature("doesNotContain", 2, 3, "s.doesNotContain(text[, caseSensitive])", "boolean", _FALSE),
    Signature("equals", 2, None, "s.equals(text, …[, caseSensitive])", "boolean", _FALSE),
    Signature("notEqualTo", 2, None, "s.notEqualTo(text, …[, caseSensitive])", "boolean", _FALSE),
    Signature("stringCompare", 3, 4, 'stringCompare("equals", s, [text, …][, caseSensitive])', "boolean", _FALSE),
    Signature("matches", 2, 2, "s.matches(regex)", "boolean", _FALSE),
    Signature("regexGroup", 3, 3, "s.regexGroup(regex, group)", "string", _NULL),
    Signature("if", 3, 3, "if(condition, then, otherwise)", "type of the branches", "null condition is false"),
    Signature("intersects", 2, 2, "a.intersects(b)", "boolean", _FALSE),
    Signature("intersection", 2, 2, "a.intersection(b)", "array", _NULL),
    Signature("subsetOf", 2, 2, "a.subsetOf(b)", "boolean", _FALSE),
    Signature("supersetOf", 2, 2, "a.supersetOf(b)", "boolean", _FALSE),
    Signature("includes", 2, 2, "a.includes(item)", "boolean", _FALSE),
    Signature("distinct", 1, 1, "a.distinct()", "array", _NULL),
    Signature("groupBy", 2, 2, "a.groupBy(key)", "map of arrays", _NULL),
    Signature("map", 2, 2, "a.map(expression)", "array, or map for a map", _NULL),
    Signature("topN", 3, 3, "a.topN(key, n)", "array", _NULL),
    Signature("bottomN", 3, 3, "a.bottomN(key, n)", "array", _NULL),
    Signature("head", 1, 1, "a.head()", "item", _NULL),
    Signature("exists", 2, 2, "a.exists(condition)", "boolean", _FALSE),
    Signature("forall", 2, 2, "a.forall(condition)", "boolean", "true"),
    Signature("get", 2, 2, "m.get(key)", "value", _NULL),
    Signature("keys", 1, 1, "m.keys()", "array of string", _NULL),
    Signature("values", 1, 1, "m.values()", "array", _NULL),
    Signature("mapEntry", 2, 2, "mapEntry(key, value)", "entry of a map", "null key: no entry"),
    Signature("isNull", 1, 1, "x.isNull()", "boolean", "true"),
    Signature("isNotNull", 1, 1, "x.isNotNull()", "boolean", _FALSE),
    Signature("count", 1, 1, "a.count()", "integer", "0"),
    Signature("sum", 1, 2, "a.sum([expression])", "number", "0"),
    Signature("average", 1, 2, "a.average([expression])", "double", _NULL),
    Signature("min", 1, 2, "a.min([expression])", "type of the items", _NULL),
    Signature("max", 1, 2, "a.max([expression])", "type of the items", _NULL),
    Signature("inSegment", 1, 1, 'inSegment("audience id")', "boolean", _FALSE),
    Signature("lookup", 1, 1, "lookup(field)", "object", _NULL),
    Signature("currentMonth", 0, 0, "currentMonth()", "integer", "-"),
    Signature("currentYear", 0, 0, "currentYear()", "integer", "-"),
    Signature("currentDayOfMonth", 0, 0, "currentDayOfMonth()", "integer", "-"),
    Signature("getMonth", 1, 1, "t.getMonth()", "integer", _NULL),
    Signature("getYear", 1, 1, "t.getYear()", "integer", _NULL),
    Signature("getDayOfMonth", 1, 1, "t.getDayOfMonth()", "integer", _NULL),
    Signature("ignoreYear", 1, 1, "ignoreYear(t)", "integer: month * 100 + day", _NULL),
    Signature("date", 3, 3, "date(year, month, day)", "date", _NULL),
)

FUNCTIONS: Mapping[str, Signature] = {signature.name: signature for signature in _TABLE}
"""Every function by its name. The operators and ``chain`` are grammar, not functions; ``filter`` is ``a[condition]``."""

PER_ITEM = frozenset(("map", "exists", "forall", "groupBy", "topN", "bottomN", "sum", "average", "min", "max"))
"""Functions of an array whose second argument is evaluated for each item, which is its receiver."""
