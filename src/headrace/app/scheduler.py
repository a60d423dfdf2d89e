"""Puts the scheduler and its tasks together."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Any

from headrace.activation.export import Exporter, ExportSupport
from headrace.app.evaluations import surroundings_of
from headrace.app.home import JOBS_BELL, Home
from headrace.audience.run import JobRunner
from headrace.catalog.retired import Retired
from headrace.engine.duckdb import DuckDbEngine
from headrace.ingest.batch import BatchLoader
from headrace.ingest.batch_book import CatalogBook
from headrace.ingest.mapping.expression import compile_expression
from headrace.ingest.mapping.functions import functions_of
from headrace.ingest.sources.runner import SourceRunner
from headrace.ingest.sources.taking import SourceTaking
from headrace.roles.log_upkeep import LogUpkeep
from headrace.roles.purging import Purging
from headrace.roles.scheduler import RunningJobs, ScheduledJobs, Scheduler, Task
from headrace.roles.status import StatusBoard

_SOURCES_AT_A_TIME = 4
BELLS = ("control", "clock", "batches", JOBS_BELL)


def make(home: Home, executor: Executor | None = None) -> Scheduler:
    """Return the scheduler role over the stores of a home folder; long work runs in ``executor``, by default a thread."""
    copier = executor or ThreadPoolExecutor(_SOURCES_AT_A_TIME, thread_name_prefix="source")
    executor = executor or ThreadPoolExecutor(1, thread_name_prefix="segment-job")
    scheduled = ScheduledJobs(home.schedules, home.segment_jobs, sandboxes=home.sandboxes.all, revision=home.control.revision)
    tasks: dict[str, Task] = {
        "schedules": scheduled,
        "segment_jobs": RunningJobs(make_job_runner(home, executor), home.segment_jobs),
        "sources": make_source_runner(home, copier),
        "batches": make_loader(home),
        "purges": Purging(Retired(home.control), home.log, home.board, home.clock, home.path),
        "exports": make_exporter(home),
        "log_upkeep": LogUpkeep(home.log, home.board, home.clock, home.path, retention_hours=home.settings.log_retention_hours),
    }
    return Scheduler(tasks, home.clock)


def make_exporter(home: Home) -> Exporter:
    """Return what exports files; the scheduler drives it."""
    functions = functions_of(home.clock)
    support = ExportSupport(
        rule_of=home.rules.of_id,
        namespaces_of=lambda sandbox: {item.id: item.code for item in home.namespaces.all(sandbox)},
        context_of=home.destination_context,
        expressions=partial(_expression, functions),
        evaluated_at=lambda sandbox, audience: home.segment_jobs.evaluated_at(sandbox, audience.audience_id),
        is_settled=lambda until_ms: _has_applied(home, until_ms),
    )
    return Exporter(
        sandboxes=home.sandboxes.all,
        dataflows=home.flow_service.dataflows,
        runs=home.flow_service.runs,
        reader=home.reader,
        clock=home.clock,
        staging=home.path / "staging" / "exports",
        landing_zone=home.path / "landing-zone",
        support=support,
    )


def _expression(functions: Mapping[str, Any], text: str) -> Callable[[Mapping[str, Any]], Any]:
    evaluate = compile_expression(text, functions)
    return lambda profile: evaluate(dict(profile))


def _has_applied(home: Home, until_ms: int) -> bool:
    status = home.board.read("pipeline")
    if status is None:
        return False
    is_drained = status["offset"] >= home.log.topic("records").next_offset() and status["caught_up_ms"] >= until_ms
    return bool(is_drained or status["instant_ms"] >= until_ms)


def make_loader(home: Home) -> BatchLoader:
    """Return what loads completed batches; the scheduler drives it."""
    book = CatalogBook(home.sandboxes, home.catalog, home.batches, home.schemas, home.path, home.clock)
    return BatchLoader(book, home.schemas, home.log, home.path, home.clock, home.mapping_sets)


def make_source_runner(home: Home, executor: Executor) -> SourceRunner:
    """Return what runs the dataflows from sources; the scheduler drives it, sources are reached in ``executor``."""
    taking = SourceTaking(home.control, home.catalog, home.batches, home.path, home.clock, context_of=home.destination_context)
    return SourceRunner(home.flow_service.sources, taking, executor, home.clock, wake_loader=partial(home.log.ring, "batches"))


class _BoardProgress:
    """How far the roles say that they are."""

    def __init__(self, board: StatusBoard) -> None:
        self._board = board

    def pipeline_offset(self) -> int:
        return int((self._board.read("pipeline") or {}).get("offset", 0))

    def lake_offset(self) -> int:
        return int((self._board.read("lake_writer") or {}).get("lake_offset", 0))


def make_job_runner(home: Home, executor: Executor) -> JobRunner:
    """Return what runs segment jobs; the scheduler drives it, their statements run in ``executor``."""
    return JobRunner(
        home.segment_jobs,
        home.audiences,
        surroundings_of(home),
        _BoardProgress(home.board),
        home.log,
        home.clock,
        home.path,
        sandbox_of=home.sandboxes.by_number,
        engine=DuckDbEngine,
        executor=executor,
    )
