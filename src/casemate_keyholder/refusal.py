"""
What the keyholder says no with.

    RefusedError      one request is refused; the next may be good
    StartRefusedError the keyholder does not start on this data

Neither ever carries a key, a secret, a token or a foreign exception's text.
"""

from __future__ import annotations


class RefusedError(Exception):
    """
    One request is refused.

    code: a word for the program that asked (AWS's own where there is one).
    reason: for people, lower case, no full stop.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class StartRefusedError(Exception):
    """The keyholder cannot start on what it was given; the text says why."""
