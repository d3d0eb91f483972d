"""
Layers and their versions, as kept.

    account  table                 key                        value
    tenant   lambda.layers         REGION/NAME                Layer
    tenant   lambda.layerversions  REGION/NAME/NUMBER         LayerVersion
    tenant   lambda.packages       SHA256/REGION/layer:NAME/NUMBER  bytes

A hold on a package is told from a function's by the `:`, which is in no name of
one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from casemate.core.errors import Conflict
from casemate.services.lambda_.changes import (
    PACKAGES,
    Work,
    encode,
    releasing,
    work_changes,
)
from casemate.services.lambda_.layer_model import Layer, LayerRef, LayerVersion
from casemate.services.lambda_.names import FunctionRef
from casemate.services.lambda_.store import TRIES, translated
from casemate.substrate.ports import (
    Change,
    Delete,
    Put,
    Records,
    RevisionConflictError,
)

LAYERS: Final = "lambda.layers"
VERSIONS: Final = "lambda.layerversions"
PAGE: Final = 500

_decode = msgspec.json.Decoder(Layer).decode
_decode_version = msgspec.json.Decoder(LayerVersion).decode


class LayerStore:
    """Layers of all accounts."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def version(self, ref: LayerRef) -> LayerVersion | None:
        """Read a version."""
        if not ref.number:
            return None
        record = self._records.get(ref.account, VERSIONS, _key(ref))
        return _decode_version(record.value) if record else None

    def versions(self, ref: LayerRef) -> list[LayerVersion]:
        """Read all versions of a layer, the newest first."""
        found: list[LayerVersion] = []
        prefix, after = f"{ref.region}/{ref.name}/", ""
        while page := self._records.scan(
            ref.account, VERSIONS, prefix=prefix, after=after, limit=PAGE
        ):
            found.extend(_decode_version(record.value) for record in page)
            after = page[-1].key
        return found[::-1]

    def layers(self, account: str, region: str, *, after: str = "") -> Iterator[Layer]:
        """Read the layers of an account past a name, in the order of names."""
        prefix = f"{region}/"
        last = prefix + after if after else ""
        while page := self._records.scan(
            account, LAYERS, prefix=prefix, after=last, limit=PAGE
        ):
            yield from (_decode(record.value) for record in page)
            last = page[-1].key

    async def publish(
        self, ref: LayerRef, make: Callable[[int], LayerVersion]
    ) -> LayerVersion:
        """Write the next version, which `make` makes of its number."""
        for _ in range(TRIES):
            record = self._records.get(ref.account, LAYERS, _layer_key(ref))
            number = (_decode(record.value).published if record else 0) + 1
            made = make(number)
            layer = Layer(
                account=ref.account, region=ref.region, name=ref.name, published=number
            )
            if await self._commit(
                Put(
                    account=ref.account,
                    table=LAYERS,
                    key=_layer_key(ref),
                    value=encode(layer),
                    expected=record.revision if record else 0,
                ),
                *_written(made),
            ):
                return made
        raise _busy(ref)

    async def change(
        self, ref: LayerRef, edit: Callable[[LayerVersion], LayerVersion | None]
    ) -> tuple[Work, ...] | None:
        """
        Change a version, or remove it where `edit` gives None.

        Gives the letting go that is to be started, or None if it is not there.
        """
        for _ in range(TRIES):
            record = self._records.get(ref.account, VERSIONS, _key(ref))
            if record is None:
                return None
            before = _decode_version(record.value)
            after = edit(before)
            if after is not None:
                changes: Sequence[Change] = (
                    Put(
                        account=ref.account,
                        table=VERSIONS,
                        key=_key(ref),
                        value=encode(after),
                        expected=record.revision,
                    ),
                )
                freed: tuple[Work, ...] = ()
            else:
                freed = (letting_go(ref, before.sha256),)
                changes = (
                    Delete(
                        account=ref.account,
                        table=VERSIONS,
                        key=_key(ref),
                        expected=record.revision,
                    ),
                    Delete(account=ref.account, table=PACKAGES, key=_held(before)),
                    *work_changes(freed, ()),
                )
            if await self._commit(*changes):
                return freed
        raise _busy(ref)

    async def _commit(self, *changes: Change) -> bool:
        with translated():
            try:
                await self._records.commit(*changes)
            except RevisionConflictError:
                return False
        return True


def letting_go(ref: LayerRef, sha256: str) -> Work:
    """Name the work of letting go of a layer's package."""
    name = f"layer:{ref.name}"
    return releasing(
        FunctionRef(account=ref.account, region=ref.region, name=name), sha256
    )


def _written(version: LayerVersion) -> Sequence[Change]:
    ref = version.ref
    return (
        Put(
            account=ref.account,
            table=VERSIONS,
            key=_key(ref),
            value=encode(version),
            expected=0,
        ),
        Put(
            account=ref.account,
            table=PACKAGES,
            key=_held(version),
            value=encode(version.size),
        ),
    )


def _layer_key(ref: LayerRef) -> str:
    return f"{ref.region}/{ref.name}"


def _key(ref: LayerRef) -> str:
    return f"{_layer_key(ref)}/{ref.number:010d}"


def _held(version: LayerVersion) -> str:
    ref = version.ref
    return f"{version.sha256}/{ref.region}/layer:{ref.name}/{ref.number:010d}"


def _busy(ref: LayerRef) -> Conflict:
    return Conflict(f"the layer is changed by others at this moment: {ref.arn}")
