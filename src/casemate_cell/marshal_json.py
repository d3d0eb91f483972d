"""
A handler's answer as JSON, the way Lambda's Python runtimes write it.

Decimals keep their digits, NaN and Infinity are written bare, bytes inside an
answer are read as UTF-8, an answer that is bytes as a whole goes out as it is,
and text is escaped to ASCII before 3.12.  One difference is known: a named
tuple is written as a list, where awslambdaric writes an object.
"""

from __future__ import annotations

import json
import os
import re
import sys

from casemate_cell.errors import Fault

TYPE_CHECKING = False  # the name is what mypy knows; `typing` costs 0.4 MiB
if TYPE_CHECKING:
    from decimal import Decimal

_ASCII = sys.version_info < (3, 12)
_read = json.JSONDecoder().raw_decode


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
                return float("nan")
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


class _NeedsMoreError(Exception):
    """An answer holds what the plain encoder cannot write, or has no form at all."""


def _more(_value: object) -> object:
    raise _NeedsMoreError


_pieces = json.encoder.c_make_encoder(  # type: ignore[attr-defined] # typeshed lacks it
    None,  # a circle ends in the slower encoder, which names it
    _more,
    json.encoder.encode_basestring_ascii if _ASCII else json.encoder.encode_basestring,
    None,
    ": ",
    ", ",
    False,
    False,
    True,
)
"""What `json.dumps` makes anew for each text, which takes longer than to use it."""


def marshal(answer: object) -> bytes:
    """Write a handler's answer.  Raises Fault `Runtime.MarshalError`."""
    if isinstance(answer, bytes):
        return answer
    try:
        return "".join(_pieces(answer, 0)).encode()
    except Exception:  # noqa: BLE001 — what is wrong, if anything, is told below
        return _marshal_all(answer)


def _marshal_all(answer: object) -> bytes:
    """Write an answer that may hold decimals and bytes."""
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
        text = event.decode()
        value, end = _read(text)
        if end == len(text):
            return value
    except (ValueError, RecursionError):
        pass  # white space around it, another encoding, or no JSON
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
