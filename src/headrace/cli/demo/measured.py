"""What arrived: messages as the receiver wrote them down, files as they stand in the landing zone."""

import csv
import gzip
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headrace.cli.demo.expected import Expectation, Transition


@dataclass(frozen=True)
class Arrival:
    """A membership change as the receiver learnt of it.

    Attributes:
        received_at_ms: When.
        audience: Name of the audience.
        is_entry: Entered or left.
        identities: Identities in the message, as ``CODE:value``.
        qualified_at_ms: The message's ``lastQualificationTime``, to the second.
    """

    received_at_ms: int
    audience: str
    is_entry: bool
    identities: frozenset[str]
    qualified_at_ms: int


def read_messages(path: Path) -> list[dict[str, Any]]:
    """Return all messages in the order of their receipt, each once: a repeated message id is a repeated delivery."""
    seen: set[str] = set()
    messages = []
    for line in path.read_text().splitlines():
        message = json.loads(line)
        if message["message_id"] not in seen:
            seen.add(message["message_id"])
            messages.append(message)
    return sorted(messages, key=lambda item: item["received_at_ms"])


def arrivals(messages: Iterable[Mapping[str, Any]], names: Mapping[str, str], expectation: Expectation) -> list[Arrival]:
    """Return the membership changes that follow from the messages, person by person.

    A message repeats all memberships of its person; what differs from the message before it is a change.

    Args:
        messages: In order of receipt.
        names: Audience id → name; other audiences are passed over.
        expectation: Tells which identities are one person.
    """
    present: dict[int, set[str]] = {}
    found = []
    for message in messages:
        identities = identities_of(message["body"])
        persons = [expectation.person_of(identity) for identity in identities]
        person = next((item for item in persons if item is not None), None)
        known = present.setdefault(id(person), set())
        for audience_id, entry in message["body"].get("segmentMembership", {}).get("ups", {}).items():
            name = names.get(audience_id)
            is_in = entry["status"] == "realized"
            if name is None or is_in == (name in known):
                continue
            (known.add if is_in else known.discard)(name)
            stamp = datetime.strptime(entry["lastQualificationTime"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
            qualified_at_ms = round(stamp.timestamp() * 1000)
            found.append(Arrival(message["received_at_ms"], name, is_in, frozenset(identities), qualified_at_ms))
    return found


def identities_of(body: Mapping[str, Any]) -> list[str]:
    """Return the identities of a message as ``CODE:value``, codes in lower case."""
    return [f"{code.lower()}:{item['id']}" for code, items in body.get("identityMap", {}).items() for item in items]


@dataclass
class Comparison:
    """What should have arrived beside what did.

    Attributes:
        expected: Number of expected changes, by audience.
        matched: Those that arrived, by audience.
        differences: What is wrong, in words.
        reaction_ms: From the POST of the cause to the receipt, of changes that a record caused.
        lapse_ms: From the instant to the receipt, of changes that time alone caused.
    """

    expected: dict[str, int]
    matched: dict[str, int]
    differences: list[str]
    reaction_ms: list[int]
    lapse_ms: list[int]


def compare(expectation: Expectation, found: list[Arrival], audiences: Iterable[str], *, exact_seconds: bool) -> Comparison:
    """Compare the changes of each person and audience, in order.

    Args:
        expectation: What should have happened.
        found: What arrived.
        audiences: Names of the audiences to compare.
        exact_seconds: Whether the qualification times must agree to the second.
    """
    wanted = _grouped_expected(expectation, set(audiences))
    arrived: dict[tuple[int, str], list[Arrival]] = {}
    for item in found:
        person = expectation.person_of(min(item.identities))
        arrived.setdefault((id(person), item.audience), []).append(item)
    result = Comparison(dict.fromkeys(audiences, 0), dict.fromkeys(audiences, 0), [], [], [])
    for key in wanted.keys() | arrived.keys():
        _compare_one(key[1], wanted.get(key, []), arrived.get(key, []), result, exact_seconds)
    return result


def _grouped_expected(expectation: Expectation, audiences: set[str]) -> dict[tuple[int, str], list[Transition]]:
    grouped: dict[tuple[int, str], list[Transition]] = {}
    for item in expectation.transitions:
        if item.audience in audiences:
            key = id(expectation.person_of(item.identity)), item.audience
            grouped.setdefault(key, []).append(item)
    return grouped


def _compare_one(
    audience: str, wanted: list[Transition], arrived: list[Arrival], result: Comparison, exact_seconds: bool
) -> None:
    result.expected[audience] += len(wanted)
    for item, arrival in zip(wanted, arrived, strict=False):
        word = "enter" if item.is_entry else "leave"
        if item.is_entry != arrival.is_entry:
            result.differences.append(f"{audience}: {item.identity} should {word} next, the receiver learnt the opposite")
            return
        if exact_seconds and item.at_ms // 1000 != arrival.qualified_at_ms // 1000:
            late = arrival.qualified_at_ms // 1000 - item.at_ms // 1000
            result.differences.append(f"{audience}: {item.identity} should {word} {late} seconds from when it did")
            continue
        result.matched[audience] += 1
        (result.lapse_ms if item.is_by_time else result.reaction_ms).append(arrival.received_at_ms - item.at_ms)
    if len(wanted) != len(arrived):
        who = wanted[0].identity if wanted else min(arrived[0].identities)
        result.differences.append(f"{audience}: {who} changes {len(wanted)} times, the receiver learnt of {len(arrived)}")


def read_files(folder: Path, audience: str) -> list[dict[str, str]]:
    """Return the rows of the newest file of an audience in the landing zone, by column.

    Raises:
        FileNotFoundError: There is no file of the audience.
    """
    prefix = audience.replace(" ", "_")
    files = sorted(path for path in folder.rglob(f"{prefix}_2*.csv.gz"))
    if not files:
        raise FileNotFoundError(f"There is no file of '{audience}' in {folder}.")
    with gzip.open(files[-1], "rt", newline="") as file:
        return list(csv.DictReader(io.StringIO(file.read())))


def percentile(values: list[int], share: float) -> float:
    """Return the value that ``share`` of the values do not exceed; 0 for none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))])
