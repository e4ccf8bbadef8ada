"""cryptofeed beside a simulator, behind TLS: it insists on wss://. Its own checks of sequences and checksums are on."""

import asyncio
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from common import run, until
from cryptofeed import FeedHandler
from cryptofeed.defines import CANDLES, L2_BOOK, TICKER, TRADES
from cryptofeed.exchanges import OKX, Binance, BinanceUS, Bybit, Coinbase, Kraken
from faults import Faults, Held, Said

LIBRARY, VERSION = "cryptofeed", "3.0.1"
RUNS = ("binance", "binance-us", "bybit", "coinbase", "kraken", "okx")
PYTHON, TLS = "3.13", True
FEEDS = {
    "binance": (Binance, "BTC-USDT", 500),
    "binance-us": (BinanceUS, "BTC-USDT", 500),
    "bybit": (Bybit, "BTC-USDT", 200),
    "coinbase": (Coinbase, "BTC-USD", None),
    "kraken": (Kraken, "BTC-USD", 10),
    "okx": (OKX, "BTC-USDT", 400),
}  # class, symbol, levels it holds for sure: None for all
CHANNELS = dict.fromkeys(FEEDS, (CANDLES, TICKER))  # beside books and trades
SEES_GAPS = set(FEEDS) - {"bybit"}  # whose numbers it does not compare
SILENCE = {"timeout": 8, "timeout_interval": 1}  # seconds without a message after which it connects anew, of each look at that
OPTIONS: dict[str, dict[str, Any]] = {
    "coinbase": {"candle_interval": "5m"},  # the only one that Coinbase's channel has
    "kraken": {"checksum_validation": True, "max_depth": 10},  # a checksum covers ten levels: a lost update shows at once
}


def redirected(kind, simulator):
    """The library's feed with its endpoints on this machine."""
    sockets = [replace(one, address=simulator.redirected(one.address)) for one in kind.websocket_endpoints]
    rests = [replace(one, address=simulator.redirected(one.address)) for one in kind.rest_endpoints]
    return type(kind.__name__, (kind,), {"websocket_endpoints": sockets, "rest_endpoints": rests})


class Seen:
    """What its callbacks were given."""

    def __init__(self):
        self.book: Any = None
        self.book_count, self.snapshots, self.trades, self.other = 0, 0, {}, {}

    async def on_book(self, book, _receipt):
        self.book, self.book_count = book, self.book_count + 1
        self.snapshots += book.delta is None

    async def on_trade(self, trade, _receipt):
        self.trades[trade.id] = (trade.side, trade.price, trade.amount)

    async def on_other(self, value, _receipt):
        self.other[type(value).__name__] = value

    def levels(self):
        sides = self.book.book.to_dict()
        return sides["bid"].items(), sides["ask"].items()


async def main(simulator, report):
    kind, symbol, depth = FEEDS[simulator.exchange]
    channels = CHANNELS[simulator.exchange]
    seen = Seen()
    log = str(Path(mkdtemp()) / "cryptofeed.log")
    handler = FeedHandler(config={"log": {"filename": log, "level": "INFO"}, "uvloop": False})
    callbacks = {L2_BOOK: seen.on_book, TRADES: seen.on_trade, **dict.fromkeys(channels, seen.on_other)}
    handler.add_feed(
        redirected(kind, simulator)(
            symbols=[symbol],
            channels=[L2_BOOK, TRADES, *channels],
            callbacks=callbacks,
            **SILENCE,
            **OPTIONS.get(simulator.exchange, {}),
        )
    )
    running = asyncio.create_task(handler.run_async(install_signal_handlers=False))
    filled = await until(lambda: seen.book_count > 60 and len(seen.trades) > 15 and len(seen.other) >= 1)
    detail = f"{seen.book_count} books, {len(seen.trades)} trades, {', '.join(seen.other)}"
    report.check("symbols read, streams behind TLS", filled and not running.done(), detail)
    await asyncio.to_thread(simulator.ask, "freeze")
    await asyncio.sleep(1)
    report.equal_books("book", simulator.truth(symbol), *seen.levels(), depth)
    report.equal_trades("trades and their sides", simulator.ask("trades", symbol=symbol), seen.trades)
    await after_faults(report, simulator, seen, symbol, depth)


async def after_faults(report, simulator, seen, symbol, depth):
    """What it notices by numbers or checksums has it begin the book anew; the rest is in its log, and it connects anew."""
    said, name = Said("cryptofeed"), simulator.exchange
    faults = Faults(simulator, report, symbol, Held(lambda: seen.book_count, seen.levels, depth))
    if name in SEES_GAPS:
        await faults.strike("gap", "a lost update", lambda: seen.snapshots, "it fetched the book anew")
    if name == "kraken":
        await faults.strike("checksum", "a wrong checksum", lambda: said.with_words("BadChecksum"), "BadChecksum")
    lost, closed = "a lost connection", "no close frame received or sent"
    await faults.strike("disconnect", lost, lambda: said.with_words(closed), closed)
    maintenance, refused = "maintenance at the next handshake", "server rejected WebSocket connection: HTTP 503"
    await faults.strike("handshake-503", maintenance, lambda: said.with_words(refused), refused)
    silence = "received no messages within timeout, restarting connection"
    await faults.strike("mute", "a mute connection", lambda: said.with_words(silence), silence)


run(main)
