"""Laws of the envelope."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.seal.envelope import OVERHEAD, Envelope, SealError, framed

KEY = bytes(range(32))


@given(data=st.binary(max_size=300), context=st.binary(max_size=80))
def test_what_is_sealed_opens_in_its_context(data: bytes, context: bytes) -> None:
    """A seal opens to the same bytes, in another process too, and adds 45 bytes."""
    sealed = Envelope(os.urandom).seal(KEY, data, context)

    assert Envelope(os.urandom).open(KEY, sealed, context) == data
    assert len(sealed) == len(data) + OVERHEAD


@given(data=st.binary(max_size=60), at=st.integers(0), bit=st.integers(0, 7))
def test_any_flipped_bit_is_refused(data: bytes, at: int, bit: int) -> None:
    """No bit of a seal can change."""
    envelope = Envelope(os.urandom)
    sealed = bytearray(envelope.seal(KEY, data, b"here"))
    sealed[at % len(sealed)] ^= 1 << bit

    with pytest.raises(SealError):
        envelope.open(KEY, bytes(sealed), b"here")


@given(length=st.integers(0, 60))
def test_a_cut_seal_is_refused(length: int) -> None:
    """Every beginning of a seal is no seal."""
    envelope = Envelope(os.urandom)
    sealed = envelope.seal(KEY, b"sixteen bytes...", b"")

    with pytest.raises(SealError):
        envelope.open(KEY, sealed[:length], b"")


def test_another_key_or_context_is_refused() -> None:
    """A seal moved to another tenant or place does not open."""
    envelope = Envelope(os.urandom)
    sealed = envelope.seal(KEY, b"data", b"here")

    with pytest.raises(SealError):
        envelope.open(KEY, sealed, b"there")
    with pytest.raises(SealError):
        envelope.open(bytes(32), sealed, b"here")


def test_a_subkey_is_given_up_at_its_limit() -> None:
    """No subkey seals more messages than its nonces allow."""
    envelope = Envelope(os.urandom, messages_per_subkey=3)
    salts = [envelope.seal(KEY, b"", b"")[1:17] for _ in range(7)]

    assert [salts.count(salt) for salt in dict.fromkeys(salts)] == [3, 3, 1]


def test_two_processes_share_no_subkey() -> None:
    """Each envelope draws its own salt, so a restart repeats no nonce of another."""
    first = Envelope(os.urandom).seal(KEY, b"", b"")
    second = Envelope(os.urandom).seal(KEY, b"", b"")

    assert first[1:17] != second[1:17]


def test_a_short_key_is_refused() -> None:
    """Absence refuses: an empty key is no key."""
    with pytest.raises(ValueError, match="32 bytes"):
        Envelope(os.urandom).seal(b"", b"data", b"")


@given(a=st.lists(st.binary(max_size=4)), b=st.lists(st.binary(max_size=4)))
def test_two_contexts_are_never_the_same_bytes(a: list[bytes], b: list[bytes]) -> None:
    """Framing is injective: no tenant chooses a name that means another place."""
    assert (framed(*a) == framed(*b)) == (a == b)
