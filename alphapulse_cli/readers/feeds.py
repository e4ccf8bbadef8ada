"""Feed scorecards: how good each exchange's feed was, by set, connection and symbol; since the start, in the last hour, the last day.

    <set>.scores ─► rows now ─┐
    <set>.scores-past ────────┴─► their difference over a window ─► a FeedCard each        images ─► state and trading status now

Read from shared memory alone, in any process, from collectors that run and that have ended. Nothing is estimated: what is not known is
None. Percentiles come from histograms: feed delays are right within 3.2 %, healings too, and to the millisecond below 64 ms.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from alphapulse_cli.errors import UsageError
from alphapulse_cli.market.trading_status import TradingStatus, stricter
from alphapulse_cli.readers.moments import moment
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.readers.status import BookStatus, SetStatus, StatusSource
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import Directory, open_directory
from alphapulse_cli.shm.scores import Checkpoint, Counts, RowCopy, RowKind, Score, ScoresCopy, read_past, read_scores, scored_sets
from alphapulse_cli.shm.segment import Liveness
from alphapulse_cli.wire.delta import BookState

START = "start"
WINDOWS_NS = {START: 0, "hour": 3_600_000_000_000, "day": 86_400_000_000_000}
KINDS = ("exchange", "connection", "symbol")
VERSION = 1  # of a card as JSON: members are only added; another meaning is another version
MEANINGS = {  # of a card's members as JSON, in their order; null: not known, or does not apply
    "version": "1; members are only added, another meaning is another version",
    "set": "name of the set: that of its exchange, or the NAME of `collect --as NAME`",
    "exchange": "name of the exchange",
    "kind": "`exchange`: the whole set; `connection`: one of its connections; `symbol`",
    "symbol": "the symbol; empty but for a symbol",
    "connection": "number of the connection, from 1; of a symbol the one that carries it, null where none does now",
    "window": "`start`: since the collector's start; `hour`, `day`: the last hour, the last day",
    "from_ns": "begin of the window, ns since 1970: up to five minutes before the hour, an hour before the day (twice that after "
    "restarts); later where nothing is known of earlier times",
    "to_ns": "end of the window: now; since the start of a collector that has ended, its end",
    "live": "whether a collector writes the set now",
    "books": "books of the card now",
    "books_live": "of those, LIVE ones",
    "state": "state of a symbol's book now; null for an exchange and a connection",
    "trading_status": "trading status now, of several markets the most restrictive; null where it is not told",
    "ran_ns": "time of the window in which a collector ran; nothing is known of the rest, and no share counts it",
    "observed_ns": "time for which a collector kept the books, whatever their state, added up over them",
    "valid_ns": "of it, the time in which the books were LIVE to their readers: what a hung collector shows longer than 2 s is not",
    "breaks": "times that a LIVE book became anything else: gap, wrong checksum, lost connection, silence; retirement does not count",
    "gaps": "gaps in the exchange's sequence, or in what proves it: messages missed upstream",
    "resyncs": "resyncs that LIVE or STALE books needed, whatever the reason",
    "healings": "times that a book which had been LIVE was SYNCING or HALTED and became LIVE again; not its first snapshot, not silence alone",
    "healing_ms": "`p50`, `p99` of their durations in ms, from the end of LIVE to the next LIVE; null without any",
    "checksums_ok": "comparisons with the exchange's checksum that matched",
    "checksums_bad": "comparisons that did not",
    "feed_delay_us": "our receive time minus the exchange's, in us, of updates and trades: `count`, `below_zero` of those (the exchange's "
    "clock is ahead), `p50`, `p99`, `p99.9` (null where that is below zero, or without any)",
    "messages": "frames of an exchange and a connection; of a symbol its book updates and trades",
    "messages_per_s": "those, per second in which a collector ran; null where none did",
    "bytes": "bytes of the frames; null for a symbol, since a frame may carry several",
    "bytes_per_s": "those, per second in which a collector ran",
    "reconnects": "connections made in place of ones that ended; null for a symbol",
    "open_ns": "time for which the connections were open, added up over them; null for a symbol",
    "connected_ns": "time for which they were wanted, added up over them; null for a symbol",
    "halts": "times that a market's trading status became another than TRADING",
    "restricted_ns": "time for which it was another, added up over the markets",
    "from": "`from_ns` as RFC 3339",
    "to": "`to_ns` as RFC 3339",
    "valid_percent": "`valid_ns` of `observed_ns`, four decimals, rounded down: 100 only where the books were always valid",
    "open_percent": "`open_ns` of `connected_ns`, likewise; null for a symbol",
    "checksums_percent": "`checksums_ok` of all comparisons, likewise; null without any",
}
HEALING_QUANTILES, DELAY_QUANTILES = (0.5, 0.99), (0.5, 0.99, 0.999)
FRESH_NS = 2_000_000_000  # scores that were brought up to date within it belong to a running collector
KEPT_OF_ALL = (
    Score.OBSERVED_NS,
    Score.VALID_NS,
    Score.BREAKS,
    Score.GAPS,
    Score.RESYNCS,
    Score.CHECKSUMS_OK,
    Score.CHECKSUMS_BAD,
    Score.HALTS,
    Score.RESTRICTED_NS,
)  # scores of books that are added up for their connection and exchange


@dataclass(frozen=True, slots=True)
class FeedCard:
    """Scorecard of an exchange's set, of one of its connections, or of one symbol, over one window. None: not known.

    Counts and times are of the window. `messages` are frames of an exchange and a connection, book updates and trades of a symbol;
    rates are per second of the time for which a collector ran.
    """

    set: str
    exchange: str
    kind: str  # one of KINDS
    symbol: str  # "" but for a symbol
    connection: int | None  # number of the connection; of a symbol the one that carries it, None where none does now
    window: str  # one of WINDOWS_NS
    from_ns: int  # ns since 1970
    to_ns: int
    live: bool  # whether a collector writes the set now
    books: int  # books now
    books_live: int  # of those that are LIVE
    state: str | None  # of a symbol's book now
    trading_status: str | None  # of the market now; the most restrictive one of several
    ran_ns: int  # time of the window in which a collector ran; nothing is known of the rest
    observed_ns: int  # time for which a collector kept the books, added up over them
    valid_ns: int  # of it, the time in which they were LIVE to readers
    breaks: int
    gaps: int
    resyncs: int
    healings: int
    healing_ms: Mapping[str, int | None]  # p50, p99
    checksums_ok: int
    checksums_bad: int
    feed_delay_us: Mapping[str, int | None]  # count, below_zero, p50, p99, p99.9
    messages: int
    messages_per_s: float | None
    bytes: int | None
    bytes_per_s: float | None
    reconnects: int | None
    open_ns: int | None  # time for which the connections were open, added up over them
    connected_ns: int | None  # of the time for which they were wanted
    halts: int
    restricted_ns: int

    @property
    def valid_percent(self) -> float | None:
        """Share of the observed time in which the books were LIVE, rounded down: 100 only where they always were."""
        return share(self.valid_ns, self.observed_ns)

    @property
    def open_percent(self) -> float | None:
        """Share of the time in which the connections were open, rounded down."""
        return None if self.open_ns is None or self.connected_ns is None else share(self.open_ns, self.connected_ns)

    @property
    def checksums_percent(self) -> float | None:
        """Share of the compared checksums that matched, rounded down; None where none was compared."""
        return share(self.checksums_ok, self.checksums_ok + self.checksums_bad)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with the shares, and the window's ends as RFC 3339."""
        made = {"version": VERSION, **asdict(self)}
        made["from"], made["to"] = moment(self.from_ns), moment(self.to_ns)
        made["valid_percent"], made["open_percent"] = self.valid_percent, self.open_percent
        made["checksums_percent"] = self.checksums_percent
        return made


def feeds(
    exchanges: Iterable[str] | None = None,
    symbols: Iterable[str] | None = None,
    *,
    window: str = "hour",
    shm_dir: str | None = None,
) -> list[FeedCard]:
    """Scorecards of the exchanges (or sets) and symbols asked for, all by default: of each set, its connections, its symbols.

    `window`: "start" (of the collector), "hour" or "day". NoSegment where there is no directory, UsageError for another window.
    """
    with open_directory(shm_dir) as directory:
        return cards(directory, Wanted.of(exchanges, symbols), window)


def cards(directory: Directory, wanted: Wanted, window: str, samples: Sequence[SetStatus] | None = None) -> list[FeedCard]:
    """Scorecards of all wanted sets that have scores. `samples` are the present states, taken here where they are not given."""
    if window not in WINDOWS_NS:
        raise UsageError(f"unknown window: {window[:40]!r}", f"choose one of: {', '.join(WINDOWS_NS)}")
    if samples is None:
        samples = StatusSource(directory).sample()
    known = {status.name: status for status in samples}
    made: list[FeedCard] = []
    for name in scored_sets(directory):
        status = known.get(name, SetStatus(name, name, None))  # its segments may have been swept
        scores = None if status.replay else read_scores(directory, name)
        if scores is not None and wanted.takes_set(name, scores.exchange):
            only = wanted.symbols_of(name, scores.exchange)
            found = cards_of(scores, read_past(directory, name), status, window, clock.monotonic_ns())
            made += [card for card in found if only is None or card.symbol in only]
    return made


def cards_of(scores: ScoresCopy, past: Sequence[Checkpoint], status: SetStatus, window: str, now_ns: int) -> list[FeedCard]:
    """Scorecards of one set at a moment: its own, its connections', its symbols'."""
    from_ns, to_ns, before = base(scores, past, window, now_ns)
    parts = [Part(row, before.get(row.key)) for row in scores.rows]
    is_live = status.liveness is Liveness.LIVE
    offset = clock.realtime_ns() - clock.monotonic_ns()
    books = {book.symbol: book for book in status.books}
    present = [part for part in parts if part.row.seen_ns >= scores.started_ns or part.get(Score.OBSERVED_NS)]
    symbols = sorted((one for one in present if one.row.kind == RowKind.SYMBOL), key=lambda one: one.row.name)
    connections = sorted((one for one in present if one.row.kind == RowKind.CONNECTION), key=lambda one: one.row.connection)
    whole = next((one for one in parts if one.row.kind == RowKind.SET), None)
    if whole is None:
        return []
    ran_ns = whole.get(Score.OBSERVED_NS)
    frame = _Frame(scores, window, from_ns + offset, to_ns + offset, is_live, ran_ns)
    made = [frame.card("exchange", "", None, whole, symbols, connections, books, ran_ns)]
    for one in connections:
        number = one.row.connection
        carried = [each for each in symbols if each.row.connection == number and each.row.seen_ns >= scores.started_ns]
        made.append(frame.card("connection", "", number, one, carried, [one], books, one.get(Score.OBSERVED_NS)))
    for one in symbols:
        carrying = one.row.connection if one.row.seen_ns >= scores.started_ns else 0
        kept_ns = one.get(Score.OBSERVED_NS) or ran_ns
        made.append(frame.card("symbol", one.row.name, carrying or None, one, [one], [], books, kept_ns))
    return made


class Part:
    """Row's difference over a window; `before` is None where there was no row at its begin."""

    def __init__(self, row: RowCopy, before: RowCopy | None) -> None:
        self.row, self._before = row, before

    def get(self, score: int) -> int:
        """Difference of a score."""
        return max(self.row.get(score) - (self._before.get(score) if self._before is not None else 0), 0)

    @cached_property
    def feed_delay(self) -> Counts:
        """Feed delays of the window, in ns."""
        now = self.row.feed_delay()
        return now if self._before is None else now.since(self._before.feed_delay())

    @cached_property
    def healings(self) -> Counts:
        """Healings of the window, in ms."""
        now = self.row.healings()
        return now if self._before is None else now.since(self._before.healings())


@dataclass(frozen=True, slots=True)
class _Frame:
    """Facts that all cards of a set and window have in common."""

    scores: ScoresCopy
    window: str
    from_ns: int
    to_ns: int
    is_live: bool
    ran_ns: int

    def card(
        self,
        kind: str,
        symbol: str,
        connection: int | None,
        own: Part,
        parts: Sequence[Part],
        connections: Sequence[Part],
        status: Mapping[str, BookStatus],
        over_ns: int,
    ) -> FeedCard:
        """Card of a row and of the books below it."""
        total = {score: sum(part.get(score) for part in parts) for score in KEPT_OF_ALL}
        if kind == "exchange":
            total[Score.GAPS] += own.get(Score.GAPS)  # those that name no symbol
        books = [status[part.row.name] for part in parts if part.row.name in status]
        statuses = [book.trading_status for book in books if book.trading_status is not None]
        healings, delays = Counts.of_all(part.healings for part in parts), Counts.of_all(part.feed_delay for part in parts)
        is_symbol = kind == "symbol"
        octets = None if is_symbol else own.get(Score.BYTES)
        return FeedCard(
            set=self.scores.set_name,
            exchange=self.scores.exchange,
            kind=kind,
            symbol=symbol,
            connection=connection,
            window=self.window,
            from_ns=self.from_ns,
            to_ns=self.to_ns,
            live=self.is_live,
            books=len(books),
            books_live=sum(book.state is BookState.LIVE for book in books),
            state=books[0].state.name if is_symbol and books else None,
            trading_status=_strictest(statuses),
            ran_ns=self.ran_ns,
            observed_ns=total[Score.OBSERVED_NS],
            valid_ns=total[Score.VALID_NS],
            breaks=total[Score.BREAKS],
            gaps=total[Score.GAPS],
            resyncs=total[Score.RESYNCS],
            healings=healings.count,
            healing_ms={f"p{fraction * 100:g}": healings.quantile(fraction) for fraction in HEALING_QUANTILES},
            checksums_ok=total[Score.CHECKSUMS_OK],
            checksums_bad=total[Score.CHECKSUMS_BAD],
            feed_delay_us=_delays(delays),
            messages=own.get(Score.MESSAGES),
            messages_per_s=_rate(own.get(Score.MESSAGES), over_ns),
            bytes=octets,
            bytes_per_s=None if octets is None else _rate(octets, over_ns),
            reconnects=None if is_symbol else own.get(Score.RECONNECTS),
            open_ns=None if is_symbol else sum(one.get(Score.OPEN_NS) for one in connections),
            connected_ns=None if is_symbol else sum(one.get(Score.OBSERVED_NS) for one in connections),
            halts=total[Score.HALTS],
            restricted_ns=total[Score.RESTRICTED_NS],
        )


def base(
    scores: ScoresCopy, past: Sequence[Checkpoint], window: str, now_ns: int
) -> tuple[int, int, dict[tuple[int, str, int], RowCopy]]:
    """Begin and end of a window (CLOCK_MONOTONIC), and the rows at its begin.

    It begins at the newest checkpoint that is old enough, up to five minutes (for a day: an hour) before the time asked for, twice that
    after restarts; later where the file or what is known of the past begins later.
    """
    if window == START:
        is_running = now_ns - scores.updated_ns < FRESH_NS and not scores.is_closed
        found = next((one for one in past if one.taken_ns == scores.started_ns), None)
        begun_ns = scores.began_ns if found is None else scores.started_ns
        return begun_ns, now_ns if is_running else scores.updated_ns, _by_key(found.rows() if found is not None else ())
    wanted_ns = now_ns - WINDOWS_NS[window]
    if wanted_ns <= scores.began_ns:
        return scores.began_ns, now_ns, {}
    if wanted_ns >= scores.updated_ns:  # nobody has collected since
        return wanted_ns, now_ns, _by_key(scores.rows)
    old = [one for one in past if one.held_from_ns <= wanted_ns]
    if not old:  # the file itself began with zeros
        return scores.began_ns, now_ns, {}
    found = old[-1]
    return max(found.held_from_ns, min(wanted_ns, found.taken_ns)), now_ns, _by_key(found.rows())


def _by_key(rows: Iterable[RowCopy]) -> dict[tuple[int, str, int], RowCopy]:
    return {row.key: row for row in rows}


def _delays(delays: Counts) -> dict[str, int | None]:
    """Figures of feed delays in us. A quantile among delays below zero (the exchange's clock is ahead of ours) is not known: None."""
    counted, below = delays.count, delays.below_zero
    made: dict[str, int | None] = {"count": counted + below, "below_zero": below}
    for fraction in DELAY_QUANTILES:
        wanted = math.ceil(fraction * (counted + below)) - below
        value = delays.quantile((wanted - 0.5) / counted) if counted and wanted > 0 else None
        made[f"p{fraction * 100:g}"] = None if value is None else value // 1000
    return made


def _strictest(statuses: Sequence[TradingStatus]) -> str | None:
    return stricter(*statuses).name if statuses else None


def share(part: int, whole: int) -> float | None:
    """Percentage with four decimals, rounded down; None of nothing."""
    return part * 1_000_000 // whole / 10_000 if whole else None


def _rate(count: int, over_ns: int) -> float | None:
    return round(count * 1e9 / over_ns, 3) if over_ns else None
