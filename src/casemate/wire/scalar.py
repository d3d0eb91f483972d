"""Scalars as texts: numbers, truth, time, bytes."""

from __future__ import annotations

import binascii
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

from casemate.wire.model import Shape
from casemate.wire.trouble import UnreadableError, WrongOutputError

TextReader = Callable[[str], object]
TextWriter = Callable[[object], str]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}\Z")
_FLOAT = re.compile(r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?)(?:[eE][+-]?[0-9]{1,3})?\Z")
_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"(?:Z|[+-][0-9]{2}:[0-9]{2})\Z"
)
_RFC = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} "
    r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4} "
    r"[0-9]{2}:[0-9]{2}:[0-9]{2} GMT\Z"
)
_BITS = {"integer": 31, "long": 63}
_NAMED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def read_blob(text: str) -> bytes:
    """Read base64, padding and alphabet held to the letter."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise UnreadableError("is not base64") from error


def write_blob(value: object) -> str:
    """Write base64; a text is taken as UTF-8, as botocore does."""
    if isinstance(value, str):
        value = value.encode()
    if not isinstance(value, bytes | bytearray | memoryview):
        raise WrongOutputError(f"{type(value).__name__} where bytes are expected")
    return binascii.b2a_base64(value, newline=False).decode("ascii")


def integer_of(value: int, kind: str) -> int:
    """Hold an integer to the width of its type."""
    bound = 1 << _BITS[kind]
    if -bound <= value < bound:
        return value
    raise UnreadableError(f"is out of the range of {kind}")


def read_integer(text: str, kind: str) -> int:
    """Read a decimal integer; at most 19 digits are looked at."""
    if not _INTEGER.match(text):
        raise UnreadableError("is not an integer")
    return integer_of(int(text), kind)


def read_float(text: str) -> float:
    """Read a number; NaN and the infinities by name only."""
    if text in _NAMED:
        return _NAMED[text]
    if not _FLOAT.match(text):
        raise UnreadableError("is not a number")
    value = float(text)
    if math.isinf(value):
        raise UnreadableError("is out of the range of a number")
    return value


def float_name(value: float) -> str | None:
    """Give the name of a float that has no digits, or None."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return None


def read_boolean(text: str) -> bool:
    """Read `true` or `false`."""
    if text == "true":
        return True
    if text == "false":
        return False
    raise UnreadableError("is neither true nor false")


def moment(seconds: float) -> datetime:
    """Give the time that many seconds after the epoch, to the microsecond."""
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except (OverflowError, ValueError) as error:
        raise UnreadableError("is not a time") from error


def read_time(text: str, form: str) -> datetime:
    """Read a time in one of the three forms of AWS's protocols."""
    try:
        if form == "iso8601" and _ISO.match(text):
            return datetime.fromisoformat(text).astimezone(UTC)
        if form == "rfc822" and _RFC.match(text):
            return parsedate_to_datetime(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UnreadableError("is not a time") from error
    if form == "unixtimestamp" and _FLOAT.match(text):
        return moment(float(text))
    raise UnreadableError(f"is not a time in the form {form}")


def write_seconds(value: object) -> int | float:
    """Write a time as seconds since the epoch, to the millisecond as AWS does."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if not isinstance(value, datetime):
        raise WrongOutputError(f"{type(value).__name__} where a time is expected")
    milliseconds = (_aware(value) - _EPOCH) // timedelta(milliseconds=1)
    return milliseconds // 1000 if milliseconds % 1000 == 0 else milliseconds / 1000


def write_time(value: object, form: str) -> str:
    """Write a time, to the millisecond; RFC 822 to the second."""
    if form == "unixtimestamp":
        return repr(write_seconds(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = moment(value)
    if not isinstance(value, datetime):
        raise WrongOutputError(f"{type(value).__name__} where a time is expected")
    value = _aware(value)
    if form == "rfc822":
        return format_datetime(value, usegmt=True)
    precision = "milliseconds" if value.microsecond >= 1000 else "seconds"  # noqa: PLR2004 — a millisecond
    return value.isoformat(timespec=precision).removesuffix("+00:00") + "Z"


def _aware(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def text_reader(shape: Shape, time_form: str) -> TextReader:
    """Make the reader of a scalar that comes as text; time_form: where none is told."""
    kind = shape.type
    form = (shape.timestamp_format or time_form).lower()
    if kind in _BITS:
        return lambda text: read_integer(text, kind)
    if kind in ("float", "double"):
        return read_float
    if kind == "timestamp":
        return lambda text: read_time(text, form)
    simple: dict[str, TextReader] = {
        "string": lambda text: text,
        "character": lambda text: text,
        "boolean": read_boolean,
        "blob": read_blob,
    }
    return simple[kind]


def text_writer(shape: Shape, time_form: str) -> TextWriter:
    """Make the writer of a scalar as text."""
    form = (shape.timestamp_format or time_form).lower()
    writers: dict[str, TextWriter] = {
        "string": _write_string,
        "character": _write_string,
        "integer": write_integer_text,
        "long": write_integer_text,
        "float": write_float_text,
        "double": write_float_text,
        "boolean": _write_boolean,
        "blob": write_blob,
        "timestamp": lambda value: write_time(value, form),
    }
    return writers[shape.type]


def _write_string(value: object) -> str:
    if isinstance(value, str):
        return value
    raise WrongOutputError(f"{type(value).__name__} where a text is expected")


def write_integer_text(value: object) -> str:
    """Write an integer; a truth value is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise WrongOutputError(f"{type(value).__name__} where an integer is expected")


def write_float_text(value: object) -> str:
    """Write a number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float_name(value) or repr(value)
    raise WrongOutputError(f"{type(value).__name__} where a number is expected")


def _write_boolean(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    raise WrongOutputError(f"{type(value).__name__} where true or false is expected")
