"""Rows of captures on stdout: exact bytes in a pipe or a file, escaped on a terminal; damage on stderr."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from alphapulse_cli.cli import stderr
from alphapulse_cli.edges.capture.rows import Row, row_bytes
from alphapulse_cli.edges.safe_text import safe

if TYPE_CHECKING:
    from alphapulse_cli.edges.capture.blocks import Damage


def write(rows: Iterable[Row], *, whole: bool) -> None:
    """Write the payload of each row and a line end, or the `whole` row."""
    if stderr.is_terminal(sys.stdout):
        for row in rows:
            sys.stdout.write(safe(row_bytes(*row)[:-1] if whole else row.payload) + "\n")
        return
    sys.stdout.flush()
    out = sys.stdout.buffer
    for row in rows:
        out.write(row_bytes(*row) if whole else row.payload + b"\n")
    out.flush()


def warn_of_damage(path: Path, damage: "Damage") -> None:
    """Write a warning on stderr of bytes that could not be read."""
    where = "at its end" if damage.at_end else f"at {damage.offset}"
    stderr.warning(f"{path}: {damage.length} bytes {where} are not readable: {damage.reason}")


def warn(path: Path, what: str) -> None:
    """Write a warning on stderr about an unreadable part of a file."""
    stderr.warning(f"{path}: {what}")
