"""What makes two values of a namespace the same identity, and which values are none.

Source: Identity Service guardrails; the original spelling is kept beside the normalised one.
"""

ECID = 4
EMAIL = 6
AAID = 10
LOWER_CASE_NAMESPACES = frozenset({EMAIL, 11, 14, 15, 20914, 20915})  # Email, the hashes, GAID, IDFA
BLOCKED_VALUES = frozenset({"null", "anonymous", "invalid", ""})
LONGEST_BLOCKED = max(map(len, BLOCKED_VALUES))
MAX_VALUE_CHARACTERS = 1024
_ECID_DIGITS = 38


def normalised(namespace_id: int, value: str) -> str:
    """Return the value by which identities of the namespace are compared."""
    trimmed = value.strip()
    return trimmed.lower() if namespace_id in LOWER_CASE_NAMESPACES else trimmed


def is_blocked(value: str) -> bool:
    """Whether a normalised value stands for "no identity", so that only this identity is left out."""
    return value.lower() in BLOCKED_VALUES


def fault_of(namespace_id: int, value: str) -> str | None:
    """Return why a value keeps its whole record out of the identity graph, None when it does not."""
    if namespace_id == ECID and not (len(value) == _ECID_DIGITS and value.isascii() and value.isdigit()):
        return "an ECID has exactly 38 digits"
    if len(value) > MAX_VALUE_CHARACTERS:
        return f"an identity value has at most {MAX_VALUE_CHARACTERS} characters"
    return None
