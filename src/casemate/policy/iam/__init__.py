"""
The IAM policy language: compile a document once, then ask it.

Pure, total and synchronous.  `compile_policy` refuses what is not a policy;
`decide` never raises for what it is asked.
"""

from casemate.policy.iam.decision import Decision, Finding, decide
from casemate.policy.iam.document import Kind
from casemate.policy.iam.facts import Ask, PrincipalView, principal_context
from casemate.policy.iam.malformed import MalformedPolicyError
from casemate.policy.iam.policy import Policy, compile_policy
from casemate.policy.iam.remedy import Layer
from casemate.policy.iam.statement import StatementRef

__all__ = [
    "Ask",
    "Decision",
    "Finding",
    "Kind",
    "Layer",
    "MalformedPolicyError",
    "Policy",
    "PrincipalView",
    "StatementRef",
    "compile_policy",
    "decide",
    "principal_context",
]
