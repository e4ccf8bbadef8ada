"""Metrics of all sets for Prometheus, read from the segments alone: counters, latencies, books, rings and their readers, arbitrage.

    counters, histograms ─┐
    images, rings         ├─► Exporter.text() ─► `alphapulse metrics`, `/metrics`
    readers' cursors      │        ▲
    tallies of `arb watch`┘        └── what the server measures itself: a registry of prometheus_client

Nothing here writes to a segment or asks a collector: a scrape slows no writer. Rules that hold for every sample:

- A counter exists, at 0, from the moment its set does; one that a restart sets back to 0 grows from there, as Prometheus expects.
- What is not known has no sample: nothing is invented. A number that could pass 2^53, as an epoch, is a label and no value.
- No sample carries a timestamp of its own (such series never go stale): the time of an event is a gauge, in seconds since 1970.
- An event of a symbol counts there, and one of the exchange under symbol="": `sum by (exchange)` gives the total.
- A histogram's bounds are those of the buckets in shared memory, so that every count is exact; it begins again with its collector.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from alphapulse_cli import __version__, build
from alphapulse_cli.apps.serve.exposition import BOOK, SET, Heads, Metric, Page, Row, counter, gauge, histogram
from alphapulse_cli.apps.serve.score_metrics import SCORE_METRICS, add_scores
from alphapulse_cli.edges.opportunities.watch_counters import read_tallies
from alphapulse_cli.errors import SegmentError, StorageError
from alphapulse_cli.flow.arbitrage.candidate import RejectReason
from alphapulse_cli.flow.follow import states_of
from alphapulse_cli.market.trading_status import trading_status
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.shm import clock, cursor
from alphapulse_cli.shm.counters import LAST_VALUES, Counter, CountersReader
from alphapulse_cli.shm.directory import Directory, parse_segment_name
from alphapulse_cli.shm.histogram import Distribution, bucket_end
from alphapulse_cli.shm.identity import Identity, pid_namespace, proc_is_ours
from alphapulse_cli.shm.image import ImageReader
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.segment import Liveness, Segment
from alphapulse_cli.wire.delta import BookState

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

BOOKS_A_STEP = 25
MOST_BLOCKS = 4096  # blocks of counters whose texts are kept
RINGS = (SegmentKind.DELTAS, SegmentKind.TRADES)
BUCKETS = tuple(range(191, 1120, 32))  # ends of doublings: 2^n - 1 ns, from 1 us to 9 min; longer times are in +Inf alone
STAGES = {"publish_latency_ns": "publish", "feed_delay_ns": "feed"}
OF_EXCHANGE = frozenset(  # counters of the exchange's own block alone; GAPS may be of both, all others are of symbols
    {
        Counter.FRAMES,
        Counter.BYTES,
        Counter.DECODE_ERRORS,
        Counter.UNRECOGNISED,
        Counter.RECONNECTS,
        Counter.REFUSALS,
        Counter.FETCHES_FAILED,
        Counter.CAPTURE_ROWS,
        Counter.CAPTURE_BYTES,
        Counter.CAPTURE_ROWS_LOST,
    }
)
OF_BOTH = frozenset({Counter.GAPS})
SUMS = tuple(c for c in Counter if c not in LAST_VALUES)

RING = (*SET, "ring")
READER = (*RING, "reader", "id")
WATCH = ("pid",)


def _codes(members: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{value} {name.lower()}" for name, value in members)


INFO = gauge("info", ("version", "core"), "Version of the program that wrote these metrics, and the mode of its core")
PROBLEMS = gauge("unreadable_segments", (), "Files of segments that could not be read: damaged, or of another layout")
LIVE = gauge("set_live", SET, "Whether the set's writer is alive: 1, or 0 where it has ended, was killed or hangs")
REPLAY = gauge("set_replay", SET, "Whether a replay writes the set: 1, or 0 where it is live data")
RECORDING = gauge("recording_timestamp_seconds", SET, "Time that a replay has reached in the recording")
WRITER = gauge("writer_info", (*SET, "pid", "epoch"), "Process that writes the set, and the epoch of its segments")
LAST_FRAME = gauge("last_frame_timestamp_seconds", SET, "Time of the last frame received from the exchange")
WAIT_UNTIL = gauge("wait_until_timestamp_seconds", SET, "End of the pause that the exchange asked for; 0 for none")
CONNECTIONS = gauge("connections", SET, "Connections among which the set's symbols are divided")
CONNECTIONS_OPEN = gauge("connections_open", SET, "Connections open now, of those")
CAPTURE_STATE = gauge(
    "capture_state", SET, "State of the capture: 0 none, 1 written, 2 stopped for want of room, 3 stopped by a failing disk"
)
LATENCY = histogram(
    "latency_seconds",
    "Latency by stage. publish: from the receipt of a frame to its records in shared memory, decoding and book included;"
    " feed: from the exchange's own time to the receipt, as far as it is not negative",
    (*SET, "stage"),
)
BELOW_ZERO = counter("feed_delay_below_zero", SET, "Messages whose exchange time lay after their receipt: the clocks differ")
HELP = {Counter.BOOK_UPDATES: "Snapshots and updates of books, as the exchange sent them"}
COUNTERS = {c: counter(c.label, BOOK, HELP.get(c, f"{c.unit.capitalize()} {c.meaning}")) for c in SUMS}
STATE = gauge(
    "book_state", BOOK, f"State of the book: {_codes((s.name, s.value) for s in BookState)}; stale where its writer is not alive"
)
REASON = gauge("book_reason", BOOK, "Reason of the state, by its number in the layout of STATUS records")
TRADING = gauge("book_trading_status", BOOK, "Orders that the market accepts, by the number of TradingStatus: 1 is all of them")
LEVELS = gauge("book_levels", (*BOOK, "side"), "Levels of the book")
CHANGED = gauge("book_changed_timestamp_seconds", BOOK, "Time of the last change or confirmation of the book")

BOOK_ROW = Row((STATE,), (REASON,), (TRADING,), (LEVELS, "bid"), (LEVELS, "ask"), (CHANGED,))
FEED_DELAY = gauge(
    "book_feed_delay_seconds", BOOK, "Receive time minus the exchange's, of the last message of the book; may be negative"
)
CAPACITY = gauge("ring_capacity_records", RING, "Records that the ring holds")
PUBLISHED = counter("ring_published_records", RING, "Records published into the ring")
OCCUPANCY = gauge(
    "ring_occupancy_ratio",
    RING,
    "Share of the ring that its slowest living reader has yet to read: at 1 it is lapped; 0 without readers",
)
LAG = gauge("reader_lag_records", READER, "Records published that the reader has not read yet")
MISSED = counter("reader_missed_records", READER, "Records that were overwritten before the reader read them: it was lapped")
CPU = counter("collector_cpu_seconds", SET, "CPU time of the set's writer, user and system")
RESIDENT = gauge("collector_resident_bytes", SET, "Resident memory of the set's writer, the segments that it has mapped included")
FDS = gauge("collector_open_fds", SET, "Open file descriptors of the set's writer")
WATCHES = gauge(
    "arbitrage_watches", (), "Running `alphapulse arb watch` processes; without any there are no other metrics of arbitrage"
)
WATCH_BOOKS = gauge("arbitrage_books", WATCH, "Books that the watch compares")
WATCH_LIVE = gauge("arbitrage_books_live", WATCH, "Books that are LIVE, of those")
CANDIDATES = gauge("arbitrage_candidates", WATCH, "Pairs and cycles of books that the watch compares")
LOOKS = counter("arbitrage_looks", WATCH, "Comparisons of books, since the watch began")
OPENED = counter("arbitrage_opportunities", WATCH, "Opportunities seen, since the watch began")
OPEN = gauge("arbitrage_opportunities_open", WATCH, "Opportunities open now")
HELD_BACK = counter("arbitrage_held_back", (*WATCH, "reason"), "Occasions that were no opportunity, by reason")
WATCH_MISSED = counter("arbitrage_missed_records", WATCH, "Records that the watch missed: it was lapped")

METRICS: tuple[Metric, ...] = (
    INFO, PROBLEMS, LIVE, REPLAY, RECORDING, WRITER, LAST_FRAME, WAIT_UNTIL, CONNECTIONS, CONNECTIONS_OPEN, CAPTURE_STATE,
    LATENCY, BELOW_ZERO, *COUNTERS.values(), STATE, REASON, TRADING, LEVELS, CHANGED, FEED_DELAY,
    CAPACITY, PUBLISHED, OCCUPANCY, LAG, MISSED, CPU, RESIDENT, FDS,
    *SCORE_METRICS, WATCHES, WATCH_BOOKS, WATCH_LIVE, CANDIDATES, LOOKS, OPENED, OPEN, HELD_BACK, WATCH_MISSED,
)  # fmt: skip


More = tuple[Sequence[Metric], Callable[[Page], None]]


class _Place(NamedTuple):
    """A set in the directory."""

    exchange: str
    name: str
    segment: Segment  # its counters
    is_live: bool

    @property
    def labels(self) -> tuple[str, str]:
        """Values of the labels SET."""
        return self.exchange, self.name


class Exporter:
    """Exporter of the metrics of all wanted sets of a directory. It stays attached to their segments between scrapes.

    `more` are further metrics and what adds their samples to the page; `registry` holds what prometheus_client measures itself.
    """

    def __init__(
        self,
        directory: Directory,
        wanted: Wanted | None = None,
        registry: "CollectorRegistry | None" = None,
        more: More = ((), lambda _: None),
    ) -> None:
        self.registry = registry
        self._directory = directory
        self._wanted = Wanted() if wanted is None else wanted
        self._segments: dict[str, Segment] = {}
        self._images: dict[str, ImageReader] = {}
        self._core = build.core_mode()  # reads all sources of the core: once
        self._table, self._add_more = (*METRICS, *more[0]), more[1]
        self._heads = Heads()
        self._counter_heads: dict[tuple[str, str, str], tuple[list[tuple[int, str]], list[Counter]]] = {}

    def text(self) -> str:
        """Text of one scrape, in Prometheus' format 0.0.4 (`exposition.CONTENT_TYPE`)."""
        page = Page(self._table, self._heads)
        for _ in self._steps(page):
            pass
        return page.text() + self._own_text()

    async def text_in_steps(self) -> str:
        """`text`, with other tasks of the loop in between: a scrape of many books delays none of them by more than a millisecond or two."""
        page = Page(self._table, self._heads)
        for _ in self._steps(page):
            await asyncio.sleep(0)
        return page.text() + self._own_text()

    def _steps(self, page: Page) -> Iterator[None]:
        """Add all samples to the page, in steps."""
        page.add(INFO, (__version__, self._core), 1)
        now, problems = clock.monotonic_ns(), 0
        parsed = [(name, found) for name in self._directory.names() if (found := parse_segment_name(name)) is not None]
        for gone in self._segments.keys() - {name for name, _ in parsed}:
            self._forget(gone)
        places = {}
        for name, (kind, set_name, _) in parsed:
            if kind is SegmentKind.COUNTERS:
                segment = self._attached(name, now)
                if segment is None:
                    problems += 1
                elif self._wanted.takes_set(set_name, segment.spec.exchange):
                    is_live = segment.liveness(now) is Liveness.LIVE
                    places[set_name] = _Place(segment.spec.exchange, set_name, segment, is_live)
                    problems += not self._add_set(page, places[set_name])
                    yield
                    if not segment.is_replay:
                        add_scores(page, self._directory, set_name, self._wanted.symbols_of(set_name, segment.spec.exchange))
                        yield
        readers = cursor.list_cursors(self._directory)
        for number, (name, (kind, set_name, symbol)) in enumerate(parsed):
            place = places.get(set_name)
            if place is None:
                continue
            if kind is SegmentKind.BOOK:
                wanted = self._wanted.symbols_of(set_name, place.exchange)
                if wanted is None or symbol in wanted:
                    problems += not self._add_book(page, place, name, symbol, now)
            elif kind in RINGS:
                problems += not self._add_ring(page, place, name, kind, readers, now)
            if number % BOOKS_A_STEP == 0:
                yield
        page.add(PROBLEMS, (), problems)
        self._add_arbitrage(page)
        self._add_more(page)

    def _attached(self, name: str, now: int) -> Segment | None:
        """Segment of that name; None if it cannot be attached."""
        held = self._segments.get(name)
        if held is not None and held.liveness(now) in (Liveness.LIVE, Liveness.BUILDING):
            return held
        self._forget(name)
        with suppress(SegmentError, StorageError):
            self._segments[name] = Segment.attach(self._directory, name)
        return self._segments.get(name)

    def _forget(self, name: str) -> None:
        self._segments.pop(name, None)
        self._images.pop(name, None)

    def _add_set(self, page: Page, place: _Place) -> bool:
        """Add what the counters file says; False if it was cut short."""
        labels, segment = place.labels, place.segment
        reader = CountersReader(segment)
        try:
            blocks, histograms = reader.values(), reader.histograms()
        except SegmentError:
            return False
        page.add(LIVE, labels, int(place.is_live))
        page.add(REPLAY, labels, int(segment.is_replay))
        if segment.is_replay and segment.now_ns():
            page.add(RECORDING, labels, segment.now_ns() / 1e9)
        page.add(WRITER, (*labels, str(segment.writer.pid), str(segment.epoch)), 1)
        own = blocks.get("", [0] * len(Counter))
        if own[Counter.LAST_FRAME_NS]:
            page.add(LAST_FRAME, labels, own[Counter.LAST_FRAME_NS] / 1e9)
        page.add(WAIT_UNTIL, labels, own[Counter.WAIT_UNTIL_NS] / 1e9 if own[Counter.WAIT_UNTIL_NS] else 0)
        page.add(CONNECTIONS, labels, own[Counter.CONNECTIONS])
        page.add(CONNECTIONS_OPEN, labels, own[Counter.CONNECTIONS_OPEN])
        page.add(CAPTURE_STATE, labels, own[Counter.CAPTURE_STATE])
        for name, stage in STAGES.items():
            page.add_histogram(LATENCY, (*labels, stage), *cumulated(histograms[name]))
        page.add(BELOW_ZERO, labels, histograms["feed_delay_ns"].below_zero)
        wanted = self._wanted.symbols_of(place.name, place.exchange)
        columns = [page.lines[COUNTERS[c].name] if c in COUNTERS else [] for c in Counter]
        for symbol, values in blocks.items():
            if symbol and wanted is not None and symbol not in wanted:
                continue
            shown, hidden = self._counters_of((*labels, symbol))
            for number, head in shown:
                columns[number].append(f"{head}{values[number]}")
            for c in hidden:
                if values[c]:  # whatever was counted is shown
                    page.add(COUNTERS[c], (*labels, symbol), values[c])
            if symbol and values[Counter.FEED_DELAY_US]:
                page.add(FEED_DELAY, (*labels, symbol), values[Counter.FEED_DELAY_US] / 1e6)
        self._add_process(page, place)
        return True

    def _counters_of(self, labels: tuple[str, str, str]) -> tuple[list[tuple[int, str]], list[Counter]]:
        """Counters of a block: those that are shown from 0 on, with the text before each value, and those shown once they count."""
        found = self._counter_heads.get(labels)
        if found is None:
            if len(self._counter_heads) >= MOST_BLOCKS:
                self._counter_heads.clear()
            shown = [c for c in SUMS if c in OF_BOTH or (c in OF_EXCHANGE) == (not labels[-1])]
            heads = [(int(c), self._heads.head(COUNTERS[c], labels)) for c in shown]
            found = self._counter_heads[labels] = (heads, [c for c in SUMS if c not in shown])
        return found

    def _add_process(self, page: Page, place: _Place) -> None:
        """Add what the system tells of the writer, where it lives and is numbered as we are."""
        who = place.segment.writer
        if place.is_live and who.pid_namespace == pid_namespace() and proc_is_ours():
            with suppress(OSError, ValueError, IndexError):
                cpu_s, resident, fds = _process(who)
                page.add(CPU, place.labels, cpu_s)
                page.add(RESIDENT, place.labels, resident)
                page.add(FDS, place.labels, fds)

    def _add_book(self, page: Page, place: _Place, name: str, symbol: str, now: int) -> bool:
        """Add a book's gauges; False if its file cannot be read."""
        segment = self._attached(name, now)
        if segment is None:
            return False
        if segment.epoch > place.segment.epoch or (place.is_live and segment.liveness(now) is Liveness.RETIRED):
            return True  # a set that is still hidden; a symbol that was removed
        reader = self._images.get(name)
        if reader is None or reader.segment is not segment:
            reader = self._images[name] = ImageReader(segment)
        try:
            image = reader.peek()
        except SegmentError:
            return False
        if image is None:
            if reader.writer_died_editing(now):
                page.add(STATE, (*place.labels, symbol), int(BookState.STALE))
            return True
        labels = (*place.labels, symbol)
        state, reason = states_of(image.state, image.reason)
        if state is BookState.LIVE and segment.liveness(now) is not Liveness.LIVE:
            state = BookState.STALE
        status = trading_status(image.trading_status)
        changed_s = image.timestamp_ns / 1e9 if image.timestamp_ns else None
        values = (int(state), int(reason), None if status is None else int(status), image.bid_count, image.ask_count, changed_s)
        page.add_row(BOOK_ROW, labels, values)
        return True

    def _add_ring(
        self, page: Page, place: _Place, name: str, kind: SegmentKind, readers: Sequence[cursor.CursorInfo], now: int
    ) -> bool:
        """Add a ring and its readers; False if its file cannot be read."""
        segment = self._attached(name, now)
        if segment is None:
            return False
        labels, capacity, published = (*place.labels, kind.name.lower()), segment.spec.capacity, segment.published
        published = min(published, segment.sealed)
        page.add(CAPACITY, labels, capacity)
        page.add(PUBLISHED, labels, published)
        slowest = 0
        for one in readers:
            if one.segment == name and one.alive and one.epoch == segment.epoch:
                lag = max(published - one.position, 0)
                slowest = max(slowest, lag)
                page.add(LAG, (*labels, one.label, one.name), lag)
                page.add(MISSED, (*labels, one.label, one.name), one.missed)
        page.add(OCCUPANCY, labels, min(slowest / capacity, 1.0))
        return True

    def _add_arbitrage(self, page: Page) -> None:
        tallies = read_tallies(self._directory)
        page.add(WATCHES, (), len(tallies))
        for tally in tallies:
            labels = (str(tally["pid"]),)
            for metric, key in (
                (WATCH_BOOKS, "books"),
                (WATCH_LIVE, "books_live"),
                (CANDIDATES, "candidates"),
                (LOOKS, "looks"),
                (OPENED, "opened"),
                (OPEN, "open"),
                (WATCH_MISSED, "missed"),
            ):
                if isinstance(tally.get(key), int):
                    page.add(metric, labels, tally[key])
            held_back = tally.get("held_back")
            if isinstance(held_back, dict):
                for why in RejectReason:
                    page.add(HELD_BACK, (*labels, why.value), int(held_back.get(why.value, 0)))

    def _own_text(self) -> str:
        if self.registry is None:
            return ""
        from prometheus_client import generate_latest

        return generate_latest(self.registry).decode()


def cumulated(found: Distribution) -> tuple[list[tuple[str, int]], float]:
    """Buckets of a distribution in ns as Prometheus counts them, in seconds, and the sum of the values.

    The bounds are ends of the distribution's own buckets, so that the counts are exact.
    """
    buckets, seen, at = [], 0, 0
    for bucket in BUCKETS:
        seen += sum(found.counts[at : bucket + 1])
        at = bucket + 1
        buckets.append((BOUNDS[bucket], seen))
    buckets.append(("+Inf", found.count))
    return buckets, found.total / 1e9


BOUNDS = {bucket: repr(bucket_end(bucket) / 1e9) for bucket in BUCKETS}


def _process(who: Identity) -> tuple[float, int, int]:
    """CPU seconds, resident bytes and open descriptors of a process. OSError where it has ended or is another user's."""
    place = Path(f"/proc/{who.pid}")
    fields = place.joinpath("stat").read_bytes().rpartition(b")")[2].split()
    if who.start_time and int(fields[19]) != who.start_time:
        raise ProcessLookupError(who.pid)
    cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    fds = len(os.listdir(place / "fd"))  # noqa: PTH208 - a Path for each takes ten times as long
    return cpu_s, int(fields[21]) * os.sysconf("SC_PAGE_SIZE"), fds
