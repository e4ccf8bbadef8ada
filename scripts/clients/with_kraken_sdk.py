"""python-kraken-sdk beside a simulator: its order book client, which verifies every checksum, trades, and REST; a the faults that it must notice."""

import asyncio
from decimal import Decimal

from common import SETTLED_S, differences, run, until
from faults import Faults, Held, Said
from kraken.base_api import SpotClient
from kraken.exceptions import KrakenUnknownAssetError
from kraken.spot import Market, SpotOrderBookClient
from kraken.spot.websocket import SpotWSClientBase

LIBRARY, VERSION = "python-kraken-sdk", "3.5.1"
RUNS = ("kraken",)
PAIR, SYMBOL = "BTC/USD", "BTC-USD"
DEPTH = 10  # its usual one: every level of the book is in its checksum
WANTED_BOOKS, WANTED_TRADES = 40, 10


class Book(SpotOrderBookClient):  # type: ignore[misc]  # the library is in an environment of its own
    """Book client that counts what it is told; the library asks for `on_book_update` to be written."""

    def __init__(self, depth):
        super().__init__(depth=depth)
        self.count, self.invalid, self.complaints = 0, 0, []
        self.trades, self.ticker, self.candle, self.refused = {}, None, None, []

    async def on_message(self, message):
        channel = message.get("channel") if isinstance(message, dict) else None
        refusal = message.get("Error") or (message.get("success") is False and message["error"])
        self.refused += [refusal] if refusal else []
        for row in message["data"] if channel in ("trade", "ticker", "ohlc") else ():
            if channel == "trade":
                self.trades[str(row["trade_id"])] = (row["side"], row["price"], row["qty"])
            elif channel == "ticker":
                self.ticker = row
            else:
                self.candle = row
        await super().on_message(message)

    async def on_book_update(self, pair, message):
        if "error" in message:
            self.complaints.append(message["error"])
            return
        self.count += 1
        self.invalid += not self.get(pair)["valid"]

    def sides(self):
        held = self.get(PAIR) or {"bid": {}, "ask": {}}
        return [[(price, row[0]) for price, row in held[side].items()] for side in ("bid", "ask")]


async def book_of(report, simulator, depth):
    """Fill a book of that depth and compare it while the market stands still."""
    book = Book(depth)
    await book.start()
    for channel in ("trade", "ticker", "ohlc"):
        await book.subscribe(params={"channel": channel, "symbol": [PAIR]})
    await book.add_book(pairs=[PAIR])
    filled = await until(lambda: book.count > WANTED_BOOKS and len(book.trades) > WANTED_TRADES)
    report.check(
        "streams",
        filled and not book.refused,
        f"{book.count} updates, {len(book.trades)} trades, refused {book.refused}",
    )
    await asyncio.to_thread(simulator.ask, "freeze")
    truth, newest = simulator.truth(SYMBOL), simulator.ask("trades", symbol=SYMBOL)[-1]
    await until(lambda: newest[0] in book.trades and not differences(truth, *book.sides(), depth), SETTLED_S)
    report.equal_books("book", truth, *book.sides(), depth)
    report.check("its own checksums", not (book.invalid or book.complaints), f"{book.count} verified, {book.invalid} wrong")
    return book


async def after_faults(report, simulator, book):
    """What it says, of what it notices."""
    said = Said("kraken")
    faults = Faults(simulator, report, SYMBOL, Held(lambda: book.count, book.sides, DEPTH))
    await faults.strike("gap", "a lost update", lambda: book.complaints)
    await faults.strike("checksum", "a wrong checksum", lambda: book.complaints)
    lost, closed = "a lost connection", "no close frame received or sent"
    await faults.strike("disconnect", lost, lambda: said.with_words(closed), "it connects anew")
    maintenance, words = "maintenance at the next handshake", "server rejected WebSocket connection: HTTP 503"
    await faults.strike("handshake-503", maintenance, lambda: said.with_words(words), words)
    await faults.refuse("a refused subscription", lambda: book.add_book(pairs=["ETH/USD"]), lambda: book.refused)
    await book.add_book(pairs=["NOSUCH/USD"])
    refusal = "Currency pair not supported NOSUCH/USD"
    report.check("an unknown pair's book is refused", await until(lambda: refusal in book.refused), f"{book.refused}")
    unknown = asyncio.to_thread(Market().get_order_book, pair="NOSUCHUSD")
    await report.refused("an unknown pair is refused", unknown, KrakenUnknownAssetError, "EQuery:Unknown asset pair")


def rest(report, simulator):
    """What it asks by REST, while the market stands still."""
    market, truth, rows = Market(), simulator.truth(SYMBOL), simulator.ask("trades", symbol=SYMBOL)
    report.check(
        "REST status and time",
        market.get_system_status()["status"] == "online" and market.request("GET", "/0/public/Time", auth=False)["unixtime"] > 0,
    )
    assets, pairs = market.get_assets(assets="XBT,USD"), market.get_asset_pairs(pair=["XBTUSD", "ETH/USD"])
    report.check(
        "REST assets and pairs",
        set(assets) == {"XXBT", "ZUSD"} and set(pairs) == {"XXBTZUSD", "ETH/USD"},
        f"{list(assets)}, {list(pairs)}",
    )
    book = market.get_order_book(pair="XBTUSD", count=50)["XXBTZUSD"]
    report.equal_books("REST book", truth, book["bids"], book["asks"], 50)
    trades = market.get_recent_trades(pair="XBTUSD")["XXBTZUSD"]
    got = {str(row[6]): ({"b": "buy", "s": "sell"}[row[3]], row[0], row[1]) for row in trades}
    report.equal_trades("REST trades", rows, got)
    last = market.get_ticker(pair="XBTUSD")["XXBTZUSD"]["c"][0]
    report.check("REST ticker", Decimal(last) == Decimal(rows[-1][2]), f"last {last}")
    true = [[row[0] // 1000, *map(Decimal, row[1:6])] for row in simulator.ask("candles", symbol=SYMBOL, seconds=60)]
    candles = [[row[0], *map(Decimal, row[1:5]), Decimal(row[6])] for row in market.get_ohlc(pair="XBTUSD")["XXBTZUSD"] if row[7]]
    report.check("REST candles", candles == true, f"{len(candles)} candles")


async def main(simulator, report):
    SpotClient.URL, SpotWSClientBase.WS_URL = simulator.rest_origin, simulator.websocket_origin
    book = await book_of(report, simulator, DEPTH)
    rows = simulator.ask("trades", symbol=SYMBOL)
    report.equal_trades("trades and their sides", rows, book.trades)
    report.check("ticker", Decimal(str(book.ticker["last"])) == Decimal(rows[-1][2]), f"last {book.ticker['last']}")
    candle = simulator.ask("candles", symbol=SYMBOL, seconds=60)[-1]
    newest = [book.candle[field] for field in ("open", "high", "low", "close", "volume", "trades")]
    report.check(
        "candles", [Decimal(str(each)) for each in newest] == [Decimal(str(each)) for each in candle[1:]], f"newest {newest}"
    )
    await asyncio.to_thread(rest, report, simulator)
    await after_faults(report, simulator, book)


run(main)
