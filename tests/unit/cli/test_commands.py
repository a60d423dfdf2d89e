"""The commands that need no running server."""

import json
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from headrace import __version__
from headrace.app.home import Home
from headrace.cli.main import application, main
from headrace.config import Settings

COLOUR_ID = "https://ns.example.com/xdm/datatypes/colour"
COLOUR = {
    "$id": COLOUR_ID,
    "title": "Colour",
    "type": "object",
    "properties": {"example:hue": {"type": "string", "title": "Hue"}},
}


@pytest.fixture
def run() -> CliRunner:
    return CliRunner()


def test_version_is_told_by_command_and_by_option(run: CliRunner) -> None:
    assert run.invoke(application, ["version"]).output == f"headrace {__version__} (Python {platform.python_version()})\n"
    assert run.invoke(application, ["--version"]).output == f"headrace {__version__}\n"


def test_every_command_and_option_has_a_help_text() -> None:
    def walk(command: object, name: str) -> Iterator[str]:
        if not getattr(command, "help", None):
            yield name
        for parameter in getattr(command, "params", ()):
            if not getattr(parameter, "help", None):
                yield f"{name} {parameter.name}"
        for key, child in getattr(command, "commands", {}).items():
            yield from walk(child, f"{name} {key}")

    assert list(walk(get_command(application), "headrace")) == []


def test_import_of_components_is_seen_in_every_sandbox_and_may_be_repeated(run: CliRunner, tmp_path: Path) -> None:
    folder = tmp_path / "components" / "datatypes"
    folder.mkdir(parents=True)
    (folder / "colour.schema.json").write_text(json.dumps(COLOUR))
    command = ["xdm", "import", str(folder.parent), "--home", str(tmp_path / "home")]
    first = run.invoke(application, command)
    assert first.exit_code == 0, first.output
    assert first.stdout == "1 added, 0 changed, 0 deprecated, 0 unchanged.\n"
    assert run.invoke(application, command).stdout == "0 added, 0 changed, 0 deprecated, 1 unchanged.\n"
    home = Home(Settings(home=tmp_path / "home"))
    assert home.schemas.exists(home.sandboxes.default(), COLOUR_ID)
    home.control.close()


def test_import_of_a_folder_without_components_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setattr("sys.argv", ["headrace", "xdm", "import", str(empty), "--home", str(tmp_path / "home")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith(f"Error: No *.schema.json file lies below {empty}. ")


def test_token_of_a_home_folder_is_printed_alone(run: CliRunner, tmp_path: Path) -> None:
    home = Home(Settings(home=tmp_path / "home"))
    home.prepare()
    home.control.close()
    printed = run.invoke(application, ["token", "--home", str(tmp_path / "home")])
    assert printed.exit_code == 0
    assert len(printed.stdout.strip().split(".")) == 3
