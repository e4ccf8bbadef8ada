"""A market made by hand for the snapshots of the live screen: three exchanges, two symbols, one dead book, trades, latencies, rings.

Everything is of one moment, `TAKEN_NS`; `stop_the_clock` makes it that moment for the screen too.
"""

from collections import Counter as Counts
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction

from alphapulse_cli.apps.segments import ReaderRow, SegmentRow
from alphapulse_cli.book.book import Book
from alphapulse_cli.flow.arbitrage.detector import ArbitrageDetector
from alphapulse_cli.flow.arbitrage.exact import parse_fee
from alphapulse_cli.market.levels import Levels
from alphapulse_cli.readers.items import TradeItem
from alphapulse_cli.shm import clock, histogram
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.shm.segment import Liveness
from alphapulse_cli.tui.feed.arbitrage_feed import row_of
from alphapulse_cli.tui.feed.picture import ArbitragePicture, BookLadder, Moment, Picture, Stage
from alphapulse_cli.wire.delta import BookState
from support.scorecards import a_market
from support.tui_pictures import book, picture

TAKEN_NS = 5_000_000_000_000
EPOCH_NS = int(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()) * 1_000_000_000
SETS = ("binance-us", "coinbase", "kraken")
PRICES = {
    ("binance-us", "BTC-USD"): (6_330_010, 6_330_085),
    ("coinbase", "BTC-USD"): (6_330_020, 6_330_061),
    ("kraken", "BTC-USD"): (6_330_064, 6_330_090),  # its bid is above Coinbase's ask
    ("binance-us", "ETH-USD"): (249_510, 249_561),
    ("coinbase", "ETH-USD"): (249_515, 249_560),
    ("kraken", "ETH-USD"): (249_500, 249_580),
}
DEAD = ("kraken", "ETH-USD")
LEVELS = 60
FEES = {"binance-us": "0.001", "coinbase": "0", "kraken": "0"}


def stop_the_clock(monkeypatch):
    """Both clocks stand at the moment of the picture."""
    monkeypatch.setattr(clock, "monotonic_ns", lambda: TAKEN_NS)
    monkeypatch.setattr(clock, "realtime_ns", lambda: EPOCH_NS)


def _text(ticks):
    return f"{ticks // 100}.{ticks % 100:02}"


def _book(at, set_name, symbol):
    bid, ask = PRICES[set_name, symbol]
    dead = (set_name, symbol) == DEAD
    made = book(set_name, symbol, _text(bid), _text(ask), BookState.STALE if dead else BookState.LIVE)
    bids, asks = (
        [(best + way * (i + i // 3), 1_000 + 37 * i * (at + 1) % 900) for i in range(LEVELS)] for best, way in ((bid, -1), (ask, 1))
    )
    moved = {(False, bids[1][0]): (1, TAKEN_NS - 1_000_000), (True, asks[2][0]): (-1, TAKEN_NS - 1_000_000)}
    status = replace(
        made.status,
        spread_bps=(ask - bid) * 2e4 / (ask + bid),
        bid_size="0.1" + str(at),
        ask_size="1.2" + str(at),
        bid_count=LEVELS * (at + 1),
        ask_count=LEVELS * (at + 2),
        deltas_per_s=20.0 * (at + 1),
        trades_per_s=0.5 * at,
        feed_delay_us=1_500 * (at + 1),
        gaps=at % 2,
        age_ms=None if dead else 7.0 * (at + 1),
    )
    return replace(
        made,
        status=status,
        mids=tuple((bid + ask) / 200 + (i * (at + 3) % 7) / 10 for i in range(24)),
        last_trade=_trade(at, set_name, symbol),
        ladder=BookLadder(2, 4, bids, asks, moved),
        history=tuple(
            None if 40 <= i < 44 else Moment((bid + ask) / 200 + (i * i * (at + 3) % 97) / 20 + i / 40, 1.0 + i % 13 / 10)
            for i in range(300)
        ),
    )


def _trade(number, set_name, symbol):
    bid, ask = PRICES[set_name, symbol]
    is_sell = number % 2
    when = EPOCH_NS - number * 173_000_000
    size = f"{number % 5}.{number * 7 % 100:02}"
    side = "sell" if is_sell else "buy"
    return TradeItem(
        set_name,
        set_name,
        symbol,
        when,
        when - 2_000_000,
        str(9_000 - number),
        side,
        _text(bid if is_sell else ask),
        size,
        2,
        2,
        False,
    )


def _distribution(scale):
    counts = [0] * histogram.BUCKET_COUNT
    for i in range(300):
        counts[histogram.bucket_of(scale * (80 + i * i % 97 + 40 * (i % 50 == 0)))] += 1
    return histogram.Distribution(counts, 300 * scale * 120, scale * 217)


def _stages(at):
    named = (("exchange to received", True, 40_000), ("received to published", False, 60), ("received to seen here", False, 9_000))
    return tuple(
        Stage(
            name,
            is_relative,
            _distribution(scale * (at + 1)),
            [(scale * (90 + i % 9), scale * (150 + i * 3 % 40)) for i in range(100)],
        )
        for name, is_relative, scale in named
    )


def _segments():
    rows = []
    for at, name in enumerate(SETS):
        for kind in ("counters", "orderbook_deltas", "trades"):
            row = SegmentRow(
                f"{name}_{kind}", name, "deltas" if kind == "orderbook_deltas" else kind, state="live", pid=4_000 + at, epoch=3
            )
            row.bytes, row.heartbeat_age_s = 4_198_400, 0.05
            if kind != "counters":
                row.capacity, row.published, row.records_per_s = 16_384, 100_000 * (at + 1), 120.0
                row.readers = [ReaderRow(5_000, "tui", row.name, 3 * at, 0, alive=True)]
            rows.append(row)
    return tuple(rows)


def _market():
    shown = picture(*(_book(at, *key) for at, key in enumerate(PRICES)))
    sets = []
    for at, one in enumerate(shown.sets):
        totals = {counter.label: 1_000 * (at + 1) for counter in Counter} | {"gaps": at}
        status = replace(
            one.status, liveness=Liveness.LIVE, pid=4_000 + at, frames_per_s=40.0, deltas_per_s=60.0 * (at + 1), totals=totals
        )
        sets.append(replace(one, status=status, stages=_stages(at), lag=5 * at, capacity=16_384, published=100_000 * (at + 1)))
    trades = tuple(_trade(number, *list(PRICES)[number % len(PRICES)]) for number in range(150))
    return Picture(TAKEN_NS, tuple(sets), shown.books, trades, _segments(), arbitrage=arbitrage(shown.books), cards=a_market())


def arbitrage(books, fees=FEES, since_ns=TAKEN_NS - 4_200_000_000):
    """What the detector says of their ladders, all received at once; the opportunities were first seen at `since_ns`."""
    detector = ArbitrageDetector()
    for one in books:
        name, symbol = one.key
        market = detector.add(name, name, symbol, parse_fee(fees[name]))
        if one.status.state is BookState.LIVE:
            levels = [(*level, is_ask) for is_ask, side in enumerate((one.ladder.bids, one.ladder.asks)) for level in side]
            held = Book(one.ladder.price_decimals, one.ladder.size_decimals)
            held.apply(Levels.from_levels(held.price_decimals, held.size_decimals, levels), None)
            detector.update(market, held, EPOCH_NS, 1)
    rows = []
    for candidate in detector.candidates:
        opportunity = detector.open.get(candidate)
        found = None if opportunity is None else opportunity.finding
        rows.append(row_of(candidate, found, detector.held_back(candidate), since_ns if found else 0))
    return ArbitragePicture(tuple(rows), Counts(row.why for row in rows if row.why is not None))


MARKET = _market()


def changed(bid="", state=""):
    """The market with the first book's bid, or its state, another one."""
    first, *rest = MARKET.books
    status = first.status
    if bid:
        first = replace(first, status=replace(status, bid=bid), bid=Fraction(bid))
    if state:
        first = replace(first, status=replace(status, state=BookState[state]), bid=None, ask=None)
    return replace(MARKET, books=(first, *rest))
