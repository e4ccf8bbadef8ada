"""ccxt beside a simulated Coinbase, its two feeds: `coinbase` (Advanced Trade) and `coinbaseexchange`, whose book needs keys.

What the library does with the real exchange is what it must do here: `coinbase` reports the maker's side of a trade, and looks at no
sequence number, so a lost update goes unnoticed; after a lost connection it connects and subscribes anew.
"""

import asyncio
from decimal import Decimal
from typing import Any

from ccxt import pro
from ccxt_faults import SETTINGS, connection_and_market
from common import Readers, run, until
from faults import Faults, Held

LIBRARY, VERSION = "ccxt", "4.5.90"
RUNS = ("coinbase", "coinbase:exchange")
SYMBOL, OURS = "BTC/USD", "BTC-USD"
OTHER_SIDE = {"buy": "sell", "sell": "buy"}
WANTED_BOOKS, WANTED_TRADES = 40, 20
UNKNOWN = {  # by whether it is Advanced Trade: its method for an order book, a name that is not listed, the exchange's words
    True: ("v3PublicGetBrokerageMarketProductBook", {"product_id": "NOSUCH-USD"}, "NOT_FOUND"),
    False: ("publicGetProductsIdBook", {"id": "NOSUCH-USD"}, "NotFound"),
}


class Watching:
    """The library's streams of one exchange."""

    def __init__(self, exchange, is_advanced):
        self.readers = Readers()
        self.exchange, self.is_advanced = exchange, is_advanced
        self.book: Any = None
        self.book_count = 0
        self.trades: dict[str, tuple[str, Any, Any]] = {}
        self.readers.read(self._trades, self._ticker, *([self._book] if is_advanced else []))

    async def _book(self):
        self.book = await self.exchange.watch_order_book(SYMBOL)
        self.book_count += 1

    async def _trades(self):
        for trade in await self.exchange.watch_trades(SYMBOL):
            self.trades[trade["id"]] = self.trade_of(trade)

    async def _ticker(self):
        await self.exchange.watch_ticker(SYMBOL)  # is read from the library's store: of two frames in a row a task may get one only

    def trade_of(self, trade):
        """(the taker's side, price, size): `coinbase` passes the maker's side on."""
        return OTHER_SIDE[trade["side"]] if self.is_advanced else trade["side"], trade["price"], trade["amount"]


def exchange_of(simulator, is_advanced):
    """The library's exchange with its hosts redirected, nothing else."""
    exchange = (pro.coinbase if is_advanced else pro.coinbaseexchange)(SETTINGS)
    exchange.hostname = simulator.rest_origin.partition("://")[2]
    exchange.urls["api"] = simulator.redirected(exchange.urls["api"])
    return exchange


async def rest(report, simulator, watching):
    """What it asks by REST, while the market stands still."""
    exchange = watching.exchange
    truth, rows = simulator.truth(OURS), simulator.ask("trades", symbol=OURS)
    depth = 50 if watching.is_advanced else 1
    book = await exchange.fetch_order_book(
        SYMBOL, *([depth] if watching.is_advanced else []), params={} if watching.is_advanced else {"level": 1}
    )
    report.equal_books("REST book", truth, book["bids"], book["asks"], depth)
    trades = await exchange.fetch_trades(SYMBOL, limit=50)
    report.equal_trades("REST trades", rows, {one["id"]: watching.trade_of(one) for one in trades})
    ticker = await exchange.fetch_ticker(SYMBOL)
    last = Decimal(str(ticker["last"]))
    report.check("REST ticker", last == Decimal(rows[-1][2]), f"last {last}")
    true = [[Decimal(str(each)) for each in row[:6]] for row in simulator.ask("candles", symbol=OURS, seconds=60)]
    got = [[Decimal(str(each)) for each in row] for row in await exchange.fetch_ohlcv(SYMBOL, "1m")]
    report.check("REST candles", got and got == true, f"{len(got)} candles")
    report.check("REST time", await exchange.fetch_time() > 0)


async def main(simulator, report):
    is_advanced = simulator.exchange == "coinbase"
    exchange = exchange_of(simulator, is_advanced)
    markets = await exchange.load_markets()
    detail = f"{len(markets)} markets, {len(exchange.currencies)} currencies, precision {markets[SYMBOL]['precision']}"
    report.check("markets and currencies", SYMBOL in markets and "USD" in exchange.currencies, detail)
    watching = Watching(exchange, is_advanced)
    filled = await until(
        lambda: (
            (watching.book_count > WANTED_BOOKS or not is_advanced)
            and len(watching.trades) > WANTED_TRADES
            and SYMBOL in exchange.tickers
        ),
        60,
    )
    report.check(
        "streams", filled, f"{watching.book_count} books, {len(watching.trades)} trades, errors {watching.readers.errors[:3]}"
    )
    await asyncio.to_thread(simulator.ask, "freeze")
    await asyncio.sleep(1)
    truth, rows = simulator.truth(OURS), simulator.ask("trades", symbol=OURS)
    if is_advanced:
        report.equal_books("book", truth, watching.book["bids"], watching.book["asks"])
    report.equal_trades("trades and their sides", rows, watching.trades)
    last = exchange.tickers[SYMBOL]["last"]
    report.check("ticker", Decimal(str(last)) == Decimal(rows[-1][2]), f"last {last}")
    await rest(report, simulator, watching)
    await after_faults(report, simulator, watching)


async def after_faults(report, simulator, watching):
    """Nothing but its connection shows it a fault."""
    book = Held(lambda: watching.book_count, lambda: (watching.book["bids"], watching.book["asks"]))
    held = book if watching.is_advanced else Held(lambda: len(watching.trades), None, further=3)
    faults, errors = Faults(simulator, report, OURS, held), watching.readers.errors
    await connection_and_market(
        *(report, faults, watching.exchange, SYMBOL, errors, UNKNOWN[watching.is_advanced]),
        is_open=lambda market: not market["info"]["cancel_only"],  # its own `active` knows no such state
    )


run(main)
