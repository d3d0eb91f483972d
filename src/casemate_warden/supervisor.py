"""
Runs the platform: starts the children in order, serves, drains, stops.

    keyholder (gives the public root) -> egress -> node -> ready ... drain -> stop

A child that ends before it was told to takes the whole platform down, in order:
half a platform answers wrongly.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from casemate_warden import children, facts, ground, messages
from casemate_warden.assembly import Assembly, Plan
from casemate_warden.children import Child, Role
from casemate_warden.loop import Loop
from casemate_warden.messages import Gone, Packet, Peer
from casemate_warden.verbs import Verbs

PLATFORM: Final = {
    "name": "api.casemate.internal",
    "address": "198.18.0.1",
    "port": 443,
}
START_S: Final = 60.0
STOP_S: Final = 5.0
OPEN_FILES: Final = 65_536
KEYHOLDER_FILES: Final = 1_024


class ChildEnded(Exception):
    """A child ended although nobody told it to; the text says which."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the operator chose, and where things are."""

    data: Path
    listen: ground.Listen
    region: str
    root_key_file: Path | None
    pool: int
    grace: int
    python: Path
    names: tuple[str, ...]  # of the endpoint, beside loopback
    accepted: tuple[str, ...]  # checks of the floor that the operator lowers
    lowered: Mapping[str, str]  # those that this host fails, and how
    unsafe: tuple[str, ...]  # what was loosened by name
    witness: Path | None  # receives checkpoints
    replay: str  # `allow` or `refuse` a signature that comes again


class Supervisor:
    """One platform from its first child to its last."""

    def __init__(
        self,
        *,
        settings: Settings,
        people: Mapping[str, ground.User],
        plan: Plan,
        loop: Loop,
        log: Callable[[str], None],
    ) -> None:
        """Furnishes the house; `run` does the rest."""
        self._settings = settings
        self._people = people
        self._plan = plan
        self._loop = loop
        self._log = log
        self._children: dict[str, Child] = {}
        self._ended: str | None = None
        self._expected = False
        self._stops = 0
        self._is_given_up = False
        self._told: set[str] = set()
        self._assembly = Assembly(plan, loop, log)
        self._verbs: Verbs | None = None

    def run(self, door: int, ready: Callable[[], None]) -> None:
        """
        Serves until a signal asks to stop or a child ends (`ChildEnded`).

        `door` is the listening HTTPS socket and passes over. Nothing is left after.
        """
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: self._asked_to_stop())
        try:
            self._start(door)
            ready()
            while not self._stops:
                self._turn()
            self._drain()
        finally:
            self._stop()

    def _boot(
        self, name: str, settings: Mapping[str, Any], named: Mapping[str, int]
    ) -> None:
        try:
            self._children[name].boot(settings, named)
        except Gone:
            raise ChildEnded(f"{name} ended at its start; it says why above") from None

    def _asked_to_stop(self) -> None:
        self._stops += 1
        self._loop.post(lambda: None)

    def _turn(self, timeout: float | None = None) -> None:
        self._loop.turn(timeout)
        if self._ended is not None and not self._expected:
            raise ChildEnded(f"{self._ended} ended, so the platform stops")
        if self._verbs is not None and self._verbs.gone and not self._expected:
            raise ChildEnded("node ended, so the platform stops")

    def _start(self, door: int) -> None:
        run = self._plan.run
        node_verbs, verbs_node = messages.pair()
        node_keys, keys_node = messages.pair()
        node_egress, egress_node = messages.pair()
        warden_egress, egress_warden = messages.pair()
        roles = self._roles()
        for role in roles:
            self._adopt(
                children.start(role, self._settings.python, self._assembly.house.host)
            )
        certificate = self._start_keyholder(keys_node.detach())
        (run / "ca.pem").write_text(certificate, "ascii")
        self._boot(
            "egress",
            {"platform": PLATFORM},
            {"node": egress_node.detach(), "warden": egress_warden.detach()},
        )
        self._await("egress", "ready")
        egress = Peer(warden_egress)
        self._loop.serve(egress, lambda _: None, lambda _: None, lambda: None)
        self._verbs = self._assembly.serve(Peer(verbs_node), egress, certificate)
        named = {}
        if self._settings.witness is not None:
            named["witness"] = ground.witness(
                self._settings.witness, self._settings.data
            )
        self._boot(
            "node",
            self._node_settings(certificate),
            {
                **named,
                "warden": node_verbs.detach(),
                "keyholder": node_keys.detach(),
                "egress": node_egress.detach(),
                "https": door,
                "operator": ground.local_socket(run / "operator.sock").detach(),
                "metrics": ground.local_socket(run / "metrics.sock").detach(),
            },
        )
        self._await("node", "ready")

    def _roles(self) -> list[Role]:
        data = self._settings.data
        return [
            Role(
                name="keyholder",
                module="casemate_keyholder",
                user=self._people[ground.KEYHOLDER],
                folder=data / "keyholder",
                open_files=KEYHOLDER_FILES,
            ),
            Role(
                name="egress",
                module="casemate.road.egress",
                user=self._people[ground.EGRESS],
                folder=Path("/"),
                open_files=OPEN_FILES,
            ),
            Role(
                name="node",
                module="casemate.app",
                user=self._people[ground.NODE],
                folder=data / "node",
                open_files=OPEN_FILES,
            ),
        ]

    def _start_keyholder(self, node: int) -> str:
        """The public root, which the keyholder makes at first start."""
        named = {"node": node}
        path = self._settings.root_key_file
        if path is not None:
            named["root_key"] = ground.root_key(path)
        settings = {
            "data": str(self._settings.data / "keyholder"),
            "root_key_file": None if path is None else str(path),
            "names": list(self._settings.names),
        }
        self._boot("keyholder", settings, named)
        certificate = self._await("keyholder", "ready").get("ca")
        if not isinstance(certificate, str) or not certificate.isascii():
            raise ChildEnded("keyholder gave no certificate, so the platform stops")
        return certificate

    def _node_settings(self, certificate: str) -> dict[str, Any]:
        return {
            "data": str(self._settings.data / "node"),
            "region": self._settings.region,
            "host": self._settings.listen.host,
            "port": self._settings.listen.port,
            "instance": self._plan.run.name,
            "pool": self._settings.pool,
            "grace": self._settings.grace,
            "cores": len(os.sched_getaffinity(0)),
            "memory_mb": facts.memory_mb(),
            "trees_mb": self._plan.trees_mb,
            "runtimes": [image.runtime for image in self._plan.images],
            "ca": certificate,
            "names": list(self._settings.names),
            "accepted": list(self._settings.accepted),
            "lowered": dict(self._settings.lowered),
            "unsafe": list(self._settings.unsafe),
            "replay": self._settings.replay,
        }

    def _adopt(self, child: Child) -> None:
        self._children[child.name] = child

        def heard(packet: Packet) -> None:
            messages.close_all(packet.descriptors)
            child.heard(packet.body)

        def ended() -> None:
            self._loop.forget(child.pidfd)
            self._ended = self._ended or child.name

        self._loop.serve(child.peer, heard, lambda _: None, lambda: None)
        self._loop.watch(child.pidfd, ended)

    def _await(
        self, name: str, verb: str, timeout: float = START_S
    ) -> Mapping[str, Any]:
        """What a child says with `verb`; it has `timeout` seconds."""
        child = self._children[name]
        end = time.monotonic() + timeout
        while verb not in child.said:
            left = end - time.monotonic()
            if left <= 0:
                raise ChildEnded(f"{name} did not say `{verb}` in {timeout:.0f} s")
            self._turn(left)
        return child.said[verb]

    def _drain(self) -> None:
        """The node finishes what runs; a second signal ends the patience."""
        grace = self._settings.grace
        self._log(f"draining for up to {grace} s")
        node = self._children["node"]
        node.peer.send({"verb": "drain", "grace": grace})
        end = time.monotonic() + grace + STOP_S
        while "drained" not in node.said:
            if self._stops > 1:
                end = min(end, time.monotonic() + STOP_S)
                self._stops = 1
            if time.monotonic() > end:
                self._log("the node did not drain in time, and is ended")
                self._is_given_up = True
                return
            self._turn(1.0)

    def _stop(self) -> None:
        """Node first, then cells, then those that cells and node depend on."""
        self._expected = True
        node = self._children.get("node")
        if node is not None and self._is_given_up:
            # It is held until nobody is left whose end it could take for a failure,
            # or who could take its own for one.
            signal.pidfd_send_signal(node.pidfd, signal.SIGSTOP)
            self._end_cells()
            for name in ("egress", "keyholder"):
                self._end(name)
            signal.pidfd_send_signal(node.pidfd, signal.SIGKILL)
            self._end("node")
        else:
            self._end_in_order(node)
        self._assembly.dismantle()

    def _end_in_order(self, node: Child | None) -> None:
        if node is not None and "drained" in node.said:
            # It needs nobody any more; told later, they would hear of its end
            # first and take it for a failure.
            for name in ("egress", "keyholder"):
                self._tell(name)
        self._end("node")
        self._end_cells()
        for name in ("egress", "keyholder"):
            self._end(name)

    def _end_cells(self) -> None:
        if self._verbs is not None and not self._verbs.shut():
            self._log("a cell did not end; the next start ends it")

    def _tell(self, name: str) -> Child | None:
        """Tells a child to stop, once."""
        child = self._children.get(name)
        if child is None or name in self._told:
            return child
        self._told.add(name)
        try:
            child.peer.send({"verb": "stop"})
        except Gone:
            if not self._is_given_up:
                self._log(f"{name} is gone already")
        return child

    def _end(self, name: str) -> None:
        """Tells a child to stop, and kills it if it does not."""
        child = self._tell(name)
        if child is None:
            return
        end = time.monotonic() + STOP_S
        while not _has_ended(child) and time.monotonic() < end:
            self._loop.turn(0.02)
        signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
        os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED)


def _has_ended(child: Child) -> bool:
    """Whether it waits to be collected; it is not collected here."""
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PIDFD, child.pidfd, flags) is not None
