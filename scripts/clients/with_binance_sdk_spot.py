"""binance-sdk-spot, the exchange's official modular SDK, beside a simulator: typed streams and REST answers. It keeps no book."""

import asyncio
from decimal import Decimal

from binance_common.errors import BadRequestError
from binance_sdk_spot.spot import ConfigurationRestAPI, ConfigurationWebSocketStreams, Spot
from common import run, until
from faults import Faults, Held
from spliced import SplicedBook

LIBRARY, VERSION = "binance-sdk-spot", "13.3.0"
RUNS = ("binance",)
NATIVE, OURS, DEPTH = "BTCUSDT", "BTC-USDT", 500


def letters(message):
    """Payload of a typed message, by the letters of the wire."""
    return message.model_dump(by_alias=True) if hasattr(message, "model_dump") else dict(message)


class Seen:
    """What a user's callbacks make of the streams."""

    def __init__(self):
        self.book, self.trades, self.others, self.closed = SplicedBook(), {}, {}, 0

    async def connect(self, sdk):
        connection, symbol = await sdk.websocket_streams.create_connection(), NATIVE.lower()
        connection.on_connection("close", self.on_close)
        (await connection.diff_book_depth(symbol=symbol, update_speed="100ms")).on("message", self.on_depth)
        (await connection.trade(symbol=symbol)).on("message", self.on_trade)
        for name, stream in {
            "aggTrade": await connection.agg_trade(symbol=symbol),
            "bookTicker": await connection.book_ticker(symbol=symbol),
            "kline": await connection.kline(symbol=symbol, interval="1m"),
            "ticker": await connection.ticker(symbol=symbol),
            "miniTicker": await connection.mini_ticker(symbol=symbol),
        }.items():
            stream.on("message", lambda message, name=name: self.others.update({name: letters(message)}))

    def on_close(self):
        self.closed += 1

    def on_depth(self, message):
        self.book.update(letters(message))

    def on_trade(self, message):
        made = letters(message)
        self.trades[str(made["t"])] = ("sell" if made["m"] else "buy", made["p"], made["q"])


async def main(simulator, report):
    sdk = Spot(
        config_rest_api=ConfigurationRestAPI(base_path=simulator.rest_origin),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=simulator.websocket_origin, reconnect_delay=5),
    )
    seen = Seen()
    await seen.connect(sdk)
    await asyncio.to_thread(splice, sdk.rest_api, seen.book)
    book, trades = seen.book, seen.trades
    filled = await until(lambda: book.applied > 60 and len(trades) > 15 and len(seen.others) == 5)
    report.check(
        "streams, subscribed to with text ids", filled, f"{book.applied} updates, {len(trades)} trades, {len(seen.others)} others"
    )
    await asyncio.to_thread(simulator.ask, "freeze")
    await asyncio.sleep(1)
    truth, rows = simulator.truth(OURS), simulator.ask("trades", symbol=OURS)
    report.equal_books("book", truth, book.bids.items(), book.asks.items(), DEPTH)
    report.check("no gap in the update ids", not book.gaps, "")
    report.equal_trades("trades and their sides", rows, trades)
    await asyncio.to_thread(market_data, report, sdk.rest_api, rows)
    await after_faults(report, simulator, sdk, seen)


async def after_faults(report, simulator, sdk, seen):
    """It tells of an end; the numbers are its user's to look at, who fetches a snapshot after a gap, and connects anew."""
    book = seen.book

    async def snapshot():
        book.forget()
        await asyncio.to_thread(splice, sdk.rest_api, book)

    async def again():
        await seen.connect(sdk)
        await snapshot()

    faults = Faults(simulator, report, OURS, Held(lambda: book.applied, lambda: (book.bids.items(), book.asks.items()), DEPTH))
    await faults.strike("gap", "a lost update", lambda: book.gaps, "a step in the update ids", then=snapshot)
    await faults.strike("disconnect", "a lost connection", lambda: seen.closed, "its event `close`", then=again)
    unknown = asyncio.to_thread(sdk.rest_api.depth, symbol="NOSUCHUSDT")
    await report.refused("an unknown symbol is refused", unknown, BadRequestError, "Invalid symbol.")


def splice(rest, book):
    """Begin the book with a snapshot."""
    snapshot = rest.depth(symbol=NATIVE, limit=5000).data()
    book.snapshot({"lastUpdateId": snapshot.last_update_id, "bids": map(tuple, snapshot.bids), "asks": map(tuple, snapshot.asks)})


def market_data(report, rest, rows):
    info = rest.exchange_info().data()
    report.check("exchangeInfo", info.rate_limits and len(info.symbols) > 1, f"{len(info.symbols)} symbols")
    last = Decimal(rows[-1][2])
    candle, made = rest.klines(symbol=NATIVE, interval="1m").data()[-1], rest.get_trades(symbol=NATIVE).data()[-1]
    report.check("REST candles and trades", Decimal(candle[4]) == Decimal(made.price) == last, f"last {last}")


run(main)
