"""What can go wrong at a destination.

`activation_code` is the code that a flow run shows for the failure (bounded list, see the reference of error codes).
"""

from typing import ClassVar

from headrace.errors import Bug, Denied, InvalidInput, NotFound, Permanent, Transient


class DestinationUnknown(NotFound):
    """No destination has this connection spec id or name."""

    code = "destination_unknown"


class AuthSpecUnknown(InvalidInput):
    """The destination has no authentication scheme of this name."""

    code = "destination_auth_spec_unknown"


class ExtraMissing(Denied):
    """The destination needs a library that is not installed here."""

    code = "destination_extra_missing"
    activation_code: ClassVar[str] = "ACTIVATION_BATCH-0002-TRANSPORT"


class DestinationDenied(Denied):
    """The destination refused the credentials, or the account may not do what is asked."""

    code = "destination_denied"
    activation_code: ClassVar[str] = "ACTIVATION_BATCH-0001-AUTH"


class DestinationUnreachable(Transient):
    """The destination could not be reached, broke off, or answered that it is unwell."""

    code = "destination_unreachable"
    activation_code: ClassVar[str] = "ACTIVATION_BATCH-0002-TRANSPORT"


class DestinationFull(Transient):
    """The destination, or the folder that stages files for it, has no room."""

    code = "destination_full"
    activation_code: ClassVar[str] = "ACTIVATION_BATCH-0003-SPACE"


class DestinationRefused(Permanent):
    """The destination will never take this: the bucket, folder or name does not exist or is not allowed."""

    code = "destination_refused"
    activation_code: ClassVar[str] = "ACTIVATION_BATCH-0002-TRANSPORT"


class AddressForbidden(Denied):
    """The configured host is a loopback, private, link-local or otherwise internal address."""

    code = "destination_address_forbidden"
    activation_code: ClassVar[str] = "ACTIVATION_BATCH-0002-TRANSPORT"


class OutcomeCountWrong(Bug):
    """A destination did not give one outcome per message."""

    code = "destination_outcome_count_wrong"
    activation_code: ClassVar[str] = "ACTIVATION_STREAM-0002-HTTP"
