"""
A second account: no name, id, count or distinguishing error of the first.

For every operation that names a thing, what an outsider is told about a thing
that exists is, word for word, what they are told about one that does not.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from platform_harness import TRUST, zipped
from security.probe import Probe
from security.tenant import Refused, Tenant

pytestmark = [pytest.mark.root, pytest.mark.platform]

HERE, NOWHERE = "theirs-that-is-here", "theirs-that-is-nil-"
assert len(HERE) == len(NOWHERE)


@dataclass(frozen=True, slots=True)
class Named:
    """One thing's names: ARN of function, role, policy, group, user."""

    account: str
    name: str

    def arn(self, service: str, resource: str) -> str:
        region = "" if service == "iam" else "us-east-1"
        return f"arn:aws:{service}:{region}:{self.account}:{resource}"

    @property
    def function(self) -> str:
        return self.arn("lambda", f"function:{self.name}")

    @property
    def layer(self) -> str:
        return self.arn("lambda", f"layer:{self.name}")

    @property
    def role(self) -> str:
        return self.arn("iam", f"role/{self.name}")

    @property
    def policy(self) -> str:
        return self.arn("iam", f"policy/{self.name}")

    @property
    def queue(self) -> str:
        return f"https://localhost/{self.account}/{self.name}"

    @property
    def group(self) -> str:
        return self.arn("logs", f"log-group:/aws/lambda/{self.name}")


@pytest.fixture(scope="module")
def theirs(tenant: Tenant) -> str:
    """What the first account has, of every kind, under one name; its account."""
    iam = tenant.client("iam")
    iam.create_role(RoleName=HERE, AssumeRolePolicyDocument=TRUST)
    iam.create_user(UserName=HERE)
    document = {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"},
    }
    iam.create_policy(PolicyName=HERE, PolicyDocument=json.dumps(document))
    tenant.deploy("def handler(e, c):\n    print('secret')\n    return 1\n", HERE)
    tenant.client("sqs").create_queue(QueueName=HERE)
    functions = tenant.client("lambda")
    functions.publish_version(FunctionName=HERE)
    functions.publish_layer_version(
        LayerName=HERE, Content={"ZipFile": zipped({"x.py": ""})}
    )
    functions.create_alias(FunctionName=HERE, Name="live", FunctionVersion="1")
    assert tenant.invoke(f"{HERE}:live")[0] == 1
    assert tenant.invoke(HERE)[0] == 1
    return tenant.account


ASKED: dict[str, tuple[str, Callable[[Any, Named], object]]] = {
    "get function": ("lambda", lambda c, n: c.get_function(FunctionName=n.function)),
    "get configuration": (
        "lambda",
        lambda c, n: c.get_function_configuration(FunctionName=n.function),
    ),
    "invoke": ("lambda", lambda c, n: c.invoke(FunctionName=n.function)),
    "dry run": (
        "lambda",
        lambda c, n: c.invoke(FunctionName=n.function, InvocationType="DryRun"),
    ),
    "partial arn": (
        "lambda",
        lambda c, n: c.invoke(FunctionName=f"{n.account}:function:{n.name}"),
    ),
    "update code": (
        "lambda",
        lambda c, n: c.update_function_code(
            FunctionName=n.function, ZipFile=zipped({"x.py": ""})
        ),
    ),
    "update configuration": (
        "lambda",
        lambda c, n: c.update_function_configuration(
            FunctionName=n.function, Timeout=9
        ),
    ),
    "delete": ("lambda", lambda c, n: c.delete_function(FunctionName=n.function)),
    "get policy": ("lambda", lambda c, n: c.get_policy(FunctionName=n.function)),
    "add permission": (
        "lambda",
        lambda c, n: c.add_permission(
            FunctionName=n.function,
            StatementId="x",
            Action="lambda:InvokeFunction",
            Principal="123456789012",
        ),
    ),
    "remove permission": (
        "lambda",
        lambda c, n: c.remove_permission(FunctionName=n.function, StatementId="x"),
    ),
    "list tags": ("lambda", lambda c, n: c.list_tags(Resource=n.function)),
    "tag": (
        "lambda",
        lambda c, n: c.tag_resource(Resource=n.function, Tags={"a": "b"}),
    ),
    "versions": (
        "lambda",
        lambda c, n: c.list_versions_by_function(FunctionName=n.function),
    ),
    "publish": ("lambda", lambda c, n: c.publish_version(FunctionName=n.function)),
    "a version": (
        "lambda",
        lambda c, n: c.get_function(FunctionName=n.function, Qualifier="1"),
    ),
    "run an alias": (
        "lambda",
        lambda c, n: c.invoke(FunctionName=f"{n.function}:live"),
    ),
    "delete a version": (
        "lambda",
        lambda c, n: c.delete_function(FunctionName=n.function, Qualifier="1"),
    ),
    "aliases": ("lambda", lambda c, n: c.list_aliases(FunctionName=n.function)),
    "get alias": (
        "lambda",
        lambda c, n: c.get_alias(FunctionName=n.function, Name="live"),
    ),
    "make alias": (
        "lambda",
        lambda c, n: c.create_alias(
            FunctionName=n.function, Name="mine", FunctionVersion="1"
        ),
    ),
    "lead alias elsewhere": (
        "lambda",
        lambda c, n: c.update_alias(
            FunctionName=n.function, Name="live", FunctionVersion="$LATEST"
        ),
    ),
    "delete alias": (
        "lambda",
        lambda c, n: c.delete_alias(FunctionName=n.function, Name="live"),
    ),
    "policy of an alias": (
        "lambda",
        lambda c, n: c.get_policy(FunctionName=n.function, Qualifier="live"),
    ),
    "concurrency": (
        "lambda",
        lambda c, n: c.get_function_concurrency(FunctionName=n.function),
    ),
    "recursion": (
        "lambda",
        lambda c, n: c.get_function_recursion_config(FunctionName=n.function),
    ),
    "allow recursion": (
        "lambda",
        lambda c, n: c.put_function_recursion_config(
            FunctionName=n.function, RecursiveLoop="Allow"
        ),
    ),
    "get layer": (
        "lambda",
        lambda c, n: c.get_layer_version(LayerName=n.layer, VersionNumber=1),
    ),
    "get layer by arn": (
        "lambda",
        lambda c, n: c.get_layer_version_by_arn(Arn=f"{n.layer}:1"),
    ),
    "layer versions": (
        "lambda",
        lambda c, n: c.list_layer_versions(LayerName=n.layer),
    ),
    "delete layer": (
        "lambda",
        lambda c, n: c.delete_layer_version(LayerName=n.layer, VersionNumber=1),
    ),
    "publish layer": (
        "lambda",
        lambda c, n: c.publish_layer_version(
            LayerName=n.layer, Content={"ZipFile": zipped({"x.py": ""})}
        ),
    ),
    "layer policy": (
        "lambda",
        lambda c, n: c.get_layer_version_policy(LayerName=n.layer, VersionNumber=1),
    ),
    "open layer": (
        "lambda",
        lambda c, n: c.add_layer_version_permission(
            LayerName=n.layer,
            VersionNumber=1,
            StatementId="x",
            Action="lambda:GetLayerVersion",
            Principal="123456789012",
        ),
    ),
    "use their layer": (
        "lambda",
        lambda c, n: c.update_function_configuration(
            FunctionName="mine", Layers=[f"{n.layer}:1"]
        ),
    ),
    "reserve": (
        "lambda",
        lambda c, n: c.put_function_concurrency(
            FunctionName=n.function, ReservedConcurrentExecutions=0
        ),
    ),
    "give up what is reserved": (
        "lambda",
        lambda c, n: c.delete_function_concurrency(FunctionName=n.function),
    ),
    "idempotency policy": (
        "casemate",
        lambda c, n: c.get_idempotency_policy(FunctionName=n.function),
    ),
    "put idempotency policy": (
        "casemate",
        lambda c, n: c.put_idempotency_policy(
            FunctionName=n.function, KeyExpression="id"
        ),
    ),
    "delete idempotency policy": (
        "casemate",
        lambda c, n: c.delete_idempotency_policy(FunctionName=n.function),
    ),
    "create with their role": (
        "lambda",
        lambda c, n: c.create_function(
            FunctionName="mine",
            Runtime="python3.11",
            Handler="x.y",
            Role=n.role,
            Code={"ZipFile": zipped({"x.py": ""})},
        ),
    ),
    "create there": (
        "lambda",
        lambda c, n: c.create_function(
            FunctionName=n.function,
            Runtime="python3.11",
            Handler="x.y",
            Role=n.role,
            Code={"ZipFile": zipped({"x.py": ""})},
        ),
    ),
    "assume role": (
        "sts",
        lambda c, n: c.assume_role(RoleArn=n.role, RoleSessionName="me"),
    ),
    "get iam policy": ("iam", lambda c, n: c.get_policy(PolicyArn=n.policy)),
    "get role": ("iam", lambda c, n: c.get_role(RoleName=n.name)),
    "get user": ("iam", lambda c, n: c.get_user(UserName=n.name)),
    "delete role": ("iam", lambda c, n: c.delete_role(RoleName=n.name)),
    "list keys": ("iam", lambda c, n: c.list_access_keys(UserName=n.name)),
    "simulate": (
        "iam",
        lambda c, n: c.simulate_principal_policy(
            PolicySourceArn=n.role, ActionNames=["s3:GetObject"]
        ),
    ),
    "attach": (
        "iam",
        lambda c, n: c.attach_role_policy(RoleName="powerless", PolicyArn=n.policy),
    ),
    "log streams": (
        "logs",
        lambda c, n: c.describe_log_streams(logGroupName=f"/aws/lambda/{n.name}"),
    ),
    "log streams by arn": (
        "logs",
        lambda c, n: c.describe_log_streams(logGroupIdentifier=n.group),
    ),
    "filter by name": (
        "logs",
        lambda c, n: c.filter_log_events(logGroupName=f"/aws/lambda/{n.name}"),
    ),
    "filter by arn": (
        "logs",
        lambda c, n: c.filter_log_events(logGroupIdentifier=n.group),
    ),
    "delete group": (
        "logs",
        lambda c, n: c.delete_log_group(logGroupName=f"/aws/lambda/{n.name}"),
    ),
    "queue url": (
        "sqs",
        lambda c, n: c.get_queue_url(
            QueueName=n.name, QueueOwnerAWSAccountId=n.account
        ),
    ),
    "send": ("sqs", lambda c, n: c.send_message(QueueUrl=n.queue, MessageBody="x")),
    "send batch": (
        "sqs",
        lambda c, n: c.send_message_batch(
            QueueUrl=n.queue, Entries=[{"Id": "a", "MessageBody": "x"}]
        ),
    ),
    "receive": ("sqs", lambda c, n: c.receive_message(QueueUrl=n.queue)),
    "delete message": (
        "sqs",
        lambda c, n: c.delete_message(QueueUrl=n.queue, ReceiptHandle="x"),
    ),
    "queue attributes": (
        "sqs",
        lambda c, n: c.get_queue_attributes(QueueUrl=n.queue, AttributeNames=["All"]),
    ),
    "set queue attributes": (
        "sqs",
        lambda c, n: c.set_queue_attributes(
            QueueUrl=n.queue, Attributes={"DelaySeconds": "1"}
        ),
    ),
    "share queue": (
        "sqs",
        lambda c, n: c.add_permission(
            QueueUrl=n.queue,
            Label="x",
            AWSAccountIds=["123456789012"],
            Actions=["SendMessage"],
        ),
    ),
    "purge": ("sqs", lambda c, n: c.purge_queue(QueueUrl=n.queue)),
    "delete queue": ("sqs", lambda c, n: c.delete_queue(QueueUrl=n.queue)),
    "queue tags": ("sqs", lambda c, n: c.list_queue_tags(QueueUrl=n.queue)),
    "dead letter sources": (
        "sqs",
        lambda c, n: c.list_dead_letter_source_queues(QueueUrl=n.queue),
    ),
    "group tags": ("logs", lambda c, n: c.list_tags_for_resource(resourceArn=n.group)),
}


def told(other: Tenant, asked: str, named: Named) -> Refused:
    """Ask as the outsider; the refusal with the thing's name taken out."""
    service, call = ASKED[asked]
    refused = other.refused(lambda: call(other.client(service), named))
    assert refused.record["recipientAccountId"] == other.account
    return Refused(
        code=refused.code,
        message=refused.message.replace(named.name, "<name>"),
        status=refused.status,
        record={},
    )


@pytest.mark.parametrize("asked", ASKED)
def test_what_is_there_and_what_is_not_are_told_alike(
    other: Tenant, theirs: str, asked: str
) -> None:
    """The end, Z14: same code, same status, same words; and both are on record."""
    assert other.role  # the account has the role that `attach` would attach to
    here, nowhere = (
        told(other, asked, Named(theirs, name)) for name in (HERE, NOWHERE)
    )
    assert here == nowhere


def test_an_account_that_is_none_is_told_alike(other: Tenant, theirs: str) -> None:
    """The end, Z14: an account's existence is not told either."""
    for asked in ("get function", "invoke", "assume role", "create with their role"):
        one = told(other, asked, Named(theirs, HERE))
        two = told(other, asked, Named("999999999999", HERE))
        assert one.code == two.code
        assert one.message == two.message.replace("999999999999", theirs)


def test_lists_and_counts_are_the_account_s_own(other: Tenant, theirs: str) -> None:
    """The end: no list, page, count or usage holds anything of another account."""
    other.deploy("def handler(e, c): pass", "of-my-own")
    functions, iam = other.client("lambda"), other.client("iam")
    settings = functions.get_account_settings()
    names = [
        f["FunctionName"]
        for page in functions.get_paginator("list_functions").paginate()
        for f in page["Functions"]
    ]
    assert settings["AccountUsage"]["FunctionCount"] == len(names)
    shown = json.dumps(
        [
            functions.list_functions(),
            settings,
            iam.list_roles(),
            iam.list_users(),
            iam.list_policies(Scope="Local"),
            other.client("logs").describe_log_groups(),
            other.client("sqs").list_queues(),
            other.client("casemate").list_runtimes(),
        ],
        default=str,
    )
    assert "of-my-own" in shown  # the control
    assert HERE not in shown
    assert theirs not in shown


@pytest.mark.parametrize(
    "operation", ["get_status", "list_accounts", "verify_audit", "create_account"]
)
def test_the_platform_s_own_counts_are_the_operator_s(
    other: Tenant, operation: str
) -> None:
    """The end: an administrator of another account is no operator; it is on record."""
    refused = other.refused(getattr(other.client("casemate"), operation))
    assert refused.code == "AccessDeniedException"


def test_a_page_token_is_of_no_use_to_another(tenant: Tenant, other: Tenant) -> None:
    """Z13: a token of one account's list is refused in another's, and on record."""
    for _ in range(2):
        tenant.deploy("def handler(e, c): pass")
    token = tenant.client("lambda").list_functions(MaxItems=1).get("NextMarker")
    assert token
    assert tenant.client("lambda").list_functions(Marker=token)["Functions"]
    refused = other.refused(other.client("lambda").list_functions, Marker=token)
    assert refused.status == 400


def test_a_request_of_another_is_not_explained(tenant: Tenant, other: Tenant) -> None:
    """The end: a request id of the first account is, to the second, no request."""
    answer = tenant.client("lambda").list_functions(MaxItems=1)
    real = answer["ResponseMetadata"]["RequestId"]
    assert tenant.record(real)["eventName"] == "ListFunctions"
    never = real[:-4] + ("0000" if real[-4:] != "0000" else "1111")
    explain = other.client("casemate").explain_request
    one = other.refused(explain, RequestId=real)
    two = other.refused(explain, RequestId=never)
    assert one.message.replace(real, "<id>") == two.message.replace(never, "<id>")
    assert (one.code, one.status) == (two.code, two.status)


def test_leave_to_invoke_is_not_leave_to_read_the_log(
    tenant: Tenant, other: Tenant
) -> None:
    """The end: who may call another account's function does not see its log lines."""
    source = "def handler(e, c):\n    print('whispered-line')\n    return 1\n"
    name = tenant.deploy(source, "shared")
    tenant.client("lambda").add_permission(
        FunctionName=name,
        StatementId="other",
        Action="lambda:InvokeFunction",
        Principal=other.account,
    )
    arn = f"arn:aws:lambda:us-east-1:{tenant.account}:function:{name}"
    answer = other.client("lambda").invoke(FunctionName=arn)
    assert json.load(answer["Payload"]) == 1
    request_id = answer["ResponseMetadata"]["RequestId"]
    while not any("whispered-line" in line for line in tenant.logs(name)):
        continue
    story = other.client("casemate").explain_request(RequestId=request_id)
    assert "whispered-line" not in json.dumps(story, default=str)


def test_a_cell_s_rights_end_at_its_account(
    tenant: Tenant, other: Tenant, theirs: str
) -> None:
    """The end: full rights in one account are none in another, from a cell as well."""
    role = tenant.platform.role(
        "mighty",
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        account=other.account,
    )
    probe = Probe(other, "mighty", Role=role)
    named = Named(theirs, HERE)
    answer = probe.run(
        """
        import boto3, botocore
        answer = []
        client = boto3.client("lambda")
        for work in (client.get_function, client.invoke, client.delete_function):
            try:
                work(FunctionName=event["arn"])
                answer.append("served")
            except botocore.exceptions.ClientError as error:
                answer.append(error.response["Error"]["Code"])
        answer.append(len(client.list_functions()["Functions"]) > 0)
        """,
        arn=named.function,
    )
    assert answer == [*["AccessDeniedException"] * 3, True]


def test_the_first_account_still_has_it_all(tenant: Tenant, theirs: str) -> None:
    """The control: nothing of the above touched what was asked for."""
    assert theirs == tenant.account
    assert tenant.invoke(HERE)[0] == 1
    assert tenant.client("iam").get_role(RoleName=HERE)["Role"]["RoleName"] == HERE
    with pytest.raises(ClientError):
        tenant.client("iam").get_role(RoleName=NOWHERE)
