"""Book state of one symbol on a connection: sequence numbers, and the splice of its stream onto a REST snapshot (rules O1 to O9).

    WAITING ──snapshot──► LIVE ──gap──► HEALING ──answer──► WAITING          by the WebSocket, as usual
       │ an update first, or no snapshot within 5 s of the answer
       ▼
    SPLICING ──REST snapshot that fits──► LIVE ──gap──► SPLICING             by REST

The rules are those of `decoder`. The stream is a chain: each message has its own number (seq) and that of the message before it
(prev). Messages that wait for a REST snapshot are kept as frames, since the grid may change before it arrives.
"""

from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum, unique
from typing import NamedTuple

from orjson import loads

from alphapulse_cli.exchanges.okx.fields import Numbers, book_of, fetched_row, integer
from alphapulse_cli.market.events import Event, GapFound, GapReason, Snapshot, SnapshotRefused, Update, UpdateIgnored
from alphapulse_cli.market.instrument import Instrument

NONE, NEVER = -1, -2  # `last` without a number; `follows` of a book whose next message needs the slow path
SNAPSHOT_WITHIN_NS = 5_000_000_000
HELD_NS = 5_000_000_000
FIRST_PAUSE_NS, LONGEST_PAUSE_NS = 1_000_000_000, 60_000_000_000
MAX_EVENTS, MAX_BYTES = 1024, 8 << 20  # most kept frames: 100 s at ten a second
MOST_IGNORED = 20


@unique
class Stage(Enum):
    """Stage of one book on this connection."""

    WAITING = "subscribed to, without a book so far"
    HEALING = "to be subscribed to anew: messages belong to the old subscription"
    SPLICING = "waits for a REST snapshot"
    LIVE = "has a book"


class _Kept(NamedTuple):
    """Message that waits for a snapshot."""

    numbers: Numbers
    frame: bytes
    place: int  # index of its row in `data`


class Book:
    """Book of one symbol. `fetch` requests a REST snapshot of an instrument, `ask_anew` a new subscription of a native symbol.

    `follows` is the `prev` that the next message of a LIVE book must have; NEVER in any other stage.
    """

    __slots__ = (
        "_acked_ns",
        "_ask_anew",
        "_body",
        "_due_ns",
        "_failures",
        "_fetch",
        "_floor",
        "_held_at",
        "_held_ns",
        "_ignored",
        "_is_unmet",
        "_kept",
        "_kept_bytes",
        "follows",
        "in_flight",
        "instrument",
        "is_spliced",
        "last",
        "stage",
    )

    def __init__(self, instrument: Instrument, fetch: Callable[[Instrument], None], ask_anew: Callable[[str], None]) -> None:
        self.instrument = instrument
        self._fetch = fetch
        self._ask_anew = ask_anew
        self._kept: deque[_Kept] = deque()
        self.reset()

    def reset(self) -> None:
        """Reset for a new connection: forget all state of the old one."""
        self._acked_ns: int | None = None  # time of the answer to the subscription
        self._wait(Stage.WAITING)

    def _wait(self, stage: Stage) -> None:
        """Enter a stage without a book and without a position in the stream."""
        self.stage, self.last, self.follows = stage, NONE, NEVER
        self.is_spliced = self._is_unmet = False
        self._floor = NONE  # smallest seqId of a snapshot that the kept messages can follow
        self.in_flight = False  # a snapshot is being fetched
        self._due_ns: int | None = None  # time of the next fetch, if one is scheduled
        self._failures = 0  # snapshots since the last one adopted
        self._body = b""  # snapshot that is ahead of the stream
        self._held_ns = self._held_at = 0  # time since which it is held, and the stream's last number then
        self._ignored = 0
        self._clear()

    def _clear(self) -> None:
        self._kept.clear()
        self._kept_bytes = 0

    # The stream

    def acked(self, now_ns: int) -> None:
        """Record the answer to a subscription: later messages belong to the new subscription."""
        if self.stage is Stage.HEALING:
            self._wait(Stage.WAITING)
        self._acked_ns = now_ns

    def on_snapshot(self, snapshot: Snapshot, numbers: Numbers | None) -> Sequence[Event]:
        """O1: replace the book, whatever its stage."""
        self._wait(Stage.LIVE)
        if numbers is not None:
            self._stand_at(numbers.seq)
        return (snapshot,)

    def on_update(self, update: Update, numbers: Numbers | None, frame: bytes, place: int, now_ns: int) -> Sequence[Event]:
        """Events of an update, depending on the stage: the update, a gap, or none."""
        if numbers is None:  # O6
            if self.stage is not Stage.LIVE:
                return ()
            return (update,) if self.last == NONE else self._break("an update without a number", GapReason.SEQUENCE, None, None)
        if self.stage is Stage.LIVE:
            return self._on_live(update, _Kept(numbers, frame, place))
        if self.stage is Stage.HEALING:
            return ()
        if self.stage is Stage.WAITING:  # O7
            self._splice()
        return self._on_spliced(_Kept(numbers, frame, place), now_ns)

    def _on_live(self, update: Update, kept: _Kept) -> Sequence[Event]:
        seq, prev = kept.numbers
        if prev == self.last and self.last != NONE:  # O2, O3, O4
            self._stand_at(seq)
            return (update,)
        if self._is_unmet and prev < self.last:
            if seq > self.last:  # O9: it overlaps the snapshot, which is harmless since sizes are absolute
                self._stand_at(seq)
                return (update,)
            self._ignored += 1
            if self._ignored <= MOST_IGNORED:
                return (UpdateIgnored(self.instrument),)
            detail = f"{self._ignored} updates in a row end before {self.last}"
            return self._break(detail, GapReason.IGNORED, kept, (self.last, prev))
        reason = GapReason.SEQUENCE_RESET if max(seq, prev) < self.last else GapReason.SEQUENCE
        return self._break(f"{self.last} is followed by {prev} to {seq}", reason, kept, (self.last, prev))

    def _break(self, detail: str, reason: GapReason, kept: _Kept | None, numbers: tuple[int, int] | None) -> Sequence[Event]:
        """O5: drop the book, and request a resubscription or a REST snapshot."""
        self.heal()
        if self.stage is Stage.SPLICING and kept is not None:
            self._begin_run(kept)
        expected, found = map(str, numbers or ("", ""))  # of prevSeqId
        return (GapFound((self.instrument,), reason, detail, expected, found),)

    def heal(self) -> None:
        """Request another snapshot of a wrong LIVE book, by the same way as its last one (WebSocket or REST)."""
        if self.stage is not Stage.LIVE:
            return
        if not self.is_spliced:
            self.subscribe_anew()
            return
        stood = self.last
        self._splice()
        self.last = self._floor = stood

    def subscribe_anew(self) -> None:
        """Drop the book and the subscription, whatever its stage."""
        self._wait(Stage.HEALING)
        self._ask_anew(self.instrument.native)

    @property
    def position(self) -> tuple[int, int, bool]:
        """Position of a live book: last seqId, expected prevSeqId, whether the snapshot is still ahead of the stream (O9)."""
        return self.last, self.follows, self._is_unmet

    def resume(self, last: int, follows: int, *, is_unmet: bool) -> None:
        """Resume in stage LIVE from a `position`."""
        self._wait(Stage.LIVE)
        self.last, self.follows, self._is_unmet = last, follows, is_unmet

    def _stand_at(self, number: int) -> None:
        self.last = self.follows = number
        self._is_unmet, self._ignored = False, 0

    # The splice

    def splice(self) -> None:
        """Enter stage SPLICING: wait for a REST snapshot instead of one by the WebSocket (O7)."""
        if self.stage is not Stage.SPLICING:
            self._splice()

    def _splice(self) -> None:
        self._wait(Stage.SPLICING)
        self._request()

    def _request(self) -> None:
        self.in_flight, self._due_ns, self._body = True, None, b""
        self._fetch(self.instrument)

    def fetch_again(self, now_ns: int) -> None:
        """Request another snapshot after one that did not fit: at once the first time, then after growing pauses."""
        self._failures += 1
        self.in_flight, self._body = False, b""
        if self._failures == 1:
            self._request()
        else:
            self._due_ns = now_ns + min(FIRST_PAUSE_NS << min(self._failures - 2, 16), LONGEST_PAUSE_NS)

    def tick(self, now_ns: int) -> Sequence[Event]:
        """Carry out what is due: begin a splice, fetch a snapshot, drop one that the stream does not reach."""
        if self.stage is Stage.WAITING and self._acked_ns is not None and now_ns - self._acked_ns >= SNAPSHOT_WITHIN_NS:
            self._splice()
        if self._body and now_ns - self._held_ns >= HELD_NS:
            return self._give_up(now_ns)
        if self._due_ns is not None and now_ns >= self._due_ns:
            self._request()
        return ()

    def _on_spliced(self, kept: _Kept, now_ns: int) -> Sequence[Event]:
        """O8: append to the run of kept messages, or begin another; adopt a held snapshot that the stream has reached."""
        seq, prev = kept.numbers
        if prev == self.last and self.last != NONE and seq > prev:
            self._keep(kept)
        elif seq != self.last:  # otherwise the message is kept already, or is empty (O3)
            self._begin_run(kept)
        if not self._body:
            return ()
        number = integer(fetched_row(self._body)["seqId"])
        if number < self._floor:
            self.fetch_again(now_ns)
            return (SnapshotRefused(self.instrument, f"snapshot {number} is older than the stream"),)
        return self._adopt(number, self._body) if number <= self.last else ()

    def _begin_run(self, kept: _Kept) -> None:
        """Drop the earlier messages: the run begins with this message, or after it if it resets the sequence (O4)."""
        self._clear()
        self.last = self._floor = kept.numbers.seq
        if kept.numbers.seq > kept.numbers.prev:
            self._floor = max(kept.numbers.prev, 0)
            self._keep(kept)

    def _keep(self, kept: _Kept) -> None:
        self._kept.append(kept)
        self._kept_bytes += len(kept.frame)
        self.last = kept.numbers.seq
        while len(self._kept) > MAX_EVENTS or (self._kept_bytes > MAX_BYTES and len(self._kept) > 1):
            dropped = self._kept.popleft()
            self._floor = dropped.numbers.seq
            self._kept_bytes -= len(dropped.frame)

    def on_fetched(self, body: bytes, now_ns: int) -> Sequence[Event]:
        """O8: events of a REST snapshot. An exception (one of NOT_UNDERSTOOD, or OffGridFound) leaves the state unchanged."""
        number = integer(fetched_row(body)["seqId"])
        book_of(Snapshot, self.instrument, fetched_row(body))
        if number < self._floor:
            self.fetch_again(now_ns)
            return (SnapshotRefused(self.instrument, f"snapshot {number} is older than the stream"),)
        if self.last == NONE or number <= self.last:
            return self._adopt(number, body)
        self.in_flight, self._due_ns = False, None
        self._body, self._held_ns, self._held_at = body, now_ns, self.last
        return ()

    def _adopt(self, number: int, body: bytes) -> Sequence[Event]:
        """Make the snapshot and the kept messages after it the book. OffGridFound leaves the state unchanged."""
        snapshot = book_of(Snapshot, self.instrument, fetched_row(body))
        later = [kept for kept in self._kept if kept.numbers.seq > number]
        assert not later or later[0].numbers.prev <= number  # the run is unbroken, and begins early enough
        updates = [book_of(Update, self.instrument, loads(kept.frame)["data"][kept.place]) for kept in later]
        last_number = max(number, self.last)
        is_unmet = self.last < number
        self._wait(Stage.LIVE)
        self._stand_at(last_number)
        self.is_spliced = True
        if is_unmet:  # O9
            self._is_unmet, self.follows = True, NEVER
        return [snapshot, *updates]

    def _give_up(self, now_ns: int) -> Sequence[Event]:
        """Drop a held snapshot and fetch another; two in a row without a message in between mean that the stream is dead."""
        detail = f"the stream does not reach the snapshot: it stands at {self.last}"
        if self._held_at == self.last and self._failures:
            self.subscribe_anew()
        else:
            self.fetch_again(now_ns)
        return (SnapshotRefused(self.instrument, detail),)
