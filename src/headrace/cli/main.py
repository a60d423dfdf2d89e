"""The `headrace` command."""

import platform
import sys
from typing import Annotated

import typer

from headrace import __version__
from headrace.cli import demo, server, xdm
from headrace.errors import HeadraceError

application = typer.Typer(
    name="headrace",
    help="Headrace: an open, self-hosted real-time customer data platform that speaks the AEP API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
server.add_to(application)
demo.add_to(application)
xdm.add_to(application)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"headrace {__version__}")
        raise typer.Exit


@application.command("version")
def version() -> None:
    """Print the versions of Headrace and of the Python that runs it."""
    print(f"headrace {__version__} (Python {platform.python_version()})")


@application.callback()
def _root(
    is_version_wanted: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    del is_version_wanted


def main() -> None:
    """Run the command line; an expected error prints one line and exits with 1."""
    try:
        application()
    except HeadraceError as error:
        from rich.console import Console  # a server that starts prints nothing and should start soon
        from rich.markup import escape

        Console(stderr=True).print(f"[bold red]Error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)
