"""Checkpoints and data keys: nothing is signed backwards, nothing opens elsewhere."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unit.keyholder.stand import Hands, ask, opened

HEADS = [letter * 64 for letter in "0123"]


def test_a_checkpoint_verifies_with_the_public_key(folder: Path, clock: Hands) -> None:
    """Statement and signature are all that a verifier needs."""
    keyholder = opened(folder, clock)
    signed = ask(keyholder, "checkpoint", count=5, head=HEADS[1], at=12.5)
    public = ask(keyholder, "public")
    key = load_pem_public_key(str(public["audit_key"]).encode())
    assert isinstance(key, Ed25519PublicKey)
    statement = base64.b64decode(str(signed["statement"]))
    signature = base64.b64decode(str(signed["signature"]))

    key.verify(signature, statement)
    with pytest.raises(InvalidSignature):
        key.verify(signature, statement.replace(b"5", b"6"))
    told = json.loads(statement)
    assert (5, HEADS[1], 12.5) == (told["count"], told["head"], told["at"])
    assert public["audit_key_id"] == told["key_id"] == signed["key_id"]


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    asked=st.lists(
        st.tuples(st.integers(0, 6), st.sampled_from(HEADS), st.booleans()),
        max_size=12,
    )
)
def test_no_two_heads_for_one_count_and_never_fewer(
    tmp_path_factory: pytest.TempPathFactory,
    asked: list[tuple[int, str, bool]],
) -> None:
    """Whatever is asked, restarts between: what was signed forms one line."""
    folder = tmp_path_factory.mktemp("k", numbered=True)
    keyholder = opened(folder, Hands())
    last: tuple[int, str] | None = None
    for count, head, restart in asked:
        if restart:
            keyholder = opened(folder, Hands())
        answer = ask(keyholder, "checkpoint", count=count, head=head, at=0)
        if last is not None and count < last[0]:
            assert "RolledBack" == answer["refused"]
        elif last is not None and count == last[0] and head != last[1]:
            assert "Forked" == answer["refused"]
        else:
            assert "signature" in answer
            last = (count, head)


@pytest.mark.parametrize(
    "members",
    [
        {"count": -1},
        {"count": True},
        {"count": 1.0},
        {"count": 2**60},
        {"head": "A" * 64},
        {"head": "a" * 63},
        {"at": -1},
        {"at": "now"},
        {"at": False},
        {"more": 1},
    ],
)
def test_a_checkpoint_is_well_formed(
    folder: Path, clock: Hands, members: dict[str, object]
) -> None:
    """What is not a count, a head and a time is not signed."""
    whole = {"count": 1, "head": HEADS[0], "at": 0, **members}

    answer = ask(opened(folder, clock), "checkpoint", **whole)
    assert "Malformed" == answer["refused"]


def test_a_data_key_opens_under_its_context_only(folder: Path, clock: Hands) -> None:
    """The context is bound; an altered wrapping and a spliced context fail alike."""
    keyholder = opened(folder, clock)
    made = ask(keyholder, "data_key_new", context="account/1")
    wrapped = str(made["wrapped"])
    altered = base64.b64encode(base64.b64decode(wrapped)[:-1] + b"\0").decode()

    same = ask(keyholder, "data_key_open", context="account/1", wrapped=wrapped)
    assert made["plaintext"] == same["plaintext"]
    assert 32 == len(base64.b64decode(str(made["plaintext"])))
    for context, text in (
        ("account/2", wrapped),
        ("account/1", altered),
        ("account/1", "AAAA"),
    ):
        answer = ask(keyholder, "data_key_open", context=context, wrapped=text)
        assert "WrongContext" == answer["refused"]
