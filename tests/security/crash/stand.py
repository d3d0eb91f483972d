"""A platform that is killed and started again, and what it said was done."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from platform_harness import CASEMATE, Platform, zipped
from security.edge.attacker import PATIENCE, Attacker, Line
from security.edge.signing import Ask, Keys, json_call, query_call

MODULES: Final = {
    "node": "casemate.app",
    "keyholder": "casemate_keyholder",
    "egress": "casemate.road.egress",
}
PROMISED: Final = 0.25
"""Seconds after which a data call's record must be durable: the promise is 10 ms,
and this machine may be busy with other things."""
ECHO = (
    "def handler(event, context):\n"
    "    print('line of', event)\n"
    "    return {'ran': event}\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One change or call that was acknowledged.  at: monotonic seconds."""

    kind: str
    name: str
    id: str
    at: float


class Stand(Platform):
    """A platform whose processes the tests can end."""

    def child(self, name: str) -> int:
        """Give the pid of one of the three children."""
        assert self.process is not None
        pid = self.process.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            line = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            if line[-2:-1] == [MODULES[name].encode()]:
                return int(child)
        raise AssertionError(f"there is no {name}")

    def everything(self) -> set[tuple[int, str]]:
        """Give every process of the platform and its cells: pid and start time."""
        assert self.process is not None
        found = {self.process.pid}
        waiting = [self.process.pid]
        while waiting:
            pid = waiting.pop()
            with suppress(FileNotFoundError, ProcessLookupError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    children = {int(p) for p in (task / "children").read_text().split()}
                    waiting += children - found
                    found |= children
        groups = Path("/sys/fs/cgroup")
        for at in ("", "*/"):
            for top in groups.glob(f"{at}casemate-{self.instance}"):
                # A group may end while it is looked at, which a walk takes as said.
                for folder, _, _ in os.walk(top):
                    with suppress(OSError):
                        procs = Path(folder, "cgroup.procs").read_text()
                        found |= {int(pid) for pid in procs.split()}
        return {(pid, started) for pid in found if (started := _started(pid))}

    @property
    def instance(self) -> str:
        """The name of the platform's run folder."""
        return Path(self.variables["AWS_CA_BUNDLE"]).parent.name

    def kill_one(self, name: str) -> None:
        """Kill the warden or a child, and wait until the platform is down."""
        assert self.process is not None
        if name == "warden":
            self.kill()
            return
        os.kill(self.child(name), signal.SIGKILL)
        # Well before the warden would have to kill the others as well.
        assert self.process.wait(4.5) == 1
        self.await_line(f"{name} ended, so the platform stops")

    def await_line(self, text: str) -> None:
        """Wait until the platform has said something."""
        end = time.monotonic() + PATIENCE
        while text not in "".join(self.lines):
            assert time.monotonic() < end, self.lines
            time.sleep(0.01)

    def launch(self) -> None:
        """Start, and do not wait until it answers."""
        self.process = subprocess.Popen(
            [
                *(str(CASEMATE), "up", "--data", str(self.data)),
                *("--listen", "127.0.0.1:0", *self.arguments),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def again(self) -> None:
        """Start once more on the same folder, with nothing heard yet."""
        self.lines = []
        self.start()


def _started(pid: int) -> str:
    """Give a process's start time; nothing for one that has ended."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if told[0] in "ZX" else told[19]


def still_there(processes: set[tuple[int, str]], seconds: float = 15.0) -> set[int]:
    """Give those processes that have not ended within some seconds."""
    end = time.monotonic() + seconds
    while True:
        left = {pid for pid, started in processes if _started(pid) == started}
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.01)


@contextmanager
def standing(*arguments: str) -> Iterator[Stand]:
    """Run a platform on a folder of its own, removed at the end."""
    data = Path(tempfile.mkdtemp(prefix="casemate-test-", dir="/var/tmp"))
    stand = Stand(data, *arguments)
    try:
        stand.start()
        yield stand
    finally:
        try:
            stand.stop()
        finally:
            shutil.rmtree(data, ignore_errors=True)


def create_user(name: str) -> Ask:
    """Make a user."""
    return query_call("iam", f"Action=CreateUser&Version=2010-05-08&UserName={name}")


def create_policy(name: str) -> Ask:
    """Make a managed policy."""
    document = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "logs:*", "Resource": "*"}],
        }
    )
    return query_call(
        "iam",
        f"Action=CreatePolicy&Version=2010-05-08&PolicyName={name}"
        f"&PolicyDocument={quote(document)}",
    )


def create_group(name: str) -> Ask:
    """Make a log group."""
    return json_call("logs", "Logs_20140328.CreateLogGroup", {"logGroupName": name})


def create_function(name: str, role: str) -> Ask:
    """Make a function."""
    body = {
        "FunctionName": name,
        "Runtime": "python3.11",
        "Handler": "handler.handler",
        "Role": role,
        "Code": {
            "ZipFile": base64.b64encode(zipped({"handler.py": ECHO})).decode(),
        },
    }
    return Ask(
        service="lambda",
        path="/2015-03-31/functions",
        headers=(("content-type", "application/json"),),
        body=json.dumps(body).encode(),
    )


def invoke(function: str, event: str) -> Ask:
    """Invoke a function."""
    return Ask(
        service="lambda",
        path=f"/2015-03-31/functions/{function}/invocations",
        body=json.dumps(event).encode(),
    )


@dataclass(slots=True)
class Load:
    """Clients that change and call things until the platform falls silent."""

    stand: Stand
    keys: Keys
    role: str
    turn: str
    done: list[Done] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    threads: list[threading.Thread] = field(default_factory=list)
    ended: bool = False

    def begin(self) -> None:
        """Start every client."""
        makers: dict[str, Callable[[str], Ask]] = {
            "user": create_user,
            "policy": create_policy,
            "group": create_group,
            "function": lambda name: create_function(name, self.role),
            "call": lambda name: invoke("echo", name),
        }
        for kind, make in makers.items():
            thread = threading.Thread(target=self._run, args=(kind, make))
            self.threads.append(thread)
            thread.start()

    def end(self) -> None:
        """Wait until every client has noticed."""
        self.ended = True
        for thread in self.threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _run(self, kind: str, make: Callable[[str], Ask]) -> None:
        attacker = Attacker(self.stand)
        with suppress(OSError), attacker.line() as line:
            number = 0
            while not self.ended and self._one(
                line, attacker, kind, make, f"{kind}-{self.turn}-{number}"
            ):
                number += 1

    def _one(
        self,
        line: Line,
        attacker: Attacker,
        kind: str,
        make: Callable[[str], Ask],
        name: str,
    ) -> bool:
        line.say(attacker.written(make(name), self.keys))
        answer = line.hear()
        if answer.status in (200, 201):
            self.done.append(
                Done(kind=kind, name=name, id=answer.id, at=time.monotonic())
            )
        elif answer.status:
            self.refused[answer.code] = self.refused.get(answer.code, 0) + 1
        return bool(answer.status)
