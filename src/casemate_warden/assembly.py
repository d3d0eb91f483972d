"""
Puts the parts that serve cells together: house, images, ranges, trees, verbs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from casemate_warden import cgroups, facts, kernel, ranges, sweep
from casemate_warden.cells import Cells
from casemate_warden.house import House
from casemate_warden.images import Image
from casemate_warden.loop import Loop
from casemate_warden.messages import Gone, Peer
from casemate_warden.opening import Site
from casemate_warden.trees import Trees
from casemate_warden.verbs import Verbs

CELLS_PERCENT: Final = 80  # of the host's memory, for all cells and trees
_CHILD_SUBREAPER: Final = 36  # prctl(2)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the operator and the host decide about cells."""

    run: Path  # the platform's run folder; every user can pass through it
    parent: str  # name of its control group
    runtime: str  # the OCI runtime's path
    images: Sequence[Image]
    trees_mb: int  # the most that unpacked code may take


class Assembly:
    """A house that was swept and furnished; `serve` opens it to one node."""

    def __init__(self, plan: Plan, loop: Loop, log: Callable[[str], None]) -> None:
        """
        Moves this process into its own mount namespace: call it before any thread.

        What a killed predecessor left under the same names is taken away first.
        """
        self._plan = plan
        self._loop = loop
        self._log = log
        # The first process of each cell becomes a child of this one, so that its
        # end can be waited for and its pid cannot be reused before that.
        kernel.prctl(_CHILD_SUBREAPER, 1)
        left = sweep.erase_all(plan.parent)
        if left:
            log(f"ended {left} cells that a killed predecessor left")
        sweep.empty_run_folder(plan.run)
        self.house = House(plan.run)
        for image in plan.images:
            self.house.add_image(image)
        self._lease = ranges.Lease(plan.run.parent)
        self._ranges = ranges.Ranges(self._lease.section)
        cgroups.bound(plan.parent, facts.memory_mb() * CELLS_PERCENT // 100)

    def serve(self, node: Peer, egress: Peer, certificate: str) -> Verbs:
        """Answers the node's verbs from now on, and tells egress of each cell."""
        self.house.trust(certificate)
        site = Site(
            house=self.house,
            runtime=self._plan.runtime,
            parent=self._plan.parent,
            workers_pid=os.getpid(),
        )
        folder = self._plan.run / "house" / "trees"
        trees = Trees(
            self.house.trees,
            folder,
            self._plan.trees_mb,
            places=self.house.stacks,
        )

        def announce(body: Mapping[str, Any], named: Mapping[str, int]) -> None:
            fds = {"fds": list(named)} if named else {}
            try:
                egress.send({**body, **fds}, [*named.values()])
            except Gone:
                self._log("egress is gone")

        cells = Cells(
            site=site,
            images={image.runtime: image for image in self._plan.images},
            ranges=self._ranges,
            trees=trees,
            announce=announce,
        )
        return Verbs(node=node, cells=cells, loop=self._loop, log=self._log)

    def dismantle(self) -> None:
        """After the last cell: the platform's control groups and run folder go."""
        sweep.erase_all(self._plan.parent)
        self.house.dismantle()
        sweep.remove_run_folder(self._plan.run)
        self._lease.release()
