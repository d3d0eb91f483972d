"""The one error of the language."""

from __future__ import annotations


class MalformedPolicyError(ValueError):
    """
    A document is not a policy of its kind.

    The text is for the person who wrote the document: what is wrong, where,
    and what would be right.  Services turn it into their own code
    (`MalformedPolicyDocument` of IAM and STS, say).
    """

    def __init__(self, reason: str) -> None:
        """Keep the reason."""
        super().__init__(reason)
        self.reason = reason
