"""Functions that speak the Runtime API: shell scripts, Node.js, awslambdaric."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from casemate.core.function import Ending
from contract.sandbox.stage import Stage, package

NODE = {"runtime": "nodejs20.x", "handler": "index.handler", "memory_mb": 512}


def read(payload: bytes) -> Any:
    return json.loads(payload)


def node(stage: Stage, source: str, **changes: Any) -> Any:
    files = {"index.js": source}
    return stage.function(package(files), **{**NODE, **changes})


def test_node_answers(stage: Stage) -> None:
    """async, callback and ES module handlers; the context is AWS's."""
    function = node(
        stage,
        "exports.handler = async (event, context) => {"
        " console.log('a\\nb', event);"
        " return {event, id: context.awsRequestId, name: context.functionName,"
        "  memory: context.memoryLimitInMB, left: context.getRemainingTimeInMillis(),"
        "  env: process.env.AWS_EXECUTION_ENV} }",
    )
    invocation = stage.invocation(function, b'{"x": 1}')
    result = stage.run(stage.sandbox.run(invocation))
    said = read(result.payload)

    assert said["event"] == {"x": 1}
    assert (said["id"], said["name"]) == (invocation.id, function.name)
    assert (said["memory"], said["env"]) == ("512", "AWS_Lambda_nodejs20.x")
    assert 2000 < said["left"] <= 3000
    line = next(t for t in stage.texts(result) if "\tINFO\t" in t)
    assert re.match(rf"\S+Z\t{invocation.id}\tINFO\ta\nb {{ x: 1 }}", line)
    assert read(stage.invoke(function, b"2").payload)["event"] == 2


@pytest.mark.parametrize(
    ("files", "handler"),
    [
        (
            {"index.js": "exports.handler = (e, c, cb) => cb(null, 'ok')"},
            "index.handler",
        ),
        ({"index.mjs": "export const handler = async () => 'ok'"}, "index.handler"),
        ({"a/b.js": "exports.f = () => Promise.resolve('ok')"}, "a/b.f"),
        (
            {
                "package.json": '{"type": "module"}',
                "index.js": "export const handler = async () => 'ok'",
            },
            "index.handler",
        ),
    ],
)
def test_node_styles(stage: Stage, files: dict[str, str], handler: str) -> None:
    """Every way to write a handler that Lambda documents."""
    function = stage.function(package(files), **{**NODE, "handler": handler})
    assert read(stage.invoke(function).payload) == "ok"


@pytest.mark.parametrize(
    ("source", "kind", "ending"),
    [
        (
            "exports.handler = async () => { throw new TypeError('no') }",
            "TypeError",
            "error",
        ),
        ("exports.other = 1", "Runtime.HandlerNotFound", "init_error"),
        ("require('nope')", "Runtime.ImportModuleError", "init_error"),
        ("}", "Runtime.UserCodeSyntaxError", "init_error"),
        (
            (
                "exports.handler = () => { Promise.reject(new Error('lost'));"
                " return new Promise(() => setTimeout(() => {}, 9000)) }"
            ),
            "Runtime.UnhandledPromiseRejection",
            "error",
        ),
        (
            "exports.handler = awslambda.streamifyResponse(() => {})",
            "Runtime.InvalidStreamingOperation",
            "error",
        ),
    ],
)
def test_node_errors(stage: Stage, source: str, kind: str, ending: str) -> None:
    """What goes wrong in Node.js has AWS's name."""
    result = stage.invoke(node(stage, source))
    error = read(result.payload)
    assert (error["errorType"], result.ending) == (kind, Ending(ending))


@pytest.fixture(scope="module")
def awslambdaric(interpreter: dict[str, bytes]) -> bytes:
    """A package with the official client, unmodified, from this environment."""
    files = dict(interpreter)
    packages = next(Path(sys.prefix, "lib").glob("python3.*/site-packages"))
    wanted = ("awslambdaric", "simplejson", "snapshot_restore_py")
    for path in packages.rglob("*"):
        place = path.relative_to(packages)
        mine = place.parts[0] in wanted or place.name.startswith("runtime_client")
        if mine and path.is_file() and path.suffix in (".py", ".so"):
            files[str(place)] = path.read_bytes()
    files["app.py"] = b"def handler(e, c): return [e, c.aws_request_id]"
    return package(files, executable=["bootstrap", "py/bin/python3.11"])


TALK = """
import http.client, json, os, sys
V = "/2018-06-01/runtime"
def ask(method, path, body=None, **headers):
    link = http.client.HTTPConnection("127.0.0.1", 9001)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    link.request(method, path, body, headers)
    answer = link.getresponse()
    answer.read()
    return answer
NEXT = V + "/invocation/next"
while True:
    event = ask("GET", NEXT)
    id = event.headers["Lambda-Runtime-Aws-Request-Id"]
    mine, other = (f"{V}/invocation/{i}/response" for i in (id, "0" * 36))
    told = dict(
        id=id,
        browser=ask("GET", NEXT, Origin="http://x").status,
        absent=ask("POST", "/2020-01-01/extension/register", "{}").status,
        foreign=ask("POST", other, "1").status,
        mine=os.environ["MINE"],
    )
    first = ask("POST", mine, json.dumps(told)).status
    second = ask("POST", mine, "2").status
    print(f"first {first} second {second}", flush=True)
"""


def test_provided_bootstrap(stage: Stage, interpreter: dict[str, bytes]) -> None:
    """
    A program of the package's own serves events.

    What a browser would send, another id and a second answer are
    refused (R2, R3, R6).
    """
    files = {**interpreter, "talk.py": TALK.encode()}
    function = stage.function(
        package(files, executable=["bootstrap", "py/bin/python3.11"]),
        runtime="provided.al2023",
        environment={"MINE": "it's $mine", "START": "-I talk.py"},
        timeout=10,
        memory_mb=1769,
    )
    for _ in range(2):
        invocation = stage.invocation(function)
        result = stage.run(stage.sandbox.run(invocation))
        assert read(result.payload) == {
            "id": invocation.id,
            "browser": 403,
            "absent": 501,
            "foreign": 403,
            "mine": "it's $mine",
        }
    assert "first 202 second 403" in stage.texts(result)


def test_provided_script_that_exits(stage: Stage) -> None:
    """A bootstrap that ends at once is Runtime.ExitError, and its words are kept."""
    function = stage.function(
        package(
            {"bootstrap": "#!/bin/sh\necho bye\nexit 3\n"}, executable=["bootstrap"]
        ),
        runtime="provided.al2023",
    )
    result = stage.invoke(function)
    assert read(result.payload)["errorType"] == "Runtime.ExitError"
    assert result.ending is Ending.EXITED
    assert "bye" in stage.texts(result)


def test_provided_without_bootstrap(stage: Stage) -> None:
    """A package without a bootstrap does not run, whatever else it holds."""
    function = stage.function(package({"x": "y"}), runtime="provided.al2023")
    assert stage.invoke(function).ending is Ending.EXITED


def test_awslambdaric_runs_unmodified(stage: Stage, awslambdaric: bytes) -> None:
    """The official client from PyPI serves events and reports errors."""
    function = stage.function(
        awslambdaric,
        runtime="provided.al2023",
        memory_mb=1769,
        timeout=20,
        environment={"START": "-m awslambdaric app.handler"},
    )
    for event in (1, 2):
        invocation = stage.invocation(function, str(event).encode())
        result = stage.run(stage.sandbox.run(invocation))
        assert read(result.payload) == [event, invocation.id], result.log_tail
    missing = stage.function(
        awslambdaric,
        runtime="provided.al2023",
        memory_mb=1769,
        timeout=20,
        environment={"START": "-m awslambdaric app.nope"},
    )
    failed = stage.invoke(missing)
    assert read(failed.payload)["errorType"] == "Runtime.HandlerNotFound"
    assert failed.ending is Ending.INIT_ERROR
