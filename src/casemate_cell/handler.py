"""Find the handler that a function names: `module.sub.fn`, or `dir/module.fn`."""

from __future__ import annotations

import sys

from casemate_cell.errors import Fault

TYPE_CHECKING = False  # the name is what mypy knows; `typing` costs 0.4 MiB
if TYPE_CHECKING:
    from collections.abc import Callable

    Handler = Callable[[object, object], object]


def find(name: str) -> Handler:
    """
    Import the handler's module and give the handler.

    Raises Fault with AWS's names for what can be wrong; what the module itself
    raises, SystemExit included, comes through as it is.
    """
    module_name, dot, attribute = name.rpartition(".")
    if not dot:
        raise Fault(
            "Runtime.MalformedHandlerName",
            f"Bad handler '{name}': not enough values to unpack (expected 2, got 1)",
        )
    if module_name.split(".")[0] in sys.builtin_module_names:
        raise Fault(
            "Runtime.BuiltInModuleConflict",
            f"Cannot use built-in module {module_name} as a handler module",
        )
    try:
        # The one import whose name is not written here: it is the tenant's.
        module_path = module_name.replace("/", ".")
        __import__(module_path)
        module = sys.modules[module_path]
    except ImportError as error:
        raise Fault(
            "Runtime.ImportModuleError",
            f"Unable to import module '{module_name}': {error}",
        ) from error
    except SyntaxError as error:
        where = f'  File "{error.filename}" Line {error.lineno}\n    {error.text}'
        raise Fault(
            "Runtime.UserCodeSyntaxError",
            f"Syntax error in module '{module_name}': {error}",
            [where],
        ) from error
    try:
        return getattr(module, attribute)  # type: ignore[no-any-return] # the tenant's
    except AttributeError as error:
        raise Fault(
            "Runtime.HandlerNotFound",
            f"Handler '{attribute}' missing on module '{module_name}'",
        ) from error
