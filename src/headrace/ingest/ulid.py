"""Batch ids: 26 characters that sort by time (ULID, Crockford's base 32)."""

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid_of(instant_ms: int, entropy: bytes) -> str:
    """Return the ULID of an instant (epoch ms) and at least ten bytes that make it unique."""
    number = (instant_ms & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(entropy[:10], "big")
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
