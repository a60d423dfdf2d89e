"""Encrypting files with an OpenPGP key (RFC 4880), so that only its owner can read them.

A file is encrypted with AES-256 and a modification detection code; the session key is encrypted with the receiver's RSA key.
"""

import base64
import binascii
import hashlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from headrace.errors import InvalidInput

_CHUNK_BYTES = 1 << 20
_PUBLIC_KEY, _SIGNATURE, _PUBLIC_SUBKEY, _SESSION_KEY, _ENCRYPTED = 6, 2, 14, 1, 18
_RSA, _RSA_ENCRYPT_ONLY = 1, 2
_AES_256 = 9
_MAY_ENCRYPT = 0x04 | 0x08
_MAX_BYTES = (1 << 32) - 1024


class PublicKeyInvalid(InvalidInput):
    """The text is no OpenPGP public key that files can be encrypted with."""

    code = "export_public_key_invalid"


@dataclass(frozen=True)
class PublicKey:
    """An RSA key of OpenPGP that encrypts.

    Attributes:
        key_id: Last eight bytes of its fingerprint.
        numbers: Modulus and exponent.
    """

    key_id: bytes
    numbers: rsa.RSAPublicNumbers

    @classmethod
    def from_base64(cls, text: str) -> Self:
        """Return the key that a connection holds: base64 of the ASCII-armoured key, or the armoured key itself.

        Raises:
            PublicKeyInvalid: There is no RSA key in it that encrypts.
        """
        try:
            armoured = text if "BEGIN PGP" in text else base64.b64decode("".join(text.split()), validate=True).decode("ascii")
            packets = list(_packets(_dearmoured(armoured)))
        except (binascii.Error, UnicodeDecodeError, ValueError, IndexError, struct.error) as error:
            raise PublicKeyInvalid("The public key is not the base64 form of an ASCII-armoured OpenPGP key.") from error
        candidates = [key for key, may_encrypt in _keys(packets) if may_encrypt]
        if not candidates:
            raise PublicKeyInvalid("The OpenPGP key holds no RSA key that encrypts.", hint="Create one with RSA, for example.")
        key_id, numbers = candidates[-1]  # subkeys come after the primary key, the newest last
        return cls(key_id, numbers)


def encrypted(source: Path, target: Path, key: PublicKey, *, at_ms: int) -> None:
    """Encrypt a file.

    Args:
        source: What to encrypt; at most four gibibytes.
        target: Where the encrypted file is written.
        key: Whose owner can read it.
        at_ms: Time noted in it (epoch ms).
    """
    size = source.stat().st_size
    if size > _MAX_BYTES:
        raise InvalidInput(f"'{source.name}' has {size} bytes; files of more than 4 GiB cannot be encrypted.")
    session = os.urandom(32)
    literal = _header(11, 6 + size) + b"b\x00" + struct.pack(">I", at_ms // 1000)
    prefix = os.urandom(16)
    prefix += prefix[-2:]
    encryptor = Cipher(algorithms.AES(session), CFB(bytes(16))).encryptor()
    digest = hashlib.sha1(prefix + literal, usedforsecurity=False)
    with source.open("rb") as plain, target.open("wb") as file:
        file.write(_session_key_packet(session, key))
        file.write(_header(_ENCRYPTED, 1 + len(prefix) + len(literal) + size + 22) + b"\x01")
        file.write(encryptor.update(prefix + literal))
        while chunk := plain.read(_CHUNK_BYTES):
            digest.update(chunk)
            file.write(encryptor.update(chunk))
        digest.update(b"\xd3\x14")
        file.write(encryptor.update(b"\xd3\x14" + digest.digest()) + encryptor.finalize())


def _session_key_packet(session: bytes, key: PublicKey) -> bytes:
    plain = bytes([_AES_256]) + session + struct.pack(">H", sum(session) & 0xFFFF)
    cipher = key.numbers.public_key().encrypt(plain, padding.PKCS1v15())
    number = int.from_bytes(cipher, "big")
    mpi = struct.pack(">H", number.bit_length()) + number.to_bytes((number.bit_length() + 7) // 8, "big")
    body = b"\x03" + key.key_id + bytes([_RSA]) + mpi
    return _header(_SESSION_KEY, len(body)) + body


def _header(tag: int, length: int) -> bytes:
    return bytes([0xC0 | tag, 0xFF]) + struct.pack(">I", length)


def _dearmoured(text: str) -> bytes:
    lines = [line.strip() for line in text.strip().splitlines()]
    if lines[0] != "-----BEGIN PGP PUBLIC KEY BLOCK-----":
        raise ValueError("no public key block")
    body = lines[lines.index("") + 1 : lines.index("-----END PGP PUBLIC KEY BLOCK-----")]
    return base64.b64decode("".join(line for line in body if not line.startswith("=")), validate=True)


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(data):
        head = data[position]
        if head & 0x40:
            tag = head & 0x3F
            first = data[position + 1]
            if first < 192:
                length, used = first, 2
            elif first < 224:
                length, used = ((first - 192) << 8) + data[position + 2] + 192, 3
            elif first == 255:
                length, used = struct.unpack_from(">I", data, position + 2)[0], 6
            else:
                raise ValueError("partial length")
        else:
            tag, kind = (head >> 2) & 0x0F, head & 0x03
            if kind == 3:
                raise ValueError("indeterminate length")
            size = 1 << kind
            length, used = int.from_bytes(data[position + 1 : position + 1 + size], "big"), 1 + size
        yield tag, data[position + used : position + used + length]
        position += used + length


def _keys(packets: list[tuple[int, bytes]]) -> Iterator[tuple[tuple[bytes, rsa.RSAPublicNumbers], bool]]:
    """Yield the RSA keys, each with whether its signatures let it encrypt."""
    for index, (tag, body) in enumerate(packets):
        if tag not in (_PUBLIC_KEY, _PUBLIC_SUBKEY) or body[0] != 4 or body[5] not in (_RSA, _RSA_ENCRYPT_ONLY):
            continue
        flags = _flags(packets[index + 1 :])
        modulus, rest = _mpi(body[6:])
        exponent, _ = _mpi(rest)
        fingerprint = hashlib.sha1(b"\x99" + struct.pack(">H", len(body)) + body, usedforsecurity=False).digest()
        yield (fingerprint[-8:], rsa.RSAPublicNumbers(exponent, modulus)), flags is None or bool(flags & _MAY_ENCRYPT)


def _flags(following: list[tuple[int, bytes]]) -> int | None:
    """Return the key flags of the signatures that belong to a key, None when they have none."""
    for tag, body in following:
        if tag in (_PUBLIC_KEY, _PUBLIC_SUBKEY):
            return None
        if tag == _SIGNATURE and body[0] == 4:
            hashed = body[6 : 6 + struct.unpack_from(">H", body, 4)[0]]
            for kind, value in _subpackets(hashed):
                if kind == 27 and value:
                    return value[0]
    return None


def _subpackets(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(data):
        first = data[position]
        if first < 192:
            length, used = first, 1
        elif first < 255:
            length, used = ((first - 192) << 8) + data[position + 1] + 192, 2
        else:
            length, used = struct.unpack_from(">I", data, position + 1)[0], 5
        start = position + used
        yield data[start] & 0x7F, data[start + 1 : start + length]
        position = start + length


def _mpi(data: bytes) -> tuple[int, bytes]:
    size = (struct.unpack_from(">H", data)[0] + 7) // 8
    return int.from_bytes(data[2 : 2 + size], "big"), data[2 + size :]
