"""What can be wrong with a source."""

from headrace.errors import InvalidInput, Permanent


class SourceInvalid(InvalidInput):
    """A parameter of a source connection is missing or wrong; `path` names it."""

    code = "source_invalid"


class SourceScheduleInvalid(InvalidInput):
    """``scheduleParams`` of a dataflow from a source break a rule."""

    code = "source_schedule_invalid"


class SourceUnreadable(Permanent):
    """A file of a source cannot be brought into a form that batch ingestion reads."""

    code = "source_unreadable"
