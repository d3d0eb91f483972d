"""
The record as it is told: one request's, and the judgement of the whole chain.

A denial's evidence weighs the policies of both sides.  Where the resource is
another account's, statements of that account's policies are left out; what
broke inside the platform is the operator's alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from casemate.core.arn import Arn, NotAnArnError
from casemate.seal.checkpoint import Checkpoint
from casemate.seal.verdict import Verdict

_HOUSE = "additionalEventData"


def told(record: Mapping[str, object], *, account: str, operator: bool) -> str:
    """Write a record as JSON for somebody of an account."""
    house = record.get(_HOUSE)
    kept = dict(house) if isinstance(house, Mapping) else {}
    evidence = kept.get("evidence")
    if not isinstance(evidence, Mapping):
        evidence = {}
    resource = evidence.get("resource") or kept.get("resource")
    if not operator:
        kept.pop("crash", None)
    if not _own(resource, account):
        kept["because"] = []
        kept["evidence"] = {
            member: value
            for member, value in evidence.items()
            if member in ("action", "resource", "remedy")
        }
    return json.dumps({**record, _HOUSE: kept})


def judged(verdict: Verdict) -> dict[str, object]:
    """Write a verdict as the members of VerifyAudit's answer."""
    seen = verdict.unwitnessed
    tail = {} if seen is None else {"Unwitnessed": {"First": seen[0], "Last": seen[1]}}
    return {
        **tail,
        "Sound": verdict.sound,
        "Count": verdict.count,
        "Head": verdict.head.hex(),
        "Checkpointed": verdict.checkpointed,
        "Witnessed": verdict.witnessed,
        "More": verdict.more,
        "Findings": [
            {"Fault": f.fault.value, "First": f.first, "Last": f.last, "Says": f.says}
            for f in verdict.findings
        ],
    }


def witnessed(parameters: Mapping[str, object]) -> list[Checkpoint]:
    """Read what a witness has received; nothing in it is believed yet."""
    given = parameters.get("Witness")
    return [
        Checkpoint(
            statement=str(one["Statement"]).encode(),
            signature=bytes.fromhex(str(one["Signature"])),
        )
        for one in (given if isinstance(given, list) else [])
    ]


def _own(resource: object, account: str) -> bool:
    if not isinstance(resource, str):
        return True
    try:
        return Arn.parse(resource).account in ("", "aws", account)
    except NotAnArnError:
        return True
