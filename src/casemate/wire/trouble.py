"""
Why bytes could not be read, or a result not be written.

    WireError
    ├── UnreadableError           the client's bytes; becomes a `Malformed` refusal
    ├── WrongOutputError          a service gave what the model does not have: our bug
    ├── UnknownServiceError       there is no model of that name
    └── UnsupportedProtocolError  the model speaks what is not spoken here
"""

from __future__ import annotations


class WireError(Exception):
    """The codec cannot do what it was asked."""


class UnreadableError(WireError):
    """
    The client's bytes do not fit the model.

    path is filled from the inside out while the error rises, so that reading
    what is well formed pays nothing for it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str] = []

    def within(self, name: str) -> None:
        """Note that the trouble is inside a member."""
        self.path.append(name[:64])

    def sentence(self) -> str:
        """Say where and why, in one line."""
        where = ".".join(reversed(self.path))
        return f"`{where}` {self.reason}" if where else self.reason


class WrongOutputError(WireError):
    """A service answered with something that its model does not have."""


class UnknownServiceError(WireError):
    """There is no service of that name."""


class UnsupportedProtocolError(WireError):
    """The service speaks a protocol that is not spoken here."""
