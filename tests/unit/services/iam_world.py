"""A small IAM over records in memory, with real sealing of markers."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import unquote

from casemate.core.principal import Principal
from casemate.core.session import SessionClaims
from casemate.seal.envelope import Envelope
from casemate.seal.token import Tokens
from casemate.services.iam.directory import Directory
from casemate.services.iam.service import Iam
from casemate.services.sts.service import Sts
from casemate.substrate.ports import Records
from unit.services.calls import ACCOUNT, NOW, Caller, session_of
from unit.substrate_double import MemoryRecords

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "lambda.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)
BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"


def allow(*actions: str, resource: str = "*") -> str:
    """Write a policy that allows actions."""
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def trusting(*principals: str) -> str:
    """Write a trust policy for identities."""
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": list(principals)},
        "Action": "sts:AssumeRole",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def decoded(document: object) -> dict[str, object]:
    """Read a document as IAM sends it."""
    assert isinstance(document, str)
    value = json.loads(unquote(document))
    assert isinstance(value, dict)
    return value


class StillClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


@dataclass
class CountedKeys:
    """Access keys in order, and sessions that show their claims."""

    numbers: count[int] = field(default_factory=lambda: count(1))
    claims: list[SessionClaims] = field(default_factory=list)
    seconds: list[int] = field(default_factory=list)

    async def access_key_new(self) -> tuple[str, str]:
        return f"AKIA{next(self.numbers):016}", "s" * 40

    async def session_new(
        self, claims: Mapping[str, object], seconds: int
    ) -> GivenSession:
        # As over the wire: through JSON and back.
        self.claims.append(SessionClaims.from_json(json.loads(json.dumps(claims))))
        self.seconds.append(seconds)
        return GivenSession(expires_at=NOW + seconds)


@dataclass(frozen=True)
class GivenSession:
    """Credentials."""

    expires_at: float
    access_key_id: str = "ASIA0000000000000001"
    secret: str = "s" * 40
    token: str = "token"


def sealed_tokens(clock: StillClock) -> Tokens:
    """Make the real tokens, under a key of this test."""
    return Tokens(
        key=secrets.token_bytes(32), envelope=Envelope(secrets.token_bytes), clock=clock
    )


class World:
    """IAM and STS, and somebody who calls them."""

    def __init__(self, records: Records | None = None) -> None:
        self.clock = StillClock()
        self.memory = MemoryRecords()
        self.records: Records = records or self.memory
        self.keys = CountedKeys()
        self.directory = Directory(self.records, secrets.token_bytes)
        self.iam = Iam(
            records=self.records,
            tokens=sealed_tokens(self.clock),
            keys=self.keys,
            entropy=secrets.token_bytes,
            directory=self.directory,
        )
        self.sts = Sts(directory=self.directory, sessions=self.keys)
        self.call = Caller.of((*self.iam.operations, *self.sts.operations))

    def of(self, account: str) -> Caller:
        """Call as somebody of another account."""
        return self.call.by(session_of(account=account))

    def by(self, principal: Principal) -> Caller:
        """Call as somebody."""
        return self.call.by(principal)

    async def role(self, name: str = "worker", **more: object) -> dict[str, object]:
        """Make a role and give it as IAM shows it."""
        given = {"AssumeRolePolicyDocument": TRUST, **more}
        made = (await self.call("CreateRole", RoleName=name, **given))["Role"]
        assert isinstance(made, dict)
        return made

    async def user(self, name: str = "alice", **more: object) -> dict[str, object]:
        """Make a user and give it as IAM shows it."""
        made = (await self.call("CreateUser", UserName=name, **more))["User"]
        assert isinstance(made, dict)
        return made

    async def policy(self, name: str = "reader", **more: object) -> str:
        """Make a managed policy and give its ARN."""
        given = {"PolicyDocument": allow("lambda:GetFunction"), **more}
        made = (await self.call("CreatePolicy", PolicyName=name, **given))["Policy"]
        assert isinstance(made, dict)
        return str(made["Arn"])

    def stored(self) -> dict[tuple[str, str, str], bytes]:
        """Copy what the records hold."""
        return {place: record.value for place, record in self.memory.kept.items()}


def role_arn(name: str, account: str = ACCOUNT) -> str:
    """Name a role."""
    return f"arn:aws:iam::{account}:role/{name}"
