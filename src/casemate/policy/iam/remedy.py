"""
Denials that teach: why, and the smallest change that would allow it.

The sentence is AWS's own (clients and people search for its words); the remedy
is ours.  Neither names a statement of another account's policy.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
"""

from __future__ import annotations

from enum import StrEnum

from casemate.core.principal import Kind as PrincipalKind
from casemate.policy.iam.facts import Ask, PrincipalView
from casemate.policy.iam.policy import Policy
from casemate.policy.iam.statement import StatementRef


class Layer(StrEnum):
    """The kinds of policy that bear on a request, as AWS's messages name them."""

    RESOURCE = "resource-based policy"
    IDENTITY = "identity-based policy"
    BOUNDARY = "permissions boundary"
    SESSION = "session policy"


def denied_by(
    ask: Ask, layer: Layer, ref: StatementRef, *, home: bool
) -> tuple[str, str]:
    """Explain an explicit deny: (reason, remedy)."""
    article = "an" if layer is Layer.IDENTITY else "a"
    reason = f"{_sentence(ask)} with an explicit deny in {article} {layer}"
    if layer is Layer.RESOURCE and not home:
        return reason, f"ask the owner of `{ask.resource}`: its policy denies this"
    return reason, (
        f"statement `{ref.statement}` in policy `{ref.policy}` denies it explicitly: "
        f"remove or narrow it"
    )


def missing(
    ask: Ask,
    layer: Layer,
    near: tuple[StatementRef, str] | None,
    *,
    boundary: Policy | None,
    home: bool,
) -> tuple[str, str]:
    """Explain the want of an allow: (reason, remedy)."""
    reason = f"{_sentence(ask)} because no {layer} allows the {ask.action} action"
    if near is not None and (layer is not Layer.RESOURCE or home):
        ref, condition = near
        return reason, (
            f"statement `{ref.statement}` in policy `{ref.policy}` would allow it, but "
            f"its condition `{condition}` does not hold"
        )
    return reason, _change(ask, layer, boundary)


def _change(ask: Ask, layer: Layer, boundary: Policy | None) -> str:
    what = f"`{ask.action}` on `{ask.resource}`"
    if layer is Layer.RESOURCE and ask.action.lower() == "iam:passrole":
        return "pass a role of your own account: one of another cannot be passed"
    if layer is Layer.RESOURCE:
        return (
            f"add a statement to the policy of `{ask.resource}` that allows "
            f"{_named(ask.principal)} to `{ask.action}`"
        )
    if layer is Layer.BOUNDARY:
        name = boundary.name if boundary else ""
        return f"let the permissions boundary `{name}` allow {what}"
    if layer is Layer.SESSION:
        return (
            f"assume the role again with a session policy that allows {what}, or none"
        )
    return attach(ask)


def attach(ask: Ask) -> str:
    """Say what the principal's own side needs."""
    return (
        f"attach to {_holder(ask.principal)} a policy that allows `{ask.action}` on "
        f"`{ask.resource}`"
    )


def _sentence(ask: Ask) -> str:
    who = ask.principal
    name = who.service if who.kind is PrincipalKind.SERVICE else who.arn
    return (
        f"User: {name} is not authorized to perform: {ask.action} "
        f"on resource: {ask.resource}"
    )


def _named(who: PrincipalView) -> str:
    if who.kind is PrincipalKind.SERVICE:
        return f"the service `{who.service}`"
    return f"`{who.role_arn or who.arn}`"


def _holder(who: PrincipalView) -> str:
    """Name what policies can be attached to: the role of a session, or the user."""
    if who.role_arn:
        return f"role `{who.role_arn.rpartition('/')[2]}`"
    return f"user `{who.arn.rpartition('/')[2]}`"
