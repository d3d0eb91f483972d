"""
IAM, STS and Casemate as clients see them: through the real codec.

botocore writes each request and reads each answer; the codec is in between.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.awsrequest import create_request_object, prepare_request_dict
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

import casemate
from casemate import wire
from casemate.app.rules import ModelRules
from casemate.core.call import Request
from casemate.core.operation import Operation, Told
from unit.services.calls import Caller, admitted, law, user_of
from unit.services.casemate_.test_casemate import Platform
from unit.services.iam_world import BASIC, TRUST, World, allow, role_arn

DATA = Path(casemate.__file__).parent / "data"
LOADER = Loader(extra_search_paths=[str(DATA)])


class Client:
    """Calls operations with botocore's bytes both ways."""

    def __init__(self, caller: Caller, service: str) -> None:
        self.caller = caller
        self.codec = wire.load(service, DATA)
        self.model = ServiceModel(
            LOADER.load_service_model(service, "service-2"), service
        )
        self.rules = ModelRules(codecs={service: self.codec})

    async def __call__(self, name: str, **given: object) -> dict[str, Any]:
        operation = self.model.operation_model(name)
        request = self._sent(operation, given)
        route = self.codec.route(request)
        parameters = self.codec.decode(route, request)
        declared = self.caller.operations[route.operation]
        assert self.rules.check(declared, parameters) == ()
        call = admitted(declared, parameters, principal=self.caller.principal)
        result = await declared.method(call)
        assert not isinstance(result, Told)
        reply = self.codec.encode(route.operation, result, "r-1")
        parser = create_parser(self.codec.protocol)
        told: dict[str, Any] = parser.parse(
            {
                "status_code": reply.status,
                "headers": dict(reply.headers),
                "body": reply.body,
            },
            operation.output_shape,
        )
        assert told.pop("ResponseMetadata")["HTTPStatusCode"] == 200
        return told

    def _sent(self, operation: Any, given: dict[str, object]) -> Request:
        serializer = create_serializer(self.codec.protocol)
        told = serializer.serialize_to_request(given, operation)
        prepare_request_dict(told, "https://127.0.0.1:4443", context={})
        prepared = create_request_object(told).prepare()
        url = urlsplit(prepared.url)
        body = prepared.body or b""
        return Request(
            method=prepared.method,
            path=url.path,
            query=url.query,
            headers=tuple(
                (n.lower(), v if isinstance(v, str) else v.decode("latin-1"))
                for n, v in prepared.headers.items()
            ),
            body=body if isinstance(body, bytes) else body.encode(),
            peer="192.0.2.1",
        )


def every() -> list[Operation]:
    world = Platform()
    return [*world.call.operations.values(), *world.service.operations]


@pytest.mark.parametrize("operation", every(), ids=lambda o: f"{o.service}.{o.name}")
def test_what_is_declared_is_in_the_model(operation: Operation) -> None:
    """Accepted members, lists in pages and error codes are AWS's own."""
    codec = wire.load(operation.service, DATA)
    ModelRules(codecs={operation.service: codec}).prove([operation])
    model = ServiceModel(
        LOADER.load_service_model(operation.service, "service-2"), operation.service
    )
    shape = model.operation_model(operation.name).input_shape
    members = set(shape.members) if shape else set()
    assert operation.paginated == bool(members & {"Marker", "NextToken"})


@law
async def test_iam_is_spoken_from_end_to_end() -> None:
    """The life of a role, a user and a policy, in botocore's bytes."""
    world = World()
    iam = Client(world.call, "iam")
    made = await iam(
        "CreateRole",
        RoleName="worker",
        AssumeRolePolicyDocument=TRUST,
        Tags=[{"Key": "k", "Value": "v"}],
        MaxSessionDuration=7200,
    )
    got = await iam("GetRole", RoleName="worker")
    assert got == made
    assert got["Role"]["CreateDate"].year == 2023
    assert got["Role"]["Tags"] == [{"Key": "k", "Value": "v"}]
    await iam("AttachRolePolicy", RoleName="worker", PolicyArn=BASIC)
    put = {"RoleName": "worker", "PolicyName": "p"}
    await iam("PutRolePolicy", **put, PolicyDocument=allow("s3:*"))
    assert (await iam("GetRolePolicy", **put))["PolicyName"] == "p"
    listed = await iam("ListAttachedRolePolicies", RoleName="worker")
    assert [p["PolicyArn"] for p in listed["AttachedPolicies"]] == [BASIC]
    page = await iam("ListPolicies", MaxItems=2)
    assert (page["IsTruncated"], len(page["Policies"])) == (True, 2)
    assert (await iam("ListPolicies", MaxItems=2, Marker=page["Marker"]))["Policies"]
    simulated = await iam(
        "SimulatePrincipalPolicy",
        PolicySourceArn=role_arn("worker"),
        ActionNames=["s3:GetObject", "ec2:RunInstances"],
    )
    assert [r["EvalDecision"] for r in simulated["EvaluationResults"]] == [
        "allowed",
        "implicitDeny",
    ]
    await iam("CreateUser", UserName="alice")
    key = (await iam("CreateAccessKey", UserName="alice"))["AccessKey"]
    assert key["Status"] == "Active"
    assert (
        len((await iam("ListAccessKeys", UserName="alice"))["AccessKeyMetadata"]) == 1
    )
    assert await iam("UpdateRole", RoleName="worker", Description="d") == {}
    new = await iam("CreatePolicy", PolicyName="p", PolicyDocument=allow("a:b"))
    arn = new["Policy"]["Arn"]
    version = await iam("GetPolicyVersion", PolicyArn=arn, VersionId="v1")
    assert version["PolicyVersion"]["IsDefaultVersion"] is True
    assert (await iam("ListInstanceProfilesForRole", RoleName="worker")) == {
        "InstanceProfiles": [],
        "IsTruncated": False,
    }
    entities = await iam("ListEntitiesForPolicy", PolicyArn=BASIC)
    assert [r["RoleName"] for r in entities["PolicyRoles"]] == ["worker"]


@law
async def test_sts_is_spoken_from_end_to_end() -> None:
    """A session, with its expiry as a time."""
    world = World()
    await world.role("worker")
    sts = Client(world.call.by(user_of("alice")), "sts")
    assert (await sts("GetCallerIdentity"))["Account"] == "111122223333"
    answer = await sts(
        "AssumeRole",
        RoleArn=role_arn("worker"),
        RoleSessionName="job",
        Policy=allow("s3:*"),
        Tags=[{"Key": "k", "Value": "v"}],
    )
    assert answer["Credentials"]["Expiration"].timestamp() == 1_700_003_600
    assert answer["PackedPolicySize"] > 0


@law
async def test_casemate_is_spoken_from_end_to_end() -> None:
    """json-1.1, under a target of its own."""
    world = Platform()
    own = Client(await world.started(), "casemate")
    made = await own("CreateAccount", Name="team")
    assert made["Name"] == "team"
    assert len((await own("ListAccounts"))["Accounts"]) == 2
    assert (await own("GetStatus"))["Region"] == "us-east-1"
    assert (await own("ListRuntimes"))["Runtimes"] == [{"Name": "python3.11"}]
    verdict = await own("VerifyAudit")
    assert (verdict["Sound"], verdict["Findings"][0]["Fault"]) == (False, "altered")
