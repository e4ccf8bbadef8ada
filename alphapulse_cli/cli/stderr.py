"""What is said on stderr: errors with their hints, notes, and the log. Data never comes here, and this never goes to stdout.

Whatever an exchange, a file or a user wrote is shown through `safe`: one line, no control characters, no direction overrides.

A command that runs an event loop never waits for whoever reads its stderr (`never_wait`): where a pipe is full or a terminal stopped the
line is lost, and the first one that gets through again is preceded by how many were.
"""

import os
import select
import sys
from typing import IO, Any

from alphapulse_cli.edges.safe_text import safe

DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40  # as in `logging`, which is not imported for `--help`
LEVELS = {"error": ERROR, "warning": WARNING, "info": INFO, "debug": DEBUG}

_chosen = 0  # INFO by -v or ERROR by -q, for this process; 0: neither
_colour = "auto"  # the configured `color`
_waits = True  # for room on stderr
_lost = 0  # lines since the last that found room
ALWAYS_WHOLE = select.PIPE_BUF  # a pipe that is writable takes as many bytes at once


def wants_colour(stream: IO[Any] | None) -> bool:
    """Whether to colour what goes to `stream`: `color` if configured, NO_COLOR, FORCE_COLOR, TERM=dumb, then: is it a terminal."""
    if _colour != "auto":
        return _colour == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return os.environ.get("TERM") != "dumb" and is_terminal(stream)


def use_colour(choice: str) -> None:
    """Take the configured choice: auto, always or never."""
    global _colour  # noqa: PLW0603 - one process, one terminal
    _colour = choice


def is_terminal(stream: IO[Any] | None) -> bool:
    """Whether the stream is a terminal; a closed one is not."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def error(message: object, hint: object = "") -> None:
    """`error: …` and, if there is one, `hint: …`."""
    _say("error", "31", message)
    if hint:
        _say("hint", "36", hint)


def warning(message: object, hint: object = "") -> None:
    """`warning: …` and, if there is one, `hint: …`, unless -q."""
    if _chosen != ERROR:
        _say("warning", "33", message)
        if hint:
            _say("hint", "36", hint)


def note(message: object) -> None:
    """A line for a person, unless -q."""
    if _chosen != ERROR:
        _write(safe(message))


def passed_on(line: str) -> None:
    """A line that a child of ours said, -q or not: it was told of -q itself."""
    _write(safe(line))


def flags() -> list[str]:
    """The -v or -q that a child must be given to say as much as we do."""
    return ["-v"] if _chosen == INFO else ["-q"] if _chosen == ERROR else []


def _say(word: str, colour: str, message: object) -> None:
    head = f"\x1b[1;{colour}m{word}:\x1b[0m" if wants_colour(sys.stderr) else f"{word}:"
    _write(f"{head} {safe(message)}")


def never_wait() -> None:
    """Lose lines from now on rather than wait until somebody reads them, to the end of the process: its end is not held up either."""
    global _waits  # noqa: PLW0603 - one process, one stderr
    _waits = False


def is_writable(stream: IO[Any]) -> bool:
    """Whether what is written there now, up to `ALWAYS_WHOLE` bytes, has room at once. OSError, ValueError for a stream without a descriptor."""
    ready = select.poll()
    ready.register(stream.fileno(), select.POLLOUT)
    return bool(ready.poll(0))


def _has_descriptor(stream: IO[Any]) -> bool:
    """Whether it is a file or a pipe; what holds text in memory, as under a test or a notebook, never makes anybody wait."""
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
    except (OSError, ValueError):  # nobody listens: that is no reason to fail
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
    """Whether -v was given: then an unexpected error comes with its traceback."""
    return _chosen == INFO


def is_quiet() -> bool:
    """Whether -q was given: then nothing is said but errors."""
    return _chosen == ERROR


def trace(problem: BaseException) -> None:
    """The traceback, each line safe."""
    import traceback

    for block in traceback.format_exception(problem):
        for line in block.splitlines():
            _write(safe(line))


def start_log(level: str = "warning") -> None:
    """Send the log to stderr from `level` on; -q is stronger, -v makes it at least info."""
    from alphapulse_cli.cli import log

    log.start(min(_chosen, LEVELS[level]) if _chosen == INFO else _chosen or LEVELS[level], _write)


def louder(wanted: bool) -> bool:
    """The callback of -v."""
    if wanted:
        _choose(INFO)
    return wanted


def quieter(wanted: bool) -> bool:
    """The callback of -q."""
    if wanted:
        _choose(ERROR)
    return wanted


def _choose(level: int) -> None:
    global _chosen  # noqa: PLW0603 - one process, one stderr
    _chosen = level
    start_log()


def reset() -> None:
    """Forget -v, -q, the configured colour and `never_wait`: `main` begins afresh, as it does in tests again and again."""
    global _chosen, _colour, _waits, _lost
    _chosen, _colour, _waits, _lost = 0, "auto", True, 0
