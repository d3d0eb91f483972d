"""
The decision: all policies that bear on a request, in AWS's order.

    (1) explicit deny: a Deny that fits, in any policy, ends it
    (2) the resource's policy: does it allow, and whom does it name (`Grant`)?
    (3) a service principal has no policies of its own: (2) decides alone
    (4) another account's principal: (2) must allow, and so must (7) to (9)
    (5) where the resource's policy is required (a role's trust, a KMS key), it
        must allow within the account too
    (6) within the account, an Allow to the user, the session or everyone is
        final: no implicit deny below reaches it
    (7) identity policies must allow; an Allow of (2) to the role stands in for
        them, one to the account does not
    (8) a permissions boundary, if there is one, must allow
    (9) session policies, if the session has any, must allow

Within one account, with nothing but implicit denies in (7) to (9):

    resource policy allows        result
    user ARN                      allowed
    role session ARN              allowed
    role ARN                      denied by the boundary or the session policy,
                                  not by the identity policies
    account                       denied
    `*`                           allowed

Organizations' SCPs and RCPs are not evaluated: there are no organizations.
There is no root user, so nobody is allowed by default.

Sources:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-denyallow.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic-cross-account.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, final

import msgspec

from casemate.core.principal import Kind as PrincipalKind
from casemate.policy.iam.facts import Ask, Facts, lower
from casemate.policy.iam.policy import Policy
from casemate.policy.iam.principals import Grant
from casemate.policy.iam.remedy import Layer, attach, denied_by, missing
from casemate.policy.iam.statement import StatementRef


@final
class Finding(NamedTuple):
    """One step of the evaluation: its number above, what it found, where."""

    step: int
    layer: Layer
    found: str
    statement: StatementRef | None = None

    def __str__(self) -> str:
        """Write it for people."""
        where = f" (`{self.statement}`)" if self.statement else ""
        return f"({self.step}) {self.layer}: {self.found}{where}"


@final
class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was decided, and why.

    explicit: a Deny statement decided.  deciding: the statements that did, for
    the record; empty when nothing allowed.  reason: AWS's sentence.  remedy:
    the smallest change that would allow it; empty when it is allowed.  Reason
    and remedy may be shown to the caller: they name no statement of another
    account's policy.
    """

    allowed: bool
    explicit: bool
    deciding: tuple[StatementRef, ...]
    trace: tuple[Finding, ...]
    reason: str
    remedy: str


def decide(
    ask: Ask,
    *,
    identity: Sequence[Policy],
    resource_account: str,
    boundary: Policy | None = None,
    session: Sequence[Policy] | None = None,
    resource_policies: Sequence[Policy] = (),
    policy_required: bool = False,
) -> Decision:
    """
    Decide whether an `Ask` is allowed.

    identity: the policies of the user (its groups' included) or of the role.
    session: the policies given with AssumeRole; None if there were none, while
    an empty sequence allows nothing.  resource_account: who owns the resource;
    for actions without a resource, the principal's own account.  An unknown
    owner (empty) is another account.
    """
    return _Evaluation(
        ask=ask,
        identity=identity,
        boundary=boundary,
        session=session,
        resource=resource_policies,
        home=ask.principal.account == resource_account,
        required=policy_required,
    ).run()


class _Evaluation(msgspec.Struct):
    """One run through the steps."""

    ask: Ask
    identity: Sequence[Policy]
    boundary: Policy | None
    session: Sequence[Policy] | None
    resource: Sequence[Policy]
    home: bool
    required: bool

    def run(self) -> Decision:
        facts = Facts(self.ask, bounded=self.boundary is not None)
        action = lower(self.ask.action)

        # (1) An explicit deny in any policy.
        refusal = self._denied(action, facts)
        if refusal is not None:
            return self._explicit(refusal)

        # (2) The resource's own policy, and whom it names.
        grant, named = _granted(self.resource, action, facts)
        trace: list[Finding] = []
        if self.resource:
            trace.append(Finding(2, Layer.RESOURCE, _GRANTED[grant], named))

        # (3) A service principal has nothing but that policy.
        if self.ask.principal.kind is PrincipalKind.SERVICE:
            if grant is Grant.DIRECT:
                return self._allowed(trace, named)
            return self._implicit(trace, Layer.RESOURCE, action, facts)

        # (4) Another account's principal, or (5) a policy that must allow.
        if grant is Grant.NONE and (self.required or not self.home):
            return self._implicit(trace, Layer.RESOURCE, action, facts)

        # (6) Named directly, within the account.
        if self.home and grant is Grant.DIRECT:
            return self._allowed(trace, named)
        return self._by_own(grant, named, trace, action, facts)

    def _by_own(
        self,
        grant: Grant,
        named: StatementRef | None,
        trace: list[Finding],
        action: str,
        facts: Facts,
    ) -> Decision:
        """Go on with the policies of the principal's own side."""
        # (7) Identity policies, or an Allow to the role.
        own = _allow(self.identity, action, facts)
        trace.append(Finding(7, Layer.IDENTITY, _FOUND[own is not None], own))
        if own is None and not (self.home and grant is Grant.ROLE):
            return self._implicit(trace, Layer.IDENTITY, action, facts)
        deciding = [named, own]

        # (8) The permissions boundary, (9) session policies: where there are
        # such, they must allow too.
        for step, layer in ((8, Layer.BOUNDARY), (9, Layer.SESSION)):
            policies = self._policies(layer)
            if policies is None:
                continue
            within = _allow(policies, action, facts)
            trace.append(Finding(step, layer, _FOUND[within is not None], within))
            if within is None:
                return self._implicit(trace, layer, action, facts)
            deciding.append(within)
        return self._allowed(trace, *deciding)

    def _policies(self, layer: Layer) -> Sequence[Policy] | None:
        """Give the policies of a layer; None if nothing of the kind is set."""
        if layer is Layer.RESOURCE:
            return self.resource
        if layer is Layer.IDENTITY:
            return self.identity
        if layer is Layer.SESSION:
            return self.session
        return None if self.boundary is None else (self.boundary,)

    def _lacks_own(self, action: str, facts: Facts) -> bool:
        """Tell whether a caller of another account lacks its own side too."""
        service = self.ask.principal.kind is PrincipalKind.SERVICE
        return not (service or self.home or _allow(self.identity, action, facts))

    def _denied(self, action: str, facts: Facts) -> tuple[Layer, StatementRef] | None:
        for policy in self.resource:
            for each in policy.candidates(action).denies:
                if each.grant(facts) and each.applies(facts):
                    return Layer.RESOURCE, each.ref
        if self.ask.principal.kind is PrincipalKind.SERVICE:
            return None
        for layer in _OWN:
            for policy in self._policies(layer) or ():
                for each in policy.candidates(action).denies:
                    if each.applies(facts):
                        return layer, each.ref
        return None

    def _allowed(
        self, trace: list[Finding], *deciding: StatementRef | None
    ) -> Decision:
        return Decision(
            allowed=True,
            explicit=False,
            deciding=tuple([ref for ref in deciding if ref is not None]),
            trace=tuple(trace),
            reason="allowed",
            remedy="",
        )

    def _explicit(self, refusal: tuple[Layer, StatementRef]) -> Decision:
        layer, ref = refusal
        reason, remedy = denied_by(self.ask, layer, ref, home=self.home)
        return Decision(
            allowed=False,
            explicit=True,
            deciding=(ref,),
            trace=(Finding(1, layer, "an explicit deny", ref),),
            reason=reason,
            remedy=remedy,
        )

    def _implicit(
        self, trace: list[Finding], layer: Layer, action: str, facts: Facts
    ) -> Decision:
        """Refuse for want of an allow, with what nearly allowed it."""
        near = _near(
            self._policies(layer) or (),
            action,
            facts,
            of_resource=layer is Layer.RESOURCE,
        )
        reason, remedy = missing(
            self.ask, layer, near, boundary=self.boundary, home=self.home
        )
        if layer is Layer.RESOURCE and self._lacks_own(action, facts):
            remedy = f"{remedy}; and {attach(self.ask)}"
        return Decision(
            allowed=False,
            explicit=False,
            deciding=(),
            trace=tuple(trace) or (Finding(2, layer, _FOUND[False]),),
            reason=reason,
            remedy=remedy,
        )


_OWN = (Layer.IDENTITY, Layer.BOUNDARY, Layer.SESSION)
_FOUND = {True: "allows", False: "no statement allows"}
_GRANTED = {
    Grant.NONE: "no statement allows",
    Grant.ACCOUNT: "allows the account",
    Grant.ROLE: "allows the role",
    Grant.DIRECT: "allows the principal",
}


def _allow(
    policies: Sequence[Policy], action: str, facts: Facts
) -> StatementRef | None:
    for policy in policies:
        for each in policy.candidates(action).allows:
            if each.applies(facts):
                return each.ref
    return None


def _granted(
    policies: Sequence[Policy], action: str, facts: Facts
) -> tuple[Grant, StatementRef | None]:
    """Find the Allow that names the principal most closely."""
    best, ref = Grant.NONE, None
    for policy in policies:
        for each in policy.candidates(action).allows:
            grant = each.grant(facts)
            if grant > best and each.applies(facts):
                best, ref = grant, each.ref
    return best, ref


def _near(
    policies: Sequence[Policy], action: str, facts: Facts, *, of_resource: bool
) -> tuple[StatementRef, str] | None:
    """Find an Allow that only a condition keeps from applying."""
    for policy in policies:
        for each in policy.candidates(action).allows:
            if of_resource and not each.grant(facts):
                continue
            lacking = each.lacks(facts)
            if lacking is not None:
                return each.ref, lacking
    return None
