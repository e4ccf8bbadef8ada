"""Messages on stderr: errors with their hints, warnings, notes and the log. Data goes to stdout only, messages never.

Text of an exchange, a file or a user is shown through `safe`: one line, no control characters, no direction overrides.

A command with an event loop never waits for the reader of its stderr (`never_wait`): where a pipe is full or a terminal is stopped,
lines are lost, and the next line that can be written is preceded by their number.

While another program draws on the terminal (`… | less`), or this one does (`drawing`), warnings and notes are held back. They are
written once the terminal is free, at the latest by `release` at the end. The error that ends a command is never held back.
"""

import contextlib
import os
import select
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import IO, Any

from alphapulse_cli.edges import process
from alphapulse_cli.edges.safe_text import safe
from alphapulse_cli.errors import ExitCode

DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40  # as in `logging`, which is not imported for `--help`
LEVELS = {"error": ERROR, "warning": WARNING, "info": INFO, "debug": DEBUG}

_chosen = 0  # INFO by -v or ERROR by -q, for this process; 0: neither
_colour = "auto"  # the configured `color`
_waits = True  # whether to wait for room on stderr
_lost = 0  # number of lines lost since the last one written
ALWAYS_WHOLE = select.PIPE_BUF  # bytes that a writable pipe always takes at once
MOST_HELD = 200  # lines held back; beyond it the oldest are lost, with their number
_held: deque[str] = deque()
_held_lost = 0
_drawing = False  # whether this process draws on its terminal
FREE_AGAIN_S = 0.1


def wants_colour(stream: IO[Any] | None) -> bool:
    """Whether to colour text on `stream`: the first of configured `color`, NO_COLOR, FORCE_COLOR, TERM=dumb, is it a terminal."""
    if _colour != "auto":
        return _colour == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return os.environ.get("TERM") != "dumb" and is_terminal(stream)


def use_colour(choice: str) -> None:
    """Set the configured choice of colour: auto, always or never."""
    global _colour  # noqa: PLW0603 - one process, one terminal
    _colour = choice


def is_terminal(stream: IO[Any] | None) -> bool:
    """Whether the stream is a terminal; False for a closed one."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def error(message: object, hint: object = "") -> None:
    """Write `error: …` and, if there is a hint, `hint: …`."""
    _write_line("error", "31", message)
    if hint:
        _write_line("hint", "36", hint)


def warning(message: object, hint: object = "") -> None:
    """Write `warning: …` and, if there is a hint, `hint: …`, unless -q was given."""
    if _chosen != ERROR:
        _write_line("warning", "33", message, may_hold=True)
        if hint:
            _write_line("hint", "36", hint, may_hold=True)


@contextlib.contextmanager
def told_if_cut(what: str) -> Iterator[None]:
    """Within it a signal that ends the command with success is a warning that says what is not whole, as in "the result is cut"."""
    try:
        yield
    except process.Ended as ended:
        if ended.code == ExitCode.DONE:
            warning(f"{what}: a signal ended the command")
        raise


def note(message: object) -> None:
    """Write a line without a level, unless -q was given."""
    if _chosen != ERROR:
        _write_or_hold(safe(message))


def passed_on(line: str) -> None:
    """Write a line of a child process, with or without -q: the child got -q itself."""
    _write_or_hold(safe(line))


def flags() -> list[str]:
    """The -v or -q that gives a child process the verbosity of this one."""
    return ["-v"] if _chosen == INFO else ["-q"] if _chosen == ERROR else []


def _write_line(word: str, colour: str, message: object, *, may_hold: bool = False) -> None:
    head = f"\x1b[1;{colour}m{word}:\x1b[0m" if wants_colour(sys.stderr) else f"{word}:"
    (_write_or_hold if may_hold else _write)(f"{head} {safe(message)}")


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Within it warnings and notes are held back where stdout and stderr are terminals: a live table is drawn there."""
    global _drawing  # noqa: PLW0603 - one process, one terminal
    _drawing = is_terminal(sys.stdout)
    try:
        yield
    finally:
        _drawing = False
        _write_held()


def _is_terminal_taken() -> bool:
    """Whether a full-screen program draws on the terminal that stderr is: this one (`drawing`), or one that reads our output."""
    if not is_terminal(sys.stderr):
        return False
    return _drawing or (not is_terminal(sys.stdout) and process.is_drawn_on(sys.stderr.fileno()))


def _write_or_hold(line: str) -> None:
    global _held_lost  # noqa: PLW0603 - one process, one stderr
    if not _is_terminal_taken():
        _write_held()
        _write(line)
        return
    if len(_held) == MOST_HELD:
        _held.popleft()
        _held_lost += 1
    _held.append(line)


def _write_held() -> None:
    global _held_lost  # noqa: PLW0603 - one process, one stderr
    if _held_lost:
        _write(f"warning: the first {_held_lost} lines were lost here, since another program drew on the terminal")
    _held_lost = 0
    while _held:
        _write(_held.popleft())


def release() -> None:
    """Write the lines held back, at the end of a command, once the terminal is free; stdout is closed first, to free it.

    The shell waits for the pager anyway. An interrupt ends the waiting, and the lines are written at once.
    """
    if not _held:
        return
    try:
        if _is_terminal_taken():
            process.discard(sys.stdout)
        while _is_terminal_taken():
            time.sleep(FREE_AGAIN_S)
    finally:
        _write_held()


def never_wait() -> None:
    """Drop lines on stderr instead of waiting for a reader, until the end of the process."""
    global _waits  # noqa: PLW0603 - one process, one stderr
    _waits = False


def is_writable(stream: IO[Any]) -> bool:
    """Whether the stream takes `ALWAYS_WHOLE` bytes at once. OSError or ValueError for a stream without a descriptor."""
    ready = select.poll()
    ready.register(stream.fileno(), select.POLLOUT)
    return bool(ready.poll(0))


def _has_descriptor(stream: IO[Any]) -> bool:
    """Whether the stream has a file descriptor; one in memory, as in a test or a notebook, never blocks."""
    try:
        stream.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    return True


def _write(line: str) -> None:
    try:
        if _waits or not _has_descriptor(sys.stderr):
            print(line, file=sys.stderr, flush=True)
        else:
            _write_at_once(line)
    except (OSError, ValueError):  # a closed stderr is no reason to fail
        return


def _write_at_once(line: str) -> None:
    global _lost  # noqa: PLW0603 - one process, one stderr
    lines = [f"warning: {_lost} lines were lost here, since nobody read them", line] if _lost else [line]
    data = "".join(f"{one}\n" for one in lines).encode(sys.stderr.encoding, "backslashreplace")
    for start in range(0, len(data), ALWAYS_WHOLE):
        if not is_writable(sys.stderr):
            _lost += 1
            return
        os.write(sys.stderr.fileno(), data[start : start + ALWAYS_WHOLE])
    _lost = 0


def explains() -> bool:
    """Whether -v was given, which adds the traceback to an unexpected error."""
    return _chosen == INFO


def is_quiet() -> bool:
    """Whether -q was given, which leaves errors only."""
    return _chosen == ERROR


def trace(problem: BaseException) -> None:
    """Write the traceback, each line through `safe`."""
    import traceback

    for block in traceback.format_exception(problem):
        for line in block.splitlines():
            _write(safe(line))


def start_log(level: str = "warning") -> None:
    """Send log records of `level` and above to stderr; -q limits it to errors, -v makes it at least info."""
    from alphapulse_cli.cli import log

    log.start(min(_chosen, LEVELS[level]) if _chosen == INFO else _chosen or LEVELS[level], _write_or_hold)


def louder(wanted: bool) -> bool:
    """Callback of -v."""
    if wanted:
        _choose(INFO)
    return wanted


def quieter(wanted: bool) -> bool:
    """Callback of -q."""
    if wanted:
        _choose(ERROR)
    return wanted


def _choose(level: int) -> None:
    global _chosen  # noqa: PLW0603 - one process, one stderr
    _chosen = level
    start_log()


def reset() -> None:
    """Forget -v, -q, the configured colour, `never_wait` and lines held: tests call `main` many times in one process."""
    global _chosen, _colour, _waits, _lost, _held_lost, _drawing
    _chosen, _colour, _waits, _lost, _held_lost, _drawing = 0, "auto", True, 0, 0, False
    _held.clear()
