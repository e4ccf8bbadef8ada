"""Proof that a quiet symbol's stream still stands: a small REST snapshot, whose number says what has happened since the stream spoke last.

the stream spoke meanwhile           it lives: nothing to be proven
snapshot == where the stream is      its best levels must be the book's (Proof)
snapshot ahead, and still ahead of
the stream MEET_NS later             the stream is dead (GapFound QUIET): subscribe to it anew, fetch the book
snapshot behind                      an old answer, which proves nothing: another is asked for, after ever longer pauses
"""

from enum import Enum, unique

PROOF_DEPTH = 20  # levels a side: of a book that began with a hundred, the deepest are not all known
AGAIN_NS = 120_000_000_000  # a stream that dies a second time within that takes the connection with it
MEET_NS = 1_000_000_000  # ten times what the exchange gathers for one message
LONGEST_PAUSE_NS = 60_000_000_000


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
