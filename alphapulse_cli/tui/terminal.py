"""The terminal, which may go away: its window is closed, its line drops, whoever made it has died.

Textual's driver would then wait forever to write, and its input would be read again and again without an end. Here writing to what
is gone goes nowhere, and `is_gone` says so: the app ends.
"""

import os
import sys
from contextlib import suppress
from typing import IO, Any

from textual.drivers.linux_driver import LinuxDriver

from alphapulse_cli.tui.ascii_signs import begun_with, in_ascii, is_ascii_only
from alphapulse_cli.tui.drawn import Drawn


class Quiet:
    """A file whose errors are none."""

    def __init__(self, file: IO[str] | None) -> None:
        assert file is not None
        self._file = file

    def write(self, text: str) -> None:
        """Write it, if there is something to write to."""
        with suppress(OSError, ValueError):
            self._file.write(text)

    def flush(self) -> None:
        """What was written goes out."""
        with suppress(OSError, ValueError):
            self._file.flush()

    def fileno(self) -> int:
        """Of the file."""
        return self._file.fileno()


class TerminalDriver(LinuxDriver):
    """Textual's own, over `Quiet`; in a C locale all signs are ASCII. `drawn` is what was written, whatever the signs."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._file = Quiet(self._file)  # type: ignore[assignment]
        self.drawn = Drawn()
        self._is_ascii = is_ascii_only(begun_with(), getattr(sys.__stderr__, "encoding", "") or "")

    def write(self, data: str) -> None:
        """To the terminal; what was written is remembered."""
        self.drawn.take(data)
        super().write(in_ascii(data) if self._is_ascii else data)

    @property
    def terminal_size(self) -> tuple[int, int]:
        """(columns, rows) now, whatever signals have said."""
        return self._get_terminal_size()

    @property
    def is_gone(self) -> bool:
        """Whether nobody is at the other end any more."""
        return not os.isatty(self.fileno)
