"""
Values that are secrets by their very form.

Environment variables are shown to everybody who may read a configuration.  A
value that has the unmistakable form of a credential is refused unless the
operator says otherwise by name.  Only forms with a fixed prefix or frame are
looked for: a rule that is often wrong is a rule that gets switched off.  A
password without a form is not found.
"""

from __future__ import annotations

import re
from typing import Final

_FORMS: Final = (
    ("an AWS access key id", r"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Z0-9])"),
    ("a private key", r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY-----"),
    ("a private key", r"-----BEGIN PGP PRIVATE KEY BLOCK-----"),
    ("a GitHub token", r"(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9]{36}"),
    ("a GitHub token", r"(?<![A-Za-z0-9])github_pat_[A-Za-z0-9_]{82}"),
    ("a GitLab token", r"(?<![A-Za-z0-9])glpat-[A-Za-z0-9_-]{20}"),
    ("a Slack token", r"(?<![A-Za-z0-9])xox[abeoprs]-[A-Za-z0-9-]{20}"),
    ("a Google API key", r"(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}"),
    ("a Stripe key", r"(?<![A-Za-z0-9])[rs]k_live_[A-Za-z0-9]{24}"),
    ("an npm token", r"(?<![A-Za-z0-9])npm_[A-Za-z0-9]{36}"),
    ("a PyPI token", r"(?<![A-Za-z0-9])pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50}"),
)
"""Each is linear: fixed prefixes, and counted classes without overlap."""

_COMPILED: Final = tuple((kind, re.compile(form)) for kind, form in _FORMS)


def secret_in(value: str) -> str | None:
    """Say what secret a value holds by its form, or None.  Never the value itself."""
    for kind, form in _COMPILED:
        if form.search(value):
            return kind
    return None
