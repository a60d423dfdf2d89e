"""What can be wrong with a mapping, and with one value while it is mapped."""

from headrace.errors import InvalidInput, NotFound


class MappingInvalid(InvalidInput):
    """A mapping set, a path or an expression that can never run."""

    code = "mapping_invalid"
    wire_code = "MAPPER-3700-400"


class MappingSetUnknown(NotFound):
    """The sandbox has no such mapping set, or not this version of it."""

    code = "mapping_set_unknown"
    wire_code = "MAPPER-3701-404"


class TransformFailed(InvalidInput):
    """One value cannot be computed or converted; only its target is left out."""

    code = "mapping_transform_failed"

    def __init__(self, message: str, *, expected: str = "", actual: str = "") -> None:
        super().__init__(message)
        self.expected = expected
        self.actual = actual
