"""Metrics of the server itself: how fast it wakes, reads and writes, its clients, its own records; beside those of all sets.

    Source ─► on_batch ─► ring_wake, reconstruction, laps        writes ─► on_broadcast ─► ws_broadcast
    ClientCounts, DeltaMeter ─► read at each scrape              process_*: prometheus_client

The histograms are those of the segments (`shm/histogram.py`): one costs a tenth of a microsecond an event, and has the same bounds.
"""

from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

from alphapulse_cli.apps.serve.exposition import BOOK, Metric, Page, counter, gauge, histogram
from alphapulse_cli.apps.serve.metrics import RING, Exporter, cumulated
from alphapulse_cli.apps.serve.source import Batch, Key
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.histogram import HISTOGRAM_BYTES, Histogram

if TYPE_CHECKING:
    from alphapulse_cli.apps.serve.state import ServeState

REASONS = ("address", "full", "origin", "unauthorized")
CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013)

WAKE = histogram(
    "ring_wake_seconds",
    "From the receipt of the frame behind the first record to the waking of the sleeping server: the collector's own time (latency_seconds,"
    " stage publish) is in it",
)
RECONSTRUCT = histogram("reconstruction_seconds", "From the begin of reading the rings to all books holding what was read")
BROADCAST = histogram("ws_broadcast_seconds", "From the begin of reading the rings to the write to the last client")
LAPS = counter("serve_laps", RING, "Times that records were overwritten before the server read them")
LOST = counter("serve_missed_records", RING, "Records that were overwritten before the server read them")
GROUPS = counter("serve_groups", (), "Groups of deltas that the server read")
FAILURES = counter("serve_failures", (), "Faults of the server's own parts, each told in its log")
CLIENTS = gauge("ws_clients", (), "WebSocket clients now")
QUEUE = gauge("ws_queue_bytes", (), "Bytes written for clients that the system has not taken yet")
REFUSED = counter("ws_refused", ("reason",), "Handshakes refused, by reason")
CLOSED = counter("ws_closed", ("code",), "Connections closed by the server, by close code")
COUNTS = {
    "accepted": counter("ws_accepted", (), "WebSocket clients accepted"),
    "slow": counter("ws_dropped", (), "Clients closed with 1013, since their queue was full"),
    "messages_sent": counter("ws_sent_messages", (), "Messages to WebSocket clients"),
    "bytes_sent": counter("ws_sent_bytes", (), "Bytes written to WebSocket clients, framing included"),
    "writes": counter("ws_writes", (), "Writes to WebSocket clients"),
    "messages_received": counter("ws_received_messages", (), "Messages from WebSocket clients"),
    "bytes_received": counter("ws_received_bytes", (), "Bytes of those messages"),
    "conflated": counter("ws_conflated", (), "Updates that newer ones replaced before a slow client could read them"),
    "snapshots": counter("ws_snapshots", (), "Snapshots sent to clients"),
    "resumes": counter("ws_resumes", (), "Clients that resumed without a snapshot"),
}
CLIENT = ("client", "address", "encoding")
MOST_CLIENTS = 100  # shown one by one, the oldest; the others are in the sums alone
CLIENT_SENT = counter("ws_client_sent_bytes", CLIENT, f"Bytes written to the client; of the {MOST_CLIENTS} oldest clients")
CLIENT_RECEIVED = counter("ws_client_received_bytes", CLIENT, "Bytes of messages from the client")
CLIENT_QUEUE = gauge("ws_client_queue_bytes", CLIENT, "Bytes written for the client that the system has not taken yet")
DELTA_BYTES = counter("delta_bytes", BOOK, "Bytes of the delta records that the server measured")
FULL_BYTES = counter("full_book_bytes", BOOK, "Bytes of whole books, 16 a level, had each of these groups been one")
RATIO = gauge("compression_ratio", BOOK, "Bytes of whole books over those of the delta records, since the server began")

OWN_METRICS: tuple[Metric, ...] = (
    WAKE,
    RECONSTRUCT,
    BROADCAST,
    LAPS,
    LOST,
    GROUPS,
    FAILURES,
    CLIENTS,
    QUEUE,
    REFUSED,
    CLOSED,
    *COUNTS.values(),
    CLIENT_SENT,
    CLIENT_RECEIVED,
    CLIENT_QUEUE,
    DELTA_BYTES,
    FULL_BYTES,
    RATIO,
)

Measured = Callable[[Key], tuple[int, int]]  # (bytes of delta records, bytes of whole books) of a book since the server began


class ServerMetrics:
    """Exporter of a server: the metrics of all its sets and its own. It listens to the source and to writes from now on."""

    def __init__(self, state: "ServeState", measured: Measured | None = None) -> None:
        from prometheus_client import CollectorRegistry, ProcessCollector

        self._state, self._measured = state, measured
        self._wake, self._reconstruct, self._broadcast = (Histogram(bytearray(HISTOGRAM_BYTES)) for _ in range(3))
        self._groups = 0
        self._laps: Counter[tuple[str, str]] = Counter()  # by set and ring
        self._lost: Counter[tuple[str, str]] = Counter()
        registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        self._exporter = Exporter(state.directory, state.wanted, registry, (OWN_METRICS, self._add))
        state.source.listeners.insert(0, self.on_batch)
        state.on_broadcast.append(self.on_broadcast)

    async def text(self) -> str:
        """Text of one scrape; other tasks run meanwhile."""
        return await self._exporter.text_in_steps()

    def on_batch(self, batch: Batch) -> None:
        """Take the times and losses of a batch; the first of the source's listeners."""
        now_ns = clock.monotonic_ns()
        self._groups += len(batch.groups)
        for lost in batch.missed:
            self._laps[lost.set_name, lost.ring] += 1
            self._lost[lost.set_name, lost.ring] += lost.missed
        if not batch.groups:
            return
        self._reconstruct.record(now_ns - batch.read_ns)
        first = batch.groups[0]
        if batch.woken_ns and not first.replay and not first.is_backlog:
            self._wake.record(clock.realtime_ns() - (now_ns - batch.woken_ns) - first.timestamp_ns)

    def on_broadcast(self, read_ns: int, written_ns: int) -> None:
        """Take the time of a write to all clients."""
        self._broadcast.record(written_ns - read_ns)

    def _add(self, page: Page) -> None:
        """Add the server's own samples."""
        state = self._state
        for metric, held in ((WAKE, self._wake), (RECONSTRUCT, self._reconstruct), (BROADCAST, self._broadcast)):
            page.add_histogram(metric, (), *cumulated(held.read()))
        for name, follower in state.source.followers.items():
            for ring in ("deltas", "trades"):
                page.add(LAPS, (follower.exchange, name, ring), self._laps[name, ring])
                page.add(LOST, (follower.exchange, name, ring), self._lost[name, ring])
            for symbol in follower.books:
                if self._measured is not None:
                    mine, full = self._measured((name, symbol))
                    labels = (follower.exchange, name, symbol)
                    page.add(DELTA_BYTES, labels, mine)
                    page.add(FULL_BYTES, labels, full)
                    if mine:
                        page.add(RATIO, labels, full / mine)
        page.add(GROUPS, (), self._groups)
        page.add(FAILURES, (), state.source.failures)
        counts = state.clients
        page.add(CLIENTS, (), counts.connected)
        page.add(QUEUE, (), counts.queue_bytes())
        for reason in sorted({*REASONS, *counts.refused}):
            page.add(REFUSED, (reason,), counts.refused[reason])
        for code in sorted({*CODES, *counts.closed}):
            page.add(CLOSED, (str(code),), counts.closed[code])
        for name, metric in COUNTS.items():
            page.add(metric, (), getattr(counts, name))
        for one in islice(counts.each(), MOST_CLIENTS):
            labels = (str(one.number), one.address, one.encoding)
            page.add(CLIENT_SENT, labels, one.bytes_sent)
            page.add(CLIENT_RECEIVED, labels, one.bytes_received)
            page.add(CLIENT_QUEUE, labels, one.queue_bytes)
