"""What a known caller may not: wildcards, conditions, PassRole, accounts, listings."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from platform_harness import Platform, zipped
from security.edge.people import Person, allow, deny
from security.tenant import Tenant

pytestmark = [pytest.mark.root, pytest.mark.platform]

ECHO = "def handler(event, context):\n    return {'ran': event}\n"
DENIED = {"AccessDenied", "AccessDeniedException"}


def code_of(call: Callable[..., object], **arguments: Any) -> str:
    """Make a call; give its error's code, or nothing."""
    try:
        call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def must_deny(
    tenant: Tenant, call: Callable[..., object], **arguments: Any
) -> dict[str, Any]:
    """Make a call that is denied; give its record, which says why."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer: Any = caught.value.response
    assert answer["Error"]["Code"] in DENIED, answer
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 403
    record = tenant.record(answer["ResponseMetadata"]["RequestId"])
    assert record["errorCode"] in DENIED
    assert record["additionalEventData"]["evidence"]["remedy"]
    return record


def named(function: str) -> str:
    """Name functions in a policy."""
    return f"arn:aws:lambda:*:*:function:{function}"


@pytest.fixture(scope="module")
def echo(alice: Tenant) -> str:
    """A function of alice's."""
    return alice.deploy(ECHO, "z-echo")


@pytest.fixture(scope="module")
def person(alice: Tenant) -> Person:
    """A user whose policy each test sets."""
    return Person.born(alice)


def _groups(person: Person) -> str:
    return code_of(person.client("logs").describe_log_groups)


def _bad_policy(person: Person, *statements: object) -> str:
    """Try to set a policy that is none; give the error's code."""
    return code_of(lambda: person.may(*statements))  # type: ignore[arg-type]  # what is tried is no statement


def test_z1_the_case_of_actions(person: Person, echo: str) -> None:
    """Z1: actions are compared without case, resources with it."""
    lambda_ = person.client("lambda")
    person.may(allow("LAMBDA:invokefunction", on=named(echo)))
    assert code_of(lambda_.invoke, FunctionName=echo) == ""
    person.may(allow("lambda:InvokeFunction", on=named(echo.upper())))
    must_deny(person.tenant, lambda_.invoke, FunctionName=echo)


def test_z1_wildcards_in_resources(person: Person, echo: str) -> None:
    """Z1: `?` is one character; `*` spans `:`, so that a qualifier is covered."""
    lambda_ = person.client("lambda")
    person.may(allow("lambda:InvokeFunctio?", on=named(echo + "*")))
    assert code_of(lambda_.invoke, FunctionName=echo) == ""
    assert code_of(lambda_.invoke, FunctionName=echo, Qualifier="$LATEST") == ""
    person.may(allow("lambda:InvokeFunction??"))
    must_deny(person.tenant, lambda_.invoke, FunctionName=echo)
    person.may(allow("lambda:InvokeFunction", on=named(echo)))
    must_deny(person.tenant, lambda_.invoke, FunctionName=echo, Qualifier="$LATEST")


@pytest.mark.parametrize("action", ["lаmbda:*", "lambda:＊", "ｌambda:InvokeFunction"])  # noqa: RUF001 — the attack
def test_z1_homoglyphs(action: str, person: Person) -> None:
    """Z1: an action that only looks like one is refused where it is written."""
    assert _bad_policy(person, allow(action)) == "MalformedPolicyDocument"


def test_z1_a_name_is_text(alice: Tenant) -> None:
    """Z1: a policy variable holds the name itself; no name can be a wildcard."""
    home = f"arn:aws:logs:*:{alice.account}:log-group:/home/${{aws:username}}:*"
    group = f"arn:aws:logs:*:{alice.account}:log-group:/home/${{aws:username}}"
    mine = Person.born(alice, allow("logs:*", on=[home, group]), name="z1.a")
    logs = mine.client("logs")
    assert code_of(logs.create_log_group, logGroupName="/home/z1.a") == ""
    for other in ("/home/z1-a", "/home/z1.ab", "/home/", "/home"):
        must_deny(alice, logs.create_log_group, logGroupName=other)
    assert code_of(alice.client("iam").create_user, UserName="z1*") == "ValidationError"


def test_z2_not_action_with_deny(person: Person, echo: str) -> None:
    """Z2: everything but what is named is denied, whatever else allows it."""
    everything: dict[str, object] = {
        "Effect": "Deny",
        "NotAction": ["logs:DescribeLogGroups"],
        "Resource": "*",
    }
    person.may(allow("*"), everything)
    assert _groups(person) == ""
    must_deny(person.tenant, person.client("lambda").invoke, FunctionName=echo)


def test_z2_not_resource_with_deny(person: Person, echo: str) -> None:
    """Z2: all other functions are denied; that allows nothing by itself."""
    others: dict[str, object] = {
        "Effect": "Deny",
        "Action": "lambda:*",
        "NotResource": [named(echo), named(echo + ":*")],
    }
    lambda_ = person.client("lambda")
    person.may(others)
    must_deny(person.tenant, lambda_.invoke, FunctionName=echo)
    person.may(others, allow("lambda:*"))
    assert code_of(lambda_.invoke, FunctionName=echo) == ""
    must_deny(person.tenant, lambda_.get_function, FunctionName="z-another")


def test_z2_documents_that_are_none(person: Person) -> None:
    """Z2: no statement, two of one Sid, a principal, an unknown member: refused."""
    twice = (allow("logs:*", Sid="A"), allow("iam:*", Sid="A"))
    bad: list[tuple[object, ...]] = [
        (),
        twice,
        (allow("logs:*", Principal="*"),),
        (allow("logs:*", Condtion={}),),
        ({"Effect": "allow", "Action": "*", "Resource": "*"},),
        ({"Effect": "Allow", "Action": "*"},),
        ({"Effect": "Allow", "Resource": "*"},),
        (allow("logs:*", NotAction="iam:*"),),
        (allow("logs:*", Condition={"StringEqualz": {"aws:username": "a"}}),),
        ("Allow",),
        (None,),
    ]
    for statements in bad:
        code = _bad_policy(person, *statements)
        assert code == "MalformedPolicyDocument", statements


def test_z2_a_policy_of_2008(alice: Tenant, echo: str) -> None:
    """Z2: without a Version, variables are not expanded: they are only text."""
    person = Person.born(alice)
    person.may(
        allow("lambda:InvokeFunction", on=named("${aws:username}")), version=None
    )
    name = person.name
    alice.deploy(ECHO, name)
    must_deny(alice, person.client("lambda").invoke, FunctionName=name)
    person.may(allow("lambda:InvokeFunction", on=named("${aws:username}")))
    assert code_of(person.client("lambda").invoke, FunctionName=name) == ""
    must_deny(alice, person.client("lambda").invoke, FunctionName=echo)


def _day(offset: int) -> str:
    moment = datetime.fromtimestamp(time.time() + offset * 86_400, tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


CONDITIONS: list[tuple[str, dict[str, dict[str, object]], bool]] = [
    ("equal", {"StringEquals": {"aws:username": "z3"}}, True),
    ("case", {"StringEquals": {"aws:username": "Z3"}}, False),
    ("ignore case", {"StringEqualsIgnoreCase": {"aws:username": "Z3"}}, True),
    ("missing key", {"StringEquals": {"aws:PrincipalTag/x": "1"}}, False),
    ("missing, negated", {"StringNotEquals": {"aws:PrincipalTag/x": "1"}}, True),
    (
        "missing, if it exists",
        {"StringEqualsIfExists": {"aws:PrincipalTag/x": "1"}},
        True,
    ),
    ("null", {"Null": {"aws:PrincipalTag/x": "true"}}, True),
    ("not null", {"Null": {"aws:username": "true"}}, False),
    ("all of none", {"ForAllValues:StringEquals": {"aws:TagKeys": ["a"]}}, True),
    ("any of none", {"ForAnyValue:StringEquals": {"aws:TagKeys": ["a"]}}, False),
    ("like", {"StringLike": {"aws:username": "z?"}}, True),
    ("a star is text", {"StringEquals": {"aws:username": "z*"}}, False),
    ("address", {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, True),
    ("another address", {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, False),
    ("IPv4 in IPv6", {"IpAddress": {"aws:SourceIp": "::ffff:127.0.0.0/104"}}, True),
    ("IPv6", {"IpAddress": {"aws:SourceIp": "::/64"}}, False),
    ("not address", {"NotIpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, False),
    ("before", {"DateLessThan": {"aws:CurrentTime": _day(1)}}, True),
    ("after", {"DateGreaterThan": {"aws:CurrentTime": _day(1)}}, False),
    ("epoch", {"DateLessThan": {"aws:EpochTime": str(int(time.time()) + 9999)}}, True),
    ("truth", {"Bool": {"aws:SecureTransport": "true"}}, True),
    ("falsehood", {"Bool": {"aws:SecureTransport": "false"}}, False),
    ("ARN", {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/z3"}}, True),
    (
        "ARN segments",
        {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/z?3"}},
        False,
    ),
    ("region", {"StringEquals": {"aws:RequestedRegion": "us-east-1"}}, True),
    (
        "all must hold",
        {
            "StringEquals": {"aws:username": "z3"},
            "Bool": {"aws:SecureTransport": "false"},
        },
        False,
    ),
]


@pytest.fixture(scope="module")
def conditioned(alice: Tenant) -> Person:
    """The user z3."""
    return Person.born(alice, name="z3")


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [pytest.param(c, a, id=name) for name, c, a in CONDITIONS],
)
def test_z3_conditions(
    condition: dict[str, object], allowed: bool, conditioned: Person
) -> None:
    """Z3: on a real call, each condition says what AWS's would."""
    conditioned.may(allow("logs:DescribeLogGroups", Condition=condition))
    if allowed:
        assert _groups(conditioned) == ""
    else:
        logs = conditioned.client("logs")
        must_deny(conditioned.tenant, logs.describe_log_groups)
    conditioned.may(
        allow("logs:DescribeLogGroups"),
        deny("logs:DescribeLogGroups", Condition=condition),
    )
    assert (_groups(conditioned) in DENIED) is allowed


def _passing(service: str) -> dict[str, object]:
    return {"StringEquals": {"iam:PassedToService": service}}


def test_z4_a_role_that_one_may_not_pass(alice: Tenant, echo: str) -> None:
    """Z4: who makes or changes functions gives them no role that is not theirs."""
    strong = alice.platform.role(
        "z4-strong", {"Effect": "Allow", "Action": "*", "Resource": "*"}
    )
    person = Person.born(alice, allow("lambda:*"))
    lambda_ = person.client("lambda")
    make: dict[str, Any] = {
        "FunctionName": "z4",
        "Runtime": "python3.11",
        "Handler": "handler.handler",
        "Role": strong,
        "Code": {"ZipFile": zipped({"handler.py": ECHO})},
    }
    change = {"FunctionName": echo, "Role": strong}
    for rights in (
        (allow("lambda:*"),),
        (allow("lambda:*"), allow("iam:PassRole", on="arn:aws:iam::*:role/other")),
        (
            allow("lambda:*"),
            allow("iam:PassRole", Condition=_passing("ec2.amazonaws.com")),
        ),
        (allow("lambda:*"), allow("iam:PassRole"), deny("iam:PassRole", on=strong)),
    ):
        person.may(*rights)
        record = must_deny(alice, lambda_.create_function, **make)
        evidence = record["additionalEventData"]["evidence"]
        assert (evidence["action"], evidence["resource"]) == ("iam:PassRole", strong)
        must_deny(alice, lambda_.update_function_configuration, **change)
    assert code_of(alice.client("lambda").get_function, FunctionName="z4") == (
        "ResourceNotFoundException"
    )
    kept = alice.client("lambda").get_function_configuration(FunctionName=echo)
    assert kept["Role"] == alice.role
    passing = allow(
        "iam:PassRole", on=strong, Condition=_passing("lambda.amazonaws.com")
    )
    person.may(allow("lambda:*"), passing)
    assert code_of(lambda_.create_function, **make) == ""


def test_z4_a_role_that_lambda_may_not_assume(alice: Tenant) -> None:
    """Z4: a role that trusts somebody else is no function's, whoever passes it."""
    trust = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "ec2.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
    )
    role = alice.client("iam").create_role(
        RoleName="z4-other", AssumeRolePolicyDocument=trust
    )["Role"]["Arn"]
    refused = alice.refused(alice.create, files=ECHO, Role=role)
    assert refused.code == "InvalidParameterValueException"


def test_z4_a_role_of_another_account(alice: Tenant, bob: Tenant) -> None:
    """Z4: nor is a role of another account, existing or not."""
    codes = set()
    for role in (bob.role, bob.role.replace("powerless", "nobody")):
        with pytest.raises(ClientError) as caught:
            alice.create(ECHO, Role=role)
        codes.add(caught.value.response["Error"]["Code"])
    assert len(codes) == 1


def test_z7_both_accounts_must_allow(alice: Tenant, bob: Tenant) -> None:
    """Z7: one side's word is not enough for a call across accounts."""
    name = alice.deploy(ECHO, "z7")
    arn = f"arn:aws:lambda:us-east-1:{alice.account}:function:{name}"
    able = Person.born(bob, allow("lambda:InvokeFunction"))
    unable = Person.born(bob)
    must_deny(bob, able.client("lambda").invoke, FunctionName=arn)
    must_deny(bob, unable.client("lambda").invoke, FunctionName=arn)
    alice.client("lambda").add_permission(
        FunctionName=name,
        StatementId="bob",
        Action="lambda:InvokeFunction",
        Principal=bob.account,
    )
    must_deny(bob, unable.client("lambda").invoke, FunctionName=arn)
    answer = able.client("lambda").invoke(FunctionName=arn, Payload=b"7")
    assert json.loads(answer["Payload"].read()) == {"ran": 7}
    must_deny(bob, able.client("lambda").get_function, FunctionName=arn)
    alice.client("lambda").remove_permission(FunctionName=name, StatementId="bob")
    must_deny(bob, able.client("lambda").invoke, FunctionName=arn)


def test_z7_a_named_user_needs_both_as_well(alice: Tenant, bob: Tenant) -> None:
    """Z7: naming a user of another account does not stand for that account's word."""
    name = alice.deploy(ECHO, "z7-named")
    arn = f"arn:aws:lambda:us-east-1:{alice.account}:function:{name}"
    unable, own = Person.born(bob), Person.born(alice)
    for number, user in enumerate((unable, own)):
        alice.client("lambda").add_permission(
            FunctionName=name,
            StatementId=f"s{number}",
            Action="lambda:InvokeFunction",
            Principal=user.arn,
        )
    must_deny(bob, unable.client("lambda").invoke, FunctionName=arn)
    # Within the account, the function's own policy suffices, as on AWS.
    assert code_of(own.client("lambda").invoke, FunctionName=arn) == ""


def _foreign_reads(
    bob: Tenant, alice: Tenant, name: str
) -> dict[str, Callable[[], object]]:
    """Give bob's attempts to learn of something of alice's by its full name."""
    function = f"arn:aws:lambda:us-east-1:{alice.account}:function:{name}"
    group = f"arn:aws:logs:us-east-1:{alice.account}:log-group:/aws/lambda/{name}"
    role = f"arn:aws:iam::{alice.account}:role/{name}"
    lambda_, logs = bob.client("lambda"), bob.client("logs")
    return {
        "function": lambda: lambda_.get_function(FunctionName=function),
        "configuration": lambda: lambda_.get_function_configuration(
            FunctionName=function
        ),
        "invoke": lambda: lambda_.invoke(FunctionName=function),
        "delete": lambda: lambda_.delete_function(FunctionName=function),
        "policy": lambda: lambda_.get_policy(FunctionName=function),
        "tags": lambda: lambda_.list_tags(Resource=function),
        "tag": lambda: lambda_.tag_resource(Resource=function, Tags={"a": "b"}),
        "lines": lambda: logs.filter_log_events(logGroupIdentifier=group),
        "role": lambda: bob.client("sts").assume_role(
            RoleArn=role, RoleSessionName="bob-tries"
        ),
    }


def test_z14_no_error_tells_what_there_is(alice: Tenant, bob: Tenant) -> None:
    """Z14: what another account has and what it has not are refused alike."""
    there, absent = "z14-there", "z14-miss1"
    alice.deploy(ECHO, there)
    alice.invoke(there)
    alice.platform.role(there)
    known = _foreign_reads(bob, alice, there)
    unknown = _foreign_reads(bob, alice, absent)
    for what, read in known.items():
        told = []
        for name, call in ((there, read), (absent, unknown[what])):
            with pytest.raises(ClientError) as caught:
                call()
            response: Any = caught.value.response
            meta, error = response["ResponseMetadata"], response["Error"]
            message = error["Message"].replace(name, "NAME")
            told.append((error["Code"], message, meta["HTTPStatusCode"]))
        assert told[0] == told[1], what


def test_z14_lists_are_ones_own(alice: Tenant, bob: Tenant, echo: str) -> None:
    """Z14: no list of one account has a name, an id or a count of another's."""
    alice.invoke(echo)
    lists = {
        "lambda": ("list_functions", "get_account_settings"),
        "logs": ("describe_log_groups",),
        "iam": ("list_users", "list_roles", "list_policies"),
    }
    for service, operations in lists.items():
        for operation in operations:
            client = bob.client(service)
            if not hasattr(client, operation):
                continue
            told = json.dumps(getattr(client, operation)(), default=str)
            assert alice.account not in told, operation
            assert echo not in told, operation
    for operation in ("list_accounts", "get_status", "verify_audit"):
        refused = bob.refused(getattr(bob.client("casemate"), operation))
        assert refused.code == "AccessDeniedException"


def test_z14_a_request_is_its_accounts(alice: Tenant, bob: Tenant) -> None:
    """Z14: another's request id, and one that never was, are the same not found."""
    mine = alice.client("sts").get_caller_identity()["ResponseMetadata"]["RequestId"]
    never = mine[:-4] + ("0000" if mine[-4:] != "0000" else "1111")
    told = []
    for wanted in (mine, never):
        with pytest.raises(ClientError) as caught:
            bob.client("casemate").explain_request(RequestId=wanted)
        error = caught.value.response["Error"]
        told.append((error["Code"], error["Message"].replace(wanted, "ID")))
    assert told[0] == told[1]
    assert told[0][0] == "ResourceNotFoundException"


def test_z14_a_token_of_a_list_is_its_accounts(
    alice: Tenant, bob: Tenant, platform: Platform
) -> None:
    """Z14: a page's token works for nobody else, and for no other question."""
    for number in range(3):
        for tenant in (alice, bob):
            tenant.client("logs").create_log_group(logGroupName=f"/z14/{number}")
    mine = alice.client("logs").describe_log_groups(
        logGroupNamePrefix="/z14/", limit=1
    )["nextToken"]
    refused = bob.refused(
        bob.client("logs").describe_log_groups,
        logGroupNamePrefix="/z14/",
        limit=1,
        nextToken=mine,
    )
    assert refused.code == "InvalidParameterException"
    refused = alice.refused(
        alice.client("logs").describe_log_groups,
        logGroupNamePrefix="/z1",
        limit=1,
        nextToken=mine,
    )
    assert refused.code == "InvalidParameterException"
    assert platform.process is not None
