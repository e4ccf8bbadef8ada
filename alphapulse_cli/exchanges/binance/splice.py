"""One symbol's way from a stream of ranges and a snapshot to an unbroken book: rules B1 to B7, without JSON, levels or time.

    BUFFERING  ── a snapshot that the buffer reaches (B3..B6) ──►  LIVE
        ▲─────────────── a range that does not follow (B7) ──────────┘

  B1  Buffer the stream's events. What is buffered is one unbroken run: an event that does not follow restarts it.
  B2  Fetch a snapshot; L is its id. (The decoder asks for it.)
  B3  L older than the stream: an event between them is lost to us. Fetch again.
  B4  Drop the events with u <= L.
  B5  The first event kept must satisfy U <= L + 1 <= u. Where none is kept, the first one to come must.
  B6  The book is the snapshot, then the events kept, in order. Sizes are absolute, so an overlap is harmless.
  B7  From then on U == previous u + 1. u <= previous is ignored; anything else is a gap: back to B1, beginning with that event.

The buffer is bounded by events and by bytes. At the bound its oldest event goes, and B3 refuses a snapshot that would have needed it.
"""

from collections import deque

from alphapulse_cli.exchanges.sequence import GAP, NEXT, OLD, Verdict, follows, splices

MAX_EVENTS, MAX_BYTES = 1024, 8 << 20  # 100 s at ten events a second
NOTHING_SEEN = -1


class Splice:
    """Where one symbol's stream stands. Every event goes through `take`, every snapshot through `reaches`, then `adopt`."""

    __slots__ = ("_buffer", "_buffered_bytes", "_first_after_snapshot", "_floor", "last", "live")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """A new connection: nothing of the old one counts."""
        self.live = False
        self.last = NOTHING_SEEN  # the last u taken, or L
        self._first_after_snapshot = False
        self._floor = NOTHING_SEEN  # the smallest L that the buffered run can follow
        self._buffer: deque[tuple[int, int, bytes]] = deque()
        self._buffered_bytes = 0

    @property
    def buffered_count(self) -> int:
        """How many events wait for a snapshot."""
        return len(self._buffer)

    def discard(self) -> None:
        """The book is wrong though the stream is not broken: buffer again from here on."""
        if self.live:
            self.live, self._floor = False, self.last

    def take(self, first: int, final: int, frame: bytes) -> Verdict:
        """One event of the stream. Live: NEXT, apply it; OLD, ignore it; GAP, the book is wrong and a snapshot is needed. Else buffered."""
        if not self.live:
            return self._keep(first, final, frame)
        if first == self.last + 1:  # what `splices` and `follows` both call NEXT: nearly every event
            self.last, self._first_after_snapshot = final, False
            return NEXT
        verdict = (splices if self._first_after_snapshot else follows)(self.last, first, final)  # B5, then B7
        if verdict is NEXT:
            self.last, self._first_after_snapshot = final, False
        elif verdict is GAP:  # B7
            self.live = False
            self._keep(first, final, frame)
        return verdict

    def _keep(self, first: int, final: int, frame: bytes) -> Verdict:
        """B1: lengthen the run, or begin another one with this event."""
        verdict = follows(self.last, first, final)
        if verdict is OLD:
            return OLD
        if verdict is GAP:
            self._clear()
            self._floor = first - 1
        self._buffer.append((first, final, bytes(frame)))
        self._buffered_bytes += len(frame)
        self.last = final
        while len(self._buffer) > MAX_EVENTS or (self._buffered_bytes > MAX_BYTES and len(self._buffer) > 1):
            _, self._floor, dropped = self._buffer.popleft()
            self._buffered_bytes -= len(dropped)
        return verdict

    def reaches(self, snapshot_id: int) -> bool:
        """B3: whether the run that we hold begins early enough to follow a snapshot of this id."""
        return snapshot_id >= self._floor

    def after(self, snapshot_id: int) -> list[bytes]:
        """B4: the buffered frames that a snapshot of this id does not contain, in order."""
        return [frame for _, final, frame in self._buffer if final > snapshot_id]

    def adopt(self, snapshot_id: int) -> None:
        """B5, B6: the book is that snapshot and what is `after` it; live from here on."""
        kept = next(((first, final) for first, final, _ in self._buffer if final > snapshot_id), None)
        # B5 holds because the run is unbroken and B3 was asked.
        assert kept is None or splices(snapshot_id, *kept) is NEXT
        self._first_after_snapshot = kept is None
        self.live, self.last = True, snapshot_id if kept is None else self.last
        self._clear()

    def _clear(self) -> None:
        self._buffer.clear()
        self._buffered_bytes = 0
