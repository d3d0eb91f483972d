"""What is kept of a layer and its versions, and how they are named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from casemate.core.arn import Arn
from casemate.core.errors import Invalid
from casemate.core.operation import Parameters, Scope
from casemate.services.lambda_.parameters import integer, needed
from casemate.services.lambda_.refusals import invalid

_NAME: Final = r"[A-Za-z0-9_-]{1,140}"
_LAYER = re.compile(
    rf"(?:arn:aws:lambda:(?P<region>[a-z0-9-]+):(?P<account>[0-9]{{12}}):layer:)?"
    rf"(?P<name>{_NAME})",
    re.ASCII,
)
_VERSION = re.compile(
    rf"arn:aws:lambda:(?P<region>[a-z0-9-]+):(?P<account>[0-9]{{12}}):layer:"
    rf"(?P<name>{_NAME}):(?P<number>[1-9][0-9]{{0,9}})",
    re.ASCII,
)
LAST: Final = 9_999_999_999
"""The largest number that a version can have."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRef:
    """Which layer, and which version of it (0: none in particular)."""

    account: str
    region: str
    name: str
    number: int = 0

    @property
    def layer_arn(self) -> str:
        """Give the layer's ARN, without the version."""
        return f"arn:aws:lambda:{self.region}:{self.account}:layer:{self.name}"

    @property
    def arn(self) -> str:
        """Give the ARN, with the version if there is one."""
        return f"{self.layer_arn}:{self.number}" if self.number else self.layer_arn


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LayerGrant:
    """One statement of a layer version's policy: who may use it."""

    sid: str
    principal: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LayerVersion:
    """
    A version of a layer: a package that nothing changes.

    number: counts from 1 within the layer, and is given once only.  sha256:
    lower-case hex digest of the zip; size: its bytes; unpacked: of its content.
    created_at: epoch seconds.
    """

    account: str
    region: str
    name: str
    number: int
    sha256: str
    size: int
    unpacked: int
    created_at: float
    description: str = ""
    licence: str = ""
    runtimes: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    grants: tuple[LayerGrant, ...] = ()
    policy_revision: str = ""

    @property
    def ref(self) -> LayerRef:
        """Give its reference."""
        return LayerRef(
            account=self.account,
            region=self.region,
            name=self.name,
            number=self.number,
        )

    def fits(self, runtime: str | None, architecture: str | None) -> bool:
        """Tell whether it says that it goes with these; what it leaves open goes."""
        return (not runtime or runtime in self.runtimes) and (
            not architecture or architecture in self.architectures
        )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """
    A layer.

    published: the number that was given last, whether or not it is still there.
    there: how many versions are.
    """

    account: str
    region: str
    name: str
    published: int
    there: int

    @property
    def ref(self) -> LayerRef:
        """Give its reference."""
        return LayerRef(account=self.account, region=self.region, name=self.name)


def refer(parameters: Parameters, scope: Scope) -> LayerRef:
    """Say which layer `LayerName` and `VersionNumber` mean.  Raises Invalid."""
    text = needed(parameters, "LayerName")
    matched = _LAYER.fullmatch(text)
    if matched is None:
        raise _misnamed(text)
    number = integer(parameters, "VersionNumber")
    if number is not None and not 1 <= number <= LAST:
        raise invalid(f"`VersionNumber` must be from 1 to {LAST}")
    return LayerRef(
        account=matched["account"] or scope.account,
        region=matched["region"] or scope.region,
        name=matched["name"],
        number=number or 0,
    )


def refer_version(text: str) -> LayerRef | None:
    """Say which layer version an ARN names; None if it names none."""
    matched = _VERSION.fullmatch(text)
    if matched is None:
        return None
    return LayerRef(
        account=matched["account"],
        region=matched["region"],
        name=matched["name"],
        number=int(matched["number"]),
    )


def needed_version(parameters: Parameters) -> LayerRef:
    """Say which layer version `Arn` means.  Raises Invalid."""
    text = needed(parameters, "Arn")
    found = refer_version(text)
    if found is None:
        raise _misnamed(text)
    return found


def layer_resource(parameters: Parameters, scope: Scope) -> str:
    """Name the resource of an operation on a layer, or on a version of it."""
    return refer(parameters, scope).arn


def version_resource(parameters: Parameters, _scope: Scope) -> str:
    """Name the resource of an operation on the layer version of an ARN."""
    return needed_version(parameters).arn


def layer_context(given: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    """Fill `lambda:Layer` from the layers that a request brings."""
    layers = given.get("Layers")
    if not isinstance(layers, list | tuple) or not layers:
        return {}
    return {"lambda:Layer": tuple(str(layer) for layer in layers)}


def is_layer(arn: Arn) -> bool:
    """Tell whether an ARN is a layer's or a layer version's."""
    return arn.service == "lambda" and arn.resource.startswith("layer:")


def _misnamed(text: str) -> Invalid:
    return invalid(f"`{text[:256]}` is not the name or the ARN of a layer")
