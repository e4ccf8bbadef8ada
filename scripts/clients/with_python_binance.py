"""python-binance beside a simulator: its client, its depth cache, its sockets, and the market data that it asks by REST."""

import asyncio
from decimal import Decimal
from typing import Any

from binance import AsyncClient, BinanceSocketManager
from binance.base_client import BaseClient
from binance.exceptions import BinanceAPIException
from binance.ws.depthcache import DepthCacheManager
from common import run, until
from faults import Faults, Held, Said

LIBRARY, VERSION = "python-binance", "1.0.37"
RUNS = ("binance", "binance-us")
NATIVE, OURS, DEPTH = "BTCUSDT", "BTC-USDT", 500
TLDS = {"binance": "com", "binance-us": "us"}


class Seen:
    """What the library delivered."""

    def __init__(self):
        self.cache: Any = None
        self.books, self.begun, self.trades, self.other = 0, 0, {}, {}
        self.errors: list[str] = []

    async def read_book(self, manager):
        async with manager as stream:
            while True:
                cache = await stream.recv()
                if isinstance(cache, dict):  # an error
                    self.errors.append(f"{cache['type']}: {cache['m']}")
                else:
                    self.begun += cache is not self.cache  # it makes a new one whenever it begins anew
                    self.cache, self.books = cache, self.books + 1

    async def read(self, socket):
        async with socket as stream:
            while True:
                payload = await stream.recv()
                payload = payload.get("data", payload)
                if payload.get("e") == "error":
                    self.errors.append(f"{payload['type']}: {payload['m']}")
                elif payload.get("e") == "trade":
                    self.trades[str(payload["t"])] = ("sell" if payload["m"] else "buy", payload["p"], payload["q"])
                else:
                    self.other[payload.get("e") or ("bookTicker" if "B" in payload else "pictures")] = payload

    def book(self):
        """Its levels; those of size zero are left in it by the library, which removes them when it is asked for a float."""
        sides = (self.cache.get_bids(), self.cache.get_asks())
        return [[row for row in rows if row[1]] for rows in sides]


async def main(simulator, report):
    BaseClient.API_URL = f"{simulator.rest_origin}/api"
    client = await AsyncClient.create(tld=TLDS[simulator.exchange])
    report.check("client created (ping, time)", client, "")
    sockets = BinanceSocketManager(client)
    sockets.STREAM_URL = f"{simulator.websocket_origin}/"
    seen = Seen()
    manager = DepthCacheManager(client, NATIVE, bm=sockets, ws_interval=100, limit=1000, conv_type=Decimal)
    several = [f"{NATIVE.lower()}@{suffix}" for suffix in ("aggTrade", "bookTicker", "kline_1m", "ticker", "miniTicker")]
    readers = [
        seen.read_book(manager),
        seen.read(sockets.trade_socket(NATIVE)),
        seen.read(sockets.multiplex_socket(several)),
        seen.read(sockets.depth_socket(NATIVE, depth="5")),
    ]
    tasks = [asyncio.create_task(reader) for reader in readers]
    await until(lambda: seen.books > 60 and len(seen.trades) > 15 and len(seen.other) >= 6)
    detail = f"{seen.books} books, {len(seen.trades)} trades, {', '.join(sorted(seen.other))}"
    report.check("streams named in the URL, bare and combined", len(seen.other) >= 6, detail)
    await asyncio.to_thread(simulator.ask, "freeze")
    await asyncio.sleep(1)
    truth, rows = simulator.truth(OURS), simulator.ask("trades", symbol=OURS)
    report.equal_books("depth cache", truth, *seen.book(), DEPTH)
    report.equal_trades("trades and their sides", rows, seen.trades)
    best = seen.other["bookTicker"]
    found = [[Decimal(best[price]), Decimal(best[size])] for price, size in (("b", "B"), ("a", "A"))]
    report.check("best bid and ask", found == [[Decimal(each) for each in truth[side][0]] for side in ("bids", "asks")], "equal")
    await rest(report, client, truth, rows)
    await after_faults(report, simulator, client, seen)
    for task in tasks:
        task.cancel()


async def after_faults(report, simulator, client, seen):
    """It begins its cache anew; it tells a stream's readers of a lost connection, and connects anew by itself."""
    faults, said = Faults(simulator, report, OURS, Held(lambda: seen.books, seen.book, DEPTH)), Said("binance")
    await faults.strike("gap", "a lost update", lambda: seen.begun, "it began its cache anew")
    await faults.strike("disconnect", "a lost connection", lambda: seen.errors)
    refused = "Failed to connect to websocket: server rejected WebSocket connection: HTTP 503"
    await faults.strike("handshake-503", "maintenance at the next handshake", lambda: said.with_words(refused), refused)

    async def is_open():
        return (await client.get_symbol_info(NATIVE))["status"] == "TRADING"

    await faults.halt(is_open, "in `exchangeInfo`")
    unknown = client.get_order_book(symbol="NOSUCHUSDT")
    await report.refused("an unknown symbol is refused", unknown, BinanceAPIException, "APIError(code=-1121): Invalid symbol.")


async def rest(report, client, truth, rows):
    info = await client.get_symbol_info(NATIVE)
    filters = {each["filterType"]: each for each in info["filters"]}
    found = filters["LOT_SIZE"]["maxQty"], filters["PRICE_FILTER"]["tickSize"]
    report.check("exchangeInfo with its filters", all(found) and info["orderTypes"], f"{len(filters)} filters")
    book = await client.get_order_book(symbol=NATIVE, limit=100)
    report.equal_books("REST book", truth, book["bids"], book["asks"], 100)
    trades = await client.get_recent_trades(symbol=NATIVE, limit=50)
    got = {str(one["id"]): ("sell" if one["isBuyerMaker"] else "buy", one["price"], one["qty"]) for one in trades}
    report.equal_trades("REST trades", rows, got)
    ticker, candles = await client.get_ticker(symbol=NATIVE), await client.get_klines(symbol=NATIVE, interval="1m")
    prices = (ticker["lastPrice"], candles[-1][4])
    report.check("REST ticker and candles", all(Decimal(each) == Decimal(rows[-1][2]) for each in prices), f"last {prices[0]}")


run(main)
