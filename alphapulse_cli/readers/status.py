"""Status of sets and their books, read from the segments alone, in any process: the board of `collect` and `demo`.

    counters ─► rates between two samples        image tops ─► best prices, state        header ─► alive or not

The source is one more reader and slows no collector. A set that is gone or not there yet has a status without liveness.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from alphapulse_cli.book.views import spread_in_bps
from alphapulse_cli.errors import SegmentError, SegmentGone, StorageError
from alphapulse_cli.flow.follow import states_of
from alphapulse_cli.market.scan import MAX_DECIMALS
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.market.trading_status import TradingStatus, remark, trading_status
from alphapulse_cli.readers.moments import REPLAY, age_ms, moment
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import CaptureState, CountersReader
from alphapulse_cli.shm.directory import Directory, parse_segment_name, segment_name
from alphapulse_cli.shm.image import ImageReader
from alphapulse_cli.shm.layout import ImageCopy, SegmentKind
from alphapulse_cli.shm.segment import Liveness, Segment
from alphapulse_cli.wire import delta
from alphapulse_cli.wire.delta import BookReason, BookState, ChecksumState

RATE_WINDOW_NS = 2_000_000_000
A_DAY_NS = 86_400_000_000_000
RATES = ("frames", "bytes", "deltas", "trades", "groups")

Samples = deque[tuple[int, dict[str, dict[str, int]]]]  # (CLOCK_MONOTONIC ns, counters by symbol)


@dataclass(slots=True)
class BookStatus:
    """Status of one book.

    Prices and sizes are exact decimal text, "" where a side is empty; rates are averages of the last two seconds.
    """

    exchange: str
    symbol: str
    state: BookState
    reason: BookReason
    bid: str = ""
    bid_size: str = ""
    ask: str = ""
    ask_size: str = ""
    spread_bps: float | None = None
    bid_count: int = 0
    ask_count: int = 0
    version: int = 0
    checksum: ChecksumState = ChecksumState.NONE
    age_ms: float | None = None  # since its last change or confirmation
    deltas_per_s: float = 0.0
    trades_per_s: float = 0.0
    feed_delay_us: int | None = None
    gaps: int = 0
    resyncs: int = 0
    tick_size: str = ""  # the exchange's rules for orders, exact decimal text; "" where they are not known
    lot_size: str = ""
    min_size: str = ""  # "" also if there is no minimum
    trading_status: TradingStatus | None = None  # which orders the market takes; None if its writer does not say
    wait_until_ns: int = 0  # ns since 1970: end of the pause requested by the exchange, while the book is not LIVE; 0: none
    replay: bool = False  # a replay writes the set: the book is of the past, its age is by the recording's clock

    @property
    def is_waiting(self) -> bool:
        """Whether the book is not LIVE and the pause requested by the exchange has not ended."""
        return self.state is not BookState.LIVE and self.wait_until_ns > clock.realtime_ns()


@dataclass(slots=True)
class SetStatus:
    """Status of one set. Rates are averages of the last two seconds, totals are counters since the collector began."""

    name: str
    exchange: str
    liveness: Liveness | None  # None: there is no such set (yet)
    pid: int = 0
    epoch: int = 0
    frames_per_s: float = 0.0
    bytes_per_s: float = 0.0
    deltas_per_s: float = 0.0
    trades_per_s: float = 0.0
    totals: dict[str, int] = field(default_factory=dict)
    publish_latency: dict[str, int | None] = field(default_factory=dict)  # summary in ns, since the collector began
    books: list[BookStatus] = field(default_factory=list)
    replay: bool = False  # a replay writes it
    recording_ns: int = 0  # time that the replay has reached in the recording; 0: live, or not known


class StatusSource:
    """Sampler of the sets of these names, or of all sets in the directory."""

    def __init__(self, directory: Directory, names: Sequence[str] | None = None) -> None:
        self._directory = directory
        self._names = names
        self._segments: dict[str, Segment] = {}
        self._before: dict[str, tuple[int, Samples]] = {}  # set name -> its epoch and the samples taken in it

    def sample(self) -> list[SetStatus]:
        """Sample all sets: one status for each, in the order of the names."""
        return [self._set(name) for name in (self._names if self._names is not None else self._found())]

    def _found(self) -> list[str]:
        parsed = (parse_segment_name(name) for name in self._directory.names())
        return sorted({one[1] for one in parsed if one is not None})

    def _attach(self, name: str) -> Segment | None:
        """Segment with that name now; None if there is none."""
        held = self._segments.get(name)
        if held is not None and held.liveness(clock.monotonic_ns()) is Liveness.LIVE:
            return held
        with suppress(SegmentError, StorageError):
            self._segments[name] = Segment.attach(self._directory, name)
            return self._segments[name]
        self._segments.pop(name, None)
        return None

    def _set(self, name: str) -> SetStatus:
        counters = self._attach(segment_name(SegmentKind.COUNTERS, name))
        if counters is None:
            return SetStatus(name, name, None)
        now, reader = clock.monotonic_ns(), CountersReader(counters)
        try:
            blocks, totals = reader.blocks(), reader.total()
        except SegmentGone:  # cut short just now
            return SetStatus(name, counters.spec.exchange, None)
        rates = self._rates(name, counters.epoch, now, blocks)
        own = rates.get("", {})
        until_ns = totals["wait_until_ns"] if totals["wait_until_ns"] > clock.realtime_ns() else 0
        is_replay = counters.is_replay
        status = SetStatus(
            name,
            counters.spec.exchange,
            counters.liveness(now),
            counters.writer.pid,
            counters.epoch,
            own.get("frames", 0.0),
            own.get("bytes", 0.0),
            sum(rate.get("deltas", 0.0) for rate in rates.values()),
            sum(rate.get("trades", 0.0) for rate in rates.values()),
            totals,
            reader.histograms()["publish_latency_ns"].summary(),
            replay=is_replay,
            recording_ns=counters.now_ns() if is_replay else 0,
        )
        for symbol in sorted(blocks):
            if symbol and not self._is_removed(name, symbol, status.liveness, now):
                book = self._book(name, counters, symbol, now)
                rate = rates.get(symbol, {})
                book.deltas_per_s, book.trades_per_s = rate.get("deltas", 0.0), rate.get("trades", 0.0)
                book.gaps, book.resyncs = blocks[symbol]["gaps"], blocks[symbol]["resyncs"]
                book.feed_delay_us = blocks[symbol]["feed_delay_us"] or None
                book.wait_until_ns = until_ns if book.state is not BookState.LIVE else 0
                book.replay = is_replay
                status.books.append(book)
        return status

    def _rates(self, name: str, epoch: int, now: int, blocks: dict[str, dict[str, int]]) -> dict[str, dict[str, float]]:
        """Rates per second by symbol and counter, over about two seconds; empty at the first sample of an epoch."""
        before_epoch, samples = self._before.get(name, (0, None))
        if samples is None or before_epoch != epoch:  # a new writer counts from zero
            samples = deque()
            self._before[name] = (epoch, samples)
        samples.append((now, blocks))
        while len(samples) > 2 and now - samples[1][0] >= RATE_WINDOW_NS:
            samples.popleft()
        before_ns, before = samples[0]
        if now == before_ns:
            return {}
        seconds = (now - before_ns) / 1e9
        return {
            symbol: {key: max(block[key] - before.get(symbol, block)[key], 0) / seconds for key in RATES}
            for symbol, block in blocks.items()
        }

    def _is_removed(self, name: str, symbol: str, liveness: Liveness | None, now: int) -> bool:
        """Whether the running collector has removed this book (`collect rm`, a delisted symbol)."""
        segment = self._attach(segment_name(SegmentKind.BOOK, name, symbol)) if liveness is Liveness.LIVE else None
        return segment is not None and segment.liveness(now) is Liveness.RETIRED

    def _book(self, name: str, counters: Segment, symbol: str, now: int) -> BookStatus:
        """Status of a book of the set; a writer that still hides its set has images, which are not shown yet."""
        exchange = counters.spec.exchange
        segment = self._attach(segment_name(SegmentKind.BOOK, name, symbol))
        if segment is None or segment.epoch > counters.epoch:
            return BookStatus(exchange, symbol, BookState.COLD, BookReason.STARTING)
        reader = ImageReader(segment)
        image = reader.top(1)
        if image is None:
            return BookStatus(exchange, symbol, BookState.STALE, BookReason.SILENT)
        status = book_status(exchange, symbol, image, segment.now_ns(), live=segment.is_live(now))
        rules = reader.rules()
        if rules is not None and max(rules.price_decimals, rules.size_decimals) <= MAX_DECIMALS:  # shared memory may hold any bytes
            status.tick_size = to_text(rules.tick_size_ticks, rules.price_decimals)
            status.lot_size = to_text(rules.lot_size_lots, rules.size_decimals)
            status.min_size = to_text(rules.min_size_lots, rules.size_decimals) if rules.min_size_lots else ""
        return status


STOPPED_WORDS = {
    CaptureState.NO_ROOM: "CAPTURE STOPPED: the disk is full",
    CaptureState.FAILING: "CAPTURE STOPPED: the disk fails",
}


def capture_state(totals: Mapping[str, int]) -> CaptureState:
    """State of a set's capture, from its counters."""
    code = totals.get("capture_state", 0)
    return CaptureState(code) if 0 <= code <= max(CaptureState) else CaptureState.FAILING


def capture_words(totals: Mapping[str, int]) -> str:
    """Text about a set's capture, from its counters: what was written, what was lost, and whether it is stopped; "" without one."""
    state = capture_state(totals)
    if state is CaptureState.NONE:
        return ""
    words = STOPPED_WORDS.get(state, "capture")
    lost = totals["capture_rows_lost"]
    return f"{words}, {totals['capture_rows']} rows, {totals['capture_bytes'] / 2**20:.1f} MiB" + (
        f", {lost} rows lost" if lost else ""
    )


def state_words(book: BookStatus) -> str:
    """Text of a book's state: the state and its reason, the end of a pause that the exchange asked for, the trading status, REPLAY.

    The trading status is left out where the market takes all orders.
    """
    parts = [delta.state_words(book.state, book.reason), remark(book.trading_status), REPLAY if book.replay else ""]
    if book.is_waiting:
        parts.insert(1, f"told to wait until {wait_end(book)}")
    return ", ".join(part for part in parts if part)


def wait_end(book: BookStatus) -> str:
    """Text of the end of a pause: 12:30:15Z, with its date if that is a day or more away."""
    text = f"{moment(book.wait_until_ns, digits=1)[:19]}Z"
    return text if book.wait_until_ns - clock.realtime_ns() >= A_DAY_NS else text[11:]


def book_status(exchange: str, symbol: str, image: ImageCopy, now_ns: int, *, live: bool) -> BookStatus:
    """Status of a book from its image's best levels; LIVE becomes STALE (SILENT) where its writer is not `live`.

    `now_ns` is the time now on the set's clock (`Segment.now_ns`).
    """
    state, reason = states_of(image.state, image.reason)
    if not live and state is BookState.LIVE:
        state, reason = BookState.STALE, BookReason.SILENT
    status = BookStatus(exchange, symbol, state, reason)
    status.trading_status = trading_status(image.trading_status)
    status.bid_count, status.ask_count, status.version = image.bid_count, image.ask_count, image.version
    if image.checksum_state <= max(ChecksumState):
        status.checksum = ChecksumState(image.checksum_state)
    status.age_ms = age_ms(image.timestamp_ns, now_ns)
    bid, ask = _level(image.bids), _level(image.asks)
    if bid is not None:
        status.bid, status.bid_size = to_text(bid[0], image.price_decimals), to_text(bid[1], image.size_decimals)
    if ask is not None:
        status.ask, status.ask_size = to_text(ask[0], image.price_decimals), to_text(ask[1], image.size_decimals)
    if bid is not None and ask is not None:
        spread = spread_in_bps(bid[0], ask[0])
        status.spread_bps = None if spread is None else float(spread)
    return status


def _level(side: bytes) -> tuple[int, int] | None:
    """Best level of a side, (ticks, lots), which lies last; None for an empty side."""
    if not side:
        return None
    return int.from_bytes(side[-16:-8], "little", signed=True), int.from_bytes(side[-8:], "little")
