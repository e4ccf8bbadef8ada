"""Process environment: signals, the terminal, and standard streams that may be closed pipes.

`standard_streams` makes stdout and stderr safe to write to, `signals` sets the signals that end the process, `borrowed_terminal`
restores the terminal's modes, `is_drawn_on` detects a full-screen program on it, `flush_standard_output` a reader that has gone. No
function here prints.
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
from typing import IO, Any

from alphapulse_cli.errors import ExitCode

PROGRAM = "alphapulse"
STARTED_NS = time.monotonic_ns()  # this module is the first that the command line imports
ENDINGS = {  # SIGINT gives 130 too; SIGKILL cannot be handled: readers see it by the heartbeat and the lock
    signal.SIGTERM: ExitCode.DONE,
    signal.SIGHUP: ExitCode.DONE,  # the terminal was closed
    signal.SIGQUIT: ExitCode.INTERRUPTED,
}
AGAIN_S = 0.01  # long enough for the destructor to be over
SHOW_CURSOR = b"\x1b[?25h\x1b[0m"  # cursor visible, colours off: undoes an interrupted live view


def left_s(duration_s: float | None) -> float | None:
    """Seconds left of a duration that began with the process; None for no bound."""
    return None if duration_s is None else max(duration_s - (time.monotonic_ns() - STARTED_NS) / 1e9, 0.0)


def standard_streams() -> None:
    """Make stdout and stderr usable: a closed one goes to /dev/null, and characters that the encoding lacks are escaped."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - it lives as long as the process
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def endings() -> dict[signal.Signals, ExitCode]:
    """Signals other than SIGINT that end a command cleanly, with their exit codes, except those ignored at the start (nohup)."""
    return {number: code for number, code in ENDINGS.items() if signal.getsignal(number) is not signal.SIG_IGN}


class Ended(SystemExit):
    """SystemExit raised by a signal of ENDINGS, with its exit code."""

    def __init__(self, number: int) -> None:
        super().__init__(int(ENDINGS[signal.Signals(number)]))
        self.number = number


def _end_quietly(number: int, _frame: FrameType | None) -> None:
    raise Ended(number)


_is_sending_again = False  # while it is, an exception of a signal would be lost within the hook


def _send_again(swallowed: "sys.UnraisableHookArgs") -> None:
    """Hook for exceptions that Python swallows: a signal that came inside a destructor is sent again, as its exception was lost."""
    global _is_sending_again  # noqa: PLW0603 - a hook has no object of its own
    error = swallowed.exc_value
    number = signal.SIGINT if isinstance(error, KeyboardInterrupt) else error.number if isinstance(error, Ended) else None
    if number is None:
        sys.__unraisablehook__(swallowed)
        return
    import threading

    _is_sending_again = True
    try:
        threading.Thread(target=_kill_after_the_hook, args=(number,), daemon=True).start()
    finally:
        _is_sending_again = False  # the last that it does: Python looks for signals at calls and in loops


def _kill_after_the_hook(number: int) -> None:
    """Send this process a signal once the hook is over, in a thread of its own: on a busy machine the hook may take longer than AGAIN_S."""
    time.sleep(AGAIN_S)
    while _is_sending_again:
        time.sleep(AGAIN_S)
    os.kill(os.getpid(), number)


@contextlib.contextmanager
def signals() -> Iterator[None]:
    """Within it the signals of `endings` raise `Ended`; SIGINT raises Python's KeyboardInterrupt.

    Restores the handlers afterwards.
    """
    try:
        before = {number: signal.signal(number, _end_quietly) for number in endings()}
    except ValueError:  # not the main thread, which alone may set handlers
        yield
        return
    hook, sys.unraisablehook = sys.unraisablehook, _send_again
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


class Stopping:
    """End of a command that must finish what it began: `code` is the exit code of the first signal, None before it.

    A second signal ends it at once, as `signals` does.
    """

    def __init__(self) -> None:
        self.code: ExitCode | None = None

    def goes_on(self) -> bool:
        """Whether no signal has come."""
        return self.code is None


@contextlib.contextmanager
def stopping() -> Iterator[Stopping]:
    """Within it the first of SIGINT and the signals of `endings` is noted, and the second one has the effect it had before."""
    made, codes = Stopping(), {signal.SIGINT: ExitCode.INTERRUPTED, **endings()}
    before: dict[signal.Signals, Any] = {}

    def note(number: int, _frame: FrameType | None) -> None:
        made.code = codes[signal.Signals(number)]
        restore()

    def restore() -> None:
        for one, handler in before.items():
            signal.signal(one, handler)

    before.update({number: signal.signal(number, note) for number in codes if signal.getsignal(number) is not signal.SIG_IGN})
    try:
        yield made
    finally:
        restore()


@contextlib.contextmanager
def borrowed_terminal() -> Iterator[None]:
    """Restore the terminal's modes at the end; show the cursor again if an interrupt or a signal ends it.

    A process in the background leaves the modes alone: they are those of the program in front, and setting them would stop it
    (SIGTTOU).
    """
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
        if modes is not None and descriptor is not None and _is_in_front(descriptor):
            with contextlib.suppress(termios.error):
                termios.tcsetattr(descriptor, termios.TCSANOW, modes)


def _is_in_front(descriptor: int) -> bool:
    """Whether the process is not in the background of that terminal; True for one without job control."""
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:
        return True


def _terminal_of(stream: IO[str] | None) -> int | None:
    """Descriptor of a stream that is a terminal, else None."""
    try:
        if stream is not None and stream.isatty():
            return stream.fileno()
    except (OSError, ValueError):  # closed, or not backed by a file
        pass
    return None


def is_drawn_on(descriptor: int) -> bool:
    """Whether another program draws on that terminal and reads its keys one by one, as `less` behind our pipe or an editor does.

    False for a shell at its prompt, which reads keys like that too, and for a descriptor that is no terminal.
    """
    import termios

    try:
        if termios.tcgetattr(descriptor)[3] & termios.ICANON:
            return False
    except (OSError, termios.error):
        return False
    try:
        front = os.tcgetpgrp(descriptor)
    except OSError:  # a terminal without job control
        return True
    return front == os.getpgrp() or front != os.getsid(0)


def flush_standard_output() -> bool:
    """Flush stdout and stderr.

    False if the reader of stdout has gone; then stdout is discarded, so that the exit does not flush it.

    OSError if the output could not be stored (a full disk).
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
    """Whether the error comes from a terminal that was closed, which counts as a closed pipe."""
    if problem.errno != errno.EIO:
        return False
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            if stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):
                return True
    return False


def discard(stream: IO[str]) -> None:
    """Send further output of `stream` to /dev/null, so that the interpreter's flush at exit finds no closed pipe."""
    with contextlib.suppress(OSError, ValueError):
        target = os.open(os.devnull, os.O_WRONLY)
        os.dup2(target, stream.fileno())
        os.close(target)
