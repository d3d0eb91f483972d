"""
The resource policy of a function, a version or an alias, statement by statement.

AddPermission writes one statement; GetPolicy shows them all as one document;
policy evaluation gets that very document, so what is shown is what decides.
"""

from __future__ import annotations

import re
from typing import Final

import orjson

from casemate.core.arn import is_account
from casemate.core.errors import Refusal
from casemate.policy import iam
from casemate.services.lambda_.model import Function, Grant, Holder
from casemate.services.lambda_.refusals import invalid

LAMBDA: Final = "lambda.amazonaws.com"

LIMIT: Final = 20_480
"""Bytes of a whole policy."""

ACTIONS: Final = frozenset(
    {
        "lambda:*",
        "lambda:AddPermission",
        "lambda:CreateAlias",
        "lambda:DeleteAlias",
        "lambda:DeleteFunction",
        "lambda:DeleteFunctionConcurrency",
        "lambda:DeleteFunctionEventInvokeConfig",
        "lambda:GetAlias",
        "lambda:GetFunction",
        "lambda:GetFunctionConcurrency",
        "lambda:GetFunctionConfiguration",
        "lambda:GetFunctionEventInvokeConfig",
        "lambda:GetFunctionRecursionConfig",
        "lambda:GetPolicy",
        "lambda:InvokeFunction",
        "lambda:ListAliases",
        "lambda:ListFunctionEventInvokeConfigs",
        "lambda:ListTags",
        "lambda:ListVersionsByFunction",
        "lambda:PublishVersion",
        "lambda:PutFunctionConcurrency",
        "lambda:PutFunctionEventInvokeConfig",
        "lambda:PutFunctionRecursionConfig",
        "lambda:RemovePermission",
        "lambda:TagResource",
        "lambda:UntagResource",
        "lambda:UpdateAlias",
        "lambda:UpdateFunctionCode",
        "lambda:UpdateFunctionConfiguration",
        "lambda:UpdateFunctionEventInvokeConfig",
    }
)
"""What a statement may allow: the actions that exist here, on a function."""

_SID = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)
_SERVICE = re.compile(r"[a-z0-9][a-z0-9.-]{0,100}\.amazonaws\.com", re.ASCII)
_IDENTITY = re.compile(
    r"arn:aws:(?:iam|sts)::[0-9]{12}:"
    r"(?:root|(?:user|role|assumed-role)/[A-Za-z0-9_+=,.@/-]{1,512})",
    re.ASCII,
)
_SOURCE = re.compile(
    r"arn:aws:[a-z0-9-]+:[a-z0-9-]*:[0-9]{0,12}:[\x21-\x7e]{1,1024}", re.ASCII
)


def grant(
    *, sid: str, action: str, principal: str, source_arn: str, source_account: str
) -> Grant:
    """Make a statement of what AddPermission was given.  Raises Invalid."""
    if not _SID.fullmatch(sid):
        raise invalid("`StatementId` must match [a-zA-Z0-9-_]{1,100}")
    if action not in ACTIONS:
        raise invalid(
            f"`Action` is `{action[:64]}`, which no statement of a function's policy "
            f"can allow here; it can be one of {', '.join(sorted(ACTIONS))}"
        )
    if source_arn and not _SOURCE.fullmatch(source_arn):
        raise invalid("`SourceArn` is not an ARN")
    if source_account and not is_account(source_account):
        raise invalid("`SourceAccount` is not an account: twelve digits")
    _principal(principal)
    return Grant(
        sid=sid,
        action=action,
        principal=principal,
        source_arn=source_arn,
        source_account=source_account,
    )


def public(given: Grant) -> bool:
    """Tell whether a statement lets everybody in."""
    return given.principal == "*" and not (given.source_account or given.source_arn)


def public_refused() -> Refusal:
    """Refuse a statement that lets everybody in."""
    return Refusal(
        "Lambda prevented your policy from being created because it would grant "
        "public access to your function; name a principal, add `SourceAccount` or "
        "`SourceArn`, or ask the operator for `--unsafe-public-policies`",
        code="PublicPolicyException",
    )


def too_long() -> Refusal:
    """Refuse a policy that would grow past its limit."""
    return Refusal(
        f"The final policy size would be bigger than the limit ({LIMIT}).",
        code="PolicyLengthExceededException",
    )


def statement(given: Grant, arn: str) -> dict[str, object]:
    """Write a statement as IAM's policy language has it."""
    written: dict[str, object] = {
        "Sid": given.sid,
        "Effect": "Allow",
        "Principal": _principal(given.principal),
        "Action": given.action,
        "Resource": arn,
    }
    condition: dict[str, dict[str, str]] = {}
    if given.source_account:
        condition["StringEquals"] = {"AWS:SourceAccount": given.source_account}
    if given.source_arn:
        condition["ArnLike"] = {"AWS:SourceArn": given.source_arn}
    return written | ({"Condition": condition} if condition else {})


def document(holder: Holder) -> str:
    """Write the whole policy of a function, a version or an alias as JSON text."""
    arn = holder.ref.qualified
    return orjson.dumps(
        {
            "Version": "2012-10-17",
            "Id": "default",
            "Statement": [statement(given, arn) for given in holder.grants],
        }
    ).decode()


def compiled(holder: Holder) -> tuple[iam.Policy, ...]:
    """Compile the policy; nothing if there is none."""
    if not holder.grants:
        return ()
    return (
        iam.compile_policy(
            document(holder), name=holder.ref.qualified, kind=iam.Kind.RESOURCE
        ),
    )


def taken_events(function: Function) -> iam.Policy:
    """
    Compile what lets Lambda itself run a function's asynchronous events.

    Whoever sent one was held to their rights when it was taken.  The statement
    is none of the owner's, so `GetPolicy` does not show it; a Deny of theirs
    wins over it.
    """
    arn = function.ref.arn
    written = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "TakenEvents",
                "Effect": "Allow",
                "Principal": {"Service": LAMBDA},
                "Action": "lambda:InvokeFunction",
                "Resource": [arn, f"{arn}:*"],
                "Condition": {"ArnEquals": {"aws:SourceArn": arn}},
            }
        ],
    }
    return iam.compile_policy(
        orjson.dumps(written).decode(), name="casemate-events", kind=iam.Kind.RESOURCE
    )


def _principal(text: str) -> str | dict[str, str]:
    if text == "*":
        return "*"
    if is_account(text):
        return {"AWS": f"arn:aws:iam::{text}:root"}
    if _IDENTITY.fullmatch(text):
        return {"AWS": text}
    if _SERVICE.fullmatch(text):
        return {"Service": text}
    raise invalid(
        "The provided principal was invalid. Please check the principal and try again."
    )
