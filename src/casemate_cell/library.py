"""
Modules of the standard library that load late, and are still the library's own.

Lambda's runtime has them loaded before the function's code, so on AWS a package's
own `logging.py` or `string.py` never takes their place.  An idle cell would pay 0.7 MiB
for them; here they come when they are wanted, from the library's folders only.
`logging` then gets its handler before whoever imports it sees the module.
"""

from __future__ import annotations

import sys
from _frozen_importlib_external import PathFinder

TYPE_CHECKING = False  # the name is what mypy knows; `typing` costs 0.4 MiB
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

LATE = frozenset(
    {
        "_weakrefset",
        "importlib",
        "logging",
        "string",
        "threading",
        "token",  # with `tokenize`: late in some versions only
        "tokenize",
        "warnings",
        "weakref",
    }
)


class Library:
    """A finder that stands before all others."""

    def __init__(
        self, folders: Sequence[str], logging_loaded: Callable[[], None]
    ) -> None:
        """Take the library's folders, and what is to be done once `logging` is in."""
        self._folders = folders
        self._logging_loaded = logging_loaded

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        _target: ModuleType | None = None,
        /,
    ) -> ModuleSpec | None:
        """Find what is the library's; leave all else to the others."""
        if path is not None or name not in LATE:
            return None
        spec = PathFinder.find_spec(name, self._folders)
        if spec is not None and spec.loader is not None and name == "logging":
            then: Any = _Then(spec.loader, self._logging_loaded)
            spec.loader = then  # a loader by what it does
        return spec


class _Then:
    """A loader that does one thing more once the module has run."""

    def __init__(self, loader: Loader, then: Callable[[], None]) -> None:
        self._loader = loader
        self._then = then

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._then()


def prefer(folders: Sequence[str], logging_loaded: Callable[[], None]) -> None:
    """Have late modules found in these folders before anywhere else."""
    sys.meta_path.insert(0, Library(folders, logging_loaded))
