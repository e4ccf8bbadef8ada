"""Preferences of the live screen's user (theme, screen, symbol, sorting, grouping): names and values, both text.

The file is $XDG_STATE_HOME/alphapulse/tui.json (below ~/.local/state without that variable). A file that is damaged or cannot be
written is ignored: the screen runs without memory.
"""

import json
import os
from contextlib import suppress
from pathlib import Path

from alphapulse_cli.edges import paths

MOST_BYTES = 65_536
MOST_NAMES, MOST_CHARACTERS = 256, 200


def preferences_path() -> Path | None:
    """Path of the file; None for a user without a home directory."""
    directory = paths.user_directory(paths.STATE)
    return None if directory is None else directory / paths.PREFERENCES


class Preferences:
    """Preferences in one file; without a path (None) they last as long as the object."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._values = {} if path is None else _read(path)

    def get(self, name: str, default: str) -> str:
        """Value last remembered under that name, else `default`."""
        return self._values.get(name, default)

    def names(self) -> list[str]:
        """Names that have a value."""
        return list(self._values)

    def set(self, name: str, value: str) -> None:
        """Remember a value, in the file too; "" forgets it. Too long values and too many names are ignored."""
        if self._values.get(name) == value or len(value) > MOST_CHARACTERS:
            return
        if len(self._values) >= MOST_NAMES and name not in self._values:
            return
        if value:
            self._values[name] = value
        elif self._values.pop(name, None) is None:
            return
        if self._path is not None:
            with suppress(OSError):
                _write(self._path, json.dumps(self._values, indent=1, sort_keys=True) + "\n")


def _read(path: Path) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            octets = file.read(MOST_BYTES + 1)
        found = json.loads(octets) if len(octets) <= MOST_BYTES else None
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    pairs = [(name, value) for name, value in found.items() if isinstance(value, str) and len(value) <= MOST_CHARACTERS]
    return dict(pairs[:MOST_NAMES])


def _write(path: Path, text: str) -> None:
    """Write the file atomically, also beside other writers. OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
