"""A record is found by its own id, not by words that a caller put into another."""

from __future__ import annotations

import os
from pathlib import Path

from casemate.core.identifier import request_id
from casemate.road.record.story import Recent, Stories
from store_stand import store_at
from unit.road.record.test_ledger import ledger_on
from unit.services.calls import law

ACCOUNT = "111122223333"
AT = 1_700_000_000


@law
async def test_parameters_that_read_like_an_id_are_not_one(tmp_path: Path) -> None:
    """
    A function knows its request's id while it runs, and may call under a tag of it.

    Its tag's record comes first in the log and must not be told as the story.
    """
    async with store_at(tmp_path) as store:
        ledger = ledger_on(store.log)
        ledger.start()
        wanted = request_id(AT, os.urandom)
        posing = (
            b'{"recipientAccountId":"%s","requestID":"other",'
            b'"requestParameters":{"tags":{"requestID":"%s"}}}'
        )
        real = b'{"eventName":"Invoke","recipientAccountId":"%s","requestID":"%s"}'
        who = ACCOUNT.encode(), wanted.encode()
        ledger.append_soon(AT * 1000 + 5, posing % who)
        ledger.append_soon(AT * 1000 + 9, real % who)
        await ledger.close()
        stories = Stories(log=store.log, recent=Recent())

        found = stories.find(ACCOUNT, wanted)

        assert found
        assert found.record["eventName"] == "Invoke"
