"""The examples of the language's reference page, in batch and by the reference evaluator."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from headrace.pql.bind import Names
from headrace.pql.errors import PqlError
from headrace.pql.types import object_type_from_schema
from tests.differential.batch_world import Person, batch_answers, bound, reference_answers

NOW_MS = 1_741_946_400_000  # 2025-03-14T10:00:00Z, a Friday
_EXAMPLE = re.compile(r"^\| \d+ \| `(?P<query>.*?)`[^|]*\|", re.MULTILINE)
_SCHEMA = Path(__file__).parents[1] / "golden" / "pql" / "retail.schema.json"


def names() -> Names:
    schema = json.loads(_SCHEMA.read_text())
    return Names(object_type_from_schema(schema["profile"]), object_type_from_schema(schema["event"], is_event=True))


def event(number: int, timestamp: str, kind: str, **rest: Any) -> dict[str, Any]:
    return {"_id": f"e{number}", "timestamp": timestamp, "eventType": kind, "type": kind, **rest}


PERSONS: list[Person] = [
    ({}, []),
    (
        {
            "homeAddress": {"country": "DE", "state": "VA", "city": "Hamburg", "countryCode": "US"},
            "workAddress": {"state": "BY", "country": "ca"},
            "person": {
                "birthYear": 2001,
                "birthMonth": 3,
                "birthDate": "2001-03-14",
                "age": 25,
                "gender": "female",
                "name": {"lastName": "McDonald"},
            },
            "personalEmail": {"address": "x@acme.com"},
            "identityMap": {"Email": [{"id": "x@acme.com"}], "ECID": [{"id": "1", "primary": True}]},
            "segmentMembership": {"AAMSegments": {"t1": {"status": "realized"}}},
        },
        [
            event(1, "2025-03-14T09:00:00Z", "commerce.checkouts", productListItems=[{"SKU": "PS", "name": "boots"}]),
            event(2, "2025-03-13T12:00:00Z", "addToCart", price=60.0, channel="web"),
            event(3, "2025-03-13T11:00:00Z", "pageView"),
            event(4, "2025-03-14T08:00:00Z", "email.click"),
            event(5, "2025-03-12T12:00:00Z", "FLIGHT"),
            event(6, "2025-03-10T12:00:00Z", "FLIGHT"),
        ],
    ),
    (
        {"homeAddress": {"state": "BY"}, "workAddress": {"state": "BY"}, "person": {"gender": "male", "birthMonth": 2}},
        [
            event(number, f"2025-03-14T0{number}:00:00Z", "homePageView", commerce={"order": {"priceTotal": 120.0 * number}})
            for number in range(1, 7)
        ],
    ),
]


def test_examples_of_the_language_page_agree_with_the_reference(shared: Path) -> None:
    page = (shared / "reference" / "pql.md").read_text()
    examples = page[page.index("## 6. Examples") : page.index("### 6.1 Invalid")]
    texts = [found.replace("…24h", "WHEN(<= 24 hours before now)") for found in _EXAMPLE.findall(examples)]
    trees = []
    for text in texts:
        try:
            trees.append(bound(text, names()))
        except PqlError:  # a field or an entity that the sample schema lacks
            continue
    assert len(trees) > 60
    found, wanted = batch_answers(trees, names(), PERSONS, NOW_MS), reference_answers(trees, PERSONS, NOW_MS)
    assert found == wanted
    assert [len(holding) > 5 for holding in wanted[1:]] == [True, True]


def test_an_audience_of_the_same_job_is_answered_by_the_job_and_another_by_the_stored_membership() -> None:
    texts = ['inSegment("q1") and inSegment("other")', "person.age > 20"]
    trees = [bound(text, names()) for text in texts]
    found = batch_answers(trees, names(), PERSONS[:2], NOW_MS, members=[[1, 900], [900]])
    assert found == [set(), {0, 1}]


@pytest.mark.parametrize("text", ["person.age > 20", "person.age > 20 and xEvent"])
def test_persons_without_events_are_answered_too(text: str) -> None:
    found = batch_answers([bound(text, names())], names(), [({"person": {"age": 30}}, [])], NOW_MS)
    assert found == [{0} if "xEvent" not in text else set()]
