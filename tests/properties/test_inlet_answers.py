"""Law: whatever is posted to an inlet, the answer is JSON and never an internal error; what was acknowledged is kept."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.ingest.inlet_kit import EVENT, EVENTS, InletKit, message

XDM, RAW, PLAIN = "a" * 64, "b" * 64, "c" * 64
MAPPING = [
    {"sourceType": "ATTRIBUTE", "source": "a", "destination": "_id"},
    {"sourceType": "ATTRIBUTE", "source": "b[*].c", "destination": "segmentMembership"},
    {"sourceType": "ATTRIBUTE", "source": "b[0].c", "destination": "identityMap.Email[0].id"},
    {"sourceType": "EXPRESSION", "source": "iif(a > 1, concat(a, b), a.b ?? a + 1)", "destination": "eventType"},
    {"sourceType": "EXPRESSION", "source": "date(a)", "destination": "timestamp"},
]

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
names = st.sampled_from(["_id", "timestamp", "identityMap", "a", "b", "c", "header", "body", "flowId", "messages", "Email", "id"])
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def nearly_messages(draw: st.DrawFn) -> Any:
    """A valid message with one part replaced, or its record."""
    whole = json.loads(json.dumps(message()))
    path = draw(
        st.sampled_from(
            [
                ("header",), ("body",), ("header", "schemaRef"), ("header", "schemaRef", "id"), ("header", "imsOrgId"),
                ("header", "datasetId"), ("header", "source"), ("header", "flowId"), ("header", "operations"),
                ("header", "msgType"),
                ("body", "xdmMeta"), ("body", "xdmEntity"), ("body", "xdmEntity", "_id"), ("body", "xdmEntity", "identityMap"),
            ]
        )
    )  # fmt: skip
    node = whole
    for name in path[:-1]:
        node = node[name]
    node[path[-1]] = draw(documents)
    return whole


bodies = (
    documents
    | nearly_messages()
    | st.builds(lambda items: {"messages": items}, st.lists(documents | nearly_messages(), max_size=3))
)


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InletKit]:
    folder: Path = tmp_path_factory.mktemp("inlet")
    kit = InletKit(folder)
    kit.add_inlet(XDM)
    kit.add_inlet(RAW, dataType="raw")
    kit.add_inlet(PLAIN, dataType="raw")
    kit.add_mapping("m", MAPPING)
    kit.add_flow(RAW, "f-1", EVENTS, mapping_id="m")
    kit.add_flow(PLAIN, "f-2", EVENTS)
    yield kit
    kit.control.close()


def check(kit: InletKit, data: bytes, query: str) -> None:
    before = kit.records.next_offset() + kit.quarantine_topic.next_offset()
    paths = [f"/collection{kind}/{inlet}" for kind in ("", "/batch") for inlet in (XDM, RAW, PLAIN)]
    replies = kit.run([(path, data, {}, query, "POST") for path in paths])
    acknowledged = 0
    for reply in replies:
        assert reply.status in (200, 207, 400, 413, 429), reply.content
        assert isinstance(reply.body, dict)
        acknowledged += sum("xactionId" in each for each in reply.body.get("responses", [reply.body]))
    assert kit.records.next_offset() + kit.quarantine_topic.next_offset() == before + acknowledged
    kit.quarantine.roll()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies, query=st.sampled_from(["", "syncValidation=true", "x-adobe-flow-id=f-1", "%ff&a=b=c;&&"]))
def test_any_json_gets_a_json_answer(kit: InletKit, body: Any, query: str) -> None:
    check(kit, json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass"), query)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(max_size=6), place=st.integers(0, 400))
def test_damaged_messages_get_a_json_answer(kit: InletKit, noise: bytes, place: int) -> None:
    data = json.dumps(message({**EVENT, "identityMap": {"Email": [{"id": "a@b"}]}})).encode()
    check(kit, data[:place] + noise + data[place + len(noise) :], "")
