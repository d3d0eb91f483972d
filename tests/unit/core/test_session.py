"""Laws of a session's claims."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.core.session import ClaimsError, SessionClaims

CLAIMS = SessionClaims(
    account="111122223333",
    role_arn="arn:aws:iam::111122223333:role/svc/worker",
    role_id="AROAAAAAAAAAAAAAAAAAA",
    session_name="job",
    issued_at=1_700_000_000.5,
    session_policies=("{}",),
    cell="c0123456789abcdef",
    tags={"k": "v"},
)


def test_claims_come_back_from_json_as_they_were() -> None:
    """To JSON text and back, nothing is lost."""
    assert SessionClaims.from_json(json.loads(json.dumps(CLAIMS.to_json()))) == CLAIMS


def test_the_caller_has_the_arn_and_id_of_the_session() -> None:
    """Without the role's path, as AWS has it."""
    assert CLAIMS.arn == "arn:aws:sts::111122223333:assumed-role/worker/job"
    assert CLAIMS.id == "AROAAAAAAAAAAAAAAAAAA:job"


@pytest.mark.parametrize("member", sorted(CLAIMS.to_json()))
def test_every_member_is_needed(member: str) -> None:
    """Absence refuses."""
    claims = CLAIMS.to_json()
    del claims[member]
    with pytest.raises(ClaimsError):
        SessionClaims.from_json(claims)


@given(
    st.sampled_from(sorted(CLAIMS.to_json())),
    st.none() | st.booleans() | st.integers() | st.lists(st.integers(), min_size=1),
)
def test_a_member_of_another_type_is_refused(member: str, value: object) -> None:
    """Types are held, a boolean is no number, and only `cell` may be null."""
    if (member, value) == ("cell", None):
        return
    if member == "issued_at" and isinstance(value, int) and not isinstance(value, bool):
        return
    with pytest.raises(ClaimsError):
        SessionClaims.from_json({**CLAIMS.to_json(), member: value})


@pytest.mark.parametrize(
    "change",
    [
        {"more": 1},
        {"account": "444455556666"},
        {"account": "x"},
        {"role_arn": "arn:aws:iam::111122223333:user/worker"},
        {"role_arn": "arn:aws:s3::111122223333:role/worker"},
        {"role_arn": "worker"},
        {"role_id": "AIDAAAAAAAAAAAAAAAAAA"},
        {"session_name": ""},
    ],
)
def test_claims_that_do_not_fit_together_are_refused(change: dict[str, object]) -> None:
    """The role is one of the account, and no member is unknown."""
    with pytest.raises(ClaimsError):
        SessionClaims.from_json({**CLAIMS.to_json(), **change})
