"""
Invoke: from an admitted call to a function's answer.

The hot path.  A function is found by dictionary look-ups, and the payload is
checked without being built: a payload of a million small objects would cost the
event loop half a second otherwise.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import msgspec
import orjson

from casemate.core.call import Admitted, asker
from casemate.core.clock import Clock
from casemate.core.errors import Invalid, Refusal, TooLarge
from casemate.core.function import FunctionVersion, Invocation, InvocationResult
from casemate.core.operation import Parameters, Told, operation
from casemate.services.lambda_ import declared
from casemate.services.lambda_.directory import Deployed, Directory
from casemate.services.lambda_.functions import present
from casemate.services.lambda_.idempotency import once as single
from casemate.services.lambda_.idempotency.expression import EventError, read
from casemate.services.lambda_.idempotency.names import Named, Namer, Owner
from casemate.services.lambda_.idempotency.once import Once, Ran
from casemate.services.lambda_.idempotency.policy import Missing, Plan
from casemate.services.lambda_.ingest import Ingest
from casemate.services.lambda_.names import (
    FunctionRef,
    function_context,
    function_resource,
)
from casemate.services.lambda_.parameters import octets, text
from casemate.services.lambda_.ports import Chance, Run
from casemate.services.lambda_.recursion import RECURSIVE, stop
from casemate.services.lambda_.refusals import INVALID, in_state, invalid, not_found
from casemate.services.lambda_.settings import (
    CLIENT_CONTEXT,
    ONCE_EVENT,
    PAYLOAD,
    FunctionSettings,
)
from casemate.services.lambda_.settle import Settler

BODY_LIMIT: Final = PAYLOAD + 65_536
"""Bytes that the front lets in: beyond a payload's limit it is the operation that
refuses, in its own words."""

ERRORS: Final = (
    INVALID,
    "InvalidRequestContentException",
    RECURSIVE,
    "RequestTooLargeException",
    "ResourceConflictException",
    "ResourceNotFoundException",
    "ServiceException",
    "TooManyRequestsException",
)

_MARGIN: Final = 5.0
"""Seconds for which a key is taken beyond the longest that its call can run: for
writing down what came of it."""

_STORED: Final = ("x-casemate-idempotency", "stored")
"""The header of an answer that an earlier call got."""

_TENANT: Final = 256
_TENANT_CHARACTERS: Final = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/=+-@ "
)
"""AWS's own; none of them can break a header or a line of a log."""

_well_formed = msgspec.json.Decoder(msgspec.Raw).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """
    What is asked for.

    kind: the invocation type.  payload: sound JSON.  tenant: whose event it is, or
    empty where cells serve all.
    """

    kind: str
    tenant: str
    ref: FunctionRef
    deployed: Deployed
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoking:
    """Runs functions."""

    directory: Directory
    settler: Settler
    run: Run
    settings: FunctionSettings
    clock: Clock
    chance: Chance
    ingest: Ingest
    once: Once
    namer: Namer

    @operation(
        "Invoke",
        action="lambda:InvokeFunction",
        resource=function_resource,
        context=function_context,
        accepts=declared.INVOKE,
        only=declared.INVOKE_ONLY,
        mutates=False,
        acts=True,
        body_limit=BODY_LIMIT,
        errors=(*ERRORS, *single.CODES),
    )
    async def invoke(self, call: Admitted) -> Mapping[str, object] | Told:
        """Run a function and give its answer; a dry run only says that one may."""
        asked = self.asked(call, declared.INVOKE_ONLY)
        if asked.kind == "Event":
            return await self.ingest(call, asked.ref, asked.deployed, asked.payload)
        invocation = await self.prepare(call, asked)
        if invocation is None:
            return {"StatusCode": 204}
        plan = asked.deployed.once
        if plan is None:
            ran = await self._run(invocation)
            return Told(result=_answer(invocation, ran), notes=ran.notes)
        return await self._run_once(call, asked, plan, invocation)

    async def _run_once(
        self, call: Admitted, asked: Asked, plan: Plan, invocation: Invocation
    ) -> Told:
        """Run an event unless its key has an answer."""
        by = asker(call.known)
        named = self._named(
            asked.ref, asked.deployed, plan, by, asked.tenant, asked.payload
        )
        if named is None:
            ran = await self._run(invocation)
            noted = {**ran.notes, "idempotency": "no key"}
            return Told(result=_answer(invocation, ran), notes=noted)
        longest = invocation.deadline - call.arrival.started
        keyed = single.Asked(
            account=asked.ref.account,
            named=named,
            owner=invocation.id,
            deadline=invocation.deadline,
            lease=longest + _MARGIN,
            keep=plan.policy.expires,
        )

        async def run() -> Ran:
            # One that has waited has its own time whole: it may have to run.
            until = self.clock.monotonic() + longest
            return await self._run(replace(invocation, deadline=until))

        ran = await self.once.answer(keyed, run)
        answer = _answer(invocation, ran)
        if not ran.owner:
            return Told(result=answer, notes=ran.notes)
        return Told(
            result=answer,
            notes={"idempotency": "stored", "idempotencyOf": ran.owner},
            headers=(_STORED,),
        )

    async def _run(self, invocation: Invocation) -> Ran:
        result = await self.run.run(invocation)
        return Ran(
            version=invocation.function.version,
            payload=result.payload,
            error=result.error,
            log_tail=result.log_tail,
            notes=notes(result),
        )

    def asked(self, call: Admitted, only: Mapping[str, tuple[object, ...]]) -> Asked:
        """
        Read what is asked for, and find the function.

        only: what the operation takes.  Raises Invalid, TooLarge, NotFound, and
        `RecursiveInvocationException` for one that is too many hops from the first.
        """
        parameters = call.parameters
        kind = text(parameters, "InvocationType") or "RequestResponse"
        if kind not in only["InvocationType"]:
            raise invalid(f"`InvocationType` `{kind[:32]}` is not here yet")
        ref, deployed = present(self.directory, call)
        stop(call, deployed, kind)
        payload = checked(octets(parameters, "Payload") or b"")
        return Asked(
            kind=kind,
            tenant=tenant_of(parameters, deployed),
            ref=ref,
            deployed=deployed,
            payload=payload,
        )

    async def prepare(self, call: Admitted, asked: Asked) -> Invocation | None:
        """Make the invocation; None for a dry run.  Raises Invalid, Conflict."""
        parameters = call.parameters
        context = client_context(text(parameters, "ClientContext"))
        if asked.kind == "DryRun":
            return None
        version = self._chosen(asked.deployed)
        if version is None:
            version = await self._awaited(asked.ref, asked.deployed)
        if asked.tenant:
            version = replace(version, tenant=asked.tenant)
        return Invocation(
            id=call.arrival.id,
            function=version,
            invoked_arn=asked.ref.qualified,
            payload=asked.payload,
            trace=call.arrival.trace,
            deadline=call.arrival.started
            + version.timeout
            + self.settings.start_seconds,
            client_context=context,
            want_log_tail=text(parameters, "LogType") == "Tail",
        )

    def is_answered(self, ref: FunctionRef, parameters: Parameters, by: str) -> bool:
        """
        Tell whether a call gets an earlier call's answer, and so runs nothing.

        Asked by admission, for functions with places of their own only.
        """
        deployed = self.directory.find(ref)
        if deployed is None or deployed.once is None:
            return False
        try:
            payload = checked(octets(parameters, "Payload") or b"")
            tenant = tenant_of(parameters, deployed)
            named = self._named(ref, deployed, deployed.once, by, tenant, payload)
        except Refusal:
            return False  # the operation itself says why
        return named is not None and self.once.is_answered(ref.account, named)

    def _named(
        self,
        ref: FunctionRef,
        deployed: Deployed,
        plan: Plan,
        by: str,
        tenant: str,
        payload: bytes,
    ) -> Named | None:
        """
        Name the key of an event; None if it has none and runs all the same.

        Raises Invalid, TooLarge.
        """
        if len(payload) > ONCE_EVENT:
            raise TooLarge(
                f"the function has an idempotency policy, so its events must have at "
                f"most {ONCE_EVENT} bytes",
                members={"Type": "User"},
            )
        owner = Owner(
            account=ref.account,
            region=ref.region,
            name=ref.name,
            born=deployed.function.born,
            caller=by,
            tenant=tenant,
        )
        try:
            named = self.namer.name(plan, owner, read(payload))
        except EventError as cause:
            raise _content(
                f"the event cannot be read for its idempotency key: {cause}"
            ) from cause
        if named is None and plan.policy.missing is Missing.REFUSE:
            raise single.no_key(plan.policy.key)
        return named

    async def _awaited(self, ref: FunctionRef, deployed: Deployed) -> FunctionVersion:
        """Wait for a function that is being created.  Raises Conflict, NotFound."""
        await self.settler.wait(deployed.function, self.settings.pending_seconds)
        now = self.directory.find(ref)
        if now is None:
            raise not_found(ref.qualified)
        version = self._chosen(now)
        if version is None:
            first = now.version is None
            raise in_state(now.life.state if first else "Pending or Failed")
        return version

    def _chosen(self, deployed: Deployed) -> FunctionVersion | None:
        """Choose what runs; of an alias with two versions, by their weights."""
        if deployed.weight and self.chance() < deployed.weight:
            return deployed.second
        return deployed.version


def _answer(invocation: Invocation, ran: Ran) -> dict[str, object]:
    """Write what came of an event; of an earlier call's run there is no log."""
    answer: dict[str, object] = {
        "StatusCode": 200,
        "ExecutedVersion": ran.version,
        "Payload": ran.payload,
    }
    if ran.error is not None:
        answer["FunctionError"] = ran.error
    if invocation.want_log_tail and not ran.owner:
        answer["LogResult"] = base64.b64encode(ran.log_tail).decode("ascii")
    return answer


def notes(result: InvocationResult) -> dict[str, object]:
    """Say for the record what the answer does not: where a cold start's time went."""
    told: dict[str, object] = {}
    if result.error is not None:
        told["functionError"] = result.error
    if result.split is not None:
        told["start"] = {name: round(ms, 3) for name, ms in result.split.stages()}
    return told


def tenant_of(parameters: Parameters, deployed: Deployed) -> str:
    """
    Give the tenant id that an event is for; empty where cells serve all.

    A function has it for life whether its events are of tenants, so all its
    versions agree.  Raises Invalid.
    Source: https://docs.aws.amazon.com/lambda/latest/dg/tenant-isolation-troubleshooting.html
    """
    given = text(parameters, "TenantId") or ""
    isolated = deployed.function.wanted.configuration.per_tenant
    if isolated and not given:
        raise invalid(
            "The invoked function is enabled with tenancy configuration. Add a valid "
            "tenant ID in your request and try again."
        )
    if given and not isolated:
        raise invalid(
            "The invoked function is not enabled with tenancy configuration. Remove "
            "the tenant ID from your request and try again."
        )
    if len(given) > _TENANT or not _TENANT_CHARACTERS.issuperset(given):
        raise invalid(f"`TenantId` `{given[:_TENANT]}` is not a tenant ID")
    return given


def checked(payload: bytes) -> bytes:
    """
    Give a payload that is JSON, `{}` for none.

    Raises TooLarge, Invalid.
    """
    if len(payload) > PAYLOAD:
        raise TooLarge(
            f"Request must be smaller than {PAYLOAD} bytes for the InvokeFunction "
            "operation",
            members={"Type": "User"},
        )
    if not payload:
        return b"{}"
    try:
        if not payload.isascii():
            payload.decode()  # the parser below looks at no UTF-8
        _well_formed(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
        raise _content(f"Could not parse request body into json: {cause}") from cause
    return payload


def client_context(given: str | None) -> str | None:
    """
    Read a client context: JSON in base64, at most 3,583 bytes of it.

    Gives one line of ASCII JSON, fit for a header.  Raises Invalid.
    """
    if not given:
        return None
    if len(given) > CLIENT_CONTEXT:
        raise invalid(
            f"Client context must be no more than {CLIENT_CONTEXT} bytes when encoded"
        )
    try:
        content = orjson.loads(base64.b64decode(given, validate=True))
    except (binascii.Error, ValueError) as cause:
        raise _content(
            "Client context must be a valid Base64-encoded JSON object."
        ) from cause
    if not isinstance(content, dict):
        raise _content("Client context must be a valid Base64-encoded JSON object.")
    return json.dumps(content, separators=(",", ":"))


def _content(reason: str) -> Invalid:
    return Invalid(
        reason, code="InvalidRequestContentException", members={"Type": "User"}
    )
