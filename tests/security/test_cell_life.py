"""
What outlives what: code between invocations, after its end, and after an update.

A cell belongs to one function version for life.  Whatever the code leaves
behind stays in that cell, stands still between invocations, and ends with it.
"""

from __future__ import annotations

import secrets
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from platform_harness import zipped
from security.local_doors import processes_of
from security.probe import HANDLER, Probe
from security.tenant import Tenant

pytestmark = [pytest.mark.root, pytest.mark.platform]

FIRST_UID = "int(open('/proc/self/uid_map').read().split()[1])"
DAEMON = """
if not os.fork():
    os.setsid()
    if not os.fork():
        longest, last = 0.0, time.monotonic()
        while True:
            now = time.monotonic()
            longest, last = max(longest, now - last), now
            with open("/tmp/pulse.new", "w") as file:
                file.write(repr(longest))
            os.rename("/tmp/pulse.new", "/tmp/pulse")
    os._exit(0)
os.wait()
while not os.path.exists("/tmp/pulse"):
    pass
answer = FIRST_UID
""".replace("FIRST_UID", FIRST_UID)
"""Leaves a process that notes the longest time in which it did not run."""


def gone(first_uid: int, seconds: float = 10.0) -> bool:
    """Say whether every process of a range ends in time."""
    deadline = time.monotonic() + seconds
    while processes_of(first_uid):
        if time.monotonic() > deadline:
            return False
    return True


@pytest.mark.parametrize(
    "code",
    [
        "os.fork() or time.sleep(9)\ntried(os.kill, -1, 9)\nos._exit(1)",
        "os.kill(1, 9); os.kill(os.getpid(), 9); os._exit(1)",
        "os._exit(0)",
        "sys.exit(7)",
        "os.abort()",
        "ctypes.string_at(0)",
        "os.closerange(0, 1024); os._exit(0)",
    ],
)
def test_s17_it_ends_only_itself(
    tenant: Tenant, probe: Probe, other_probe: Probe, code: str
) -> None:
    """S17: whatever it signals or breaks, the caller is told, and others go on."""
    probe.run(f"import signal\nanswer = {FIRST_UID}")
    answer, response = probe.send(code + "\ntime.sleep(9)")
    assert response.get("FunctionError", "Unhandled") == "Unhandled"
    if answer is not None:
        assert answer["errorType"] in {"Runtime.ExitError", "Sandbox.Timedout"}
    assert probe.said("'alive'") == "alive"
    assert other_probe.said("'alive'") == "alive"
    assert tenant.client("casemate").get_status()["Cells"]["Busy"] == 0


def test_s18_n13_a_daemon_stands_still_between_invocations(
    tenant: Tenant, other_probe: Probe
) -> None:
    """S18, N13: what the code leaves running is frozen until the next invocation."""
    probe = Probe(tenant, "daemon", MemorySize=1024)
    first = probe.run(DAEMON)
    assert len(processes_of(first)) >= 2  # the control: it is there
    before = probe.said("float(open('/tmp/pulse').read())")
    # 50 ms after its answer the cell is frozen; this other call takes a second.
    other_probe.run("time.sleep(1)")
    after = probe.run(
        """
        deadline = time.monotonic() + 2
        while (answer := float(open("/tmp/pulse").read())) < 0.7:
            if time.monotonic() > deadline:
                break
        """
    )
    assert before < 0.5  # the control: it runs while the function does
    assert after > 0.7
    tenant.client("lambda").delete_function(FunctionName=probe.name)
    assert gone(first)


def test_s18_a_flood_of_zombies_ends_with_the_cell(
    tenant: Tenant, other_probe: Probe
) -> None:
    """S18: orphans and zombies are the cell's, and end with it at a timeout."""
    probe = Probe(tenant, "zombies", Timeout=2, MemorySize=512)
    first = int(probe.said(FIRST_UID))
    answer, _ = probe.send(
        """
        for _ in range(300):
            if not os.fork():
                os._exit(0)
        for _ in range(20):
            if not os.fork():
                os.setsid()
                while True:
                    pass
        time.sleep(60)
        """
    )
    assert answer["errorType"] == "Sandbox.Timedout"
    assert gone(first)
    assert other_probe.said("'alive'") == "alive"


def test_s19_what_a_timer_says_later_is_not_the_next_answer(probe: Probe) -> None:
    """S19: a thread that wakes in the next invocation cannot answer with the old id."""
    probe.run(
        """
        import struct
        mine = context.aws_request_id
        def late():
            control = socket.socket(fileno=os.dup(3))
            head = struct.pack(">BBI", 4, len(mine), 6)  # 4: a response
            while not getattr(sys, "second", False):
                time.sleep(0.001)
            control.sendall(head + mine.encode() + b'"late"')
            sys.said = True
        sys.second = sys.said = False
        threading.Thread(target=late, daemon=True).start()
        """
    )
    answer = probe.run(
        """
        sys.second = True
        while not sys.said:
            time.sleep(0.001)
        answer = "own"
        """
    )
    assert answer == "own"


def test_s20_a_new_cell_has_no_old_pages(tenant: Tenant) -> None:
    """S20: fresh memory and a fresh /tmp hold nothing of a cell that ended."""
    canary = secrets.token_hex(16)
    probe = Probe(tenant, "residue", MemorySize=1024)
    probe.run(
        """
        sys.kept = event["canary"].encode() * 2_000_000
        with open("/tmp/kept", "wb") as file:
            file.write(sys.kept)
        """,
        canary=canary,
    )
    tenant.invoke(probe.name, {"code": "import os; os._exit(1)"})
    found = probe.run(
        """
        import mmap
        fresh = mmap.mmap(-1, 128 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with open("/tmp/new", "wb") as file:
            file.truncate(64 << 20)
        half = event["half"].encode()
        answer = [fresh.find(half), open("/tmp/new", "rb").read().find(half),
                  sorted(os.listdir("/tmp"))]
        """,
        half=canary[:16],
    )
    assert found == [-1, -1, ["new"]]


CODE = """
import os
left = os.path.exists("/tmp/mine")
open("/tmp/mine", "w").close()
FIRST = int(open("/proc/self/uid_map").read().split()[1])
def handler(event, context):
    return [{version!r}, FIRST, left, os.environ.get("SETTING")]
"""


def source(version: str) -> str:
    return CODE.replace("{version!r}", repr(version))


def test_r9_s31_an_update_never_reaches_a_live_cell(tenant: Tenant) -> None:
    """R9, S31: another code, setting or role is another cell, and never a remount."""
    client = tenant.client("lambda")
    name = tenant.deploy(source("one"))
    first = tenant.invoke(name)[0]
    assert first == tenant.invoke(name)[0]  # the control: the cell is kept
    client.update_function_code(
        FunctionName=name, ZipFile=zipped({"handler.py": source("two")})
    )
    tenant.settled(name)
    second = tenant.invoke(name)[0]
    assert (second[0], second[2]) == ("two", False)
    assert second[1] != first[1]
    client.update_function_configuration(
        FunctionName=name, Environment={"Variables": {"SETTING": "on"}}
    )
    tenant.settled(name)
    third = tenant.invoke(name)[0]
    assert third[2:4] == [False, "on"]
    assert third[1] not in (first[1], second[1])
    client.update_function_configuration(
        FunctionName=name, Role=tenant.platform.role("r9-other")
    )
    tenant.settled(name)
    fourth = tenant.invoke(name)[0]
    assert fourth[2] is False
    assert fourth[1] not in (first[1], second[1], third[1])


def test_r9_a_role_of_the_same_name_is_another_role(tenant: Tenant) -> None:
    """R9, Z17: credentials of a deleted role do not come alive with its namesake."""
    iam = tenant.client("iam")
    name = "r9-reborn"
    role = tenant.platform.role(name)
    code = """
    import boto3, botocore
    try:
        answer = boto3.client("sts").get_caller_identity()["Account"]
    except botocore.exceptions.ClientError as error:
        answer = error.response["Error"]["Code"]
    """
    probe = Probe(tenant, "r9-probe", Role=role)
    assert probe.run(code) == tenant.account
    iam.delete_role(RoleName=name)
    tenant.platform.role(name)
    assert probe.run(code) == "InvalidClientTokenId"


def test_s31_the_code_under_a_running_function_stays(tenant: Tenant) -> None:
    """S31: an update while an invocation runs changes nothing in that invocation."""
    probe = Probe(tenant, "s31", Timeout=20)
    watch = textwrap.dedent(
        """
        import hashlib
        digest = lambda: hashlib.sha256(open("/var/task/handler.py", "rb").read())
        before, mounts = digest().hexdigest(), open("/proc/self/mountinfo").read()
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            assert digest().hexdigest() == before
        answer = [before == digest().hexdigest(),
                  mounts == open("/proc/self/mountinfo").read()]
        """
    )
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(tenant.invoke, probe.name, {"code": watch})
        while not tenant.client("casemate").get_status()["Cells"]["Busy"]:
            continue
        tenant.client("lambda").update_function_code(
            FunctionName=probe.name,
            ZipFile=zipped({"handler.py": HANDLER + "\n# another\n"}),
        )
        tenant.settled(probe.name)
        assert running.result()[0] == [True, True]
    assert probe.said("open('/var/task/handler.py').read()").endswith("# another\n")


def test_s32_what_the_runtime_listens_to_is_a_descriptor(probe: Probe) -> None:
    """S32: no socket has a path that could be swapped, in /tmp or elsewhere."""
    found = probe.run(
        """
        import stat
        answer = []
        for top, folders, files in os.walk("/"):
            if top.startswith("/proc"):
                folders[:] = []
                continue
            answer += [os.path.join(top, n) for n in files
                       if stat.S_ISSOCK(os.lstat(os.path.join(top, n)).st_mode)]
        """
    )
    assert found == []
