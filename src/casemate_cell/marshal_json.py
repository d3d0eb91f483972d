"""
A handler's answer as JSON, the way Lambda's Python runtimes write it.

Decimals keep their digits, NaN and Infinity are written bare, bytes inside an
answer are read as UTF-8, an answer that is bytes as a whole goes out as it is,
and text is escaped to ASCII before 3.12.  One difference is known: a named
tuple is written as a list, where awslambdaric writes an object.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys

from casemate_cell.errors import Fault

TYPE_CHECKING = False  # the name is what mypy knows; `typing` costs 0.4 MiB
if TYPE_CHECKING:
    from decimal import Decimal

_ASCII = sys.version_info < (3, 12)


class _Numbers:
    """
    Decimals of one answer, each standing in it as a token until it is written.

    The C encoder cannot write a bare number that is no float.  The token is
    random per answer, so text of the tenant's cannot be taken for one.
    """

    def __init__(self) -> None:
        self._nonce = os.urandom(16).hex()
        self._texts: list[str] = []

    def default(self, value: object) -> object:
        """Stand in for what JSON has no form for, or raise TypeError."""
        if isinstance(value, bytes):
            return value.decode()
        if _is_decimal(value):
            if value.is_nan():
                return math.nan
            self._texts.append(str(value))
            return f"{self._nonce}{len(self._texts) - 1}"
        kind = type(value).__name__
        raise TypeError(f"Object of type {kind} is not JSON serializable")

    def restore(self, text: str) -> str:
        """Put the digits where the tokens stand."""
        if not self._texts:
            return text
        token = re.compile(f'"{self._nonce}([0-9]+)"')
        return token.sub(lambda found: self._texts[int(found[1])], text)


def marshal(answer: object) -> bytes:
    """Write a handler's answer.  Raises Fault `Runtime.MarshalError`."""
    if isinstance(answer, bytes):
        return answer
    numbers = _Numbers()
    try:
        text = json.dumps(answer, ensure_ascii=_ASCII, default=numbers.default)
        return numbers.restore(text).encode()
    except Exception as error:
        raise Fault(
            "Runtime.MarshalError", f"Unable to marshal response: {error}"
        ) from error


def unmarshal(event: bytes) -> object:
    """Read an event.  Raises Fault `Runtime.UnmarshalError`."""
    try:
        return json.loads(event)
    except (ValueError, RecursionError) as error:
        raise Fault(
            "Runtime.UnmarshalError", f"Unable to unmarshal input: {error}"
        ) from error


if TYPE_CHECKING:
    from typing import TypeGuard

    def _is_decimal(value: object) -> TypeGuard[Decimal]: ...

else:

    def _is_decimal(value: object) -> bool:
        # `decimal` is not imported here: if the tenant has not, there are none.
        module = sys.modules.get("decimal")
        return module is not None and isinstance(value, module.Decimal)
