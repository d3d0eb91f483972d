"""
AWS's service models, as botocore ships them.

Only data is taken from botocore; a `Shape` here is a node of that data with
the traits of the reference merged over those of the shape, as botocore does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import cast

from botocore.exceptions import DataNotFoundError
from botocore.loaders import Loader

from casemate.wire.trouble import UnknownServiceError, UnsupportedProtocolError

Raw = Mapping[str, object]

SPOKEN = ("json", "rest-json", "rest-xml", "query")
"""In the order in which botocore's clients choose among a service's protocols."""

_SERVICE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}\Z")


def _raw(value: object) -> Raw:
    return cast("Raw", value) if isinstance(value, Mapping) else {}


class Shape:
    """A shape where it is used: its own traits, and those of the reference."""

    def __init__(self, name: str, traits: Raw, shapes: Raw) -> None:
        self.name = name
        self.traits = traits
        self._shapes = shapes
        self.type = str(traits["type"])
        self.document = bool(traits.get("document"))
        self.union = bool(traits.get("union"))
        self.flattened = bool(traits.get("flattened"))
        self.streaming = bool(traits.get("streaming"))
        self.sensitive = bool(traits.get("sensitive"))

    def text(self, trait: str) -> str | None:
        """Give a trait that is a text, or None."""
        value = self.traits.get(trait)
        return value if isinstance(value, str) else None

    def number(self, trait: str) -> float | None:
        """Give a trait that is a number, or None."""
        value = self.traits.get(trait)
        return value if isinstance(value, int | float) else None

    def names(self, trait: str) -> tuple[str, ...]:
        """Give a trait that is a list of texts."""
        value = self.traits.get(trait)
        return tuple(map(str, value)) if isinstance(value, list | tuple) else ()

    @property
    def wire_name(self) -> str | None:
        """The name on the wire, where it is not the member's own."""
        return self.text("locationName")

    @property
    def location(self) -> str | None:
        return self.text("location")

    @property
    def timestamp_format(self) -> str | None:
        return self.text("timestampFormat")

    @cached_property
    def members(self) -> Mapping[str, Shape]:
        """The members of a structure, by the names that callers use."""
        members = _raw(self.traits.get("members"))
        return {name: self._resolve(ref) for name, ref in members.items()}

    @cached_property
    def member(self) -> Shape:
        """What a list is made of."""
        return self._resolve(self.traits["member"])

    @cached_property
    def key(self) -> Shape:
        return self._resolve(self.traits["key"])

    @cached_property
    def value(self) -> Shape:
        return self._resolve(self.traits["value"])

    @cached_property
    def event_stream(self) -> bool:
        """Whether one of the members is a stream of events."""
        return any(m.traits.get("eventstream") for m in self.members.values())

    def _resolve(self, reference: object) -> Shape:
        return resolve(_raw(reference), self._shapes)


def resolve(reference: Raw, shapes: Raw) -> Shape:
    """Find the shape of a reference and lay the reference's traits over it."""
    name = str(reference["shape"])
    own = {trait: value for trait, value in reference.items() if trait != "shape"}
    return Shape(name, {**_raw(shapes[name]), **own}, shapes)


class OperationModel:
    """One operation of a service."""

    def __init__(self, name: str, raw: Raw, shapes: Raw) -> None:
        http = _raw(raw.get("http"))
        self.name = name
        self.method = str(http.get("method", "POST"))
        self.uri = str(http.get("requestUri", "/"))
        code = http.get("responseCode", 200)
        self.status = code if isinstance(code, int) else 200
        self.deprecated = bool(raw.get("deprecated"))
        self._raw = raw
        self._shapes = shapes

    @cached_property
    def input(self) -> Shape | None:
        return self._shape("input")

    @cached_property
    def output(self) -> Shape | None:
        return self._shape("output")

    @cached_property
    def streams_events(self) -> bool:
        """Whether it needs an event stream, in or out."""
        return self._streams(self.input) or self._streams(self.output)

    @cached_property
    def answers_with_events(self) -> bool:
        """Whether its answer, and its answer alone, is an event stream."""
        return self._streams(self.output) and not self._streams(self.input)

    @staticmethod
    def _streams(shape: Shape | None) -> bool:
        return shape is not None and shape.event_stream

    @cached_property
    def errors(self) -> tuple[str, ...]:
        """The codes on the wire of the errors that the model gives it."""
        told = self._raw.get("errors")
        listed = told if isinstance(told, list) else []
        shapes = [resolve(_raw(reference), self._shapes) for reference in listed]
        return tuple(error_traits(shape)[0] or shape.name for shape in shapes)

    def _shape(self, which: str) -> Shape | None:
        reference = _raw(self._raw.get(which))
        return resolve(reference, self._shapes) if reference else None


class ServiceModel:
    """A service: its metadata, operations and errors."""

    def __init__(self, name: str, raw: Raw) -> None:
        self.name = name
        self.metadata = _raw(raw["metadata"])
        self.shapes = _raw(raw["shapes"])
        self.protocol = self._choose()
        self.operations = {
            operation: OperationModel(operation, _raw(told), self.shapes)
            for operation, told in _raw(raw["operations"]).items()
        }

    def text(self, key: str, default: str = "") -> str:
        """Give a text of the metadata."""
        return str(self.metadata.get(key, default))

    @property
    def namespace(self) -> str:
        """The XML namespace of answers, or nothing."""
        return self.text("xmlNamespace")

    @property
    def query_compatible(self) -> bool:
        """Whether it spoke the query protocol once, and errors keep those codes."""
        return "awsQueryCompatible" in self.metadata

    @cached_property
    def errors(self) -> Mapping[str, Shape]:
        """The errors, by shape name and by the code of the wire."""
        found: dict[str, Shape] = {}
        for name, told in self.shapes.items():
            if _raw(told).get("exception"):
                shape = resolve({"shape": name}, self.shapes)
                code = _raw(shape.traits.get("error")).get("code")
                found[name] = shape
                if isinstance(code, str):
                    found.setdefault(code, shape)
        return found

    def _choose(self) -> str:
        offered = self.metadata.get("protocols") or (self.metadata["protocol"],)
        names = tuple(map(str, cast("tuple[object, ...]", offered)))
        for protocol in SPOKEN:
            if protocol in names:
                return protocol
        raise UnsupportedProtocolError(
            f"`{self.name}` speaks {', '.join(names)}; spoken here: {', '.join(SPOKEN)}"
        )


def error_traits(shape: Shape) -> tuple[str | None, int | None, bool]:
    """Give an error's code on the wire, its HTTP status, and whether it is ours."""
    told = _raw(shape.traits.get("error"))
    code, status = told.get("code"), told.get("httpStatusCode")
    return (
        code if isinstance(code, str) else None,
        status if isinstance(status, int) else None,
        bool(shape.traits.get("fault")) or (isinstance(status, int) and status >= 500),  # noqa: PLR2004 — HTTP's server errors
    )


def load_model(service: str, extra: Path | None) -> ServiceModel:
    """
    Load a service's model, from botocore's data and the extra folder alone.

    botocore's default search path holds a folder under the home directory;
    what lies there decides nothing here.  Raises UnknownServiceError,
    UnsupportedProtocolError.
    """
    if not _SERVICE_NAME.match(service):
        raise UnknownServiceError(f"`{service[:64]}` is not the name of a service")
    folders = [Loader.BUILTIN_DATA_PATH] + ([str(extra)] if extra else [])
    loader = Loader(extra_search_paths=folders, include_default_search_paths=False)
    try:
        raw = loader.load_service_model(service, "service-2")
    except DataNotFoundError as error:
        raise UnknownServiceError(f"there is no model of `{service}`") from error
    return ServiceModel(service, raw)
