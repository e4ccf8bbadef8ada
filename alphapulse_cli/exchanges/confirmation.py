"""Check of a quiet symbol's stream against a small REST snapshot, whose number shows whether updates were missed.

message of the stream meanwhile      the stream is alive: no proof is needed
snapshot == the stream's last        its best levels must equal the book's (Proof)
snapshot ahead, and still ahead of
the stream MEET_NS later             the stream is dead (GapFound QUIET): subscribe to it anew, fetch the book
snapshot behind                      an old answer, which proves nothing: another is fetched, after ever longer pauses

A picture stream (Binance's `depth20`) without a picture is checked likewise (`Awaited`): the same number twice and no picture means that the
symbol is quiet, and the snapshot is its picture; a number that moves on, and no picture a second later, that the stream is dead.
"""

from enum import Enum, unique

PROOF_DEPTH = 20  # levels a side: the deeper levels of a book that began with a snapshot of a hundred are not all known
AGAIN_NS = 120_000_000_000  # a stream that dies twice within this span has its connection replaced
NO_HELP_NS = 600_000_000_000  # shortest time between replacements for a stream that a new connection does not feed either
MEET_NS = 1_000_000_000  # ten times the span that the exchanges gather into one message (100 ms)
FIRST_PAUSE_NS, LONGEST_PAUSE_NS = 10_000_000_000, 60_000_000_000


@unique
class Finding(Enum):
    """Result of judging one answer."""

    NOTHING = "nothing"
    COMPARE = "compare"
    DEAD = "dead"


class Confirmation:
    """Check of one symbol, up to the first answer that decides it; `due` asks for further snapshots."""

    __slots__ = ("_ahead", "_due_ns", "_pause_ns", "_stood")

    def __init__(self, stood: int) -> None:
        self._stood = stood  # the stream's last number when the check began
        self._ahead = -1  # number of the snapshot that the stream has to reach
        self._due_ns: int | None = None
        self._pause_ns = MEET_NS

    def due(self, now_ns: int) -> bool:
        """Whether another snapshot is to be fetched now; a yes counts as fetched."""
        if self._due_ns is None or now_ns < self._due_ns:
            return False
        self._due_ns = None
        return True

    def judge(self, number: int, stands: int, now_ns: int) -> Finding:
        """Judge a snapshot of that number against a stream whose last number is `stands`.

        NOTHING leaves it open: `due` may ask for another snapshot.
        """
        if stands != self._stood:
            return Finding.NOTHING
        if number == stands:
            return Finding.COMPARE
        if number > stands and self._ahead > stands:
            return Finding.DEAD
        if number > stands:
            self._ahead, self._due_ns = number, now_ns + MEET_NS
        else:
            self._pause_ns = min(2 * self._pause_ns, LONGEST_PAUSE_NS)
            self._due_ns = now_ns + self._pause_ns
        return Finding.NOTHING

    @property
    def is_over(self) -> bool:
        """Whether no further answer is awaited."""
        return self._due_ns is None


class Awaited:
    """Check of one symbol's stream that has shown no picture so far; `due` asks for the snapshots."""

    __slots__ = ("_due_ns", "_has_moved", "_number")

    def __init__(self, now_ns: int) -> None:
        self._due_ns = now_ns + FIRST_PAUSE_NS
        self._number = -1  # of the first snapshot
        self._has_moved = False

    def due(self, now_ns: int) -> bool:
        """Whether a snapshot is to be fetched now; a yes counts as fetched. A snapshot that never arrives is fetched again."""
        if now_ns < self._due_ns:
            return False
        self._due_ns = now_ns + LONGEST_PAUSE_NS
        return True

    def judge(self, number: int, now_ns: int) -> Finding:
        """Judge the stream by a snapshot of that number: COMPARE says that it is the stream's picture; NOTHING asks for another."""
        if self._has_moved:
            return Finding.DEAD
        if number == self._number:
            return Finding.COMPARE
        self._has_moved = 0 <= self._number < number
        self._due_ns = now_ns + (MEET_NS if self._has_moved else FIRST_PAUSE_NS)
        self._number = number
        return Finding.NOTHING
