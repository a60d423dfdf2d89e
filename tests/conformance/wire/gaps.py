"""What is missing or does not conform, and why. The list shrinks; the tests refuse an entry that is not true."""

from collections.abc import Mapping

KNOWN_GAPS: Mapping[tuple[str, str], str] = {}
"""Reason by name of the service, and method and path."""
