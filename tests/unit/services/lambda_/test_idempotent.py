"""Laws of idempotency policies: set, shown, said by tags, and held at Invoke."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from casemate.core.call import Admitted, Inside, Sender, Sound
from casemate.core.errors import Invalid, NotFound, Throttled, TooLarge
from casemate.core.operation import Scope, Told
from casemate.services.lambda_.idempotency.once import MISMATCH, NO_KEY, OnceLimits
from casemate.services.lambda_.idempotency.policy import EXPIRES_TAG, KEY_TAG
from casemate.services.lambda_.settings import ONCE_EVENT, FunctionSettings
from unit.services.calls import (
    ACCOUNT,
    OTHER_ACCOUNT,
    REGION,
    Answer,
    admitted,
    session_of,
)
from unit.services.lambda_.test_functions import run
from unit.services.lambda_world import World, composed

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
F = {"FunctionName": "f"}
KEYED = {"KeyExpression": "id"}


async def put(w: World, **more: object) -> Mapping[str, object]:
    return await w.call("PutIdempotencyPolicy", **{**F, **KEYED, **more})


async def invoke(w: World, event: object, **more: object) -> Mapping[str, object]:
    payload = json.dumps(event).encode()
    return await w.call("Invoke", **{**F, "Payload": payload, **more})


def is_stored(answer: object) -> bool:
    """Tell whether an answer is an earlier call's: in the header and the record."""
    told = isinstance(answer, Answer | Told) and (
        answer.notes.get("idempotency") == "stored"
    )
    if told:
        assert isinstance(answer, Answer | Told)
        assert answer.headers == (("x-casemate-idempotency", "stored"),)
        assert answer.notes["idempotencyOf"]
    return told


def test_a_policy_is_put_shown_and_taken_off(tmp_path: Path) -> None:
    """With AWS's way of naming functions; taking off nothing is no error."""

    async def law(w: World) -> None:
        await w.made()
        with pytest.raises(NotFound, match="no idempotency policy"):
            await w.call("GetIdempotencyPolicy", **F)
        whole = {
            "FunctionArn": ARN,
            "KeyExpression": "[id, at]",
            "PayloadExpression": "amount",
            "ExpiresAfterSeconds": 60,
            "KeyMissing": "Run",
            "Source": "Policy",
        }
        given = {k: v for k, v in whole.items() if k not in ("FunctionArn", "Source")}
        assert whole == await put(w, **given)
        for name in ("f", ARN, f"{ACCOUNT}:function:f"):
            told = await w.call("GetIdempotencyPolicy", FunctionName=name)
            assert whole == told
        short = await put(w)
        assert (short["ExpiresAfterSeconds"], short["KeyMissing"]) == (3600, "Refuse")
        assert "PayloadExpression" not in short
        for _ in range(2):
            assert {} == await w.call("DeleteIdempotencyPolicy", **F)
        with pytest.raises(NotFound):
            await w.call("GetIdempotencyPolicy", **F)

    run(tmp_path, law)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"KeyExpression": "a[*]"}, "KeyExpression"),
        ({"KeyExpression": "length(a)"}, "KeyExpression"),
        ({"KeyExpression": "a" * 257}, "KeyExpression"),
        ({"PayloadExpression": "a | b"}, "PayloadExpression"),
        ({"PayloadExpression": ""}, "PayloadExpression"),
        ({"ExpiresAfterSeconds": 0}, "ExpiresAfterSeconds"),
        ({"ExpiresAfterSeconds": 2_592_001}, "ExpiresAfterSeconds"),
        ({"KeyMissing": "Ignore"}, "KeyMissing"),
        ({"FunctionName": "f:$LATEST"}, "qualifier"),
    ],
)
def test_a_bad_policy_is_refused_and_not_kept(
    tmp_path: Path, bad: Mapping[str, object], said: str
) -> None:
    """By the member's name."""

    async def law(w: World) -> None:
        await w.made()
        with pytest.raises(Invalid, match=said):
            await put(w, **bad)
        with pytest.raises(NotFound):
            await w.call("GetIdempotencyPolicy", **F)

    run(tmp_path, law)


def test_a_policy_is_of_ones_own_function(tmp_path: Path) -> None:
    """A bare name is of the caller's account; one that is not there is not found."""

    async def law(w: World) -> None:
        await w.made()
        for caller, name in ((w.of(OTHER_ACCOUNT), "f"), (w.call, "g")):
            with pytest.raises(NotFound, match="Function not found"):
                await caller("PutIdempotencyPolicy", FunctionName=name, **KEYED)

    run(tmp_path, law)


def test_tags_say_a_policy_and_one_that_was_put_wins(tmp_path: Path) -> None:
    """At creation, by TagResource, and gone with the tags."""

    async def law(w: World) -> None:
        await w.made(Tags={KEY_TAG: "detail.id", EXPIRES_TAG: "90"})
        told = await w.call("GetIdempotencyPolicy", **F)
        assert told["KeyExpression"] == "detail.id"
        assert (told["ExpiresAfterSeconds"], told["Source"]) == (90, "Tags")
        await put(w, KeyExpression="other")
        told = await w.call("GetIdempotencyPolicy", **F)
        assert (told["KeyExpression"], told["Source"]) == ("other", "Policy")
        await w.call("DeleteIdempotencyPolicy", **F)
        assert (await w.call("GetIdempotencyPolicy", **F))["Source"] == "Tags"
        await w.call("TagResource", Resource=ARN, Tags={KEY_TAG: "id"})
        await invoke(w, {"id": 1})
        assert is_stored(await invoke(w, {"id": 1}))
        await w.call("UntagResource", Resource=ARN, TagKeys=[KEY_TAG, EXPIRES_TAG])
        assert not is_stored(await invoke(w, {"id": 1}))

    run(tmp_path, law)


def test_bad_tags_are_refused_and_not_kept(tmp_path: Path) -> None:
    """At creation, by TagResource, and where untagging would leave half."""

    async def law(w: World) -> None:
        bad = ({KEY_TAG: "a..b"}, {EXPIRES_TAG: "60"}, {KEY_TAG: "a", EXPIRES_TAG: "x"})
        for tags in bad:
            with pytest.raises(Invalid, match="casemate:idempotency"):
                await w.made(Tags=tags)
        await w.made()
        for tags in bad:
            with pytest.raises(Invalid, match="casemate:idempotency"):
                await w.call("TagResource", Resource=ARN, Tags=tags)
        assert (await w.call("ListTags", Resource=ARN))["Tags"] == {}
        good = {KEY_TAG: "id", EXPIRES_TAG: "60"}
        await w.call("TagResource", Resource=ARN, Tags=good)
        with pytest.raises(Invalid, match=EXPIRES_TAG):
            await w.call("UntagResource", Resource=ARN, TagKeys=[KEY_TAG])
        assert (await w.call("ListTags", Resource=ARN))["Tags"] == good

    run(tmp_path, law)


def test_a_call_with_a_known_key_runs_nothing(tmp_path: Path) -> None:
    """The answer, its version, and no log of a run that was not."""

    async def law(w: World) -> None:
        await w.made()
        await put(w)
        event = {"id": "k", "n": 1.50}
        first = await invoke(w, event)
        assert not is_stored(first)
        second = await invoke(w, event, LogType="Tail")
        assert is_stored(second)
        assert dict(second) == dict(first)
        spelled = b'{ "n": 1.5,\n"id": "\\u006b" }'
        third = await w.call("Invoke", **F, Payload=spelled)
        assert is_stored(third)
        assert len(w.cells.ran) == 1
        assert not is_stored(await invoke(w, {"id": "other"}))

    run(tmp_path, law)


def test_every_qualifier_has_the_same_keys(tmp_path: Path) -> None:
    """A retry that an alias leads to another version is a retry all the same."""

    async def law(w: World) -> None:
        await w.made()
        await put(w)
        await w.call("PublishVersion", **F)
        await w.call("CreateAlias", **F, Name="live", FunctionVersion="1")
        first = await invoke(w, {"id": 1}, Qualifier="live")
        assert (first["ExecutedVersion"], is_stored(first)) == ("1", False)
        for qualifier in ("$LATEST", "1", "live"):
            again = await invoke(w, {"id": 1}, Qualifier=qualifier)
            assert (again["ExecutedVersion"], is_stored(again)) == ("1", True)

    run(tmp_path, law)


def test_another_event_under_a_key_is_refused(tmp_path: Path) -> None:
    """Unless the policy compares a part, and that is the same (R16)."""

    async def law(w: World) -> None:
        await w.made()
        await put(w)
        await invoke(w, {"id": 1, "amount": 5, "at": 1})
        with pytest.raises(Invalid) as refused:
            await invoke(w, {"id": 1, "amount": 5, "at": 2})
        assert refused.value.code == MISMATCH
        await put(w, PayloadExpression="amount")
        await invoke(w, {"id": 1, "amount": 5, "at": 1})
        assert is_stored(await invoke(w, {"id": 1, "amount": 5, "at": 2}))
        with pytest.raises(Invalid, match="differs"):
            await invoke(w, {"id": 1, "amount": 6, "at": 2})
        assert len(w.cells.ran) == 2

    run(tmp_path, law)


def test_an_event_without_a_key_is_refused_or_runs(tmp_path: Path) -> None:
    """As the policy says; what runs without a key says so in the record."""

    async def law(w: World) -> None:
        await w.made()
        await put(w, KeyExpression="order.id")
        events: tuple[object, ...] = ({}, {"order": {}}, {"order": {"id": ""}}, [], 0)
        for event in events:
            with pytest.raises(Invalid, match=r"order\.id") as refused:
                await invoke(w, event)
            assert refused.value.code == NO_KEY
        assert w.cells.ran == []
        await put(w, KeyExpression="order.id", KeyMissing="Run")
        for count in (1, 2):
            answer = await invoke(w, {})
            assert isinstance(answer, Answer)
            assert answer.notes == {"idempotency": "no key"}
            assert answer.headers == ()
            assert len(w.cells.ran) == count

    run(tmp_path, law)


def test_an_error_of_the_function_is_not_stored(tmp_path: Path) -> None:
    """The next call runs again."""

    async def law(w: World) -> None:
        await w.made()
        await put(w)
        w.cells.error = "Unhandled"
        for _ in range(2):
            assert (await invoke(w, {"id": 1}))["FunctionError"] == "Unhandled"
        w.cells.error = None
        assert not is_stored(await invoke(w, {"id": 1}))
        assert is_stored(await invoke(w, {"id": 1}))
        assert len(w.cells.ran) == 3

    run(tmp_path, law)


def test_events_of_a_function_with_a_policy_are_bounded(tmp_path: Path) -> None:
    """In bytes and in depth; without a policy nobody reads them."""

    async def law(w: World) -> None:
        await w.made()
        pad = "x" * (ONCE_EVENT - len('{"id":1,"p":""}'))
        full = f'{{"id":1,"p":"{pad}"}}'.encode()
        over = full[:-2] + b'x"}'
        await w.call("Invoke", **F, Payload=over)
        await put(w)
        await w.call("Invoke", **F, Payload=full)
        with pytest.raises(TooLarge, match=str(ONCE_EVENT)):
            await w.call("Invoke", **F, Payload=over)
        ran = len(w.cells.ran)
        for depth in (*range(880, 1000, 7), 5000):
            event = b'{"id":%d,"d":' % depth + b"[" * depth + b"]" * depth + b"}"
            # Where the recursion ends depends on who calls; it ends in a refusal.
            with suppress(Invalid):
                await w.call("Invoke", **F, Payload=event)
                ran += 1
        assert len(w.cells.ran) == ran
        with pytest.raises(Invalid):
            await w.call("Invoke", **F, Payload=event)
        await w.call("DeleteIdempotencyPolicy", **F)
        await w.call("Invoke", **F, Payload=over)

    run(tmp_path, law)


def test_a_stream_is_no_way_around_a_policy(tmp_path: Path) -> None:
    """It is refused by name, and runs nothing."""

    async def law(w: World) -> None:
        await w.made()
        await put(w)
        with pytest.raises(Invalid, match="idempotency policy"):
            await w.call("InvokeWithResponseStream", **F, Payload=b'{"id": 1}')
        assert w.cells.ran == []

    run(tmp_path, law)


def test_a_dry_run_asks_for_no_key(tmp_path: Path) -> None:
    """It runs nothing, so it is nobody's first."""

    async def law(w: World) -> None:
        await w.made()
        await put(w)
        dry = await invoke(w, {"id": 1}, InvocationType="DryRun")
        assert dry == {"StatusCode": 204}
        assert {"StatusCode": 204} == await invoke(w, {}, InvocationType="DryRun")
        assert not is_stored(await invoke(w, {"id": 1}))

    run(tmp_path, law)


def test_r16_no_function_and_no_account_gets_anothers_answer(tmp_path: Path) -> None:
    """The same key and event: of another function, a later one, another caller."""

    async def law(w: World) -> None:
        await w.made()
        await w.made("g")
        event = {"id": "k"}
        for name in ("f", "g"):
            await put(w, FunctionName=name)
            assert not is_stored(await invoke(w, event, FunctionName=name))
        other = w.of(OTHER_ACCOUNT)
        payload = json.dumps(event).encode()
        theirs = {"FunctionName": ARN, "Payload": payload}
        assert not is_stored(await other("Invoke", **theirs))
        assert is_stored(await other("Invoke", **theirs))
        # Nor do they learn that there is a key: another event is no mismatch.
        await invoke(w, {"id": "own", "n": 1})
        probe = {"FunctionName": ARN, "Payload": b'{"id": "own", "n": 2}'}
        assert not is_stored(await other("Invoke", **probe))
        await w.call("DeleteFunction", **F)
        await w.made()
        await put(w)
        assert not is_stored(await invoke(w, event))

    run(tmp_path, law)


def test_r16_what_is_done_later_has_its_senders_keys(tmp_path: Path) -> None:
    """Lambda runs it for the function's account, and another account sent it."""

    async def law(w: World) -> None:
        await w.made()
        await put(w)
        event = {"FunctionName": ARN, "Payload": b'{"id": "k"}'}
        assert not is_stored(await w.call("Invoke", **event))
        operation = w.call.operations["Invoke"]

        def sent_by(account: str) -> Admitted:
            call = admitted(operation, event)
            sender = Sender(principal=session_of(account=account))
            claim = Inside(
                service="lambda.amazonaws.com", account=ACCOUNT, sender=sender
            )
            known = replace(call.known, arrival=replace(call.arrival, claim=claim))
            return Admitted(
                sound=Sound(allowed=replace(call.sound.allowed, known=known))
            )

        for _ in range(2):
            assert is_stored(await operation.method(sent_by(ACCOUNT)))
        assert not is_stored(await operation.method(sent_by(OTHER_ACCOUNT)))
        assert is_stored(await operation.method(sent_by(OTHER_ACCOUNT)))

    run(tmp_path, law)


def test_a_policy_that_looks_elsewhere_begins_anew(tmp_path: Path) -> None:
    """And one that is put again as it was does not."""

    async def law(w: World) -> None:
        await w.made()
        event = {"id": "k", "other": "k"}
        await put(w)
        await invoke(w, event)
        await put(w, ExpiresAfterSeconds=60)
        assert is_stored(await invoke(w, event))
        await put(w, KeyExpression="other")
        assert not is_stored(await invoke(w, event))

    run(tmp_path, law)


def test_a_stored_answer_takes_no_place_of_the_function(tmp_path: Path) -> None:
    """Admission is told of no share; for a call that runs, it is."""

    async def law(w: World) -> None:
        await w.made()
        await put(w)
        most = {"ReservedConcurrentExecutions": 1}
        await w.call("PutFunctionConcurrency", **F, **most)
        scope = Scope(account=ACCOUNT, region=REGION)

        def share(payload: bytes, by: Scope = scope) -> bool:
            given = {"FunctionName": ARN, "Payload": payload}
            return w.service.share(given, by) is not None

        event = b'{"id": 1}'
        assert share(event)
        await w.call("Invoke", **F, Payload=event)
        assert not share(event)
        assert share(event, Scope(account=OTHER_ACCOUNT, region=REGION))
        for other in (b'{"id": 2}', b'{"id": 1, "x": 1}', b"{}", b"{", b"x" * 2**21):
            assert share(other)
        w.clock.forward(3600.0)
        assert share(event)

    run(tmp_path, law)


def test_a_stored_answer_outlives_a_restart(tmp_path: Path) -> None:
    """Policies and answers are read back from the store."""

    async def law(w: World) -> None:
        await w.made()
        await put(w)
        await invoke(w, {"id": 1})
        later = composed(w.store, w.clock, w.cells, w.workshop, FunctionSettings())
        again = type(w.call).of(later.operations)
        answer = await again("Invoke", **F, Payload=b'{"id": 1}')
        assert is_stored(answer)
        await later.close()

    run(tmp_path, law)


def test_keys_of_an_account_have_an_end(tmp_path: Path) -> None:
    """One more is throttled in AWS's words, and runs nothing."""

    async def law(w: World) -> None:
        await w.made()
        await put(w)
        await invoke(w, {"id": 1})
        with pytest.raises(Throttled, match="idempotency keys"):
            await invoke(w, {"id": 2})
        assert len(w.cells.ran) == 1
        await w.made("g")
        await w.call("Invoke", FunctionName="g", Payload=b'{"id": 2}')

    run(tmp_path, law, FunctionSettings(once=OnceLimits(keys=1)))


def test_keys_are_not_in_the_store(tmp_path: Path) -> None:
    """Names are keyed hashes; a key that one knows is not found by its name."""

    async def law(w: World) -> None:
        await w.made()
        await put(w)
        secret = "order-4711-of-carol"
        await invoke(w, {"id": secret})
        for table in ("lambda.once", "lambda.answers"):
            records = w.store.records.scan(ACCOUNT, table)
            assert [64] == [len(record.key) for record in records]
            assert all(secret not in record.key for record in records)
        entry = w.store.records.scan(ACCOUNT, "lambda.once")[0]
        assert secret.encode() not in entry.value

    run(tmp_path, law)


def test_r16_what_one_tenant_id_got_is_no_other_s(tmp_path: Path) -> None:
    """Tenant ids of the application's own have no key in common."""

    async def law(w: World) -> None:
        await w.made(TenancyConfig={"TenantIsolationMode": "PER_TENANT"})
        await put(w)
        first = await invoke(w, {"id": "k"}, TenantId="blue")
        assert not is_stored(first)
        assert not is_stored(await invoke(w, {"id": "k"}, TenantId="green"))
        assert is_stored(await invoke(w, {"id": "k"}, TenantId="blue"))
        assert 2 == len(w.cells.ran)

    run(tmp_path, law)
