"""Functions that speak the Runtime API: shell scripts, Node.js, awslambdaric."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from casemate.core.function import Ending

if TYPE_CHECKING:
    from conftest import Stage

NODE = {"runtime": "nodejs20.x", "handler": "index.handler", "memory_mb": 512}
ABSENT = ("test", "lib2to3", "idlelib", "tkinter", "ensurepip", "__pycache__")


def read(payload: bytes) -> Any:
    return json.loads(payload)


def node(stage: Stage, pack: Any, source: str, **changes: Any) -> Any:
    files = {"index.js": source}
    return stage.function(pack(files), **{**NODE, **changes})


def test_node_answers(stage: Stage, pack: Any) -> None:
    """async, callback and ES module handlers; the context is AWS's."""
    function = node(
        stage,
        pack,
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
def test_node_styles(
    stage: Stage, pack: Any, files: dict[str, str], handler: str
) -> None:
    """Every way to write a handler that Lambda documents."""
    function = stage.function(pack(files), **{**NODE, "handler": handler})
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
            "exports.handler = () => { Promise.reject(new Error('lost'));"
            " return new Promise(() => setTimeout(() => {}, 9000)) }",
            "Runtime.UnhandledPromiseRejection",
            "error",
        ),
        (
            "exports.handler = awslambda.streamifyResponse(() => {})",
            "Runtime.InvalidStreamingOperation",
            "init_error",
        ),
    ],
)
def test_node_errors(
    stage: Stage, pack: Any, source: str, kind: str, ending: str
) -> None:
    """What goes wrong in Node.js has AWS's name."""
    result = stage.invoke(node(stage, pack, source))
    error = read(result.payload)
    assert (error["errorType"], result.ending) == (kind, Ending(ending))


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A Runtime API client as a static program, which is all that provided has."""
    folder = tmp_path_factory.mktemp("talk")
    source = folder / "talk.c"
    source.write_text(TALK)
    subprocess.run(
        ["/usr/bin/gcc", "-O1", "-o", folder / "bootstrap", source], check=True
    )
    return (folder / "bootstrap").read_bytes()


TALK = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static char in[70000], out[70000];
static int dial(void) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9001)};
  inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
  int s = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(s, (void *)&to, sizeof to)) exit(9);
  return s;
}
static int talk(const char *head, const char *body, const char *more) {
  int s = dial();
  if (body) snprintf(out, sizeof out, "%s HTTP/1.1\r\nHost: %s\r\n%sContent-Length: %zu\r\n\r\n%s",
    head, getenv("HOSTNAME_SENT") ? getenv("HOSTNAME_SENT") : "127.0.0.1:9001", more, strlen(body), body);
  else snprintf(out, sizeof out, "%s HTTP/1.1\r\nHost: 127.0.0.1:9001\r\n%s\r\n", head, more);
  write(s, out, strlen(out));
  memset(in, 0, sizeof in);
  size_t n = 0; ssize_t r;
  while (!strstr(in, "\r\n\r\n") && (r = read(s, in + n, sizeof in - 1 - n)) > 0) n += r;
  usleep(1000);
  close(s);
  return atoi(in + 9);
}
int main(void) {
  char id[64], path[256], body[512];
  for (;;) {
    if (talk("GET /2018-06-01/runtime/invocation/next", NULL, "") != 200) return 7;
    char *at = strstr(in, "Request-Id: ");
    sscanf(at + 12, "%63[^\r]", id);
    int browser = talk("GET /2018-06-01/runtime/invocation/next", NULL, "Origin: http://x\r\n");
    int absent = talk("POST /2020-01-01/extension/register", "{}", "");
    int foreign = talk("POST /2018-06-01/runtime/invocation/00000000-0000-0000-0000-000000000000/response", "1", "");
    snprintf(path, sizeof path, "POST /2018-06-01/runtime/invocation/%s/response", id);
    int stream = talk(path, "1", "Lambda-Runtime-Function-Response-Mode: streaming\r\n");
    snprintf(body, sizeof body, "{\"id\":\"%s\",\"browser\":%d,\"absent\":%d,\"foreign\":%d,\"stream\":%d,\"mine\":\"%s\"}",
      id, browser, absent, foreign, stream, getenv("MINE"));
    int first = talk(path, body, ""), second = talk(path, "2", "");
    fprintf(stderr, "first %d second %d\n", first, second);
  }
}
"""


def test_provided_bootstrap(stage: Stage, pack: Any, talk: bytes) -> None:
    """
    A program of the package's own serves events.

    What a browser would send, another id, streams and a second answer are
    refused (R2, R3, R6).
    """
    function = stage.function(
        pack({"bootstrap": talk}, executable=["bootstrap"]),
        runtime="provided.al2023",
        environment={"MINE": "it's $mine"},
    )
    for _ in range(2):
        invocation = stage.invocation(function)
        result = stage.run(stage.sandbox.run(invocation))
        assert read(result.payload) == {
            "id": invocation.id,
            "browser": 403,
            "absent": 501,
            "foreign": 403,
            "stream": 501,
            "mine": "it's $mine",
        }


def test_provided_script_that_exits(stage: Stage, pack: Any) -> None:
    """A bootstrap that ends at once is Runtime.ExitError, and its words are kept."""
    function = stage.function(
        pack({"bootstrap": "#!/bin/sh\necho bye\nexit 3\n"}, executable=["bootstrap"]),
        runtime="provided.al2023",
    )
    result = stage.invoke(function)
    assert read(result.payload)["errorType"] == "Runtime.ExitError"
    assert result.ending is Ending.EXITED
    assert "bye" in stage.texts(result)


def test_provided_without_bootstrap(stage: Stage, pack: Any) -> None:
    """A package without a bootstrap does not run, whatever else it holds."""
    function = stage.function(pack({"x": "y"}), runtime="provided.al2023")
    assert stage.invoke(function).ending is Ending.EXITED


@pytest.fixture(scope="module")
def awslambdaric(pack: Any) -> bytes:
    """A package with an interpreter and the official client, as users build them."""
    files: dict[str, bytes] = {}
    library = Path("/usr/lib/python3.11")
    for path in library.rglob("*.py"):
        place = path.relative_to(library)
        if place.parts[0] not in ABSENT:
            files[f"py/lib/python3.11/{place}"] = path.read_bytes()
    for path in (library / "lib-dynload").glob("*.so"):
        files[f"py/lib/python3.11/lib-dynload/{path.name}"] = path.read_bytes()
    files["py/bin/python3.11"] = Path("/usr/bin/python3.11").read_bytes()
    for name in ("libexpat.so.1", "libz.so.1"):
        path = Path("/lib/x86_64-linux-gnu", name)
        files[f"lib/{name}"] = path.resolve().read_bytes()
    packages = next(Path(sys.prefix, "lib").glob("python3.*/site-packages"))
    wanted = ("awslambdaric", "simplejson", "snapshot_restore_py")
    for path in packages.rglob("*"):
        place = path.relative_to(packages)
        if (
            path.is_file()
            and path.suffix in (".py", ".so")
            and (place.parts[0] in wanted or place.name.startswith("runtime_client"))
        ):
            files[str(place)] = path.read_bytes()
    files["app.py"] = b"def handler(e, c): return [e, c.aws_request_id]"
    files["bootstrap"] = (
        b"#!/bin/sh\nexport PYTHONHOME=/var/task/py\n"
        b"exec /var/task/py/bin/python3.11 -m awslambdaric $_HANDLER\n"
    )
    content: bytes = pack(files, executable=["bootstrap", "py/bin/python3.11"])
    return content


def test_awslambdaric_runs_unmodified(stage: Stage, awslambdaric: bytes) -> None:
    """The official client from PyPI serves events and reports errors."""
    function = stage.function(
        awslambdaric, runtime="provided.al2023", memory_mb=1769, timeout=20
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
        handler="app.nope",
    )
    failed = stage.invoke(missing)
    assert read(failed.payload)["errorType"] == "Runtime.HandlerNotFound"
    assert failed.ending is Ending.INIT_ERROR
