"""Laws of the platform's own operations."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import casemate
from casemate.app.declared import declared_operations
from casemate.core.arn import Arn, is_account
from casemate.core.errors import NotFound
from casemate.core.function import Residue
from casemate.core.operation import Operation
from casemate.seal.checkpoint import Checkpoint
from casemate.seal.verdict import Fault, Finding, Verdict
from casemate.services.casemate_.accounts import Accounts, _digits
from casemate.services.casemate_.operator import OperatorSessions
from casemate.services.casemate_.service import Casemate
from casemate.services.casemate_.telling import told
from unit.services.calls import OTHER_ACCOUNT, Caller, law, refused, session_of
from unit.services.iam_world import World, sealed_tokens

DATA = Path(casemate.__file__).parent / "data"
CLIENT = """
import boto3
client = boto3.client("casemate")
assert client.meta.endpoint_url == "https://127.0.0.1:4443"
assert client.can_paginate("list_accounts")
print(client.meta.service_model.signing_name)
"""


@dataclass
class Ring:
    """Notes which accounts have a key."""

    accounts: list[str] = field(default_factory=list)

    async def add(self, account: str) -> None:
        self.accounts.append(account)


@dataclass(frozen=True)
class Told:
    """A story."""

    record: Mapping[str, object]
    position: int | None = 7
    log_lines: Sequence[str] = ()


@dataclass
class Shelf:
    """Stories by account and id."""

    stories: dict[tuple[str, str], Told] = field(default_factory=dict)

    async def story(self, account: str, request_id: str) -> Told | None:
        return self.stories.get((account, request_id))


class Judge:
    """A verdict; notes what it was given of a witness."""

    def __init__(self) -> None:
        self.witness: Sequence[Checkpoint] = ()

    async def verify(self, witness: Sequence[Checkpoint], /) -> Verdict:
        self.witness = witness
        finding = Finding(fault=Fault.ALTERED, first=3, last=3, says="entry 3")
        return Verdict(
            count=9, head=b"\x01\xff", checkpointed=5, witnessed=0, findings=(finding,)
        )


class Running:
    """What runs."""

    async def status(self) -> Mapping[str, object]:
        return {"Version": "0", "Instance": "i", "Region": "us-east-1"}

    def runtimes(self) -> Sequence[str]:
        return ("python3.11",)


@dataclass(frozen=True)
class Held:
    """An event that had nowhere to go."""

    id: str
    target: str = "arn:aws:lambda:us-east-1:111122223333:function:f:$LATEST"
    at: float = 1_700_000_000.5
    reason: str = "RetriesExhausted, and nowhere to go: no"
    condition: str = "RetriesExhausted"
    runs: int = 3
    payload_bytes: int = 2


@dataclass
class Cupboard:
    """Events in quarantine by account, and what was decided of them."""

    events: dict[str, list[Held]] = field(default_factory=dict)
    decided: list[tuple[str, str, str]] = field(default_factory=list)
    hops: list[int] = field(default_factory=list)

    def page(self, account: str, /, *, after: str, limit: int) -> Sequence[Held]:
        found = [one for one in self.events.get(account, []) if one.id > after]
        return found[:limit]

    def find(self, account: str, identifier: str, /) -> Held | None:
        found = [e for e in self.events.get(account, []) if e.id == identifier]
        return found[0] if found else None

    def payload(self, account: str, identifier: str, /) -> bytes:
        return b"{}" if self.find(account, identifier) else b""

    async def redrive(self, account: str, identifier: str, hops: int, /) -> bool:
        self.hops.append(hops)
        return self._decide("redrive", account, identifier)

    async def dispose(self, account: str, identifier: str, /) -> bool:
        return self._decide("dispose", account, identifier)

    def _decide(self, what: str, account: str, identifier: str) -> bool:
        one = self.find(account, identifier)
        if one is None:
            return False
        self.events[account].remove(one)
        self.decided.append((what, account, identifier))
        return True


class NoFunctions:
    """Knows no function; `test_residue` has those that do."""

    def get(self, arn: Arn, /) -> Residue:
        raise NotFound(str(arn))

    async def put(self, arn: Arn, residue: Residue, /) -> None:
        raise NotFound(f"{arn} {residue}")

    async def delete(self, arn: Arn, /) -> None:
        raise NotFound(str(arn))


class Platform(World):
    """IAM, accounts and the service, after the first start."""

    def __init__(self) -> None:
        super().__init__()
        self.ring = Ring()
        self.judge = Judge()
        self.shelf = Shelf()
        self.cupboard = Cupboard()
        self.accounts = self.again()
        self.service = Casemate(
            accounts=self.accounts,
            tokens=sealed_tokens(self.clock),
            stories=self.shelf,
            audit=self.judge,
            platform=Running(),
            quarantine=self.cupboard,
            residues=NoFunctions(),
        )
        self.operator = OperatorSessions(
            accounts=self.accounts,
            administrators=self.directory,
            sessions=self.keys,
            clock=self.clock,
        )

    def again(self) -> Accounts:
        """Compose accounts as a start does."""
        return Accounts(
            records=self.records,
            keyring=self.ring,
            administrators=self.directory,
            entropy=secrets.token_bytes,
            clock=self.clock,
        )

    async def started(self) -> Caller:
        """Make the first account, and call as its administrator."""
        first = await self.accounts.ensure_first()
        return self.caller(first)

    def caller(self, account: str) -> Caller:
        return Caller.of(self.service.operations, session_of(account=account))


@law
async def test_the_first_start_makes_one_account_and_the_next_none() -> None:
    """Twelve digits, with a key and an administrator role of its own."""
    world = Platform()
    first = await world.accounts.ensure_first()
    assert is_account(first)
    assert world.ring.accounts == [first]
    arn = f"arn:aws:iam::{first}:role/casemate-administrator"
    assert world.directory.role(arn) is not None
    assert await world.again().ensure_first() == first
    assert await world.accounts.ensure_first() == first
    assert len(world.accounts.page(limit=10)) == 1


@law
async def test_the_operator_makes_and_lists_accounts() -> None:
    """In pages, by id, with the token bound to the listing."""
    world = Platform()
    call = await world.started()
    made = [(await call("CreateAccount", Name=f"team {n}")) for n in range(4)]
    ids = sorted(str(m["AccountId"]) for m in made)
    seen: list[str] = []
    query: dict[str, object] = {"MaxResults": 2}
    while True:
        page = await call("ListAccounts", **query)
        accounts = page["Accounts"]
        assert isinstance(accounts, list)
        seen += [a["AccountId"] for a in accounts]
        if "NextToken" not in page:
            break
        query["NextToken"] = page["NextToken"]
    assert seen == sorted([*ids, world.accounts.operator()])
    error = await refused(call("ListAccounts", NextToken=ids[0]))
    assert error.code == "ValidationException"
    for arn in (f"arn:aws:iam::{i}:role/casemate-administrator" for i in ids):
        assert world.directory.role(arn) is not None


@pytest.mark.parametrize(
    "operation", ["CreateAccount", "ListAccounts", "GetStatus", "VerifyAudit"]
)
@law
async def test_what_looks_past_one_account_is_the_operators(operation: str) -> None:
    """AccessDeniedException for every other account, whatever its policies say."""
    world = Platform()
    call = await world.started()
    made = await call("CreateAccount")
    error = await refused(world.caller(str(made["AccountId"]))(operation))
    assert (error.code, error.http_status) == ("AccessDeniedException", 403)
    assert await call(operation)


@law
async def test_the_verdict_is_told_whole() -> None:
    """Count, head, reach of the checkpoints, and each finding."""
    answer = await (await Platform().started())("VerifyAudit")
    assert answer == {
        "Sound": False,
        "Count": 9,
        "Head": "01ff",
        "Checkpointed": 5,
        "Witnessed": 0,
        "More": 0,
        "Unwitnessed": {"First": 1, "Last": 9},
        "Findings": [{"Fault": "altered", "First": 3, "Last": 3, "Says": "entry 3"}],
    }


@law
async def test_what_a_witness_has_is_held_against_the_chain() -> None:
    """As it came: what of it is true, the signature says."""
    world = Platform()
    call = await world.started()
    given = {"Statement": '{"count":5}', "Signature": "0a" * 64}
    assert await call("VerifyAudit", Witness=[given])
    expected = Checkpoint(statement=b'{"count":5}', signature=b"\x0a" * 64)
    assert [expected] == list(world.judge.witness)


@law
async def test_a_request_is_explained_to_its_account_alone() -> None:
    """A foreign id and an unknown one are the same ResourceNotFoundException."""
    world = Platform()
    call = await world.started()
    mine = world.accounts.operator()
    world.shelf.stories[(mine, "r-1")] = Told(record={"requestID": "r-1"})
    answer = await call("ExplainRequest", RequestId="r-1")
    assert json.loads(str(answer["Record"]))["requestID"] == "r-1"
    assert answer["Position"] == 7
    foreign = await refused(
        world.caller(OTHER_ACCOUNT)("ExplainRequest", RequestId="r-1")
    )
    unknown = await refused(call("ExplainRequest", RequestId="r-2"))
    assert foreign.code == unknown.code == "ResourceNotFoundException"
    assert foreign.reason == unknown.reason.replace("r-2", "r-1")
    assert (await refused(call("ExplainRequest", RequestId="a b"))).code == (
        "ValidationException"
    )


def test_a_foreign_resources_statements_stay_with_their_owner() -> None:
    """The remedy is told; what the other account's policies say is not."""
    evidence = {
        "resource": "arn:aws:iam::444455556666:role/door",
        "remedy": "ask the owner",
        "trace": ["(2) resource-based policy: secret-statement"],
        "deciding": ["trust#secret-statement"],
    }
    record = {
        "additionalEventData": {
            "because": ["trust#secret-statement"],
            "evidence": evidence,
            "crash": "Traceback",
        }
    }
    text = told(record, account="111122223333", operator=False)
    assert "ask the owner" in text
    assert "secret" not in text
    assert "Traceback" not in text
    own = told(record, account="444455556666", operator=True)
    assert "secret-statement" in own
    assert "Traceback" in own


@law
async def test_the_operators_session_is_for_twelve_hours_and_one_role() -> None:
    """In the operator's account or in a named one; NotFound for any other."""
    world = Platform()
    call = await world.started()
    await world.operator.operator_session(None)
    made = str((await call("CreateAccount"))["AccountId"])
    await world.operator.operator_session(made)
    assert world.keys.seconds == [43_200, 43_200]
    first, second = world.keys.claims
    assert (first.account, second.account) == (world.accounts.operator(), made)
    assert {c.session_name for c in world.keys.claims} == {"operator"}
    assert second.role_arn == f"arn:aws:iam::{made}:role/casemate-administrator"
    for account in ("999999999999", "x", "../../etc"):
        error = await refused(world.operator.operator_session(account))
        assert error.http_status == 404


@law
async def test_runtimes_are_listed_for_every_account() -> None:
    """They are the same for all."""
    world = Platform()
    await world.started()
    answer = await world.caller(OTHER_ACCOUNT)("ListRuntimes")
    assert answer == {"Runtimes": [{"Name": "python3.11"}]}


@given(st.binary(min_size=64, max_size=64))
def test_an_account_id_has_twelve_digits_and_no_leading_zero(seed: bytes) -> None:
    """Whatever the bytes, as long as more come."""
    stream = iter(seed + bytes(range(250)) * 4)
    made = _digits(lambda count: bytes(next(stream) for _ in range(count)))
    assert is_account(made)
    assert made[0] != "0"


def test_the_model_and_the_code_name_the_same_operations() -> None:
    """No operation is promised that is not there, nor the other way round."""
    model = json.loads((DATA / "casemate/2026-01-01/service-2.json").read_text())

    async def everywhere() -> dict[str, Operation]:
        async with declared_operations() as operations:
            return {o.name: o for o in operations if o.service == "casemate"}

    declared = asyncio.run(everywhere())
    assert declared.keys() == model["operations"].keys()
    for name, operation in declared.items():
        shape = model["shapes"][model["operations"][name]["input"]["shape"]]
        assert set(operation.accepts) == set(shape["members"])
        errors = {e["shape"] for e in model["operations"][name]["errors"]}
        assert set(operation.errors) <= errors


def test_boto3_loads_the_service_from_the_data_path() -> None:
    """AWS_DATA_PATH and AWS_ENDPOINT_URL are all that a client needs."""
    ran = subprocess.run(
        [sys.executable, "-c", CLIENT],
        env={
            "PATH": os.defpath,
            "AWS_DATA_PATH": str(DATA),
            "AWS_ENDPOINT_URL": "https://127.0.0.1:4443",
            "AWS_DEFAULT_REGION": "us-east-1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == ("casemate\n", "")


@law
async def test_quarantine_is_listed_in_pages_and_by_function() -> None:
    """The account's own, the oldest first, under tokens that are bound to the query."""
    world = Platform()
    call = await world.started()
    mine = call.principal.account
    other = "arn:aws:lambda:us-east-1:111122223333:function:g:$LATEST"
    world.cupboard.events[mine] = [
        Held(f"e{n:03}", target=other if n % 3 else Held.target) for n in range(250)
    ]
    world.cupboard.events[OTHER_ACCOUNT] = [Held("theirs")]
    for name, expected in (
        (None, [f"e{n:03}" for n in range(250)]),
        ("f", [f"e{n:03}" for n in range(0, 250, 3)]),
        (Held.target, [f"e{n:03}" for n in range(0, 250, 3)]),
        ("h", []),
    ):
        seen: list[str] = []
        given: dict[str, object] = {"MaxResults": 40}
        if name:
            given["FunctionName"] = name
        while True:
            page = await call("ListQuarantine", **given)
            events = page["Events"]
            assert isinstance(events, list)
            seen += [event["RequestId"] for event in events]
            if "NextToken" not in page:
                break
            token = page["NextToken"]
            given["NextToken"] = token
        assert seen == expected
    refusal = await refused(call("ListQuarantine", NextToken="x"))
    assert refusal.code == "ValidationException"


@law
async def test_the_story_of_a_request_says_that_its_event_is_in_quarantine() -> None:
    """As long as it is there, and to its own account only."""
    world = Platform()
    call = await world.started()
    mine = call.principal.account
    world.shelf.stories = {(mine, "e1"): Told({"eventName": "Invoke"})}
    assert "Quarantined" not in await call("ExplainRequest", RequestId="e1")
    world.cupboard.events[OTHER_ACCOUNT] = [Held("e1")]
    assert "Quarantined" not in await call("ExplainRequest", RequestId="e1")
    world.cupboard.events[mine] = [Held("e1")]
    told = await call("ExplainRequest", RequestId="e1")
    assert told["Quarantined"] == Held.reason


@law
async def test_a_quarantined_event_is_shown_whole() -> None:
    world = Platform()
    call = await world.started()
    world.cupboard.events[call.principal.account] = [Held("e1")]
    shown = await call("GetQuarantined", RequestId="e1")
    assert (shown["Payload"], shown["Condition"], shown["Invocations"]) == (
        b"{}",
        "RetriesExhausted",
        3,
    )


@law
async def test_decisions_are_made_once_and_a_dry_run_makes_none() -> None:
    """What is not there, or another account's, is not found."""
    world = Platform()
    call = await world.started()
    mine = call.principal.account
    world.cupboard.events[mine] = [Held("e1"), Held("e2")]
    world.cupboard.events[OTHER_ACCOUNT] = [Held("theirs")]
    for verb, name in (("Redrive", "e1"), ("Dispose", "e2")):
        dry = await call(verb, RequestId=name, Reason="fixed", DryRun=True)
        assert dry["RequestId"] == name
        assert len(world.cupboard.decided) == (verb == "Dispose")
        done = await call(verb, RequestId=name, Reason="fixed")
        assert done == dry
        for absent in (name, "theirs"):
            refusal = await refused(call(verb, RequestId=absent, Reason="fixed"))
            assert refusal.code == "ResourceNotFoundException"
    assert world.cupboard.decided == [("redrive", mine, "e1"), ("dispose", mine, "e2")]
    assert world.cupboard.hops == [0]


@law
async def test_a_redrive_by_a_function_keeps_its_hops() -> None:
    """The event goes on from where its lineage is."""
    world = Platform()
    call = await world.started()
    world.cupboard.events[call.principal.account] = [Held("e1")]
    await call.hopping(9)("Redrive", RequestId="e1", Reason="again")
    assert world.cupboard.hops == [9]
