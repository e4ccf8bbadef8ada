"""Check of a quiet symbol's stream against a small REST snapshot, whose sequence number shows whether updates were missed.

message of the stream meanwhile      the stream is alive: no check is needed
snapshot == the stream's last        its best levels must equal the book's (Proof)
snapshot ahead, and still ahead of
the stream MEET_NS later             the stream is dead (GapFound QUIET): resubscribe to it, fetch the book
snapshot behind                      an outdated answer, which proves nothing: another is fetched, after growing pauses

A picture stream (Binance's `depth20`) without a picture is checked likewise (`Awaited`): the same number twice and no picture means
that the symbol is quiet, and the snapshot serves as its picture; a larger number and no picture a second later means that the
stream is dead.
"""

from enum import Enum, unique

PROOF_DEPTH = 20  # levels per side; a book that began with a snapshot of 100 levels may not know deeper ones
AGAIN_NS = 120_000_000_000  # a stream that dies twice within this span has its connection replaced
NO_HELP_NS = 600_000_000_000  # shortest time between replacements for a stream that stays dead on a new connection
MEET_NS = 1_000_000_000  # ten times the span that the exchanges gather into one message (100 ms)
FIRST_PAUSE_NS, LONGEST_PAUSE_NS = 10_000_000_000, 60_000_000_000


@unique
class Finding(Enum):
    """Verdict on one answer."""

    NOTHING = "nothing"
    COMPARE = "compare"
    DEAD = "dead"


class Confirmation:
    """Check of one symbol, up to the first answer that decides it; `due` asks for further snapshots."""

    __slots__ = ("_ahead", "_due_ns", "_pause_ns", "_stood")

    def __init__(self, stood: int) -> None:
        self._stood = stood  # the stream's last sequence number at the start of the check
        self._ahead = -1  # sequence number of the snapshot that the stream has to reach
        self._due_ns: int | None = None
        self._pause_ns = MEET_NS

    def due(self, now_ns: int) -> bool:
        """Whether another snapshot is to be fetched now; True counts as fetched."""
        if self._due_ns is None or now_ns < self._due_ns:
            return False
        self._due_ns = None
        return True

    def judge(self, number: int, last_number: int, now_ns: int) -> Finding:
        """Judge a snapshot with sequence number `number` against a stream whose last one is `last_number`.

        NOTHING is no decision: `due` may request another snapshot.
        """
        if last_number != self._stood:
            return Finding.NOTHING
        if number == last_number:
            return Finding.COMPARE
        if number > last_number and self._ahead > last_number:
            return Finding.DEAD
        if number > last_number:
            self._ahead, self._due_ns = number, now_ns + MEET_NS
        else:
            self._pause_ns = min(2 * self._pause_ns, LONGEST_PAUSE_NS)
            self._due_ns = now_ns + self._pause_ns
        return Finding.NOTHING

    @property
    def is_over(self) -> bool:
        """Whether the check is finished: no further answer is expected."""
        return self._due_ns is None


class Awaited:
    """Check of one symbol's stream that has sent no picture so far; `due` requests the snapshots."""

    __slots__ = ("_due_ns", "_has_moved", "_number")

    def __init__(self, now_ns: int) -> None:
        self._due_ns = now_ns + FIRST_PAUSE_NS
        self._number = -1  # sequence number of the first snapshot
        self._has_moved = False

    def due(self, now_ns: int) -> bool:
        """Whether a snapshot is to be fetched now; True counts as fetched. A snapshot that never arrives is fetched again."""
        if now_ns < self._due_ns:
            return False
        self._due_ns = now_ns + LONGEST_PAUSE_NS
        return True

    def judge(self, number: int, now_ns: int) -> Finding:
        """Judge the stream by a snapshot's sequence number: COMPARE, it serves as the stream's picture; NOTHING, fetch another."""
        if self._has_moved:
            return Finding.DEAD
        if number == self._number:
            return Finding.COMPARE
        self._has_moved = 0 <= self._number < number
        self._due_ns = now_ns + (MEET_NS if self._has_moved else FIRST_PAUSE_NS)
        self._number = number
        return Finding.NOTHING
