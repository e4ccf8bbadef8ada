"""Spliced book: one symbol's diff stream and its REST snapshots become Snapshot and Updates (rules B1 to B11 of `splice`).

    depthUpdate ─► on_event ─► Splice ─► Update                    fetch() ─► the decoder's queue of requests
    REST body ──► on_snapshot ─► refused │ held until met (B5) │ Snapshot and the buffered Updates

One snapshot is in flight at a time. If it does not fit, the next is fetched at once, later ones after pauses that double up to a
minute.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from orjson import loads

from alphapulse_cli.exchanges.binance.fields import data_of, integer, levels_of, update_of
from alphapulse_cli.exchanges.binance.splice import NOTHING_SEEN, Meeting, Splice
from alphapulse_cli.exchanges.sequence import BACK, GAP, NEXT, OLD
from alphapulse_cli.market.events import Event, GapFound, GapReason, Snapshot, SnapshotRefused, Update, UpdateIgnored
from alphapulse_cli.market.instrument import Instrument

FIRST_PAUSE_NS, LONGEST_PAUSE_NS = 1_000_000_000, 60_000_000_000
QUIET_NS = 1_500_000_000  # B9: from the confirmation to the snapshot
HELD_NS, HELD_EVENTS, LATE_NS = 5_000_000_000, 20, 60_000_000_000  # B5
LEAST_PACE_NS = 1_000_000_000  # shortest span over which the stream's rate is measured
IGNORED_NS, IGNORED_EVENTS = 5_000_000_000, 20  # B10


@dataclass(slots=True)
class _Held:
    """Snapshot that is ahead of the stream, held until the stream reaches it."""

    number: int
    snapshot: Snapshot
    body: bytes
    since_ns: int
    stood: int  # the stream's last number at `since_ns`
    events: int = 0  # events of the stream since
    event_ns: int = 0  # time of the last of them

    def is_near(self, last_number: int, now_ns: int) -> bool:
        """B5: whether the stream advances and, at its rate so far, reaches the snapshot within LATE_NS."""
        took_ns = max(now_ns - self.since_ns, LEAST_PACE_NS)
        is_reached = (self.number - last_number) * took_ns <= (last_number - self.stood) * LATE_NS
        return self.events > 0 and now_ns - self.event_ns < HELD_NS and is_reached


class SplicedBook:
    """Book of one symbol on this connection. It calls `fetch` to request a REST snapshot."""

    __slots__ = (
        "_fetch",
        "_held",
        "_ignored",
        "_ignored_at",
        "_ignored_ns",
        "_unmet",
        "due_ns",
        "failures",
        "in_flight",
        "instrument",
        "is_dead",
        "splice",
    )

    def __init__(self, instrument: Instrument, fetch: Callable[[Instrument], None]) -> None:
        self.instrument = instrument
        self.splice = Splice()
        self._fetch = fetch
        self.reset()

    def reset(self) -> None:
        """Start on a new connection."""
        self.splice.reset()
        self.in_flight = False  # a snapshot is being fetched
        self.due_ns: int | None = None  # time of the next fetch, if one is scheduled
        self.failures = 0  # snapshots since the last one adopted
        self._held: _Held | None = None
        self._unmet = (-1, -1)  # B9: id of the snapshot dropped without an event since, and the stream's last number then
        self.is_dead = False  # B11; the decoder clears it when it has restarted the stream
        self._ignored = self._ignored_ns = 0  # B10: number of events ignored in a row, and the time of the first
        self._ignored_at = -1  # the splice's last number then

    @property
    def is_fed(self) -> bool:
        """Whether the stream sent any event on this connection."""
        return self.splice.last != NOTHING_SEEN

    def fetch(self) -> None:
        """B2: request a snapshot unless one is in flight."""
        if not self.in_flight:
            self.in_flight, self.due_ns = True, None
            self._held = None
            self._fetch(self.instrument)

    def fetch_again(self, now_ns: int) -> None:
        """Request another snapshot after one that did not fit: at once the first time, then after growing pauses."""
        self.failures += 1
        self.in_flight, self._held = False, None
        if self.failures == 1:
            self.fetch()
        else:
            self.due_ns = now_ns + min(FIRST_PAUSE_NS << min(self.failures - 2, 16), LONGEST_PAUSE_NS)

    def confirmed(self, now_ns: int) -> None:
        """B9: note that the stream is subscribed to.

        A quiet symbol may have no event for long, so a snapshot is scheduled.
        """
        if not self.splice.live and not self.in_flight and self._held is None and self.due_ns is None:
            self.due_ns = now_ns + QUIET_NS

    def resync(self) -> None:
        """Drop a wrong book of an unbroken stream, and fetch a snapshot."""
        if self.splice.live:
            self.splice.discard()
            self.fetch()

    def tick(self, now_ns: int) -> Sequence[Event]:
        """Fetch a snapshot that is due; drop one that was held for too long (B5, B9)."""
        held = self._held
        if held is not None and now_ns - held.since_ns >= HELD_NS and not held.is_near(self.splice.last, now_ns):
            return self._give_up(held, now_ns)
        if self.due_ns is not None and now_ns >= self.due_ns:
            self.fetch()
        return ()

    # The stream

    def on_event(self, update: Update, first: Any, final: Any, frame: bytes, now_ns: int) -> Sequence[Event]:
        """Book events of one depthUpdate of the stream. ValueError for an invalid range of ids."""
        if not (type(first) is int and type(final) is int and 0 <= first <= final):
            raise ValueError(f"not a range of ids: {first!r}..{final!r}")
        splice = self.splice
        last, was_live = splice.last, splice.live
        verdict = splice.take(first, final, frame)
        if was_live:
            if verdict is NEXT:
                return (update,)
            if verdict is OLD:
                return self._on_ignored(first, final, frame, now_ns)
            return self._on_break(verdict is GAP, last, f"{first}..{final}")
        if self._held is not None:
            return self._on_held(self._held, verdict is BACK, now_ns)
        if not self.failures:  # B1, B2: an event is buffered
            self.fetch()
        return ()

    def _on_break(self, is_gap: bool, last: int, found: str) -> Sequence[Event]:
        """Report a gap, and fetch a snapshot (B7, B8)."""
        self.fetch()
        reason = GapReason.SEQUENCE if is_gap else GapReason.SEQUENCE_RESET
        return (GapFound((self.instrument,), reason, f"{last} is followed by {found}", str(last + 1), found),)

    def _on_ignored(self, first: int, final: int, frame: bytes, now_ns: int) -> Sequence[Event]:
        """Count an ignored event; too many in a row are a gap (B10)."""
        if self._ignored_at != self.splice.last:  # an event followed meanwhile: start a new count
            self._ignored_at, self._ignored, self._ignored_ns = self.splice.last, 0, now_ns
        self._ignored += 1
        ignored = UpdateIgnored(self.instrument)
        if self._ignored <= IGNORED_EVENTS and now_ns - self._ignored_ns <= IGNORED_NS:
            return (ignored,)
        last = self.splice.last
        detail = f"{self._ignored} updates in a row end at or before {last}, the last of them {first}..{final}"
        self.splice.restart(first, final, frame)
        self.fetch()
        return ignored, GapFound((self.instrument,), GapReason.IGNORED, detail, str(last + 1), f"{first}..{final}")

    def _on_held(self, held: _Held, is_back: bool, now_ns: int) -> Sequence[Event]:
        """B5: adopt a held snapshot if the stream has reached it."""
        held.events, held.event_ns = held.events + 1, now_ns
        meeting = self.splice.meeting(held.number)
        if meeting is Meeting.MET and not is_back:
            return self._adopt(held)
        is_in_time = held.events <= HELD_EVENTS and now_ns - held.since_ns <= HELD_NS
        if meeting is Meeting.AHEAD and not is_back and (is_in_time or held.is_near(self.splice.last, now_ns)):
            return ()
        return self._give_up(held, now_ns)

    # Snapshots

    def on_snapshot(self, body: bytes, now_ns: int) -> Sequence[Event]:
        """Events of a REST snapshot. An exception (one of NOT_UNDERSTOOD, or OffGridFound) leaves the state unchanged."""
        answer = loads(body)
        number = integer(answer["lastUpdateId"])
        snapshot = Snapshot(self.instrument, levels_of(self.instrument, answer["bids"], answer["asks"]))
        held = _Held(number, snapshot, body, now_ns, self.splice.last)
        meeting = self.splice.meeting(number)
        if meeting is Meeting.STALE:  # B3
            self.fetch_again(now_ns)
            return (SnapshotRefused(self.instrument, f"snapshot {number} is older than the stream"),)
        if meeting is Meeting.MET or (number, self.splice.last) == self._unmet:  # B5, B9
            return self._adopt(held)
        self.in_flight, self.due_ns = False, None
        self._held = held
        return ()

    def _adopt(self, held: _Held) -> Sequence[Event]:
        """B6: make the snapshot the book. OffGridFound leaves the state unchanged.

        Buffered frames are decoded on the current grid, which may differ from the grid at their arrival.
        """
        snapshot = held.snapshot
        if snapshot.instrument is not self.instrument:  # the grid changed while it was held
            answer = loads(held.body)
            snapshot = Snapshot(self.instrument, levels_of(self.instrument, answer["bids"], answer["asks"]))
        updates = [update_of(self.instrument, data_of(loads(frame))) for frame in self.splice.after(held.number)]  # B4
        self.splice.adopt(held.number)
        self.in_flight, self.due_ns, self.failures, self._held = False, None, 0, None
        return [snapshot, *updates]

    def _give_up(self, held: _Held, now_ns: int) -> Sequence[Event]:
        """B5, B9: drop a held snapshot and fetch another."""
        number, stood = self._unmet
        self.is_dead = held.events == 0 and 0 <= number < held.number and stood == self.splice.last
        self._unmet = (held.number, self.splice.last) if held.events == 0 and not self.is_dead else (-1, -1)
        self.fetch_again(now_ns)
        return (
            SnapshotRefused(self.instrument, f"the stream does not reach snapshot {held.number}: it stands at {self.splice.last}"),
        )
