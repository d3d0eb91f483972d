"""
The keyholder's process: `python -I -m casemate_keyholder`, boot socket at 3.

It takes its settings and the node's socket from the boot message, opens or
makes its keys in the current folder, says `ready`, and answers the node until
it is told to stop or either socket ends.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

from casemate_keyholder import root as root_key
from casemate_keyholder.access import Access
from casemate_keyholder.authority import CertificateAuthority
from casemate_keyholder.channel import (
    ClosedError,
    Message,
    parse,
    receive,
    receive_with_descriptors,
    send,
)
from casemate_keyholder.checkpoint import Checkpoints
from casemate_keyholder.clock import COARSE, Clock, HighWater, SystemClock
from casemate_keyholder.datakeys import DataKeys
from casemate_keyholder.files import Folder
from casemate_keyholder.harden import harden
from casemate_keyholder.journal import Journal
from casemate_keyholder.refusal import RefusedError, StartRefusedError
from casemate_keyholder.vault import Vault
from casemate_keyholder.verbs import Verbs, error

_BOOT = 3
_SETTINGS = frozenset({"data", "root_key_file", "names"})


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """
    What the keyholder is started with.

    root_key: descriptor of the operator's root key, if there is one.
    names: hosts and addresses of the edge besides localhost.
    """

    node: socket.socket
    root_key: int | None
    names: Sequence[str]

    @classmethod
    def take(cls, sock: socket.socket) -> Self:
        """Read the boot message.  Raises StartRefusedError for what is not known."""
        message, descriptors = receive_with_descriptors(sock)
        settings, labels = message.get("settings"), message.get("fds")
        if message.get("verb") != "boot" or not isinstance(settings, dict):
            raise StartRefusedError("the first message is not `boot` with settings")
        if not settings.keys() <= _SETTINGS:
            unknown = ", ".join(sorted(settings.keys() - _SETTINGS))
            raise StartRefusedError(f"unknown settings: `{unknown}`")
        if labels not in (["node"], ["node", "root_key"]):
            raise StartRefusedError("the descriptors must be `node`, then `root_key`")
        if len(descriptors) != len(labels):
            raise StartRefusedError("a descriptor of the boot message is missing")
        if bool(settings.get("root_key_file")) != (len(labels) > 1):
            raise StartRefusedError(
                "`root_key_file` is set if and only if `root_key` is handed over"
            )
        names = settings.get("names", [])
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise StartRefusedError("`names` must be a list of names")
        return cls(
            node=socket.socket(fileno=descriptors[0]),
            root_key=descriptors[1] if len(labels) > 1 else None,
            names=names,
        )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Keyholder:
    """Everything behind the verbs."""

    verbs: Verbs
    high_water: HighWater
    clock: Clock
    ca: str

    @classmethod
    def open(
        cls,
        folder: Folder,
        root_key_file: int | None,
        names: Sequence[str],
        clock: Clock,
    ) -> Self:
        """Open the folder's keys, or make them.  Raises StartRefusedError, OSError."""
        root = root_key.load(folder, root_key_file)
        vault = Vault.under(root, folder)
        high_water = HighWater(clock, vault)
        authority = CertificateAuthority(vault, clock, names)
        verbs = Verbs(
            access=Access.under(root, clock, high_water),
            data_keys=DataKeys.under(root),
            authority=authority,
            checkpoints=Checkpoints(vault),
            journal=Journal(folder, clock),
            clock=clock,
        )
        root_key.finish_first_start(folder, root)
        return cls(
            verbs=verbs, high_water=high_water, clock=clock, ca=authority.root_pem
        )

    def tick(self) -> None:
        """Keep what has to be kept now and then; a full disk is told, not fatal."""
        try:
            self.high_water.tick()
            self.verbs.tick()
        except (OSError, RefusedError) as failed:
            say(f"cannot keep its records: {type(failed).__name__}")

    def serve(self, boot: socket.socket, node: socket.socket) -> None:
        """Answer the node until told to stop, or until either socket ends."""
        node.setblocking(False)
        with selectors.DefaultSelector() as selector:
            selector.register(boot, selectors.EVENT_READ)
            selector.register(node, selectors.EVENT_READ)
            due = self.clock.monotonic() + COARSE
            while True:
                ready = {key.fileobj for key, _ in selector.select(COARSE)}
                if boot in ready and _told_to_stop(boot):
                    return
                if node in ready:
                    self._answer(node)
                if self.clock.monotonic() >= due:
                    self.tick()
                    due += COARSE

    def _answer(self, node: socket.socket) -> None:
        try:
            answer = self.verbs.answer(receive(node))
        except BlockingIOError:
            return
        except RefusedError as refused:
            answer = error(None, refused.code, refused.reason)
        send(node, answer)


def _told_to_stop(boot: socket.socket) -> bool:
    message: Message = parse(receive(boot))
    return message.get("verb") == "stop"


def say(line: str) -> None:
    """Tell the operator one thing."""
    sys.stderr.write(f"casemate keyholder: {line}\n")


def main() -> int:
    """Start, serve, stop.  Gives the exit code."""
    facts: dict[str, object] = {**harden()}
    boot = socket.socket(fileno=_BOOT)
    try:
        given = Boot.take(boot)
        folder = Folder.open(".")
        keyholder = Keyholder.open(folder, given.root_key, given.names, SystemClock())
        facts["clock_behind_seconds"] = round(keyholder.high_water.behind(), 3)
        send(boot, {"verb": "ready", "ca": keyholder.ca, "facts": facts})
    except (StartRefusedError, RefusedError) as refused:
        say(str(refused))
        return 1
    except ClosedError:
        return 1
    except OSError as failed:
        say(f"cannot open its folder: {os.strerror(failed.errno or 0)}")
        return 1
    try:
        keyholder.serve(boot, given.node)
    except (ClosedError, RefusedError):
        say("the warden or the node has ended, so the keyholder ends")
    finally:
        keyholder.tick()
    return 0


if __name__ == "__main__":
    sys.exit(main())
