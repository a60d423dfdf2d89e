"""What can be wrong with audiences, jobs, schedules and previews."""

from collections.abc import Sequence

from headrace.errors import Conflict, InvalidInput, NotFound, StateError, Transient
from headrace.pql.errors import PqlError


class AudienceInvalid(InvalidInput):
    """A member of an audience is missing or has the wrong shape."""

    code = "audience_invalid"
    wire_code = "UPLIB-101206-500"


class AudienceRefused(InvalidInput):
    """The audience breaks a rule: a state it cannot have, a member that never changes, a path that cannot be patched."""

    code = "audience_refused"
    wire_code = "UPAPI-113434-400"


class ExpressionInvalid(InvalidInput):
    """The query of an audience is wrong.

    Attributes:
        problems: What is wrong, in order of position.
        sub_errors: One line for each problem.
    """

    code = "audience_expression_invalid"
    wire_code = "HRPQL-1-400"

    def __init__(self, error: PqlError) -> None:
        self.problems = error.problems
        self.sub_errors = tuple(problem.message for problem in error.problems)
        suggestions = [problem.replacement for problem in error.problems if problem.replacement]
        hint = f"Write {suggestions[0]}." if suggestions else None
        super().__init__("; ".join(self.sub_errors), path="/expression/value", hint=hint)


class AudienceUnknown(NotFound):
    """The sandbox has no such audience."""

    code = "audience_unknown"
    wire_code = "UPAPI-113430-404"

    def __init__(self, audience_id: str) -> None:
        super().__init__(f"The audience entity {audience_id} is not found. Use a valid entity and try again.")


class AudiencesUnknown(NotFound):
    """None of the audiences asked for exists."""

    code = "audiences_unknown"
    wire_code = "UPAPI-113000-404"

    def __init__(self, ids: Sequence[str]) -> None:
        super().__init__(f"The entities {', '.join(ids)} are not found.")


class BulkRequestInvalid(InvalidInput):
    """A request for several objects names none, or too many."""

    code = "bulk_request_invalid"
    wire_code = "UPAPI-113015-400"


class AudienceNameTaken(StateError):
    """Another audience of the sandbox has the name."""

    code = "audience_name_taken"
    wire_code = "UPAPI-113450"
    wire_status = 422

    def __init__(self, name: str) -> None:
        super().__init__(f"There is an audience named '{name}' already.", path="/name", hint="Choose another name.")


class AudienceExists(Conflict):
    """An external audience with this namespace and id exists already."""

    code = "audience_exists"
    wire_code = "UPAPI-113451"


class AudienceInUse(StateError):
    """Another audience or a dataflow uses the audience."""

    code = "audience_in_use"
    wire_code = "UPAPI-113631-403"
    wire_status = 400

    def __init__(self, action: str, users: Sequence[str]) -> None:
        shown = ", ".join(users[:5]) + ("…" if len(users) > 5 else "")
        super().__init__(f"The audience cannot be {action}: it is used by {shown}.", hint="Take it out there first.")


class JobInvalid(InvalidInput):
    """A segment job asks for nothing, or for something that cannot be evaluated."""

    code = "segment_job_invalid"
    wire_code = "UPAPI-113501"


class JobUnknown(NotFound):
    """The sandbox has no such segment job."""

    code = "segment_job_unknown"
    wire_code = "UPAPI-113502"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"The segment job {job_id} is not found.")


class JobsWaiting(Transient):
    """Too many segment jobs wait already."""

    code = "segment_jobs_waiting"
    wire_status = 429


class ScheduleInvalid(InvalidInput):
    """A schedule has a member that is missing, malformed or not allowed."""

    code = "schedule_invalid"
    wire_code = "UPAPI-113601"


class ScheduleUnknown(NotFound):
    """The sandbox has no such schedule."""

    code = "schedule_unknown"
    wire_code = "UPAPI-113602"

    def __init__(self, schedule_id: str) -> None:
        super().__init__(f"The schedule {schedule_id} is not found.")


class PreviewInvalid(InvalidInput):
    """A preview asks for something that is no query over profiles."""

    code = "preview_invalid"
    wire_code = "UPAPI-113701"


class PreviewUnknown(NotFound):
    """There is no such preview, or its hour is over."""

    code = "preview_unknown"
    wire_code = "UPAPI-113702"

    def __init__(self, preview_id: str) -> None:
        super().__init__(f"The preview {preview_id} is not found; results are kept for one hour.")
