"""
What is kept of functions, under which keys, and what a change of it writes.

    account  table             key                        value
    tenant   lambda.functions  REGION/NAME                Function
    tenant   lambda.versions   REGION/NAME/NUMBER         Version
    tenant   lambda.aliases    REGION/NAME/ALIAS          Alias
    tenant   lambda.reserved   REGION/NAME                Reserved
    tenant   lambda.residue    REGION/NAME                Residual
    tenant   lambda.packages   SHA256/REGION/NAME         bytes of the package
    tenant   lambda.packages   SHA256/REGION/NAME/NUMBER  bytes of the package
    tenant   lambda.packages   SHA256/REGION/NAME/NUMBER/layer  bytes
    tenant   lambda.events     REGION/NAME/QUALIFIER      EventConfig
    SHARED   lambda.work       ACCOUNT/REGION/NAME/SHA256/TASK {}

A function is one record, so its code, policy and tags go and change as one.
Its versions, aliases, reserved concurrency and residue policy are records of
their own, and every change of one of them writes the function's record in the
same commit, whatever is in it: so the function's revision guards them all, and
who watches functions hears of all.

`lambda.packages` says which functions and versions hold on to which package; it
changes in the same commit as they do.  `lambda.work` is written before the first
step of anything that takes several (store a package, then the function; finish
an update; let go of a package) and removed after the last: what a crash left in
between is found there at the next start.

No part of a key can contain the `/` that separates it.  NUMBER has ten digits,
so that the order of keys is that of numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, final

import msgspec

from casemate.services.lambda_.model import (
    Alias,
    Build,
    Function,
    Reserved,
    Residual,
    Version,
)
from casemate.services.lambda_.names import LATEST, FunctionRef
from casemate.substrate.ports import SHARED, Change, Delete, Put

FUNCTIONS: Final = "lambda.functions"
VERSIONS: Final = "lambda.versions"
ALIASES: Final = "lambda.aliases"
RESERVED: Final = "lambda.reserved"
RESIDUE: Final = "lambda.residue"
PACKAGES: Final = "lambda.packages"
EVENTS: Final = "lambda.events"
WORK: Final = "lambda.work"

encode: Final = msgspec.json.Encoder().encode


class Task(StrEnum):
    """What has been begun."""

    SETTLE = "settle"
    RELEASE = "release"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Something begun: a task, a function, and the package that it is about."""

    task: Task
    ref: FunctionRef
    sha256: str

    @property
    def key(self) -> str:
        """Give the key of its record."""
        ref = self.ref
        return f"{ref.account}/{ref.region}/{ref.name}/{self.sha256}/{self.task}"


def settling(ref: FunctionRef, sha256: str) -> Work:
    """Name the work of bringing a creation or an update to its end."""
    return Work(task=Task.SETTLE, ref=ref, sha256=sha256)


def releasing(ref: FunctionRef, sha256: str) -> Work:
    """Name the work of letting go of a package."""
    return Work(task=Task.RELEASE, ref=ref, sha256=sha256)


def function_key(ref: FunctionRef) -> str:
    """Give the key of a function's record within its account."""
    return f"{ref.region}/{ref.name}"


def version_key(ref: FunctionRef, number: str) -> str:
    """Give the key of a version's record within its account."""
    return f"{function_key(ref)}/{number:0>10}"


Part = Version | Alias | Reserved | Residual


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What is to be: the function, and the parts of it that are written or go."""

    function: Function
    written: tuple[Part, ...] = ()
    removed: tuple[Part, ...] = ()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What was done.  freed: the letting go of packages that is to be started."""

    before: Function
    after: Function
    written: tuple[Part, ...] = ()
    freed: tuple[Work, ...] = ()


def freed_by(before: Function, made: Edit) -> tuple[Work, ...]:
    """Say which packages may be held by nobody any more."""
    gone = before.packages - made.function.packages
    for part in made.removed:
        if isinstance(part, Version):
            gone |= part.build.packages
    return tuple(releasing(before.ref, sha) for sha in sorted(gone))


def package_changes(before: Function | None, after: Function | None) -> list[Change]:
    """Change which packages are held, from one state of a function to the next."""
    one = before or after
    if one is None:
        return []
    old, new = _held(before), _held(after)
    return [
        *(
            Delete(account=one.account, table=PACKAGES, key=key)
            for key in sorted(old.keys() - new.keys())
        ),
        *(
            Put(account=one.account, table=PACKAGES, key=key, value=encode(new[key]))
            for key in sorted(new.keys() - old.keys())
        ),
    ]


def _held(function: Function | None) -> dict[str, int]:
    """Give a function's holds on packages, and for how many bytes each counts."""
    if function is None:
        return {}
    where = function_key(function.ref)
    held: dict[str, int] = {}
    for build in (function.serving, function.wanted):
        if build is not None:
            held |= _holds(build, where, f"{where}/{LATEST}")
    return held


def _holds(build: Build, where: str, below: str) -> dict[str, int]:
    """
    Give the holds of a build.

    How a layer counts that its version counts already is `usage`'s to say.
    """
    layers = {
        f"{layer.sha256}/{below}/layer": layer.size
        for layer in build.configuration.layers
    }
    return {**layers, f"{build.sha256}/{where}": build.size}


def part_changes(written: Sequence[Part], removed: Sequence[Part]) -> list[Change]:
    """Write and remove parts of a function, and what versions hold."""
    changes: list[Change] = []
    for part in written:
        table, key = _place(part)
        value = encode(part)
        changes.append(Put(account=part.account, table=table, key=key, value=value))
        changes.extend(
            Put(account=part.account, table=PACKAGES, key=held, value=encode(size))
            for held, size in _part_holds(part, key).items()
        )
    for part in removed:
        table, key = _place(part)
        changes.append(Delete(account=part.account, table=table, key=key))
        if not isinstance(part, Reserved):
            # How events under this qualifier are treated goes with it.
            events = f"{function_key(part.ref)}/{part.ref.qualifier}"
            changes.append(Delete(account=part.account, table=EVENTS, key=events))
        changes.extend(
            Delete(account=part.account, table=PACKAGES, key=held)
            for held in _part_holds(part, key)
        )
    return changes


def _part_holds(part: Part, key: str) -> dict[str, int]:
    return _holds(part.build, key, key) if isinstance(part, Version) else {}


def _place(part: Part) -> tuple[str, str]:
    """Give a part's table and its key there."""
    if isinstance(part, Version):
        return VERSIONS, version_key(part.ref, part.number)
    if isinstance(part, Reserved):
        return RESERVED, function_key(part.ref)
    if isinstance(part, Residual):
        return RESIDUE, function_key(part.ref)
    return ALIASES, f"{function_key(part.ref)}/{part.alias}"


def work_changes(begun: Sequence[Work], ended: Sequence[Work]) -> list[Change]:
    """Note work that begins, and strike out what has ended."""
    return [
        *(Put(account=SHARED, table=WORK, key=w.key, value=b"{}") for w in begun),
        *(Delete(account=SHARED, table=WORK, key=w.key) for w in ended),
    ]


def read_work(key: str) -> Work:
    """Read work back from the key of its record."""
    account, region, name, sha256, task = key.split("/")
    return Work(
        task=Task(task),
        ref=FunctionRef(account=account, region=region, name=name),
        sha256=sha256,
    )
