"""XIDs: one opaque string for a (namespace, value) pair, computed and never stored for short values.

Form: base64url without padding of ``0x01 ‖ varint(namespace id) ‖ UTF-8 value`` up to 60 bytes, else ``0x02 ‖
varint(namespace id) ‖ first 20 bytes of SHA-256(value)``. An XID exists for any pair, seen or not.
"""

import base64
import binascii
import hashlib

_INLINE, _HASHED = 1, 2
_MAX_INLINE_BYTES = 60


def encode_xid(namespace_id: int, value: str) -> str:
    """Return the XID of an identity; ``value`` is the normalised value."""
    plain = value.encode()
    body = bytes([_INLINE]) + _varint(namespace_id) + plain
    if len(body) > _MAX_INLINE_BYTES:
        body = bytes([_HASHED]) + _varint(namespace_id) + hashlib.sha256(plain).digest()[:20]
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def decode_xid(text: str) -> tuple[int, str] | None:
    """Return (namespace id, value) of an XID or of the readable form ``nsid|value``.

    Returns:
        None when the text is no XID, or one that holds only a hash of its value.
    """
    namespace, bar, value = text.partition("|")
    if bar:
        return (int(namespace), value) if namespace.isdigit() else None
    try:
        body = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        if body[:1] != bytes([_INLINE]):
            return None
        namespace_id, rest = _read_varint(body, 1)
        return namespace_id, body[rest:].decode()
    except (binascii.Error, ValueError, IndexError):
        return None


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes, start: int) -> tuple[int, int]:
    number = shift = 0
    for position in range(start, min(start + 6, len(data))):
        number |= (data[position] & 0x7F) << shift
        shift += 7
        if data[position] < 0x80:
            return number, position + 1
    raise ValueError("no varint")
