"""The authn room: from a signature to a principal, or a refusal."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from casemate.core.call import Acting, Inside, Known, Request
from casemate.core.errors import Throttled, Unauthenticated
from casemate.core.operation import Operation
from casemate.core.principal import Kind, Principal
from casemate.core.session import SessionClaims
from casemate.road.authn.replay import Replays
from casemate.road.authn.room import FAILURES, Authn, RefusedKeyError
from casemate.road.authn.sigv4 import derive
from store_stand import SetClock
from unit.road.test_road import OPERATION
from unit.services.calls import ACCOUNT, REGION, admitted

SECRET = "not a secret"
AKIA = "AKIAAAAAAAAAAAAAAAAA"
ASIA = "ASIAAAAAAAAAAAAAAAAA"
TOKEN = "sealed"
CELL = "c0123456789abcdef"
SERVICE = dataclasses.replace(OPERATION, service="lambda")


@dataclass(frozen=True)
class Key:
    key: bytes
    claims: Mapping[str, object] | None = None
    expires_at: float | None = None


@dataclass(frozen=True)
class User:
    account: str = ACCOUNT
    user_name: str = "alice"
    user_arn: str = f"arn:aws:iam::{ACCOUNT}:user/alice"
    user_id: str = "AIDAAAAAAAAAAAAAAAAAA"
    active: bool = True


@dataclass
class World:
    """Keys and a directory, as they stand; counts what it was asked to derive."""

    clock: SetClock = field(default_factory=SetClock)
    user: User | None = field(default_factory=User)
    claims: SessionClaims | None = None
    expires_at: float = 1_700_003_600.0
    exists: bool = True
    refuses: RefusedKeyError | None = None
    derived: int = 0
    replays: Replays | None = None

    async def signing_key(
        self,
        access_key_id: str,
        token: str | None,
        date: str,
        region: str,
        service: str,
    ) -> Key:
        self.derived += 1
        if self.refuses:
            raise self.refuses
        key = derive(SECRET, date, region, service)
        if token is None:
            return Key(key)
        assert (ASIA, TOKEN) == (access_key_id, token)
        assert self.claims is not None
        return Key(key, self.claims.to_json(), self.expires_at)

    def access_key(self, access_key_id: str) -> User | None:
        return self.user if access_key_id == AKIA else None

    def identity(self, _principal: Principal) -> World:
        return self

    def room(self) -> Authn:
        return Authn(
            keys=self,
            directory=self,
            clock=self.clock,
            region=REGION,
            replays=self.replays,
        )


def session(cell: str | None = None) -> SessionClaims:
    return SessionClaims(
        account=ACCOUNT,
        role_arn=f"arn:aws:iam::{ACCOUNT}:role/path/builder",
        role_id="AROAAAAAAAAAAAAAAAAAA",
        session_name="f",
        issued_at=1_699_999_000.0,
        cell=cell,
    )


def signed(
    clock: SetClock,
    *,
    token: str | None = None,
    cell: str | None = None,
    region: str = REGION,
    secret: str = SECRET,
) -> Request:
    request = AWSRequest(method="POST", url="https://127.0.0.1:4443/x", data=b"{}")
    stamp = datetime.fromtimestamp(clock.now(), tz=UTC).strftime("%Y%m%dT%H%M%SZ")
    request.context["timestamp"] = stamp
    key = ASIA if token else AKIA
    auth = SigV4Auth(Credentials(key, secret, token), "lambda", region)
    request.headers["Host"] = "127.0.0.1:4443"
    request.headers["X-Amz-Date"] = stamp
    if token:
        request.headers["X-Amz-Security-Token"] = token
    string = auth.string_to_sign(request, auth.canonical_request(request))
    headers = dict(request.headers.items())
    names = auth.signed_headers(auth.headers_to_sign(request))
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, "
        f"SignedHeaders={names}, Signature={auth.signature(string, request)}"
    )
    return Request(
        method="POST",
        path="/x",
        query="",
        headers=tuple((k.lower(), v) for k, v in headers.items()),
        body=b"{}",
        peer="192.0.2.7",
        cell=cell,
    )


def enter(
    world: World,
    claim: Request | Inside,
    room: Authn | None = None,
    operation: Operation = SERVICE,
) -> Known:
    arrival = dataclasses.replace(
        admitted(operation).arrival,
        claim=claim,
        cell=claim.cell if isinstance(claim, Request) else None,
    )
    return asyncio.run((room or world.room())(arrival))


def refused(world: World, claim: Request, room: Authn | None = None) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as caught:
        enter(world, claim, room)
    return caught.value


def test_a_users_signature_names_the_user() -> None:
    """The positive case of a long-lived key."""
    world = World()
    who = enter(world, signed(world.clock)).principal

    assert (Kind.USER, User().user_arn, AKIA) == (who.kind, who.arn, who.access_key_id)


def test_a_sessions_signature_names_the_session() -> None:
    """The positive case of a session."""
    world = World(claims=session())
    who = enter(world, signed(world.clock, token=TOKEN)).principal

    assert Kind.SESSION is who.kind
    assert f"arn:aws:sts::{ACCOUNT}:assumed-role/builder/f" == who.arn
    assert "AROAAAAAAAAAAAAAAAAAA:f" == who.id


def test_a_service_needs_no_signature_and_no_byte_makes_one() -> None:
    """Inside callers are services; the type of the claim says so, not a header."""
    who = enter(World(), Inside(service="events.amazonaws.com", account=ACCOUNT))

    assert Kind.SERVICE is who.principal.kind


ACTING = Acting(
    role_arn=f"arn:aws:iam::{ACCOUNT}:role/path/builder",
    role_id="AROAAAAAAAAAAAAAAAAAA",
    session_name="f",
    issued_at=1_699_999_000.0,
)


def test_a_service_that_acts_as_a_role_is_a_session_of_it() -> None:
    """It has the role's rights and no more, and is on record as the role."""
    claim = Inside(service="lambda.amazonaws.com", account=ACCOUNT, acting=ACTING)
    who = enter(World(), claim).principal

    assert Kind.SESSION is who.kind
    assert f"arn:aws:sts::{ACCOUNT}:assumed-role/builder/f" == who.arn
    assert ("AROAAAAAAAAAAAAAAAAAA:f", ACCOUNT) == (who.id, who.account)


def test_nobody_acts_as_a_role_that_is_gone() -> None:
    claim = Inside(service="lambda.amazonaws.com", account=ACCOUNT, acting=ACTING)

    with pytest.raises(Unauthenticated):
        enter(World(exists=False), claim)


def test_the_day_key_is_derived_once() -> None:
    """A second call of the same day costs the keyholder nothing."""
    world = World()
    room = world.room()
    for _ in range(3):
        enter(world, signed(world.clock), room)

    assert 1 == world.derived


@pytest.mark.parametrize(
    "world",
    [World(user=None), World(user=User(active=False))],
    ids=["gone", "inactive"],
)
def test_a_key_that_is_not_good_derives_nothing(world: World) -> None:
    """Unknown and inactive keys are refused alike, before anything is derived."""
    told = refused(world, signed(world.clock))

    assert "InvalidClientTokenId" == told.code
    assert 0 == world.derived


def test_another_region_derives_nothing() -> None:
    """A3: the scope is looked at before a key is asked for."""
    world = World()
    refused(world, signed(world.clock, region="eu-west-1"))

    assert 0 == world.derived


def test_a_wrong_secret_is_refused() -> None:
    """The signature decides."""
    world = World()

    assert (
        "InvalidSignatureException"
        == refused(world, signed(world.clock, secret="guess")).code
    )


def test_a_session_ends() -> None:
    """A8: at its end a session is refused, though its key is cached."""
    world = World(claims=session())
    room = world.room()
    enter(world, signed(world.clock, token=TOKEN), room)
    world.clock.forward(3600)

    told = refused(world, signed(world.clock, token=TOKEN), room)
    assert "ExpiredToken" == told.code


def test_a_clock_set_back_revives_no_session() -> None:
    """A18: the latest time that was seen counts."""
    world = World(claims=session(), expires_at=1_700_000_060.0)
    room = world.room()
    world.clock.forward(61)
    refused(world, signed(world.clock, token=TOKEN), room)
    world.clock.wall -= 61

    told = refused(world, signed(world.clock, token=TOKEN), room)
    assert "ExpiredToken" == told.code


def test_the_token_of_a_deleted_role_is_refused() -> None:
    """A8: a role that is gone, or made anew by that name, takes its sessions."""
    world = World(claims=session(), exists=False)

    told = refused(world, signed(world.clock, token=TOKEN))
    assert "InvalidClientTokenId" == told.code
    assert "role" in str(told.evidence["cause"])


@pytest.mark.parametrize("place", [None, "cffffffffffffffff"])
def test_a_cells_credentials_are_good_in_that_cell_only(place: str | None) -> None:
    """A16: used elsewhere they are refused, and the record says where."""
    world = World(claims=session(CELL))
    enter(world, signed(world.clock, token=TOKEN, cell=CELL))

    told = refused(world, signed(world.clock, token=TOKEN, cell=place))
    assert CELL == told.evidence["bound_to"]
    assert (place or "outside") == told.evidence["used_in"]
    assert CELL not in told.reason


@pytest.mark.parametrize("code", ["InvalidClientTokenId", "ExpiredToken"])
def test_what_the_keyholder_refuses_is_refused(code: str) -> None:
    """Its word goes to the caller as AWS's code."""
    world = World(claims=session(), refuses=RefusedKeyError(code, "why"))

    assert code == refused(world, signed(world.clock, token=TOKEN)).code


def exhausted(world: World, room: Authn, peer: str = "192.0.2.7") -> None:
    """Fail until the client's failures have run out."""
    bad = dataclasses.replace(signed(world.clock, secret="guess"), peer=peer)
    for _ in range(FAILURES):
        refused(world, bad, room)


def test_who_fails_too_often_waits() -> None:
    """A15: guesses from one address run out; another address is not touched."""
    world = World()
    room = world.room()
    good = signed(world.clock)
    world.claims = session()
    fresh = signed(world.clock, token=TOKEN)
    exhausted(world, room)
    with pytest.raises(Throttled):
        enter(world, fresh, room)

    enter(world, dataclasses.replace(good, peer="192.0.2.8"), room)
    world.clock.running += 1
    enter(world, fresh, room)


def test_who_can_prove_it_does_not_wait_for_a_neighbours_guesses() -> None:
    """A15: a key that is here already is proof enough, whatever its address did."""
    world = World()
    room = world.room()
    exhausted(world, room)
    derived = world.derived

    assert User().user_arn == enter(world, signed(world.clock), room).principal.arn
    assert derived == world.derived


def test_who_waits_and_fails_is_told_to_wait() -> None:
    """A15: beyond the failures no guess is told what was wrong with it."""
    world = World()
    room = world.room()
    exhausted(world, room)
    for bad in (
        signed(world.clock, secret="guess"),
        signed(world.clock, region="eu-west-1"),
        dataclasses.replace(signed(world.clock), headers=()),
    ):
        with pytest.raises(Throttled):
            enter(world, bad, room)
    world.user = None
    with pytest.raises(Throttled):
        enter(world, signed(world.clock), room)


def test_who_waits_costs_the_keyholder_nothing() -> None:
    """A15: a key that is not here is not asked for until the wait is over."""
    world = World(claims=session())
    room = world.room()
    exhausted(world, room)
    derived = world.derived
    with pytest.raises(Throttled):
        enter(world, signed(world.clock, token=TOKEN), room)

    assert derived == world.derived


def test_a_stolen_credential_is_told_though_its_address_waits() -> None:
    """A16: who has proven a cell's credential is told on, not asked to wait."""
    world = World(claims=session(CELL))
    room = world.room()
    stolen = signed(world.clock, token=TOKEN)
    refused(world, dataclasses.replace(stolen, peer="192.0.2.8"), room)
    exhausted(world, room)

    assert CELL == refused(world, stolen, room).evidence["bound_to"]


def test_one_ipv6_network_is_one_client() -> None:
    """A15: a /64 has more addresses than anybody could count."""
    world = World(claims=session())
    room = world.room()
    fresh = signed(world.clock, token=TOKEN)
    exhausted(world, room, peer="2001:db8::1")
    with pytest.raises(Throttled):
        enter(world, dataclasses.replace(fresh, peer="2001:db8::ffff:2"), room)

    enter(world, dataclasses.replace(fresh, peer="2001:db8:0:1::1"), room)


def test_a_known_session_is_held_to_the_directory_every_time() -> None:
    """A8, A16: who was proven before is kept; whether they may come is not."""
    world = World(claims=session(CELL))
    room = world.room()
    inside = signed(world.clock, token=TOKEN, cell=CELL)
    first = enter(world, inside, room).principal
    assert first is enter(world, inside, room).principal
    told = refused(world, dataclasses.replace(inside, cell="cffffffffffffffff"), room)
    assert CELL == told.evidence["bound_to"]

    world.exists = False
    assert "role" in str(refused(world, inside, room).evidence["cause"])


def test_a_users_key_names_whom_the_directory_names_now() -> None:
    """Who was proven before is kept no longer than the directory says the same."""
    world = World()
    room = world.room()
    first = enter(world, signed(world.clock), room).principal
    assert first is enter(world, signed(world.clock), room).principal

    world.user = User(user_id="AIDABBBBBBBBBBBBBBBBB")
    assert world.user.user_id == enter(world, signed(world.clock), room).principal.id


def test_claims_that_are_none_are_refused_every_time() -> None:
    """Claims that cannot be read make nobody, the second time no more."""
    world = World(claims=dataclasses.replace(session(), role_id="AIDA"))
    room = world.room()
    for _ in range(2):
        told = refused(world, signed(world.clock, token=TOKEN), room)
        assert "InvalidClientTokenId" == told.code


CHANGES = dataclasses.replace(SERVICE, mutates=True)
ACTS = dataclasses.replace(SERVICE, mutates=False, acts=True)
READS = dataclasses.replace(SERVICE, mutates=False)


@pytest.mark.parametrize("operation", [CHANGES, ACTS], ids=["changes", "acts"])
def test_a4_where_the_operator_wants_it_a_signature_is_taken_once(
    operation: Operation,
) -> None:
    """A4: of what changes or runs something; another signature goes on."""
    world = World(replays=Replays(since=0))
    room = world.room()
    captured = signed(world.clock)
    enter(world, captured, room, operation)
    with pytest.raises(Throttled, match="accepted already"):
        enter(world, captured, room, operation)

    world.clock.forward(1)
    enter(world, signed(world.clock), room, operation)


def test_a4_a_read_may_come_again() -> None:
    """A read changes nothing, and an inside caller has no signature."""
    world = World(replays=Replays(since=0))
    room = world.room()
    for _ in range(2):
        enter(world, signed(world.clock), room, READS)
        enter(world, Inside(service="events.amazonaws.com", account=ACCOUNT), room)


def test_a4_by_default_a_signature_works_again_as_on_aws() -> None:
    """Nothing is remembered unless the operator asks for it."""
    world = World()
    room = world.room()
    captured = signed(world.clock)
    for _ in range(2):
        enter(world, captured, room, CHANGES)


def test_a4_what_was_refused_takes_no_room() -> None:
    """Only accepted signatures are remembered: guesses fill nothing."""
    world = World(replays=Replays(since=0))
    with pytest.raises(Unauthenticated):
        enter(world, signed(world.clock, secret="guess"), None, CHANGES)

    assert world.replays is not None
    assert 0 == len(world.replays)


def test_who_is_familiar_has_a_key_here_or_has_come_before() -> None:
    """A user's key that is active, a session that was proven; no other."""
    world = World(claims=session())
    room = world.room()
    assert room.is_familiar(AKIA)
    assert not room.is_familiar("AKIAZZZZZZZZZZZZZZZZ")
    assert not room.is_familiar(ASIA)
    enter(world, signed(world.clock, token=TOKEN), room)
    assert room.is_familiar(ASIA)
    world.user = User(active=False)
    assert not room.is_familiar(AKIA)


def test_a_session_that_the_keyholder_refuses_is_not_familiar() -> None:
    """A made-up token opens no door, and none for its body."""
    world = World(refuses=RefusedKeyError("InvalidClientTokenId", "why"))
    room = world.room()
    refused(world, signed(world.clock, token=TOKEN), room)
    assert not room.is_familiar(ASIA)
