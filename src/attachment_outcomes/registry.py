"""Entry points and plug-ins, resolved on first use.

A room's ``__init__`` names its public functions here instead of importing them, so that importing one module does
not load every library the room may need (seaborn and statsmodels cost seconds at start-up).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from attachment_outcomes.errors import ConfigError, did_you_mean


def entry_module(room: str, module: str) -> str:
    """Return the whole name of the module that an entry point names: the room's own, unless it is written with dots."""
    return module if "." in module else f"{room}.{module}"


def entry_points(room: str, names: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a room whose public functions live in its modules.

    ``names`` maps a public name to the module of the room that defines it, or, where that stands on a floor below, to the
    whole name of the module, with its dots.
    """

    def getattr_(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {room!r} has no attribute {name!r}.{did_you_mean(name, names)}")
        return getattr(import_module(entry_module(room, names[name])), name)

    def dir_() -> list[str]:
        return sorted(names)

    return getattr_, dir_


def resolve(reference: str) -> Any:
    """Return the object that ``package.module:name`` names.

    Raises
    ------
    ConfigError
        If the reference has another form, or names nothing.
    """
    module_name, _, attribute = reference.partition(":")
    if not re.fullmatch(r"\w+(\.\w+)*:\w+", reference):
        raise ConfigError(f"{reference!r} is not of the form 'package.module:name'")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{reference!r}: no module {error.name!r}") from error
    if not hasattr(module, attribute):
        raise ConfigError(f"{reference!r}: {module_name} has no {attribute!r}.{did_you_mean(attribute, dir(module))}")
    return getattr(module, attribute)
