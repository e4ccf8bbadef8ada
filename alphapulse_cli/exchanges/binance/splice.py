"""Splice of one symbol's stream of ranges onto a snapshot: rules B1 to B11, without JSON, levels or time.

    BUFFERING  ── a snapshot that the stream has met (B3..B6) ──►  LIVE
        ▲────── a range that does not follow (B7), goes back (B8) or is ignored for too long (B10) ──┘

  B1  Buffer the stream's events. The buffer is one unbroken run: an event that does not follow restarts it. So does an event
      that goes back (a smaller number), because the sequence was reset.
  B2  Fetch a snapshot; L is its id. (The decoder requests it.)
  B3  L older than the stream: an event between them is lost. Fetch again. No book was live, so this is no gap.
  B4  Drop the events with u <= L.
  B5  A snapshot is adopted once the stream has met it: the newest u is L or more. One that is ahead is held until then, for 20
      messages or 5 s at most, or longer where the stream lags: while it goes on at a pace that reaches it within a minute.
      Otherwise its numbers are of another sequence, and another is fetched. The first event kept must satisfy U <= L + 1 <= u; an
      unbroken run (B1) that begins early enough (B3) has one.
  B6  The book is the snapshot, then the events kept, in order. Sizes are absolute, so an overlap is harmless.
  B7  From then on U == previous u + 1. A later U is a gap: back to B1, beginning with that event.
  B8  An event that ends at our number is a repetition: ignored. One that ends before it goes back, and an unbroken stream never
      does: the sequence was reset. Back to B1, beginning with that event.
  B9  A quiet symbol has no events to meet. Its snapshot is adopted if the subscription is confirmed and no event came at all; or
      if two snapshots, 5 s apart, have the same id and no event came between. Its first event may overlap L or end before
      it: the exchange gathers events for 100 ms, so an older one may be on its way.
  B10 Each event that a LIVE book ignores is counted (UPDATES_IGNORED). More than 20 of them in a row, or 5 s without one that
      follows, is a gap.
  B11 Two snapshots, 5 s apart, the later with a larger id, and no event between: the stream is dead. It is resubscribed;
      if it dies again soon after, the connection is replaced, at most once in ten minutes if a new connection did not help.

The buffer is bounded by events and by bytes. At the bound its oldest event is dropped, and B3 refuses a snapshot that needs it.
"""

from collections import deque
from enum import Enum, unique

from alphapulse_cli.exchanges.sequence import BACK, NEXT, OLD, SequenceVerdict, follows, splices

MAX_EVENTS, MAX_BYTES = 1024, 8 << 20  # 100 s at ten events a second
NOTHING_SEEN = -1


@unique
class Meeting(Enum):
    """Position of a snapshot relative to the stream."""

    STALE = "the stream began after it"
    MET = "the stream has reached it"
    AHEAD = "the stream has yet to reach it"


class Splice:
    """State of one symbol's stream. Every event goes through `take`, every snapshot through `meeting`, then `adopt`."""

    __slots__ = ("_buffer", "_buffered_bytes", "_floor", "_is_unmet", "_was_fed", "last", "live")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Reset for a new connection: forget all state of the old one."""
        self.live = False
        self.last = NOTHING_SEEN  # the last u, or L
        self._is_unmet = False  # B9: live, and no event has reached the snapshot yet
        self._was_fed = False
        self._floor = NOTHING_SEEN  # the smallest L that the buffered run can follow
        self._buffer: deque[tuple[int, int, bytes]] = deque()
        self._buffered_bytes = 0

    @property
    def was_fed(self) -> bool:
        """Whether any event arrived on this connection."""
        return self._was_fed or (self.live and not self._is_unmet)

    @property
    def position(self) -> tuple[int, bool]:
        """Last update id of a live stream, and whether its snapshot is still ahead of the stream (B9)."""
        return self.last, self._is_unmet

    def resume(self, last: int, *, is_unmet: bool) -> None:
        """Resume in state LIVE from a `position`."""
        self._clear()
        self.live, self.last, self._is_unmet, self._was_fed = True, last, is_unmet, not is_unmet

    def discard(self) -> None:
        """Drop a wrong book of an unbroken stream: return to BUFFERING."""
        if self.live:
            self._was_fed = self.was_fed
            self.live, self._floor = False, self.last

    def restart(self, first: int, final: int, frame: bytes) -> None:
        """Drop all earlier events: return to BUFFERING, beginning with this event."""
        self.live, self.last = False, NOTHING_SEEN
        self._keep(first, final, frame)

    def take(self, first: int, final: int, frame: bytes) -> SequenceVerdict:
        """Judge one event of the stream. When LIVE: NEXT, apply it; OLD, ignore it; GAP or BACK, the book is wrong.

        When BUFFERING, the event is buffered.
        """
        if not self.live:
            return self._keep(first, final, frame)
        if first == self.last + 1:  # NEXT for `splices` and `follows` alike: nearly every event
            self.last, self._is_unmet = final, False
            return NEXT
        if self._is_unmet:  # B9
            verdict = splices(self.last, first, final)
            self._is_unmet = final < self.last
        else:
            verdict = follows(self.last, first, final)  # B7
            if verdict is OLD and final < self.last:  # B8
                verdict = BACK
        if verdict is NEXT:
            self.last = final
        elif verdict is not OLD:
            self.restart(first, final, frame)
        return verdict

    def _keep(self, first: int, final: int, frame: bytes) -> SequenceVerdict:
        """B1: append the event to the buffered run, or begin another run with it."""
        verdict = follows(self.last, first, final)
        if verdict is OLD:
            if final == self.last:
                return OLD
            verdict = BACK
        if verdict is not NEXT:
            self._clear()
            self._floor = first - 1
        self._buffer.append((first, final, bytes(frame)))
        self._buffered_bytes += len(frame)
        self.last, self._was_fed = final, True
        while len(self._buffer) > MAX_EVENTS or (self._buffered_bytes > MAX_BYTES and len(self._buffer) > 1):
            _, self._floor, dropped = self._buffer.popleft()
            self._buffered_bytes -= len(dropped)
        return verdict

    def meeting(self, snapshot_id: int) -> Meeting:
        """B3, B5: whether the buffered run can follow a snapshot of this id, and has reached it.

        Without events any snapshot is MET (B9).
        """
        if snapshot_id < self._floor:
            return Meeting.STALE
        return Meeting.MET if self.last == NOTHING_SEEN or snapshot_id <= self.last else Meeting.AHEAD

    def after(self, snapshot_id: int) -> list[bytes]:
        """B4: the buffered frames that a snapshot of this id does not contain, in order."""
        return [frame for _, final, frame in self._buffer if final > snapshot_id]

    def adopt(self, snapshot_id: int) -> None:
        """B5, B6: go live with the book of that snapshot and the frames `after` it."""
        kept = next(((first, final) for first, final, _ in self._buffer if final > snapshot_id), None)
        # B5 holds because the run is unbroken and B3 was checked.
        assert kept is None or splices(snapshot_id, *kept) is NEXT
        self._is_unmet = self.last < snapshot_id  # B9
        self.live, self.last = True, max(snapshot_id, self.last)
        self._clear()

    def _clear(self) -> None:
        self._buffer.clear()
        self._buffered_bytes = 0
