"""
The node's life: start in order, serve, drain in order.

    keyholder -> keys -> store -> house -> first account -> sandbox -> doors

and back the other way: the doors close first, calls under way end, cells are
destroyed, the ledger signs its last checkpoint, the store closes.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, final

import casemate
from casemate.app.boot import Boot, Orders
from casemate.app.cells import CellDoor
from casemate.app.certificates import Certificate
from casemate.app.compose import MODELS, House, compose, open_site
from casemate.app.events import LOWERED, SESSION, STARTED, WITNESS, WITNESSED, Event
from casemate.app.gauges import gauges
from casemate.app.neighbours import AccountIds
from casemate.app.operator import OperatorDoor
from casemate.app.scrape import Scrape
from casemate.app.witness import Told
from casemate.core.clock import SystemClock
from casemate.road.ingress.connection import FrontLimits
from casemate.road.ingress.front import Front
from casemate.road.ingress.room import Ingress
from casemate.road.ingress.tls import load_leaf, server_context
from casemate.road.sandbox.warden import Warden
from casemate.seal.keyholder import Keyholder
from casemate.substrate.ports import SubstrateError

CELL_NAME: Final = "api.casemate.internal"
_COLLECT_AFTER: Final = (5_000, 20, 20)
"""What the collector waits for: new objects, then young and middle collections."""
_MINUTE: Final = 60.0
_NODE: Final = "node.casemate.internal"
_LOCAL: Final = ("localhost", "127.0.0.1", "::1")


@final
class Node:
    """One node, from boot to stop."""

    def __init__(self, boot: Boot) -> None:
        self._settings = boot.settings
        self._line = boot.line
        self._sockets = boot.sockets
        self._witness = boot.witness
        self._clock = SystemClock()
        # Rooms close their lines when they end; a line that ends would tell the
        # others that the node is dead, and it still has to say that it drained.
        self._anchors = [sock.dup() for sock in boot.sockets.values()]
        self._is_ready = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Live, until the warden says stop or is gone."""
        orders = Orders(self._line)
        async with AsyncExitStack() as stack:
            house = await self._house(stack)
            if house.replays is not None:
                # What is signed before then would be refused: nobody is let in yet.
                await asyncio.sleep(house.replays.opens_in(self._clock.now()))
            front, ingress = await self._open_doors(house, stack)
            await self._tell_start(house)
            _settle_memory()
            self._is_ready = True
            orders.say({"verb": "ready"})
            order = await self._serve(orders)
            self._is_ready = False
            house.driver.shut()
            # One grace for all three: the warden waits for no second one.
            end = self._clock.monotonic() + self._grace(order)
            await house.queues.rest()
            await front.drain(self._until(end))
            await ingress.settle(self._until(end))
            await house.driver.drain(self._until(end))
            await house.sandbox.drain(self._until(end))
        if order.get("verb") == "drain":
            orders.say({"verb": "drained"})
            await self._until_stop(orders)
        for anchor in self._anchors:
            anchor.close()

    @staticmethod
    async def _serve(orders: Orders) -> Mapping[str, object]:
        """Wait for the order that ends the service: `drain`, or `stop` at once."""
        while True:
            order = await orders.next()
            if order.get("verb") in ("drain", "stop"):
                return order

    def _grace(self, order: Mapping[str, object]) -> float:
        """Give the seconds that calls under way have."""
        if order.get("verb") == "stop":
            return 0.0
        grace = order.get("grace")
        return float(grace) if isinstance(grace, int | float) else self._settings.grace

    def _until(self, end: float) -> float:
        return max(0.0, end - self._clock.monotonic())

    @staticmethod
    async def _until_stop(orders: Orders) -> None:
        while (await orders.next()).get("verb") != "stop":
            pass

    async def _house(self, stack: AsyncExitStack) -> House:
        keyholder = Keyholder(self._sockets["keyholder"])
        stack.callback(keyholder.close)
        warden = Warden(self._sockets["warden"])
        site = await open_site(
            self._settings, self._clock, keyholder, warden, self._witness
        )
        stack.push_async_callback(site.store.close)
        house = compose(site)
        if house.witness is not None:
            house.witness.start(self._witness_told(house))
            stack.push_async_callback(house.witness.close)
        house.ledger.start()
        stack.push_async_callback(house.ledger.close)
        await house.accounts.ensure_first()
        stack.push_async_callback(house.logs.intake.idle)
        await house.sandbox.start()
        stack.push_async_callback(house.sandbox.close)
        house.functions.resume()
        stack.push_async_callback(house.functions.close)
        stack.push_async_callback(house.driver.drain, 0.0)
        await house.driver.start(AccountIds(accounts=house.accounts).all())
        stack.push_async_callback(self._end_tasks)
        self._begin(self._look_after(house))
        return house

    async def _open_doors(
        self, house: House, stack: AsyncExitStack
    ) -> tuple[Front, Ingress]:
        ingress = Ingress(
            catalog=house.catalog,
            travel=house.road,
            clock=self._clock,
            randomness=os.urandom,
            stranger=lambda _, refusal: house.metrics.stranger(type(refusal).__name__),
            hops_of=house.sandbox.hops_of,
        )
        front = Front(
            ingress,
            FrontLimits(),
            ingress.body_limit,
            self._clock,
            # The reason may hold what a stranger sent, so it is no label.
            lambda _peer, _reason: house.metrics.stranger("Front"),
            house.authn.is_familiar,
            ingress.ends_with_caller,
        )
        house.metrics.gauges.append(gauges(house, front))
        edge = await self._certificate(house, "edge", self._edge_names())
        inner = await self._certificate(house, "cell", [CELL_NAME])
        front.serve(self._sockets["https"], edge)
        await self._open_cell_door(house, front, inner, stack)
        await self._open_local_doors(house, stack)
        return front, ingress

    async def _open_cell_door(
        self,
        house: House,
        front: Front,
        context: ssl.SSLContext,
        stack: AsyncExitStack,
    ) -> None:
        def adopt(sock: socket.socket, cell: str) -> None:
            function = house.sandbox.cell_function(cell)
            if function is None:  # gone, or it serves nobody: a workshop has no calls
                sock.close()
                return
            front.adopt(sock, context, cell=cell, account=function.account)

        def refused(cell: str, destination: str, reason: str, untold: int) -> None:
            house.metrics.stranger("Egress")
            house.refusals.tell(cell, destination, reason, untold)

        door = CellDoor(self._sockets["egress"], adopt=adopt, refused=refused)
        stack.callback(door.close)

    async def _open_local_doors(self, house: House, stack: AsyncExitStack) -> None:
        operator = OperatorDoor(self._sockets["operator"], self._session_in(house))
        scrape = Scrape(
            self._sockets["metrics"],
            metrics=house.metrics.text,
            is_ready=lambda: self._is_ready,
        )
        for door in (operator, scrape):
            await door.start()
            stack.push_async_callback(door.close)

    async def _certificate(
        self, house: House, authority: str, names: list[str]
    ) -> ssl.SSLContext:
        certificate = Certificate(
            house.keyholder,
            authority=authority,
            names=names,
            make=server_context,
            load=load_leaf,
            clock=self._clock,
        )
        context = await certificate.issue()
        self._begin(certificate.keep(context))
        return context

    def _edge_names(self) -> list[str]:
        return [*_LOCAL, *(n for n in self._settings.names if n not in _LOCAL)]

    async def _tell_start(self, house: House) -> None:
        """Put the start on record, and with it what was loosened by name."""
        settings = self._settings
        for check, found in settings.lowered.items():
            await house.events.write(
                Event(
                    name=LOWERED,
                    account=house.accounts.operator(),
                    by=_NODE,
                    source="operator",
                    details={"check": check, "found": found},
                )
            )
        await house.events.write(
            Event(
                name=STARTED,
                account=house.accounts.operator(),
                by=_NODE,
                source=_NODE,
                details={
                    "version": casemate.__version__,
                    "accepted": settings.accepted,
                    "unsafe": settings.unsafe,
                    "replay": settings.replay,
                    "runtimes": settings.runtimes,
                },
            )
        )

    @staticmethod
    def _witness_told(house: House) -> Told:
        def told(failing: str) -> None:
            house.events.write_soon(
                Event(
                    name=WITNESS if failing else WITNESSED,
                    account=house.accounts.operator(),
                    by=_NODE,
                    source=_NODE,
                    details={"why": failing} if failing else {},
                )
            )

        return told

    def _session_in(self, house: House) -> Any:
        settings = self._settings

        async def session(account: str | None) -> Mapping[str, object]:
            made = await house.operators.operator_session(account)
            # Break-glass is on the record of the account before it can be used.
            await house.events.write(
                Event(
                    name=SESSION,
                    account=account or house.accounts.operator(),
                    by=_NODE,
                    source="operator",
                    details={
                        "accessKeyId": made.access_key_id,
                        "expiresAt": made.expires_at,
                    },
                )
            )
            return {
                "AWS_ENDPOINT_URL": settings.endpoint,
                "AWS_CA_BUNDLE": str(
                    Path("/run/casemate") / settings.instance / "ca.pem"
                ),
                "AWS_ACCESS_KEY_ID": made.access_key_id,
                "AWS_SECRET_ACCESS_KEY": made.secret,
                "AWS_SESSION_TOKEN": made.token,
                "AWS_DEFAULT_REGION": settings.region,
                "AWS_DATA_PATH": str(MODELS),
            }

        return session

    async def _look_after(self, house: House) -> None:
        """Once a minute: forget what has had its time."""
        while True:
            await asyncio.sleep(_MINUTE)
            try:
                await house.logs.expire(self._clock.now())
                await house.queues.expire(self._clock.now())
                await house.store.sweep()
            except SubstrateError:
                # What is due stays due; a task that ended here would keep for
                # ever what was promised to be forgotten.
                continue

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end_tasks(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _settle_memory() -> None:
    """
    Take all that was made at the start out of the collector's sight.

    The models and the compiled codecs are half a million objects that stay; going
    through them held up every call for 30 to 130 ms, once a second under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
