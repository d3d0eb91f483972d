"""Tags of roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from casemate.core.call import Admitted
from casemate.core.operation import operation
from casemate.services.iam.holders import changeable_role, find_role, keep
from casemate.services.iam.names import TAGS, as_list, tags, too_many_tags
from casemate.services.iam.pages import Pages, after
from casemate.services.iam.store import Draft, Ledger
from casemate.services.iam.targets import request_tags, tag_keys, the_role


@dataclass(frozen=True, slots=True)
class RoleTags:
    """Sets, removes and lists tags.  Keys are not distinguished by case."""

    ledger: Ledger
    pages: Pages

    @operation(
        "TagRole",
        action="iam:TagRole",
        resource=the_role,
        accepts=("RoleName", "Tags"),
        context=request_tags,
        mutates=True,
        errors=(
            "NoSuchEntity",
            "LimitExceeded",
            "InvalidInput",
            "UnmodifiableEntity",
            "ConcurrentModification",
        ),
    )
    async def tag(self, call: Admitted) -> Mapping[str, object]:
        given = tags(call.parameters)

        def work(draft: Draft) -> None:
            role = changeable_role(call, draft)
            kept = _without(role.tags, given) | given
            if len(kept) > TAGS:
                raise too_many_tags()
            keep(draft, msgspec.structs.replace(role, tags=kept))

        await self.ledger.change(call.principal.account, work)
        return {}

    @operation(
        "UntagRole",
        action="iam:UntagRole",
        resource=the_role,
        accepts=("RoleName", "TagKeys"),
        context=tag_keys,
        mutates=True,
        errors=("NoSuchEntity", "UnmodifiableEntity", "ConcurrentModification"),
    )
    async def untag(self, call: Admitted) -> Mapping[str, object]:
        given = call.parameters.get("TagKeys")
        keys = list(map(str, given)) if isinstance(given, Sequence) else []

        def work(draft: Draft) -> None:
            role = changeable_role(call, draft)
            keep(draft, msgspec.structs.replace(role, tags=_without(role.tags, keys)))

        await self.ledger.change(call.principal.account, work)
        return {}

    @operation(
        "ListRoleTags",
        action="iam:ListRoleTags",
        resource=the_role,
        accepts=("RoleName", "Marker", "MaxItems"),
        mutates=False,
        paginated=True,
        errors=("NoSuchEntity",),
    )
    async def all(self, call: Admitted) -> Mapping[str, object]:
        role = find_role(call, self.ledger.reader)
        page = self.pages.cut(call, after((k, (k, v)) for k, v in role.tags.items()))
        return {"Tags": as_list(dict(page.items)), **page.members()}


def _without(
    kept: Mapping[str, str], keys: Mapping[str, str] | Sequence[str]
) -> dict[str, str]:
    gone = {key.lower() for key in keys}
    return {key: value for key, value in kept.items() if key.lower() not in gone}
