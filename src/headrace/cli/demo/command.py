"""`headrace demo`: its options; what it does stands in `run`."""

import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer


def add_to(application: typer.Typer) -> None:
    """Add the command."""
    application.command("demo")(demo)


def demo(
    rate: Annotated[float, typer.Option(help="Records a second while people keep coming.")] = 40.0,
    people: Annotated[int | None, typer.Option(help="How many people take part.  [default: 150; all of a file]")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything left to chance.")] = 7,
    events: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Replay this click-stream (CSV, .gz too) on a manual clock.")
    ] = None,
    home: Annotated[Path | None, typer.Option(help="Keep the server's folder here, instead of in a temporary one.")] = None,
) -> None:
    """Run the main job end to end: events in, profiles, audiences, messages and files out; check every entry and exit."""
    from headrace.cli.demo.run import play_file, play_live  # the other commands need no HTTP client

    with nullcontext(str(home)) if home else tempfile.TemporaryDirectory(prefix="headrace-demo-") as folder:
        base = Path(folder)
        (base / "server").mkdir(parents=True, exist_ok=True)
        agrees = play_file(base, events, people) if events else play_live(base, rate, people or 150, seed)
    raise typer.Exit(0 if agrees else 1)
