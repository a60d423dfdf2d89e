"""What `headrace demo` does: it plays, measures at the receiver, recomputes independently, and tells where they differ."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from headrace.cli.demo import live, replay
from headrace.cli.demo.expected import Expectation, Input
from headrace.cli.demo.measured import Comparison, arrivals, compare, percentile, read_files, read_messages
from headrace.cli.demo.processes import receiver, server
from headrace.cli.demo.setup import World
from headrace.client import Client, Credentials
from headrace.clock import SystemClock

_SETTLE_SECONDS = 120
_LAST_DIFFERENCES = 10
_console = Console()


# --- live -----------------------------------------------------------------------------------------------------------------


def play_live(base: Path, rate: float, people: int, seed: int) -> bool:
    """Play people live; returns whether everything agrees with the recomputation."""
    home, inbox = base / "server", base / "received.jsonl"
    actions = live.plan(people, rate, seed)
    _console.print(
        f"[bold]Headrace demo[/]: {people} people, {len(actions)} records, about {actions[-1].at_seconds:.0f} seconds."
    )
    with receiver(inbox) as endpoint, server(home) as url, Client(url, Credentials.of_home(home)) as client:
        world = live.create(client, endpoint)
        _print_audiences(world)
        play = live.Play()
        with Live(console=_console, refresh_per_second=4, transient=True) as screen:

            def tick() -> None:
                screen.update(_live_table(client, world, play, inbox))

            play.run(url, home, world, actions, tick)
            end = time.monotonic() + live.SETTLING_SECONDS
            while time.monotonic() < end:
                tick()
                time.sleep(0.25)
        for error in play.errors[:3]:
            _console.print(f"[red]A sender failed:[/] {error}")
        client.wait_until_settled(_SETTLE_SECONDS)
        until_ms = SystemClock().now_ms()
        job = client.run_segment_job([world.audiences[live.EVER]])
        _console.print(f"Segment job over the lake: {job['status']}.")
        _export(client, world, live.FILES)
        expectation = live.expectation_of(play.sent, until_ms)
        found = arrivals(read_messages(inbox), _names(world, live.MESSAGES), expectation)
        result = compare(expectation, found, live.MESSAGES, exact_seconds=False)
        _check_files(home, expectation, live.FILES, result)
        if len(play.sent) != len(actions):
            result.differences.append(f"{len(actions) - len(play.sent)} records were not sent")
        _check_profiles(client, expectation, result)
        return _summary(client, result, len(read_messages(inbox)), is_live=True)


def _live_table(client: Client, world: World, play: live.Play, inbox: Path) -> Group:
    counts = client.progress()
    table = Table(title="Live", title_justify="left", min_width=70)
    table.add_column("audience")
    table.add_column("evaluated")
    table.add_column("members", justify="right")
    for name, audience_id in world.audiences.items():
        members = client.audience(audience_id).get("metrics", {}).get("data", {}).get("totalProfiles", 0)
        table.add_row(name, world.methods[name].partition(":")[0], str(members))
    received = inbox.read_bytes().count(b"\n")
    bar = Progress(TextColumn("records in"), BarColumn(), TaskProgressColumn(), TextColumn("{task.completed}/{task.total}"))
    bar.add_task("records", total=max(1, play.total), completed=len(play.sent))
    line = f"applied {counts['applied']} · changes {counts['changes']} · messages at the receiver {received}"
    return Group(bar, line, table)


# --- replay ---------------------------------------------------------------------------------------------------------------


def play_file(base: Path, path: Path, people: int | None) -> bool:
    """Replay a click-stream on a manual clock; returns whether everything agrees with the recomputation."""
    home, inbox = base / "server", base / "received.jsonl"
    clicks = replay.read(path, people)
    start = replay.start_of(clicks)
    users = len({click.user for click in clicks})
    _console.print(f"[bold]Headrace replay[/]: {len(clicks)} events of {users} visitors from {start} on, on a manual clock.")
    with (
        receiver(inbox) as endpoint,
        server(home, clock=f"manual:{start}") as url,
        Client(url, Credentials.of_home(home), timeout_seconds=600) as client,
    ):
        world = replay.create(client, endpoint)
        _print_audiences(world)
        began = time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
        busiest = replay.busiest_instant(clicks)
        sent: list[Input] = []
        with Progress(*columns, console=_console, transient=True) as bar:
            task = bar.add_task("replaying", total=len(clicks))

            def tick(now: str) -> None:
                bar.update(task, completed=len(sent), description=f"it is {now}")

            replay.play(client, world, [click for click in clicks if click.at_ms <= busiest], sent, tick)
            client.move_clock(replay.iso(busiest))
            _export(client, world, replay.FILES)
            in_files = Comparison({}, {}, [], [], [])
            _check_files(home, replay.expectation_of(list(sent), busiest), replay.FILES, in_files)
            replay.play(client, world, [click for click in clicks if click.at_ms > busiest], sent, tick)
            last_ms = clicks[-1].at_ms
            client.move_clock(replay.iso(last_ms + 25 * 3_600_000))
        client.wait_until_settled(_SETTLE_SECONDS)
        days = (last_ms - clicks[0].at_ms) / 86_400_000
        _console.print(f"{days:.0f} days in {time.monotonic() - began:.0f} seconds.")
        expectation = replay.expectation_of(sent, last_ms + 25 * 3_600_000)
        found = arrivals(read_messages(inbox), _names(world, replay.MESSAGES), expectation)
        result = compare(expectation, found, replay.MESSAGES, exact_seconds=True)
        result.differences += in_files.differences
        return _summary(client, result, len(read_messages(inbox)), is_live=False)


# --- both -----------------------------------------------------------------------------------------------------------------


def _names(world: World, wanted: Iterable[str]) -> Mapping[str, str]:
    """Return audience id → name of the wanted audiences; messages tell of the others too, but not of each change."""
    return {world.audiences[name]: name for name in wanted}


def _print_audiences(world: World) -> None:
    table = Table(title="The system decides how each audience is evaluated", title_justify="left")
    table.add_column("audience")
    table.add_column("method and reason")
    for name, method in world.methods.items():
        table.add_row(name, method)
    _console.print(table)


def _export(client: Client, world: World, names: Iterable[str]) -> None:
    """Export audiences on demand, and wait for their runs."""
    orders = client.export_now(world.file_flow, [world.audiences[name] for name in names])["order"]
    wanted = {item["statusURL"].rpartition("/")[2] for item in orders}
    deadline = time.monotonic() + _SETTLE_SECONDS
    while time.monotonic() < deadline:
        runs = {run["id"]: run for run in client.runs(world.file_flow) if run["id"] in wanted}
        states = {run["metrics"]["statusSummary"]["status"] for run in runs.values()}
        if len(runs) == len(wanted) and states <= {"success", "failed"}:
            return
        time.sleep(0.1)


def _check_files(home: Path, expectation: Expectation, names: Iterable[str], result: Comparison) -> None:
    for name in names:
        members = [person for person in expectation.persons() if name in person.audiences]
        wanted = sorted(
            identity.partition(":")[2] for person in members for identity in person.identities if identity.startswith("crmid:")
        )
        try:
            rows = read_files(home / "landing-zone", name)
        except FileNotFoundError as error:
            result.differences.append(str(error))
            continue
        found = sorted(row["customer"] for row in rows)
        _console.print(f"File of '{name}': {len(found)} rows, {len(wanted)} expected.")
        for customer in sorted(set(wanted) ^ set(found))[:3]:
            result.differences.append(f"file of {name}: {customer} is {'missing' if customer in wanted else 'too much'}")
        if len(found) != len(set(found)):
            result.differences.append(f"file of {name}: a customer stands in it twice")
        _check_columns(name, rows, members, result)


def _check_columns(name: str, rows: list[dict[str, str]], members: list[Any], result: Comparison) -> None:
    by_customer = {
        identity.partition(":")[2]: person.attributes
        for person in members
        for identity in person.identities
        if identity.startswith("crmid:")
    }
    for row in rows:
        attributes = by_customer.get(row["customer"], {})
        for column, attribute in (("first_name", "firstName"), ("country", "countryCode")):
            if column in row and attribute in attributes and row[column] != attributes[attribute]:
                result.differences.append(f"file of {name}: {column} of {row['customer']} is {row[column]!r}")


def _check_profiles(client: Client, expectation: Expectation, result: Comparison) -> None:
    """Look some persons up by each of their identities: all must give the same merged profile."""
    for person in expectation.persons()[::10]:
        for identity in sorted(person.identities):
            code, _, value = identity.partition(":")
            entity = (client.profile(code, value) or {}).get("entity", {})
            shown = {f"{key.lower()}:{item['id']}" for key, items in entity.get("identityMap", {}).items() for item in items}
            first_name = entity.get("person", {}).get("name", {}).get("firstName")
            if shown != person.identities or first_name != person.attributes.get("firstName"):
                result.differences.append(f"profile of {identity}: {sorted(shown)} instead of {sorted(person.identities)}")


def _summary(client: Client, result: Comparison, messages: int, *, is_live: bool) -> bool:
    counts = client.progress()
    table = Table(title="Measured at the receiver, beside the recomputation", title_justify="left")
    for column in ("audience", "entries and exits expected", "arrived as expected"):
        table.add_column(column, justify="left" if column == "audience" else "right")
    for name, expected in result.expected.items():
        table.add_row(name, str(expected), str(result.matched[name]))
    _console.print(table)
    _console.print(
        f"{counts['accepted']} records accepted, {counts['applied']} applied, {counts['inLake']} in the lake, "
        f"{counts['quarantined']} quarantined; {messages} messages received, {counts['dead']} dead."
    )
    if is_live:
        for title, values in (("POST → receipt", result.reaction_ms), ("instant → receipt, by time alone", result.lapse_ms)):
            p50, p99 = percentile(values, 0.5), percentile(values, 0.99)
            _console.print(f"{title}: p50 {p50:.0f} ms, p99 {p99:.0f} ms over {len(values)} changes.")
    if counts["dead"] or counts["waiting"]:
        result.differences.append(f"{counts['dead']} messages are dead, {counts['waiting']} wait")
    for difference in result.differences[:_LAST_DIFFERENCES]:
        _console.print(f"[red]differs:[/] {difference}")
    if result.differences:
        _console.print(f"[bold red]{len(result.differences)} differences from the recomputation.[/]")
        return False
    _console.print("[bold green]Everything agrees with the recomputation.[/]")
    _console.print(
        "Where to go next: `headrace serve`, then the eight calls in README.md; docs/architecture.md says what happened."
    )
    return True
