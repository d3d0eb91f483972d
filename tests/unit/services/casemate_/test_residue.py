"""Laws of the operations on residue policies."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from casemate.core.arn import Arn
from casemate.core.errors import Conflict, Invalid, NotFound, Refusal, Unavailable
from casemate.core.function import Residue
from casemate.core.operation import operations_of
from casemate.services.casemate_.residue import ResiduePolicies
from unit.services.calls import ACCOUNT, OTHER_ACCOUNT, REGION, Caller, law, refused

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
VERBS = ("PutResiduePolicy", "GetResiduePolicy", "DeleteResiduePolicy")


@dataclass
class Kept:
    """Policies in memory; `refuses` is raised instead, if it is set."""

    policies: dict[str, Residue] = field(default_factory=dict)
    refuses: Refusal | None = None

    def get(self, arn: Arn, /) -> Residue:
        self._may()
        return self.policies.get(str(arn), Residue.KEEP)

    async def put(self, arn: Arn, residue: Residue, /) -> None:
        self._may()
        self.policies[str(arn)] = residue

    async def delete(self, arn: Arn, /) -> None:
        self._may()
        self.policies.pop(str(arn), None)

    def _may(self) -> None:
        if self.refuses is not None:
            raise self.refuses


def caller(kept: Kept) -> Caller:
    return Caller.of(operations_of("casemate", ResiduePolicies(residues=kept)))


def given(verb: str, arn: str) -> dict[str, object]:
    more = {"Policy": "fresh"} if verb == "PutResiduePolicy" else {}
    return {"FunctionArn": arn, **more}


@law
async def test_a_policy_is_put_given_and_taken_back() -> None:
    """What was put is given; without one it is `keep`."""
    kept = Kept()
    call = caller(kept)
    for word in ("wipe", "fresh", "keep"):
        told = await call("PutResiduePolicy", FunctionArn=ARN, Policy=word)
        assert {"FunctionArn": ARN, "Policy": word} == told
        assert told == await call("GetResiduePolicy", FunctionArn=ARN)
    assert {} == await call("DeleteResiduePolicy", FunctionArn=ARN)
    assert {"FunctionArn": ARN, "Policy": "keep"} == await call(
        "GetResiduePolicy", FunctionArn=ARN
    )
    assert not kept.policies


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "arn",
    [
        "f",
        "arn:aws:lambda",
        f"{ARN}:1",
        f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:",
        f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:f",
        f"arn:aws:sqs:{REGION}:{ACCOUNT}:function:f",
    ],
)
def test_a_name_that_is_not_a_functions_is_refused(verb: str, arn: str) -> None:
    """By each verb, before policy is asked, and nothing is written."""

    @law
    async def test() -> None:
        kept = Kept()
        refusal = await refused(caller(kept)(verb, **given(verb, arn)))
        assert isinstance(refusal, Invalid)
        assert "FunctionArn" in refusal.reason
        assert not kept.policies

    test()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "arn",
    [
        f"arn:aws:lambda:{REGION}:{OTHER_ACCOUNT}:function:f",
        f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:f",
    ],
)
def test_a_function_that_is_not_here_is_not_found(verb: str, arn: str) -> None:
    """Whatever policies say: no other account's, and no other region's."""

    @law
    async def test() -> None:
        kept = Kept()
        refusal = await refused(caller(kept)(verb, **given(verb, arn)))
        assert isinstance(refusal, NotFound)
        assert not kept.policies

    test()


@pytest.mark.parametrize("word", ["", "Keep", "none", None])
def test_there_are_three_policies(word: str | None) -> None:
    """Any other word is refused, and the answer names the three."""

    @law
    async def test() -> None:
        call = caller(Kept())("PutResiduePolicy", FunctionArn=ARN, Policy=word)
        refusal = await refused(call)
        assert isinstance(refusal, Invalid)
        assert "`keep`, `wipe`, `fresh`" in refusal.reason

    test()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("refuses", "code"),
    [
        (NotFound("x"), "ResourceNotFoundException"),
        (Conflict("x"), "ConflictException"),
        (Unavailable("x", code="ServiceException"), "ServiceUnavailableException"),
    ],
)
def test_lambdas_refusals_become_this_services(
    verb: str, refuses: Refusal, code: str
) -> None:
    """A client of this model meets no code that the model does not have."""
    if verb == "GetResiduePolicy" and not isinstance(refuses, NotFound):
        return  # a look changes nothing, and neither can come

    @law
    async def test() -> None:
        call = caller(Kept(refuses=refuses))(verb, **given(verb, ARN))
        refusal = await refused(call)
        assert code == refusal.code
        assert "x" == refusal.reason

    test()
