"""Only what keeps the model, and only what is enforced."""

from __future__ import annotations

import dataclasses

import pytest

from casemate.app.rules import ModelRules, UnknownMemberError
from casemate.core.errors import Invalid
from casemate.road.validate.room import Validate, unenforced
from casemate.wire import load
from unit.road.test_road import OPERATION
from unit.services.calls import admitted

CREATE = dataclasses.replace(
    OPERATION,
    service="lambda",
    name="CreateFunction",
    accepts=("FunctionName", "Role", "Code.ZipFile", "Runtime", "Handler"),
    only={"PackageType": ("Zip",), "VpcConfig.SubnetIds": ([],)},
)
GOOD = {"FunctionName": "f", "Role": "arn:aws:iam::111122223333:role/r", "Code": {}}
ROOM = Validate(rules=ModelRules(codecs={"lambda": load("lambda")}))


def refusal_of(**parameters: object) -> Invalid:
    with pytest.raises(Invalid) as caught:
        ROOM(admitted(CREATE, {**GOOD, **parameters}).sound.allowed)
    return caught.value


def test_what_keeps_the_rules_passes() -> None:
    """The positive case."""
    call = admitted(CREATE, {**GOOD, "PackageType": "Zip"})

    assert call.sound.allowed is ROOM(call.sound.allowed).allowed


def test_the_models_rules_hold() -> None:
    """A broken constraint is refused with AWS's words."""
    told = refusal_of(FunctionName="x" * 200)

    assert "1 validation error detected" in told.reason
    assert "functionName" in told.reason


def test_what_is_not_enforced_is_refused_by_name() -> None:
    """A member nobody enforces is never stored and forgotten."""
    told = refusal_of(KMSKeyArn="arn:aws:kms:us-east-1:111122223333:key/k")

    assert "`KMSKeyArn`" in told.reason
    assert "InvalidParameterValueException" == told.code


@pytest.mark.parametrize(
    ("path", "value", "fits"),
    [
        ("PackageType", "Zip", True),
        ("PackageType", "Image", False),
        ("VpcConfig.SubnetIds", [], True),
        ("VpcConfig.SubnetIds", ["subnet-1"], False),
        ("VpcConfig.SecurityGroupIds", ["sg-1"], False),
        ("Code.ZipFile", b"", True),
        ("Code.S3Bucket", "b", False),
        ("FunctionNameX", "f", False),
    ],
)
def test_each_member_is_taken_or_refused(path: str, value: object, fits: bool) -> None:
    """Listed members and values pass; every other one does not."""
    assert fits is (unenforced(CREATE, path, value) is None)


def test_a_declaration_that_the_model_does_not_know_does_not_start() -> None:
    """A slip of the pen in `accepts` is found when the platform is composed."""
    slip = dataclasses.replace(CREATE, accepts=("FunctonName",))

    with pytest.raises(UnknownMemberError):
        ModelRules(codecs={"lambda": load("lambda")}).prove([slip])


def test_what_aws_takes_beyond_its_model_is_the_services_to_judge() -> None:
    """A loose member breaks no rule of the model; others still do."""
    rules = ModelRules(codecs={"sqs": load("sqs")})
    strict = dataclasses.replace(
        OPERATION,
        service="sqs",
        name="ReceiveMessage",
        accepts=("QueueUrl", "AttributeNames", "MessageSystemAttributeNames"),
    )
    loose = dataclasses.replace(strict, loose=("AttributeNames",))
    odd = {"QueueUrl": "u", "AttributeNames": ["SentTimestamp"]}
    Validate(rules=rules)(admitted(loose, odd).sound.allowed)
    for operation, given in (
        (strict, odd),
        (loose, {**odd, "MessageSystemAttributeNames": ["Colour"]}),
        (loose, {"AttributeNames": ["SentTimestamp"]}),
    ):
        with pytest.raises(Invalid) as caught:
            Validate(rules=rules)(admitted(operation, given).sound.allowed)
        assert "MissingParameter" == caught.value.code


def test_a_loose_member_that_the_model_does_not_have_does_not_start() -> None:
    """A slip of the pen would loosen nothing, or too much."""
    stray = dataclasses.replace(CREATE, loose=("Colour",))
    with pytest.raises(UnknownMemberError):
        ModelRules(codecs={"lambda": load("lambda")}).prove([stray])
