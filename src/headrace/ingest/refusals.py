"""Why an inlet refuses a request or a message before it is accepted."""

from typing import Any

from headrace.errors import Denied, InvalidInput, NotFound, Transient
from headrace.schemas import Violation

UNKNOWN_FORMAT = "Message has unknown xdm format"
WRONG_ORGANIZATION = "Message has an absent or wrong ims org in the header"
MESSAGE_INVALID = "Message is invalid"


class InletUnknown(NotFound):
    """No enabled streaming connection has this inlet."""

    code = "inlet_unknown"
    wire_status = 404


class ServiceTokenMissing(Denied):
    """The inlet asks for a token and none came."""

    code = "inlet_token_missing"
    wire_status = 401


class ServiceTokenInvalid(Denied):
    """The token is not valid or has expired."""

    code = "inlet_token_invalid"
    wire_status = 403


class SandboxDiffers(InvalidInput):
    """The sandbox header names another sandbox than the inlet's."""

    code = "inlet_sandbox_differs"
    wire_status = 400


class MediaTypeUnsupported(InvalidInput):
    """The body is in a form that is not read here."""

    code = "inlet_media_type_unsupported"
    wire_status = 415


class BodyTooLarge(InvalidInput):
    """The request body is over the limit of one call."""

    code = "inlet_body_too_large"
    wire_status = 413


class BodyUnreadable(InvalidInput):
    """The body is not JSON, or a batch body without messages."""

    code = "inlet_body_unreadable"
    wire_status = 400


class MessageRefused(InvalidInput):
    """The envelope of a message is wrong: it is not accepted, not even into quarantine."""

    code = "message_refused"
    wire_status = 400
    wire_title = "Invalid XDM Message Format"


class MessageInvalid(MessageRefused):
    """A message fails synchronous validation; it is dropped.

    Attributes:
        violations: Why, at most five.
    """

    code = "message_invalid"

    def __init__(self, violations: list[Violation], **rest: Any) -> None:
        super().__init__(MESSAGE_INVALID, **rest)
        self.violations = violations


class SynchronousRateExceeded(Transient):
    """The inlet has validated as many messages synchronously as it may in a minute."""

    code = "inlet_synchronous_rate_exceeded"
    wire_status = 429


class InletOverloaded(Transient):
    """More is waiting to be stored than may wait."""

    code = "inlet_overloaded"
    wire_status = 503
