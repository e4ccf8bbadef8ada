"""Sets of segments that a test writes itself: a collector in small, in this process or as one to be killed.

`Writer` is an outlet with a keeper per symbol, fed with plain (ticks, lots, is_ask) rows: what readers meet is what `collect` writes.
"""

import itertools
import random
import sys
import threading
import time
from contextlib import contextmanager

from alphapulse_cli.flow.keeper import BookKeeper
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.market.events import Side, Snapshot, Trade, Update
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.levels import Levels
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.image import ImageReader
from alphapulse_cli.wire import trade as trade_record
from support.shm_processes import tell

PRICE_DECIMALS, SIZE_DECIMALS = 2, 8
PAST_NS = 1_740_000_000_000_000_000  # 2025-02-19T21:20:00Z: the clock of a set that is a replay


def instrument(symbol="BTC-USD", exchange="kraken"):
    return Instrument(exchange, symbol, symbol.replace("-", "/"), PRICE_DECIMALS, SIZE_DECIMALS)


def ladder(count, first_lots=1):
    """`count` levels: bids below 1,000,000 ticks, asks above."""
    half = count // 2
    bids = [(1_000_000 - i, first_lots + i, False) for i in range(count - half)]
    return bids + [(1_000_001 + i, first_lots + i, True) for i in range(half)]


class Writer:
    """One set, written by hand. In a `with`, or `close` it: it retires the set then. A replay's clock is `now_ns`, from PAST_NS on.

    The options are its Outlet's: replay, is_hidden.
    """

    def __init__(self, directory, symbols=("BTC-USD",), set_name="kraken", exchange="kraken", capacity=16_384, **options):
        self.directory = directory
        self.outlet = Outlet(directory, set_name, exchange, list(symbols), capacity, clock.monotonic_ns(), **options)
        self.keepers = {symbol: BookKeeper(instrument(symbol, exchange), self.outlet, None) for symbol in symbols}
        self.now_ns = PAST_NS if self.outlet.replay else clock.realtime_ns()
        self.beat()

    def snapshot(self, rows, symbol="BTC-USD", **said):
        return self._apply(Snapshot, rows, symbol, said)

    def update(self, rows, symbol="BTC-USD", **said):
        return self._apply(Update, rows, symbol, said)

    def _apply(self, kind, rows, symbol, said):
        keeper = self.keepers[symbol]
        levels = Levels.from_levels(keeper.instrument.price_decimals, keeper.instrument.size_decimals, rows)
        return keeper.apply(kind(keeper.instrument, levels, **said), self.now_ns)

    def check(self, symbol="BTC-USD"):
        self.keepers[symbol].check(self.now_ns)

    def trades(self, *rows, symbol="BTC-USD", exchange_ns=None):
        """(trade id, ticks, lots, side) each, one group."""
        where = self.keepers[symbol].instrument
        made = [
            trade_record.pack(Trade(where, name, ticks, lots, Side(side), exchange_ns), self.now_ns, 0)
            for name, ticks, lots, side in rows
        ]
        self.outlet.trades.publish(trade_record.as_group(made), len(made))

    def book(self, symbol="BTC-USD"):
        return self.keepers[symbol].book

    def beat(self):
        self.outlet.beat(clock.monotonic_ns(), self.now_ns if self.outlet.replay else 0)

    def close(self):
        self.outlet.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@contextmanager
def kept_alive(writer, work=lambda: None):
    """The writer beats, and does `work` now and then, while the body runs a command."""
    done = threading.Event()

    def beat():
        while not done.wait(0.02):
            writer.beat()
            work()

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def assert_same_book(replica, book):
    """The replica is warm, and is that book level for level."""
    assert not replica.is_cold, replica.why
    assert replica.book.bids() == book.bids()
    assert replica.book.asks() == book.asks()
    assert replica.book.book_hash == book.book_hash


def random_rows(dice, count=3):
    """Rows near the middle of a `ladder`; a third of them removals."""
    rows = []
    for _ in range(count):
        is_ask = dice.random() < 0.5
        away = dice.randrange(0, 40)
        rows.append((1_000_001 + away if is_ask else 1_000_000 - away, dice.choice([0, 1, 7]), is_ask))
    return rows


class Overtaken:
    """An image reader whose copies of the live image are always overtaken by an edit."""

    def __init__(self, segment):
        self._reader = ImageReader(segment)

    def copy(self, tries=16):
        return None

    def __getattr__(self, name):
        return getattr(self._reader, name)


# What runs in children


def write_until_told(path, seed, symbols):
    """Collect for as long as lines come; each line is a number of updates to make. Tells version and hash of the first book."""
    with Writer(open_directory(path, create=True), symbols) as writer:
        dice = random.Random(seed)
        for symbol in symbols:
            writer.snapshot(ladder(200, seed), symbol)
        tell([writer.outlet.epoch, writer.keepers[symbols[0]].version, writer.book(symbols[0]).book_hash])
        for line in sys.stdin:
            for number in range(int(line)):
                writer.update(random_rows(dice), symbols[number % len(symbols)])
            for symbol in symbols:
                writer.check(symbol)
            writer.beat()
            tell([writer.outlet.epoch, writer.keepers[symbols[0]].version, writer.book(symbols[0]).book_hash])


def play_until_killed(path, replays, live):
    """Some sets that a replay writes, with the clock of 2025 and at the pace of ours, and some live ones beside them."""
    directory = open_directory(path, create=True)
    writers = [Writer(directory, ("BTC-USD",), name, name, replay=name in replays) for name in (*replays, *live)]
    for writer in writers:
        writer.snapshot(ladder(40))
    tell("playing")
    began_ns = clock.realtime_ns()
    for turn in itertools.count(1):
        now_ns = clock.realtime_ns()
        for writer in writers:
            writer.now_ns = PAST_NS + now_ns - began_ns if writer.outlet.replay else now_ns
            writer.update([(1_000_000, 1 + turn % 7, False)])
            writer.check()
            writer.trades((f"t{turn}", 1_000_000, 5, 0))
            writer.beat()
        time.sleep(0.05)


def move_until_killed(path, exchanges, symbols):
    """A market that never rests: every best price, every ring and every tape changes some twenty times a second."""
    directory = open_directory(path, create=True)
    writers = [Writer(directory, symbols, name, name) for name in exchanges]
    for at, writer in enumerate(writers):
        for symbol in symbols:
            writer.snapshot([(6_000_000 - at - i, 100 + i, False) for i in range(30)], symbol)
            writer.update([(6_000_010 + at + i, 100 + i, True) for i in range(30)], symbol)
    tell("moving")
    for turn in itertools.count(1):
        for at, writer in enumerate(writers):
            writer.now_ns = clock.realtime_ns()
            for symbol in symbols:
                rows = [
                    (6_000_001 + turn % 5, turn % 2 * (100 + turn % 89), False),
                    (6_000_008 - turn % 3 + at, (turn + 1) % 2 * 77, True),
                ]
                writer.update(rows, symbol, exchange_ns=writer.now_ns - 2_000_000 - turn % 977 * 1000)
                writer.check(symbol)
                writer.trades((f"t{turn}", 6_000_000 + turn % 997, 100 + turn % 83, turn % 2), symbol=symbol)
            writer.beat()
        time.sleep(0.05)
