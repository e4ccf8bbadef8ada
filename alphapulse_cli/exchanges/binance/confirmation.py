"""Proof that a quiet symbol's stream still stands: a small REST snapshot, whose number says what has happened since the stream spoke last.

the stream spoke meanwhile           it lives: nothing to be proven
snapshot == where the stream is      its best levels must be the book's (Proof)
snapshot ahead, and still ahead of
the stream MEET_NS later             the stream is dead (GapFound QUIET): subscribe to it anew, fetch the book
snapshot behind                      an old answer, which proves nothing: another is asked for, after ever longer pauses

A stream of pictures that has shown none is waited for likewise (`Awaited`): the same number twice and no picture means that it is quiet,
and the snapshot is its picture; a number that moves on, and no picture a second later, that it is dead.
"""

from enum import Enum, unique

PROOF_DEPTH = 20  # levels a side: of a book that began with a hundred, the deepest are not all known
AGAIN_NS = 120_000_000_000  # a stream that dies a second time within that takes the connection with it
NO_HELP_NS = 600_000_000_000  # but one that the next connection does not feed either does so no sooner than that
MEET_NS = 1_000_000_000  # ten times what the exchange gathers for one message
FIRST_PAUSE_NS, LONGEST_PAUSE_NS = 10_000_000_000, 60_000_000_000


@unique
class Finding(Enum):
    """Result of judging one answer."""

    NOTHING = "nothing"
    COMPARE = "compare"
    DEAD = "dead"


class Confirmation:
    """One symbol's check, from `begin` to the first answer that decides it; `due` asks for further ones."""

    __slots__ = ("_ahead", "_due_ns", "_pause_ns", "_stood")

    def __init__(self, stood: int) -> None:
        self._stood = stood  # where the stream stood when it was doubted
        self._ahead = -1  # the snapshot that it has to reach
        self._due_ns: int | None = None
        self._pause_ns = MEET_NS

    def due(self, now_ns: int) -> bool:
        """Whether another snapshot is to be fetched now; asking it counts as fetching."""
        if self._due_ns is None or now_ns < self._due_ns:
            return False
        self._due_ns = None
        return True

    def judge(self, number: int, stands: int, now_ns: int) -> Finding:
        """Judge a snapshot of that number against a stream that stands there; NOTHING may ask for another."""
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
    """Judge of one symbol's stream that has shown no picture since a moment; `due` asks for the snapshots it judges by."""

    __slots__ = ("_due_ns", "_has_moved", "_number")

    def __init__(self, now_ns: int) -> None:
        self._due_ns = now_ns + FIRST_PAUSE_NS
        self._number = -1  # of the first snapshot
        self._has_moved = False

    def due(self, now_ns: int) -> bool:
        """Whether a snapshot is to be fetched now; asking it counts as fetching. An answer that never comes is asked for again."""
        if now_ns < self._due_ns:
            return False
        self._due_ns = now_ns + LONGEST_PAUSE_NS
        return True

    def judge(self, number: int, now_ns: int) -> Finding:
        """Judge the stream by a snapshot of that number: COMPARE says that this is its picture; NOTHING asks for another."""
        if self._has_moved:
            return Finding.DEAD
        if number == self._number:
            return Finding.COMPARE
        self._has_moved = 0 <= self._number < number
        self._due_ns = now_ns + (MEET_NS if self._has_moved else FIRST_PAUSE_NS)
        self._number = number
        return Finding.NOTHING
