"""Commands about XDM, the standard components that schemas are composed of."""

from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.server import HomeOption
from headrace.config import load_settings

FolderArgument = Annotated[
    Path,
    typer.Argument(exists=True, file_okay=False, metavar="DIR", help="Folder `components` of the public XDM sources."),
]


def add_to(application: typer.Typer) -> None:
    """Add this module's commands."""
    group = typer.Typer(
        help="Standard XDM components: classes, field groups and data types.", no_args_is_help=True, rich_markup_mode="markdown"
    )
    group.command("import")(import_)
    application.add_typer(group, name="xdm")


def import_(folder: FolderArgument, home: HomeOption = None) -> None:
    """Import every *.schema.json below a folder as a standard component that all sandboxes see.

    May be repeated: what is the same stays, what differs gets a new minor version, what has vanished is deprecated. All or
    nothing: a change that would break a schema in use is refused. A running server sees the components at once.
    """
    from rich.console import Console  # the command line must answer --help at once
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from headrace.app.offline import import_xdm

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("Reading components", total=None)

        def show(done: int, total: int) -> None:
            progress.update(task, description="Storing components", completed=done, total=total)

        report = import_xdm(load_settings({"home": home}), folder, show)
    print(
        f"{len(report.added)} added, {len(report.changed)} changed, {len(report.deprecated)} deprecated, "
        f"{report.unchanged} unchanged."
    )
