"""One process among others: signals, the terminal it borrows, and a standard output that may be a closed pipe.

`standard_streams` makes stdout and stderr safe to write to, `signals` says what ends the process, `borrowed_terminal` gives the
terminal back as it was, `flush_standard_output` finds out whether anybody read to the end. None of them prints.
"""

import contextlib
import errno
import os
import signal
import stat
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import IO

from alphapulse_cli.errors import ExitCode

PROGRAM = "alphapulse"
STARTED_NS = time.monotonic_ns()  # this module is the first that the command line imports
ENDINGS = {  # SIGINT is 130 too; SIGKILL is what heartbeat and lock are for
    signal.SIGTERM: ExitCode.DONE,
    signal.SIGHUP: ExitCode.DONE,  # the terminal was closed
    signal.SIGQUIT: ExitCode.INTERRUPTED,
}
AGAIN_S = 0.01  # long enough for the destructor to be over
SHOW_CURSOR = b"\x1b[?25h\x1b[0m"  # cursor visible, colours off: what an interrupted live view may have left behind


def left_s(duration_s: float | None) -> float | None:
    """How much of a duration that began with the process is left; None for no bound."""
    return None if duration_s is None else max(duration_s - (time.monotonic_ns() - STARTED_NS) / 1e9, 0.0)


def standard_streams() -> None:
    """Stdout and stderr exist (a closed one goes to /dev/null) and take any text: what an encoding lacks is escaped."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - it lives as long as the process
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def endings() -> dict[signal.Signals, ExitCode]:
    """The signals that end a command in good order, beside SIGINT, with its exit code; none that we were started to ignore (nohup)."""
    return {number: code for number, code in ENDINGS.items() if signal.getsignal(number) is not signal.SIG_IGN}


class Ended(SystemExit):
    """SystemExit of a signal of ENDINGS."""

    def __init__(self, number: int) -> None:
        super().__init__(int(ENDINGS[signal.Signals(number)]))
        self.number = number


def _end_quietly(number: int, _frame: FrameType | None) -> None:
    raise Ended(number)


def _send_again(swallowed: "sys.UnraisableHookArgs") -> None:
    """Hook for exceptions that Python swallows: one of a signal that came inside a destructor is sent again, or nothing would end."""
    error = swallowed.exc_value
    number = signal.SIGINT if isinstance(error, KeyboardInterrupt) else error.number if isinstance(error, Ended) else None
    if number is None:
        sys.__unraisablehook__(swallowed)
        return
    import threading

    threading.Timer(AGAIN_S, os.kill, (os.getpid(), number)).start()


@contextlib.contextmanager
def signals() -> Iterator[None]:
    """Those of `endings` unwind the stack; SIGINT is Python's KeyboardInterrupt. All as before afterwards."""
    try:
        before = {number: signal.signal(number, _end_quietly) for number in endings()}
    except ValueError:  # not the main thread: whoever started us owns the signals
        yield
        return
    hook, sys.unraisablehook = sys.unraisablehook, _send_again
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def borrowed_terminal() -> Iterator[None]:
    """The terminal's modes are put back as they were; the cursor is shown again if we leave by an interrupt."""
    import termios

    descriptor, modes = _terminal_of(sys.stdin), None
    if descriptor is not None:
        with contextlib.suppress(termios.error):
            modes = termios.tcgetattr(descriptor)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        screen = _terminal_of(sys.stdout)
        if screen is not None:
            with contextlib.suppress(OSError):
                os.write(screen, SHOW_CURSOR)
        raise
    finally:
        if modes is not None and descriptor is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(descriptor, termios.TCSANOW, modes)


def _terminal_of(stream: IO[str] | None) -> int | None:
    """The stream's descriptor if it is a terminal, else None."""
    try:
        if stream is not None and stream.isatty():
            return stream.fileno()
    except (OSError, ValueError):  # closed, or not backed by a file
        pass
    return None


def flush_standard_output() -> bool:
    """Flush stdout and stderr. False if the reader of stdout has gone; then nothing more is tried, at exit neither.

    OSError if what was written could not be stored (a full disk).
    """
    heard = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            discard(stream)
            heard = heard and stream is not sys.stdout
        except OSError as problem:
            is_gone = is_lost_terminal(problem)
            discard(stream)  # the interpreter would try again at exit, and complain
            if stream is sys.stdout and not is_gone:
                raise
        except ValueError:  # closed by a command; nothing is left to write
            continue
    return heard


def is_lost_terminal(problem: OSError) -> bool:
    """Whether that came of a terminal that was closed under us: as a closed pipe, it means that nobody looks any longer."""
    if problem.errno != errno.EIO:
        return False
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            if stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):
                return True
    return False


def discard(stream: IO[str]) -> None:
    """From now on what goes to `stream` goes nowhere; the interpreter's own flush at exit finds no closed pipe."""
    with contextlib.suppress(OSError, ValueError):
        target = os.open(os.devnull, os.O_WRONLY)
        os.dup2(target, stream.fileno())
        os.close(target)
