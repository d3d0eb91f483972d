"""
Code that takes all it can get: the cell ends, the platform and the host do not.

Each attack is followed by a call of the same function and by one of another
account's: both must be served.
"""

from __future__ import annotations

import json
import textwrap
import time
from typing import Any

import pytest

from security.local_doors import gauge, processes_of
from security.probe import HANDLER, Probe
from security.tenant import Tenant

pytestmark = [pytest.mark.root, pytest.mark.platform]


@pytest.fixture(scope="module")
def short(tenant: Tenant) -> Probe:
    """A function with the least memory and two seconds."""
    return Probe(tenant, "short", Timeout=2, MemorySize=128)


def survivors(probe: Probe, other: Probe) -> None:
    """Both are still served, each in good time."""
    began = time.monotonic()
    assert probe.said("'alive'") == "alive"
    assert other.said("'alive'") == "alive"
    assert time.monotonic() - began < 10


def ended(
    probe: Probe, code: str, kind: str = "Sandbox.Timedout"
) -> tuple[Any, dict[str, Any]]:
    """Run code that must end the cell; nothing of it stays on the host."""
    first = int(probe.said("open('/proc/self/uid_map').read().split()[1]"))
    assert processes_of(first)  # the control: its processes are seen by their uid
    answer, response = probe.send(code)
    assert response["FunctionError"] == "Unhandled"
    assert answer["errorType"] == kind, answer
    probe.said("1")  # by now the warden has been told to end the first cell
    deadline = time.monotonic() + 10
    while processes_of(first):
        assert time.monotonic() < deadline, "processes of an ended cell live on"
    return answer, response


@pytest.mark.parametrize(
    "bomb",
    [
        "while True:\n    tried(os.fork)",
        "while True:\n    subprocess.Popen(['/bin/sh', '-c', ':'], stdin=-3)",
    ],
)
def test_q1_a_fork_bomb_ends_with_its_cell(
    short: Probe, other_probe: Probe, bomb: str
) -> None:
    """Q1, S18: bounded by count, ended as a unit, nothing left on the host."""
    answer, response = short.send(bomb)
    assert response["FunctionError"] == "Unhandled", answer
    survivors(short, other_probe)


def test_q1_processes_and_threads_have_an_end(short: Probe, other_probe: Probe) -> None:
    """Q1: the count of tasks ends at the cell's limit, for threads as for children."""
    ended(
        short,
        """
        made = 0
        def stay():
            time.sleep(60)
        try:
            while made < 3000:
                threading.Thread(target=stay, daemon=True).start()
                made += 1
        except RuntimeError:
            pass
        children = 0
        while children < 3000 and (child := tried(os.fork)) == "ok":
            children += 1
        assert made + children < 3000
        time.sleep(60)
        """,
    )
    survivors(short, other_probe)


MEMORY = {
    "touched": "kept = []\nwhile True:\n    kept.append(bytearray(b'x') * (1 << 20))",
    "shared map": """
        import mmap
        kept = []
        while True:
            page = mmap.mmap(-1, 8 << 20)
            page.write(b"x" * (8 << 20))
            kept.append(page)
        """,
    "memory file": """
        made = os.memfd_create("m")
        while True:
            os.write(made, b"x" * (1 << 20))
        """,
    "children": """
        for _ in range(8):
            if not os.fork():
                kept = []
                while True:
                    kept.append(bytearray(b"x") * (1 << 20))
        time.sleep(20)
        """,
}


@pytest.fixture(scope="module")
def hungry(tenant: Tenant) -> Probe:
    """A function with enough processor time to take all of its memory."""
    return Probe(tenant, "hungry", Timeout=30, MemorySize=768)


@pytest.mark.parametrize("way", MEMORY)
def test_q2_memory_ends_inside(hungry: Probe, other_probe: Probe, way: str) -> None:
    """Q2: past its memory the cell is ended, and told to be so."""
    answer, response = hungry.send(MEMORY[way])
    assert response["FunctionError"] == "Unhandled"
    assert answer["errorType"] == "Runtime.OutOfMemory"
    survivors(hungry, other_probe)


@pytest.fixture(scope="module")
def roomy(tenant: Tenant) -> Probe:
    """A function with the least memory and much more scratch."""
    size = {"Size": 4_096}
    return Probe(tenant, "roomy", Timeout=60, MemorySize=128, EphemeralStorage=size)


@pytest.mark.parametrize("way", MEMORY)
def test_q2_large_scratch_is_no_memory(
    roomy: Probe, other_probe: Probe, way: str
) -> None:
    """Q2: what `/tmp` may hold cannot be had as memory, not even while it is empty."""
    answer, response = roomy.send(MEMORY[way])
    assert response["FunctionError"] == "Unhandled"
    assert answer["errorType"] == "Runtime.OutOfMemory"
    survivors(roomy, other_probe)


def test_q2_the_kernel_s_own_memory_is_counted(
    short: Probe, other_probe: Probe
) -> None:
    """Q2: pipes and sockets that are filled end at the cell's limits."""
    answer, _ = short.send(
        """
        kept, held = [], 0
        try:
            while True:
                one, two = socket.socketpair()
                kept += [one, two]
                one.setblocking(False)
                for option in (7, 8):
                    one.setsockopt(1, option, 1 << 30)
                while True:
                    try:
                        held += one.send(b"x" * 65536)
                    except BlockingIOError:
                        break
        except OSError as error:
            answer = [errno.errorcode[error.errno], held]
        """
    )
    if isinstance(answer, list):
        assert answer[0] in {"EMFILE", "ENOMEM", "ENOBUFS"}
        assert answer[1] < 1 << 30
    else:
        assert answer["errorType"] in {"Runtime.OutOfMemory", "Sandbox.Timedout"}
    survivors(short, other_probe)


FILL = """
import os
def handler(event, context):
    made, error = 0, ""
    os.makedirs("/tmp/fill", exist_ok=True)
    try:
        if event == "inodes":
            while made < 1000000:
                os.close(os.open(f"/tmp/fill/{made}", os.O_CREAT | os.O_WRONLY))
                made += 1
        elif event == "deleted":
            kept = []
            while made < 4096:
                one = os.open("/tmp/fill/gone", os.O_CREAT | os.O_RDWR)
                os.unlink("/tmp/fill/gone")
                kept.append(one)
                os.write(one, b"x" * (1 << 20))
                made += 1
        elif event == "fallocate":
            one = os.open("/tmp/fill/big", os.O_CREAT | os.O_RDWR)
            while made < 4096:
                os.posix_fallocate(one, made << 20, 1 << 20)
                made += 1
        elif event == "sparse":
            os.truncate(os.open("/tmp/fill/s", os.O_CREAT | os.O_RDWR), 1 << 62)
        else:
            with open("/tmp/fill/x", "wb", 0) as file:
                while made < 4096:
                    file.write(b"x" * (1 << 20))
                    made += 1
    except OSError as caught:
        error = caught.errno
    status = os.statvfs("/tmp")
    return [made, error, status.f_blocks * status.f_frsize, status.f_files]
"""


def test_q3_tmp_is_as_large_as_configured(
    tenant: Tenant, short: Probe, other_probe: Probe
) -> None:
    """Q3: bytes, allocated bytes, deleted files and inodes all end at their size."""
    enospc, emfile = 28, 24
    for way in ("bytes", "fallocate", "deleted", "inodes", "sparse"):
        name = tenant.deploy(FILL, Timeout=20, MemorySize=1024)
        answer, response = tenant.invoke(name, way)
        assert "FunctionError" not in response, (way, answer)
        made, error, size, files = answer
        assert (size, files) == (512 << 20, 512 * 256)
        if way == "sparse":
            assert error in ("", 27, enospc)  # a promise costs nothing, or EFBIG
        elif way == "inodes":
            assert error == enospc
            assert made <= files
        else:
            assert error in (enospc, emfile)
            assert made <= 512
        tenant.client("lambda").delete_function(FunctionName=name)
    survivors(short, other_probe)


def test_q3_a_full_tmp_needs_no_memory(tenant: Tenant, other_probe: Probe) -> None:
    """Q3: with 128 MB of memory all 512 MB of `/tmp` are there, and no more."""
    name = tenant.deploy(FILL, Timeout=60, MemorySize=128)
    answer, response = tenant.invoke(name, "fallocate")
    assert "FunctionError" not in response, answer
    assert answer[:2] == [512, 28]
    assert other_probe.said("'alive'") == "alive"


def test_q4_open_files_have_an_end(short: Probe, other_probe: Probe) -> None:
    """Q4: 1,024 descriptors, not to be raised; the runtime goes on with none left."""
    answer = short.run(
        """
        import resource
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        kept = []
        try:
            while True:
                kept.append(os.open("/dev/null", 0))
        except OSError as error:
            answer = [limit, len(kept), errno.errorcode[error.errno]]
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
            answer.append("raised")
        except ValueError:
            answer.append("refused")
        sys.kept = kept
        """
    )
    assert answer[0] == [1024, 1024]
    assert answer[1] < 1024
    assert answer[2:] == ["EMFILE", "refused"]
    short.run("[os.close(one) for one in sys.kept]")
    survivors(short, other_probe)


@pytest.mark.parametrize(
    "code",
    [
        """
        import signal
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
        for _ in range(4):
            threading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()
        while True:
            pass
        """,
        "import re; re.match(r'(a+)+$', 'a' * 64 + 'b')",  # never leaves C
        "libc.pause()",
        "os.kill(os.getpid(), 19); time.sleep(60)",  # SIGSTOP
    ],
)
def test_q5_time_ends_whatever_the_code_does(
    short: Probe, other_probe: Probe, code: str
) -> None:
    """Q5, S17: at its deadline a cell is killed, whatever it masks or spins in."""
    began = time.monotonic()
    ended(short, code)
    assert time.monotonic() - began < 12
    survivors(short, other_probe)


def test_q5_it_cannot_be_first(probe: Probe) -> None:
    """Q5: no real-time class, no better nice, no other cell's processor."""
    answer = probe.run(
        """
        answer = [tried(os.nice, -5), tried(os.setpriority, 0, 0, -10)]
        for policy in (os.SCHED_FIFO, os.SCHED_RR):
            answer.append(tried(os.sched_setscheduler, 0, policy, os.sched_param(1)))
        answer.append(call(251, 1, 0, 1 << 13))
        """
    )
    assert "ok" not in answer


def test_q6_a_flood_of_lines_is_bounded_and_told(
    tenant: Tenant, other_probe: Probe
) -> None:
    """Q6: what is over the rate is dropped and counted, and the function goes on."""
    source = """
import os
def handler(event, context):
    block = (b"flood " * 20 + b"\\n") * 500
    for _ in range(event):
        os.write(1, block)
    return "done"
"""
    name = tenant.deploy(source, Timeout=30, MemorySize=512)
    folder = tenant.platform.data
    before = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    answer, response = tenant.invoke(name, 400)  # 200,000 lines, 24 MB
    assert answer == "done", (answer, response)
    after = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    assert after - before < 96 << 20
    lines = tenant.logs_until(name, "CASEMATE dropped")
    kept = [line for line in lines if line.startswith("flood")]
    assert 1_000 < len(kept) < 150_000
    assert other_probe.said("'alive'") == "alive"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("answer = 'x' * (7 << 20)", "Function.ResponseSizeTooLarge"),
        (
            """
            stream = socket.socket(fileno=os.dup(3))
            stream.sendall(b'\\0\\0\\0\\x40\\xff\\xff\\xff\\xff')
            while True:
                stream.sendall(b'x' * 65536)
            """,
            "Runtime.ExitError",
        ),
    ],
)
def test_q7_an_answer_has_an_end(
    probe: Probe, other_probe: Probe, code: str, kind: str
) -> None:
    """Q7: past 6 MB an answer is an error; a stream without an end ends the cell."""
    answer, response = probe.send(code)
    assert response["FunctionError"] == "Unhandled"
    assert answer["errorType"] == kind
    survivors(probe, other_probe)


def test_q7_the_largest_answer_comes_whole(probe: Probe) -> None:
    """Q7, the control: six megabytes less the quotes are an answer."""
    size = (6 << 20) - 2
    assert len(probe.run(f"answer = 'x' * {size}")) == size


def test_q8_an_init_that_never_ends_is_ended(
    tenant: Tenant, other_probe: Probe
) -> None:
    """Q8: ten seconds, then once more on the function's own time, then an error."""
    name = tenant.deploy("while True:\n    pass\n", Timeout=1)
    began = time.monotonic()
    answer, response = tenant.invoke(name)
    assert time.monotonic() - began < 16
    assert response["FunctionError"] == "Unhandled"
    assert answer["errorType"] == "Sandbox.Timedout"
    assert other_probe.said("'alive'") == "alive"


@pytest.mark.parametrize("source", ["raise SystemExit(3)\n", "import os\nos.abort()\n"])
def test_q8_a_crash_loop_costs_one_cell_a_call(tenant: Tenant, source: str) -> None:
    """Q8: a start that crashes is not tried again behind the caller's back."""
    name = tenant.deploy(source)
    before = gauge(tenant.platform, "casemate_sandbox_cold")
    for _ in range(4):
        _, response = tenant.invoke(name)
        assert response["FunctionError"] == "Unhandled"
    assert gauge(tenant.platform, "casemate_sandbox_cold") == before + 4


EVENTS = {
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "open": b"[" * 3_000_000,
    "long integer": b"1" * 3_000_000,
    "infinite": b"1e999",
    "not a number": b"NaN",
    "lone surrogate": b'"\\ud800"',
    "many keys": json.dumps({str(n): 0 for n in range(200_000)}).encode(),
    "same keys": b'{"a":1,' * 1 + b'"a":1,' * 300_000 + b'"a":1}',
}


@pytest.mark.parametrize("event", EVENTS)
def test_q12_an_event_does_not_stop_the_node(
    tenant: Tenant, probe: Probe, other_probe: Probe, event: str
) -> None:
    """Q12: hostile JSON is refused or handed on, and others do not wait for it."""
    client = tenant.client("lambda")
    began = time.monotonic()
    try:
        answer = client.invoke(FunctionName=probe.name, Payload=EVENTS[event])
        answer["Payload"].read()
    except client.exceptions.InvalidRequestContentException as error:
        request_id = error.response["ResponseMetadata"]["RequestId"]
        record = tenant.record(request_id)
        assert record["errorCode"] == "InvalidRequestContentException"
    assert other_probe.said("1") == 1
    assert time.monotonic() - began < 8


def test_q12_patterns_of_the_log_search_are_linear(
    tenant: Tenant, probe: Probe
) -> None:
    """Q12: a filter pattern made to explode is refused or answered, soon."""
    group = f"/aws/lambda/{probe.name}"
    probe.run("print('a' * 30000)")
    client = tenant.client("logs")
    for pattern in ("?a " * 300, '"' + "a" * 1000 + '"', "%(a+)+$%", "{ $.a = 1 }"):
        began = time.monotonic()
        try:
            client.filter_log_events(logGroupName=group, filterPattern=pattern[:1024])
        except client.exceptions.ClientError as error:
            told = error.response
            record = tenant.record(told["ResponseMetadata"]["RequestId"])
            assert record["errorCode"] == told["Error"]["Code"]
        assert time.monotonic() - began < 5


def test_q12_a_policy_made_of_stars_is_judged_soon(tenant: Tenant) -> None:
    """Q12, Z1: a resource of many `*` costs no more than its length."""
    stars = "arn:aws:lambda:*:*:function:" + "*a" * 90
    statement = {"Effect": "Deny", "Action": "lambda:*", "Resource": stars}
    role = tenant.platform.role("stars", statement)
    source = textwrap.dedent(
        """
        import boto3, time
        def handler(event, context):
            began = time.monotonic()
            try:
                boto3.client("lambda").get_function(FunctionName="a" * 64)
            except Exception as error:
                return [type(error).__name__, time.monotonic() - began]
        """
    )
    name = tenant.deploy(source, Role=role, MemorySize=1024)
    kind, seconds = tenant.invoke(name)[0]
    assert kind in {"AccessDeniedException", "ClientError"}
    assert seconds < 5


def test_the_handler_of_the_probe_is_what_ran(short: Probe) -> None:
    """The control: the probe runs what it is sent, after all of that."""
    assert "exec(" in HANDLER
    assert short.said("2 + 2") == 4
