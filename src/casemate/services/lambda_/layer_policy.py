"""The policy of a layer version: who else may use it."""

from __future__ import annotations

import re
from typing import Final

import orjson

from casemate.core.arn import is_account
from casemate.policy import iam
from casemate.services.lambda_.layer_model import LayerGrant, LayerVersion
from casemate.services.lambda_.refusals import invalid

ACTION: Final = "lambda:GetLayerVersion"

_SID = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)
_ROOT = re.compile(r"arn:aws:iam::([0-9]{12}):root", re.ASCII)


def grant(*, sid: str, action: str, principal: str, public: bool) -> LayerGrant:
    """
    Make a statement of what AddLayerVersionPermission was given.

    public: everybody may be let in.  Raises Invalid.
    """
    if not _SID.fullmatch(sid):
        raise invalid("`StatementId` must match [a-zA-Z0-9-_]{1,100}")
    if action != ACTION:
        raise invalid(f"`Action` can only be `{ACTION}`")
    root = _ROOT.fullmatch(principal)
    who = root[1] if root else principal
    if who == "*" and not public:
        raise invalid(
            "`Principal` is `*`, which would let everybody use the layer; name an "
            "account, or ask the operator for `--unsafe-public-policies`"
        )
    if who != "*" and not is_account(who):
        raise invalid("`Principal` must be an account, or `*`")
    return LayerGrant(sid=sid, principal=who)


def statement(given: LayerGrant, version: LayerVersion) -> dict[str, object]:
    """Write a statement as IAM's policy language has it."""
    who = given.principal
    return {
        "Sid": given.sid,
        "Effect": "Allow",
        "Principal": "*" if who == "*" else {"AWS": f"arn:aws:iam::{who}:root"},
        "Action": ACTION,
        "Resource": version.ref.arn,
    }


def document(version: LayerVersion) -> str:
    """Write the whole policy as JSON text."""
    return orjson.dumps(
        {
            "Version": "2012-10-17",
            "Id": "default",
            "Statement": [statement(given, version) for given in version.grants],
        }
    ).decode()


def compiled(version: LayerVersion) -> tuple[iam.Policy, ...]:
    """Compile the policy; nothing if there is none."""
    if not version.grants:
        return ()
    return (
        iam.compile_policy(
            document(version), name=version.ref.arn, kind=iam.Kind.RESOURCE
        ),
    )
