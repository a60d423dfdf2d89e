"""A day tested in a second: the server on a clock that only a call moves."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from headrace.testing.receiver import Receiver
from headrace.testing.server import Server

from .conftest import new_sandbox
from .world import (
    HTTP_API,
    JOBS,
    LANDING_ZONE,
    LANDING_ZONE_FLOW,
    STREAM_FLOW,
    Api,
    World,
    until,
)

START = "2027-03-01T08:00:00Z"
ABANDONED = (
    'chain(xEvent, timestamp, [A: WHAT(eventType = "application.begin") '
    "WHEN(>= 30 minutes before now and <= 24 hours before now), "
    'B: WHAT(eventType = "application.submit") WHEN(<= 24 hours before now) COUNT(0)])'
)


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("manual") / "home", clock=f"manual:{START}") as running:
        yield running


@pytest.fixture(scope="module")
def calls(manual: Server) -> Iterator[Api]:
    api = Api(manual)
    yield api
    api.close()


@pytest.fixture
def filled(calls: Api) -> World:
    return new_sandbox(calls).fill()


class Hours:
    """Tells instants relative to where the clock stands, so that tests may run in any order."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> str:
        return str(self._world.get("/headrace/progress")["now"])

    def move(self, now: str) -> str:
        answer = self._world.post("/headrace/clock", {"now": now})
        return str(answer["now"])

    def midnight(self, days: int) -> str:
        """Return midnight, some days from the clock's own day."""
        day = datetime.fromisoformat(self.now()).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=days)
        return day.isoformat().replace("+00:00", "Z")

    def later(self, minutes: float) -> str:
        instant = datetime.fromisoformat(self.now()) + timedelta(minutes=minutes)
        return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_clock_moves_with_the_headers_of_every_call_alone(calls: Api) -> None:
    headers = calls.headers("prod")
    before = calls.http.get("/headrace/progress", headers=headers).json()["now"]
    assert before >= START.replace("Z", "")
    moved = calls.http.post("/headrace/clock", json={"now": "2027-03-01T08:00:01Z"}, headers=headers)
    assert moved.status_code == 200
    assert moved.json()["now"] >= "2027-03-01T08:00:01"
    assert calls.http.post("/headrace/clock", json={"now": "2027-03-01T08:00:02Z"}).status_code == 403


@pytest.mark.parametrize("body", [{}, {"now": 5}, {"now": "tomorrow"}])
def test_clock_wants_an_instant(calls: Api, body: dict[str, object]) -> None:
    answer = calls.call("prod", "POST", "/headrace/clock", body)
    assert answer.status_code == 400
    assert answer.json()["headrace"]["path"] == "/now"


def test_clock_never_goes_back(calls: Api) -> None:
    now = calls.call("prod", "GET", "/headrace/progress").json()["now"]
    answer = calls.call("prod", "POST", "/headrace/clock", {"now": "2020-01-01T00:00:00Z"})
    assert answer.status_code in (200, 400, 409)
    assert calls.call("prod", "GET", "/headrace/progress").json()["now"] == now


def test_abandonment_enters_by_time_alone_and_leaves_on_submit(filled: World) -> None:
    hours = Hours(filled)
    made = filled.audience("Abandoned", ABANDONED)
    assert made["evaluationInfo"]["continuous"]["enabled"] is True
    with Receiver() as receiver:
        target = {"httpEndpoint": receiver.url}
        flow = filled.flow("Hook", HTTP_API, STREAM_FLOW, target, {"specName": "None", "params": {}})
        filled.map_attribute(flow, "person.name.firstName")
        filled.activate(flow, "Abandoned")
        filled.send(filled.event("begin-1", hours.now(), "application.begin", "c-1"))
        filled.settle()
        assert filled.membership("c-1", "Abandoned") == ""
        hours.move(hours.later(29))
        assert filled.membership("c-1", "Abandoned") == ""
        hours.move(hours.later(2))
        assert filled.membership("c-1", "Abandoned") == "realized"
        assert receiver.wait_for(1)
        filled.send(filled.event("submit-1", hours.now(), "application.submit", "c-1"))
        filled.settle()
        assert filled.membership("c-1", "Abandoned") == "exited"
        assert receiver.wait_for(2)
        statuses = [
            request.json()["segmentMembership"]["ups"][filled.audiences["Abandoned"]]["status"] for request in receiver.requests
        ]
    assert statuses == ["realized", "exited"]


def test_entry_is_stamped_with_the_instant_at_which_it_fell_due(filled: World) -> None:
    hours = Hours(filled)
    filled.audience("Abandoned", ABANDONED)
    filled.send(filled.event("begin-1", hours.now(), "application.begin", "c-1"))
    filled.settle()
    due = hours.later(30)
    hours.move(hours.later(600))
    entity = filled.profile("c-1")
    entry = entity["segmentMembership"]["ups"][filled.audiences["Abandoned"]]
    assert entry["lastQualificationTime"][:19] == due[:19]


def test_window_ends_by_time_alone(filled: World) -> None:
    hours = Hours(filled)
    filled.audience("Recent", 'chain(xEvent, timestamp, [A: WHAT(eventType = "visit") WHEN(<= 1 hours before now)])')
    filled.send(filled.event("v-1", hours.now(), "visit", "c-1"))
    filled.settle()
    assert filled.membership("c-1", "Recent") == "realized"
    hours.move(hours.later(59))
    assert filled.membership("c-1", "Recent") == "realized"
    hours.move(hours.later(2))
    assert filled.membership("c-1", "Recent") == "exited"


def test_daily_job_evaluates_batch_audiences_when_its_hour_comes(filled: World) -> None:
    hours = Hours(filled)
    made = filled.audience("Month", 'chain(xEvent, timestamp, [A: WHAT(eventType = "visit") WHEN(<= 30 days before now)])')
    assert made["evaluationInfo"]["batch"]["enabled"] is True
    filled.send(filled.event("v-1", hours.now(), "visit", "c-1"))
    filled.settle()
    assert filled.membership("c-1", "Month") == ""
    hours.move(hours.midnight(1).replace("T00:00", "T03:00"))
    jobs = filled.get(JOBS)["children"]
    assert [job["source"] for job in jobs] == ["scheduler"]
    assert jobs[0]["status"] == "SUCCEEDED"
    assert filled.membership("c-1", "Month") == "realized"


def test_daily_export_writes_its_file_when_its_hour_comes(filled: World, manual: Server) -> None:
    hours = Hours(filled)
    filled.audience("Adas", 'person.name.firstName = "Ada"')
    filled.send(filled.customer("c-1", "ada@example.com", person={"name": {"firstName": "Ada"}}))
    filled.settle()
    target = {"path": "daily", "compression": "NONE", "fileType": "CSV"}
    flow = filled.flow("Nightly", LANDING_ZONE, LANDING_ZONE_FLOW, target)
    filled.map_columns(flow, {"customer": "identityMap.CRMID", "first": "person.name.firstName"})
    schedule = {
        "frequency": "DAILY",
        "triggerType": "SCHEDULED",
        "startDate": hours.midnight(1)[:10],
        "startTime": "04:00",
    }
    filled.activate(
        flow, "Adas", exportMode="DAILY_FULL_EXPORT", filenameTemplate="%SEGMENT_NAME%_%DATETIME(YYYYMMdd)%", schedule=schedule
    )
    zone = manual.home / "landing-zone" / filled.sandbox / "daily"

    def files() -> list[str]:
        return sorted(path.name for path in zone.glob("*.csv"))

    hours.move(hours.midnight(1).replace("T00:00", "T03:59"))
    assert files() == []
    hours.move(hours.later(2))
    until(files, lambda found: len(found) == 1)
    hours.move(hours.later(24 * 60))
    until(files, lambda found: len(found) == 2)
    content = (zone / files()[0]).read_text().splitlines()
    assert content[0].replace('"', "") == "customer,first"
    assert content[1].replace('"', "") == "c-1,Ada"
