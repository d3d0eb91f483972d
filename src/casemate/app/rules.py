"""The models' rules, by operation, for the validate room."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import final

from casemate.core.operation import Operation, Parameters
from casemate.wire import Codec, Fault


class UnknownMemberError(RuntimeError):
    """An operation says that it enforces a member that its model has not."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRules:
    """The codecs, by service."""

    codecs: Mapping[str, Codec]

    def check(self, operation: Operation, parameters: Parameters) -> tuple[Fault, ...]:
        """Hold parameters to the constraints of the model."""
        faults = self.codecs[operation.service].check(operation.name, parameters)
        if not operation.loose:
            return faults
        return tuple(f for f in faults if not _is_loose(operation, f.path))

    def given(
        self, operation: Operation, parameters: Parameters
    ) -> Iterable[tuple[str, object]]:
        """Give the dotted path and the value of each member that was sent."""
        return self.codecs[operation.service].paths(operation.name, parameters)

    def prove(self, operations: Iterable[Operation]) -> None:
        """
        Hold the declarations themselves to the models, at the start.

        Raises UnknownMemberError: a slip of the pen in `accepts` would refuse
        what is enforced, or leave a member out of sight.
        """
        for operation in operations:
            codec = self.codecs[operation.service]
            for path in (*operation.accepts, *operation.only, *operation.loose):
                if not codec.has_input(operation.name, path):
                    raise UnknownMemberError(
                        f"{operation.service}.{operation.name} has no `{path}`"
                    )


def _is_loose(operation: Operation, path: str) -> bool:
    """Tell whether a fault's path, as AWS writes it, lies in a loose member."""
    words = [w for w in path.lower().split(".") if w != "member" and not w.isdigit()]
    return any(
        words[: len(names)] == names
        for names in (member.lower().split(".") for member in operation.loose)
    )
