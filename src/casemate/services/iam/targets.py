"""
What IAM's operations act on, and the condition keys that go with it.

An operation names a user or a role without its path, and a policy statement
may speak of the path.  So the declared resource is only the name; when the
service is composed, `Located` puts the path of what is there in its place, and
adds the keys that come from what is there: its boundary and its tags.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from casemate.core.call import Admitted
from casemate.core.errors import Conflict
from casemate.core.operation import (
    ContextOf,
    Need,
    NeedsOf,
    Operation,
    Parameters,
    Scope,
    condition_tags,
)
from casemate.services.iam.model import ManagedPolicy, Role, User
from casemate.services.iam.names import optional
from casemate.services.iam.store import Reader

Context = Mapping[str, str | tuple[str, ...]]
ResourceText = Callable[[Parameters, Scope], str]

BOUNDED = frozenset(
    f"{verb}{kind}{what}"
    for kind in ("User", "Role")
    for verb, what in (
        ("Attach", "Policy"),
        ("Detach", "Policy"),
        ("Put", "Policy"),
        ("Delete", "Policy"),
        ("Put", "PermissionsBoundary"),
        ("Delete", "PermissionsBoundary"),
    )
)
"""Operations whose `iam:PermissionsBoundary` is the boundary of their target,
unless the request brings one."""


def _arn(scope: Scope, resource: str) -> str:
    return f"arn:aws:iam::{scope.account}:{resource}"


def the_user(parameters: Parameters, scope: Scope) -> str:
    """Name a user that should be there; who names nobody means themselves."""
    return _arn(scope, f"user/{user_name(parameters, scope)}")


def user_name(parameters: Parameters, scope: Scope) -> str:
    """Give the user that is named, or the one who calls; empty for a role's session."""
    return optional(parameters, "UserName") or scope.user


def the_role(parameters: Parameters, scope: Scope) -> str:
    """Name a role that should be there."""
    return _arn(scope, f"role/{optional(parameters, 'RoleName')}")


def the_policy(parameters: Parameters, _scope: Scope) -> str:
    """Name a managed policy: the request has its whole ARN."""
    return optional(parameters, "PolicyArn")


def the_source(parameters: Parameters, _scope: Scope) -> str:
    """Name the identity whose policies are simulated."""
    return optional(parameters, "PolicySourceArn")


def new_user(parameters: Parameters, scope: Scope) -> str:
    """Name a user to be made."""
    return _arn(scope, f"user{_path(parameters)}{optional(parameters, 'UserName')}")


def new_role(parameters: Parameters, scope: Scope) -> str:
    """Name a role to be made."""
    return _arn(scope, f"role{_path(parameters)}{optional(parameters, 'RoleName')}")


def new_policy(parameters: Parameters, scope: Scope) -> str:
    """Name a managed policy to be made."""
    name = optional(parameters, "PolicyName")
    return _arn(scope, f"policy{_path(parameters)}{name}")


def all_users(parameters: Parameters, scope: Scope) -> str:
    """Name the users of the account under a path."""
    return _arn(scope, f"user{optional(parameters, 'PathPrefix') or '/'}")


def all_roles(parameters: Parameters, scope: Scope) -> str:
    """Name the roles of the account under a path."""
    return _arn(scope, f"role{optional(parameters, 'PathPrefix') or '/'}")


def all_policies(parameters: Parameters, scope: Scope) -> str:
    """Name the managed policies of the account under a path."""
    return _arn(scope, f"policy{optional(parameters, 'PathPrefix') or '/'}")


def _path(parameters: Parameters) -> str:
    return optional(parameters, "Path") or "/"


def policy_arn(parameters: Parameters, _scope: Scope) -> Context:
    """Fill `iam:PolicyARN`: what is attached or detached."""
    return {"iam:PolicyARN": optional(parameters, "PolicyArn")}


def creation(parameters: Parameters, scope: Scope) -> Context:
    """Fill the keys of a thing to be made: its boundary and its tags."""
    return {**boundary(parameters, scope), **request_tags(parameters, scope)}


def boundary(parameters: Parameters, _scope: Scope) -> Context:
    """Fill `iam:PermissionsBoundary`, if the request brings one."""
    given = optional(parameters, "PermissionsBoundary")
    return {"iam:PermissionsBoundary": given} if given else {}


def request_tags(parameters: Parameters, _scope: Scope) -> Context:
    """Fill `aws:RequestTag/…` and `aws:TagKeys`."""
    given = parameters.get("Tags")
    if not isinstance(given, Sequence):
        return {}
    return condition_tags(
        {str(t.get("Key", "")): str(t.get("Value", "")) for t in given}
    )


def tag_keys(parameters: Parameters, _scope: Scope) -> Context:
    """Fill `aws:TagKeys` from a list of keys."""
    given = parameters.get("TagKeys")
    return (
        {"aws:TagKeys": tuple(map(str, given))} if isinstance(given, Sequence) else {}
    )


def renaming(parameters: Parameters, scope: Scope) -> tuple[Need, ...]:
    """Need the right on the user's new name too; its old path is `/` until located."""
    return _renaming(parameters, scope, path="/")


def _renaming(parameters: Parameters, scope: Scope, *, path: str) -> tuple[Need, ...]:
    name = optional(parameters, "NewUserName") or optional(parameters, "UserName")
    there = optional(parameters, "NewPath") or path
    return (Need(action="iam:UpdateUser", resource=_arn(scope, f"user{there}{name}")),)


def tagging(action: str, resource: ResourceText) -> NeedsOf:
    """Need the right to tag, when something is made with tags."""

    def needs(parameters: Parameters, scope: Scope) -> tuple[Need, ...]:
        if not parameters.get("Tags"):
            return ()
        return (
            Need(
                action=action,
                resource=str(resource(parameters, scope)),
                context=request_tags(parameters, scope),
            ),
        )

    return needs


@dataclass(frozen=True, slots=True)
class Located:
    """Finds what operations act on."""

    reader: Reader

    def bind(self, operation: Operation) -> Operation:
        """Give the operation with its resource and context as they are there."""
        if operation.resource not in (the_user, the_role, the_policy):
            return operation
        return replace(
            operation,
            resource=self._resource(operation),
            context=self._context(operation),
            needs=self._renaming if operation.needs is renaming else operation.needs,
        )

    def _renaming(self, parameters: Parameters, scope: Scope) -> tuple[Need, ...]:
        user = self.reader.user(scope.account, optional(parameters, "UserName"))
        return _renaming(parameters, scope, path=user.path if user else "/")

    def _target(
        self, operation: Operation, parameters: Parameters, scope: Scope
    ) -> User | Role | ManagedPolicy | None:
        if operation.resource is the_user:
            return self.reader.user(scope.account, user_name(parameters, scope))
        if operation.resource is the_role:
            return self.reader.role(scope.account, optional(parameters, "RoleName"))
        return self.reader.policy(scope.account, optional(parameters, "PolicyArn"))

    def _resource(self, operation: Operation) -> ResourceText:
        def resource(parameters: Parameters, scope: Scope) -> str:
            found = self._target(operation, parameters, scope)
            return found.arn if found else str(operation.resource(parameters, scope))

        return resource

    def _context(self, operation: Operation) -> ContextOf:
        def context(parameters: Parameters, scope: Scope) -> Context:
            found = self._target(operation, parameters, scope)
            given = operation.context(parameters, scope)
            return {**_kept(operation, found), **given} if found else given

        return context


def _kept(operation: Operation, found: User | Role | ManagedPolicy) -> Context:
    context = {f"aws:ResourceTag/{k}": v for k, v in found.tags.items()}
    context |= {f"iam:ResourceTag/{k}": v for k, v in found.tags.items()}
    if (
        operation.name in BOUNDED
        and not isinstance(found, ManagedPolicy)
        and found.boundary
    ):
        context["iam:PermissionsBoundary"] = found.boundary
    return context


def unmoved(call: Admitted, arn: str) -> None:
    """
    Hold what is about to be used against what was authorized.

    Between the two, a thing may have been deleted and made again under another
    path.  Raises Conflict.
    """
    if call.sound.allowed.resource != arn:
        raise Conflict(
            "what the call names was moved while it was being authorized; try again",
            code="ConcurrentModification",
        )
