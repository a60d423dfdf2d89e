"""Statuses on a full disk: the new one takes the place of the old one where it fits."""

import json
from pathlib import Path
from typing import Any

import pytest

from headrace.roles.status import StatusBoard


@pytest.fixture
def board(tmp_path: Path) -> StatusBoard:
    return StatusBoard(tmp_path)


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, content: bytes) -> int:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)


def offset(status: dict[str, Any] | None) -> Any:
    return status and status["offset"]


@pytest.mark.parametrize("size", [0, 50])
def test_full_disk_does_not_keep_a_status_from_being_replaced(
    board: StatusBoard, request: pytest.FixtureRequest, size: int
) -> None:
    board.write("pipeline", {"offset": 1, "text": "x" * (50 - size)})
    request.getfixturevalue("full")
    board.write("pipeline", {"offset": 2, "text": "x" * size})
    assert offset(board.read("pipeline")) == 2


def test_status_without_room_leaves_the_old_one_and_no_draft(board: StatusBoard, tmp_path: Path, full: None) -> None:
    (tmp_path / "pipeline.json").write_text(json.dumps({"offset": 1, "pid": 1}))
    board.write("pipeline", {"offset": 2, "text": "x" * 100_000})
    assert offset(board.read("pipeline")) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["pipeline.json"]


def test_first_status_on_a_full_disk_is_not_told(board: StatusBoard, full: None) -> None:
    board.write("pipeline", {"offset": 2})
    assert board.read("pipeline") is None


def test_role_that_is_started_again_has_no_status_but_room_for_one(board: StatusBoard, request: pytest.FixtureRequest) -> None:
    board.write("pipeline", {"offset": 1})
    board.clear("pipeline")
    board.clear("activation")
    assert board.read("pipeline") is None
    request.getfixturevalue("full")
    board.write("pipeline", {"offset": 2})
    assert offset(board.read("pipeline")) == 2


def test_fault_stands_beside_the_status_on_a_full_disk(board: StatusBoard, request: pytest.FixtureRequest) -> None:
    board.write("pipeline", {"offset": 1})
    request.getfixturevalue("full")
    board.write_fault("pipeline", "The disk is full.")
    status = board.read("pipeline")
    assert status is not None
    assert (status["offset"], status["fault"]) == (1, "The disk is full.")
