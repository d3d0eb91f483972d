"""The official aws CLI, unmodified."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from platform_harness import TRUST, Platform, zipped

SOURCE = "def handler(event, context):\n    print('{0}')\n    return '{0}'\n"


class Shell:
    """Runs `aws` words; what fails says why."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform

    def __call__(self, *words: str) -> Any:
        done = self.platform.aws(*words)
        assert 0 == done.returncode, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    def refused(self, *words: str) -> str:
        done = self.platform.aws(*words)
        assert 0 != done.returncode, done.stdout
        return done.stderr


@pytest.fixture(name="aws")
def _aws(platform: Platform) -> Shell:
    return Shell(platform)


def test_a_function_from_its_role_to_its_log(aws: Shell, tmp_path: Path) -> None:
    """What a tutorial of AWS Lambda has its readers type."""
    archive, out = tmp_path / "f.zip", tmp_path / "out.json"
    archive.write_bytes(zipped({"handler.py": SOURCE.format("one")}))
    role = aws(
        *("iam", "create-role", "--role-name", "typed"),
        *("--assume-role-policy-document", TRUST),
    )["Role"]["Arn"]
    name = ("--function-name", "typed")
    made = aws(
        *("lambda", "create-function", *name, "--runtime", "python3.11"),
        *("--handler", "handler.handler", "--role", role),
        *("--zip-file", f"fileb://{archive}"),
        *("--environment", "Variables={ONE=1,TWO=2}", "--tags", "team=keep"),
    )
    assert {"ONE": "1", "TWO": "2"} == made["Environment"]["Variables"]
    aws("lambda", "wait", "function-active-v2", *name)

    told = aws("lambda", "invoke", *name, "--payload", "{}", str(out))
    assert (200, '"one"') == (told["StatusCode"], out.read_text())

    archive.write_bytes(zipped({"handler.py": SOURCE.format("two")}))
    aws("lambda", "update-function-code", *name, "--zip-file", f"fileb://{archive}")
    aws("lambda", "wait", "function-updated-v2", *name)
    aws("lambda", "invoke", *name, str(out), "--log-type", "Tail")
    assert '"two"' == out.read_text()

    aws("lambda", "update-function-configuration", *name, "--timeout", "9")
    aws("lambda", "wait", "function-updated", *name)
    assert 9 == aws("lambda", "get-function-configuration", *name)["Timeout"]
    assert {"team": "keep"} == aws("lambda", "get-function", *name)["Tags"]
    _read(aws)
    aws("lambda", "delete-function", *name)
    assert "ResourceNotFoundException" in aws.refused("lambda", "get-function", *name)


def _read(aws: Shell) -> None:
    group = ("--log-group-name", "/aws/lambda/typed")
    groups = aws("logs", "describe-log-groups", "--log-group-name-prefix", group[1])
    assert [group[1]] == [g["logGroupName"] for g in groups["logGroups"]]
    streams = aws("logs", "describe-log-streams", *group)["logStreams"]
    seen: set[str] = set()
    for stream in streams:
        events = aws(
            *("logs", "get-log-events", *group, "--start-from-head"),
            *("--log-stream-name", stream["logStreamName"]),
        )["events"]
        seen |= {event["message"].strip() for event in events}
    assert {"one", "two"} <= seen
    found = aws("logs", "filter-log-events", *group, "--filter-pattern", "two")
    assert ["two"] == [event["message"].strip() for event in found["events"]]
    aws("logs", "put-retention-policy", *group, "--retention-in-days", "1")


def test_identities(aws: Shell, account: str) -> None:
    """Users, keys, policies and roles; lists page by page."""
    assert account == aws("sts", "get-caller-identity")["Account"]
    aws("iam", "create-user", "--user-name", "typist")
    aws("iam", "wait", "user-exists", "--user-name", "typist")
    key = aws("iam", "create-access-key", "--user-name", "typist")["AccessKey"]
    assert key["AccessKeyId"].startswith("AKIA")
    users = aws("iam", "list-users", "--page-size", "1")["Users"]
    assert "typist" in {user["UserName"] for user in users}
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "iam:GetUser", "Resource": "*"}],
    }
    policy = aws(
        *("iam", "create-policy", "--policy-name", "typed"),
        *("--policy-document", json.dumps(document)),
    )["Policy"]["Arn"]
    aws("iam", "wait", "policy-exists", "--policy-arn", policy)
    aws("iam", "attach-user-policy", "--user-name", "typist", "--policy-arn", policy)
    told = aws(
        *("iam", "simulate-principal-policy", "--action-names", "iam:GetUser"),
        *("--policy-source-arn", f"arn:aws:iam::{account}:user/typist"),
    )
    assert ["allowed"] == [r["EvalDecision"] for r in told["EvaluationResults"]]


def test_what_is_not_here_is_said_by_name(aws: Shell) -> None:
    assert "NotImplemented" in aws.refused("lambda", "list-code-signing-configs")
    assert "`dynamodb`" in aws.refused("dynamodb", "list-tables")
    key = "arn:aws:kms:us-east-1:123456789012:key/k"
    words = ("--function-name", "f", "--kms-key-arn", key)
    assert "ResourceNotFound" in aws.refused(
        "lambda", "update-function-configuration", "--function-name", "nowhere"
    )
    assert "KMSKeyArn" in aws.refused("lambda", "update-function-configuration", *words)
