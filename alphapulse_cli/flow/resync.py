"""Backoff of resyncs: at once for a single fault, after growing pauses while resyncs fail.

The states of a book and the events between them (`BookState` of `wire.delta`; the reason tells apart what a state stands for):

    COLD ──snapshot──► LIVE ──gap, bad checksum, lost connection──► SYNCING ──snapshot──► LIVE
                       LIVE ──silence──► STALE ──any frame──► LIVE
    any ──no room, a snapshot with a level that fits no grid, refused──► HALTED ──a snapshot that is whole──► LIVE
    five snapshots in a row with a wrong checksum: SYNCING, or LIVE under --checksum warn, UNVERIFIED ──a right one──► LIVE

A fault of a good book is healed at once, each time; only a book that is wrong again before it was good for `CALM_NS` waits, twice
as long each time. Repeating a request without an answer is the decoder's task.

Where a fresh snapshot would only show the same again (HALTED, UNVERIFIED), the book is tried again after the pauses of its reason,
the last of them for ever. Times are nanoseconds of CLOCK_MONOTONIC, handed in, so that setting the clock stops no healing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from alphapulse_cli.wire.delta import BookReason

SECOND_NS = 1_000_000_000
FIRST_PAUSE_NS, LONGEST_PAUSE_NS = SECOND_NS, 60 * SECOND_NS
CALM_NS = 2 * SECOND_NS  # time for which a book must be good before its last fault is forgotten
RETRY_PAUSES_S = {
    BookReason.OFF_GRID: (60, 120, 300, 600),
    BookReason.NO_ROOM: (5, 60, 120, 300, 600),
    BookReason.UNVERIFIED: (600,),
}


@dataclass(slots=True)
class ResyncPacer:
    """Pacer of one book: since when it is good, whether it needs a resync, and when that may be requested."""

    wanted: bool = False  # a resync is needed but not yet requested
    not_before_ns: int = 0
    pause_ns: int = 0
    good_since_ns: int | None = None
    retry_at_ns: int | None = None
    _retry_pauses_s: Sequence[int] = field(default=())
    _retries: int = 0

    def is_calm(self, now_ns: int) -> bool:
        """Whether the book has been good for CALM_NS, so that its last fault is forgotten."""
        return self.good_since_ns is not None and now_ns - self.good_since_ns >= CALM_NS

    def broke(self, now_ns: int) -> None:
        """Note that the book is wrong from now on."""
        if self.is_calm(now_ns):
            self.pause_ns = self.not_before_ns = self._retries = 0
        self.good_since_ns = None

    def want(self) -> None:
        """Note that a fresh snapshot is needed; `due` says when to request it."""
        self.wanted = True

    def retry(self, reason: BookReason, now_ns: int) -> None:
        """Plan tries with the pauses of `reason`, unless they already run: a fresh snapshot was no help."""
        self.wanted = False
        pauses_s = RETRY_PAUSES_S[reason]
        if self.retry_at_ns is None or pauses_s != self._retry_pauses_s:
            self._retries = self._retries if pauses_s == self._retry_pauses_s else 0
            self._retry_pauses_s = pauses_s
            self._next_retry(now_ns)

    def due(self, now_ns: int) -> bool:
        """Whether to request a snapshot now; True counts as requested and delays the next one."""
        if self.retry_at_ns is not None and now_ns >= self.retry_at_ns:
            self._next_retry(now_ns)
            return True
        if not self.wanted or now_ns < self.not_before_ns:
            return False
        self.pause_ns = min(max(2 * self.pause_ns, FIRST_PAUSE_NS), LONGEST_PAUSE_NS)
        self.wanted, self.not_before_ns = False, now_ns + self.pause_ns
        return True

    def healed(self, now_ns: int) -> None:
        """Note that the book is good: no resync is needed. Its last fault is not forgotten yet."""
        self.wanted, self.retry_at_ns = False, None
        if self.good_since_ns is None:
            self.good_since_ns = now_ns

    def disconnected(self) -> None:
        """Drop the need for a resync: the next connection's subscription brings the snapshot. Planned retries stay."""
        self.wanted = False

    @property
    def retry_pause_s(self) -> int:
        """Seconds from the last try to the next one; 0 where none is planned."""
        return 0 if self.retry_at_ns is None else self._retry_pauses_s[min(self._retries, len(self._retry_pauses_s)) - 1]

    def _next_retry(self, now_ns: int) -> None:
        pause_s = self._retry_pauses_s[min(self._retries, len(self._retry_pauses_s) - 1)]
        self._retries += 1
        self.retry_at_ns = now_ns + pause_s * SECOND_NS
