"""
Envelope encryption: bytes sealed under a 256-bit key and a context.

    sealed = 0x01 | salt (16) | nonce (12) | AES-256-GCM ciphertext | tag (16)
    subkey = HMAC-SHA256(key, "casemate envelope v1" | 0x00 | salt)

Problem: AES-GCM breaks when a nonce comes twice under one key, and with random
96-bit nonces NIST SP 800-38D (section 8.3) stops at 2^32 messages a key; a
busy account writes as many in a day or two.
So no message is sealed with the key itself.  Each process draws a 128-bit salt
per key, seals at most 2^24 messages under the subkey that it gives, and draws
another.  Within a subkey two nonces meet with a probability below 2^-49; the
number of subkeys is bounded by the salt's birthday limit, 2^64.
Dropped: counting nonces.  They would repeat in a forked process and in a
machine that is restored from a snapshot; random ones do not.

The context is associated data: what was sealed in one place does not open in
another.  Not done: the length is not hidden, and the seal does not commit to
its key (whoever chooses keys could make bytes that open under two of them;
here nobody outside of the keyholder chooses any).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
OVERHEAD = 45
"""How many bytes a sealed value is longer than its plaintext."""

MESSAGES_PER_SUBKEY = 2**24

_VERSION = b"\x01"
_PURPOSE = b"casemate envelope v1\x00"
_SALT = 16
_NONCE = 12
_BODY = 1 + _SALT + _NONCE
_OPENERS = 4096


class SealError(ValueError):
    """The bytes were not sealed with this key for this context, or were changed."""


def framed(*parts: bytes) -> bytes:
    """Join parts into a context so that no two lists of parts give the same bytes."""
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


class _Subkey:
    """A subkey that seals, and how many messages it may still seal."""

    __slots__ = ("cipher", "left", "prefix")

    def __init__(self, key: bytes, salt: bytes, messages: int) -> None:
        self.cipher = _cipher(key, salt)
        self.prefix = _VERSION + salt
        # Two threads that count down at once may lose a step; the limit has
        # room for a million times as many.
        self.left = messages


class Envelope:
    """
    Seals and opens; holds the subkeys in use, and nothing else.

    randomness: gives that many unpredictable bytes (`os.urandom`).
    Any thread may use it.
    """

    def __init__(
        self,
        randomness: Callable[[int], bytes],
        *,
        messages_per_subkey: int = MESSAGES_PER_SUBKEY,
    ) -> None:
        self._randomness = randomness
        self._messages = messages_per_subkey
        self._sealing: dict[bytes, _Subkey] = {}
        self._opening: dict[tuple[bytes, bytes], AESGCM] = {}

    def seal(self, key: bytes, data: bytes, context: bytes) -> bytes:
        """Encrypt.  key: 32 bytes.  Gives `OVERHEAD` bytes more than the data."""
        subkey = self._sealing.get(key)
        if subkey is None or subkey.left <= 0:
            subkey = self._fresh(key)
        subkey.left -= 1
        nonce = self._randomness(_NONCE)
        return subkey.prefix + nonce + subkey.cipher.encrypt(nonce, data, context)

    def open(self, key: bytes, sealed: bytes, context: bytes) -> bytes:
        """Decrypt.  Raises SealError, which says no more than that it failed."""
        if len(sealed) < OVERHEAD or sealed[:1] != _VERSION:
            raise SealError("the bytes are not a seal of this version")
        cipher = self._opener(key, sealed[1 : 1 + _SALT])
        try:
            return cipher.decrypt(sealed[1 + _SALT : _BODY], sealed[_BODY:], context)
        except InvalidTag:
            raise SealError("the seal does not hold") from None

    def _fresh(self, key: bytes) -> _Subkey:
        if len(self._sealing) >= _OPENERS:
            self._sealing.clear()
        subkey = _Subkey(key, self._randomness(_SALT), self._messages)
        self._sealing[key] = subkey
        return subkey

    def _opener(self, key: bytes, salt: bytes) -> AESGCM:
        cipher = self._opening.get((key, salt))
        if cipher is None:
            if len(self._opening) >= _OPENERS:
                self._opening.clear()
            cipher = self._opening[key, salt] = _cipher(key, salt)
        return cipher


def _cipher(key: bytes, salt: bytes) -> AESGCM:
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
    return AESGCM(hmac.digest(key, _PURPOSE + salt, "sha256"))
