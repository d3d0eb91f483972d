"""
STS: GetCallerIdentity, AssumeRole, GetAccessKeyInfo.

AssumeRole is authorized like every call, with the role's trust policy as the
resource's, which must allow.  What STS itself holds:

1. The role exists.  If not, the answer is that of a denial, so nobody learns
   which roles another account has.
2. The session lasts no longer than the role lets it, nor than an hour when one
   session makes another (role chaining).
3. Session policies only narrow; tags are the caller's right to set
   (`sts:TagSession`, a need of its own).

Refused by name, because nothing here would enforce them: source identity,
transitive tags, MFA serial numbers and codes, provided contexts.

Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from casemate.core.call import Admitted
from casemate.core.errors import Denied, Invalid
from casemate.core.operation import (
    Need,
    Operation,
    Parameters,
    Scope,
    anything,
    condition_tags,
    operation,
    operations_of,
)
from casemate.core.principal import Kind
from casemate.core.session import SessionClaims
from casemate.services.sts.narrowing import narrowing
from casemate.services.sts.ports import (
    AccessKey,
    Credentials,
    Directory,
    Role,
    Sessions,
)

SHORTEST = 900
DEFAULT = 3_600
CHAINED = 3_600
"""Seconds of a session: at least, unless asked, and at most when chained."""

_SESSION_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}\Z")
_EXTERNAL_ID = re.compile(r"[A-Za-z0-9_+=,.@:/-]{2,1224}\Z")
_TAG = re.compile(r"[\w\s.:/=+\-@]*\Z")
_TAGS, _TAG_KEY, _TAG_VALUE = 50, 128, 256


def the_role(parameters: Parameters, _scope: Scope) -> str:
    """Name the role to assume."""
    return str(parameters.get("RoleArn", ""))


def assuming(
    parameters: Parameters, scope: Scope
) -> Mapping[str, str | tuple[str, ...]]:
    """Fill the condition keys that trust policies look at."""
    context: dict[str, str | tuple[str, ...]] = {
        "sts:RoleSessionName": str(parameters.get("RoleSessionName", ""))
    }
    if external := parameters.get("ExternalId"):
        context["sts:ExternalId"] = str(external)
    return {**context, **tagging(parameters, scope)}


def tagging(
    parameters: Parameters, _scope: Scope
) -> Mapping[str, str | tuple[str, ...]]:
    """Fill `aws:RequestTag/…` and `aws:TagKeys`."""
    return condition_tags(dict(_pairs(parameters)))


def tag_session(parameters: Parameters, scope: Scope) -> tuple[Need, ...]:
    """Need `sts:TagSession`, when the session is to have tags."""
    if not parameters.get("Tags"):
        return ()
    return (
        Need(
            action="sts:TagSession",
            resource=the_role(parameters, scope),
            context=assuming(parameters, scope),
        ),
    )


class Sts:
    """The service."""

    name = "sts"

    def __init__(self, *, directory: Directory, sessions: Sessions) -> None:
        """Compose."""
        self._directory = directory
        self._sessions = sessions
        self.operations: tuple[Operation, ...] = operations_of(self.name, self)

    @operation(
        "GetCallerIdentity",
        action="",
        resource=anything,
        accepts=(),
        mutates=False,
        open_to_all=True,
    )
    async def caller(self, call: Admitted) -> Mapping[str, object]:
        who = call.principal
        return {"UserId": who.id, "Account": who.account, "Arn": who.arn}

    @operation(
        "AssumeRole",
        action="sts:AssumeRole",
        resource=the_role,
        accepts=(
            "RoleArn",
            "RoleSessionName",
            "PolicyArns",
            "Policy",
            "DurationSeconds",
            "Tags",
            "ExternalId",
        ),
        needs=tag_session,
        context=assuming,
        mutates=True,
        errors=(
            "AccessDenied",
            "MalformedPolicyDocument",
            "PackedPolicyTooLarge",
            "ValidationError",
        ),
    )
    async def assume(self, call: Admitted) -> Mapping[str, object]:
        given = call.parameters
        name, tags = _session_name(given), _tags(given)
        _external_id(given)
        role = self._directory.role(the_role(given, call.scope))
        if role is None:  # (1)
            raise _denied(call)
        seconds = _seconds(given, role, chained=call.principal.kind is Kind.SESSION)
        narrowed = narrowing(given, role.account, tags, self._directory)  # (3)
        claims = SessionClaims(
            account=role.account,
            role_arn=role.arn,
            role_id=role.id,
            session_name=name,
            issued_at=call.arrival.at,
            session_policies=narrowed.documents,
            tags=tags,
        )
        made = await self._sessions.session_new(claims.to_json(), seconds)
        answer: dict[str, object] = {
            "Credentials": shown(made),
            "AssumedRoleUser": {"AssumedRoleId": claims.id, "Arn": claims.arn},
        }
        if narrowed.packed is not None:
            answer["PackedPolicySize"] = narrowed.packed
        return answer

    @operation(
        "GetAccessKeyInfo",
        action="sts:GetAccessKeyInfo",
        resource=anything,
        accepts=("AccessKeyId",),
        mutates=False,
        errors=("ValidationError",),
    )
    async def access_key(self, call: Admitted) -> Mapping[str, object]:
        """Only of the caller's own account; any other key is like none."""
        id_ = str(call.parameters.get("AccessKeyId", ""))
        key: AccessKey | None = self._directory.access_key(id_)
        if key is None or key.account != call.principal.account:
            raise Invalid(
                f"there is no access key `{id_}` in this account",
                code="ValidationError",
            )
        return {"Account": key.account}


def shown(credentials: Credentials) -> dict[str, object]:
    """Write credentials as AWS does."""
    return {
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret,
        "SessionToken": credentials.token,
        "Expiration": datetime.fromtimestamp(int(credentials.expires_at), tz=UTC),
    }


def _denied(call: Admitted) -> Denied:
    who = call.principal.arn or call.principal.id
    return Denied(
        f"User: {who} is not authorized to perform: sts:AssumeRole on resource: "
        f"{the_role(call.parameters, call.scope)}",
        code="AccessDenied",
    )


def _seconds(parameters: Parameters, role: Role, *, chained: bool) -> int:
    given = parameters.get("DurationSeconds")
    seconds = given if isinstance(given, int) else DEFAULT
    if seconds < SHORTEST:
        raise Invalid(
            f"`DurationSeconds` must be at least {SHORTEST}", code="ValidationError"
        )
    if chained and seconds > CHAINED:
        raise Invalid(
            "the requested DurationSeconds exceeds the 1 hour session limit for "
            "roles assumed by role chaining",
            code="ValidationError",
        )
    if seconds > role.max_session:
        raise Invalid(
            "the requested DurationSeconds exceeds the MaxSessionDuration set for "
            "this role",
            code="ValidationError",
        )
    return seconds


def _session_name(parameters: Parameters) -> str:
    name = str(parameters.get("RoleSessionName", ""))
    if not _SESSION_NAME.match(name):
        raise Invalid(
            "`RoleSessionName` must have 2 to 64 letters, digits and `_+=,.@-`",
            code="ValidationError",
        )
    return name


def _external_id(parameters: Parameters) -> None:
    given = parameters.get("ExternalId")
    if given is not None and not _EXTERNAL_ID.match(str(given)):
        raise Invalid(
            "`ExternalId` must have 2 to 1224 letters, digits and `_+=,.@:/-`",
            code="ValidationError",
        )


def _pairs(parameters: Parameters) -> list[tuple[str, str]]:
    given = parameters.get("Tags")
    listed = given if isinstance(given, Sequence) else ()
    return [(str(t.get("Key", "")), str(t.get("Value", ""))) for t in listed]


def _tags(parameters: Parameters) -> dict[str, str]:
    pairs = _pairs(parameters)
    tags = dict(pairs)
    if len({key.lower() for key in tags}) != len(pairs) or len(pairs) > _TAGS:
        raise Invalid(
            f"a session has at most {_TAGS} tags, each key once, in any case",
            code="ValidationError",
        )
    for key, value in pairs:
        fits = 1 <= len(key) <= _TAG_KEY and len(value) <= _TAG_VALUE
        reserved = key.lower().startswith("aws:")
        if not fits or reserved or not (_TAG.match(key) and _TAG.match(value)):
            raise Invalid(
                f"the session tag `{key[:_TAG_KEY]}` breaks the rules of tags",
                code="ValidationError",
            )
    return tags
