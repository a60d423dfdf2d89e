"""What is missing or does not conform, and why. The list shrinks; the tests refuse an entry that is not true."""

from collections.abc import Mapping

KNOWN_GAPS: Mapping[tuple[str, str], str] = {
    ("Flow service (sources and destinations)", "GET /connections/{id}/explore"): "What a source holds cannot be listed.",
    ("Flow service (sources and destinations)", "GET /connectionSpecs/{id}/explore"): "The landing zone cannot be listed.",
}
"""By name of the service, method and path."""
