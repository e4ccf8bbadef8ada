"""Runner of long-running commands in an event loop: a board or lines beside the work, a clean end for every signal.

Every signal ends the command after the work has cleaned up: SIGINT as KeyboardInterrupt (130), SIGTERM and SIGHUP with success (0),
SIGQUIT with 130.
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
LAST_WORDS_S = 1.0  # limit for writing the board's last picture once the work has ended
KEPT_NOTICES = 50


class Notices:
    """Notices beside the data: the last KEPT_NOTICES for the board, or lines on stderr if there is no board."""

    def __init__(self, *, on_board: bool) -> None:
        self.lines: deque[str] = deque(maxlen=KEPT_NOTICES)
        self._on_board = on_board

    def add(self, name: str, level: str, message: str) -> None:
        """Add one notice of `name`. Level "info" needs -v; "said" is a line of a child, which got -v and -q itself."""
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
    """Run the work to its end and return its exit code; KeyboardInterrupt leaves after the work has cleaned up.

    The signals of `process.endings` cancel the work and determine the code. With `supervised` the end of standard input, which only
    the parent holds open, cancels it too.
    """

    async def until_signal() -> ExitCode:
        task = asyncio.ensure_future(work)
        code_of_signal: ExitCode | None = None

        def stop(code: ExitCode = ExitCode.DONE) -> None:
            nonlocal code_of_signal
            code_of_signal = code_of_signal or code
            task.cancel()

        def gone(_: object) -> None:
            stop()

        loop = asyncio.get_running_loop()
        loop.set_default_executor(DaemonThreads())  # a name server that hangs must not delay the end
        for number, ending in process.endings().items():
            loop.add_signal_handler(number, stop, ending)
        parent = asyncio.create_task(until_parent_is_gone()) if supervised else None
        if parent is not None:
            parent.add_done_callback(gone)
        try:
            return await task or ExitCode.DONE
        except asyncio.CancelledError:
            if code_of_signal is not None:
                return code_of_signal
            raise
        finally:
            if parent is not None:
                parent.remove_done_callback(gone)
                parent.cancel()

    stderr.never_wait()
    try:
        return background.run(until_signal())
    except OSError as problem:
        if problem.errno in (errno.EMFILE, errno.ENFILE):
            raise storage_error(problem, "go on") from problem
        raise
    finally:
        work.close()  # if it was never started


async def show(sample: Callable[[], list[SetStatus]], notices: Notices, title: str, *, as_json: bool) -> None:
    """Show the board on a terminal, or lines elsewhere, until cancelled. A closed stdout raises BrokenPipeError.

    A thread writes to stdout: one that is not read any more (a full pipe, Ctrl-S) stops the display only, neither the work nor its
    end.
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
            async with asyncio.timeout(LAST_WORDS_S):
                await left


async def _lines(sample: Callable[[], list[SetStatus]], *, as_json: bool) -> None:
    """Write a line a set every 5 s, or JSON rows every second. Warn once while they cannot be written, as on a full disk."""
    is_shown = False
    while True:
        await asyncio.sleep(LINES_EVERY_S if not as_json else 1.0)
        try:
            await background.call(_write, sys.stdout.fileno(), board.lines(sample(), as_json=as_json))
        except BrokenPipeError:
            raise
        except OSError as problem:
            if not is_shown:
                stderr.warning(f"cannot write to standard output: {problem.strerror}; its lines are lost, collecting continues")
            is_shown = True
        else:
            is_shown = False


class Written:
    """Buffer in place of a terminal's stream: it collects text and has the terminal's properties."""

    def __init__(self, terminal: TextIO) -> None:
        self._written: list[str] = []
        self.encoding = terminal.encoding or "utf-8"
        self.isatty, self.fileno = terminal.isatty, terminal.fileno

    def write(self, text: str) -> int:
        """Append the text to the buffer."""
        self._written.append(text)
        return len(text)

    def flush(self) -> None:
        """Do nothing: `taken` empties the buffer."""

    def taken(self) -> bytes:
        """Empty the buffer: the text since the last call, encoded for the terminal."""
        text, self._written = "".join(self._written), []
        return text.encode(self.encoding, "backslashreplace")


def _write(descriptor: int, data: bytes) -> None:
    """Write all data to the descriptor, not through Python's buffer, whose lock a blocked thread would hold at the exit."""
    while data:
        data = data[os.write(descriptor, data) :]


async def beside(work: Coroutine[Any, Any, ExitCode | None], display: Coroutine[Any, Any, None]) -> ExitCode | None:
    """Run the work and its display together; the end of either ends both.

    Returns the work's exit code, None if the display ended.
    """
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
