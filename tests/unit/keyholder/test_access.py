"""Access keys and sessions: derived, sealed, never stored, never revived."""

from __future__ import annotations

import base64
import hmac
import random
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from casemate_keyholder.__main__ import Keyholder
from unit.keyholder.stand import NOON, Hands, ask, opened

TODAY = datetime.fromtimestamp(NOON, UTC).strftime("%Y%m%d")


def signing(
    keyholder: Keyholder, access_key_id: object, token: object, date: str = TODAY
) -> dict[str, object]:
    return ask(
        keyholder,
        "signing_key",
        access_key_id=access_key_id,
        token=token,
        date=date,
        region="us-east-1",
        service="lambda",
    )


def chain(secret: str) -> str:
    """Derive the signing key as AWS documents it."""
    key = b"AWS4" + secret.encode()
    for word in (TODAY, "us-east-1", "lambda", "aws4_request"):
        key = hmac.digest(key, word.encode(), "sha256")
    return base64.b64encode(key).decode()


def test_the_documented_key_chain() -> None:
    """The chain of the tests is the one of AWS's published example."""
    key = b"AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    for word in (b"20120215", b"us-east-1", b"iam", b"aws4_request"):
        key = hmac.digest(key, word, "sha256")

    assert "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d" == (
        key.hex()
    )


def test_an_access_key_looks_like_one_and_signs(folder: Path, clock: Hands) -> None:
    """The id and secret have AWS's form, and the signing key follows from them."""
    keyholder = opened(folder, clock)
    made = ask(keyholder, "access_key_new")

    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", str(made["access_key_id"]))
    assert re.fullmatch(r"[A-Za-z0-9+/]{40}", str(made["secret"]))
    key = signing(keyholder, made["access_key_id"], None)
    assert {"key": chain(str(made["secret"]))} == key
    assert key == signing(opened(folder, clock), made["access_key_id"], None)


def test_a_session_carries_its_claims_to_its_end(folder: Path, clock: Hands) -> None:
    """Claims and end come back from the token; one second late is too late."""
    keyholder = opened(folder, clock)
    claims = {"account": "123456789012", "role": "arn:…", "n": [1, None, "é"]}
    made = ask(keyholder, "session_new", claims=claims, seconds=900)

    assert int(NOON) + 900 == made["expires_at"]
    expected = {
        "key": chain(str(made["secret"])),
        "claims": claims,
        "expires_at": made["expires_at"],
    }
    clock.pass_by(899)
    assert expected == signing(keyholder, made["access_key_id"], made["token"])
    clock.pass_by(1)
    late = signing(keyholder, made["access_key_id"], made["token"])
    assert "ExpiredToken" == late["refused"]


def test_a_token_is_good_with_its_own_id_only(folder: Path, clock: Hands) -> None:
    """No token, another's token, a long-term id with a token: refused alike."""
    keyholder = opened(folder, clock)
    one = ask(keyholder, "session_new", claims={}, seconds=60)
    two = ask(keyholder, "session_new", claims={}, seconds=60)
    long_term = ask(keyholder, "access_key_new")["access_key_id"]

    for access_key_id, token in (
        (one["access_key_id"], None),
        (one["access_key_id"], two["token"]),
        (long_term, one["token"]),
        ("ASIA" + "A" * 15, one["token"]),
        ("AKIA" + "a" * 16, None),
        (str(long_term) + "\n", None),
        ("root", None),
    ):
        refused = signing(keyholder, access_key_id, token)["refused"]
        assert "InvalidClientTokenId" == refused


def test_a_token_of_another_root_is_refused(tmp_path: Path, clock: Hands) -> None:
    """A token made elsewhere is nothing here."""
    (tmp_path / "a").mkdir(mode=0o700)
    (tmp_path / "b").mkdir(mode=0o700)
    made = ask(opened(tmp_path / "a", clock), "session_new", claims={}, seconds=60)
    here = opened(tmp_path / "b", clock)

    refused = signing(here, made["access_key_id"], made["token"])["refused"]
    assert "InvalidClientTokenId" == refused


def test_ten_thousand_altered_tokens_are_refused(folder: Path, clock: Hands) -> None:
    """A8: one bit, one character, a cut, a graft: InvalidClientTokenId each time."""
    keyholder = opened(folder, clock)
    made = ask(keyholder, "session_new", claims={"role": "r"}, seconds=900)
    token, access_key_id = str(made["token"]), made["access_key_id"]
    source = random.Random(8)  # noqa: S311 — a fuzz that can be repeated

    for _ in range(10_000):
        clock.pass_by(0.001)
        altered = mutated(token, source)
        if altered == token:
            continue
        refused = signing(keyholder, access_key_id, altered).get("refused")
        assert refused in {"InvalidClientTokenId", "Malformed"}, altered
        assert "Malformed" != refused or not altered


def mutated(token: str, source: random.Random) -> str:
    """Alter a token in one of several ways."""
    at = source.randrange(len(token))
    way = source.randrange(5)
    if way == 0:
        return token[:at]
    if way == 1:
        return (
            token[:at]
            + chr(ord(token[at]) ^ (1 << source.randrange(7)))
            + (token[at + 1 :])
        )
    if way == 2:
        raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        raw[source.randrange(len(raw))] ^= 1 << source.randrange(8)
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    if way == 3:
        return token[:at] + source.choice("=\n .+/\0é") + token[at:]
    return token[at:] + token[:at]


def test_a_token_has_one_spelling(folder: Path, clock: Hands) -> None:
    """The unused bits of the last character are not a second spelling."""
    keyholder = opened(folder, clock)
    made = ask(keyholder, "session_new", claims={"a": "b"}, seconds=60)
    token = str(made["token"])
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

    spellings = [
        last
        for last in alphabet
        if "key" in signing(keyholder, made["access_key_id"], token[:-1] + last)
    ]
    assert [token[-1]] == spellings
    padded = token + "=" * (-len(token) % 4 or 4)
    assert "refused" in signing(keyholder, made["access_key_id"], padded)


@pytest.mark.parametrize("restart", [False, True])
def test_a_clock_set_back_revives_nothing(
    folder: Path, clock: Hands, restart: bool
) -> None:
    """A18: what was refused as expired stays so, over a restart as well."""
    keyholder = opened(folder, clock)
    made = ask(keyholder, "session_new", claims={}, seconds=60)
    clock.pass_by(61)
    first = signing(keyholder, made["access_key_id"], made["token"])
    clock.at = NOON

    keyholder = opened(folder, clock) if restart else keyholder
    second = signing(keyholder, made["access_key_id"], made["token"])
    assert ["ExpiredToken"] * 2 == [first["refused"], second["refused"]]
    assert keyholder.high_water.behind() >= 60


def test_a_mark_far_ahead_locks_nobody_out(folder: Path, clock: Hands) -> None:
    """After a clock that was years ahead, sessions last as long as was asked."""
    clock.at = NOON + 10 * 365 * 86_400
    opened(folder, clock)
    clock.at = NOON
    keyholder = opened(folder, clock)
    made = ask(keyholder, "session_new", claims={}, seconds=60)

    clock.pass_by(59)
    assert "key" in signing(keyholder, made["access_key_id"], made["token"])
    clock.pass_by(2)
    late = signing(keyholder, made["access_key_id"], made["token"])
    assert "ExpiredToken" == late["refused"]


@pytest.mark.parametrize(
    ("days", "good"), [(-9, False), (-8, True), (0, True), (1, True), (2, False)]
)
def test_only_days_that_a_signature_may_have_today(
    folder: Path, clock: Hands, days: int, good: bool
) -> None:
    """A taken node cannot collect the signing keys of days to come."""
    keyholder = opened(folder, clock)
    made = ask(keyholder, "access_key_new")
    date = datetime.fromtimestamp(NOON + days * 86_400, UTC).strftime("%Y%m%d")

    answer = signing(keyholder, made["access_key_id"], None, date)
    assert good == ("key" in answer)
    assert good or "SignatureDoesNotMatch" == answer["refused"]


@pytest.mark.parametrize(
    "date", ["2026", "20261301", "\uff12\uff10\uff12\uff16" * 2, "20260101 ", "x"]
)
def test_a_date_is_eight_digits(folder: Path, clock: Hands, date: str) -> None:
    """What is no date is refused as a signature that cannot match."""
    answer = signing(opened(folder, clock), "AKIA" + "A" * 16, None, date)

    assert "SignatureDoesNotMatch" == answer["refused"]


def test_claims_are_bounded(folder: Path, clock: Hands) -> None:
    """8 KiB of claims, 12 hours, whole seconds; no more."""
    keyholder = opened(folder, clock)
    edge = {"a": "x" * (8192 - len('{"a":""}'))}

    made = ask(keyholder, "session_new", claims=edge, seconds=43_200)
    assert edge == signing(keyholder, made["access_key_id"], made["token"])["claims"]
    over = ask(keyholder, "session_new", claims={"aa": edge["a"]}, seconds=1)
    assert "TooLarge" == over["refused"]
    for seconds in (0, 43_201, -1, 1.5, True, "60", None):
        refused = ask(keyholder, "session_new", claims={}, seconds=seconds)
        assert "Malformed" == refused["refused"]
