"""Starts the roles, each in a process of its own.

They are forked from one process, so that they share what it has loaded by then. What all roles need is loaded before the first
fork. The rest each role loads itself, beside the others; what several of them need, the supervisor loads before it forks those.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module

from headrace.app.home import Home
from headrace.config import Settings
from headrace.roles.home_lock import home_lock
from headrace.roles.runner import Runner
from headrace.roles.supervisor import Supervisor
from headrace.telemetry import configure_logging


def serve(settings: Settings) -> None:
    """Start all roles and keep them running until this process is interrupted.

    Raises:
        HomeInUse: Another server works on the home folder.
    """
    configure_logging(settings.log_level)
    with home_lock(settings.home):
        home = Home(settings)
        home.prepare()
        home.log.close()
        home.control.close()
        mains: dict[str, Callable[[], None]] = {
            "gateway": partial(_run_gateway, settings),
            "pipeline": partial(_run_role, "pipeline", settings),
            "activation": partial(_run_role, "activation", settings),
            "lake_writer": partial(_run_role, "lake_writer", settings),
            "scheduler": partial(_run_role, "scheduler", settings),
        }
        loads = {"lake_writer": partial(import_module, "headrace.app.lake_writer")}
        Supervisor(mains, home.board, loads=loads).run()


def _run_gateway(settings: Settings) -> None:
    from headrace.app import gateway  # no other role needs the HTTP server and the routes

    gateway.run(settings)


def _run_role(name: str, settings: Settings) -> None:
    role = import_module(f"headrace.app.{name}")
    home = Home(settings)
    wakeup = home.log.subscribe(name, role.BELLS)
    Runner(name, partial(role.make, home), home.clock, wakeup, home.board).run()
