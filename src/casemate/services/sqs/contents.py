"""
What a message holds: a body and attributes, within AWS's rules.

The digests are those that AWS's SDKs check: of the body's bytes, and of the
attributes in the order of their names, each part with its length before it.

Sources:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, final

import msgspec

from casemate.core.errors import Invalid
from casemate.core.operation import Parameters
from casemate.services.sqs.parameters import needed, octets, structure, text
from casemate.services.sqs.refusals import bad_contents, invalid, missing
from casemate.services.sqs.settings import ATTRIBUTES, MESSAGE_BYTES

TRACE: Final = "AWSTraceHeader"

_UNFIT = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no place for."""

_NAME = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*", re.ASCII)
_RESERVED: Final = ("aws.", "amazon.")
_TYPE = re.compile(r"(String|Number|Binary)(?:\.[A-Za-z0-9_.-]{1,250})?", re.ASCII)
_LONGEST: Final = 256
"""Characters of an attribute's name, and of its type."""

_NUMBER = re.compile(
    r"[+-]?(?:([0-9]{1,400})(?:\.([0-9]{0,400}))?|\.([0-9]{1,400}))"
    r"(?:[eE]([+-]?[0-9]{1,4}))?",
    re.ASCII,
)
_DIGITS: Final = 38
_LARGEST: Final = 126
_SMALLEST: Final = -128
"""Powers of ten between which a number lies."""

_ROOT = re.compile(r"(?:.*;)?\s*Root=1-[0-9a-f]{8}-[0-9a-f]{24}(?:;.*)?", re.ASCII)
_HEADER: Final = 1024

_LENGTH = struct.Struct(">I")
_STRING, _BINARY = b"\x01", b"\x02"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """The value of an attribute: text or bytes, under a type with its label."""

    type: str
    text: str | None = None
    data: bytes | None = None

    @property
    def octets(self) -> bytes:
        """Give the value's bytes."""
        return self.data if self.data is not None else (self.text or "").encode()

    def shown(self) -> dict[str, object]:
        """Write it as an answer has it."""
        told: dict[str, object] = {"DataType": self.type}
        if self.data is not None:
            return {**told, "BinaryValue": self.data}
        return {**told, "StringValue": self.text}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A message to send.  system: attributes of AWS's own, by name."""

    body: bytes
    attributes: Mapping[str, Value]
    system: Mapping[str, Value]

    @property
    def size(self) -> int:
        """Give the bytes that count; attributes of AWS's own do not."""
        parts = (
            len(name.encode()) + len(value.type) + len(value.octets)
            for name, value in self.attributes.items()
        )
        return len(self.body) + sum(parts)


_written = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder(dict[str, Value]).decode


def read(parameters: Parameters) -> Content:
    """Read what is to be sent.  Raises Invalid."""
    body = needed(parameters, "MessageBody")
    if not body:
        raise missing("MessageBody")
    _fit(body, "the message")
    content = Content(
        body=body.encode(),
        attributes=_attributes(parameters),
        system=_system(parameters),
    )
    if content.size > MESSAGE_BYTES:
        raise too_long(MESSAGE_BYTES)
    return content


def weight(parameters: Parameters) -> int:
    """Weigh what is to be sent before it is looked at: bytes of all its values."""
    size = len(needed(parameters, "MessageBody").encode())
    for name, told in (structure(parameters, "MessageAttributes") or {}).items():
        size += len(name.encode())
        if isinstance(told, Mapping):
            size += len(text(told, "DataType") or "")
            size += len((text(told, "StringValue") or "").encode())
            size += len(octets(told, "BinaryValue") or b"")
    return size


def too_long(most: int) -> Invalid:
    """Refuse a message for its size."""
    return invalid(
        "One or more parameters are invalid. Reason: Message must be shorter than "
        f"{most} bytes."
    )


def packed(attributes: Mapping[str, Value]) -> str:
    """Write attributes as they are kept."""
    return _written(dict(attributes)).decode()


def unpacked(text: str) -> dict[str, Value]:
    """Read attributes as they are kept."""
    return _read(text.encode())


def chosen(attributes: Mapping[str, Value], wanted: Iterable[str]) -> dict[str, Value]:
    """Give the attributes that were asked for: by name, by `prefix.*`, or all."""
    names = frozenset(wanted)
    if names & {"All", ".*"}:
        return dict(attributes)
    prefixes = tuple(name.removesuffix("*") for name in names if name.endswith(".*"))
    return {
        name: value
        for name, value in attributes.items()
        if name in names or name.startswith(prefixes)
    }


def digest(data: bytes) -> str:
    """Give the MD5 that clients compare; it guards against nobody."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def digest_of(attributes: Mapping[str, Value]) -> str:
    """Give the MD5 of attributes."""
    parts: list[bytes] = []
    for name in sorted(attributes):
        value = attributes[name]
        parts += (_framed(name.encode()), _framed(value.type.encode()))
        parts += (_STRING if value.data is None else _BINARY, _framed(value.octets))
    return digest(b"".join(parts))


def _framed(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data


def _fit(text: str, what: str) -> None:
    if found := _UNFIT.search(text):
        raise bad_contents(
            f"Invalid characters found: {what} has U+{ord(found[0]):04X}; allowed are "
            "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"
        )


def _attributes(parameters: Parameters) -> dict[str, Value]:
    given = structure(parameters, "MessageAttributes") or {}
    if len(given) > ATTRIBUTES:
        raise invalid(
            f"Number of message attributes [{len(given)}] exceeds the allowed maximum "
            f"[{ATTRIBUTES}]."
        )
    return {_name(name): _value(name, told) for name, told in given.items()}


def _name(name: str) -> str:
    if (
        len(name) > _LONGEST
        or not _NAME.fullmatch(name)
        or name.lower().startswith(_RESERVED)
    ):
        raise invalid(
            f"The message attribute name `{name[:_LONGEST]}` is invalid: 1 to "
            f"{_LONGEST} of A-Z, a-z, 0-9, underscore, hyphen and single periods "
            "within, and not beginning with `AWS.` or `Amazon.`"
        )
    return name


def _value(name: str, told: object) -> Value:
    if not isinstance(told, Mapping):
        raise invalid(f"The message attribute '{name}' is not a structure.")
    kind = needed(told, "DataType")
    found = _TYPE.fullmatch(kind)
    if found is None or len(kind) > _LONGEST:
        raise invalid(
            f"The message attribute '{name}' has an invalid message attribute type, "
            "the set of supported type prefixes is Binary, Number, and String."
        )
    string, data = text(told, "StringValue"), octets(told, "BinaryValue")
    if (found[1] == "Binary") != (string is None) or (string is None) == (data is None):
        raise invalid(
            f"The message attribute '{name}' with type '{found[1]}' must use field "
            f"'{'Binary' if found[1] == 'Binary' else 'String'}'."
        )
    value = Value(type=kind, text=string, data=data)
    if not value.octets:
        raise invalid(
            f"The message attribute '{name}' must contain a non-empty value for its "
            f"type '{found[1]}'."
        )
    if string is not None:
        _fit(string, f"the attribute '{name}'")
        if found[1] == "Number":
            _number(name, string)
    return value


def _number(name: str, given: str) -> None:
    """Hold a number to 38 digits, between 10^-128 and 10^126."""
    found = _NUMBER.fullmatch(given)
    if found is None:
        raise invalid(
            f"Can't cast the value of message (user) attribute '{name}' to a number."
        )
    whole = (found[1] or "") + (found[2] or found[3] or "")
    digits = whole.strip("0")
    if not digits:
        return
    point = len(found[1] or "") - (len(whole) - len(whole.lstrip("0")))
    magnitude = point + int(found[4] or 0)
    if len(digits) > _DIGITS or not _SMALLEST <= magnitude - 1 <= _LARGEST:
        raise invalid(
            f"The number of message attribute '{name}' is out of range: up to "
            f"{_DIGITS} digits, between 10^{_SMALLEST} and 10^+{_LARGEST}"
        )


def _system(parameters: Parameters) -> dict[str, Value]:
    given = structure(parameters, "MessageSystemAttributes") or {}
    if stray := next((name for name in given if name != TRACE), None):
        raise invalid(
            f"Message system attribute name '{stray[:_LONGEST]}' is invalid; the only "
            f"one is {TRACE}."
        )
    if TRACE not in given:
        return {}
    value = _value(TRACE, given[TRACE])
    header = value.text or ""
    if value.type != "String" or len(header) > _HEADER or not _ROOT.fullmatch(header):
        raise invalid(f"The value of {TRACE} is not a String with a trace header.")
    return {TRACE: value}
