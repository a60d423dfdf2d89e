"""Commands about a server of one's own: start it, get a token for it."""

from pathlib import Path
from typing import Annotated

import typer

from headrace.config import load_settings

HomeOption = Annotated[Path | None, typer.Option("--home", help="Folder that holds everything the server keeps.")]


def add_to(application: typer.Typer) -> None:
    """Add this module's commands."""
    application.command("serve")(serve)
    application.command("token")(token)


def serve(
    home: HomeOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    clock: Annotated[
        str | None,
        typer.Option(help="`system`, or `manual:2024-01-01T00:00:00Z` for a clock that only POST /headrace/clock moves."),
    ] = None,
    allow_private_destinations: Annotated[
        bool | None, typer.Option("--allow-private-destinations", help="Permit loopback and private addresses as destinations.")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = None,
) -> None:
    """Start the whole product: gateway, pipeline, lake writer, scheduler and activation, until it is interrupted.

    The first start makes the home folder, with the credentials of a technical account in credentials.json. Settings come from
    headrace.toml in the home folder, then from variables such as HEADRACE_PORT, then from these options.
    """
    from headrace.app.serve import serve as run  # the command line must answer --help at once

    run(
        load_settings(
            {
                "home": home,
                "host": host,
                "port": port,
                "clock": clock,
                "allow_private_destinations": allow_private_destinations,
                "log_level": log_level,
            }
        )
    )


def token(home: HomeOption = None) -> None:
    """Print an access token for the server's technical account, valid for 24 hours.

    Send it as `Authorization: Bearer ...`, with the client id of credentials.json as `x-api-key`, its organization id as
    `x-gw-ims-org-id` and the sandbox's name as `x-sandbox-name`.
    """
    from headrace.app.offline import issue_token

    print(issue_token(load_settings({"home": home})))
