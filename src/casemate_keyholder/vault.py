"""What the keyholder has to remember, sealed on disk under the root key."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from casemate_keyholder.files import Folder
from casemate_keyholder.refusal import StartRefusedError
from casemate_keyholder.root import Root, SealBrokenError, Sealer, is_fresh

Memory = Mapping[str, object]
"""What is kept in one sealed file: JSON values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vault:
    """
    Sealed files of the keyholder's folder.

    fresh: the first start is not finished, so a missing file may be made; from
    then on a missing file is refused by name.
    """

    folder: Folder
    sealer: Sealer
    fresh: bool

    @classmethod
    def under(cls, root: Root, folder: Folder) -> Self:
        """Open the vault of a folder."""
        return cls(folder=folder, sealer=root.sealer("vault"), fresh=is_fresh(folder))

    def load(self, name: str, make: Callable[[], Memory]) -> Memory:
        """Read a file, or make it on the first start.  Raises StartRefusedError."""
        if self.fresh and not self.folder.has(name):
            self.keep(name, make())
        try:
            opened = self.sealer.open(self.folder.read(name), name)
        except FileNotFoundError:
            raise StartRefusedError(
                f"`{name}` is missing from the keyholder's folder; restore it"
            ) from None
        except SealBrokenError:
            raise StartRefusedError(
                f"`{name}` is damaged, or was made under another root key"
            ) from None
        memory = json.loads(opened)
        if not isinstance(memory, dict):
            raise StartRefusedError(f"`{name}` is damaged")
        return memory

    def keep(self, name: str, memory: Memory) -> None:
        """Write a file, durably.  Raises OSError; the old one is then whole."""
        plain = json.dumps(memory, sort_keys=True).encode()
        self.folder.write(name, self.sealer.seal(plain, name))
