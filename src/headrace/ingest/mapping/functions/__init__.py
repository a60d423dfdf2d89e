"""Functions that expressions of mapping sets can call, by name."""

from collections.abc import Mapping

from headrace.clock import Clock
from headrace.ingest.mapping.functions import analytics, dates, texts, values
from headrace.ingest.mapping.functions.base import Function


def functions_of(clock: Clock) -> Mapping[str, Function]:
    """Return all functions; the present time is the clock's."""
    return {**texts.LIBRARY, **values.LIBRARY, **dates.LIBRARY, **analytics.LIBRARY, **dates.clock_library(clock)}


__all__ = ["Function", "functions_of"]
