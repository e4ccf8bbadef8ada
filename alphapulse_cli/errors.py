"""Tree of all errors that users can meet; each class says what its catcher should do.

    AlphapulseError
    ├── UsageError            exit 2   a request that cannot be right; the hint says what could
    ├── ExchangeError         exit 6   the network or the exchange
    │   ├── DecodeError                count it, drop the frame, resync its instruments; many in a row: reconnect
    │   └── Refused                    the exchange said no, and will again: a region, a path, a symbol, a certificate
    ├── SegmentError          exit 3   nothing to attach to
    │   ├── NoSegment                  no such file; hint: what `segments` shows
    │   ├── NotASegment                a file, but not ours: wrong magic, truncated, a link, another's
    │   ├── WrongLayout                ours, of another layout version
    │   └── SegmentGone                its file was cut short while we read it: attach again once a collector made a new one
    ├── StorageError          exit 1   no room or no permission on the disk or in shared memory
    ├── WriterAlive           exit 7   another process collects this set already
    └── IntegrityError        exit 4   a proof failed (`--verify`); elsewhere a bad book is a state, not an error

A gap, a bad checksum, a lap, silence and a lost connection are not exceptions: they are events and counters.
"""

from enum import IntEnum, unique


@unique
class ExitCode(IntEnum):
    """Exit code of the process; the same numbers for every command."""

    DONE = 0  # done; SIGTERM and a closed pipe too
    FAILED = 1
    USAGE = 2  # usage or config
    NOTHING_TO_ATTACH = 3
    INTEGRITY = 4
    TARGET_MISSED = 5
    EXCHANGE = 6  # exchange or network
    ALREADY_RUNNING = 7
    INTERRUPTED = 130


class AlphapulseError(Exception):
    """Base of all errors that alphapulse raises. `str(error)` is one line for a person, `hint` the next thing to try."""

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")  # a traceback of Python's own shows it too


class UsageError(AlphapulseError):
    """Request that cannot be right: a wrong option, name or value."""

    exit_code = ExitCode.USAGE


class ExchangeError(AlphapulseError):
    """Failure of the network or the exchange that may pass. `retry_after_s`: how long the exchange asked to be left alone, from when this was raised; None: not."""

    exit_code = ExitCode.EXCHANGE

    def __init__(self, message: str, hint: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, hint)
        self.retry_after_s = retry_after_s


class DecodeError(ExchangeError):
    """A frame that could not be understood in full. `frame` holds its first bytes, hostile: show them only escaped.

    `may_hold_books` is False where it names a channel that tells nothing of books: they have missed nothing.
    """

    KEPT_BYTES = 200

    def __init__(self, message: str, frame: bytes = b"", hint: str = "", *, may_hold_books: bool = True) -> None:
        super().__init__(message, hint)
        self.frame = bytes(frame[: self.KEPT_BYTES])
        self.may_hold_books = may_hold_books


class Refused(ExchangeError):
    """Refusal that trying again cannot change: 403, 404, 451, a certificate that is not to be trusted, an unknown symbol."""


class SegmentError(AlphapulseError):
    """Segment that cannot be attached to: missing, foreign or damaged."""

    exit_code = ExitCode.NOTHING_TO_ATTACH


class NoSegment(SegmentError):
    """No such segment."""


class NotASegment(SegmentError):
    """A file is there, but it is no segment that may be trusted."""


class WrongLayout(SegmentError):
    """A segment of a layout that this version does not read."""


class SegmentGone(SegmentError):
    """A segment whose file was cut short, or damaged, while it was read: nothing in it may be believed any more."""


class StorageError(AlphapulseError):
    """The segments' directory cannot hold what is needed: no room, no permission, too many open files."""


class WriterAlive(AlphapulseError):
    """Another process writes this set."""

    exit_code = ExitCode.ALREADY_RUNNING


class IntegrityError(AlphapulseError):
    """A replica, an image or a checksum did not agree."""

    exit_code = ExitCode.INTEGRITY
