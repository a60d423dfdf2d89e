"""The `headrace` command."""

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from headrace import __version__
from headrace.cli import demo, server
from headrace.errors import HeadraceError

application = typer.Typer(
    name="headrace",
    help="Headrace: an open, self-hosted real-time customer data platform that speaks the AEP API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
server.add_to(application)
demo.add_to(application)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"headrace {__version__}")
        raise typer.Exit


@application.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    del version


def main() -> None:
    """Run the command line; an expected error prints one line and exits with 1."""
    try:
        application()
    except HeadraceError as error:
        Console(stderr=True).print(f"[bold red]Error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)
