"""Laws of residue policies as functions have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from casemate.core.arn import Arn
from casemate.core.errors import NotFound
from casemate.core.function import Residue
from unit.services.calls import ACCOUNT, REGION
from unit.services.lambda_.test_functions import run
from unit.services.lambda_world import World

ARN = Arn.parse(f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f")


async def ran(w: World, **more: object) -> Residue:
    """Under which policy an event runs now."""
    await w.call("Invoke", FunctionName="f", **more)
    return w.cells.ran[-1].function.residue


def test_a_policy_reaches_every_version_at_once(tmp_path: Path) -> None:
    """The very next event of `$LATEST` and of a version runs under it."""

    async def law(w: World) -> None:
        await w.made()
        await w.call("PublishVersion", FunctionName="f")
        await w.settled()
        assert Residue.KEEP == await ran(w) == await ran(w, Qualifier="1")
        for residue in (Residue.FRESH, Residue.WIPE, Residue.KEEP):
            await w.service.residues.put(ARN, residue)
            assert residue == w.service.residues.get(ARN)
            assert residue == await ran(w) == await ran(w, Qualifier="1")
        await w.service.residues.put(ARN, Residue.FRESH)
        for _ in range(2):
            await w.service.residues.delete(ARN)
            assert Residue.KEEP == w.service.residues.get(ARN) == await ran(w)

    run(tmp_path, law)


def test_cells_of_an_older_policy_are_let_go(tmp_path: Path) -> None:
    """Those of all versions, each time a policy is put or taken back."""

    async def law(w: World) -> None:
        await w.made()
        w.cells.retired.clear()
        await w.service.residues.put(ARN, Residue.WIPE)
        await w.service.residues.delete(ARN)
        assert [(str(ARN), None, None)] * 2 == w.cells.retired

    run(tmp_path, law)


def test_a_policy_goes_with_its_function(tmp_path: Path) -> None:
    """A function that is made anew under the name keeps nothing of it."""

    async def law(w: World) -> None:
        await w.made()
        await w.service.residues.put(ARN, Residue.FRESH)
        await w.call("DeleteFunction", FunctionName="f")
        await w.settled()
        with pytest.raises(NotFound):
            w.service.residues.get(ARN)
        await w.made()
        assert Residue.KEEP == w.service.residues.get(ARN) == await ran(w)

    run(tmp_path, law)


def test_an_update_keeps_the_policy(tmp_path: Path) -> None:
    """It is no part of the configuration."""

    async def law(w: World) -> None:
        await w.made()
        await w.service.residues.put(ARN, Residue.WIPE)
        await w.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
        await w.settled()
        assert Residue.WIPE == await ran(w)

    run(tmp_path, law)


@pytest.mark.parametrize(
    "resource", ["function:g", "function:f:1", "function:f:$LATEST", "layer:f"]
)
def test_only_a_whole_function_has_a_policy(tmp_path: Path, resource: str) -> None:
    """Nothing is written under a name that is none."""
    arn = Arn(service="lambda", region=REGION, account=ACCOUNT, resource=resource)

    async def law(w: World) -> None:
        await w.made()
        residues = w.service.residues
        with pytest.raises(NotFound):
            residues.get(arn)
        with pytest.raises(NotFound):
            await residues.put(arn, Residue.FRESH)
        with pytest.raises(NotFound):
            await residues.delete(arn)
        assert Residue.KEEP == await ran(w)

    run(tmp_path, law)
