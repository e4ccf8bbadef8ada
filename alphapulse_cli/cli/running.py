"""Long-running commands in an event loop: a board or lines beside the work, a clean end for every signal.

SIGINT leaves as KeyboardInterrupt (130); SIGTERM and SIGHUP end the work and are a success (0), SIGQUIT ends it with 130: all only after
the work has cleaned up.
"""

import asyncio
import errno
import os
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import IO, Any, TextIO, cast

from alphapulse_cli.apps.collect.supervise import until_parent_is_gone
from alphapulse_cli.cli import board, render, stderr
from alphapulse_cli.edges import background, process
from alphapulse_cli.edges.background import DaemonThreads
from alphapulse_cli.errors import ExitCode
from alphapulse_cli.readers.status import SetStatus
from alphapulse_cli.shm.directory import storage_error

REFRESH_S, LINES_EVERY_S = 0.25, 5.0
LAST_WORDS_S = 1.0  # for the board's last picture, once the work has ended
KEPT_NOTICES = 50


class Notices:
    """What is told beside the data: kept for the board, or said on stderr at once where there is no board."""

    def __init__(self, *, on_board: bool) -> None:
        self.lines: deque[str] = deque(maxlen=KEPT_NOTICES)
        self._on_board = on_board

    def say(self, name: str, level: str, message: str) -> None:
        """One line of `name`'s; "info" only with -v. "said" is what a child said, which heard of -v and -q itself."""
        if level == "info" and not stderr.explains():
            return
        line = f"{name}: {message}" if name else message
        if self._on_board:
            self.lines.append(f"{datetime.now(UTC):%H:%M:%SZ} {line}")
        elif level == "said":
            stderr.passed_on(line)
        elif level == "warning":
            stderr.warning(line)
        else:
            stderr.note(line)


def run(work: Coroutine[Any, Any, ExitCode | None], *, supervised: bool = False) -> ExitCode:
    """Run to the end. The signals of `process.endings` cancel the work and give their code; KeyboardInterrupt leaves after the work has cleaned up.

    `supervised`: so does the end of standard input, which only our parent holds.
    """

    async def until_told() -> ExitCode:
        task = asyncio.ensure_future(work)
        told: ExitCode | None = None

        def stop(code: ExitCode = ExitCode.DONE) -> None:
            nonlocal told
            told = told or code
            task.cancel()

        def gone(_: object) -> None:
            stop()

        loop = asyncio.get_running_loop()
        loop.set_default_executor(DaemonThreads())  # a name server that hangs does not hold up the end
        for number, ending in process.endings().items():
            loop.add_signal_handler(number, stop, ending)
        parent = asyncio.create_task(until_parent_is_gone()) if supervised else None
        if parent is not None:
            parent.add_done_callback(gone)
        try:
            return await task or ExitCode.DONE
        except asyncio.CancelledError:
            if told is not None:
                return told
            raise
        finally:
            if parent is not None:
                parent.remove_done_callback(gone)
                parent.cancel()

    stderr.never_wait()
    try:
        return background.run(until_told())
    except OSError as problem:
        if problem.errno in (errno.EMFILE, errno.ENFILE):
            raise storage_error(problem, "go on") from problem
        raise
    finally:
        work.close()  # where it was never begun


async def show(sample: Callable[[], list[SetStatus]], notices: Notices, title: str, *, as_json: bool) -> None:
    """The board on a terminal, lines elsewhere, until cancelled. A closed stdout ends it with BrokenPipeError.

    A stdout that nobody takes from any more (a full pipe, Ctrl-S) holds up what is shown alone, neither the work nor its end: it is written
    by a thread.
    """
    if render.wants_json(as_json):
        await _lines(sample, as_json=as_json)
    from rich.live import Live

    written, descriptor = Written(sys.stdout), sys.stdout.fileno()
    try:
        with Live(
            console=render.console(cast("IO[str]", written)), auto_refresh=False, transient=False, vertical_overflow="crop"
        ) as live:
            while True:
                width, height = live.console.size
                live.update(board.board(sample(), notices.lines, title, width, height), refresh=True)
                await background.call(_write, descriptor, written.taken())
                await asyncio.sleep(REFRESH_S)
    finally:
        left = background.call(_write, descriptor, written.taken())
        with suppress(TimeoutError, OSError):
            await asyncio.wait_for(left, LAST_WORDS_S)


async def _lines(sample: Callable[[], list[SetStatus]], *, as_json: bool) -> None:
    """A line a set, again and again. A disk without room for them is told once, and again after lines that found some."""
    is_told = False
    while True:
        await asyncio.sleep(LINES_EVERY_S if not as_json else 1.0)
        try:
            await background.call(_write, sys.stdout.fileno(), board.lines(sample(), as_json=as_json))
        except BrokenPipeError:
            raise
        except OSError as problem:
            if not is_told:
                stderr.warning(f"lines on standard output are lost: {problem.strerror}; collecting goes on")
            is_told = True
        else:
            is_told = False


class Written:
    """Takes what is to be written to a terminal, in whose name it speaks."""

    def __init__(self, terminal: TextIO) -> None:
        self._said: list[str] = []
        self.encoding = terminal.encoding or "utf-8"
        self.isatty, self.fileno = terminal.isatty, terminal.fileno

    def write(self, text: str) -> int:
        """Keep it."""
        self._said.append(text)
        return len(text)

    def flush(self) -> None:
        """It goes out once it is taken."""

    def taken(self) -> bytes:
        """Take what was written since the last call."""
        said, self._said = "".join(self._said), []
        return said.encode(self.encoding, "backslashreplace")


def _write(descriptor: int, data: bytes) -> None:
    """All of it, past Python's own buffer: the lock of that one, held by a thread that waits for ever, would break the interpreter's end."""
    while data:
        data = data[os.write(descriptor, data) :]


async def beside(work: Coroutine[Any, Any, ExitCode | None], display: Coroutine[Any, Any, None]) -> ExitCode | None:
    """Run the work with its display; the end of either ends both."""
    working, showing = asyncio.create_task(work), asyncio.create_task(display)
    try:
        await asyncio.wait({working, showing}, return_when=asyncio.FIRST_COMPLETED)
        if showing.done():
            showing.result()
        return await working if working.done() else None
    finally:
        for task in (working, showing):
            task.cancel()
            with suppress(asyncio.CancelledError, BrokenPipeError):
                await task
