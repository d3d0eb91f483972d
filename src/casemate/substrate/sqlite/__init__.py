"""The ports on one machine: an encrypted SQLite file and a folder of blobs."""

from __future__ import annotations

from casemate.substrate.ports import TooLargeError
from casemate.substrate.sqlite.file import WrongKeyError
from casemate.substrate.sqlite.limits import ClosedError, Limits, NoKeyError
from casemate.substrate.sqlite.schema import NewerSchemaError
from casemate.substrate.sqlite.store import Health, InUseError, Store, open_store
from casemate.substrate.sqlite.vault import Envelope, KeyRing

__all__ = [
    "ClosedError",
    "Envelope",
    "Health",
    "InUseError",
    "KeyRing",
    "Limits",
    "NewerSchemaError",
    "NoKeyError",
    "Store",
    "TooLargeError",
    "WrongKeyError",
    "open_store",
]
