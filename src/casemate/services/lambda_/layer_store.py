"""
Layers and their versions, as kept.

    account  table                 key                        value
    tenant   lambda.layers         REGION/NAME                Layer
    tenant   lambda.layerversions  REGION/NAME/NUMBER         LayerVersion
    tenant   lambda.packages       SHA256/REGION/layer:NAME/NUMBER  bytes

NUMBER counts down from the largest, so that the newest version comes first.  A
hold on a package is told from a function's by the `:`, which is in no name of
one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from casemate.core.errors import Conflict
from casemate.services.lambda_ import pages
from casemate.services.lambda_.changes import (
    PACKAGES,
    Work,
    encode,
    releasing,
    work_changes,
)
from casemate.services.lambda_.layer_model import LAST, Layer, LayerRef, LayerVersion
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

    def versions(self, ref: LayerRef, *, before: int = 0) -> Iterator[LayerVersion]:
        """Read the versions of a layer, the newest first; before: older ones only."""
        prefix = f"{ref.region}/{ref.name}/"
        after = _key(replace(ref, number=before)) if before else ""
        while page := self._records.scan(
            ref.account, VERSIONS, prefix=prefix, after=after, limit=pages.PAGE + 1
        ):
            yield from (_decode_version(record.value) for record in page)
            after = page[-1].key

    def layers(self, account: str, region: str, *, after: str = "") -> Iterator[Layer]:
        """Read the layers of an account past a name, in the order of names."""
        prefix = f"{region}/"
        last = prefix + after if after else ""
        while page := self._records.scan(
            account, LAYERS, prefix=prefix, after=last, limit=PAGE
        ):
            yield from (_decode(record.value) for record in page)
            last = page[-1].key

    def layer(self, ref: LayerRef) -> Layer | None:
        """Read a layer."""
        record = self._records.get(ref.account, LAYERS, _layer_key(ref))
        return _decode(record.value) if record else None

    async def publish(
        self, ref: LayerRef, make: Callable[[Layer], LayerVersion]
    ) -> LayerVersion:
        """Write the version that `make` makes of a layer which has counted on."""
        for _ in range(TRIES):
            record = self._records.get(ref.account, LAYERS, _layer_key(ref))
            before = _decode(record.value) if record else _blank(ref)
            layer = replace(
                before, published=before.published + 1, there=before.there + 1
            )
            made = make(layer)
            if await self._commit(
                _put(layer, record.revision if record else 0), *_written(made)
            ):
                return made
        raise _busy(ref)

    async def change(
        self, ref: LayerRef, edit: Callable[[LayerVersion], LayerVersion]
    ) -> bool:
        """Change the policy of a version; False if it is not there."""
        for _ in range(TRIES):
            record = self._records.get(ref.account, VERSIONS, _key(ref))
            if record is None:
                return False
            put = Put(
                account=ref.account,
                table=VERSIONS,
                key=_key(ref),
                value=encode(edit(_decode_version(record.value))),
                expected=record.revision,
            )
            if await self._commit(put):
                return True
        raise _busy(ref)

    async def remove(self, ref: LayerRef) -> Work | None:
        """Remove a version; give the letting go that is to be started, if any."""
        for _ in range(TRIES):
            record = self._records.get(ref.account, VERSIONS, _key(ref))
            above = self._records.get(ref.account, LAYERS, _layer_key(ref))
            if record is None or above is None:
                return None
            before, layer = _decode_version(record.value), _decode(above.value)
            freed = letting_go(ref, before.sha256)
            if await self._commit(
                _put(replace(layer, there=layer.there - 1), above.revision),
                Delete(
                    account=ref.account,
                    table=VERSIONS,
                    key=_key(ref),
                    expected=record.revision,
                ),
                Delete(account=ref.account, table=PACKAGES, key=_held(before)),
                *work_changes((freed,), ()),
            ):
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


def _blank(ref: LayerRef) -> Layer:
    return Layer(
        account=ref.account, region=ref.region, name=ref.name, published=0, there=0
    )


def _put(layer: Layer, expected: int) -> Change:
    return Put(
        account=layer.account,
        table=LAYERS,
        key=_layer_key(layer.ref),
        value=encode(layer),
        expected=expected,
    )


def _layer_key(ref: LayerRef) -> str:
    return f"{ref.region}/{ref.name}"


def _key(ref: LayerRef) -> str:
    return f"{_layer_key(ref)}/{LAST - ref.number:010d}"


def _held(version: LayerVersion) -> str:
    ref = version.ref
    return f"{version.sha256}/{ref.region}/layer:{ref.name}/{ref.number:010d}"


def _busy(ref: LayerRef) -> Conflict:
    return Conflict(f"the layer is changed by others at this moment: {ref.arn}")
