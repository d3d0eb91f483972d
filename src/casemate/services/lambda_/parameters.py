"""Typed reading of parameters, refused in this service's words."""

from __future__ import annotations

from casemate.core.typed import Typed
from casemate.services.lambda_.refusals import invalid

_typed = Typed(invalid)

text = _typed.text
needed = _typed.needed
integer = _typed.integer
flag = _typed.flag
octets = _typed.octets
structure = _typed.structure
texts = _typed.texts
text_map = _typed.text_map
