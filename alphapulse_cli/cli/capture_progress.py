"""Progress of reading long captures: a bar on stderr, where that is a terminal and there is more than a moment's work."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from alphapulse_cli.cli import render, stderr

WORTH_A_BAR_BYTES = 16 << 20


@contextmanager
def progress(paths: Sequence[Path], form: str) -> Iterator[Callable[[int], None]]:
    """Context of a progress bar over the bytes of these files; yields a function to call with the number of bytes just read.

    There is none beside rows for programs (another `form` than a table), nor where a pager has the terminal.
    """
    total = 0
    for path in paths:
        with suppress(OSError):
            total += path.stat().st_size
    is_seen = form == "table" and stderr.is_terminal(sys.stderr) and stderr.is_terminal(sys.stdout)
    if total < WORTH_A_BAR_BYTES or stderr.is_quiet() or not is_seen:
        yield lambda _: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    with Progress(
        BarColumn(), DownloadColumn(binary_units=True), TimeRemainingColumn(), console=render.console(sys.stderr), transient=True
    ) as shown:
        task = shown.add_task("reading", total=total)
        yield lambda count: shown.advance(task, count)
