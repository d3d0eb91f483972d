"""
The authn room: from an arrival's claim to a principal.

1. An inside caller is a service of the platform; no network byte can make one.
2. A signed request names an access key.  The keyholder derives the day's
   signing key of it; the key is cached for its day.
3. The signature is held against the request (`sigv4`).
4. A session's claims come sealed from the keyholder.  They hold until they
   expire, while the role that they name exists with the same unique id, and,
   if they are bound to a cell, in that cell only.
5. A long-lived access key must be recorded, active, and its user must exist.

What is not done here: what the principal may do.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from casemate.core.call import Arrival, Inside, Known, Request
from casemate.core.clock import Clock
from casemate.core.errors import Refusal, Unauthenticated, Unavailable
from casemate.core.principal import Kind, Principal
from casemate.core.session import SessionClaims
from casemate.road.authn import sigv4

_CACHED_KEYS = 10_000
