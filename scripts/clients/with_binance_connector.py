"""binance-connector beside a simulator: streams, both named in the URL and subscribed to, and REST. It keeps no book: spliced.py does."""

import asyncio
import json
from decimal import Decimal

from binance.error import ClientError
from binance.spot import Spot
from binance.websocket.spot.websocket_stream import SpotWebsocketStreamClient
from common import run, wait_until
from faults import Faults, Held
from spliced import SplicedBook

LIBRARY, VERSION = "binance-connector", "3.13.0"
RUNS = ("binance", "binance-us")
NATIVE, OURS, DEPTH = "BTCUSDT", "BTC-USDT", 500


class Seen:
    """Frames by their kind, with whether they came wrapped; a book and trades of them."""

    def __init__(self):
        self.kinds, self.book, self.trades, self.errors = {}, SplicedBook(), {}, []

    def take(self, _, message):
        frame = json.loads(message)
        payload = frame.get("data", frame)
        kind = payload.get("e") or ("bookTicker" if "B" in payload else "answer" if "id" in payload else "picture")
        self.kinds.setdefault((kind, "stream" in frame), payload)
        if kind == "depthUpdate":
            self.book.update(payload)
        elif kind == "trade":
            self.trades[str(payload["t"])] = ("sell" if payload["m"] else "buy", payload["p"], payload["q"])


def connected(simulator, seen, *, is_combined):
    """A connection that is subscribed to everything."""
    client = SpotWebsocketStreamClient(
        stream_url=simulator.websocket_origin,
        on_message=seen.take,
        is_combined=is_combined,
        on_error=lambda _, error: seen.errors.append(f"{type(error).__name__}: {error}"),
    )
    client.diff_book_depth(NATIVE.lower(), speed=100)
    client.trade(NATIVE.lower())
    client.agg_trade(NATIVE.lower())
    client.book_ticker(NATIVE.lower())
    client.kline(NATIVE.lower(), "1m")
    client.ticker(NATIVE.lower())
    client.mini_ticker(NATIVE.lower())
    client.partial_book_depth(NATIVE.lower(), level=5, speed=100)


async def main(simulator, report):
    rest = Spot(base_url=simulator.rest_origin)
    report.check("ping and time", rest.ping() == {} and rest.time()["serverTime"], "")
    bare, combined = Seen(), Seen()
    for seen, is_combined in ((bare, False), (combined, True)):
        connected(simulator, seen, is_combined=is_combined)
    wanted = {"answer", "depthUpdate", "trade", "aggTrade", "bookTicker", "kline", "24hrTicker", "24hrMiniTicker", "picture"}
    for seen, is_combined in ((bare, False), (combined, True)):
        wait_until(lambda seen=seen: wanted <= {kind for kind, _ in seen.kinds})
        seen.book.snapshot(rest.depth(NATIVE, limit=5000))
        wait_until(lambda seen=seen: seen.book.applied > 60 and len(seen.trades) > 15)
        wrapped = {is_wrapped for kind, is_wrapped in seen.kinds if kind != "answer"}
        here = {kind for kind, _ in seen.kinds}
        way = "combined" if is_combined else "bare"
        report.check(
            f"streams, {way}", (here, wrapped) == (wanted, {is_combined}), f"{seen.book.applied} updates, {len(here)} kinds"
        )
    simulator.ask("freeze")
    wait_until(lambda: bare.book.last_id == combined.book.last_id == simulator.truth(OURS)["sequence"], 5)
    truth, rows = simulator.truth(OURS), simulator.ask("trades", symbol=OURS)
    for seen, way in ((bare, "bare"), (combined, "combined")):
        report.equal_books(f"book, {way}", truth, seen.book.bids.items(), seen.book.asks.items(), DEPTH)
        report.equal_trades(f"trades and their sides, {way}", rows, seen.trades)
    report.check("no gap in the update ids", bare.book.gaps == combined.book.gaps == 0, "")
    market_data(report, rest, truth, rows)
    await after_faults(report, simulator, rest, bare, combined)


async def after_faults(report, simulator, rest, bare, combined):
    """It hands frames and errors on; the rest is its user's: a new snapshot after a gap, a new connection after a lost one."""

    async def snapshots():
        for seen in (bare, combined):
            seen.book.forget()
            seen.book.snapshot(await asyncio.to_thread(rest.depth, NATIVE, limit=5000))

    def gaps():
        return bare.book.gaps * combined.book.gaps

    held = Held(lambda: bare.book.applied, lambda: (bare.book.bids.items(), bare.book.asks.items()), DEPTH)
    faults = Faults(simulator, report, OURS, held)
    await faults.strike("gap", "a lost update", gaps, "a step in the update ids", then=snapshots)

    async def connections():
        for seen, is_combined in ((bare, False), (combined, True)):
            connected(simulator, seen, is_combined=is_combined)
        await snapshots()

    await faults.strike("disconnect", "a lost connection", lambda: bare.errors, then=connections)
    unknown = asyncio.to_thread(rest.depth, "NOSUCHUSDT")
    await report.refused("an unknown symbol is refused", unknown, ClientError, "-1121, 'Invalid symbol.'")


def market_data(report, rest, truth, rows):
    info = rest.exchange_info()
    report.check("exchangeInfo", info["rateLimits"] and len(info["symbols"]) > 1, f"{len(info['symbols'])} symbols")
    last = Decimal(rows[-1][2])
    ticker, candle = rest.ticker_24hr(NATIVE), rest.klines(NATIVE, "1m")[-1]
    aggregate, price = rest.agg_trades(NATIVE)[-1], rest.ticker_price(NATIVE)
    prices = [Decimal(each) for each in (ticker["lastPrice"], candle[4], aggregate["p"], price["price"])]
    report.check("REST ticker, candles, aggregate trades, price", set(prices) == {last}, f"last {last}")
    best = rest.book_ticker(symbols=[NATIVE])[0]
    found = [Decimal(best[name]) for name in ("bidPrice", "bidQty", "askPrice", "askQty")]
    report.check("REST best bid and ask", found == [Decimal(each) for side in ("bids", "asks") for each in truth[side][0]], "equal")


run(main)
