"""
Residue policies: what one event of a function may leave in a cell for the next.

The operations on them are the platform's own, not Lambda's; they reach a
function here, by its unqualified ARN.  A policy speaks of every version.
"""

from __future__ import annotations

from dataclasses import dataclass

from casemate.core.arn import Arn
from casemate.core.function import Residue
from casemate.services.lambda_.changes import Edit
from casemate.services.lambda_.model import Function, Residual
from casemate.services.lambda_.names import FunctionRef, refer_arn
from casemate.services.lambda_.ports import Run
from casemate.services.lambda_.refusals import not_found
from casemate.services.lambda_.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Residues:
    """Keeps the policies, and ends the cells that an older one was kept for."""

    store: Store
    run: Run

    def get(self, arn: Arn) -> Residue:
        """Give a function's policy; without one it is KEEP.  Raises NotFound."""
        ref = _whole(arn)
        if self.store.read(ref) is None:
            raise not_found(ref.arn)
        found = self.store.residual(ref)
        return found.residue if found else Residue.KEEP

    async def put(self, arn: Arn, residue: Residue) -> None:
        """Set a function's policy.  Raises NotFound, Conflict, Unavailable."""
        ref = _whole(arn)
        made = Residual(
            account=ref.account, region=ref.region, name=ref.name, residue=residue
        )
        await self.store.change(ref, lambda now: Edit(function=now, written=(made,)))
        await self.run.retire(ref.arn)

    async def delete(self, arn: Arn) -> None:
        """Take a policy back; none is no error.  Raises as `put` does."""
        ref = _whole(arn)

        def edit(now: Function) -> Edit:
            there = self.store.residual(ref)
            return Edit(function=now, removed=(there,) if there else ())

        await self.store.change(ref, edit)
        await self.run.retire(ref.arn)


def _whole(arn: Arn) -> FunctionRef:
    ref = refer_arn(arn)
    if ref is None or ref.qualifier:
        raise not_found(str(arn))
    return ref
