"""bitfinex-api-py, Bitfinex's own SDK, beside a simulator: every public channel, the checksums that it asks for, REST; a lost update.

It keeps no book: it hands over levels and checksums. The book here is the one of its own example, with the check of Bitfinex's
documentation. That the connection of its subscriptions is lost it does not notice (findings/bitfinex-sdk-dead-bucket.sh).
"""

import asyncio
from decimal import Decimal
from functools import partial
from typing import Any
from zlib import crc32

from bfxapi import Client
from common import differences, run, until

LIBRARY, VERSION = "bitfinex-api-py", "4.0.0"
RUNS = ("bitfinex",)
NATIVE, SYMBOL = "tBTCUSD", "BTC-USD"
LENGTH = 25  # levels a side: as many as a checksum covers
WANTED_BOOKS, WANTED_TRADES, WANTED_CHECKSUMS = 200, 20, 20
SETTLED_S = 10.0  # in which what was sent is read
MOST_LOST = 5  # updates, for the lost frame may be the checksum itself


class Book:
    """Book of what the library hands over: sizes by price, with the sign that they came with."""

    def __init__(self):
        self.sides: dict[bool, dict[Any, Any]] = {True: {}, False: {}}
        self.count = self.begun = self.right = self.wrong = 0  # levels, snapshots, checksums

    def begin(self, rows):
        """Begin anew with a snapshot."""
        self.begun += 1
        for side in self.sides.values():
            side.clear()
        for row in rows:
            self.put(row)

    def put(self, row):
        side = self.sides[row.amount > 0]
        if row.count:
            side[row.price] = row.amount
        else:
            side.pop(row.price, None)
        self.count += 1

    def rows(self):
        bids, asks = sorted(self.sides[True].items(), reverse=True), sorted(self.sides[False].items())
        return bids, [(price, -amount) for price, amount in asks]

    def check(self, checksum):
        """Compare a checksum with the book's own."""
        bids, asks = (sorted(self.sides[is_bid].items(), reverse=is_bid) for is_bid in (True, False))
        words = []
        for place in range(LENGTH):
            for levels in (bids[place : place + 1], asks[place : place + 1]):
                words += [f"{number_text(price)}:{number_text(amount)}" for price, amount in levels]
        is_right = crc32(":".join(words).encode()) == checksum
        self.right += is_right
        self.wrong += not is_right


def number_text(number):
    """Text that JavaScript gives a number of at least 1e-6: the smallest order is above that."""
    return f"{Decimal(str(number)).normalize():f}"


class Watching:
    """The library's events of one symbol."""

    def __init__(self, client):
        self.book = Book()
        self.trades: dict[str, tuple[str, Any, Any]] = {}
        self.confirmed: dict[str, tuple[str, Any, Any]] = {}
        self.book_id = ""
        self.ticker: Any = None
        self.candle: Any = None
        self.subscribed: list[str] = []
        on = client.wss.on
        on("t_book_snapshot", lambda _, rows: self.book.begin(rows))
        on("t_book_update", lambda _, row: self.book.put(row))
        on("checksum", lambda _, checksum: self.book.check(checksum))
        on("t_trades_snapshot", lambda _, rows: [self._trade(self.trades, row) for row in rows])
        on("t_trade_execution", lambda _, row: self._trade(self.trades, row))
        on("t_trade_execution_update", lambda _, row: self._trade(self.confirmed, row))
        on("t_ticker_update", lambda _, row: setattr(self, "ticker", row))
        on("candles_snapshot", lambda _, rows: setattr(self, "candle", rows[0] if rows else None))
        on("candles_update", lambda _, row: setattr(self, "candle", row))
        on("subscribed", self._on_subscribed)

    def _on_subscribed(self, subscription):
        self.subscribed.append(subscription["channel"])
        if subscription["channel"] == "book":
            self.book_id = subscription["sub_id"]

    def _trade(self, kept, row):
        kept[str(row.id)] = ("buy" if row.amount > 0 else "sell", row.price, abs(row.amount))


async def subscribe(client):
    await client.wss.subscribe("book", symbol=NATIVE, prec="P0", freq="F0", len=str(LENGTH))
    await client.wss.subscribe("trades", symbol=NATIVE)
    await client.wss.subscribe("ticker", symbol=NATIVE)
    await client.wss.subscribe("candles", key=f"trade:1m:{NATIVE}")


def rest(report, simulator, client):
    """What it asks by REST, while the market stands still."""
    public, truth, rows = client.rest.public, simulator.truth(SYMBOL), simulator.ask("trades", symbol=SYMBOL)
    report.check("REST status", public.get_platform_status().status == 1)
    pairs, sizes = public.conf("pub:list:pair:exchange"), dict(public.conf("pub:info:pair"))
    least = min(Decimal(size) for side in ("bids", "asks") for _, size in truth[side])
    report.check(
        "REST pairs, with order sizes that hold for the market",
        NATIVE[1:] in pairs and set(sizes) == set(pairs) and Decimal(sizes[NATIVE[1:]][3]) <= least,
        f"{len(pairs)} pairs, smallest order {sizes[NATIVE[1:]][3]}, smallest level {least}",
    )
    book = public.get_t_book(NATIVE, "P0", len=LENGTH)
    bids, asks = [[(row.price, abs(row.amount)) for row in book if (row.amount > 0) is bid] for bid in (True, False)]
    report.equal_books("REST book", truth, bids, asks, LENGTH)
    got = {str(one.id): ("buy" if one.amount > 0 else "sell", one.price, abs(one.amount)) for one in public.get_t_trades(NATIVE)}
    report.equal_trades("REST trades", rows, got)
    ticker = public.get_t_ticker(NATIVE)
    best = [Decimal(truth["bids"][0][0]), Decimal(truth["asks"][0][0]), Decimal(rows[-1][2])]
    prices = [Decimal(str(each)) for each in (ticker.bid, ticker.ask, ticker.last_price)]
    report.check("REST ticker", prices == best, f"bid, ask, last {ticker.bid}, {ticker.ask}, {ticker.last_price}")
    true = [[Decimal(str(each)) for each in row[:6]] for row in simulator.ask("candles", symbol=SYMBOL, seconds=60)]
    candles = [figures(one) for one in public.get_candles_hist(NATIVE, "1m", sort=1)]
    report.check("REST candles", candles == true, f"{len(candles)} candles")


def figures(candle):
    """Begin, open, high, low, close, size of a candle, exact."""
    return [Decimal(str(getattr(candle, name))) for name in ("mts", "open", "high", "low", "close", "volume")]


async def still(simulator, watching):
    """Let the market stand still, and wait until all was read: the truth."""
    await asyncio.to_thread(simulator.ask, "freeze")
    truth = simulator.truth(SYMBOL)
    await until(lambda: not differences(truth, *watching.book.rows(), LENGTH), SETTLED_S)
    return truth


async def main(simulator, report):
    client = Client(wss_host=simulator.websocket_url, rest_host=f"{simulator.rest_origin}/v2")
    watching = Watching(client)

    client.wss.on("open", partial(subscribe, client))
    running = asyncio.ensure_future(client.wss.start())
    book = watching.book
    filled = await until(
        lambda: book.count > WANTED_BOOKS and len(watching.trades) > WANTED_TRADES and book.right + book.wrong > WANTED_CHECKSUMS
    )
    report.check("streams", filled, f"{book.count} levels, {len(watching.trades)} trades, subscribed to {watching.subscribed}")
    truth = await still(simulator, watching)
    rows = simulator.ask("trades", symbol=SYMBOL)
    await until(lambda: rows[-1][0] in watching.confirmed, SETTLED_S)
    report.equal_books("book", truth, *book.rows(), LENGTH)
    report.check("checksums", book.right and not book.wrong, f"{book.right} verified, {book.wrong} wrong")
    report.equal_trades("trades and their sides", rows, watching.trades)
    report.equal_trades("confirmed trades", rows, watching.confirmed)
    last = Decimal(rows[-1][2])
    report.check("ticker", Decimal(str(watching.ticker.last_price)) == last, f"last {watching.ticker.last_price}")
    newest = [Decimal(str(each)) for each in simulator.ask("candles", symbol=SYMBOL, seconds=60)[-1][:6]]
    report.check("candles", figures(watching.candle) == newest, f"newest {watching.candle.close}")
    await asyncio.to_thread(rest, report, simulator, client)
    await lost_update(report, simulator, client, watching)
    running.cancel()


async def lost_update(report, simulator, client, watching):
    """One update is not sent: the next checksums are not those of the book; a new subscription heals it."""
    book, lost = watching.book, 0
    await asyncio.to_thread(simulator.ask, "thaw")
    while not book.wrong and lost < MOST_LOST:
        lost += 1
        await asyncio.to_thread(simulator.ask, "inject", kind="gap", symbol=SYMBOL)
        await until(lambda: book.wrong, SETTLED_S)
    report.check("a lost update shows in the checksums", book.wrong, f"{book.wrong} wrong of {book.right}, {lost} lost")
    begun = book.begun
    await client.wss.resubscribe(watching.book_id)
    await until(lambda: book.begun > begun)
    book.right = book.wrong = 0
    await until(lambda: book.right + book.wrong > WANTED_CHECKSUMS)
    report.check("and heals by a new subscription", book.right and not book.wrong, f"{book.right} verified, {book.wrong} wrong")


run(main)
