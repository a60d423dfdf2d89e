"""Ends roles with SIGKILL at points of a story that a seed decides."""

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from headrace.testing.server import SUPERVISOR, Server
from tests.crash.driver import Progress

_ROLES = ("gateway", "pipeline", "lake_writer", "scheduler", "activation")
_LONGEST_DELAY_SECONDS = 0.15
_LONGEST_LIFE_SECONDS = 0.6
_APPEARANCE_SECONDS = 60.0


@dataclass(frozen=True, order=True)
class Kill:
    """One planned kill.

    Attributes:
        at: Point of the story.
        role: Who dies.
        delay_seconds: How long after that point.
        second_life_seconds: When the next process of the role dies too, counted from its start; None lets it live.
    """

    at: int
    role: str
    delay_seconds: float
    second_life_seconds: float | None = None


def kills_of(seed: int, count: int, length: int, *, supervisors: int) -> list[Kill]:
    """Plan kills; each one with a second life counts twice.

    Args:
        seed: Seed of the plan.
        count: How many.
        length: Length of the story.
        supervisors: How many of them end the supervisor.
    """
    chance = random.Random(seed)
    roles = [SUPERVISOR] * supervisors
    planned: list[Kill] = []
    total = 0
    while total < count:
        role = roles.pop() if roles else chance.choice(_ROLES)
        second = chance.uniform(0, _LONGEST_LIFE_SECONDS) if role != SUPERVISOR and chance.random() < 0.2 else None
        planned.append(Kill(chance.randrange(length), role, chance.uniform(0, _LONGEST_DELAY_SECONDS), second))
        total += 1 if second is None else 2
    return sorted(planned, key=lambda kill: kill.at)


@dataclass
class Killer:
    """Carries a plan out, on a thread of its own.

    Attributes:
        done: Kills carried out, by role.
        comebacks: Seconds from each kill until the role (or the whole server) ran again.
    """

    server: Server
    progress: Progress
    plan: list[Kill]
    done: Counter[str] = field(default_factory=Counter)
    comebacks: dict[str, list[float]] = field(default_factory=dict)
    fault: BaseException | None = None

    def __post_init__(self) -> None:
        """Prepare the thread."""
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="killer")

    def __enter__(self) -> "Killer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            for kill in self.plan:
                if not self.progress.wait_for(kill.at, self._is_over):
                    return
                time.sleep(kill.delay_seconds)
                self._carry_out(kill)
        except BaseException as fault:
            self.fault = fault

    def _carry_out(self, kill: Kill) -> None:
        if kill.role == SUPERVISOR:
            self.server.kill(SUPERVISOR)
            self.server.start()
            self.done[SUPERVISOR] += 1
            self.comebacks.setdefault(SUPERVISOR, []).append(self.server.wait_until_ready())
            return
        self._await(kill.role, None)
        siblings = self.server.children()
        dead = self.server.pid_of(kill.role)
        begin = time.monotonic()
        if not self.server.kill(kill.role):
            return
        self.done[kill.role] += 1
        if kill.second_life_seconds is not None and (newborn := self._newborn(siblings)) is not None:
            time.sleep(kill.second_life_seconds)
            self.done[kill.role] += self.server.kill_child(newborn)
        self._await(kill.role, dead)
        self.comebacks.setdefault(kill.role, []).append(time.monotonic() - begin)

    def _newborn(self, siblings: set[int]) -> int | None:
        deadline = time.monotonic() + _APPEARANCE_SECONDS
        while time.monotonic() < deadline:
            if new := self.server.children() - siblings:
                return new.pop()
            time.sleep(0.005)
        return None

    def _await(self, role: str, dead: int | None) -> None:
        deadline = time.monotonic() + _APPEARANCE_SECONDS
        while self.server.pid_of(role) in (None, dead):
            if time.monotonic() > deadline:
                raise AssertionError(f"Role {role} does not come back:\n{self.server.last_words()}")
            time.sleep(0.005)
