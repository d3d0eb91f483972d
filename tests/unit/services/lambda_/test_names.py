"""Laws of the names of functions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.core.arn import Arn
from casemate.core.errors import Invalid, Refusal
from casemate.core.operation import Scope
from casemate.services.lambda_.names import refer, refer_arn

HERE = Scope(account="111122223333", region="us-east-1")
ARN = "arn:aws:lambda:us-east-1:111122223333:function:f"


@pytest.mark.parametrize(
    "name", ["f", "111122223333:function:f", "function:f", "111122223333:f", ARN]
)
@pytest.mark.parametrize("qualifier", ["", "$LATEST", "7"])
def test_every_spelling_is_one_resource(name: str, qualifier: str) -> None:
    """Policy is asked about the same ARN, whichever way the function is named."""
    suffix = f":{qualifier}" if qualifier else ""
    inside = refer({"FunctionName": name + suffix}, HERE)
    beside = refer({"FunctionName": name, "Qualifier": qualifier}, HERE)
    assert inside == beside
    assert str(inside.resource) == inside.qualified == ARN + suffix
    assert refer_arn(Arn.parse(inside.qualified)) == inside


@pytest.mark.parametrize(
    "name",
    [
        "",
        "*",
        "f*",
        "f?",
        "a/b",
        "../f",
        "f\n",
        "a.b",
        "f:",
        "f:1:2",
        "n" * 65,
        "arn:aws:lambda:us-east-1:111122223333:layer:f",
        "arn:aws:iam::111122223333:role/f",
        "arn:aws:lambda:us-east-1::function:f",
        "arn:aws-cn:lambda:cn-north-1:111122223333:function:f",
        "\uff46",
        "\u0663",
    ],
)
def test_what_is_no_name_is_refused(name: str) -> None:
    """Nothing with a wildcard, a path or another service's ARN becomes a resource."""
    with pytest.raises(Invalid):
        refer({"FunctionName": name}, HERE)


def test_two_qualifiers_must_agree() -> None:
    """AWS's own words."""
    with pytest.raises(Invalid, match="derived qualifier"):
        refer({"FunctionName": "f:1", "Qualifier": "2"}, HERE)


@given(st.text(max_size=300), st.text(max_size=140))
def test_any_text_is_a_name_or_refused(name: str, qualifier: str) -> None:
    """Never another failure, and never a wildcard in a resource."""
    try:
        ref = refer({"FunctionName": name, "Qualifier": qualifier}, HERE)
    except Refusal:
        return
    assert not set("*?/\n\0 ") & set(ref.qualified)
