"""
Which version comes of publishing a function: pure, so that it can be tried again.

A version is what `$LATEST` was at that moment, code and configuration, and
nothing changes it.  Publishing what was published last gives that version
again: the description alone makes no version.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_PublishVersion.html
"""

from __future__ import annotations

from dataclasses import replace

from casemate.services.lambda_ import state
from casemate.services.lambda_.model import Build, Function, Version
from casemate.services.lambda_.state import Life


def first(function: Function, revision: str) -> Version:
    """Make the first version of a function that is being created."""
    return _version(function, 1, revision, life=state.created())


def following(
    function: Function,
    last: Version | None,
    revision: str,
    *,
    description: str | None = None,
) -> Version:
    """
    Make the version of what is wanted of a function, or give the last one again.

    last: the version that was published last, if it is still there.  revision:
    a new UUID.  A version of what is still being settled is Pending.
    """
    if last is not None and _same(last.build, function.wanted):
        return last
    life = function.life
    if life.busy:
        life = state.created()
    number = function.published + 1
    return _version(function, number, revision, life=life, description=description)


def counted(function: Function, version: Version) -> Function:
    """Note on a function that a version was published."""
    return replace(function, published=int(version.number))


def ended(version: Version, function: Function) -> Version:
    """End a Pending version as its function's creation or update has ended."""
    life = function.life
    if life.update is state.Update.FAILED:
        failed = state.broken(
            version.life, code=life.update_code, reason=life.update_reason
        )
        return replace(version, life=failed)
    return replace(version, life=state.settled(version.life))


def _same(one: Build, other: Build) -> bool:
    return one == replace(other, revision=one.revision)


def _version(
    function: Function,
    number: int,
    revision: str,
    *,
    life: Life,
    description: str | None = None,
) -> Version:
    return Version(
        account=function.account,
        region=function.region,
        name=function.name,
        number=str(number),
        build=replace(function.wanted, revision=revision),
        life=life,
        modified_at=function.modified_at,
        description=description,
    )
