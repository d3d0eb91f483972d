"""The context object that a handler gets, as Lambda documents it for Python."""

from __future__ import annotations

import json
import sys
import time

from casemate_cell.errors import Fault

TYPE_CHECKING = False  # the name is what mypy knows; `typing` costs 0.4 MiB
if TYPE_CHECKING:
    from collections.abc import Mapping

    from casemate_cell.channel import Order


class CognitoIdentity:
    """The caller's Cognito identity; always empty here."""

    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")

    def __init__(self) -> None:
        self.cognito_identity_id: str | None = None
        self.cognito_identity_pool_id: str | None = None

    def __repr__(self) -> str:
        return _shown(self, self.__slots__)


class Client:
    """The mobile application that calls."""

    __slots__ = (
        "app_package_name",
        "app_title",
        "app_version_code",
        "app_version_name",
        "installation_id",
    )

    def __init__(self, given: Mapping[str, object]) -> None:
        for name in self.__slots__:
            setattr(self, name, given.get(name))

    def __repr__(self) -> str:
        return _shown(self, self.__slots__)


class ClientContext:
    """What the caller sent in `X-Amz-Client-Context`."""

    __slots__ = ("client", "custom", "env")

    def __init__(self, given: Mapping[str, object]) -> None:
        self.custom = given.get("custom")
        self.env = given.get("env")
        client = given.get("client")
        self.client = Client(client) if isinstance(client, dict) else None

    def __repr__(self) -> str:
        return _shown(self, self.__slots__)


class LambdaContext:
    """One invocation's facts.  Attribute names and types are AWS's own."""

    def __init__(self, function: Mapping[str, object], order: Order) -> None:
        """Make from the `function` of an assign order and an event's order."""
        self.aws_request_id = order.id
        self.log_group_name = function["log_group"]
        self.log_stream_name = function["log_stream"]
        self.function_name = function["name"]
        self.memory_limit_in_mb = str(function["memory_mb"])
        self.function_version = function["version"]
        self.invoked_function_arn = order.arn
        self.tenant_id = function.get("tenant_id") or None
        self.client_context = _client_context(order.client_context)
        self.identity = CognitoIdentity()
        self._epoch_deadline_time_in_ms = order.deadline

    def get_remaining_time_in_millis(self) -> int:
        """Say how many milliseconds are left, never less than 0."""
        now = int(time.time() * 1000)
        return max(0, self._epoch_deadline_time_in_ms - now)

    def log(self, message: object) -> None:
        """Write to the function's log as it is."""
        sys.stdout.write(str(message))

    def __repr__(self) -> str:
        names = (
            "aws_request_id",
            "log_group_name",
            "log_stream_name",
            "function_name",
            "memory_limit_in_mb",
            "function_version",
            "invoked_function_arn",
            "client_context",
            "identity",
            "tenant_id",
        )
        return _shown(self, names)


def _client_context(given: str) -> ClientContext | None:
    if not given:
        return None
    try:
        parsed = json.loads(given)
    except (ValueError, RecursionError) as error:
        raise Fault(
            "Runtime.LambdaContextUnmarshalError",
            f"Unable to parse Client Context JSON: {error}",
        ) from error
    return ClientContext(parsed) if isinstance(parsed, dict) else None


def _shown(thing: object, names: tuple[str, ...]) -> str:
    values = ",".join(f"{name}={getattr(thing, name)}" for name in names)
    return f"{type(thing).__name__}([{values}])"
