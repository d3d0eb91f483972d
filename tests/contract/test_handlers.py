"""Handlers written for AWS, unmodified."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import aws_lambda_powertools
import pytest

from contract.reading import lines_of
from platform_harness import Platform

CONTEXT = """
import os
COUNT = 0

def handler(event, context):
    global COUNT
    COUNT += 1
    left = context.get_remaining_time_in_millis()
    return {
        "function_name": context.function_name,
        "function_version": context.function_version,
        "invoked_function_arn": context.invoked_function_arn,
        "memory_limit_in_mb": context.memory_limit_in_mb,
        "aws_request_id": context.aws_request_id,
        "log_group_name": context.log_group_name,
        "log_stream_name": context.log_stream_name,
        "identity": context.identity and context.identity.cognito_identity_id,
        "client_context": context.client_context,
        "left": left,
        "count": COUNT,
        "environ": dict(os.environ),
    }
"""


@pytest.fixture(name="context", scope="module")
def _context(platform: Platform, role: str) -> Any:
    """What a handler was told: its answer, and the response to the caller."""
    platform.function(
        "context",
        CONTEXT,
        role=role,
        Timeout=9,
        MemorySize=256,
        Environment={"Variables": {"GREETING": "héllo"}},
    )
    return platform.invoke("context", {})


def test_the_context_is_as_lambda_documents_it(context: Any, account: str) -> None:
    told, answer = context
    arn = f"arn:aws:lambda:us-east-1:{account}:function:context"

    assert ("context", "$LATEST") == (told["function_name"], told["function_version"])
    assert arn == told["invoked_function_arn"]
    assert 256 == int(told["memory_limit_in_mb"])
    assert answer["ResponseMetadata"]["RequestId"] == told["aws_request_id"]
    assert "/aws/lambda/context" == told["log_group_name"]
    assert re.fullmatch(
        r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", told["log_stream_name"]
    )
    assert None is told["identity"]
    assert None is told["client_context"]
    assert 0 < told["left"] <= 9000


def test_the_environment_is_as_lambda_documents_it(context: Any) -> None:
    environ = context[0]["environ"]
    expected = {
        "GREETING": "héllo",
        "AWS_LAMBDA_FUNCTION_NAME": "context",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/context",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "_HANDLER": "handler.handler",
        "TZ": ":UTC",
        "LANG": "en_US.UTF-8",
    }

    assert expected == {name: environ.get(name) for name in expected}
    assert environ["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    assert environ["AWS_LAMBDA_LOG_STREAM_NAME"] == context[0]["log_stream_name"]


def test_globals_stay_in_a_cell_and_change_of_settings_replaces_it(
    platform: Platform, role: str, lambda_: Any
) -> None:
    platform.function("warm", CONTEXT, role=role)
    counts = [platform.invoke("warm", {})[0]["count"] for _ in range(3)]

    lambda_.update_function_configuration(
        FunctionName="warm", Environment={"Variables": {"NEW": "1"}}
    )
    lambda_.get_waiter("function_updated_v2").wait(FunctionName="warm")
    told, _ = platform.invoke("warm", {})

    assert [1, 2, 3] == counts
    assert (1, "1") == (told["count"], told["environ"]["NEW"])


FAILS = """
import sys, time

class Odd(Exception):
    pass

def inner(event):
    raise Odd("it is odd: " + event["say"])

def handler(event, context):
    if event["kind"] == "raise":
        inner(event)
    if event["kind"] == "exit":
        sys.exit(3)
    if event["kind"] == "sleep":
        print("before")
        time.sleep(30)
    if event["kind"] == "unserializable":
        return {"a": object()}
    if event["kind"] == "memory":
        return len(bytearray(900_000_000))
    return "well"
"""


@pytest.fixture(name="fails", scope="module")
def _fails(platform: Platform, role: str) -> str:
    platform.function("fails", FAILS, role=role, Timeout=1, MemorySize=256)
    return "fails"


def _failure(platform: Platform, name: str, **event: str) -> dict[str, Any]:
    told, answer = platform.invoke(name, event)
    assert (200, "Unhandled") == (answer["StatusCode"], answer["FunctionError"])
    failure: dict[str, Any] = told
    return failure


def test_an_exception_has_type_message_and_stack(
    platform: Platform, fails: str
) -> None:
    told = _failure(platform, fails, kind="raise", say="ß")

    assert ("Odd", "it is odd: ß") == (told["errorType"], told["errorMessage"])
    assert "in handler" in told["stackTrace"][0]
    assert "/var/task/handler.py" in told["stackTrace"][0]
    assert "in inner" in told["stackTrace"][-1]


def test_a_timeout_is_told_as_lambda_tells_it(
    platform: Platform, fails: str, logs: Any
) -> None:
    told, answer = platform.invoke(fails, {"kind": "sleep"})

    assert "Unhandled" == answer["FunctionError"]
    assert re.search(r"Task timed out after 1\.\d\d seconds", told["errorMessage"])
    lines = lines_of(logs, fails, answer)
    assert "before" in lines
    assert any("REPORT" in line and "Status: timeout" in line for line in lines)
    assert ("well", 200) == _well(platform, fails)


def test_an_exit_is_told_as_what_it_is(platform: Platform, fails: str) -> None:
    assert "Runtime.ExitError" == _failure(platform, fails, kind="exit")["errorType"]
    assert ("well", 200) == _well(platform, fails)


def test_exhausted_memory_is_told_as_what_it_is(platform: Platform, role: str) -> None:
    # To fill 256 MB takes a seventh of a core some time on a busy machine.
    platform.function("exhausts", FAILS, role=role, Timeout=60, MemorySize=256)
    told = _failure(platform, "exhausts", kind="memory")
    assert told["errorType"] in {"Runtime.OutOfMemory", "MemoryError"}
    assert ("well", 200) == _well(platform, "exhausts")


def test_what_json_cannot_write_is_a_marshal_error(
    platform: Platform, fails: str
) -> None:
    told = _failure(platform, fails, kind="unserializable")

    assert "Runtime.MarshalError" == told["errorType"]


def _well(platform: Platform, name: str) -> tuple[Any, int]:
    told, answer = platform.invoke(name, {"kind": "well"})
    return told, answer["StatusCode"]


INIT: list[tuple[str, str, str, str]] = [
    ("import", "import nowhere\n", "handler.handler", "Runtime.ImportModuleError"),
    ("syntax", "def handler(:\n", "handler.handler", "Runtime.UserCodeSyntaxError"),
    ("missing", "x = 1\n", "handler.handler", "Runtime.HandlerNotFound"),
    ("module", "x = 1\n", "other.handler", "Runtime.ImportModuleError"),
    ("raises", "raise KeyError('k')\n", "handler.handler", "KeyError"),
]


@pytest.mark.parametrize(("name", "source", "handler", "kind"), INIT)
def test_a_function_that_cannot_be_initialized_says_why(
    platform: Platform, role: str, name: str, source: str, handler: str, kind: str
) -> None:
    platform.function(f"init-{name}", source, role=role, Handler=handler)

    assert kind == _failure(platform, f"init-{name}")["errorType"]


def test_handlers_in_folders_classes_and_closures(
    platform: Platform, role: str
) -> None:
    """`package/module.name` and `package.module.name`; any callable will do."""
    files = {
        "app/__init__.py": "",
        "app/main.py": "from app.other import make\nhandler = make('x')\n",
        "app/other.py": (
            "class Handler:\n"
            "    def __init__(self, word):\n        self.word = word\n"
            "    def __call__(self, event, context):\n        return self.word\n"
            "make = Handler\n"
        ),
    }
    for name, handler in (("slash", "app/main.handler"), ("dot", "app.main.handler")):
        platform.function(name, files, role=role, Handler=handler)
        assert "x" == platform.invoke(name)[0]


LOGS = """
import logging, sys
logger = logging.getLogger()
logger.setLevel("INFO")

def handler(event, context):
    print("printed")
    print("to stderr", file=sys.stderr)
    logger.info("logged %s", "informed")
    logger.debug("not shown")
    print("REPORT RequestId: forged")
    print("two\\nlines")
    return 1
"""


def test_what_a_function_writes_is_in_its_log(
    platform: Platform, role: str, logs: Any
) -> None:
    platform.function("writes", LOGS, role=role)
    _, answer = platform.invoke("writes", {})
    request = answer["ResponseMetadata"]["RequestId"]

    lines = lines_of(logs, "writes", answer)

    assert f"START RequestId: {request} Version: $LATEST" in lines
    assert f"END RequestId: {request}" in lines
    report = next(line for line in lines if line.startswith("REPORT RequestId: "))
    assert request in report
    for part in ("Duration:", "Billed Duration:", "Memory Size: 256 MB", "Init Dur"):
        assert part in report
    used = re.search(r"Max Memory Used: (\d+) MB", report)
    assert used
    assert 0 < int(used[1]) <= 256
    assert {"printed", "to stderr"} <= set(lines)
    logged = [line for line in lines if "informed" in line]
    assert re.fullmatch(rf"\[INFO\]\t\S+Z\t{request}\tlogged informed", logged[0])
    assert not any("not shown" in line for line in lines)
    assert 1 == sum(line.startswith("REPORT RequestId") for line in lines)


CALLS = """
import boto3
client = boto3.client("lambda")

def handler(event, context):
    identity = boto3.client("sts").get_caller_identity()["Arn"]
    try:
        client.list_functions()
    except client.exceptions.ClientError as error:
        refused = error.response["Error"]["Code"]
    answer = client.invoke(FunctionName="called", Payload=b'"from within"')
    return [identity, refused, answer["Payload"].read().decode()]
"""


def test_boto3_in_a_handler_speaks_to_the_platform_as_its_role(
    platform: Platform, account: str
) -> None:
    """With no configuration, and with the role's rights only."""
    role = platform.role(
        "caller",
        {
            "Effect": "Allow",
            "Action": "lambda:InvokeFunction",
            "Resource": f"arn:aws:lambda:us-east-1:{account}:function:called",
        },
    )
    echo = "def handler(event, context):\n    return event.upper()\n"
    platform.function("called", echo, role=role)
    platform.function("caller", CALLS, role=role, Timeout=30, MemorySize=512)

    told, answer = platform.invoke("caller", {})

    assert "FunctionError" not in answer, told
    assert told[0].startswith(f"arn:aws:sts::{account}:assumed-role/caller/")
    assert ["AccessDeniedException", '"FROM WITHIN"'] == told[1:]


POWERTOOLS = """
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.data_classes import SQSEvent, event_source
from aws_lambda_powertools.utilities.parser import BaseModel, event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger(service="orders", level="INFO")


class Order(BaseModel):
    id: int
    items: list[str]


@logger.inject_lambda_context(log_event=True)
@event_parser(model=Order)
def handler(event: Order, context: LambdaContext) -> dict:
    logger.append_keys(order=event.id)
    logger.info("ordered", extra={"count": len(event.items)})
    return {"id": event.id, "count": len(event.items)}


@event_source(data_class=SQSEvent)
def queue(event: SQSEvent, context: LambdaContext):
    return [record.body for record in event.records]
"""


@pytest.fixture(name="powertools", scope="module")
def _powertools() -> dict[str, bytes | str]:
    """Powertools with what it needs, as `pip install -t` would lay it out."""
    site = Path(aws_lambda_powertools.__file__).parents[1]
    wanted = (
        *("aws_lambda_powertools", "pydantic", "pydantic_core", "annotated_types"),
        *("typing_inspection", "typing_extensions.py", "jmespath"),
    )
    found = [path for name in wanted for path in _files(site / name)]
    files: dict[str, bytes | str] = {
        str(path.relative_to(site)): path.read_bytes() for path in found
    }
    return {**files, "app.py": POWERTOOLS}


def _files(path: Path) -> list[Path]:
    assert path.exists(), path
    inside = path.rglob("*") if path.is_dir() else [path]
    return [p for p in inside if p.is_file() and p.suffix != ".pyc"]


def test_a_powertools_handler_runs_unmodified(
    platform: Platform, role: str, logs: Any, powertools: dict[str, bytes | str]
) -> None:
    """Logger's JSON is in the log with the context's keys; the parser parses."""
    platform.function(
        "powertools",
        powertools,
        role=role,
        Handler="app.handler",
        Timeout=30,
        MemorySize=512,
    )

    told, answer = platform.invoke("powertools", {"id": 7, "items": ["a", "b"]})

    assert {"id": 7, "count": 2} == told
    lines = lines_of(logs, "powertools", answer)
    written = [json.loads(line) for line in lines if line.startswith("{")]
    line = next(line for line in written if line.get("message") == "ordered")
    assert (7, 2, "orders") == (line["order"], line["count"], line["service"])
    request = answer["ResponseMetadata"]["RequestId"]
    assert request == line["function_request_id"]

    told, answer = platform.invoke("powertools", {"id": "no"})
    assert "Unhandled" == answer["FunctionError"]
    assert "ValidationError" in told["errorType"]


NODE = """
export const handler = async (event, context) => {
  console.log("from node");
  if (event.fail) throw new TypeError("bad event");
  return { name: event.name, request: context.awsRequestId,
           left: context.getRemainingTimeInMillis() > 0 };
};
"""


def test_a_node_handler_runs(platform: Platform, role: str, own: Any) -> None:
    runtimes = [r["Name"] for r in own.list_runtimes()["Runtimes"]]
    runtime = next(name for name in runtimes if name.startswith("nodejs"))
    platform.function(
        "node", {"index.mjs": NODE}, role=role, Runtime=runtime, Handler="index.handler"
    )

    told, answer = platform.invoke("node", {"name": "n"})
    request = answer["ResponseMetadata"]["RequestId"]
    assert {"name": "n", "request": request, "left": True} == told

    told, answer = platform.invoke("node", {"fail": True})
    assert ("TypeError", "bad event") == (told["errorType"], told["errorMessage"])


def test_a_bootstrap_that_ends_is_told(platform: Platform, role: str) -> None:
    """`provided.al2023` runs the package's own bootstrap."""
    platform.function(
        "bootstrap",
        {"bootstrap": "#!/bin/sh\necho started >&2\nexit 4\n"},
        role=role,
        Runtime="provided.al2023",
        Handler="any",
    )

    told = _failure(platform, "bootstrap")

    assert "Runtime.ExitError" == told["errorType"]


def test_a_package_of_many_files_is_taken(platform: Platform, role: str) -> None:
    files: dict[str, str | bytes] = {
        f"data/{n // 100}/{n}.txt": str(n) for n in range(2000)
    }
    files["handler.py"] = (
        "import pathlib\n"
        "def handler(event, context):\n"
        "    return sum(1 for _ in pathlib.Path('/var/task/data').rglob('*.txt'))\n"
    )
    platform.function("many", files, role=role)

    assert 2000 == platform.invoke("many")[0]
