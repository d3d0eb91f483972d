"""
The root key, and what is derived from it.

    root key (32 bytes) --HKDF-SHA256, label--> subkey of one purpose
    subkey --HKDF-SHA256, salt of one message--> key and nonce of one message

A key and nonce of its own for each message means that no counter has to
survive a crash and no number of messages wears a key out (AES-GCM with random
nonces under one key ends at 2^32 messages, NIST SP 800-38D section 8.3).

Randomness is taken from the kernel here and is not handed in: a source that
repeats would break every seal.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import stat
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from casemate_keyholder.files import Folder
from casemate_keyholder.refusal import StartRefusedError

KEY_BYTES = 32
_SALT_BYTES = 16
_NONCE_BYTES = 12
_VERSION = b"\x01"
_HEX = re.compile(rb"[0-9a-fA-F]{64}\n?\Z")
_OWN = "root.key"
_CHECK = "root.check"


class SealBrokenError(Exception):
    """Sealed bytes were not made by this key for this context, or are altered."""


def _derive(key: bytes, salt: bytes | None, label: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=label).derive(key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealer:
    """Seals bytes for one purpose, under one subkey."""

    subkey: bytes = field(repr=False)

    def seal(self, plaintext: bytes, context: str) -> bytes:
        """Seal for a context: version, salt (16), AES-256-GCM text and tag (16)."""
        salt = os.urandom(_SALT_BYTES)
        key, nonce = self._once(salt)
        sealed = AESGCM(key).encrypt(nonce, plaintext, context.encode())
        return _VERSION + salt + sealed

    def open(self, sealed: bytes, context: str) -> bytes:
        """Give the plaintext.  Raises SealBrokenError; says nothing of why."""
        start = len(_VERSION) + _SALT_BYTES
        if not sealed.startswith(_VERSION) or len(sealed) < start:
            raise SealBrokenError
        key, nonce = self._once(sealed[len(_VERSION) : start])
        try:
            return AESGCM(key).decrypt(nonce, sealed[start:], context.encode())
        except InvalidTag as broken:
            raise SealBrokenError from broken

    def _once(self, salt: bytes) -> tuple[bytes, bytes]:
        both = _derive(self.subkey, salt, b"one message", KEY_BYTES + _NONCE_BYTES)
        return both[:KEY_BYTES], both[KEY_BYTES:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """The root key.  It leaves this object only as subkeys of named purposes."""

    key: bytes = field(repr=False)

    def subkey(self, purpose: str) -> bytes:
        """Derive the 32-byte key of a purpose; two purposes never share one."""
        label = b"casemate keyholder 1: " + purpose.encode()
        return _derive(self.key, None, label, KEY_BYTES)

    def sealer(self, purpose: str) -> Sealer:
        """Give what seals for a purpose."""
        return Sealer(subkey=self.subkey(purpose))


def read_handed(descriptor: int) -> Root:
    """
    Read the operator's root key: 32 raw bytes, or 64 hex digits (and a newline).

    Raises StartRefusedError for anything else, and for one byte repeated 32
    times, which is what a failed write leaves.
    """
    with open(descriptor, "rb") as file:
        given = file.read(2 * KEY_BYTES + 2)
    if _HEX.match(given):
        given = bytes.fromhex(given.decode())
    if len(given) != KEY_BYTES:
        raise StartRefusedError(
            "the root key file must hold 32 raw bytes or 64 hex digits, and nothing "
            "else; `openssl rand -hex 32` makes one"
        )
    if len(set(given)) == 1:
        raise StartRefusedError("the root key file holds one byte repeated; no key")
    return Root(key=given)


def _own(folder: Folder, *, fresh: bool) -> Root:
    """Read `root.key` of the folder, or make it when the folder is fresh."""
    try:
        status = folder.status(_OWN)
    except FileNotFoundError:
        if not fresh:
            raise StartRefusedError(
                "the data was made under a root key that is not here; start with "
                "the `--root-key-file` it was made with"
            ) from None
        folder.write(_OWN, secrets.token_bytes(KEY_BYTES))
        status = folder.status(_OWN)
    if stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid != os.geteuid():
        raise StartRefusedError(
            f"`{_OWN}` must belong to the keyholder alone, with mode 0600"
        )
    key = folder.read(_OWN)
    if len(key) != KEY_BYTES:
        raise StartRefusedError(f"`{_OWN}` is damaged: it has not 32 bytes")
    return Root(key=key)


def is_fresh(folder: Folder) -> bool:
    """Tell whether the first start on this folder has not been finished yet."""
    return not folder.has(_CHECK)


def load(folder: Folder, handed: int | None) -> Root:
    """
    Give the root key of this folder: the one handed over, or its own.

    Raises StartRefusedError when it is not the key that the data was made with.
    """
    fresh = is_fresh(folder)
    root = _own(folder, fresh=fresh) if handed is None else read_handed(handed)
    if not fresh and not hmac.compare_digest(folder.read(_CHECK), _check(root)):
        raise StartRefusedError(
            "this root key is not the one that the data was made with"
        )
    return root


def finish_first_start(folder: Folder, root: Root) -> None:
    """Write the key's check value, last of all: from here on absence refuses."""
    folder.write(_CHECK, _check(root))


def _check(root: Root) -> bytes:
    return root.subkey("check value").hex().encode() + b"\n"
