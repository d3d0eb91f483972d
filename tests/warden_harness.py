"""
A real warden's cells for tests: no platform around it, a socket to speak verbs to.

The warden runs in a forked process, in a run folder and control group of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import socket
import struct
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from casemate_warden import cgroups, images, messages
from casemate_warden.assembly import Assembly, Plan
from casemate_warden.loop import Loop

SOURCES = Path(__file__).parents[1] / "src"
RUNTIMES = ("python3.11", "provided.al2023")


class Refusal(Exception):
    """The warden's error answer."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


@dataclass
class Warden:
    """The node's and egress's ends of a running warden."""

    pid: int
    run: Path
    parent: str
    node: socket.socket
    egress: socket.socket
    answers: dict[int, tuple[dict[str, Any], list[int]]] = field(default_factory=dict)
    number: int = 0
    cells: list[PythonCell] = field(default_factory=list)

    def ask(self, verb: str, descriptors: Sequence[int] = (), **members: Any) -> int:
        """Sends one verb and returns its id."""
        self.number += 1
        body = json.dumps({"id": self.number, "verb": verb, **members}).encode()
        socket.send_fds(self.node, [body], descriptors)
        return self.number

    def wait(self, number: int, timeout: float = 60) -> dict[str, Any]:
        """The answer of one verb, its descriptors under their names in `fds`."""
        while number not in self.answers:
            ready, _, _ = select.select([self.node], [], [], timeout)
            if not ready:
                raise TimeoutError(f"no answer to {number}")
            text, fds, _, _ = socket.recv_fds(self.node, messages.LARGEST, 16)
            if not text:
                raise EOFError("the warden is gone")
            body = json.loads(text)
            self.answers[body["id"]] = body, list(fds)
        body, fds = self.answers.pop(number)
        if "error" in body:
            raise Refusal(body["error"]["code"], body["error"]["reason"])
        answer: dict[str, Any] = body["ok"]
        if fds:
            answer["fds"] = dict(zip(answer["fds"], fds, strict=True))
        return answer

    def do(
        self, verb: str, descriptors: Sequence[int] = (), **members: Any
    ) -> dict[str, Any]:
        """Asks and waits."""
        return self.wait(self.ask(verb, descriptors, **members))

    def told(self) -> tuple[dict[str, Any], dict[str, int]]:
        """The next message to egress, with its descriptors by name."""
        text, fds, _, _ = socket.recv_fds(self.egress, messages.LARGEST, 16)
        body = json.loads(text)
        return body, dict(zip(body.get("fds", []), fds, strict=True))


def build_images(
    folder: Path, site: Path = SOURCES, runtimes: Sequence[str] = RUNTIMES
) -> list[images.Image]:
    """The images of `runtimes`, built once below `folder` and used again."""
    packages = next(Path(sys.prefix, "lib").glob("python3.*/site-packages"))
    sources = images.Sources(site=site, packages=packages)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [recipe for recipe in images.recipes() if recipe.runtime in runtimes]
    return [images.build(recipe, folder, sources) for recipe in wanted]


@contextlib.contextmanager
def running(
    built: Sequence[images.Image],
    *,
    trees_mb: int = 2_000,
    certificate: str = "none\n",
    name: str | None = None,
    runtime: str = "/usr/sbin/runc",
) -> Iterator[Warden]:
    """A warden until the end of the block; see `left_of` for what must hold then."""
    name = name or secrets.token_hex(6)
    run = Path("/run/casemate") / name
    run.mkdir(parents=True, exist_ok=True)
    run.parent.chmod(0o711)
    run.chmod(0o711)
    plan = Plan(
        run=run,
        parent=f"casemate-{name}",
        runtime=runtime,
        images=built,
        trees_mb=trees_mb,
    )
    (node, node_end), (egress, egress_end) = messages.pair(), messages.pair()
    pid = os.fork()
    if pid == 0:
        node.close()
        egress.close()
        _serve(plan, node_end, egress_end, certificate)
    node_end.close()
    egress_end.close()
    warden = Warden(pid=pid, run=run, parent=plan.parent, node=node, egress=egress)
    try:
        yield warden
    finally:
        for one in warden.cells:
            one.let_go()
        node.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
        egress.close()


def _serve(
    plan: Plan, node: socket.socket, egress: socket.socket, certificate: str
) -> None:
    """The forked process; never returns."""
    status = 1
    try:
        loop = Loop()
        assembly = Assembly(plan, loop, _say)
        peers = messages.Peer(node), messages.Peer(egress)
        loop.serve(peers[1], lambda _: None, lambda _: None, lambda: None)
        verbs = assembly.serve(*peers, certificate)
        while not verbs.gone:
            loop.turn()
        verbs.shut()
        assembly.dismantle()
        status = 0
    except BaseException:  # noqa: BLE001 — a fork ends here
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def write_all(descriptor: int, data: bytes) -> None:
    """Every byte, to a blocking descriptor."""
    while data:
        data = data[os.write(descriptor, data) :]


def run_shell(fds: Mapping[str, int], script: str, timeout: float = 20) -> str:
    """
    Runs a script in a waiting shell cell and returns what it printed.

    The script gets a last line that marks its end; the shell then waits for more.
    """
    mark = secrets.token_hex(8)
    write_all(fds["control"], f"{script}\necho {mark}\n".encode())
    seen = b""
    while f"{mark}\n".encode() not in seen:
        ready, _, _ = select.select([fds["stdout"]], [], [], timeout)
        if not ready:
            raise TimeoutError(seen.decode(errors="replace"))
        piece = os.read(fds["stdout"], 65_536)
        if not piece:
            raise EOFError(seen.decode(errors="replace"))
        seen += piece
    return seen.decode(errors="replace").removesuffix(f"{mark}\n")


LISTENER = """
import contextlib, io, socket, struct, traceback

control = socket.socket(fileno=3)
names = {}

def take(size):
    data = b""
    while len(data) < size:
        piece = control.recv(size - len(data))
        if not piece:
            raise SystemExit
        data += piece
    return data

control.sendall(b"W")
while True:
    code = take(struct.unpack(">I", take(4))[0])
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        try:
            exec(code.decode(), names)
        except BaseException:
            traceback.print_exc(file=output)
    said = output.getvalue().encode()
    control.sendall(struct.pack(">I", len(said)) + said)
"""


def write_listener(site: Path) -> None:
    """A package `casemate_cell` whose waiting program runs the code it is sent."""
    (site / "casemate_cell").mkdir()
    (site / "casemate_cell" / "waiting.py").write_text(LISTENER)


class PythonCell:
    """A waiting Python cell of an image made with `write_listener`."""

    def __init__(self, warden: Warden, opened: Mapping[str, Any]) -> None:
        self.warden = warden
        self.name: str = opened["cell"]
        self.fds: dict[str, int] = dict(opened["fds"])
        self.control = socket.socket(fileno=self.fds.pop("control"))
        self.control.settimeout(30)
        self.closed = False
        if self.control.recv(1) != b"W":
            raise EOFError("the cell does not wait")

    @classmethod
    def open(cls, warden: Warden) -> PythonCell:
        """Opens one and waits until it waits."""
        one = cls(warden, warden.do("open", runtime="python3.11"))
        warden.cells.append(one)
        return one

    def start(self, code: str) -> None:
        """Sends code to run."""
        data = textwrap.dedent(code).encode()
        self.control.sendall(struct.pack(">I", len(data)) + data)

    def finish(self) -> str:
        """What the code printed, with the traceback if it raised."""
        (size,) = struct.unpack(">I", self._take(4))
        return self._take(size).decode(errors="replace")

    def _take(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.control.recv(size - len(data))
            if not piece:
                raise EOFError("the cell is gone")
            data += piece
        return data

    def run(self, code: str) -> str:
        """Both in one."""
        self.start(code)
        return self.finish()

    def assign(
        self,
        memory_mb: int = 256,
        tree: str | None = None,
        layers: Sequence[str] = (),
    ) -> None:
        """With the smallest /tmp that the protocol knows."""
        given = self.warden.do(
            "assign",
            (),
            cell=self.name,
            tree=tree,
            layers=[*layers],
            memory_mb=memory_mb,
            ephemeral_mb=512,
        )
        self.fds.update(given["fds"])

    def close(self) -> dict[str, Any]:
        """Ends it; a second time does nothing."""
        if self.closed:
            return {}
        self.closed = True
        self.let_go()
        return self.warden.do("close", cell=self.name)

    def let_go(self) -> None:
        """Closes the node's ends; the cell itself is not touched."""
        self.control.close()
        while self.fds:
            os.close(self.fds.popitem()[1])


def left_of(warden: Warden) -> list[str]:
    """
    Whatever can still be found of a warden: groups, folders, mounts, processes.

    A process that has ended is nothing, even if the host's init is slow to collect it.
    """
    left = [str(path) for path in cgroups.parents(warden.parent)]
    left += [str(warden.run)] if warden.run.exists() else []
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    left += [line for line in mounts if warden.run.name in line]
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            ended = "State:\tZ" in (path / "status").read_text()
            if not ended and warden.parent in (path / "cgroup").read_text():
                left.append(str(path))
    return left
