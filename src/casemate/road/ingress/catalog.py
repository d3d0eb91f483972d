"""
Every operation that the platform has, found by what a request says of itself.

The service is the one in the SigV4 scope, as AWS's clients send it; the
operation is found by the codec of that service's protocol.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import final

from casemate.core.operation import Operation
from casemate.wire import Codec


class UnknownOperationError(RuntimeError):
    """A service declares an operation that its model has not."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service: its codec, and those operations of the model that are there."""

    codec: Codec
    operations: Mapping[str, Operation]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The services by signing name."""

    services: Mapping[str, Service]

    @classmethod
    def compose(
        cls, codecs: Iterable[Codec], operations: Iterable[Operation]
    ) -> Catalog:
        """
        Join codecs and operations.

        Raises UnknownOperationError for an operation that no codec knows, so
        that a slip of the pen does not start.
        """
        by_service: dict[str, dict[str, Operation]] = {}
        for operation in operations:
            by_service.setdefault(operation.service, {})[operation.name] = operation
        services = {}
        for codec in codecs:
            declared = by_service.pop(codec.service, {})
            if strays := declared.keys() - codec.operations:
                raise UnknownOperationError(f"{codec.service} has no {sorted(strays)}")
            services[codec.signing_name] = Service(codec=codec, operations=declared)
        if by_service:
            raise UnknownOperationError(f"no codec for {sorted(by_service)}")
        return cls(services=services)

    def all(self) -> list[Operation]:
        """List every operation, in order of service and name."""
        found = [o for s in self.services.values() for o in s.operations.values()]
        return sorted(found, key=lambda o: (o.service, o.name))
