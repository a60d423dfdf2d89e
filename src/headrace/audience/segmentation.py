"""What segmentation offers beside the audiences themselves, in one hand: jobs, schedules, previews."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from headrace.audience.jobs import SegmentJobs
from headrace.audience.schedules import Schedules

if TYPE_CHECKING:
    from headrace.audience.preview import Previews


@dataclass(frozen=True)
class Segmentation:
    """The services of segmentation.

    Attributes:
        jobs: Segment jobs.
        schedules: Their schedules.
        open_previews: Makes `previews`, when somebody first asks for one: the engine behind them takes its time to load.
        wake: Wakes whoever runs the jobs.
    """

    jobs: SegmentJobs
    schedules: Schedules
    open_previews: Callable[[], "Previews"]
    wake: Callable[[], None] = lambda: None

    @cached_property
    def previews(self) -> "Previews":
        """Previews and estimates."""
        return self.open_previews()
