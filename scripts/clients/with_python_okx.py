"""python-okx, OKX's own SDK, beside a simulator: its public streams, and REST.

It hands frames on as they come, and ends when its connection does. So this program does what its users do: it keeps the book by
`seqId`, subscribes anew after a gap, and connects anew.
"""

import asyncio
import json
from decimal import Decimal
from typing import Any

from common import run, until
from faults import Faults, Held
from okx.MarketData import MarketAPI
from okx.PublicData import PublicAPI
from okx.Status import StatusAPI
from okx.websocket.WsPublicAsync import WsPublicAsync

LIBRARY, VERSION = "python-okx", "0.4.4"
RUNS = ("okx",)
TLS = True
OURS, DEPTH = "BTC-USDT", 400
BOOK = {"channel": "books", "instId": OURS}
CHANNELS = [BOOK, *({"channel": name, "instId": OURS} for name in ("trades", "tickers", "bbo-tbt", "candle1m", "books5"))]
REAL = "0"  # its word for the real market, not that of demo trading
WANTED_BOOKS, WANTED_TRADES = 60, 15


class Program:
    """What a user's callback makes of the frames."""

    def __init__(self, url):
        self.url, self.books, self.gaps = url, 0, 0
        self.client: Any = None
        self.number: int | None = None
        self.sides: dict[str, dict[str, str]] = {"bids": {}, "asks": {}}
        self.trades, self.others, self.errors = {}, {}, []

    async def connect(self):
        self.client = WsPublicAsync(url=self.url)
        self.number, self.reading = None, await self.client.start()
        await self.client.subscribe(CHANNELS, self.on_message, id="all")

    async def subscribe(self, instrument):
        await self.client.subscribe([{**BOOK, "instId": instrument}], self.on_message)

    async def book_again(self):
        self.number = None
        await self.client.unsubscribe([BOOK], self.on_message)
        await self.subscribe(OURS)

    def on_message(self, text):
        message = json.loads(text)
        if message.get("event") == "error":
            self.errors.append(f"{message['code']} {message['msg']}")
        channel = message["arg"]["channel"] if "data" in message else ""
        for row in message.get("data", ()):
            if channel == "books":
                self.on_book(message["action"], row)
            elif channel == "trades":
                self.trades[row["tradeId"]] = (row["side"], row["px"], row["sz"])
            else:
                self.others[channel] = row

    def on_book(self, action, row):
        if action == "snapshot":
            self.sides = {"bids": {}, "asks": {}}
        elif self.number is None:
            return  # it waits for its snapshot
        elif row["prevSeqId"] != self.number:
            self.gaps += 1
            self.number = None
            return
        self.number, self.books = row["seqId"], self.books + 1
        for name, side in self.sides.items():
            side |= {price: size for price, size, *_ in row[name]}
            self.sides[name] = {price: size for price, size in side.items() if size != "0"}

    def levels(self):
        return [list(side.items()) for side in self.sides.values()]


def said(answer):
    """Rows of an answer; an error as one row of its words."""
    return answer["data"] if answer["code"] == "0" else [f"{answer['code']} {answer['msg']}"]


def rest(report, simulator, truth, rows):
    """What it asks by REST, while the market stands still."""
    where = {"flag": REAL, "domain": simulator.rest_origin}
    market, public, status = MarketAPI(**where), PublicAPI(**where), StatusAPI(**where)
    [time] = said(public.get_system_time())
    report.check("REST time and status", int(time["ts"]) > 0 and said(status.status()) == [], f"{time}")
    listed = said(public.get_instruments("SPOT"))
    mine = next(row for row in listed if row["instId"] == OURS)
    report.check(
        "REST instruments", mine["state"] == "live" and mine["tradeQuoteCcyList"] == ["USDT"], f"{len(listed)} instruments"
    )
    others = [said(public.get_instruments(kind)) for kind in ("SWAP", "FUTURES", "OPTION")]
    report.check("REST instruments: none but of the spot market", others == [[], [], []], f"{others}")
    [book] = said(market.get_orderbook(OURS, sz="100"))
    report.equal_books("REST book", truth, book["bids"], book["asks"], 100)
    for what, trades in (("trades", market.get_trades(OURS, "100")), ("past trades", market.get_history_trades(OURS, limit="100"))):
        report.equal_trades(f"REST {what}", rows, {row["tradeId"]: (row["side"], row["px"], row["sz"]) for row in said(trades)})
    [ticker] = said(market.get_ticker(OURS))
    prices = tuple(ticker[name] for name in ("bidPx", "askPx", "last"))
    best = truth["bids"][0][0], truth["asks"][0][0], rows[-1][2]
    report.check("REST ticker", [*map(Decimal, prices)] == [*map(Decimal, best)], f"bid, ask, last {prices}")
    true = [[Decimal(str(each)) for each in row[:6]] for row in simulator.ask("candles", symbol=OURS, seconds=60)]
    candles = [[Decimal(each) for each in row[:6]] for row in reversed(said(market.get_candlesticks(OURS))) if float(row[5])]
    report.check("REST candles", candles and candles == true, f"{len(candles)} candles")
    [refusal] = said(market.get_orderbook("NOSUCH-USDT"))
    wanted = "51001 Instrument ID, Instrument ID code, or Spread ID doesn't exist."
    report.check("an unknown instrument is refused", refusal == wanted, refusal)


def pictures(report, simulator, program, truth, rows):
    """The channels beside the book and the trades, while the market stands still."""
    ticker, best, five = (program.others[name] for name in ("tickers", "bbo-tbt", "books5"))
    report.check("ticker", Decimal(ticker["last"]) == Decimal(rows[-1][2]), f"last {ticker['last']}")
    report.equal_books("best bid and ask", truth, best["bids"], best["asks"], 1)
    report.equal_books("best five", truth, five["bids"], five["asks"], 5)
    true = simulator.ask("candles", symbol=OURS, seconds=60)[-1]
    newest = program.others["candle1m"][:6]
    report.check("candles", [*map(Decimal, newest)] == [Decimal(str(each)) for each in true[:6]], f"newest {newest[4]}")


async def main(simulator, report):
    program = Program(simulator.websocket_url)
    await program.connect()
    filled = await until(lambda: program.books > WANTED_BOOKS and len(program.trades) > WANTED_TRADES and len(program.others) == 4)
    report.check("streams", filled and not program.errors, f"{program.books} books, {len(program.trades)} trades, {program.errors}")
    await asyncio.to_thread(simulator.ask, "freeze")
    truth, rows = simulator.truth(OURS), simulator.ask("trades", symbol=OURS)
    await until(lambda: rows[-1][0] in program.trades and program.number == truth["sequence"])
    report.equal_books("book", truth, *program.levels(), DEPTH)
    report.check("each `prevSeqId` is the last `seqId`", not program.gaps, f"last {program.number}")
    report.equal_trades("trades and their sides", rows, program.trades)
    pictures(report, simulator, program, truth, rows)
    await asyncio.to_thread(rest, report, simulator, truth, rows)
    faults = Faults(simulator, report, OURS, Held(lambda: program.books, program.levels, DEPTH))
    await faults.strike("gap", "a lost update", lambda: program.gaps, "a step in `prevSeqId`", then=program.book_again)
    await faults.strike("disconnect", "a lost connection", lambda: program.errors, then=program.connect)
    await faults.refuse("a refused subscription", lambda: program.subscribe("ETH-USDT"), lambda: program.errors)
    await program.subscribe("NOSUCH-USDT")
    refusal = "60018 Wrong URL or channel:books,instId:NOSUCH-USDT doesn't exist."
    report.check("an unknown instrument's channel is refused", await until(lambda: program.errors[-1].startswith(refusal)), refusal)


run(main)
