"""
The verbs: what the node may ask, what each needs, how often, and what is kept.

A request is checked (known verb, known members, bounded values), metered, done,
recorded if it is rare, and only then answered.  Whatever goes wrong becomes an
error that names no value.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast, final

from casemate_keyholder.access import LONGEST_SESSION, Access
from casemate_keyholder.authority import CertificateAuthority
from casemate_keyholder.channel import Message, malformed, parse
from casemate_keyholder.checkpoint import Checkpoints
from casemate_keyholder.clock import Clock
from casemate_keyholder.datakeys import DataKeys
from casemate_keyholder.journal import Journal
from casemate_keyholder.meter import Bucket, Rate
from casemate_keyholder.names import Authority
from casemate_keyholder.refusal import RefusedError

_CONTEXT, _WRAPPED, _TOKEN, _WORD, _NAMES = 1024, 1024, 16_384, 256, 32
_HEX = frozenset("0123456789abcdef")
_HEAD = 64
_LARGEST = 2**53

Answer = Mapping[str, object]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The members of one request, read by type."""

    members: Message

    def text(self, name: str, limit: int) -> str:
        """Give a string of 1 to `limit` characters."""
        value = self.members.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= limit:
            raise malformed(f"`{name}` must be a string of 1 to {limit} characters")
        return value

    def whole(self, name: str, low: int, high: int) -> int:
        """Give an integer within bounds."""
        value = self.members.get(name)
        if type(value) is not int or not low <= value <= high:
            raise malformed(f"`{name}` must be an integer from {low} to {high}")
        return value

    def number(self, name: str) -> float:
        """Give a number of seconds or milliseconds."""
        value = self.members.get(name)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
            or not 0 <= value <= _LARGEST
        ):
            raise malformed(f"`{name}` must be a number that is not negative")
        return value

    def bytes(self, name: str, limit: int) -> bytes:
        """Give base64 as bytes."""
        try:
            return base64.b64decode(self.text(name, limit), validate=True)
        except (binascii.Error, ValueError):
            raise malformed(f"`{name}` must be base64") from None

    def names(self) -> list[str]:
        """Give the list `names`."""
        value = self.members.get("names")
        if not isinstance(value, list) or not 0 < len(value) <= _NAMES:
            raise malformed(f"`names` must be a list of 1 to {_NAMES} names")
        if not all(isinstance(name, str) and len(name) <= _WORD for name in value):
            raise malformed("a name must be a string")
        return value


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class _Verb:
    """
    One verb.

    takes: its members.  notes: of a rare verb, the members of request or
    answer that go to the record.
    """

    run: Callable[[Asked], Answer]
    bucket: Bucket
    takes: frozenset[str]
    notes: tuple[str, ...] | None


@final
class Verbs:
    """Answers requests."""

    def __init__(
        self,
        *,
        access: Access,
        data_keys: DataKeys,
        authority: CertificateAuthority,
        checkpoints: Checkpoints,
        journal: Journal,
        clock: Clock,
    ) -> None:
        self._access = access
        self._data_keys = data_keys
        self._authority = authority
        self._checkpoints = checkpoints
        self._journal = journal
        self._clock = clock
        self._counted: dict[str, dict[str, int]] = {}
        self._verbs = self._table()

    def _table(self) -> Mapping[str, _Verb]:
        """List the verbs: per second and burst, members, what is recorded."""
        key, session = ("access_key_id",), ("access_key_id", "seconds", "expires_at")
        rows: tuple[
            tuple[Callable[[Asked], Answer], float, str, tuple[str, ...] | None], ...
        ] = (
            (self._data_key_new, 200, "context", None),
            (self._data_key_open, 500, "context wrapped", ("context",)),
            (self._access_key_new, 20, "", key),
            (self._session_new, 200, "claims seconds", session),
            (
                self._signing_key,
                5000,
                "access_key_id token date region service",
                None,
            ),
            (self._leaf, 20, "authority names", ("authority", "names", "not_after")),
            (self._checkpoint, 50, "count head at", ("count", "head")),
            (self._public, 50, "", None),
        )
        return {
            run.__name__[1:]: _Verb(
                run=run,
                bucket=Bucket(Rate(per_second=rate, burst=4 * rate), self._clock),
                takes=frozenset(takes.split()) | {"id", "verb"},
                notes=notes,
            )
            for run, rate, takes, notes in rows
        }

    def answer(self, data: bytes) -> Answer:
        """Answer one message: `{"id", "ok"}` or `{"id", "error"}`.  Never raises."""
        number: int | None = None
        try:
            asked = Asked(members=parse(data))
            number = asked.whole("id", 0, _LARGEST)
            return {"id": number, "ok": self._do(asked)}
        except RefusedError as refused:
            return error(number, refused.code, refused.reason)
        except UnicodeEncodeError:
            return error(number, "Malformed", "a string is not Unicode text")
        except OSError:
            return error(number, "Unavailable", "the keyholder's folder failed it")
        except Exception as cause:  # noqa: BLE001 — the edge of one request: the
            # type alone is told, because an exception's text may hold a secret.
            return error(number, "Internal", f"unexpected {type(cause).__name__}")

    def tick(self) -> None:
        """Write down what was counted and not recorded one by one."""
        for name, verb in self._verbs.items():
            away = verb.bucket.turned_away_since()
            counted = self._counted.pop(name, {})
            if away or counted:
                self._journal.write(
                    {"verb": name, "counted": counted, "throttled": away}
                )

    def _do(self, asked: Asked) -> Answer:
        name = asked.text("verb", 64)
        verb = self._verbs.get(name)
        if verb is None:
            raise RefusedError("UnknownVerb", "the keyholder has no such verb")
        if not asked.members.keys() <= verb.takes:
            raise malformed(f"`{name}` has a member that this verb does not take")
        verb.bucket.take()
        answer: Answer = {}
        ending = "Failed"
        try:
            answer = verb.run(asked)
            ending = "ok"
        except RefusedError as refused:
            ending = refused.code
            raise
        finally:
            self._record(name, verb, asked, answer, ending)
        return {member: given for member, given in answer.items() if given is not None}

    def _record(
        self, name: str, verb: _Verb, asked: Asked, answer: Answer, ending: str
    ) -> None:
        if verb.notes is None:
            counts = self._counted.setdefault(name, {})
            counts[ending] = counts.get(ending, 0) + 1
            return
        facts = {**asked.members, **answer}
        noted = {note: _short(facts[note]) for note in verb.notes if note in facts}
        self._journal.write({"verb": name, "ending": ending, **noted})

    def _data_key_new(self, asked: Asked) -> Answer:
        wrapped, plaintext = self._data_keys.new(asked.text("context", _CONTEXT))
        return {"wrapped": _base64(wrapped), "plaintext": _base64(plaintext)}

    def _data_key_open(self, asked: Asked) -> Answer:
        context = asked.text("context", _CONTEXT)
        wrapped = asked.bytes("wrapped", _WRAPPED)
        return {"plaintext": _base64(self._data_keys.open(context, wrapped))}

    def _access_key_new(self, _asked: Asked) -> Answer:
        access_key_id, secret = self._access.new()
        return {"access_key_id": access_key_id, "secret": secret}

    def _session_new(self, asked: Asked) -> Answer:
        claims = asked.members.get("claims")
        if not isinstance(claims, dict):
            raise malformed("`claims` must be an object")
        session = self._access.session(
            claims, asked.whole("seconds", 1, LONGEST_SESSION)
        )
        return {
            "access_key_id": session.access_key_id,
            "secret": session.secret,
            "token": session.token,
            "expires_at": session.expires_at,
        }

    def _signing_key(self, asked: Asked) -> Answer:
        token = asked.members.get("token")
        signing = self._access.signing_key(
            asked.text("access_key_id", _WORD),
            None if token is None else asked.text("token", _TOKEN),
            asked.text("date", _WORD),
            asked.text("region", _WORD),
            asked.text("service", _WORD),
        )
        return {
            "key": _base64(signing.key),
            "claims": signing.claims,
            "expires_at": signing.expires_at,
        }

    def _leaf(self, asked: Asked) -> Answer:
        authority = asked.text("authority", _WORD)
        if authority not in ("edge", "cell"):
            raise malformed("`authority` must be `edge` or `cell`")
        leaf = self._authority.leaf(cast("Authority", authority), asked.names())
        return {
            "certificate_chain": leaf.certificate_chain,
            "private_key": leaf.private_key,
            "not_after": int(leaf.not_after.timestamp()),
        }

    def _checkpoint(self, asked: Asked) -> Answer:
        head = asked.text("head", _HEAD)
        if len(head) != _HEAD or not _HEX.issuperset(head):
            raise malformed("`head` must be 64 lower-case hex digits")
        signed = self._checkpoints.sign(
            asked.whole("count", 0, _LARGEST), head, asked.number("at")
        )
        return {
            "signature": _base64(signed.signature),
            "statement": _base64(signed.statement),
            "key_id": signed.key_id,
        }

    def _public(self, _asked: Asked) -> Answer:
        return {
            "ca": self._authority.root_pem,
            "audit_key": self._checkpoints.public_pem(),
            "audit_key_id": self._checkpoints.key_id,
        }


def error(number: int | None, code: str, reason: str) -> Answer:
    """Write an error answer."""
    return {"id": number, "error": {"code": code, "reason": reason}}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _short(value: object) -> object:
    """Bound what a refused request can put in the record."""
    if isinstance(value, list):
        return [_short(one) for one in value[:_NAMES]]
    if isinstance(value, str):
        return value[:_CONTEXT]
    return value if isinstance(value, int | float) else None
