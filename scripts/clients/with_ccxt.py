"""ccxt.pro beside a simulator: markets, an exact book, trades, tickers and candles, and a fault that it must notice."""

import asyncio
from decimal import Decimal
from typing import Any

from ccxt import pro
from ccxt_faults import SETTINGS, connection_and_market
from common import SETTLED_S, Readers, differences, run, until
from faults import Faults, Held

LIBRARY, VERSION = "ccxt", "4.5.90"
RUNS = ("binance", "binance-us", "bitfinex", "kraken", "bybit", "okx")
CLASSES = {"binance-us": "binanceus"}  # the library's name of an exchange, where it is another
SYMBOLS = {"kraken": "BTC/USD"}
USUAL_SYMBOL = "BTC/USDT"
DEPTHS = {"bitfinex": 25, "kraken": 10, "bybit": 50, "okx": 400}  # levels a side that it holds for sure
USUAL_DEPTH = 500  # it begins with a snapshot of a thousand
NO_HEALING = {"bitfinex"}  # after a wrong checksum it has no snapshot: findings/ccxt-bitfinex-forgets.sh
NO_BEST = {  # where it cannot watch the best levels beside the rest
    "bitfinex",  # it does not offer them
    "bybit",  # they are of a topic of their own, and replace its book of the same symbol
    "kraken",  # only the first of ticker and best levels is subscribed to, so the best levels would come with trades alone
}
SPOT = {"fetchMarkets": {"types": ["spot"]}}  # its derivatives have hosts of their own
OPTIONS = {"binance": SPOT, "binanceus": SPOT}
WANTED_BOOKS, WANTED_TRADES = 60, 20
GAPS = {"okx": "InvalidNonce", "binance": "ChecksumError", "binance-us": "ChecksumError"}  # its exception for a lost update
TOO_SOON = {"bybit": "ExchangeError: bybit Too many visits", "okx": "RateLimitExceeded: "}  # where it sees a refused subscription
UNKNOWN = {  # its method for an order book, a name that is not listed, the exchange's words
    "binance": ("publicGetDepth", {"symbol": "NOSUCHUSDT"}, '{"code":-1121,"msg":"Invalid symbol."}'),
    "binance-us": ("publicGetDepth", {"symbol": "NOSUCHUSDT"}, '{"code":-1121,"msg":"Invalid symbol."}'),
    "bybit": ("publicGetV5MarketOrderbook", {"category": "spot", "symbol": "NOSUCHUSDT"}, "params error: symbol invalid"),
    "kraken": ("publicGetDepth", {"pair": "NOSUCHUSD"}, "EQuery:Unknown asset pair"),
    "okx": ("publicGetMarketBooks", {"instId": "NOSUCH-USDT"}, "Instrument ID, Instrument ID code, or Spread ID doesn't exist."),
}


class Watching:
    """The library's streams of one symbol. What it holds is read from its own stores: of two frames in a row a task may get one only."""

    def __init__(self, exchange, symbol):
        self.readers = Readers()
        self.exchange, self.symbol = exchange, symbol
        self.book: Any = None
        self.book_count = 0
        self.trades: dict[str, tuple[str, Any, Any]] = {}
        self.readers.read(self._book, self._trades)

    async def _book(self):
        self.book = await self.exchange.watch_order_book(self.symbol)
        self.book_count += 1

    def holds(self, truth, depth):
        """Whether the book is the true one by now."""
        return not differences(truth, self.book["bids"], self.book["asks"], depth)

    def exact(self, newest, *fields):
        """Exact numbers of the newest ticker or best levels; none where there is none yet."""
        found = newest.get(self.symbol)
        return [Decimal(str(found[field])) for field in fields if found and found[field] is not None]

    def candles(self):
        """Rows of the candles of a minute."""
        return [[Decimal(str(each)) for each in row] for row in self.exchange.ohlcvs.get(self.symbol, {}).get("1m", ())]

    async def _trades(self):
        for trade in await self.exchange.watch_trades(self.symbol):
            self.trades[trade["id"]] = (trade["side"], trade["price"], trade["amount"])

    async def watch_ticker(self):
        await self.exchange.watch_ticker(self.symbol)

    async def watch_candles(self):
        await self.exchange.watch_ohlcv(self.symbol, "1m")

    async def watch_another(self):
        await self.exchange.watch_order_book(self.symbol.replace("BTC", "ETH"))

    async def watch_best(self):
        await self.exchange.watch_bids_asks([self.symbol])


def exchange_of(simulator):
    """The library's exchange with its hosts redirected, nothing else."""
    name = CLASSES.get(simulator.exchange, simulator.exchange)
    exchange = getattr(pro, name)(SETTINGS | {"options": OPTIONS.get(name, {})})
    exchange.urls["api"] = simulator.redirected(exchange.urls["api"])
    return exchange


async def rest(report, simulator, exchange, symbol):
    """What it asks by REST, while the market stands still."""
    ours = symbol.replace("/", "-")
    truth, rows = simulator.truth(ours), simulator.ask("trades", symbol=ours)
    book = await exchange.fetch_order_book(symbol, 100)
    report.equal_books("REST book", truth, book["bids"], book["asks"], 100)
    trades = await exchange.fetch_trades(symbol, limit=50)
    report.equal_trades("REST trades", rows, {one["id"]: (one["side"], one["price"], one["amount"]) for one in trades})
    ticker = await exchange.fetch_ticker(symbol)
    last = Decimal(rows[-1][2])
    prices = (ticker["bid"], ticker["ask"], ticker["last"])
    best = (Decimal(truth["bids"][0][0]), Decimal(truth["asks"][0][0]), last)
    report.check("REST ticker", tuple(Decimal(str(each)) for each in prices) == best, f"bid, ask, last {prices}")
    true = [[Decimal(str(each)) for each in row[:6]] for row in simulator.ask("candles", symbol=ours, seconds=60)]
    got = [[Decimal(str(each)) for each in row] for row in await exchange.fetch_ohlcv(symbol, "1m") if row[5]]
    report.check("REST candles", got and got == true, f"{len(got)} candles")


async def main(simulator, report):
    symbol, depth = SYMBOLS.get(simulator.exchange, USUAL_SYMBOL), DEPTHS.get(simulator.exchange, USUAL_DEPTH)
    ours = symbol.replace("/", "-")
    exchange = exchange_of(simulator)
    markets = await exchange.load_markets()
    report.check("markets", symbol in markets, f"{len(markets)} markets, {symbol} precision {markets[symbol]['precision']}")
    watching = Watching(exchange, symbol)
    watching.readers.read(watching.watch_ticker, watching.watch_candles)
    if simulator.exchange not in NO_BEST:
        watching.readers.read(watching.watch_best)
    filled = await until(lambda: watching.book_count > WANTED_BOOKS and len(watching.trades) > WANTED_TRADES)
    report.check(
        "streams", filled, f"{watching.book_count} books, {len(watching.trades)} trades, errors {watching.readers.errors[:3]}"
    )
    await asyncio.to_thread(simulator.ask, "freeze")
    truth, rows = simulator.truth(ours), simulator.ask("trades", symbol=ours)
    await until(lambda: rows[-1][0] in watching.trades and watching.holds(truth, depth), SETTLED_S)
    report.equal_books("book", truth, watching.book["bids"], watching.book["asks"], depth)
    report.equal_trades("trades and their sides", rows, watching.trades)
    last = Decimal(rows[-1][2])
    report.check("ticker", await until(lambda: watching.exact(exchange.tickers, "last") == [last], SETTLED_S), f"last {last}")
    if simulator.exchange not in NO_BEST:
        best = [Decimal(truth[side][0][0]) for side in ("bids", "asks")]
        report.check(
            "best bid and ask", await until(lambda: watching.exact(exchange.bidsasks, "bid", "ask") == best, SETTLED_S), f"{best}"
        )
    candle = [Decimal(str(each)) for each in simulator.ask("candles", symbol=ours, seconds=60)[-1][:6]]

    report.check(
        "candles", await until(lambda: candle in watching.candles(), SETTLED_S), f"newest {candle[4]}"
    )  # they come each other second
    await rest(report, simulator, exchange, symbol)
    await after_faults(report, simulator, watching, ours, depth)


async def after_faults(report, simulator, watching, ours, depth):
    """Books of Kraken and Bybit it does not check; a refusal by Kraken it does not see, and at Binance it connects for each book."""
    name, errors = simulator.exchange, watching.readers.errors
    held = Held(lambda: watching.book_count, lambda: (watching.book["bids"], watching.book["asks"]), depth)
    faults = Faults(simulator, report, ours, held)
    if name in NO_HEALING:
        await wrong_checksum(report, simulator, watching, ours)
        return
    if name in GAPS:
        await faults.strike("gap", "a lost update", lambda: [error for error in errors if GAPS[name] in error])
    await connection_and_market(report, faults, watching.exchange, watching.symbol, errors, UNKNOWN[name])

    async def another():
        watching.readers.read(watching.watch_another)

    if name in TOO_SOON:
        words = f"watch_another: {TOO_SOON[name]}"
        await faults.refuse("a refused subscription", another, lambda: [error for error in errors if words in error])


async def wrong_checksum(report, simulator, watching, ours):
    """A checksum is wrong: the library must say so. Its book is not compared any more."""
    await asyncio.to_thread(simulator.ask, "thaw")
    await asyncio.to_thread(simulator.ask, "inject", kind="checksum", symbol=ours)
    found = await until(lambda: any("ChecksumError" in error for error in watching.readers.errors))
    report.check("a wrong checksum is noticed", found, "ChecksumError" if found else f"raised: {watching.readers.errors}")


run(main)
