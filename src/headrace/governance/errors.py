"""What accounts and secrets refuse."""

from headrace.errors import Denied, InvalidInput, Transient


class TokenInvalid(Denied):
    """A token is not one of ours, or has expired."""

    code = "token_invalid"
    wire_status = 401


class ClientInvalid(Denied):
    """Client id and secret, or the client's signature, do not belong together."""

    code = "client_invalid"
    wire_status = 400
    wire_code = "invalid_client"


class GrantUnsupported(InvalidInput):
    """The token endpoint does not offer this grant."""

    code = "grant_unsupported"
    wire_code = "unsupported_grant_type"


class TokenRequestInvalid(InvalidInput):
    """A parameter of a token request is missing."""

    code = "token_request_invalid"
    wire_code = "invalid_request"


class TooManyAttempts(Transient):
    """A client has failed to prove itself too often within a minute."""

    code = "too_many_attempts"
    wire_status = 429
    wire_code = "slow_down"


class SecretUnreadable(Denied):
    """A stored secret cannot be read with the present key."""

    code = "secret_unreadable"
