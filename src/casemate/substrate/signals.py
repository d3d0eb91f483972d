"""
Signals within one process: publish and subscribe, delivered at once.

A subject is a tuple of words, so a tenant's dot, star or space in a word is
only a letter.  A subscription hears the subject itself and everything below it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

Heard = Callable[[tuple[str, ...], bytes], None]


class NotHeardError(ExceptionGroup):
    """Some subscribers failed; all the others were told."""


@final
class LocalSignals:
    """The `Signals` of a platform on one machine.  For one thread, the loop's."""

    def __init__(self) -> None:
        self._heard: dict[tuple[str, ...], dict[object, Heard]] = {}

    def publish(self, subject: tuple[str, ...], data: bytes) -> None:
        """
        Tell every subscriber of the subject and of its beginnings.

        Raises NotHeardError once all were told, if some of them raised.
        """
        failures: list[Exception] = []
        for length in range(len(subject) + 1):
            for heard in list(self._heard.get(subject[:length], {}).values()):
                try:
                    heard(subject, data)
                except Exception as error:  # noqa: BLE001 — one subscriber must not silence the next
                    failures.append(error)
        if failures:
            raise NotHeardError("subscribers failed", failures)

    def subscribe(self, subject: tuple[str, ...], heard: Heard) -> Callable[[], None]:
        """Hear a subject and all below it; gives what ends the subscription."""
        mark = object()
        self._heard.setdefault(subject, {})[mark] = heard

        def end() -> None:
            there = self._heard.get(subject, {})
            there.pop(mark, None)
            if not there:
                self._heard.pop(subject, None)

        return end
