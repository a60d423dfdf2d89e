"""The supervisor's start; its restarts and its stop are tested with the whole server."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.roles.status import StatusBoard
from headrace.roles.supervisor import Supervisor


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def _role(folder: Path, name: str, loaded: list[str]) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    (folder / name).write_text(" ".join(loaded))
    signal.pause()


def _wait_for(path: Path) -> None:
    while not path.exists() or not path.read_text():
        os.sched_yield()


def test_role_has_what_was_loaded_for_it_and_those_before_it_do_not(tmp_path: Path) -> None:
    loaded = ["all"]
    mains = {name: (lambda name=name: _role(tmp_path, name, loaded)) for name in ("gateway", "lake_writer", "scheduler")}

    def load_and_stop() -> None:
        for name in ("gateway", "lake_writer"):
            _wait_for(tmp_path / name)
        _stop()

    loads = {"lake_writer": lambda: loaded.append("lake"), "scheduler": load_and_stop}
    Supervisor(mains, StatusBoard(tmp_path / "run"), loads=loads).run()
    assert (tmp_path / "gateway").read_text() == "all"
    assert (tmp_path / "lake_writer").read_text() == "all lake"


def test_role_is_not_started_when_the_server_is_stopped_meanwhile(tmp_path: Path) -> None:
    mains = {"gateway": lambda: _role(tmp_path, "gateway", ["all"])}
    Supervisor(mains, StatusBoard(tmp_path / "run"), loads={"gateway": _stop}).run()
    assert not (tmp_path / "gateway").exists()
