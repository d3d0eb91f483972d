"""
Values under the key of their account.

The whole file is encrypted already; this keeps the tenants apart within it.
What is sealed names its place in the associated data, so a value that is moved
to another account, table, key or revision does not open.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol, final

from casemate.substrate.ports import DamagedError
from casemate.substrate.sqlite.limits import NoKeyError


class KeyRing(Protocol):
    """
    The accounts' keys, unwrapped.

    `key` gives 32 bytes, at once, from any thread; it raises KeyError for an
    account that has none.  Whoever makes an account gives it a key first.
    `SHARED` has one as well.
    """

    def key(self, account: str) -> bytes:
        """Give the key of an account.  Raises KeyError."""
        ...


class Envelope(Protocol):
    """
    What seals: `casemate.seal.envelope.Envelope`.

    `open` raises ValueError for bytes that were not sealed with this key for
    this context.  Any thread may use it.
    """

    def seal(self, key: bytes, data: bytes, context: bytes) -> bytes:
        """Encrypt under a key and a context."""
        ...

    def open(self, key: bytes, sealed: bytes, context: bytes) -> bytes:
        """Decrypt.  Raises ValueError."""
        ...


@final
class Vault:
    """Seals and opens the values of accounts."""

    def __init__(self, keyring: KeyRing, envelope: Envelope) -> None:
        self._keyring = keyring
        self._envelope = envelope

    def check(self, account: str) -> None:
        """Raise NoKeyError for an account without a key."""
        self._key(account)

    def seal(self, account: str, data: bytes, *place: str | int) -> bytes:
        """Encrypt the bytes of an account for a place.  Raises NoKeyError."""
        return self._envelope.seal(self._key(account), data, _context(account, place))

    def open(self, account: str, sealed: bytes, *place: str | int) -> bytes:
        """Decrypt.  Raises NoKeyError, DamagedError."""
        key = self._key(account)
        try:
            return self._envelope.open(key, sealed, _context(account, place))
        except ValueError:
            raise DamagedError("stored bytes do not match their seal") from None

    def _key(self, account: str) -> bytes:
        try:
            return self._keyring.key(account)
        except KeyError:
            raise NoKeyError("the key ring has no key for this account") from None


def _context(account: str, place: tuple[str | int, ...]) -> bytes:
    """Join the words of a place, each with its length: no two places are alike."""
    words = [_number(w) if isinstance(w, int) else _word(w) for w in place]
    return b"".join([_word(account), *words])


@lru_cache(maxsize=1024)
def _word(word: str) -> bytes:
    """Frame a word; those of a place come again with each entry of a stream."""
    data = word.encode()
    return b"%d:%b" % (len(data), data)


def _number(number: int) -> bytes:
    data = b"%d" % number
    return b"%d:%b" % (len(data), data)
