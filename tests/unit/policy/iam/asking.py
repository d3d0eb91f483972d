"""Words shared by the tests of decisions."""

from __future__ import annotations

import json
from collections.abc import Mapping

from casemate.core.principal import Kind as PrincipalKind
from casemate.policy.iam import Ask, Kind, Policy, PrincipalView, compile_policy

ACCOUNT = "111122223333"
OTHER = "444455556666"
FUNCTION = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:app"
USER_ARN = f"arn:aws:iam::{ACCOUNT}:user/team/ann"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/path/app"
SESSION_ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/app/run1"
ROLE_ID = "AROA" + "A" * 17
USER_ID = "AIDA" + "B" * 17

USER = PrincipalView(arn=USER_ARN, account=ACCOUNT, kind=PrincipalKind.USER, id=USER_ID)
SESSION = PrincipalView(
    arn=SESSION_ARN,
    account=ACCOUNT,
    kind=PrincipalKind.SESSION,
    role_arn=ROLE_ARN,
    id=f"{ROLE_ID}:run1",
)
SERVICE = PrincipalView(
    arn="",
    account=ACCOUNT,
    kind=PrincipalKind.SERVICE,
    id="events.amazonaws.com",
    service="events.amazonaws.com",
)


def statement(effect: str = "Allow", **elements: object) -> dict[str, object]:
    """Write a statement on everything, changed by `elements`; None leaves one out."""
    written: dict[str, object] = {
        "Effect": effect,
        "Action": "*",
        "Resource": "*",
        **elements,
    }
    if "NotAction" in written:
        del written["Action"]
    if "NotResource" in written:
        del written["Resource"]
    return {key: value for key, value in written.items() if value is not None}


def policy(
    *statements: dict[str, object],
    kind: Kind = Kind.IDENTITY,
    name: str = "P",
    version: str | None = "2012-10-17",
) -> Policy:
    """Compile statements."""
    document: dict[str, object] = {"Statement": list(statements)}
    if version:
        document["Version"] = version
    return compile_policy(json.dumps(document), name=name, kind=kind)


def on_resource(principal: object, effect: str = "Allow", **elements: object) -> Policy:
    """Compile a resource's policy with one statement."""
    return policy(
        statement(effect, Principal=principal, **elements),
        kind=Kind.RESOURCE,
        name="R",
    )


def ask(
    who: PrincipalView = USER,
    *,
    action: str = "lambda:InvokeFunction",
    resource: str = FUNCTION,
    context: Mapping[str, str | tuple[str, ...]] | None = None,
) -> Ask:
    """Ask for something."""
    return Ask(principal=who, action=action, resource=resource, context=context or {})
