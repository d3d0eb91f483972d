"""
The operations that make and change functions.

1. The configuration is composed, or refused by name.
2. The role exists, is of the account, and lets Lambda assume it.
3. There is room.
4. The package is read in a workshop cell; a bad one is refused, nothing written.
5. The package is stored, then the function is committed: only now is the call
   acknowledged.
6. What is left is done behind the answer (`settle`).
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from casemate.core.call import Admitted
from casemate.core.clock import Clock
from casemate.core.errors import Invalid
from casemate.core.operation import Parameters, operation
from casemate.services.lambda_ import declared, publishing, state, tagging
from casemate.services.lambda_.changes import Changed, Edit, releasing, settling
from casemate.services.lambda_.configuration import Composer
from casemate.services.lambda_.describe import describe
from casemate.services.lambda_.directory import Directory
from casemate.services.lambda_.functions import present
from casemate.services.lambda_.model import (
    Build,
    Configuration,
    Function,
    Layered,
    Version,
)
from casemate.services.lambda_.names import (
    FunctionRef,
    function_context,
    function_resource,
    here,
    refer,
    unqualified,
)
from casemate.services.lambda_.parameters import flag, octets, structure, text, text_map
from casemate.services.lambda_.ports import NewId, Packages
from casemate.services.lambda_.refusals import (
    INVALID,
    busy,
    changeable,
    invalid,
)
from casemate.services.lambda_.settings import PACKAGE, PACKAGE_BODY, UNPACKED
from casemate.services.lambda_.settle import Settler
from casemate.services.lambda_.store import Store, already
from casemate.services.lambda_.usage import Usages
from casemate.substrate.ports import DamagedError

_CHANGED: Final = (
    INVALID,
    "ResourceConflictException",
    "ResourceNotFoundException",
    "ServiceException",
    "TooManyRequestsException",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Makes and changes functions."""

    store: Store
    directory: Directory
    settler: Settler
    composer: Composer
    packages: Packages
    usages: Usages
    clock: Clock
    new_id: NewId

    @operation(
        "CreateFunction",
        action="lambda:CreateFunction",
        resource=function_resource,
        needs=declared.creates,
        context=declared.create_context,
        accepts=declared.CREATE,
        only=declared.CREATE_ONLY,
        mutates=True,
        body_limit=PACKAGE_BODY,
        errors=(*_CHANGED, "CodeStorageExceededException", "AccessDeniedException"),
    )
    async def create(self, call: Admitted) -> Mapping[str, object]:
        """Make a function; it is Pending in the answer, and Active soon after."""
        ref = _own(call)
        tags = tagging.whole(text_map(call.parameters, "Tags") or {})
        # (1), (2)
        configuration = self.composer.first(
            call.parameters,
            account=ref.account,
            region=ref.region,
            name=ref.name,
        )
        if self.directory.find(ref) is not None:
            raise already(ref.name)
        code = structure(call.parameters, "Code") or {}
        package = _package(octets(code, "ZipFile"))
        publish = flag(call.parameters, "Publish")
        # (3)
        with self._room(ref, package, publish=publish, functions=1):
            # (4)
            sha256 = await self._read(ref.account, package, configuration)
            function = Function(
                account=ref.account,
                region=ref.region,
                name=ref.name,
                wanted=Build(
                    revision=self.new_id(),
                    sha256=sha256,
                    size=len(package),
                    configuration=configuration,
                ),
                serving=None,
                life=state.created(),
                modified_at=self.clock.now(),
                tags=tags,
                born=self.new_id(),
            )
            version = publishing.first(function, self.new_id()) if publish else None
            if version is not None:
                function = publishing.counted(function, version)
            # (5), (6)
            await self.settler.carry(self._found(function, version, package))
            return describe(function, published=version)

    @operation(
        "UpdateFunctionCode",
        action="lambda:UpdateFunctionCode",
        resource=function_resource,
        context=function_context,
        accepts=declared.UPDATE_CODE,
        mutates=True,
        body_limit=PACKAGE_BODY,
        errors=(
            *_CHANGED,
            "CodeStorageExceededException",
            "PreconditionFailedException",
        ),
    )
    async def update_code(self, call: Admitted) -> Mapping[str, object]:
        """Give a function another package; a dry run only says what would be."""
        ref, deployed = present(self.directory, call)
        ref = unqualified(ref)
        self.composer.architecture(call.parameters)
        package = _package(octets(call.parameters, "ZipFile"))
        publish = flag(call.parameters, "Publish")
        revision, identifier = text(call.parameters, "RevisionId"), self.new_id()
        _changeable(deployed.function, revision)
        with self._room(ref, package, publish=publish):
            configuration = deployed.function.wanted.configuration
            sha256 = await self._read(ref.account, package, configuration)
            build = replace(
                deployed.function.wanted,
                revision=self.new_id(),
                sha256=sha256,
                size=len(package),
            )
            if flag(call.parameters, "DryRun"):
                return describe(deployed.function, build=build)

            def edit(now: Function) -> Edit:
                _changeable(now, revision)
                if now.wanted.configuration.layers != configuration.layers:
                    raise busy(ref.arn)  # they were not weighed with this code
                after = self._updated(
                    now, replace(build, configuration=now.wanted.configuration)
                )
                if publish:
                    return self._publishing(after, identifier)
                return Edit(function=after)

            changed = await self.settler.carry(
                self._updated_code(ref, edit, sha256, package)
            )
            return self._told(changed, published=publish)

    @operation(
        "UpdateFunctionConfiguration",
        action="lambda:UpdateFunctionConfiguration",
        resource=function_resource,
        needs=declared.configures,
        context=declared.configure_context,
        accepts=declared.UPDATE_CONFIGURATION,
        only=declared.UPDATE_CONFIGURATION_ONLY,
        mutates=True,
        errors=(
            *_CHANGED,
            "CodeStorageExceededException",
            "PreconditionFailedException",
            "AccessDeniedException",
        ),
    )
    async def update_configuration(self, call: Admitted) -> Mapping[str, object]:
        """Change what is given of a configuration; the rest stays."""
        ref, deployed = present(self.directory, call)
        ref = unqualified(ref)
        revision = text(call.parameters, "RevisionId")
        _changeable(deployed.function, revision)
        identifier = self.new_id()
        sha256 = deployed.function.wanted.sha256
        layers = await self._new_layers(call.parameters, deployed.function)

        def edit(now: Function) -> Function:
            _changeable(now, revision)
            if now.wanted.sha256 != sha256:
                raise busy(ref.arn)  # another package came between
            configuration = self._next(call.parameters, now)
            if "Layers" in call.parameters and configuration.layers != layers:
                raise busy(ref.arn)  # a layer came or went between
            return self._updated(
                now,
                replace(now.wanted, revision=identifier, configuration=configuration),
            )

        changed = await self.settler.carry(
            self._updated_configuration(ref, edit, sha256, layers)
        )
        return self._told(changed, published=False)

    def _room(
        self, ref: FunctionRef, package: bytes, *, publish: bool, functions: int = 0
    ) -> AbstractContextManager[None]:
        """Hold room for a package, or refuse it; a version holds it as well."""
        return self.usages.room(
            ref.account,
            len(package) * (2 if publish else 1),
            functions=functions,
            versions=int(publish),
        )

    def _publishing(self, after: Function, revision: str) -> Edit:
        """Publish what is being updated, unless it is what was published last."""
        last = self._last(after)
        made = publishing.following(after, last, revision)
        if made is last:
            return Edit(function=after)
        return Edit(function=publishing.counted(after, made), written=(made,))

    def _told(self, changed: Changed, *, published: bool) -> Mapping[str, object]:
        """Describe a function that was updated, or what was published of it."""
        version = self._last(changed.after) if published else None
        if version is None:
            return describe(changed.after)
        return describe(changed.after, qualifier=version.number, published=version)

    def _last(self, function: Function) -> Version | None:
        return self.store.version(function.ref, str(function.published))

    async def _updated_code(
        self,
        ref: FunctionRef,
        edit: Callable[[Function], Edit],
        sha256: str,
        package: bytes,
    ) -> Changed:
        work = settling(ref, sha256)
        async with self.store.holding(ref.account, sha256):
            await self.store.begin(work)
            try:
                await self.store.keep(ref.account, package)
                changed = await self.store.change(ref, edit)
            finally:
                # Of an update that was not written there is nothing to settle;
                # the package is then let go of.
                self.settler.start(work)
        self.settler.release(changed)
        return changed

    async def _updated_configuration(
        self,
        ref: FunctionRef,
        edit: Callable[[Function], Function],
        sha256: str,
        layers: Sequence[Layered],
    ) -> Changed:
        work = settling(ref, sha256)
        async with self._with_layers(ref, layers):
            changed = await self.store.change(ref, edit, begun=(work,))
        self.settler.start(work)
        self.settler.release(changed)
        return changed

    async def _new_layers(
        self, parameters: Parameters, now: Function
    ) -> tuple[Layered, ...]:
        """Give the layers that are to come; with the code they must fit."""
        if "Layers" not in parameters:
            return ()
        configuration = self._next(parameters, now)
        if configuration.layers != now.wanted.configuration.layers:
            account, sha256 = now.account, now.wanted.sha256
            package = await _stored(self.store, account, sha256)
            await self._read(account, package, configuration)
        return configuration.layers

    @asynccontextmanager
    async def _with_layers(
        self, ref: FunctionRef, layers: Sequence[Layered], *sha256: str
    ) -> AsyncIterator[None]:
        """
        Have the packages of layers in the function's own account meanwhile.

        A layer of another account is copied: what is under that account's key,
        and goes when it likes, is nothing to run from.  The copy needs room.
        """
        digests = [layer.sha256 for layer in layers]
        begun = [releasing(ref, digest) for digest in dict.fromkeys(digests)]
        async with self.store.holding(ref.account, *digests, *sha256):
            try:
                for work in begun:
                    await self.store.begin(work)
                strange = {
                    layer.sha256: layer
                    for layer in layers
                    if not self.store.is_held(ref.account, layer.sha256)
                }
                size = sum(layer.size for layer in strange.values())
                with self.usages.room(ref.account, size):
                    for sha, layer in strange.items():
                        owner = layer.arn.split(":")[4]
                        package = await _stored(self.store, owner, sha)
                        await self.store.keep(ref.account, package)
                    yield
            finally:
                for work in begun:
                    self.settler.start(work)

    def _next(self, parameters: Parameters, now: Function) -> Configuration:
        return self.composer.next(
            parameters,
            now.wanted.configuration,
            account=now.account,
            region=now.region,
        )

    def _updated(self, now: Function, build: Build) -> Function:
        return replace(
            now,
            wanted=build,
            life=state.updating(now.life),
            modified_at=self.clock.now(),
        )

    async def _found(
        self, function: Function, version: Version | None, package: bytes
    ) -> None:
        work = settling(function.ref, function.wanted.sha256)
        layers = function.wanted.configuration.layers
        async with self._with_layers(function.ref, layers, function.wanted.sha256):
            await self.store.begin(work)
            try:
                await self.store.keep(function.account, package)
                await self.store.create(function, *([version] if version else []))
            finally:
                self.settler.start(work)

    async def _read(
        self, account: str, package: bytes, configuration: Configuration
    ) -> str:
        """Have a package read where it can do no harm; give its digest."""
        sha256 = hashlib.sha256(package).hexdigest()
        try:
            read = await self.packages.check(
                account, configuration.runtime, package, sha256
            )
        except Invalid as bad:
            raise Invalid(
                f"Could not unzip uploaded file. {bad.reason}",
                code=INVALID,
                evidence=bad.evidence,
            ) from bad
        together = read.bytes + sum(layer.unpacked for layer in configuration.layers)
        if together > UNPACKED:
            raise invalid(
                f"Function code combined with layers exceeds the maximum allowed size "
                f"of {UNPACKED} bytes. The actual size is {together} bytes."
            )
        return sha256


async def _stored(store: Store, account: str, sha256: str) -> bytes:
    """Read a package.  Raises Invalid."""
    try:
        return await store.package(account, sha256)
    except (KeyError, DamagedError) as cause:
        raise invalid(
            "a package cannot be read from the store; upload it again"
        ) from cause


def _own(call: Admitted) -> FunctionRef:
    """Say which function is to be made: one of the caller's own account."""
    ref = here(refer(call.parameters, call.scope), call.scope)
    if ref.account != call.scope.account:
        raise invalid("a function is made in the caller's own account only")
    return unqualified(ref)


def _package(package: bytes | None) -> bytes:
    if package is None:
        raise invalid("Please provide a source for function code.")
    if not package:
        raise invalid("Uploaded file must be a non-empty zip")
    if len(package) > PACKAGE:
        raise invalid(
            f"the package has {len(package)} bytes; one that is sent in the request "
            f"may have at most {PACKAGE}"
        )
    return package


def _changeable(function: Function, revision: str | None) -> None:
    changeable(function.life, function.revision, revision, function.ref.arn)
