"""The operations on groups: make, list, delete, retention, tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from casemate.core.call import Admitted
from casemate.core.clock import Clock
from casemate.core.operation import Need, Parameters, Scope, operation
from casemate.services.logs import names, tagging
from casemate.services.logs.ledger import Ledger
from casemate.services.logs.model import Group, GroupRef
from casemate.services.logs.paging import Paging, size
from casemate.services.logs.parameters import integer, needed, text, text_map, texts
from casemate.services.logs.refusals import INVALID, invalid, limit, no_group
from casemate.services.logs.settings import RETENTIONS, LogSettings
from casemate.services.logs.store import Store

_SEEN: Final = (INVALID, "ServiceUnavailableException")
_CHANGED: Final = (*_SEEN, "OperationAbortedException", "ResourceNotFoundException")
PAGE: Final = 50


def tagging_too(parameters: Parameters, scope: Scope) -> tuple[Need, ...]:
    """Need `logs:TagResource` for a creation with tags."""
    if not text_map(parameters, "tags"):
        return ()
    return (
        Need(
            action="logs:TagResource",
            resource=names.named(parameters, scope).arn,
            context=tagging.tag_context(parameters, scope),
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Log groups."""

    store: Store
    ledger: Ledger
    listing: Paging
    clock: Clock
    settings: LogSettings

    @operation(
        "CreateLogGroup",
        action="logs:CreateLogGroup",
        resource=names.of_group,
        needs=tagging_too,
        context=tagging.tag_context,
        accepts=("logGroupName", "tags", "logGroupClass", "deletionProtectionEnabled"),
        only={"logGroupClass": ("STANDARD",), "deletionProtectionEnabled": (False,)},
        mutates=True,
        errors=(
            *_SEEN,
            "LimitExceededException",
            "OperationAbortedException",
            "ResourceAlreadyExistsException",
        ),
    )
    async def create(self, call: Admitted) -> Mapping[str, object]:
        """Make a group."""
        ref = _named(call)
        tags = tagging.check(text_map(call.parameters, "tags") or {})
        most = self.settings.groups
        there = islice(self.store.groups(ref.account, ref.region), most)
        if sum(1 for _ in there) >= most:
            raise limit(f"the account has {most} log groups, which is the most")
        now = int(self.clock.now() * 1000)
        await self.store.create_group(ref, Group(created_at=now, tags=tags))
        return {}

    @operation(
        "DescribeLogGroups",
        action="logs:DescribeLogGroups",
        resource=names.of_all,
        accepts=(
            "logGroupNamePrefix",
            "logGroupNamePattern",
            "nextToken",
            "limit",
            "includeLinkedAccounts",
            "logGroupClass",
        ),
        only={"includeLinkedAccounts": (False,), "logGroupClass": ("STANDARD",)},
        mutates=False,
        paginated=True,
        errors=_SEEN,
    )
    async def describe(self, call: Admitted) -> Mapping[str, object]:
        """List the caller's groups by name."""
        prefix = text(call.parameters, "logGroupNamePrefix") or ""
        pattern = text(call.parameters, "logGroupNamePattern") or ""
        if prefix and pattern:
            raise invalid("logGroupNamePrefix and logGroupNamePattern exclude another")
        scope, most = call.scope, size(call.parameters, PAGE, PAGE)
        query = (scope.region, prefix, pattern)
        after = self.listing.position(call, query).decode()
        matching = (
            (ref, group)
            for ref, group in self.store.groups(
                scope.account, scope.region, prefix=prefix, after=after
            )
            if pattern in ref.name
        )
        found = list(islice(matching, most + 1))
        answer: dict[str, object] = {
            "logGroups": [self._shown(ref, group) for ref, group in found[:most]]
        }
        if len(found) > most:
            last = found[most - 1][0].name.encode()
            answer["nextToken"] = self.listing.token(call, query, last)
        return answer

    @operation(
        "DeleteLogGroup",
        action="logs:DeleteLogGroup",
        resource=names.of_group,
        accepts=("logGroupName",),
        mutates=True,
        errors=_CHANGED,
    )
    async def delete(self, call: Admitted) -> Mapping[str, object]:
        """Delete a group with all its streams and events."""
        ref = _named(call)
        if self.store.group(ref) is None:
            raise no_group()
        await self.store.delete_group(ref)
        self.ledger.forget(ref)
        return {}

    @operation(
        "PutRetentionPolicy",
        action="logs:PutRetentionPolicy",
        resource=names.of_group,
        accepts=("logGroupName", "retentionInDays"),
        mutates=True,
        errors=_CHANGED,
    )
    async def retain(self, call: Admitted) -> Mapping[str, object]:
        """Say for how many days a group keeps its events; enforced each minute."""
        days = integer(call.parameters, "retentionInDays")
        if days not in RETENTIONS:
            raise invalid(
                f"`retentionInDays` must be one of {', '.join(map(str, RETENTIONS))}"
            )
        await self.store.change_group(
            _named(call), lambda group: replace(group, retention_days=days)
        )
        return {}

    @operation(
        "DeleteRetentionPolicy",
        action="logs:DeleteRetentionPolicy",
        resource=names.of_group,
        accepts=("logGroupName",),
        mutates=True,
        errors=_CHANGED,
    )
    async def keep(self, call: Admitted) -> Mapping[str, object]:
        """Let a group keep its events for ever."""
        await self.store.change_group(
            _named(call), lambda group: replace(group, retention_days=None)
        )
        return {}

    @operation(
        "TagResource",
        action="logs:TagResource",
        resource=names.of_arn,
        context=tagging.tag_context,
        accepts=("resourceArn", "tags"),
        mutates=True,
        errors=(*_CHANGED, "TooManyTagsException"),
    )
    async def tag(self, call: Admitted) -> Mapping[str, object]:
        """Add tags to a group."""
        added = tagging.check(text_map(call.parameters, "tags") or {})
        await self.store.change_group(
            _tagged(call),
            lambda group: replace(group, tags=tagging.check({**group.tags, **added})),
        )
        return {}

    @operation(
        "UntagResource",
        action="logs:UntagResource",
        resource=names.of_arn,
        context=tagging.untag_context,
        accepts=("resourceArn", "tagKeys"),
        mutates=True,
        errors=_CHANGED,
    )
    async def untag(self, call: Admitted) -> Mapping[str, object]:
        """Remove tags from a group."""
        gone = frozenset(texts(call.parameters, "tagKeys") or ())
        await self.store.change_group(
            _tagged(call),
            lambda group: replace(
                group, tags={k: v for k, v in group.tags.items() if k not in gone}
            ),
        )
        return {}

    @operation(
        "ListTagsForResource",
        action="logs:ListTagsForResource",
        resource=names.of_arn,
        accepts=("resourceArn",),
        mutates=False,
        errors=(*_SEEN, "ResourceNotFoundException"),
    )
    async def list_tags(self, call: Admitted) -> Mapping[str, object]:
        """List the tags of a group."""
        group = self.store.group(_tagged(call))
        if group is None:
            raise no_group()
        return {"tags": dict(group.tags)}

    def _shown(self, ref: GroupRef, group: Group) -> dict[str, object]:
        shown: dict[str, object] = {
            "logGroupName": ref.name,
            "creationTime": group.created_at,
            "metricFilterCount": 0,
            "arn": f"{ref.arn}:*",
            "storedBytes": self.ledger.of(ref),
            "logGroupClass": "STANDARD",
            "logGroupArn": ref.arn,
        }
        if group.retention_days is not None:
            shown["retentionInDays"] = group.retention_days
        return shown


def _named(call: Admitted) -> GroupRef:
    return names.here(names.named(call.parameters, call.scope), call.scope)


def _tagged(call: Admitted) -> GroupRef:
    return names.here(names.by_arn(needed(call.parameters, "resourceArn")), call.scope)
