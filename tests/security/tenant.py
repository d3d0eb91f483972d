"""
One account as its owner uses it, and both halves of a refusal.

A refusal counts only if it is also on record, so `refused` gives the error that
the client saw together with the audit record of the very same request.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest
from botocore.exceptions import ClientError

from platform_harness import Platform, zipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """What a client was told, and what the record says."""

    code: str
    message: str
    status: int
    record: dict[str, Any]


class Tenant:
    """An account's administrator, with clients that are made once."""

    def __init__(self, platform: Platform, account: str | None = None) -> None:
        self.platform = platform
        self._account = account
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """Give the client of a service."""
        if service not in self._clients:
            self._clients[service] = self.platform.client(service, self._account)
        return self._clients[service]

    @cached_property
    def account(self) -> str:
        """The account's id."""
        return str(self.client("sts").get_caller_identity()["Account"])

    @cached_property
    def role(self) -> str:
        """A role for functions, without any right."""
        return self.platform.role("powerless", account=self._account)

    def create(
        self,
        files: dict[str, str | bytes] | str | bytes,
        name: str = "",
        **settings: Any,
    ) -> dict[str, Any]:
        """Create a function of sources or of a whole archive; it may be refused."""
        if isinstance(files, str):
            files = {"handler.py": files}
        made: dict[str, Any] = self.client("lambda").create_function(
            **{
                "FunctionName": name or f"f-{secrets.token_hex(6)}",
                "Runtime": "python3.11",
                "Handler": "handler.handler",
                "Role": self.role,
                "Timeout": 10,
                "MemorySize": 256,
                "Code": {
                    "ZipFile": files if isinstance(files, bytes) else zipped(files)
                },
                **settings,
            }
        )
        return made

    def deploy(
        self,
        files: dict[str, str | bytes] | str | bytes,
        name: str = "",
        **settings: Any,
    ) -> str:
        """Create a function, wait until it is active, and give its name."""
        made = str(self.create(files, name, **settings)["FunctionName"])
        self.client("lambda").get_waiter("function_active_v2").wait(FunctionName=made)
        return made

    def settled(self, name: str) -> None:
        """Wait until an update has taken effect."""
        waiter = self.client("lambda").get_waiter("function_updated_v2")
        waiter.wait(FunctionName=name)

    def invoke(
        self, name: str, event: object = None, **more: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Invoke; give the function's answer and the response."""
        answer = self.client("lambda").invoke(
            FunctionName=name, Payload=json.dumps(event).encode(), **more
        )
        body = answer["Payload"].read()
        return (json.loads(body) if body else None), answer

    def logs(self, name: str) -> list[str]:
        """Give the messages of a function's log, oldest first."""
        client = self.client("logs")
        pages = client.get_paginator("filter_log_events")
        try:
            return [
                event["message"]
                for page in pages.paginate(logGroupName=f"/aws/lambda/{name}")
                for event in page["events"]
            ]
        except client.exceptions.ResourceNotFoundException:
            return []

    def logs_until(self, name: str, text: str) -> list[str]:
        """Read a log until it has a line; lines are written behind the answer."""
        deadline = time.monotonic() + 15
        while True:
            lines = self.logs(name)
            if any(text in line for line in lines):
                return lines
            assert time.monotonic() < deadline, f"no `{text}` in the log of `{name}`"

    def record(self, request_id: str) -> dict[str, Any]:
        """Give the audit record of a request."""
        story = self.client("casemate").explain_request(RequestId=request_id)
        record: dict[str, Any] = json.loads(story["Record"])
        return record

    def refused(self, call: Callable[..., object], **arguments: Any) -> Refused:
        """Make a call that must be refused; give both halves of the refusal."""
        with pytest.raises(ClientError) as caught:
            call(**arguments)
        response: Any = caught.value.response
        told, meta = response["Error"], response["ResponseMetadata"]
        record = self.record(meta["RequestId"])
        # The query protocol leaves `Exception` away, where others spell it; a
        # service that has left that protocol tells its own name beside the old.
        code = str(told.get("QueryErrorCode", told["Code"]))
        assert record["errorCode"].removesuffix("Exception") == code.removesuffix(
            "Exception"
        )
        assert record["requestID"] == meta["RequestId"]
        return Refused(
            code=told["Code"],
            message=told["Message"],
            status=meta["HTTPStatusCode"],
            record=record,
        )
