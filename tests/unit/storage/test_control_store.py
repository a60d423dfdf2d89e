"""The control store where the disk is full, or was."""

from pathlib import Path
from typing import Any

import pytest

from headrace.storage.control.base import RevisionPage
from headrace.storage.errors import StorageFull


def test_page_that_was_made_on_a_full_disk_is_completed(tmp_path: Path) -> None:
    path = tmp_path / "run" / "revision"
    path.parent.mkdir()
    path.touch()
    page = RevisionPage(path)
    page.raise_to(7)
    assert RevisionPage(path).value() == page.value() == 7


def test_page_without_room_is_refused_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(StorageFull, match="Free space"):
        RevisionPage(tmp_path / "run" / "revision")
