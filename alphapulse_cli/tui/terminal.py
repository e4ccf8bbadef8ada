"""Driver of a terminal that may go away: its window is closed, its connection drops, the process that made it ends.

Textual's driver would then wait forever to write, and would read its input again and again without an end. Here such writes are
dropped, and the app ends as soon as `is_gone`.
"""

import os
import sys
from contextlib import suppress
from typing import IO, Any

from textual.drivers.linux_driver import LinuxDriver

from alphapulse_cli.tui.ascii_signs import begun_with, in_ascii, is_ascii_only
from alphapulse_cli.tui.drawn import Drawn


class Quiet:
    """A text file that ignores errors of writing: output to a closed terminal is dropped."""

    def __init__(self, file: IO[str] | None) -> None:
        assert file is not None
        self._file = file

    def write(self, text: str) -> None:
        """Write the text; drop it where the file is closed or broken."""
        with suppress(OSError, ValueError):
            self._file.write(text)

    def flush(self) -> None:
        """Flush the file; do nothing where it is closed or broken."""
        with suppress(OSError, ValueError):
            self._file.flush()

    def fileno(self) -> int:
        """The file's descriptor."""
        return self._file.fileno()


class TerminalDriver(LinuxDriver):
    """Textual's Linux driver over `Quiet`. In a C locale all signs are written in ASCII; `drawn` keeps the text before that."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._file = Quiet(self._file)  # type: ignore[assignment]
        self.drawn = Drawn()
        self._is_ascii = is_ascii_only(begun_with(), getattr(sys.__stderr__, "encoding", "") or "")

    def write(self, data: str) -> None:
        """Write to the terminal and keep the text in `drawn`."""
        self.drawn.take(data)
        super().write(in_ascii(data) if self._is_ascii else data)

    @property
    def terminal_size(self) -> tuple[int, int]:
        """(columns, rows) of the terminal now; does not depend on SIGWINCH having arrived."""
        return self._get_terminal_size()

    @property
    def is_gone(self) -> bool:
        """Whether the terminal is closed."""
        return not os.isatty(self.fileno)
