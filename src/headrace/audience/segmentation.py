"""What segmentation offers beside the audiences themselves, in one hand: jobs, schedules, previews."""

from collections.abc import Callable
from dataclasses import dataclass

from headrace.audience.jobs import SegmentJobs
from headrace.audience.preview import Previews
from headrace.audience.schedules import Schedules


@dataclass(frozen=True, slots=True)
class Segmentation:
    """The services of segmentation.

    Attributes:
        jobs: Segment jobs.
        schedules: Their schedules.
        previews: Previews and estimates.
        wake: Wakes whoever runs the jobs.
    """

    jobs: SegmentJobs
    schedules: Schedules
    previews: Previews
    wake: Callable[[], None] = lambda: None
