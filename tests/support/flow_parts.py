"""What the tests of flow stand on: one set in a directory, a real exchange's two ends joined without a socket, a replica that reads along.

desk = Desk(directory, [BTC])                     an outlet and an ingest with the exchange's real decoder: `desk.hear(frame)`
river = River(directory, "kraken", [BTC])         and the exchange's own side with a truth: `river.change(symbol, changes)`
desk.groups("BTC-USD")                            every group in the ring, as `Group`
Replica(desk.outlet, "BTC-USD")                   image and ring through the product's Reconstructor
"""

import random
from dataclasses import dataclass, field
from typing import Any

from alphapulse_cli import exchanges
from alphapulse_cli.book.reconstruct import Reconstructor
from alphapulse_cli.flow.ingest import Ingest
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.market.requests import FetchInstruments, FetchProof, FetchSnapshot, FetchTrades, Reconnect, Send
from alphapulse_cli.market.trading_status import TradingStatus
from alphapulse_cli.shm.counters import CountersReader
from alphapulse_cli.shm.image import ImageReader
from alphapulse_cli.shm.ring import RingReader
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.wire import delta, trade
from alphapulse_cli.wire.delta import BookReason, BookState, RecordKind
from support.exchange_truth import PlainTruth, instrument

SECOND = 1_000_000_000
START_NS = 1_790_000_000 * SECOND
NATIVES = {  # where it is not BASE-QUOTE
    "kraken": lambda symbol: symbol.replace("-", "/"),
    "binance-us": lambda symbol: symbol.replace("-", ""),
    "binance": lambda symbol: symbol.replace("-", ""),
    "bitfinex": lambda symbol: f"t{symbol.replace('-', '' if len(symbol) == len('BTC-USD') else ':')}",
    "bybit": lambda symbol: symbol.replace("-", ""),
}


def listed(exchange, symbol="BTC-USD", price_decimals=2, size_decimals=4):
    """That exchange's instrument of the symbol."""
    return instrument(exchange, symbol, native_of(exchange, symbol), price_decimals, size_decimals)


def native_of(exchange, symbol):
    """That exchange's name of the symbol."""
    return NATIVES.get(exchange, str)(symbol)


@dataclass
class Group:
    """One group of the delta ring."""

    kind: RecordKind
    version: int
    prev_version: int
    changes: list[tuple[int, int, bool]]
    resynced: bool
    feed_delay_us: int
    decimals: tuple[int, int]
    record_count: int
    state: BookState | None = None
    reason: BookReason | None = None
    trading: TradingStatus | None = None
    check: tuple[int, ...] = ()


def groups_of(outlet, symbol):
    """All groups of a symbol that the ring still holds, oldest first; asserts that each is whole."""
    import numpy as np

    reader = RingReader(outlet.deltas.segment, "oldest")
    found: list[Group] = []
    parts: list[tuple[Any, bytes]] = []
    while True:
        records, _, _ = reader.poll(1 << 14)
        if not records:
            assert not parts, "a group without its LAST"
            return found
        rows = np.frombuffer(bytes(records), delta.dtype())
        for row, raw in zip(rows, rows.view("V256"), strict=True):
            if row["symbol"].decode() != symbol:
                continue
            assert bool(row["flags"] & delta.FIRST) == (not parts)
            parts.append((row, raw.tobytes()))
            if row["flags"] & delta.LAST:
                found.append(_group(parts))
                parts = []


def _group(parts):
    row, raw = parts[-1]
    changes = [
        (int(ticks), int(word) & delta.SIZE_MASK, bool(int(word) & delta.IS_ASK))
        for each, _ in parts
        for ticks, word in each["changes"][: each["change_count"]]
    ]
    group = Group(
        RecordKind(row["flags"] & delta.KIND_MASK),
        int(row["version"]),
        int(row["prev_version"]),
        changes,
        bool(row["flags"] & delta.RESYNCED),
        int(row["feed_delay_us"]),
        (int(row["price_decimals"]), int(row["size_decimals"])),
        len(parts),
    )
    if group.kind is RecordKind.STATUS:
        group.state, group.reason, group.trading = BookState(raw[64]), BookReason(raw[65]), TradingStatus(raw[66])
    if group.kind is RecordKind.CHECK:
        word = int.from_bytes
        group.check = (word(raw[64:72], "little"), word(raw[72:76], "little"), word(raw[76:80], "little"), raw[80], raw[81])
    return group


class Replica:
    """A reader in another process, but for the process: joins from the image, goes on with the ring, cut as `limits` says."""

    def __init__(self, outlet, symbol, seed=0):
        self.outlet, self.symbol = outlet, symbol
        self.reader = RingReader(outlet.deltas.segment, "oldest")
        self.book = Reconstructor(outlet.exchange, symbol)
        self.joins = 0
        self.whys = []
        self._dice = random.Random(seed)

    def image(self):
        """A copy of the image, attached to by its name as a stranger would."""
        return ImageReader(self.outlet_image()).copy()

    def outlet_image(self):
        return Segment.attach(self.outlet.directory, f"{self.outlet.set_name}_book_{self.symbol}")

    def follow(self, rounds=10**6):
        """Read what there is; join where it must."""
        for _ in range(rounds):
            if self.book.is_cold:
                self.join()
            records, _, missed = self.reader.poll(self._dice.randint(1, 40))
            if missed:
                self.book.missed()
            if not records:
                break
            self.book.apply(records, 0, len(records) // 256)
        if self.book.is_cold:
            self.join()
        return self

    def join(self):
        image = self.image()
        self.whys.append(self.book.why)
        sides = (image.price_decimals, image.size_decimals, image.state, image.bids, image.asks)
        assert self.book.load(
            image.version, *sides, book_hash=image.book_hash, reason=image.reason, trading_status=image.trading_status
        )
        self.joins += 1


def assert_one_book(keeper, replica):
    """The collector's book, its image, and a reader's replica of ring and image are one, level for level and in their hashes."""
    replica.follow()
    image, book = replica.image(), keeper.book
    assert (image.version, replica.book.version) == (keeper.version, keeper.version)
    assert (image.state, replica.book.book_state) == (keeper.state, keeper.state)
    assert (image.trading_status, replica.book.trading_status) == (keeper.trading_status, keeper.trading_status)
    assert replica.book.checks_bad == 0
    assert replica.book.book.bids() == book.bids()
    assert replica.book.book.asks() == book.asks()
    assert image.book_hash == book.book_hash == replica.book.book.book_hash
    fresh = Replica(replica.outlet, replica.symbol)
    fresh.join()
    assert (fresh.book.book.bids(), fresh.book.book.asks()) == (book.bids(), book.asks())


class Desk:
    """A set with an ingest whose frames a test writes by hand."""

    def __init__(self, directory, instruments, *, channels=("book", "trades"), depth=0, mode="", ring=4096, checksum_warns=()):
        self.exchange = exchanges.get(instruments[0].exchange)
        self.instruments = instruments
        self.notices = []
        self.requests = []
        self.now, self.clock_ahead = START_NS, START_NS - 50 * SECOND
        symbols = [each.symbol for each in instruments]
        self.outlet = Outlet(directory, instruments[0].exchange, instruments[0].exchange, symbols, ring, 0)
        decoder = self.exchange.decoder(instruments, set(channels), depth, mode)
        self.ingest = Ingest(
            self.exchange, decoder, instruments, channels, self.outlet, self._note, mode, checksum_warns=checksum_warns
        )

    def _note(self, level, line):
        self.notices.append((level, line))

    @property
    def warnings(self):
        return [line for level, line in self.notices if level == "warning"]

    def keeper(self, symbol="BTC-USD"):
        return next(each for each in self.ingest.keepers.values() if each.instrument.symbol == symbol)

    def count(self, counter, symbol=""):
        return CountersReader(self.outlet.counters.segment).blocks()[symbol][counter.label]

    def groups(self, symbol="BTC-USD", *kinds):
        return [group for group in groups_of(self.outlet, symbol) if not kinds or group.kind in kinds]

    def states(self, symbol="BTC-USD"):
        return [(group.state, group.reason) for group in self.groups(symbol, RecordKind.STATUS)]

    def trades(self):
        """[(symbol, id, flags)] of the trade ring."""
        return [(row["symbol"].decode(), row["trade_id"].decode(), int(row["flags"])) for row in self.trade_rows()]

    def trade_rows(self):
        """The records of the trade ring."""
        import numpy as np

        records, _, _ = RingReader(self.outlet.trades.segment, "oldest").poll(1 << 14)
        return np.frombuffer(bytes(records), trade.dtype())

    def hear(self, *frames):
        for frame in frames:
            self.ingest.receive(frame, self.now)

    def take_requests(self):
        """What was asked of the world since the last call."""
        taken = self.ingest.pending_requests()
        self.requests += taken
        return taken

    @property
    def monotonic(self):
        """CLOCK_MONOTONIC: `now` but for its origin, and for what `set_clock` did."""
        return self.now - self.clock_ahead

    def set_clock(self, seconds):
        """The real-time clock jumps; no time passes."""
        self.now += int(seconds * SECOND)
        self.clock_ahead += int(seconds * SECOND)

    def tick(self, seconds=1.0):
        self.now += int(seconds * SECOND)
        self.ingest.tick(self.now, self.monotonic)


@dataclass
class Fetches:
    """What the harness did for the decoder."""

    snapshots: int = 0
    proofs: int = 0
    failed: int = 0
    metadata: list[str] = field(default_factory=list)
    reconnects: list[str] = field(default_factory=list)


class River(Desk):
    """A desk joined to the exchange's own side."""

    def __init__(self, directory, exchange, instruments=None, **options):
        instruments = instruments or [listed(exchange)]
        super().__init__(directory, instruments, **options)
        self.mode = options.get("mode", "")
        self.truth = PlainTruth(instruments)
        self.rest = self.exchange.rest_encoder(self.truth, self.mode)
        self.done = Fetches()
        self.encoder = None

    def connect(self):
        self.encoder = self.exchange.encoder(self.truth, self.mode)
        self.hear(*self.encoder.connected(self.now))
        self.ingest.connected(self.monotonic)
        return self.ask()

    def disconnect(self):
        self.ingest.disconnected(self.now)

    def ask(self, *, fail=False):
        """Carry out what is asked, until nothing is."""
        for _ in range(50):
            requests = self.take_requests()
            if not requests:
                return self
            for request in requests:
                self._do(request, fail=fail)
        raise AssertionError("it never stops asking")

    def _do(self, request, *, fail):
        match request:
            case Send(frame):
                self.hear(*self.encoder.receive(frame, self.now))
            case FetchSnapshot() if fail:
                self.done.failed += 1
                self.ingest.fetch_failed(request.instrument, self.monotonic)
            case FetchSnapshot():
                path, _, query = request.path.partition("?")
                status, body = self.rest.respond(path, dict(pair.split("=") for pair in query.split("&")), self.now)
                assert status == 200
                self.done.snapshots += 1
                self.ingest.receive_snapshot(request.instrument, body, self.now)
            case FetchTrades():
                path, _, query = request.path.partition("?")
                status, body = self.rest.respond(path, dict(pair.split("=") for pair in query.split("&")), self.now)
                if status == 200:
                    self.ingest.receive_trades(request.instrument, body, self.now)
            case FetchProof():
                path, _, query = request.path.partition("?")
                status, body = self.rest.respond(path, dict(pair.split("=") for pair in query.split("&")), self.now)
                assert status == 200
                self.done.proofs += 1
                self.ingest.receive_proof(request.instrument, body, self.now)
            case FetchInstruments(paths):
                self.done.metadata += paths
            case Reconnect(reason):
                self.done.reconnects.append(reason)
                self.disconnect()
                self.encoder = self.exchange.encoder(self.truth, self.mode)
                self.hear(*self.encoder.connected(self.now))
                self.ingest.connected(self.monotonic)

    def change(self, changes, symbol="BTC-USD", *, lose=False, spoil=False):
        """What happens in the market, and the frames of it: told, lost, or with a wrong checksum."""
        self.truth.change(symbol, changes)
        self.encoder.spoil_checksum = spoil
        frames = self.encoder.update(symbol, changes, self.now)
        self.encoder.spoil_checksum = False
        if not lose:
            self.hear(*frames)
        return frames

    def trade(self, symbol="BTC-USD", ticks=10000, lots=5, **more):
        happened = self.truth.trade(symbol, ticks, lots, exchange_ns=more.pop("exchange_ns", self.now), **more)
        self.hear(*self.encoder.trades(symbol, [happened], self.now))

    def settle(self, changes=((9_000, 7, False), (11_000, 7, True)), limit=100):
        """Everything arrives from here on: time goes by and the market moves until every book is LIVE and moved since."""
        for round_ in range(limit):
            self.tick()
            self.ask()
            for each in self.instruments:
                self.change([(ticks, lots + round_, is_ask) for ticks, lots, is_ask in changes], each.symbol)
            self.ask()
            if all(keeper.state is BookState.LIVE for keeper in self.ingest.keepers.values()):
                return self
        raise AssertionError(f"not healed: {[(k.state, k.reason) for k in self.ingest.keepers.values()]} {self.notices[-5:]}")

    def assert_true(self, symbol="BTC-USD", depth=None):
        book = self.keeper(symbol).book
        bids, asks = self.truth.book(symbol, depth)
        assert (book.bids(), book.asks()) == (list(bids), list(asks))
