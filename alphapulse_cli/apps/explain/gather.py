"""Gathering of the evidence for one incident: its recording is played up to it, then row by row until the book has healed.

far ─► close, the wanted number of frames before ─► fault ─► … asked, seen … ─► healed ─► a few frames more
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from alphapulse_cli import exchanges
from alphapulse_cli.apps.explain import frames, words
from alphapulse_cli.apps.explain.evidence import (
    Asked,
    BookSeen,
    ChecksumSides,
    Evidence,
    Expected,
    FrameSeen,
    Incident,
    Kind,
    LevelChange,
    Place,
    Readers,
    StateSeen,
)
from alphapulse_cli.apps.explain.search import watched
from alphapulse_cli.apps.explain.watching import UNREADABLE, Change, Listeners, WatchingPlayer
from alphapulse_cli.apps.replay.timeline import Recording
from alphapulse_cli.book.book import Book
from alphapulse_cli.edges.capture import rows
from alphapulse_cli.edges.capture.rows import Row
from alphapulse_cli.errors import NoSegment
from alphapulse_cli.exchanges.protocol import ShowsChecksum
from alphapulse_cli.flow.ingest import Ingest
from alphapulse_cli.flow.keeper import BookKeeper
from alphapulse_cli.flow.quiet import CROSSED_NS, LONGEST_CROSSED_NS
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.shm.ring import RingReader
from alphapulse_cli.wire.delta import DELTA_BYTES, KIND_MASK, BookReason, BookState, RecordKind, offsets

SECOND_NS = 1_000_000_000
CLOSE_NS = 600 * SECOND_NS  # after a fault the rows are looked at one by one for that long
MOST_CHANGES = 200  # levels told of those that differ
POLL_RECORDS = 1 << 13
RECORDS_SINCE_STATUS = (RecordKind.CHECK, RecordKind.STATUS)


@dataclass(frozen=True, slots=True)
class Stood:
    """All levels of a book, lots by ticks, and the decimals of its grid."""

    bids: Mapping[int, int]
    asks: Mapping[int, int]
    decimals: tuple[int, int]

    @classmethod
    def of(cls, book: Book) -> "Stood":
        """Copy of a book."""
        return cls(dict(book.bids()), dict(book.asks()), (book.price_decimals, book.size_decimals))


@dataclass(frozen=True, slots=True)
class Wanted:
    """How much is wanted: frames before and after the fault, and levels a side."""

    before: int = 5
    after: int = 3
    depth: int = 10


def gather(
    recording: Recording, incident: Incident, asked_for: str, wanted: Wanted, damaged: Callable[[Path, str], None]
) -> Evidence:
    """Gather what a recording says of an incident in it. NoSegment where it cannot be found again."""
    connection = 0 if incident.kind is Kind.LOST and not incident.symbol else incident.connection
    begin_ns = frames.begin_of(recording, connection, incident.time_ns, wanted.before)
    if incident.since_ns is not None and incident.time_ns - incident.since_ns < CLOSE_NS:
        begin_ns = min(begin_ns, incident.since_ns)
    if incident.kind is Kind.CROSSED:
        begin_ns = min(begin_ns, incident.time_ns - _crossed_ns(recording) - SECOND_NS)
    story = _Story(incident, wanted)
    listeners = Listeners(story.on_change, story.on_words, story.before_row, story.after_row, story.after_tick, story.on_end)
    only = (incident.symbol,) if incident.symbol else ()
    with watched(recording, only, (begin_ns - 1, None), listeners, damaged) as playback:
        while playback.play(begin_ns - 1):
            pass
        for player in playback.players:
            cast("WatchingPlayer", player).is_close = True
        while not story.is_told and playback.next_ns is not None:
            if playback.next_ns > incident.time_ns + CLOSE_NS:
                for player in playback.players:
                    cast("WatchingPlayer", player).is_close = False
                if not playback.play(recording.last_ns):
                    break
            else:
                playback.play_one()
                for player in playback.players:
                    cast("WatchingPlayer", player).is_close = True
        if not story.is_begun:
            playback.advance(incident.time_ns)
        if not story.is_begun:
            raise NoSegment("the incident cannot be found again in this capture", "was the capture changed meanwhile?")
        return story.evidence(recording, asked_for)


def _crossed_ns(recording: Recording) -> int:
    """Longest time for which a book of this recording may have been crossed before it was noticed."""
    head = recording.heads[0]
    usual_ns = int(exchanges.get(head.exchange).facts.mode(head.mode).crossed_s * SECOND_NS) or CROSSED_NS
    return max(usual_ns, LONGEST_CROSSED_NS)


@dataclass(frozen=True, slots=True)
class _Moment:
    """Knowledge before a row: the book, its number in the exchange's sequence, and the frames before."""

    book: BookSeen | None
    stood_at: int | None
    frames: Sequence[Row]


class _Story:
    """Listener of a close look, from some frames before the fault to some after it, and to the healing."""

    def __init__(self, incident: Incident, wanted: Wanted) -> None:
        self._incident, self._wanted = incident, wanted
        self._frames: deque[Row] = deque(maxlen=wanted.before)
        self._after: list[Row] = []
        self._after_count = 0
        self._asked: list[Asked] = []
        self._states: list[tuple[int, BookState, BookReason]] = []
        self._records: dict[str, int] = {}
        self._live_records = 0
        self._ring: RingReader | None = None
        self._moment = _Moment(None, None, ())
        self._crossing: tuple[Row, _Moment, list[Row]] | None = None
        self._player: WatchingPlayer | None = None
        self._keeper: BookKeeper | None = None
        self._copied: tuple[int, BookSeen] | None = None
        self._words: list[str] = []
        self._last: Row | None = None  # the last frame in the book
        self._heard_ns = 0
        self.is_begun = False
        self._culprit: Row | None = None
        self._expected: Expected | None = None
        self._checksum: ChecksumSides | None = None
        self._failed: BookSeen | None = None
        self._stood: Stood | None = None
        self._whole: Stood | None = None  # before the row, of a book that a message may heal at once
        self._noticed_ns = 0
        self._healing: Row | None = None
        self._healed_ns: int | None = None
        self._healed: BookSeen | None = None
        self._changes: list[LevelChange] = []
        self._source = "live"

    @property
    def is_told(self) -> bool:
        """Whether nothing more is wanted."""
        is_healed = self._healed_ns is not None or self._keeper is None
        return self.is_begun and is_healed and self._after_count >= self._wanted.after

    # What the player tells

    def before_row(self, row: Row, player: WatchingPlayer) -> None:
        if self._player is not player:
            self._player, self._source = player, player.head.source
            self._ring = RingReader(player.outlet.deltas.segment, "now")
            self._keeper, self._copied = None, None
        if self.is_begun:
            return
        keeper = self._keeper_of(player)
        stood_at = None
        if keeper is not None:
            for each, number in player.numbers():
                if each is keeper:
                    stood_at = number
        self._moment = _Moment(self._look_at(keeper, row.time_ns), stood_at, tuple(self._frames))

    def on_words(self, time_ns: int, row: Row | None, said: Sequence[str]) -> None:
        incident = self._incident
        if self.is_begun or time_ns != incident.time_ns:
            return
        if incident.kind is Kind.UNREADABLE and not said[0].startswith(UNREADABLE):
            return  # of another row of that time
        self._words = list(said)
        if not incident.symbol and self._player is not None:
            if row is not None and not incident.connection:
                self._incident = replace(incident, connection=row.connection)
                self._moment = replace(
                    self._moment, frames=[each for each in self._moment.frames if each.connection == row.connection]
                )
            self._begin(row, time_ns)

    def on_end(self, player: WatchingPlayer) -> None:
        """The run is over: what its books missed from then on nobody knows."""
        if self._incident.kind is Kind.RESTART and not self.is_begun and player.now_ns == self._incident.time_ns:
            self._begin(None, player.now_ns)

    def on_change(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.keeper.instrument.symbol == self._incident.symbol:
                self._on_change(change)

    def _on_change(self, change: Change) -> None:
        if not self.is_begun:
            if self._player is None or change.time_ns < self._incident.time_ns or not change.is_fault:
                return
            self._keeper = change.keeper
            self._begin(change.row, change.time_ns)
        if self._healed_ns is not None:
            return
        self._states.append((change.time_ns, *change.after))
        if change.after[0] is BookState.LIVE:
            self._heal(change)

    def after_row(self, row: Row, player: WatchingPlayer) -> None:
        is_ours = self._incident.connection in (0, row.connection)
        if not self.is_begun:
            if is_ours and row.kind == rows.Kind.RECEIVED:
                self._frames.append(row)
                if self._keeper is not None and self._keeper.heard_ns == row.time_ns != self._heard_ns:
                    self._last, self._heard_ns = row, row.time_ns
            self._look_for_crossing(row, player)
            self._poll()
            if self._words and player.now_ns == self._incident.time_ns:  # of a book that was not good before, or of none
                self._begin(row, player.now_ns)
                if self._keeper is not None:
                    self._states.append((player.now_ns, self._keeper.state, self._keeper.reason))
            return
        self._poll()
        if not is_ours or row is self._culprit:
            return
        if row.kind == rows.Kind.RECEIVED and row is not self._healing:
            self._after_count += 1
            if len(self._after) < self._wanted.after:
                self._after.append(row)
        if self._healed_ns is None or row is self._healing:
            told = frames.asked(row)
            if told is not None:
                self._asked.append(told)

    def after_tick(self, _time_ns: int, _player: WatchingPlayer) -> None:
        self._poll()

    # The fault and the healing

    def _begin(self, row: Row | None, time_ns: int) -> None:
        self.is_begun = True
        self._culprit, self._noticed_ns = row, time_ns
        incident, keeper, moment = self._incident, self._keeper, self._moment
        if incident.kind is Kind.CROSSED and self._crossing is not None:
            self._culprit, self._moment, after = self._crossing
            self._after, self._after_count = after[: self._wanted.after], len(after)
            moment = self._moment
        elif row is None:  # time did it: the frames up to now are before it
            self._moment = moment = _Moment(self._look_at(keeper, time_ns), moment.stood_at, tuple(self._frames))
        if moment.book is not None:  # it was so until then
            at_ns = time_ns if self._culprit is None else self._culprit.time_ns
            self._moment = moment = replace(moment, book=replace(moment.book, time_ns=at_ns))
        culprit = self._seen(self._culprit, Place.CULPRIT)
        if keeper is not None:
            self._stood = self._whole or Stood.of(keeper.book)
            if incident.kind is Kind.CHECKSUM:
                self._failed = book_seen(keeper, time_ns, self._wanted.depth)
                self._checksum = self._sides(keeper, culprit)
            elif incident.kind is Kind.CROSSED:
                self._failed = book_seen(keeper, time_ns, self._wanted.depth)
        self._expected = self._what_was_due(culprit, moment.stood_at)

    def _heal(self, change: Change) -> None:
        self._healed_ns, self._healing = change.time_ns, change.row
        self._healed = book_seen(change.keeper, change.time_ns, self._wanted.depth)
        compute = change.ingest.decoder.book_checksum
        if self._checksum is not None and compute is not None:
            self._checksum = replace(self._checksum, healed=compute(change.keeper.instrument, change.keeper.book))
        if self._stood is not None:
            self._changes = changes(self._stood, change.keeper.book)

    def _sides(self, keeper: BookKeeper, culprit: FrameSeen | None) -> ChecksumSides | None:
        """Both checksums, computed again from the book with the culprit in it."""
        ingest = self._ingest_of(keeper)
        if ingest is None:
            return None
        decoder = ingest.decoder
        compute = decoder.book_checksum
        if compute is None:
            return None
        text = decoder.checksum_text(keeper.instrument, keeper.book) if isinstance(decoder, ShowsChecksum) else b""
        theirs = culprit.numbers.get("checksum") if culprit is not None else None
        return ChecksumSides(
            theirs, compute(keeper.instrument, keeper.book), text.decode("ascii", "replace"), keeper.proved_ns or None
        )

    def _ingest_of(self, keeper: BookKeeper) -> Ingest | None:
        for _, ingest in self._player.connections() if self._player is not None else ():
            if keeper in ingest.keepers.values():
                return ingest
        return None

    def _what_was_due(self, culprit: FrameSeen | None, stood_at: int | None) -> Expected:
        assert self._player is not None
        facts = words.Facts(
            self._incident.kind,
            stood_at,
            culprit,
            self._checksum,
            self._failed,
            (self._frames[-1].time_ns if self._frames else None),
            self._noticed_ns,
            frames.members_of(self._culprit) if self._culprit is not None and culprit and culprit.direction == "session" else {},
            self._words or list(self._incident.said),
        )
        due, found = words.due_and_found(facts)
        came, follows = ({}, None) if culprit is None else (culprit.numbers, culprit.follows)
        return Expected(self._player.validated_by, stood_at, follows, came, due, found)

    def _look_for_crossing(self, row: Row, player: WatchingPlayer) -> None:
        keeper = self._keeper_of(player)
        if self._incident.kind is not Kind.CROSSED or keeper is None:
            return
        bids, asks = keeper.book.bids(1), keeper.book.asks(1)
        if not (bids and asks and bids[0][0] >= asks[0][0]):
            self._crossing = None
        elif self._crossing is None:
            self._crossing = row, self._moment, []
        elif row.kind == rows.Kind.RECEIVED and row.connection == self._crossing[0].connection:
            self._crossing[2].append(row)

    def _keeper_of(self, player: WatchingPlayer) -> BookKeeper | None:
        if self._keeper is None and self._incident.symbol:
            for keeper, _ in player.books():
                if keeper.instrument.symbol == self._incident.symbol:
                    self._keeper = keeper
        return self._keeper

    def _look_at(self, keeper: BookKeeper | None, time_ns: int) -> BookSeen | None:
        """The book as it is, copied only where it has changed."""
        if keeper is None:
            return None
        if self._copied is None or self._copied[0] != keeper.version or self._copied[1].state != keeper.state.name:
            if self._incident.kind is Kind.QUIET:  # the message that shows the fault may heal it at once
                self._whole = Stood.of(keeper.book)
            self._copied = keeper.version, book_seen(keeper, time_ns, self._wanted.depth)
        return self._copied[1]

    def _poll(self) -> None:
        """Read what was published: from the first word that the book is not LIVE to the last before it is."""
        if self._ring is None:
            return
        records, _, _ = self._ring.poll(POLL_RECORDS)
        if not self.is_begun:
            return
        at = offsets()
        name = self._incident.symbol.encode()
        told: list[tuple[RecordKind, int]] = []
        for begin in range(0, len(records), DELTA_BYTES):
            record = bytes(records[begin : begin + DELTA_BYTES])
            if record[at["symbol"] : at["symbol"] + 16].rstrip(b"\0") == name:
                kind = RecordKind(record[at["flags"]] & KIND_MASK)
                state = record[at["check.state"]] if kind is RecordKind.CHECK else record[at["status.state"]]
                told.append((kind, state))
        self._take(told)

    def _take(self, told: Sequence[tuple[RecordKind, int]]) -> None:
        """Count records of the book; the STATUS that says LIVE again ends the count."""
        is_over = self._healed_ns is not None
        for kind, state in told:
            says_live = kind in RECORDS_SINCE_STATUS and state == BookState.LIVE
            if not self._records and (kind is not RecordKind.STATUS or says_live):
                continue  # published before the book was marked, of the same frame
            if says_live and is_over:
                break
            self._records[kind.name] = self._records.get(kind.name, 0) + 1
            self._live_records += says_live
        if is_over:
            self._ring = None

    def _seen(self, row: Row | None, place: Place) -> FrameSeen | None:
        if row is None:
            return None
        decoder = None
        if self._player is not None:
            by_number = dict(self._player.connections())
            ingest = by_number.get(row.connection)
            decoder = None if ingest is None else ingest.decoder
        return frames.seen(row, place, decoder)

    # The whole

    def evidence(self, recording: Recording, asked_for: str) -> Evidence:
        """Put together what was seen."""
        assert self._expected is not None
        before = [self._seen(row, Place.BEFORE) for row in self._moment.frames]
        fault_ns = self._culprit.time_ns if self._culprit is not None else self._noticed_ns
        is_shown = self._last is None or any(row is self._last for row in self._moment.frames)
        if self._last is not None and not is_shown and self._last.time_ns < fault_ns:
            before.insert(0, self._seen(self._last, Place.LAST))
        shown = [*before, self._seen(self._culprit, Place.CULPRIT), *(self._seen(row, Place.AFTER) for row in self._after)]
        is_in_it = self._healing is None or self._healing is self._culprit
        shown += [] if is_in_it else [self._seen(self._healing, Place.HEALING)]
        ends = [time_ns for time_ns, *_ in self._states[1:]]
        states = [
            StateSeen(time_ns, state.name, reason.name, ends[number] - time_ns if number < len(ends) else None)
            for number, (time_ns, state, reason) in enumerate(self._states)
        ]
        incident = replace(self._incident, said=tuple(self._words or self._incident.said))
        made = Evidence(
            incident,
            asked_for,
            self._source,
            frames.file_of(recording, self._culprit.time_ns if self._culprit is not None else self._noticed_ns),
            sorted([each for each in shown if each is not None], key=lambda each: each.time_ns),
            0 if self._healed_ns is None else max(self._after_count - len(self._after), 0),
            self._expected,
            self._checksum,
            self._moment.book,
            self._failed,
            self._healed,
            self._changes[:MOST_CHANGES],
            len(self._changes),
            self._asked,
            self._culprit.time_ns if self._culprit is not None else self._noticed_ns,
            self._noticed_ns,
            self._healed_ns,
            Readers(states, self._records, self._live_records),
            "",
        )
        return replace(made, verdict=words.verdict(made))


def book_seen(keeper: BookKeeper, time_ns: int, depth: int) -> BookSeen:
    """Copy of the best levels of a book."""
    book = keeper.book

    def told(levels: Any) -> list[tuple[str, str]]:
        return [(to_text(ticks, book.price_decimals), to_text(lots, book.size_decimals)) for ticks, lots in levels]

    bids, asks = told(book.bids(depth)), told(book.asks(depth))
    return BookSeen(time_ns, keeper.version, keeper.state.name, bids, asks, book.bid_count, book.ask_count)


def changes(stood: Stood, book: Book) -> list[LevelChange]:
    """Levels that differ between a book as it stood and as it is, bids first, the best first. None for a book on another grid."""
    found: list[LevelChange] = []
    now = Stood.of(book)
    if now.decimals != stood.decimals:
        return found
    for side, before, after, sign in (("bid", stood.bids, now.bids, -1), ("ask", stood.asks, now.asks, 1)):
        for ticks in sorted(before.keys() | after.keys(), key=lambda ticks: sign * ticks):
            if before.get(ticks) != after.get(ticks):
                sizes = (before.get(ticks), after.get(ticks))
                texts = ["" if lots is None else to_text(lots, book.size_decimals) for lots in sizes]
                found.append(LevelChange(side, to_text(ticks, book.price_decimals), *texts))
    return found
