"""Spans of time in which a book is suspect, as a bit for each reason: what a certificate lists, and a row beside its time can carry.

    LIVE ├── 0 ──┤ last message        gap found       snapshot
                 ├──── SEQUENCE ────────────┴──────────────┤ 0 ──►       valid | suspect: every nanosecond is counted once

A book is suspect from the last message before the one that shows a fault: what was lost was lost between the two.
"""

from collections.abc import Iterator
from enum import IntFlag, unique
from typing import NamedTuple

from alphapulse_cli.wire.delta import BookReason, BookState


@unique
class Suspect(IntFlag):
    """Reasons to suspect a book. Bits are never reused; new ones go at the end. 0 is a valid book."""

    NOT_CAPTURED = 1  # rows are missing in the recording, or no collector ran
    SEQUENCE = 2  # the exchange's sequence shows a lost message, or began anew
    CHECKSUM = 4  # the exchange's checksum differs
    UNREADABLE = 8  # a frame was not understood
    OFF_GRID = 16  # a level fits no grid
    DISCONNECTED = 32
    QUIET = 64  # its stream was dead
    CROSSED_GAP = 128  # crossed for so long that it was fetched anew
    HALTED = 256  # refused by the exchange
    COLD = 512  # no snapshot yet, after a start of the collector
    SILENT = 1024  # nothing heard for longer than the feed promises
    UNVERIFIED = 2048  # five snapshots in a row did not match their own checksum
    UNCONFIRMED = 4096  # quiet for so long that it was being checked
    CROSSED = 8192  # best bid at or above best ask


VALID = Suspect(0)
_OF_REASON = {
    BookReason.STARTING: Suspect.COLD,
    BookReason.SEQUENCE_GAP: Suspect.SEQUENCE,
    BookReason.BAD_CHECKSUM: Suspect.CHECKSUM,
    BookReason.DISCONNECTED: Suspect.DISCONNECTED,
    BookReason.UNREADABLE: Suspect.UNREADABLE,
    BookReason.OFF_GRID: Suspect.OFF_GRID,
    BookReason.CROSSED: Suspect.CROSSED_GAP,
    BookReason.UNVERIFIED: Suspect.UNVERIFIED,
    BookReason.UNCONFIRMED: Suspect.UNCONFIRMED,
    BookReason.SILENT: Suspect.SILENT,
    BookReason.MUTE: Suspect.SILENT,
    BookReason.NO_ROOM: Suspect.HALTED,
    BookReason.REFUSED: Suspect.HALTED,
}


def flag_of(state: BookState, reason: BookReason) -> Suspect:
    """Flag of a book's state."""
    if state is BookState.COLD:
        return Suspect.COLD
    if state is BookState.SYNCING and reason is BookReason.MUTE:
        return Suspect.QUIET
    if state is BookState.LIVE and reason is BookReason.NONE:
        return VALID
    return _OF_REASON.get(reason, Suspect.HALTED if state is BookState.HALTED else Suspect.SEQUENCE)


def first_of(flags: Suspect) -> Suspect:
    """Weightiest of some flags: the one by which a nanosecond is counted."""
    return Suspect(flags & -flags)


class Span(NamedTuple):
    """Part of a book's time: from_ns ≤ time < to_ns."""

    from_ns: int
    to_ns: int
    flags: Suspect


class BookTime:
    """Time of one book, cut into spans; `mark` goes on with other flags, also from an earlier time on, which it then replaces."""

    def __init__(self, from_ns: int, flags: Suspect) -> None:
        self.from_ns = from_ns
        self._begins: list[tuple[int, Suspect]] = [(from_ns, flags)]
        self._done: list[Span] = []

    def copy(self) -> "BookTime":
        """Copy that goes on by itself."""
        made = BookTime(self.from_ns, VALID)
        made._begins, made._done = list(self._begins), list(self._done)
        return made

    @property
    def flags(self) -> Suspect:
        """Flags now."""
        return self._begins[-1][1]

    def mark(self, flags: Suspect, since_ns: int) -> None:
        """Set the flags of all time from `since_ns` on; not before what was settled, nor before the beginning."""
        since_ns = max(since_ns, self._begins[0][0])
        while self._begins and self._begins[-1][0] >= since_ns:
            self._begins.pop()
        if not self._begins or self._begins[-1][1] != flags:
            self._begins.append((since_ns, flags))

    def settle(self, until_ns: int) -> None:
        """Close spans that end by then: nothing will replace them."""
        while len(self._begins) > 1 and self._begins[1][0] <= until_ns:
            (begin, flags), (end, _) = self._begins[0], self._begins[1]
            del self._begins[0]
            self._add(Span(begin, end, flags))

    def spans(self, end_ns: int) -> Iterator[Span]:
        """Iterate over all spans up to the end; they follow one another without a hole."""
        self.settle(end_ns)
        yield from self._done
        begin, flags = self._begins[0]
        if end_ns > begin:
            yield Span(begin, end_ns, flags)

    def _add(self, span: Span) -> None:
        if span.to_ns == span.from_ns:
            return
        if self._done and self._done[-1].flags == span.flags:
            span = Span(self._done.pop().from_ns, span.to_ns, span.flags)
        self._done.append(span)
