"""What an account uses of its room for code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from casemate.core.errors import Refusal
from casemate.services.lambda_.settings import FunctionSettings
from casemate.services.lambda_.store import Store


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Functions of an account, and the bytes of their packages."""

    functions: int
    bytes: int


def usage(store: Store, account: str) -> Usage:
    """Count.  A package that a function serves while it gets another counts too."""
    names: set[str] = set()
    total = 0
    for key, size in store.sizes(account):
        names.add(key.partition("/")[2])
        total += size
    return Usage(functions=len(names), bytes=total)


def room_for(
    store: Store, account: str, size: int, settings: FunctionSettings, *, new: bool
) -> None:
    """Refuse a package that an account has no room for."""
    used = usage(store, account)
    if used.bytes + size > settings.total_code_bytes:
        raise Refusal(
            f"Code storage limit exceeded: the account uses {used.bytes} of "
            f"{settings.total_code_bytes} bytes; delete what is not needed",
            code="CodeStorageExceededException",
        )
    if new and used.functions >= settings.functions:
        raise Refusal(
            f"the account has {used.functions} functions, which is the most that this "
            "platform's operator allows; delete what is not needed",
            code="CodeStorageExceededException",
        )
