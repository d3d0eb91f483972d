"""Which operations there are, and which a test has spoken."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from casemate.app.declared import declared_operations


@cache
def implemented() -> frozenset[tuple[str, str]]:
    """Service and name of every operation that the platform has."""

    async def names() -> frozenset[tuple[str, str]]:
        async with declared_operations() as operations:
            return frozenset((o.service, o.name) for o in operations)

    return asyncio.run(names())


@contextmanager
def every_operation(service: str, *clients: Any) -> Iterator[None]:
    """Hold a test to it: it gets an answer to every operation of a service."""
    answered: set[str] = set()

    def after_call(model: Any, parsed: Any, **_: Any) -> None:
        if parsed["ResponseMetadata"]["HTTPStatusCode"] < 300:
            answered.add(model.name)

    for client in clients:
        client.meta.events.register("after-call", after_call)
    try:
        yield
    finally:
        for client in clients:
            client.meta.events.unregister("after-call", after_call)
    wanted = {name for of, name in implemented() if of == service}
    assert wanted - answered == set()
