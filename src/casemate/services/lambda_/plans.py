"""What is to be done with a function's events, for those who drive them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from casemate.core.arn import Arn
from casemate.core.event import Plan
from casemate.services.lambda_.directory import Directory
from casemate.services.lambda_.eventconfig import EventConfig, EventConfigs
from casemate.services.lambda_.names import refer_arn


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """Reads plans, as they are now: a change holds for events that wait, too."""

    directory: Directory
    configs: EventConfigs

    def plan(self, target: str) -> Plan | None:
        """Give the plan of a qualified function; None if there is no such one."""
        ref = refer_arn(Arn.parse(target))
        deployed = self.directory.find(ref) if ref else None
        if ref is None or deployed is None:
            return None
        config = self.configs.find(ref) or EventConfig(modified_at=0.0)
        configuration = deployed.configuration
        return Plan(
            role_arn=configuration.role_arn,
            role_id=configuration.role_id,
            retries=config.effective_retries,
            max_age=config.effective_max_age,
            on_success=config.on_success,
            on_failure=config.on_failure,
            dead_letter=configuration.dead_letter,
            recursive=deployed.function.recursive,
        )
