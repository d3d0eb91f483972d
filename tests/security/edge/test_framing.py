"""What comes in before it is a request: framing, sizes, heads, hosts, patience."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from platform_harness import Platform
from security.edge.attacker import (
    Answer,
    Attacker,
    Watch,
    counts_strangers,
)
from security.edge.signing import Ask, Keys, identity_call

pytestmark = [pytest.mark.root, pytest.mark.platform]

HEAD_SECONDS = 15
SLOW = 20


@dataclass(slots=True)
class Slow:
    """Clients that never end a head.  counted: strangers before the first."""

    counted: float = 0.0
    answers: list[Answer] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    thread: threading.Thread | None = None


@pytest.fixture(scope="module", autouse=True)
def slow(platform: Platform, watch: Watch) -> Iterator[Slow]:
    """Slow clients that dribble through all tests of this module."""
    slow = Slow(counted=watch.strangers("Front"))
    attacker = Attacker(platform)

    def dribble() -> None:
        began = time.monotonic()
        with attacker.line() as line:
            line.say(b"POST / HTTP/1.1\r\nHost: x\r\n")
            for _ in range(4 * SLOW):
                line.sock.settimeout(0.5)
                try:
                    line.say(b"X: a\r\n")
                    slow.answers.append(line.hear())
                    break
                except TimeoutError:
                    continue
            slow.seconds.append(time.monotonic() - began)

    def all_of_them() -> None:
        threads = [threading.Thread(target=dribble) for _ in range(SLOW)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    slow.thread = threading.Thread(target=all_of_them)
    slow.thread.start()
    yield slow
    slow.thread.join()


def _post(*lines: str, body: bytes = b"") -> bytes:
    head = "".join(f"{line}\r\n" for line in ("POST / HTTP/1.1", "Host: x", *lines))
    return f"{head}\r\n".encode("latin-1") + body


CHUNKED = "Transfer-Encoding: chunked"

TWO_STORIES = {
    "length and chunks": _post("Content-Length: 5", CHUNKED, body=b"0\r\n\r\n"),
    "two lengths": _post("Content-Length: 0", "Content-Length: 0"),
    "another coding": _post("Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "coding after a tab": _post("Transfer-Encoding:\tchunked, identity"),
    "coding after \\x0b": _post("Transfer-Encoding:\x0bchunked", body=b"0\r\n\r\n"),
    "extension with a line feed": _post(CHUNKED, body=b"1;a\nb\r\nx\r\n0\r\n\r\n"),
    "bare line feeds": b"POST / HTTP/1.1\nHost: x\nContent-Length: 0\n\n",
    "bare carriage return": _post("X: a\rContent-Length: 5"),
    "folded line": _post("X: a", " Content-Length: 5"),
    "trailer": _post(CHUNKED, body=b"0\r\nContent-Length: 5\r\n\r\n"),
    "space before colon": _post("Content-Length : 0"),
}


@pytest.mark.parametrize("what", TWO_STORIES)
def test_h1_two_framings(
    what: str, attacker: Attacker, watch: Watch, keys: Keys
) -> None:
    """H1: 400 and the end; the request smuggled behind it is never a call."""
    smuggled = attacker.written(identity_call(), keys)
    calls = watch.counted("casemate_calls_total", operation="GetCallerIdentity")
    with counts_strangers(watch, "Front"), attacker.line() as line:
        line.say(TWO_STORIES[what] + smuggled)
        assert line.hear().status == 400
        assert line.is_closed()
    assert calls == watch.counted("casemate_calls_total", operation="GetCallerIdentity")


SIZES = {
    "chunk of 2^64": (_post(CHUNKED, body=b"FFFFFFFFFFFFFFFF\r\n"), 400),
    "chunk of 4 GiB": (_post(CHUNKED, body=b"FFFFFFFF\r\n"), 413),
    "negative": (_post("Content-Length: -1"), 400),
    "hexadecimal": (_post("Content-Length: 0x10"), 400),
    "20 digits": (_post("Content-Length: 99999999999999999999"), 400),
    "100 TB": (_post("Content-Length: 99999999999999"), 413),
    "a stranger's megabyte": (_post("Content-Length: 1048576"), 413),
    "tiny chunks": (_post(CHUNKED, body=b"1\r\nx\r\n" * 9_000), 400),
}


@pytest.mark.parametrize("what", SIZES)
def test_h2_sizes(what: str, attacker: Attacker, watch: Watch) -> None:
    """H2: a size that cannot be, or is too large, is refused before it is read."""
    data, status = SIZES[what]
    with counts_strangers(watch, "Front"), attacker.line() as line:
        line.say(data)
        assert line.hear().status == status


def test_h2_more_than_an_event(attacker: Attacker, watch: Watch, keys: Keys) -> None:
    """H2: one byte beyond what Invoke takes is a 413 before any of it is sent."""
    ask = Ask(
        service="lambda",
        path="/2015-03-31/functions/nobody/invocations",
        headers=(("content-length", str(6 * 1024 * 1024 + 100_000)),),
    )
    with counts_strangers(watch, "Front"), attacker.line() as line:
        line.say(attacker.written(ask, keys))
        assert line.hear().status == 413


def _resident(platform: Platform) -> int:
    """Give the bytes that the node holds in memory."""
    assert platform.process is not None
    children = Path(
        f"/proc/{platform.process.pid}/task/{platform.process.pid}/children"
    )
    for pid in children.read_text().split():
        if b"casemate.app" in Path(f"/proc/{pid}/cmdline").read_bytes():
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            return pages * os.sysconf("SC_PAGE_SIZE")
    raise AssertionError("the platform has no node")


def test_h2_memory_is_bounded(
    platform: Platform, attacker: Attacker, keys: Keys
) -> None:
    """H2: bodies that never end hold no more than what was sent, and give it back."""
    ask = Ask(
        service="lambda",
        path="/2015-03-31/functions/nobody/invocations",
        headers=(("content-length", str(6 * 1024 * 1024)),),
    )
    head = attacker.written(ask, keys)
    before = _resident(platform)
    lines = [attacker.line() for _ in range(40)]
    for opened in lines:
        opened.__enter__().say(head + b"x" * 100_000)
    assert attacker.ask(identity_call(), keys).status == 200
    assert _resident(platform) - before < 40 * 2_000_000
    for opened in lines:
        opened.__exit__(None, None, None)


def test_h3_what_only_a_gateway_may_say(
    attacker: Attacker, watch: Watch, keys: Keys
) -> None:
    """H3: a forwarded address is not believed; the record has the real one."""
    posing = (
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-host", "admin.internal"),
        ("forwarded", "for=10.0.0.1"),
        ("x-amzn-apigateway-identity", "root"),
        ("x-amzn-oidc-identity", "root"),
    )
    answer = attacker.ask(identity_call(extra_after=posing), keys)
    assert answer.status == 200
    record = watch.record(answer.id)
    assert record["sourceIPAddress"] == attacker.address
    assert record["additionalEventData"]["door"] == "https"
    assert record["additionalEventData"]["cell"] is None
    assert "10.0.0.1" not in str(record)


def test_h3_the_platforms_own_word(
    attacker: Attacker, watch: Watch, keys: Keys
) -> None:
    """H3: `X-Casemate-*` from outside is refused, signed or not."""
    for name in ("x-casemate-cell", "X-CASEMATE-Account"):
        ask = identity_call(extra_after=((name, "c0123456789abcdef"),))
        with counts_strangers(watch, "Front"):
            assert attacker.ask(ask, keys).status == 400


HEADS = {
    "underscore for dash": (("x_amz_date", "20260101T000000Z"),),
    "same name, other case": (("X-AMZ-DATE", "20260101T000000Z"),),
    "zero byte": (("x-a", "a\x00b"),),
    "not ASCII": (("x-a", "é"),),
    "name not ASCII": (("x-é", "a"),),
    "100 KB": (("x-a", "a" * 100_000),),
    "10,000 headers": tuple((f"x-{n}", "1") for n in range(10_000)),
}


@pytest.mark.parametrize("what", HEADS)
def test_h4_heads(what: str, attacker: Attacker, watch: Watch, keys: Keys) -> None:
    """H4: 400 or 431, although the rest of the request is signed and right."""
    with counts_strangers(watch, "Front"):
        answer = attacker.ask(identity_call(extra_after=HEADS[what]), keys)
        assert answer.status in (400, 431)


def test_h6_a_host_routes_nowhere(attacker: Attacker, watch: Watch, keys: Keys) -> None:
    """H6: by whatever name it is called, from outside it is the outside door."""
    for host in ("api.casemate.internal", "admin.internal", "b.s3.localhost:1"):
        answer = attacker.ask(identity_call(host=host), keys)
        assert answer.status == 200
        record = watch.record(answer.id)
        assert record["additionalEventData"]["door"] == "https"
        assert record["additionalEventData"]["cell"] is None


def test_h6_two_hosts(attacker: Attacker, watch: Watch, keys: Keys) -> None:
    """H6: an absolute target of another host, a second Host, or none: 400."""
    whole = attacker.written(identity_call(), keys)
    forms = [
        whole.replace(b"POST / ", b"POST https://other/ ", 1),
        whole.replace(b"POST / ", b"POST https://x@other/ ", 1),
        whole.replace(b"host: ", b"host: other\r\nhost: ", 1),
        whole.replace(b"host: ", b"x-host: ", 1),
        whole.replace(b"host: ", b"host: a@", 1),
    ]
    for form in forms:
        with counts_strangers(watch, "Front"):
            assert attacker.send(form).status == 400


def test_plain_http_is_refused(platform: Platform, watch: Watch) -> None:
    """H6: nothing is answered without TLS but what this port is."""
    port = Attacker(platform).port
    with (
        counts_strangers(watch, "Front"),
        socket.create_connection(("127.0.0.1", port), 10) as sock,
    ):
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"this port speaks HTTPS only" in sock.recv(4096)


def test_h2_slow_heads_end(
    slow: Slow, watch: Watch, attacker: Attacker, keys: Keys
) -> None:
    """H2: while many dribble, others are served; then each dribbler gets its 408."""
    assert attacker.ask(identity_call(), keys).status == 200
    assert slow.thread is not None
    slow.thread.join(60)
    assert [answer.status for answer in slow.answers] == [408] * SLOW
    assert all(HEAD_SECONDS - 1 < s < HEAD_SECONDS + 5 for s in slow.seconds)
    assert watch.strangers("Front") >= slow.counted + SLOW
