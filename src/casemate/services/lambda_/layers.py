"""
The operations on layers.

A version of a layer is a package, read in a workshop cell before it is stored, as
a function's is, and never changed.  What uses it keeps its package, also when the
version is deleted.

Source: https://docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import orjson

from casemate.core.call import Admitted
from casemate.core.clock import Clock
from casemate.core.errors import Conflict, NotFound, Refusal
from casemate.core.operation import anything, operation
from casemate.seal.token import Tokens
from casemate.services.lambda_ import layer_policy, pages
from casemate.services.lambda_.describe import digest, moment
from casemate.services.lambda_.layer_model import (
    Layer,
    LayerRef,
    LayerVersion,
    layer_resource,
    needed_version,
    refer,
    version_resource,
)
from casemate.services.lambda_.layer_store import LayerStore, letting_go
from casemate.services.lambda_.parameters import (
    needed,
    octets,
    structure,
    text,
    texts,
)
from casemate.services.lambda_.policy import LIMIT, too_long
from casemate.services.lambda_.ports import NewId, Packages, Runtimes
from casemate.services.lambda_.refusals import INVALID, invalid, precondition
from casemate.services.lambda_.settings import PACKAGE, PACKAGE_BODY, FunctionSettings
from casemate.services.lambda_.settle import Settler
from casemate.services.lambda_.store import Store
from casemate.services.lambda_.usage import Usages

_SEEN: Final = (
    INVALID,
    "ResourceNotFoundException",
    "ServiceException",
    "TooManyRequestsException",
)
_VERSION: Final = ("LayerName", "VersionNumber")
_FILTER: Final = ("CompatibleArchitecture", "CompatibleRuntime", "Marker", "MaxItems")
_DESCRIPTION: Final = 256
_LICENCE: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """Layers and their versions."""

    layers: LayerStore
    store: Store
    settler: Settler
    packages: Packages
    runtimes: Runtimes
    usages: Usages
    tokens: Tokens
    settings: FunctionSettings
    clock: Clock
    new_id: NewId

    @operation(
        "PublishLayerVersion",
        action="lambda:PublishLayerVersion",
        resource=layer_resource,
        accepts=(
            "LayerName",
            "Content.ZipFile",
            "Description",
            "LicenseInfo",
            "CompatibleRuntimes",
            "CompatibleArchitectures",
        ),
        mutates=True,
        body_limit=PACKAGE_BODY,
        errors=(
            *_SEEN,
            "CodeStorageExceededException",
            "ResourceConflictException",
        ),
    )
    async def publish(self, call: Admitted) -> Mapping[str, object]:
        """Make the next version of a layer, and the layer if it is not there."""
        ref = self._own(call)
        package = _package(call)
        with self.usages.room(ref.account, len(package), versions=1):
            sha256 = hashlib.sha256(package).hexdigest()
            unpacked = await self.packages.check(
                ref.account, self._runtime(call), package, sha256
            )
            shape = LayerVersion(
                account=ref.account,
                region=ref.region,
                name=ref.name,
                number=0,
                sha256=sha256,
                size=len(package),
                unpacked=unpacked.bytes,
                created_at=self.clock.now(),
                description=_bounded(call, "Description", _DESCRIPTION),
                licence=_bounded(call, "LicenseInfo", _LICENCE),
                runtimes=texts(call.parameters, "CompatibleRuntimes") or (),
                architectures=texts(call.parameters, "CompatibleArchitectures") or (),
            )
            made = await self.settler.carry(self._written(shape, package))
            return _described(made) | _content(made)

    @operation(
        "GetLayerVersion",
        action="lambda:GetLayerVersion",
        resource=layer_resource,
        accepts=_VERSION,
        mutates=False,
        errors=_SEEN,
    )
    async def get(self, call: Admitted) -> Mapping[str, object]:
        """
        Describe a version.

        `Content.Location` is left out: it would be a signed download, which is
        not here yet.
        """
        found = self._found(refer(call.parameters, call.scope))
        return _described(found) | _content(found)

    @operation(
        "GetLayerVersionByArn",
        action="lambda:GetLayerVersion",
        resource=version_resource,
        accepts=("Arn",),
        mutates=False,
        errors=_SEEN,
    )
    async def get_by_arn(self, call: Admitted) -> Mapping[str, object]:
        """Describe the version that an ARN names."""
        found = self._found(needed_version(call.parameters))
        return _described(found) | _content(found)

    @operation(
        "ListLayers",
        action="lambda:ListLayers",
        resource=anything,
        accepts=_FILTER,
        mutates=False,
        paginated=True,
        errors=(INVALID, "ServiceException", "TooManyRequestsException"),
    )
    async def list(self, call: Admitted) -> Mapping[str, object]:
        """
        List the caller's layers by name, each with its newest version that fits.

        A page ends when as many versions were looked at as one layer may have, so
        that no filter keeps others waiting.
        """
        scope, fits = call.scope, _filter(call)
        page = self._pages(call, "ListLayers", f"{scope.region} {fits}")
        most, after = pages.size(call), page.after(call)
        found: list[dict[str, object]] = []
        looked, last = 0, ""
        for layer in self.layers.layers(scope.account, scope.region, after=after):
            if len(found) == most or looked > self.settings.layer_versions:
                return {"Layers": found, "NextMarker": page.next(last)}
            last = layer.name
            for version in self.layers.versions(layer.ref):
                looked += 1
                if version.fits(*fits):
                    found.append(_listed(version))
                    break
        return {"Layers": found}

    @operation(
        "ListLayerVersions",
        action="lambda:ListLayerVersions",
        resource=layer_resource,
        accepts=("LayerName", *_FILTER),
        mutates=False,
        paginated=True,
        errors=_SEEN,
    )
    async def list_versions(self, call: Admitted) -> Mapping[str, object]:
        """List the versions of a layer that fit, the newest first."""
        ref, fits = refer(call.parameters, call.scope), _filter(call)
        page = self._pages(call, "ListLayerVersions", f"{ref.arn} {fits}")
        most, after = pages.size(call), page.after(call)
        found: list[dict[str, object]] = []
        last = 0
        for version in self.layers.versions(ref, before=int(after or 0)):
            if len(found) == most:
                return {"LayerVersions": found, "NextMarker": page.next(str(last))}
            last = version.number
            if version.fits(*fits):
                found.append(_described(version))
        return {"LayerVersions": found}

    @operation(
        "DeleteLayerVersion",
        action="lambda:DeleteLayerVersion",
        resource=layer_resource,
        accepts=_VERSION,
        mutates=True,
        errors=(*_SEEN, "ResourceConflictException"),
    )
    async def delete(self, call: Admitted) -> Mapping[str, object]:
        """
        Remove a version; one that is not there is no error.

        Functions that use it go on to; no other can come to use it.
        """
        ref = refer(call.parameters, call.scope)
        await self.settler.carry(self._gone(ref))
        return {}

    @operation(
        "AddLayerVersionPermission",
        action="lambda:AddLayerVersionPermission",
        resource=layer_resource,
        accepts=(*_VERSION, "StatementId", "Action", "Principal", "RevisionId"),
        mutates=True,
        errors=(
            *_SEEN,
            "PolicyLengthExceededException",
            "PreconditionFailedException",
            "ResourceConflictException",
        ),
    )
    async def add_permission(self, call: Admitted) -> Mapping[str, object]:
        """Let another account use a version."""
        ref = refer(call.parameters, call.scope)
        given = layer_policy.grant(
            sid=needed(call.parameters, "StatementId"),
            action=needed(call.parameters, "Action"),
            principal=needed(call.parameters, "Principal"),
            public=self.settings.unsafe_public_policies,
        )
        revision, identifier = text(call.parameters, "RevisionId"), self.new_id()

        def edit(now: LayerVersion) -> LayerVersion:
            _current(now, revision)
            if any(there.sid == given.sid for there in now.grants):
                raise Conflict(
                    f"The statement id ({given.sid}) provided already exists. Please "
                    "provide a new statement id, or remove the existing statement.",
                    members={"Type": "User"},
                )
            after = replace(
                now, grants=(*now.grants, given), policy_revision=identifier
            )
            if len(layer_policy.document(after).encode()) > LIMIT:
                raise too_long()
            return after

        if not await self.layers.change(ref, edit):
            raise _not_found(ref)
        written = layer_policy.statement(given, self._found(ref))
        return {
            "Statement": orjson.dumps(written).decode(),
            "RevisionId": identifier,
        }

    @operation(
        "RemoveLayerVersionPermission",
        action="lambda:RemoveLayerVersionPermission",
        resource=layer_resource,
        accepts=(*_VERSION, "StatementId", "RevisionId"),
        mutates=True,
        errors=(*_SEEN, "PreconditionFailedException", "ResourceConflictException"),
    )
    async def remove_permission(self, call: Admitted) -> Mapping[str, object]:
        """Take one statement out of a version's policy."""
        ref = refer(call.parameters, call.scope)
        sid = needed(call.parameters, "StatementId")
        revision, identifier = text(call.parameters, "RevisionId"), self.new_id()

        def edit(now: LayerVersion) -> LayerVersion:
            kept = tuple(given for given in now.grants if given.sid != sid)
            if len(kept) == len(now.grants):
                raise NotFound(
                    f"Statement {sid[:100]} is not found in resource policy.",
                    members={"Type": "User"},
                )
            _current(now, revision)
            return replace(now, grants=kept, policy_revision=identifier if kept else "")

        if not await self.layers.change(ref, edit):
            raise _not_found(ref)
        return {}

    @operation(
        "GetLayerVersionPolicy",
        action="lambda:GetLayerVersionPolicy",
        resource=layer_resource,
        accepts=_VERSION,
        mutates=False,
        errors=_SEEN,
    )
    async def get_policy(self, call: Admitted) -> Mapping[str, object]:
        """Show a version's policy."""
        found = self._found(refer(call.parameters, call.scope))
        if not found.grants:
            raise NotFound(
                "No policy is associated with the given resource.",
                members={"Type": "User"},
            )
        return {
            "Policy": layer_policy.document(found),
            "RevisionId": found.policy_revision,
        }

    async def _written(self, shape: LayerVersion, package: bytes) -> LayerVersion:
        ref, sha256 = shape.ref, shape.sha256
        work = letting_go(ref, sha256)
        async with self.store.holding(ref.account, sha256):
            await self.store.begin(work)
            try:
                await self.store.keep(ref.account, package)
                return await self.layers.publish(ref, self._numbered(shape))
            finally:
                # Of a version that was not written the package is let go of.
                self.settler.start(work)

    def _numbered(self, shape: LayerVersion) -> Callable[[Layer], LayerVersion]:
        def make(layer: Layer) -> LayerVersion:
            if layer.there > self.settings.layer_versions:
                raise Refusal(
                    f"the layer has {layer.there - 1} versions, which is the most that "
                    "this platform's operator allows; delete what is not needed",
                    code="CodeStorageExceededException",
                )
            return replace(shape, number=layer.published)

        return make

    async def _gone(self, ref: LayerRef) -> None:
        if work := await self.layers.remove(ref):
            self.settler.start(work)

    def _own(self, call: Admitted) -> LayerRef:
        ref = refer(call.parameters, call.scope)
        if (ref.account, ref.region) != (call.scope.account, call.scope.region):
            raise invalid("a layer is made in the caller's own account and region only")
        return ref

    def _found(self, ref: LayerRef) -> LayerVersion:
        found = self.layers.version(ref)
        if found is None:
            raise _not_found(ref)
        return found

    def _runtime(self, call: Admitted) -> str:
        """Choose the runtime whose workshop reads the package."""
        here = self.runtimes.runtimes()
        wanted = texts(call.parameters, "CompatibleRuntimes") or ()
        return next((runtime for runtime in wanted if runtime in here), here[0])

    def _pages(self, call: Admitted, name: str, query: str) -> pages.Pages:
        return pages.Pages(
            tokens=self.tokens,
            account=call.scope.account,
            operation=f"lambda:{name}",
            query=query.encode(),
        )


def _package(call: Admitted) -> bytes:
    content = structure(call.parameters, "Content") or {}
    package = octets(content, "ZipFile")
    if not package:
        raise invalid("Please provide a source for layer content.")
    if len(package) > PACKAGE:
        raise invalid(
            f"the package has {len(package)} bytes; one that is sent in the request "
            f"may have at most {PACKAGE}"
        )
    return package


def _bounded(call: Admitted, name: str, most: int) -> str:
    given = text(call.parameters, name) or ""
    if len(given) > most:
        raise invalid(f"`{name}` must have at most {most} characters")
    return given


def _filter(call: Admitted) -> tuple[str | None, str | None]:
    return (
        text(call.parameters, "CompatibleRuntime"),
        text(call.parameters, "CompatibleArchitecture"),
    )


def _current(now: LayerVersion, revision: str | None) -> None:
    if revision and revision != now.policy_revision:
        raise precondition("layer version's policy")


def _not_found(ref: LayerRef) -> NotFound:
    return NotFound(
        f"The resource you requested does not exist: {ref.arn}",
        members={"Type": "User"},
    )


def _described(version: LayerVersion) -> dict[str, object]:
    described: dict[str, object] = {
        "LayerVersionArn": version.ref.arn,
        "Version": version.number,
        "Description": version.description,
        "CreatedDate": moment(version.created_at),
    }
    if version.licence:
        described["LicenseInfo"] = version.licence
    if version.runtimes:
        described["CompatibleRuntimes"] = [*version.runtimes]
    if version.architectures:
        described["CompatibleArchitectures"] = [*version.architectures]
    return described


def _listed(newest: LayerVersion) -> dict[str, object]:
    return {
        "LayerName": newest.name,
        "LayerArn": newest.ref.layer_arn,
        "LatestMatchingVersion": _described(newest),
    }


def _content(version: LayerVersion) -> dict[str, object]:
    return {
        "LayerArn": version.ref.layer_arn,
        "Content": {"CodeSha256": digest(version.sha256), "CodeSize": version.size},
    }
