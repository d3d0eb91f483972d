"""Managed Python functions in real cells."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from casemate.core.clock import SystemClock
from casemate.core.errors import Invalid, Throttled, Unavailable
from casemate.core.event import HOPS
from casemate.core.function import Ending
from contract.sandbox.stage import Stage, package


def read(payload: bytes) -> Any:
    return json.loads(payload)


def test_answers_and_is_used_again(stage: Stage) -> None:
    """A second event goes to the same cell: globals are kept, init is not run."""
    function = stage.python(
        "n = 0\ndef handler(event, context):\n global n\n n += 1\n return [n, event]"
    )
    first = stage.invoke(function, b'{"a": 1}')
    second = stage.invoke(function, b"2")

    assert [read(first.payload), read(second.payload)] == [[1, {"a": 1}], [2, 2]]
    assert (first.init_ms is not None, second.init_ms) == (True, None)
    assert first.log_stream == second.log_stream


def test_context_and_environment_are_lambdas(stage: Stage) -> None:
    """The context's members and the environment are what AWS documents."""
    function = stage.python(
        "import os, sys\n"
        "def handler(event, c):\n"
        " return dict(id=c.aws_request_id, name=c.function_name,\n"
        "  memory=c.memory_limit_in_mb, version=c.function_version,\n"
        "  arn=c.invoked_function_arn, group=c.log_group_name,\n"
        "  stream=c.log_stream_name, left=c.get_remaining_time_in_millis(),\n"
        "  custom=c.client_context.custom, tenant=c.tenant_id,\n"
        "  identity=c.identity.cognito_identity_id, env=dict(os.environ),\n"
        "  cwd=os.getcwd(), path=sys.path[:4])",
        environment={"MINE": 'it\'s "so"\n$HOME', "AWS_REGION": "elsewhere"},
    )
    invocation = stage.invocation(function, client_context='{"custom": {"k": "v"}}')
    result = stage.run(stage.sandbox.run(invocation))
    said = read(result.payload)

    assert said["id"] == invocation.id
    assert said["name"] == function.name
    assert said["memory"] == "128"
    assert said["version"] == "$LATEST"
    assert said["arn"] == function.arn
    assert said["group"] == function.log_group
    assert said["stream"] == result.log_stream
    assert 2000 < said["left"] <= 3000
    assert said["custom"] == {"k": "v"}
    assert said["tenant"] is said["identity"] is None
    assert said["cwd"] == "/var/task"
    assert said["path"] == [
        "/var/task",
        "/opt/python/lib/python3.11/site-packages",
        "/opt/python",
        "/var/runtime",
    ]
    environment = said["env"]
    assert environment["MINE"] == 'it\'s "so"\n$HOME'
    assert environment["AWS_REGION"] == "us-east-1"
    assert environment["_X_AMZN_TRACE_ID"] == invocation.trace.amazon()
    assert environment["AWS_LAMBDA_LOG_STREAM_NAME"] == result.log_stream


def test_handler_sees_four_descriptors(stage: Stage) -> None:
    """0, 1, 2 and the runtime's socket; nothing leaks (S13)."""
    function = stage.python(
        "import os\n"
        "def is_open(n):\n"
        " try: os.fstat(n)\n"
        " except OSError: return False\n"
        " return True\n"
        "def handler(event, context):\n"
        " return [n for n in range(1024) if is_open(n)]"
    )
    assert read(stage.invoke(function).payload) == [0, 1, 2, 3]


def test_exception_has_type_message_and_stack(stage: Stage) -> None:
    """An exception is the function's error, and the cell lives on."""
    function = stage.python(
        "def handler(event, context):\n    raise ValueError('no ' + event)"
    )
    result = stage.invoke(function, b'"way"')
    again = stage.invoke(function, b'"way"')
    error = read(result.payload)

    assert (result.error, result.ending) == ("Unhandled", Ending.ERROR)
    assert error["errorType"] == "ValueError"
    assert error["errorMessage"] == "no way"
    assert error["stackTrace"] == [
        (
            '  File "/var/task/app.py", line 2, in handler\n'
            "    raise ValueError('no ' + event)\n"
        )
    ]
    assert again.init_ms is None
    logged = [text for text in stage.texts(result) if text.startswith("[ERROR]")]
    assert logged[0].startswith("[ERROR] ValueError: no way\nTraceback (most recent")


@pytest.mark.parametrize(
    ("source", "handler", "kind", "message"),
    [
        ("", "app", "Runtime.MalformedHandlerName", "Bad handler 'app'"),
        ("", "app.handler", "Runtime.HandlerNotFound", "missing on module 'app'"),
        ("", "nope.h", "Runtime.ImportModuleError", "No module named 'nope'"),
        ("import nope", "app.h", "Runtime.ImportModuleError", "module 'app': No mod"),
        ("def (", "app.h", "Runtime.UserCodeSyntaxError", "Syntax error in module"),
        ("", "sys.exit", "Runtime.BuiltInModuleConflict", "built-in module sys"),
        ("1 / 0", "app.h", "ZeroDivisionError", "division by zero"),
    ],
)
def test_init_error_is_named(
    stage: Stage, source: str, handler: str, kind: str, message: str
) -> None:
    """What goes wrong before the first event has AWS's own name."""
    function = stage.python(source, handler=handler)
    invocation = stage.invocation(function)
    result = stage.run(stage.sandbox.run(invocation))
    error = read(result.payload)

    assert (error["errorType"], result.ending) == (kind, Ending.INIT_ERROR)
    assert message in error["errorMessage"]
    assert error["requestId"] == invocation.id


def test_folder_in_handler(stage: Stage) -> None:
    """`dir/module.fn` is taken as Lambda takes it."""
    content = package({"sub/app.py": "def handler(e, c): return 'here'"})
    function = stage.function(content, handler="sub/app.handler")
    assert read(stage.invoke(function).payload) == "here"


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        ("sys.exit(3)", "Runtime exited with error: exit status 3"),
        ("sys.exit(0)", "Runtime exited without providing a reason"),
        ("os._exit(1)", "Runtime exited without providing a reason"),
        ("os.kill(os.getpid(), 9) or os.abort()", "Runtime exited without"),
        ("raise KeyboardInterrupt", "Runtime exited with error: exit status 1"),
    ],
)
def test_exit_is_reported_as_such(stage: Stage, code: str, ending: str) -> None:
    """A process that ends instead of answering is Runtime.ExitError."""
    function = stage.python(f"import os, sys\ndef handler(e, c):\n {code}")
    invocation = stage.invocation(function)
    result = stage.run(stage.sandbox.run(invocation))
    error = read(result.payload)

    assert (error["errorType"], result.ending) == ("Runtime.ExitError", Ending.EXITED)
    assert error["errorMessage"].startswith(
        f"RequestId: {invocation.id} Error: {ending}"
    )


def test_exit_in_init(stage: Stage) -> None:
    """sys.exit while the module loads ends the cell with its status."""
    result = stage.invoke(stage.python("import sys\nsys.exit(5)"))
    assert "exit status 5" in read(result.payload)["errorMessage"]


def test_timeout_ends_the_whole_tree(stage: Stage) -> None:
    """At the deadline everything in the cell dies, and the next event starts anew."""
    function = stage.python(
        "import os, time, subprocess\n"
        "def handler(event, context):\n"
        " if event: return 'new'\n"
        " if os.fork() == 0: os.setsid()\n"
        " time.sleep(60)",
        timeout=1,
    )
    invocation = stage.invocation(function, b"0")
    result = stage.run(stage.sandbox.run(invocation))

    assert read(result.payload) == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": (
            f"RequestId: {invocation.id} Error: Task timed out after 1.00 seconds"
        ),
    }
    assert result.ending is Ending.TIMEOUT
    assert 1000 <= result.duration_ms < 1500
    texts = stage.texts(result)
    assert texts[-1].endswith("Status: timeout\t")
    assert any(
        t.endswith(f"{invocation.id} Task timed out after 1.00 seconds") for t in texts
    )
    second = stage.invoke(function, b"1")
    assert read(second.payload) == "new"
    assert second.init_ms is not None


def test_memory_over_the_limit_ends_the_cell(stage: Stage) -> None:
    """Touching more than memory_mb is Runtime.OutOfMemory (Q2)."""
    function = stage.python(
        "def handler(e, c):\n held = []\n while True: held.append(bytearray(1 << 20))",
        timeout=20,
    )
    result = stage.invoke(function)
    error = read(result.payload)

    assert result.ending is Ending.OUT_OF_MEMORY
    assert error["errorType"] == "Runtime.OutOfMemory"
    assert error["errorMessage"].endswith("Runtime exited with error: signal: killed")
    assert result.max_memory_mb == 128


def test_tmp_does_not_count_as_memory(stage: Stage) -> None:
    """140 MB in /tmp are fine at 128 MB of memory."""
    function = stage.python(
        "def handler(event, context):\n"
        " with open('/tmp/x', 'wb') as f: f.truncate(0)\n"
        " with open('/tmp/x', 'wb') as f:\n"
        "  for _ in range(140): f.write(bytes(1 << 20))\n"
        " return 'fits'",
        timeout=20,
    )
    assert read(stage.invoke(function).payload) == "fits"


def test_tmp_has_a_size(stage: Stage) -> None:
    """What is past the size of /tmp is ENOSPC (Q3)."""
    function = stage.python(
        "def handler(event, context):\n"
        " try:\n"
        "  with open('/tmp/y', 'wb') as f:\n"
        "   for _ in range(600): f.write(bytes(1 << 20))\n"
        " except OSError as e: return e.errno",
        timeout=20,
        memory_mb=1769,
    )
    assert read(stage.invoke(function).payload) == 28


def test_fork_bomb_stays_inside(stage: Stage) -> None:
    """Forking for ever ends with the invocation (Q1)."""
    function = stage.python(
        "import os\n"
        "def handler(event, context):\n"
        " while True:\n"
        "  try: os.fork()\n"
        "  except OSError: pass",
        timeout=1,
    )
    result = stage.invoke(function)
    assert result.ending in (Ending.TIMEOUT, Ending.OUT_OF_MEMORY)
    assert read(stage.invoke(stage.python("def handler(e, c): return 1")).payload) == 1


def test_answer_past_the_limit(stage: Stage) -> None:
    """6 MB and a bit is an error by name; 6 MB is an answer."""
    function = stage.python("def handler(n, c): return 'x' * n", memory_mb=256)
    fits = stage.invoke(function, b"6000000")
    over = stage.invoke(function, b"6400000")

    assert len(fits.payload) == 6_000_002
    assert read(over.payload)["errorType"] == "Function.ResponseSizeTooLarge"
    assert over.ending is Ending.ERROR


def test_event_of_six_megabytes(stage: Stage) -> None:
    """A large event goes in whole."""
    function = stage.python("def handler(e, c): return len(e)", memory_mb=256)
    payload = json.dumps("y" * 6_000_000).encode()
    assert read(stage.invoke(function, payload).payload) == 6_000_000


def test_what_json_cannot_write(stage: Stage) -> None:
    """An answer that is no JSON is Runtime.MarshalError."""
    result = stage.invoke(stage.python("def handler(e, c): return {1, 2}"))
    assert read(result.payload)["errorType"] == "Runtime.MarshalError"


def test_lines_are_lambdas(stage: Stage) -> None:
    """print, stderr and logging come between START and END, as Lambda formats them."""
    function = stage.python(
        "import sys, logging\n"
        "logging.getLogger().setLevel(logging.INFO)\n"
        "def handler(event, context):\n"
        " print('out')\n"
        " print('err', file=sys.stderr)\n"
        " logging.info('two\\nlines')\n"
        " print('REPORT RequestId: x\\tDuration: 1 ms')\n"
        " print('no newline', end='')"
    )
    invocation = stage.invocation(function)
    result = stage.run(stage.sandbox.run(invocation))
    texts = stage.texts(result)
    start = texts.index(f"START RequestId: {invocation.id} Version: $LATEST")
    body, closing = texts[start + 1 : -2], texts[-2:]

    assert texts[0].startswith("INIT_START Runtime Version: python3.11\t")
    assert sorted(body[:1]) == ["out"] or "err" in body
    assert "no newline" in body
    assert "[function] REPORT RequestId: x\tDuration: 1 ms" in body
    assert any(
        t.startswith("[INFO]\t") and t.endswith(f"\t{invocation.id}\ttwo\nlines")
        for t in body
    )
    assert closing[0] == f"END RequestId: {invocation.id}"
    assert closing[1].startswith(f"REPORT RequestId: {invocation.id}\tDuration: ")
    assert result.log_tail.decode().endswith(closing[1] + "\n")


def test_json_lines(stage: Stage) -> None:
    """With the JSON format every line of the platform and the logger is an object."""
    function = stage.python(
        "import logging\ndef handler(e, c): logging.warning('w', extra={'k': 1})",
        log_format="JSON",
    )
    result = stage.invoke(function)
    records = [json.loads(text) for text in stage.texts(result)]

    assert [r.get("type", r.get("level")) for r in records] == [
        "platform.initStart",
        "platform.start",
        "WARNING",
        "platform.report",
    ]
    assert records[2]["k"] == 1


def test_flood_of_lines_is_bounded(stage: Stage) -> None:
    """A flood is dropped and counted, and does not hold the function up (Q6)."""
    function = stage.python(
        "def handler(e, c):\n"
        " for _ in range(60): print('z' * 1_000_000)\n"
        " return 'done'",
        timeout=20,
        memory_mb=512,
    )
    result = stage.invoke(function)
    kept = sum(len(text) for text in stage.texts(result))

    assert read(result.payload) == "done"
    assert kept < 40_000_000


def test_caller_that_leaves_ends_the_cell(stage: Stage) -> None:
    """A cancelled invocation takes its cell with it."""
    function = stage.python(
        "import time\ndef handler(e, c):\n if not e: return 'new'\n time.sleep(2)"
    )

    async def leave() -> None:
        work = stage.sandbox.run(stage.invocation(function, b"1"))
        task = asyncio.ensure_future(work)
        await asyncio.sleep(0.3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stage.invoke(function, b"0")
    stage.run(leave())
    assert stage.invoke(function, b"0").init_ms is not None


def test_retired_function_gets_new_cells(stage: Stage) -> None:
    """After retire, and for another revision, no old cell serves (R9)."""
    function = stage.python("def handler(e, c): return c.log_stream_name")
    first = stage.invoke(function).payload
    stage.run(_retire(stage, function.arn))
    second = stage.invoke(function).payload
    assert first != second


async def _retire(stage: Stage, arn: str) -> None:
    stage.sandbox.retire(arn)


def test_same_package_of_two_accounts_shares_nothing(stage: Stage) -> None:
    """Accounts have their own trees and cells, whatever they hold."""
    one = stage.python("def handler(e, c): return 'of one account'")
    other = stage.function(stage.packages[one.code_sha256], account="444455556666")
    trees = stage.sandbox.facts()["trees"]
    stage.invoke(one)
    stage.invoke(other)
    assert stage.sandbox.facts()["trees"] == int(str(trees)) + 2


def test_concurrent_first_calls_unpack_once(stage: Stage) -> None:
    """Callers of a package that is being unpacked wait for that."""
    function = stage.python("import time\ndef handler(e, c): time.sleep(.1)")

    async def all_at_once() -> None:
        calls = (stage.sandbox.run(stage.invocation(function)) for _ in range(3))
        await asyncio.gather(*calls)

    stage.run(all_at_once())
    assert stage.fetched.count(function.code_sha256) == 1


def test_idle_cells_are_frozen_and_thaw(stage: Stage) -> None:
    """A background thread makes no progress between invocations."""
    function = stage.python(
        "import threading, time\n"
        "n = 0\n"
        "def count():\n"
        " global n\n"
        " while True: n += 1; time.sleep(.001)\n"
        "threading.Thread(target=count, daemon=True).start()\n"
        "def handler(e, c): return n"
    )
    first = read(stage.invoke(function).payload)
    stage.run(asyncio.sleep(0.6))
    second = read(stage.invoke(function).payload)
    assert second - first < 300


def test_slow_init_runs_again_on_the_functions_time(stage_with: Any) -> None:
    """Past the init's bound the cell is ended; then the timeout counts for both."""
    with stage_with(pool=1, init=0.5) as stage:
        function = stage.python(
            "import time\ntime.sleep(.8)\ndef handler(e, c): return 1"
        )
        assert read(stage.invoke(function).payload) == 1
        short = stage.python("import time\ntime.sleep(9)", timeout=1)
        result = stage.invoke(short)
        assert result.ending is Ending.TIMEOUT
        assert read(result.payload)["errorType"] == "Sandbox.Timedout"


def test_no_room_is_throttled(stage_with: Any) -> None:
    """A full node says so within the caller's deadline, with AWS's reason."""
    with stage_with(pool=1, memory_mb=200, claim=0.3) as stage:
        stage.run(_crowd(stage))


async def _crowd(stage: Stage) -> None:
    function = stage.python("import time\ndef handler(e, c): time.sleep(1)")
    large = stage.python("", memory_mb=512)
    busy = asyncio.ensure_future(stage.sandbox.run(stage.invocation(function)))
    await asyncio.sleep(0.6)
    with pytest.raises(Throttled) as caught:
        await stage.sandbox.run(stage.invocation(function))
    assert caught.value.code == "TooManyRequestsException"
    assert caught.value.members["Reason"] == "ConcurrentInvocationLimitExceeded"
    with pytest.raises(Unavailable):
        await stage.sandbox.run(stage.invocation(large))
    assert (await busy).ending is Ending.SUCCESS


def test_package_is_checked_in_a_workshop(stage: Stage) -> None:
    """A sound package is counted, an evil one refused with the reason."""
    good, evil = package({"a.py": "x = 1"}), package({"../../etc/cron.d/x": "x"})
    account = "111122223333"
    counted = stage.run(
        stage.sandbox.check(account, good, hashlib.sha256(good).hexdigest())
    )
    with pytest.raises(Invalid) as caught:
        stage.run(stage.sandbox.check(account, evil, hashlib.sha256(evil).hexdigest()))

    assert (counted.files, counted.bytes) == (1, 5)
    assert caught.value.code == "InvalidParameterValueException"
    assert "could leave the package" in caught.value.reason


def test_a_cold_start_tells_where_its_time_went(stage: Stage) -> None:
    """Each stage is measured, they are no more than the whole, and a warm call none."""
    function = stage.python(
        "import time\ntime.sleep(0.05)\ndef handler(event, context):\n time.sleep(0.02)"
    )
    before, told = SystemClock().monotonic(), len(stage.splits)
    split = stage.invoke(function).split
    whole = (SystemClock().monotonic() - before) * 1000

    assert split is not None
    stages = dict(split.stages())
    assert ["package", "queue", "assign", "init", "handler"] == list(stages)
    assert min(stages.values()) >= 0
    assert split.package > 0  # it had to be unpacked
    assert split.assign > 0
    assert split.init >= 50
    assert split.handler >= 20
    assert sum(stages.values()) <= whole
    assert stage.invoke(function).split is None
    assert [split] == stage.splits[told:]


def test_the_hops_of_a_cell_are_those_of_its_last_invocation(stage: Stage) -> None:
    """From before its init until the next one; those of a cell that is gone are up."""
    function = stage.python(
        "import os\ndef handler(event, context):\n"
        " if event == 'end': os._exit(1)\n"
        " return os.environ['AWS_ACCESS_KEY_ID']"
    )
    for hops in (5, 0, 16):
        invocation = stage.invocation(function, b"1")
        invocation = replace(invocation, trace=replace(invocation.trace, hops=hops))
        result = stage.run(stage.sandbox.run(invocation))
        cell = read(result.payload).removeprefix("ASIA")
        assert hops == stage.sandbox.hops_of(cell)
    stage.run(stage.sandbox.run(stage.invocation(function, b'"end"')))
    assert stage.sandbox.cell_function(cell) is None
    assert HOPS == stage.sandbox.hops_of(cell)
