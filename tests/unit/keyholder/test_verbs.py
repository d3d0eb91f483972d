"""Verbs: bounded, metered, recorded; hostile bytes get an error, never a crash."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from casemate_keyholder.files import Folder
from casemate_keyholder.journal import Journal
from unit.keyholder.stand import Hands, ask, opened

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
VERBS = ["data_key_new", "data_key_open", "access_key_new", "session_new"]
VERBS += ["signing_key", "leaf", "checkpoint", "public", "shutdown", ""]
MEMBERS = ["context", "wrapped", "claims", "seconds", "token", "date", "region"]
MEMBERS += ["service", "access_key_id", "authority", "names", "count", "head", "at"]


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> object:
    folder = tmp_path_factory.mktemp("standing")
    folder.chmod(0o700)
    return opened(folder, Hands())


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300))
def test_any_bytes_get_an_error(folder: Path, data: bytes) -> None:
    """Bytes that are no request get an error without a number."""
    answer = opened(folder, Hands()).verbs.answer(data)

    assert "error" in answer


@settings(max_examples=400, deadline=None)
@given(
    number=json_values,
    verb=st.sampled_from(VERBS),
    members=st.dictionaries(st.sampled_from(MEMBERS), json_values),
)
def test_any_request_is_answered(
    standing: object, number: object, verb: str, members: dict[str, object]
) -> None:
    """Members of any type and value give an answer, and never an internal error."""
    request = {"id": number, "verb": verb, **members}
    answer = standing.verbs.answer(json.dumps(request).encode())  # type: ignore[attr-defined]  # a fixture of module scope

    assert {"id"} < answer.keys()
    assert "Internal" != answer.get("error", {}).get("code")


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b'{"id":1,"id":2,"verb":"public"}',
        b'{"id":NaN,"verb":"public"}',
        b'{"id":' + b"9" * 5000 + b',"verb":"public"}',
        b'{"id":1e999,"verb":"public"}',
        b"[]",
        b"null",
        b'{"id":true,"verb":"public"}',
        b'{"id":1,"verb":"public","more":0}',
        b'{"id":1,"verb":"__init__"}',
        b'{"id":1,"verb":["public"]}',
        b'{"id":1,"verb":"data_key_new","context":"\\ud800"}',
        b'{"id":1,"verb":"session_new","seconds":1,"claims":{"a":"\\ud800"}}',
        '{"id":1,"verb":"leaf","authority":"edge","names":["é"]}'.encode(),
        b"\xff\xfe",
    ],
)
def test_hostile_json_is_refused(folder: Path, clock: Hands, data: bytes) -> None:
    """Nesting, duplicates, constants, huge numbers, surrogates: an error each."""
    answer = opened(folder, clock).verbs.answer(data)

    error = answer["error"]
    assert isinstance(error, dict)
    assert error["code"] in {"Malformed", "UnknownVerb", "NameNotPermitted"}


def test_a_verb_that_is_used_too_often_is_throttled(folder: Path, clock: Hands) -> None:
    """The bucket empties, refills with time, and each verb has its own."""
    keyholder = opened(folder, clock)

    answers = [ask(keyholder, "access_key_new") for _ in range(81)]
    assert ["Throttled"] == [a["refused"] for a in answers if "refused" in a]
    assert "ca" in ask(keyholder, "public")
    clock.pass_by(0.05)
    assert "secret" in ask(keyholder, "access_key_new")
    assert "refused" in ask(keyholder, "access_key_new")


def test_rare_verbs_are_recorded_and_no_secret_is(folder: Path, clock: Hands) -> None:
    """Each rare call has its line; no key, secret, token or claim is in the log."""
    keyholder = opened(folder, clock)
    session = ask(keyholder, "session_new", claims={"canary": "bird"}, seconds=60)
    key = ask(keyholder, "access_key_new")
    data_key = ask(keyholder, "data_key_new", context="c")
    ask(keyholder, "data_key_open", context="c", wrapped=data_key["wrapped"])
    ask(keyholder, "data_key_open", context="other", wrapped=data_key["wrapped"])
    leaf = ask(keyholder, "leaf", authority="edge", names=["localhost"])
    ask(keyholder, "leaf", authority="edge", names=["example.com"])
    ask(keyholder, "checkpoint", count=1, head="a" * 64, at=0)
    ask(
        keyholder,
        "signing_key",
        access_key_id=key["access_key_id"],
        token=None,
        date="20200101",
        region="r",
        service="s",
    )
    keyholder.tick()

    text = (folder / "verbs.log").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    endings = [(line["verb"], line.get("ending")) for line in lines]
    assert [
        ("session_new", "ok"),
        ("access_key_new", "ok"),
        ("data_key_open", "ok"),
        ("data_key_open", "WrongContext"),
        ("leaf", "ok"),
        ("leaf", "NameNotPermitted"),
        ("checkpoint", "ok"),
        ("data_key_new", None),
        ("signing_key", None),
    ] == endings
    assert {"SignatureDoesNotMatch": 1} == lines[-1]["counted"]
    secrets = [session["secret"], session["token"], key["secret"], "bird"]
    secrets += [data_key["plaintext"], leaf["private_key"], "PRIVATE"]
    assert not [secret for secret in secrets if str(secret) in text]


def test_what_cannot_be_recorded_is_not_answered(folder: Path, clock: Hands) -> None:
    """A journal on a full disk refuses the rare verbs; others go on."""
    keyholder = opened(folder, clock)
    journal = keyholder.verbs._journal
    os.close(journal._descriptor)
    journal._descriptor = os.open("/dev/full", os.O_WRONLY)

    assert "Unrecorded" == ask(keyholder, "access_key_new")["refused"]
    assert "plaintext" in ask(keyholder, "data_key_new", context="c")
    os.close(journal._descriptor)


def test_the_log_turns_by_size(folder: Path, clock: Hands) -> None:
    """Five files at most, each within the limit, no line torn."""
    opened_folder = Folder.open(str(folder))
    journal = Journal(opened_folder, clock, file_limit=1000)
    for number in range(200):
        journal.write({"number": number})

    files = sorted(folder.glob("verbs.log*"))
    assert 5 == len(files)
    assert all(file.stat().st_size <= 1000 for file in files)
    lines = [line for file in files for line in file.read_text().splitlines()]
    assert 199 == max(json.loads(line)["number"] for line in lines)
