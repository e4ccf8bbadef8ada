"""Log on stderr: one line a record, without control characters, whatever text a library logs."""

import logging
import traceback
from collections.abc import Callable

from alphapulse_cli.edges.safe_text import safe


class OneLine(logging.Formatter):
    """Formatter of a record as one safe line; it adds the traceback only at level debug. Times are UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """Format the record as time, level, logger, message and, at the end, the exception."""
        from alphapulse_cli.readers.moments import (
            moment,
        )  # with the first line: it imports the exchanges' events, 25 ms of a --help

        text = f"{moment(int(record.created * 1e9), digits=3)} {record.levelname.lower()} {record.name}: {record.getMessage()}"
        reason = record.exc_info[1] if record.exc_info else None
        if reason is not None:
            text += f": {type(reason).__name__}: {reason}"
            if logging.getLogger().isEnabledFor(logging.DEBUG):
                text += " | " + " | ".join(line.strip() for line in traceback.format_exception(reason))
        return safe(text)


class ToStderr(logging.Handler):
    """Handler that passes each line to `tell`, which writes to stderr without blocking a collector."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record as one line."""
        try:
            self._write(self.format(record))
        except Exception:  # noqa: BLE001 - as in every handler: a record that cannot be written is no reason to fail
            self.handleError(record)


def start(level: int, write: Callable[[str], None]) -> None:
    """Send records of `level` and above to `tell`, a line at a time; a second call only changes the level."""
    root = logging.getLogger()
    if not any(isinstance(handler.formatter, OneLine) for handler in root.handlers):
        handler = ToStderr(write)
        handler.setFormatter(OneLine())
        root.addHandler(handler)
    root.setLevel(level)
