"""The node's client of the keyholder, against the real process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from casemate.seal.keyholder import (
    Keyholder,
    KeyholderError,
    KeyholderGoneError,
    KeyholderRefusedError,
)
from unit.keyholder.stand import Child, child, receive, send

DATE = datetime.now(UTC).strftime("%Y%m%d")


@asynccontextmanager
async def real(tmp_path: Path) -> AsyncIterator[tuple[Keyholder, Child]]:
    """A keyholder's process, and a client of it."""
    folder = tmp_path / "keyholder"
    folder.mkdir(mode=0o700)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with child("casemate_keyholder", folder, tmp_path / "stderr") as process:
        settings = {"data": str(folder), "root_key_file": None}
        message = {"verb": "boot", "settings": settings, "fds": ["node"]}
        send(process.boot, message, (theirs.fileno(),))
        theirs.close()
        assert "ready" == receive(process.boot)[0]["verb"]
        client = Keyholder(ours)
        yield client, process
        client.close()


def test_every_verb_answers(tmp_path: Path) -> None:
    """Each verb gives its typed result, and the results fit together."""

    async def law() -> None:
        async with real(tmp_path) as (client, _):
            data_key = await client.data_key_new("c")
            assert data_key.plaintext == await client.data_key_open(
                "c", data_key.wrapped
            )
            assert data_key.plaintext.hex() not in repr(data_key)
            long_term = await client.access_key_new()
            key = await client.signing_key(
                long_term.access_key_id, None, DATE, "us-east-1", "iam"
            )
            assert (32, None, None) == (len(key.key), key.claims, key.expires_at)
            session = await client.session_new({"role": "é"}, 60)
            assert session.secret not in repr(session)
            key = await client.signing_key(
                session.access_key_id, session.token, DATE, "us-east-1", "iam"
            )
            assert ({"role": "é"}, session.expires_at) == (key.claims, key.expires_at)
            leaf = await client.leaf("edge", ["localhost", "127.0.0.1"])
            assert 2 == leaf.certificate_chain.count("BEGIN CERTIFICATE")
            public = await client.public()
            signed = await client.checkpoint(3, "ab" * 32, 1.5)
            verifier = load_pem_public_key(public.audit_key.encode())
            verifier.verify(signed.signature, signed.statement)  # type: ignore[union-attr,call-arg]  # Ed25519
            assert public.audit_key_id == signed.key_id

    asyncio.run(law())


def test_a_refusal_has_its_code(tmp_path: Path) -> None:
    """What the keyholder refuses is told apart from a keyholder that is gone."""

    async def law() -> None:
        async with real(tmp_path) as (client, _):
            data_key = await client.data_key_new("c")
            asked: list[tuple[str, Awaitable[object]]] = [
                ("WrongContext", client.data_key_open("d", data_key.wrapped)),
                ("NameNotPermitted", client.leaf("cell", ["example.com"])),
                (
                    "InvalidClientTokenId",
                    client.signing_key("ASIA" + "A" * 16, "abc", DATE, "r", "s"),
                ),
                ("Malformed", client.session_new({}, 0)),
                ("TooLarge", client.session_new({"a": "b" * 9000}, 60)),
                ("TooLarge", client.session_new({"a": "b" * 300_000}, 60)),
            ]
            for code, answer in asked:
                with pytest.raises(KeyholderRefusedError) as refused:
                    await answer
                assert code == refused.value.code

    asyncio.run(law())


def test_many_at_once_get_their_own_answers(tmp_path: Path) -> None:
    """A thousand requests under way at once, none mixed up."""

    async def law() -> None:
        async with real(tmp_path) as (client, _):
            ids = [f"AKIA{letter * 16}" for letter in "ABCDEFGH"]
            alone = [await client.signing_key(i, None, DATE, "r", "s") for i in ids]
            together = await asyncio.gather(
                *(client.signing_key(i, None, DATE, "r", "s") for i in ids * 125)
            )
            assert alone * 125 == list(together)

    asyncio.run(law())


def test_a_killed_keyholder_refuses_all(tmp_path: Path) -> None:
    """What waits and what is asked later gets KeyholderGoneError at once."""

    async def law() -> None:
        async with real(tmp_path) as (client, process):
            os.kill(process.pid, signal.SIGSTOP)
            waiting = [asyncio.ensure_future(client.public()) for _ in range(3)]
            await asyncio.sleep(0)
            os.kill(process.pid, signal.SIGKILL)
            for answer in waiting:
                with pytest.raises(KeyholderGoneError):
                    await answer
            with pytest.raises(KeyholderGoneError):
                await client.public()
            process.wait()

    asyncio.run(law())


Answering = Callable[[dict[str, object]], bytes]


def against(reply: Answering, timeout: float = 5.0) -> KeyholderError:
    """Ask once over a bare wire whose far end says what it likes."""

    async def ask() -> KeyholderError:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)
        client = Keyholder(ours, timeout=timeout)
        answer = asyncio.ensure_future(client.public())
        loop = asyncio.get_running_loop()
        request = json.loads(await loop.sock_recv(theirs, 4096))
        said = reply(request)
        if said:
            theirs.send(said)
        with pytest.raises(KeyholderError) as failed:
            await answer
        theirs.close()
        client.close()
        return failed.value

    return asyncio.run(ask())


@pytest.mark.parametrize(
    "said",
    [
        b"not json",
        b"[]",
        b'"x"',
        b"null",
        b"[" * 100_000,
        b'{"id": 1, "ok": {}}',
        b'{"id": -1, "ok": {}}',
        b'{"id": null, "error": {"code": "a", "reason": "b"}}',
        b'{"id": true, "ok": {}}',
        b'{"id": 0}',
        b'{"id": 0, "ok": []}',
        b'{"id": 0, "ok": {}}',
        b'{"id": 0, "ok": {"ca": 1, "audit_key": 2, "audit_key_id": 3}}',
    ],
)
def test_an_incoherent_keyholder_counts_as_gone(said: bytes) -> None:
    """An answer that is not as agreed is never believed in part."""
    assert isinstance(against(lambda _: said), KeyholderGoneError)


def test_a_silent_keyholder_counts_as_gone() -> None:
    """No answer in time is a refusal."""
    assert isinstance(against(lambda _: b"", timeout=0.05), KeyholderGoneError)
