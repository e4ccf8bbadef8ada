"""Captures and events for the tests of exports, and the rules of the tools that load them, as far as a wrong file breaks them."""

from dataclasses import replace

import numpy as np

from alphapulse_cli.apps.bench.frames import FEEDS, STARTED_NS
from alphapulse_cli.apps.export.stream import BookEvent, Change, GapEvent, Market, TradeEvent
from alphapulse_cli.book.book import Book
from alphapulse_cli.edges.capture.rows import Kind, Row
from alphapulse_cli.exchanges.kraken.render import trade_json
from alphapulse_cli.market.events import Side, Trade
from alphapulse_cli.wire import delta
from support.captures import tape_rows, write_rows

MARKET = Market("kraken", "kraken", "BTC-USD")
SECOND = 1_000_000_000
EXCH, LOCAL, BUYS, SELLS = 0x8000_0000, 0x4000_0000, 0x2000_0000, 0x1000_0000


def capture(folder, updates=60, start_ns=STARTED_NS):
    """Capture of kraken: a connection with trades, its loss, and another 100 s later whose snapshot heals the gap."""
    feed = next(one for one in FEEDS if one.case == "kraken")
    head, rows, _ = tape_rows(feed, updates, start_ns)
    instrument = head.instruments[0]
    rows = [row for number, row in enumerate(rows) for row in (row, *_trade(instrument, row, number))]
    lost = Row(bytes(Kind.SHUT), rows[-1].time_ns + 1, 1, b'{"reason":"closed"}')
    _, later, _ = tape_rows(feed, updates, start_ns + 100 * SECOND)
    write_rows(folder, replace(head, channels=("book", "trades")), [*rows, lost, *later])
    return folder


def _trade(instrument, row, number):
    """A frame with a trade behind every seventh frame, at its time: sold by the taker, a quarter of a second late."""
    if number < 20 or number % 7:
        return []
    trade = Trade(instrument, str(number), 6_000_000 + number, 100 + number, Side.SELL, row.time_ns - SECOND // 4, False)
    frame = f'{{"channel":"trade","type":"update","data":[{trade_json(trade, row.time_ns)}]}}'
    return [Row(row.kind, row.time_ns, row.connection, frame.encode())]


class Feed:
    """Events of one market, made by hand: `group` changes the book, `snapshot` gives it as a whole."""

    def __init__(self, price_decimals=2, size_decimals=3, market=MARKET):
        self.book = Book(price_decimals, size_decimals)
        self.market, self.version, self.sequence = market, 0, 0

    def snapshot(self, time_ns, bids=None, asks=None, delay_us=0):
        """The whole book; with sides, it becomes these."""
        if bids is not None or asks is not None:
            self.book = Book(self.book.price_decimals, self.book.size_decimals)
            self._set([(*one, False) for one in bids or ()] + [(*one, True) for one in asks or ()])
        self.version += 1
        return self._event(True, [], time_ns, delay_us)

    def group(self, time_ns, *changes, delay_us=0, resynced=False):
        """A group of (ticks, lots, is ask)."""
        made = [Change(ticks, lots, ask, not self.book.size_at(ticks, ask)) for ticks, lots, ask in changes]
        self._set(changes)
        self.version += 1
        return self._event(resynced, made, time_ns, delay_us, resynced)

    def trade(self, time_ns, ticks=100, lots=5, *, exchange_ns=None, side=0, history=False, name="t"):
        """A trade."""
        decimals = self.book.price_decimals, self.book.size_decimals
        self.sequence += 16
        return TradeEvent(self.market, 1, self.sequence, time_ns, exchange_ns, name, side, ticks, lots, *decimals, history)

    def gap(self, time_ns):
        """A gap."""
        return GapEvent(self.market, time_ns, "sequence gap")

    def _set(self, changes):
        self.book.reserve(len(changes))
        for ticks, lots, ask in changes:
            self.book.set(ticks, lots | (delta.IS_ASK if ask else 0))

    def _event(self, is_snapshot, changes, time_ns, delay_us, resynced=False):
        self.sequence += 16
        then = copied(self.book)  # events of a source share their book; these may be kept
        return BookEvent(self.market, is_snapshot, changes, 1, self.sequence, self.version, time_ns, delay_us, resynced, then)


def copied(book):
    """A copy of a book."""
    made = Book(book.price_decimals, book.size_decimals)
    made.reserve(book.bid_count + book.ask_count)
    for side, word in ((book.bids(), 0), (book.asks(), delta.IS_ASK)):
        for ticks, lots in side:
            made.set(ticks, lots | word)
    return made


class HftDepth:
    """Depth as hftbacktest keeps it: a best price that crosses moves the other side's beyond it, until that side is sent again."""

    def __init__(self, tick_size, lot_size):
        self.tick, self.lot = tick_size, lot_size
        self.clear()

    def clear(self):
        """Remove all levels."""
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.best_bid: int | None = None
        self.best_ask: int | None = None

    def take(self, event):
        """Take one event of an array."""
        kind = int(event["ev"]) & 0xFF
        if kind == 3:
            self.clear()
        elif kind in (1, 4):
            ticks, lots = round(event["px"] / self.tick), round(event["qty"] / self.lot)
            (self._bid if int(event["ev"]) & BUYS else self._ask)(ticks, lots)

    def _bid(self, ticks, lots):
        if lots:
            self.bids[ticks] = lots
            if self.best_bid is None or ticks > self.best_bid:
                self.best_bid = ticks
                if self.best_ask is not None and self.best_bid >= self.best_ask:
                    self.best_ask = min((one for one in self.asks if one > ticks), default=None)
        else:
            self.bids.pop(ticks, None)
            if ticks == self.best_bid:
                self.best_bid = max((one for one in self.bids if one < ticks), default=None)

    def _ask(self, ticks, lots):
        if lots:
            self.asks[ticks] = lots
            if self.best_ask is None or ticks < self.best_ask:
                self.best_ask = ticks
                if self.best_bid is not None and self.best_bid >= self.best_ask:
                    self.best_bid = max((one for one in self.bids if one < ticks), default=None)
        else:
            self.asks.pop(ticks, None)
            if ticks == self.best_ask:
                self.best_ask = min((one for one in self.asks if one > ticks), default=None)

    @property
    def sides(self):
        """(bids, asks) that are seen, best first."""
        bids = sorted(((t, q) for t, q in self.bids.items() if self.best_bid is not None and t <= self.best_bid), reverse=True)
        return bids, sorted((t, q) for t, q in self.asks.items() if self.best_ask is not None and t >= self.best_ask)


def hft_books(data, flag, tick_size, lot_size):
    """Books by time after all rows of a processor (EXCH or LOCAL): {ns: (bids, asks)}; its rows have to be in order."""
    clock = "exch_ts" if flag == EXCH else "local_ts"
    rows = data[data["ev"] & np.uint64(flag) != 0]
    assert (np.diff(rows[clock]) >= 0).all(), f"rows of {clock} out of order"
    depth, found = HftDepth(tick_size, lot_size), {}
    for event in rows:
        depth.take(event)
        found[int(event[clock])] = depth.sides
    return found


def books_of(events):
    """Books by time after all book events at that time."""
    return {event.timestamp_ns: (event.book.bids(), event.book.asks()) for event in events if isinstance(event, BookEvent)}
