"""The supervisor: starts the roles as processes, restarts one that dies, stops them in the data's order."""

import ctypes
import gc
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess

from headrace.roles.status import ROLES, StatusBoard
from headrace.telemetry import log

_SHORTEST_LIFE_SECONDS = 1.0
_STOP_SECONDS = 20.0
_PR_SET_PDEATHSIG = 1


class Supervisor:
    """Keeps the roles of one home folder running."""

    def __init__(
        self, mains: Mapping[str, Callable[[], None]], board: StatusBoard, *, loads: Mapping[str, Callable[[], object]]
    ) -> None:
        """Prepare the roles.

        Args:
            mains: Role → what its process runs. The processes are forked in this order, and share what is loaded by then.
            board: Where the roles publish their status.
            loads: Role → what loads, in this process and before the role is forked, what it shares with those after it.
        """
        self._mains = mains
        self._board = board
        self._loads = loads
        self._processes: dict[str, BaseProcess] = {}
        self._started_at: dict[str, float] = {}
        self._stopping = threading.Event()

    def run(self) -> None:
        """Start all roles and keep them running until SIGTERM or SIGINT."""
        signal.signal(signal.SIGTERM, lambda *_: self._stopping.set())
        signal.signal(signal.SIGINT, lambda *_: self._stopping.set())
        for role in self._mains:
            self._board.clear(role)
        for role in self._mains:
            if role in self._loads:
                self._loads[role]()
            if not self._stopping.is_set():
                self._start(role)
        while not self._stopping.wait(0.1):
            self._restart_dead()
        self._stop_all()

    def _start(self, role: str) -> None:
        gc.freeze()  # a collector that looked at what is shared would write to it, and each role had a copy of its own
        context = multiprocessing.get_context("fork")
        process = context.Process(target=_role_main, args=(self._mains[role], os.getpid()), name=f"headrace-{role}")
        process.start()
        self._processes[role] = process
        self._started_at[role] = time.monotonic()

    def _restart_dead(self) -> None:
        for role, process in self._processes.items():
            if process.is_alive():
                continue
            lived = time.monotonic() - self._started_at[role]
            if lived < _SHORTEST_LIFE_SECONDS and self._stopping.wait(_SHORTEST_LIFE_SECONDS - lived):
                return
            log("supervisor", logging.WARNING, "A role has ended and is started again.", name=role, exit=process.exitcode)
            self._board.clear(role)
            self._start(role)

    def _stop_all(self) -> None:
        """Stop the roles in the data's order, so that each finishes what the one before it has handed over."""
        for role in (name for name in ROLES if name in self._processes):
            process = self._processes[role]
            process.terminate()
            process.join(_STOP_SECONDS)
            if process.is_alive():
                log("supervisor", logging.WARNING, "A role does not stop and is killed.", name=role)
                process.kill()
                process.join()
            self._board.clear(role)


def _role_main(main: Callable[[], None], parent: int) -> None:
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main()
    sys.stdout.flush()


def _die_with(parent: int) -> None:
    """Ask the kernel to kill this process when the supervisor dies, however it dies.

    Not SIGTERM: a gateway would first answer what it is asked, perhaps a move of the clock that waits for roles that are gone,
    and a role that has just been forked has still the supervisor's handler. The next start waits for the last of them.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the kernel was asked
        os.kill(os.getpid(), signal.SIGKILL)
