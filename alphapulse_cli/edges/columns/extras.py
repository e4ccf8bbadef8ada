"""Modules of extras, imported where they are needed: a clear error where one is not installed."""

import importlib
from typing import Any

from alphapulse_cli.errors import UsageError


def require(module: str, extra: str, what: str) -> Any:
    """Import a module of an extra, for what needs it ("record"); `extra` is "" where it is in none. UsageError with the installation's command where it is absent."""
    try:
        return importlib.import_module(module)
    except ImportError as problem:
        name = module.partition(".")[0]
        if problem.name is not None and problem.name.partition(".")[0] != name:
            raise  # it is there, and something that it needs is not: its own message says what
        raise UsageError(f"{what} needs {name}", f"pip install 'alphapulse[{extra}]'" if extra else f"pip install {name}") from None
