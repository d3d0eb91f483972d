"""
The policies that AWS gives, under their own ARNs, read-only.

Only those whose whole document stands here as AWS has it; an ARN that is not
here does not exist.  Names, paths, versions and dates are AWS's, because
clients refer to them; the unique ids are derived from the ARN.

Source: https://docs.aws.amazon.com/aws-managed-policy/latest/reference/
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from types import MappingProxyType

from casemate.services.iam.model import ManagedPolicy, Version
from casemate.services.iam.names import new_id

PREFIX = "arn:aws:iam::aws:policy/"

_LOGS = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")
_CONSOLE = (
    "cloudformation:DescribeStacks",
    "cloudformation:ListStackResources",
    "cloudwatch:ListMetrics",
    "cloudwatch:GetMetricData",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "kms:ListAliases",
    "iam:GetPolicy",
    "iam:GetPolicyVersion",
    "iam:GetRole",
    "iam:GetRolePolicy",
    "iam:ListAttachedRolePolicies",
    "iam:ListRolePolicies",
    "iam:ListRoles",
    "logs:DescribeLogGroups",
    "states:DescribeStateMachine",
    "states:ListStateMachines",
    "tag:GetResources",
    "xray:GetTraceSummaries",
    "xray:BatchGetTraces",
)
_READ_LOGS = (
    "logs:DescribeLogStreams",
    "logs:GetLogEvents",
    "logs:FilterLogEvents",
    "logs:StartLiveTail",
    "logs:StopLiveTail",
)
_ORGANIZATION = (
    "organizations:DescribeAccount",
    "organizations:DescribeOrganization",
    "organizations:DescribeOrganizationalUnit",
    "organizations:DescribePolicy",
    "organizations:ListChildren",
    "organizations:ListParents",
    "organizations:ListPoliciesForTarget",
    "organizations:ListRoots",
    "organizations:ListPolicies",
    "organizations:ListTargetsForPolicy",
)
_LAMBDA_LOGS = "arn:aws:logs:*:*:log-group:/aws/lambda/*"


def _allow(*actions: str, resource: str = "*") -> dict[str, object]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource}


def _when(
    statement: dict[str, object], operator: str, key: str, value: str
) -> dict[str, object]:
    return {**statement, "Condition": {operator: {key: value}}}


def _given(
    path_and_name: str,
    *statements: dict[str, object],
    version: int = 1,
    created: str,
    updated: str = "",
) -> ManagedPolicy:
    path, _, name = path_and_name.rpartition("/")
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    made, changed = _seconds(created), _seconds(updated or created)
    return ManagedPolicy(
        account="aws",
        name=name,
        path=f"{path}/",
        id=_id(path_and_name),
        created=made,
        updated=changed,
        default=version,
        latest=version,
        versions=(Version(number=version, document=document, created=changed),),
    )


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def _id(name: str) -> str:
    stream = hashlib.shake_256(name.encode()).digest(64)
    taken: Iterator[int] = iter(stream)
    return new_id("ANPA", lambda count: bytes(next(taken) for _ in range(count)))


_ALL = (
    _given("/AdministratorAccess", _allow("*"), created="2015-02-06T18:39:46"),
    _given(
        "/AWSDenyAll",
        {"Sid": "DenyAll", "Effect": "Deny", "Action": ["*"], "Resource": "*"},
        version=2,
        created="2019-05-01T22:36:14",
        updated="2023-12-18T16:42:05",
    ),
    _given(
        "/service-role/AWSLambdaBasicExecutionRole",
        _allow(*_LOGS),
        created="2015-04-09T15:03:43",
    ),
    _given(
        "/service-role/AWSLambdaRole",
        _allow("lambda:InvokeFunction"),
        created="2015-02-06T18:41:28",
    ),
    _given(
        "/service-role/AWSLambdaSQSQueueExecutionRole",
        _allow(
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            *_LOGS,
        ),
        created="2018-06-14T21:50:45",
    ),
    _given(
        "/AWSLambda_FullAccess",
        _allow(*_CONSOLE, "kms:DescribeKey", "lambda:*"),
        _when(
            _allow("iam:PassRole"),
            "StringEquals",
            "iam:PassedToService",
            "lambda.amazonaws.com",
        ),
        _allow(*_READ_LOGS, resource=_LAMBDA_LOGS),
        _when(
            _allow(
                "iam:CreateServiceLinkedRole",
                resource="arn:aws:iam::*:role/aws-service-role/lambda.amazonaws.com"
                "/AWSServiceRoleForLambda",
            ),
            "StringEquals",
            "iam:AWSServiceName",
            "lambda.amazonaws.com",
        ),
        version=7,
        created="2020-11-17T21:14:08",
        updated="2026-02-12T18:00:51",
    ),
    _given(
        "/AWSLambda_ReadOnlyAccess",
        _allow(*_CONSOLE, "cloudformation:ListStacks", "lambda:Get*", "lambda:List*"),
        _allow(
            *_READ_LOGS,
            "logs:StartQuery",
            "logs:StopQuery",
            "logs:DescribeQueries",
            "logs:GetLogGroupFields",
            "logs:GetLogRecord",
            "logs:GetQueryResults",
            resource=_LAMBDA_LOGS,
        ),
        version=5,
        created="2020-11-17T21:10:32",
        updated="2026-02-12T18:02:55",
    ),
    _given(
        "/IAMFullAccess",
        _allow("iam:*", *_ORGANIZATION),
        version=2,
        created="2015-02-06T18:40:38",
        updated="2019-06-21T19:40:00",
    ),
    _given(
        "/IAMReadOnlyAccess",
        _allow(
            "iam:GenerateCredentialReport",
            "iam:GenerateServiceLastAccessedDetails",
            "iam:Get*",
            "iam:List*",
            "iam:SimulateCustomPolicy",
            "iam:SimulatePrincipalPolicy",
        ),
        version=4,
        created="2015-02-06T18:40:39",
        updated="2018-01-25T19:11:27",
    ),
)

GIVEN = MappingProxyType({policy.arn: policy for policy in _ALL})
"""AWS's policies by ARN."""

ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
