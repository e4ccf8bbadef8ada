"""pybit, Bybit's own SDK, beside a simulator: its streams and the books that it keeps of them, and REST.

It keeps a book by itself, but looks at no number: what is lost shows in `u` of what it hands on, and this program counts the steps as
its users must. It has one address in the source for all; the names of both are set here, as its users do for a host of their own.
"""

import asyncio
import os
import time
from decimal import Decimal
from typing import Any

import pybit.unified_trading
from common import run, until, wait_until
from faults import Faults, Held, Said
from pybit.exceptions import InvalidRequestError

LIBRARY, VERSION = "pybit", "5.17.0"
RUNS = ("bybit",)
TLS = True
NATIVE, OURS, DEPTH = "BTCUSDT", "BTC-USDT", 50
SPOT = {"category": "spot"}
WANTED_BOOKS, WANTED_TRADES = 60, 15
CONNECTED_S = 5.0


class Program:
    """What a user's callbacks make of the streams."""

    def __init__(self):
        self.books, self.number, self.steps = 0, 0, 0
        self.sides: list[Any] = [[], []]
        self.trades: dict[str, tuple[Any, ...]] = {}
        self.ticker: Any = None
        self.candle: Any = None

    def on_book(self, message):
        book = message["data"]  # goes on changing: all callbacks share one
        self.steps += self.books > 0 and book["u"] > self.number + 1
        self.number, self.books = book["u"], self.books + 1
        self.sides = [list(map(tuple, book[side])) for side in ("b", "a")]

    def on_trade(self, message):
        self.trades |= {row["i"]: (row["S"], row["p"], row["v"]) for row in message["data"]}

    def on_ticker(self, message):
        self.ticker = dict(message["data"])

    def on_candle(self, message):
        self.candle = message["data"][0]


def connected(program):
    """A connection with all of the program's streams.

    The library sends a request before it knows the callback. Where an answer comes sooner than that, as it can on one machine, it ends
    the connection, and one begins anew.
    """
    for _ in range(3):
        client = pybit.unified_trading.WebSocket("spot", testnet=False, ping_interval=5, ping_timeout=3)
        client.orderbook_stream(DEPTH, NATIVE, program.on_book)
        client.trade_stream(NATIVE, program.on_trade)
        client.ticker_stream(NATIVE, program.on_ticker)
        client.kline_stream(1, NATIVE, program.on_candle)
        if wait_until(lambda: program.books and program.ticker, CONNECTED_S) and client.is_connected():
            return client
        client.exit()
    raise ConnectionError("no connection lasted")


async def rest(report, simulator, client, truth, rows):
    """What it asks by REST, while the market stands still."""
    answer = client.get_server_time()["result"]
    report.check("REST time", abs(int(answer["timeSecond"]) - time.time()) < 60, answer["timeSecond"])
    listed = client.get_instruments_info(**SPOT)["result"]["list"]
    mine = next(row for row in listed if row["symbol"] == NATIVE)
    report.check("REST instruments", mine["status"] == "Trading" and mine["priceFilter"]["tickSize"], f"{len(listed)} instruments")
    none = client.get_instruments_info(**SPOT, symbol="NOSUCHUSDT")["result"]["list"]
    report.check("REST instruments: none of an unknown name", none == [], f"{none}")
    book = client.get_orderbook(**SPOT, symbol=NATIVE, limit=100)["result"]
    report.equal_books("REST book", truth, book["b"], book["a"], 100)
    trades = client.get_public_trade_history(**SPOT, symbol=NATIVE, limit=60)["result"]["list"]
    report.equal_trades("REST trades", rows, {row["execId"]: (row["side"], row["price"], row["size"]) for row in trades})
    [ticker] = client.get_tickers(**SPOT, symbol=NATIVE)["result"]["list"]
    prices = tuple(ticker[name] for name in ("bid1Price", "ask1Price", "lastPrice"))
    best = truth["bids"][0][0], truth["asks"][0][0], rows[-1][2]
    report.check("REST ticker", [*map(Decimal, prices)] == [*map(Decimal, best)], f"bid, ask, last {prices}")
    true = [[Decimal(str(each)) for each in row[:6]] for row in simulator.ask("candles", symbol=OURS, seconds=60)]
    candles = client.get_kline(**SPOT, symbol=NATIVE, interval="1")["result"]["list"]
    found = [[Decimal(each) for each in row[:6]] for row in reversed(candles) if float(row[5])]
    report.check("REST candles", found and found == true, f"{len(found)} candles")
    await report.refused(
        "an unknown symbol is refused",
        asyncio.to_thread(client.get_orderbook, **SPOT, symbol="NOSUCHUSDT"),
        InvalidRequestError,
        "params error: symbol invalid (ErrCode: 10001)",
    )


async def main(simulator, report):
    pybit.unified_trading.PUBLIC_WSS = f"{simulator.websocket_origin}/v5/public/{{CHANNEL_TYPE}}"
    client = pybit.unified_trading.HTTP()
    client.endpoint = simulator.rest_origin
    client.client.verify = os.environ["SSL_CERT_FILE"]  # its session reads no variable
    said, program = Said("pybit"), Program()
    streams = await asyncio.to_thread(connected, program)
    filled = await until(lambda: program.books > WANTED_BOOKS and len(program.trades) > WANTED_TRADES and program.candle)
    report.check("streams", filled, f"{program.books} books, {len(program.trades)} trades, said {said.lines}")
    await asyncio.to_thread(simulator.ask, "freeze")
    truth, rows = simulator.truth(OURS), simulator.ask("trades", symbol=OURS)
    await until(lambda: rows[-1][0] in program.trades)
    report.equal_books("book", truth, *program.sides, DEPTH)
    report.check("no step in its numbers", not program.steps, f"last {program.number}")
    report.equal_trades("trades and their sides", rows, program.trades)
    report.check("ticker", Decimal(program.ticker["lastPrice"]) == Decimal(rows[-1][2]), f"last {program.ticker['lastPrice']}")
    true = simulator.ask("candles", symbol=OURS, seconds=60)[-1]
    newest = [program.candle[name] for name in ("start", "open", "high", "low", "close", "volume")]
    report.check("candles", [Decimal(str(each)) for each in newest] == [Decimal(str(each)) for each in true[:6]], f"{newest[4]}")
    await rest(report, simulator, client, truth, rows)
    await after_faults(report, simulator, program, streams, said)


async def after_faults(report, simulator, program, streams, said):
    """Lost connections, which it makes anew by itself; a lost update, after which this program does, and an unknown symbol."""
    held = Held(lambda: program.books, lambda: program.sides, DEPTH)
    faults = Faults(simulator, report, OURS, held)
    await faults.strike("disconnect", "a lost connection", lambda: said.with_words("encountered error"))
    await faults.strike("sequence-reset", "a restarted service", lambda: int(program.number < 10**4), "a book with `u` from 1 on")

    def again():
        streams.exit()
        connected(program)

    await faults.strike("gap", "a lost update", lambda: program.steps, "a step in `u`", then=lambda: asyncio.to_thread(again))
    other = pybit.unified_trading.WebSocket("spot", testnet=False)
    other.orderbook_stream(DEPTH, "NOSUCHUSDT", program.on_book)
    refusal = f"Invalid symbol :[orderbook.{DEPTH}.NOSUCHUSDT]"
    report.check("an unknown topic is refused", await until(lambda: said.with_words(refusal)), refusal)


run(main)
