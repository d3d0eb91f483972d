"""A cell's life: every order of events keeps its laws."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from casemate.road.sandbox.frames import Said, Word
from casemate.road.sandbox.life import Life, Stage, WrongStageError

WORDS = st.sampled_from(list(Word))
IDS = st.sampled_from(["", "one", "two"])


class AnyOrder(RuleBasedStateMachine):
    """The platform and a hostile cell act in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.life = Life()
        self.assigned = 0
        self.asked = 0
        self.answered = 0
        self.heard = 0
        self.taken = 0

    @rule()
    def assign(self) -> None:
        with contextlib.suppress(WrongStageError):
            self.life.assign()
            self.assigned += 1

    @rule()
    def work(self) -> None:
        with contextlib.suppress(WrongStageError):
            self.life.work()
            self.assigned += 1

    @rule()
    def initialise(self) -> None:
        with contextlib.suppress(WrongStageError):
            self.life.initialise()

    @rule(request_id=st.sampled_from(["one", "two"]))
    def invoke(self, request_id: str) -> None:
        with contextlib.suppress(WrongStageError):
            self.life.invoke(request_id)
            self.asked += 1

    @rule(word=WORDS, request_id=IDS)
    def hear(self, word: Word, request_id: str) -> None:
        before, running = self.life.stage, self.life.running
        taken = self.life.hear(Said(word=word, id=request_id))
        self.heard += 1
        self.taken += taken
        if taken and word in (Word.RESPONSE, Word.ERROR):
            self.answered += 1
            assert before is Stage.BUSY
            assert request_id == running
        if not taken:
            assert self.life.stage is before

    @rule()
    def close(self) -> None:
        self.life.close()

    @rule()
    def end(self) -> None:
        with contextlib.suppress(WrongStageError):
            self.life.end()

    @invariant()
    def code_is_mounted_once(self) -> None:
        """S31: a cell gets code at most once in its life."""
        assert self.assigned <= 1

    @invariant()
    def one_answer_for_each_event(self) -> None:
        """R3: the first answer counts, and only one."""
        assert self.answered <= self.asked

    @invariant()
    def nothing_is_lost_count_of(self) -> None:
        """What is not taken is counted."""
        assert self.heard == self.taken + self.life.dropped


TestAnyOrder = AnyOrder.TestCase


def busy(request_id: str) -> Life:
    life = Life()
    life.hear(Said(word=Word.WAITING))
    life.assign()
    life.initialise()
    life.hear(Said(word=Word.INITIALIZED))
    life.invoke(request_id)
    return life


@pytest.mark.parametrize(
    "said",
    [
        Said(word=Word.RESPONSE, id="other"),
        Said(word=Word.ERROR, id=""),
        Said(word=Word.INITIALIZED),
        Said(word=Word.INIT_ERROR),
        Said(word=Word.WAITING),
    ],
)
def test_foreign_and_late_words_change_nothing(said: Said) -> None:
    """R2, R4: another id, or an init after the init, is dropped and counted."""
    life = busy("mine")
    assert not life.hear(said)
    assert (life.stage, life.dropped) == (Stage.BUSY, 1)


def test_second_answer_is_dropped() -> None:
    """R3: the first wins."""
    life = busy("mine")
    assert life.hear(Said(word=Word.RESPONSE, id="mine"))
    assert not life.hear(Said(word=Word.ERROR, id="mine"))
    assert life.stage is Stage.IDLE
