"""binance-sdk-spot, the exchange's official modular SDK, beside a simulator: typed streams and REST answers. It keeps no book."""

import asyncio
from decimal import Decimal

from binance_sdk_spot.spot import ConfigurationRestAPI, ConfigurationWebSocketStreams, Spot
from common import run, until
from spliced import SplicedBook

LIBRARY, VERSION = "binance-sdk-spot", "13.3.0"
RUNS = ("binance",)
NATIVE, OURS, DEPTH = "BTCUSDT", "BTC-USDT", 500


def letters(message):
    """Payload of a typed message, by the letters of the wire."""
    return message.model_dump(by_alias=True) if hasattr(message, "model_dump") else dict(message)


async def main(simulator, report):
    sdk = Spot(
        config_rest_api=ConfigurationRestAPI(base_path=simulator.rest_origin),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=simulator.websocket_origin, reconnect_delay=5),
    )
    book, trades, seen = SplicedBook(), {}, {}

    def on_depth(message):
        book.update(letters(message))

    def on_trade(message):
        made = letters(message)
        trades[str(made["t"])] = ("sell" if made["m"] else "buy", made["p"], made["q"])

    def keeper(name):
        return lambda message: seen.update({name: letters(message)})

    connection = await sdk.websocket_streams.create_connection()
    (await connection.diff_book_depth(symbol=NATIVE.lower(), update_speed="100ms")).on("message", on_depth)
    (await connection.trade(symbol=NATIVE.lower())).on("message", on_trade)
    for name, stream in {
        "aggTrade": await connection.agg_trade(symbol=NATIVE.lower()),
        "bookTicker": await connection.book_ticker(symbol=NATIVE.lower()),
        "kline": await connection.kline(symbol=NATIVE.lower(), interval="1m"),
        "ticker": await connection.ticker(symbol=NATIVE.lower()),
        "miniTicker": await connection.mini_ticker(symbol=NATIVE.lower()),
    }.items():
        stream.on("message", keeper(name))
    snapshot = await asyncio.to_thread(lambda: sdk.rest_api.depth(symbol=NATIVE, limit=5000).data())
    book.snapshot({"lastUpdateId": snapshot.last_update_id, "bids": map(tuple, snapshot.bids), "asks": map(tuple, snapshot.asks)})
    filled = await until(lambda: book.applied > 60 and len(trades) > 15 and len(seen) == 5)
    report.check(
        "streams, subscribed to with text ids", filled, f"{book.applied} updates, {len(trades)} trades, {len(seen)} others"
    )
    await asyncio.to_thread(simulator.ask, "freeze")
    await asyncio.sleep(1)
    truth, rows = simulator.truth(OURS), simulator.ask("trades", symbol=OURS)
    report.equal_books("book", truth, book.bids.items(), book.asks.items(), DEPTH)
    report.check("no gap in the update ids", not book.gaps, "")
    report.equal_trades("trades and their sides", rows, trades)
    await asyncio.to_thread(market_data, report, sdk.rest_api, rows)
    await asyncio.to_thread(simulator.ask, "thaw")
    await asyncio.to_thread(simulator.ask, "inject", kind="gap", symbol=OURS)
    report.check("a lost update shows in the update ids", await until(lambda: book.gaps), f"{book.gaps} gap")


def market_data(report, rest, rows):
    info = rest.exchange_info().data()
    report.check("exchangeInfo", info.rate_limits and len(info.symbols) > 1, f"{len(info.symbols)} symbols")
    last = Decimal(rows[-1][2])
    candle, made = rest.klines(symbol=NATIVE, interval="1m").data()[-1], rest.get_trades(symbol=NATIVE).data()[-1]
    report.check("REST candles and trades", Decimal(candle[4]) == Decimal(made.price) == last, f"last {last}")


run(main)
