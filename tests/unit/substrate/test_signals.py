"""Laws of signals within the process."""

from __future__ import annotations

import pytest

from casemate.substrate.signals import LocalSignals, NotHeardError


def test_a_subscription_hears_its_subject_and_below() -> None:
    """`("a",)` hears `("a", "b")`, not `("ab",)`, and nothing once it has ended."""
    signals, heard = LocalSignals(), list[tuple[tuple[str, ...], bytes]]()
    end = signals.subscribe(("a",), lambda subject, data: heard.append((subject, data)))

    signals.publish(("a", "b"), b"1")
    signals.publish(("ab",), b"2")
    signals.publish((), b"3")
    end()
    end()
    signals.publish(("a",), b"4")

    assert heard == [(("a", "b"), b"1")]


def test_a_word_is_only_a_word() -> None:
    """Stars, dots and brackets of a tenant match nothing but themselves."""
    signals, heard = LocalSignals(), list[bytes]()
    signals.subscribe(("a.b",), lambda _subject, data: heard.append(data))
    signals.subscribe(("*",), lambda _subject, data: heard.append(data))
    signals.subscribe((">",), lambda _subject, data: heard.append(data))

    signals.publish(("a", "b"), b"no")
    signals.publish(("a.b",), b"yes")

    assert heard == [b"yes"]


def test_a_failing_subscriber_silences_nobody() -> None:
    """All are told; then the publisher learns who failed."""
    signals, heard = LocalSignals(), list[bytes]()

    def fails(_subject: tuple[str, ...], _data: bytes) -> None:
        raise RuntimeError("mine")

    signals.subscribe((), fails)
    signals.subscribe(("a",), lambda _subject, data: heard.append(data))

    with pytest.raises(NotHeardError):
        signals.publish(("a",), b"1")
    assert heard == [b"1"]
