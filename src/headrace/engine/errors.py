"""What can go wrong in an engine, whichever it is."""

from headrace.errors import Bug, Transient


class EngineRefused(Bug):
    """The engine does not accept a statement that a compiler wrote."""

    code = "engine_refused"


class EngineOverloaded(Transient):
    """Memory or disk did not suffice for a statement."""

    code = "engine_overloaded"
