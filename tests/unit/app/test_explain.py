"""ExplainRequest reads beside the event loop: other calls go on meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from casemate.app.explain import Explainer
from casemate.core.identifier import request_id
from casemate.road.record.story import Recent, Stories
from casemate.services.logs.requests import RequestLines
from casemate.services.logs.store import Store as LogStore
from casemate.substrate.ports import Entry, Log
from store_stand import ALICE, opened

ASKED = request_id(1_700_000_000.0, bytes)


@dataclass
class Watched:
    """A store's log that tells when it is read."""

    log: Log
    reading: Callable[[], None]

    def read_back(self, account: str, stream: str, *, limit: int) -> Sequence[Entry]:
        self.reading()
        return self.log.read_back(account, stream, limit=limit)

    def __getattr__(self, name: str) -> object:
        return getattr(self.log, name)


async def explain(folder: Path, count: int, reading: Callable[[], None]) -> None:
    """Have so many requests explained at once."""
    store = opened(folder)
    log = Watched(store.log, reading)
    explainer = Explainer(
        stories=Stories(log=log, recent=Recent()),  # type: ignore[arg-type] # the rest is the log's own
        lines=RequestLines(store=LogStore(store.records, store.log), log=store.log),
    )
    told = await asyncio.gather(*(explainer.story(ALICE, ASKED) for _ in range(count)))
    assert [None] * count == told
    await store.close()


def test_an_explanation_does_not_keep_the_loop(tmp_path: Path) -> None:
    """A read that waits for the loop's next turn gets it (Q12)."""
    turned: list[bool] = []

    async def main() -> None:
        loop, turn = asyncio.get_running_loop(), threading.Event()

        def reading() -> None:
            loop.call_soon_threadsafe(turn.set)
            turned.append(turn.wait(5))

        await explain(tmp_path, 1, reading)

    asyncio.run(main())
    assert [True] == turned


def test_few_explanations_run_at_once(tmp_path: Path) -> None:
    """Who asks for many takes no thread from the rest: a third waits for the two."""
    guard, third = threading.Lock(), threading.Event()
    inside = 0

    def reading() -> None:
        nonlocal inside
        with guard:
            inside += 1
            if inside > 2:
                third.set()
        third.wait(0.1)
        with guard:
            inside -= 1

    asyncio.run(explain(tmp_path, 6, reading))
    assert not third.is_set()
