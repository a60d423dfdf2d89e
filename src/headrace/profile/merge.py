"""How a person's fragments become one profile, under a merge policy.

The result depends only on the set of fragments and the graph, never on the order of arrival.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.profile.person import Fragment, Person, read_record

NOT_MERGED = frozenset({"identityMap", "segmentMembership", "_id"})


@dataclass(frozen=True, slots=True)
class MergeRule:
    """What merging needs of a merge policy.

    Attributes:
        precedence: Dataset numbers, strongest first; None orders by time alone. Datasets not listed are not merged.
        is_stitched: False merges only the fragments of the identity asked for.
    """

    precedence: tuple[int, ...] | None = None
    is_stitched: bool = True


TIMESTAMP_ORDERED = MergeRule()


def merged(
    person: Person,
    rule: MergeRule = TIMESTAMP_ORDERED,
    *,
    vertex: int | None = None,
    read: Callable[[bytes], dict[str, Any]] = read_record,
) -> dict[str, Any]:
    """Return the merged attributes of a person, without ``identityMap`` and ``segmentMembership``.

    Args:
        person: The person.
        rule: The merge policy's rule.
        vertex: Position of the identity asked for; needed by a rule that does not stitch.
        read: Gives a fragment's record, or the part of it that is wanted.
    """
    fragments = ordered_fragments(person, rule, vertex=vertex)
    if not fragments:
        return {}
    if len(fragments) == 1:  # the usual case; its record was decoded for us alone and may be changed
        return _only(read(fragments[0].body))
    return merge_records([read(fragment.body) for fragment in fragments])


def ordered_fragments(person: Person, rule: MergeRule = TIMESTAMP_ORDERED, *, vertex: int | None = None) -> list[Fragment]:
    """Return the fragments that the rule merges, strongest first."""
    fragments = person.fragments
    if not rule.is_stitched:
        fragments = [fragment for fragment in fragments if fragment.vertex == vertex]
    if rule.precedence is None:
        return sorted(fragments, key=_newest_first) if len(fragments) > 1 else list(fragments)
    rank = {dataset: position for position, dataset in enumerate(rule.precedence)}
    listed = [fragment for fragment in fragments if fragment.dataset in rank]
    return sorted(listed, key=lambda fragment: (rank[fragment.dataset], *_newest_first(fragment)))


def _newest_first(fragment: Fragment) -> tuple[int, int, int]:
    return -fragment.written_at_ms, -fragment.offset, fragment.dataset


def merge_records(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one record from several, strongest first.

    Objects merge leaf by leaf, arrays and consents are taken whole, null is absent.
    """
    result: dict[str, Any] = {}
    for record in records:
        _fill(result, record, NOT_MERGED)
    return result


def _only(record: dict[str, Any]) -> dict[str, Any]:
    for name in NOT_MERGED:
        record.pop(name, None)
    return record


def _fill(target: dict[str, Any], source: Mapping[str, Any], skipped: frozenset[str] = frozenset()) -> None:
    for name, value in source.items():
        if value is None or name in skipped:
            continue
        present = target.get(name)
        if present is None:
            target[name] = _without_nulls(value) if isinstance(value, dict) else value
        elif isinstance(present, dict) and isinstance(value, dict) and not _is_atomic(present) and not _is_atomic(value):
            _fill(present, value)


def _is_atomic(value: Mapping[str, Any]) -> bool:
    # A consent is one statement: its value, time and reason must come from the same fragment.
    return "val" in value


def _without_nulls(value: Mapping[str, Any]) -> dict[str, Any]:
    copy: dict[str, Any] = {}
    for name, item in value.items():
        if item is not None:
            copy[name] = _without_nulls(item) if isinstance(item, dict) else item
    return copy


def apply_upsert(stored: dict[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored record with a partial record applied: present attributes replace, null deletes, objects go deep."""
    result = dict(stored)
    for name, value in change.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict) and isinstance(result.get(name), dict) and not _is_atomic(value):
            result[name] = apply_upsert(result[name], value)
        else:
            result[name] = value
    return result


def value_at(record: Mapping[str, Any], path: Sequence[str]) -> Any:
    """Return the value at a path of field names, None when a part of it is missing."""
    node: Any = record
    for name in path:
        if not isinstance(node, dict):
            return None
        node = node.get(name)
    return node


def restricted(record: Mapping[str, Any], paths: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Return the part of a record that lies at the given paths, in the same nesting."""
    result: dict[str, Any] = {}
    for path in paths:
        value = value_at(record, path)
        if value is None:
            continue
        node = result
        for name in path[:-1]:
            node = node.setdefault(name, {})
            if not isinstance(node, dict):
                break
        else:
            node[path[-1]] = value
    return result
