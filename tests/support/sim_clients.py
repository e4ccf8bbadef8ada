"""Raw clients of the simulated exchanges: each protocol in a few lines, with dict books, sharing no code with the decoders.

Numbers are read as decimals. What a client can know to be wrong (a checksum, a sequence) it notes in `wrong`.
"""

import itertools
import json
import zlib
from decimal import Decimal
from typing import Any

from alphapulse_cli.market.instrument import Instrument
from support.sim_parts import DictBook, get, within


class RawClient:
    """One symbol of one exchange."""

    depth: int | None = None  # how much of the truth's book this client can know

    def __init__(self, websocket: Any, exchange: Any, symbol: str) -> None:
        self.websocket, self.exchange, self.symbol = websocket, exchange, symbol
        self.instrument: Instrument = exchange.truth.instruments[symbol]
        self.book = DictBook()
        self.ready = False
        self.frames: list[Any] = []
        self.trades: list[tuple[str, int, int, str]] = []  # id, ticks, lots, what the taker did
        self.wrong: list[str] = []

    def requests(self) -> list[Any]:
        """What to send first."""
        raise NotImplementedError

    def take(self, message: Any) -> None:
        """One frame."""
        raise NotImplementedError

    async def subscribe(self) -> None:
        """Subscribe, and read until the book is there."""
        for request in self.requests():
            await self.websocket.send(json.dumps(request))
        while not self.ready:
            await self.read()

    async def read(self) -> None:
        """One frame; whatever cannot be read is noted."""
        text = await within(self.websocket.recv())
        try:
            message = json.loads(text, parse_float=Decimal)
        except ValueError:
            self.wrong.append("garbage")
            return
        self.frames.append(message)
        self.take(message)

    async def read_until_exact(self) -> None:
        """Read until the book is the truth's, as far as this client can know it; TimeoutError if it never is."""
        while self.book.levels(self.depth) != self.exchange.truth.book(self.symbol, self.depth):
            await self.read()

    def ticks(self, number: Any) -> int:
        """Exact, or a ValueError."""
        return _whole(number, self.instrument.price_decimals)

    def lots(self, number: Any) -> int:
        """Exact, or a ValueError."""
        return _whole(number, self.instrument.size_decimals)

    def put(self, price: Any, size: Any, is_ask: bool) -> None:
        """One level."""
        try:
            self.book.put(self.ticks(price), self.lots(size), is_ask)
        except ValueError:
            self.wrong.append("off grid")


def _whole(number: Any, decimals: int) -> int:
    scaled = Decimal(number).scaleb(decimals)
    if scaled != int(scaled):
        raise ValueError(f"{number} is finer than the grid")
    return int(scaled)


class KrakenClient(RawClient):
    """Kraken v2 at depth 10: cut, then check the CRC32."""

    depth = 10

    def requests(self):
        channel = {"symbol": [self.instrument.native]}
        return [
            {"method": "subscribe", "params": {"channel": "book", "depth": 10, **channel}},
            {"method": "subscribe", "params": {"channel": "trade", "snapshot": False, **channel}},
        ]

    def take(self, message):
        if message.get("channel") == "trade":
            for row in message["data"]:
                self.trades.append((str(row["trade_id"]), self.ticks(row["price"]), self.lots(row["qty"]), row["side"]))
        elif message.get("channel") == "book":
            data = message["data"][0]
            if message["type"] == "snapshot":
                self.book, self.ready = DictBook(), True
            for key, is_ask in (("bids", False), ("asks", True)):
                for row in data[key]:
                    self.put(row["price"], row["qty"], is_ask)
            bids, asks = self.book.levels(10)
            self.book = DictBook(dict(bids), dict(asks))
            if zlib.crc32("".join(f"{ticks}{lots}" for ticks, lots in [*asks, *bids]).encode()) != data["checksum"]:
                self.wrong.append("checksum")
        elif message.get("method") == "mystery":
            self.wrong.append("unknown")


class AdvancedClient(RawClient):
    """Coinbase Advanced Trade: one sequence over all frames of the connection."""

    sequence = -1

    def requests(self):
        products = {"type": "subscribe", "product_ids": [self.instrument.native]}
        return [
            {"type": "subscribe", "channel": "heartbeats"},
            {**products, "channel": "level2"},
            {**products, "channel": "market_trades"},
        ]

    def take(self, message):
        if "sequence_num" not in message:
            self.wrong.append("unknown")
            return
        if message["sequence_num"] != self.sequence + 1:
            self.wrong.append("sequence")
        self.sequence = message["sequence_num"]
        for event in message["events"]:
            if message["channel"] == "l2_data":
                if event["type"] == "snapshot":
                    self.book, self.ready = DictBook(), True
                for row in event["updates"]:
                    self.put(row["price_level"], row["new_quantity"], {"bid": False, "offer": True}[row["side"]])
            elif message["channel"] == "market_trades" and event["type"] == "update":
                for row in sorted(event["trades"], key=lambda row: int(row["trade_id"])):
                    taker = {"BUY": "sell", "SELL": "buy"}[row["side"]]
                    self.trades.append((row["trade_id"], self.ticks(row["price"]), self.lots(row["size"]), taker))


class ExchangeFeedClient(RawClient):
    """Coinbase's Exchange feed: nothing to check by."""

    def requests(self):
        channels = ["level2_batch", "matches", "heartbeat"]
        return [{"type": "subscribe", "product_ids": [self.instrument.native], "channels": channels}]

    def take(self, message):
        if message["type"] == "snapshot":
            self.book, self.ready = DictBook(), True
            for key, is_ask in (("bids", False), ("asks", True)):
                for price, size in message[key]:
                    self.put(price, size, is_ask)
        elif message["type"] == "l2update":
            for side, price, size in message["changes"]:
                self.put(price, size, {"buy": False, "sell": True}[side])
        elif message["type"] == "match":
            taker = {"buy": "sell", "sell": "buy"}[message["side"]]
            self.trades.append((str(message["trade_id"]), self.ticks(message["price"]), self.lots(message["size"]), taker))
        elif message["type"] == "mystery":
            self.wrong.append("unknown")


class BinanceClient(RawClient):
    """Binance: diffs buffered, a REST snapshot, the splice."""

    depth = 5000
    suffix = "depth@100ms"
    last = -1

    def requests(self):
        native = self.instrument.native.lower()
        return [{"method": "SUBSCRIBE", "params": [f"{native}@{self.suffix}", f"{native}@trade"], "id": 1}]

    async def subscribe(self) -> None:
        await self.websocket.send(json.dumps(self.requests()[0]))
        while not any("result" in frame for frame in self.frames):
            await self.read()
        await self.exchange.advance(2)  # so that there is something to drop
        status, body = await get(self.exchange, f"/api/v3/depth?symbol={self.instrument.native}&limit=5000")
        assert status == 200
        self.last = body["lastUpdateId"]
        for key, is_ask in (("bids", False), ("asks", True)):
            for price, size in body[key]:
                self.put(price, size, is_ask)
        self.ready = True

    def take(self, message):
        data = message.get("data", {})
        if data.get("e") == "trade":
            taker = "sell" if data["m"] else "buy"
            self.trades.append((str(data["t"]), self.ticks(data["p"]), self.lots(data["q"]), taker))
        elif data.get("e") == "depthUpdate" and self.ready and data["u"] > self.last:
            if not data["U"] <= self.last + 1 <= data["u"]:
                self.wrong.append("sequence")
            for key, is_ask in (("b", False), ("a", True)):
                for price, size in data[key]:
                    self.put(price, size, is_ask)
            self.last = data["u"]
        elif data.get("e") == "mystery":
            self.wrong.append("unknown")


class PictureClient(BinanceClient):
    """Binance's partial depth: each frame is the whole top 20."""

    depth = 20
    suffix = "depth20@100ms"
    subscribe = RawClient.subscribe

    def take(self, message):
        data = message.get("data", {})
        if "bids" in data:
            self.book, self.ready = DictBook(), True
            for key, is_ask in (("bids", False), ("asks", True)):
                for price, size in data[key]:
                    self.put(price, size, is_ask)
        else:
            super().take(message)


class OkxClient(RawClient):
    """OKX's 400 levels: prevSeqId is the last seqId; trade ids step by their count."""

    depth: int | None = 400
    channel = "books"
    last = -1
    last_trade = -1

    def requests(self):
        channels = (self.channel, "trades")
        return [{"op": "subscribe", "args": [{"channel": each, "instId": self.instrument.native} for each in channels]}]

    def take(self, message):
        channel = message.get("arg", {}).get("channel")
        if channel == "trades" and "data" in message:
            for row in message["data"]:
                number = int(row["tradeId"])
                if self.last_trade >= 0 and number - int(row["count"]) != self.last_trade:
                    self.wrong.append("trade ids")
                self.last_trade = number
                self.trades.append((row["tradeId"], self.ticks(row["px"]), self.lots(row["sz"]), row["side"]))
        elif channel == self.channel and "data" in message:
            self.take_book(message)
        elif message.get("type") == "mystery":
            self.wrong.append("unknown")

    def take_book(self, message):
        [row] = message["data"]
        if message["action"] == "snapshot":
            self.book, self.ready = DictBook(), True
        elif row["prevSeqId"] != self.last:
            self.wrong.append("sequence")
        self.last = row["seqId"]
        for key, is_ask in (("bids", False), ("asks", True)):
            for price, size, _, _ in row[key]:
                self.put(price, size, is_ask)


class Okx5Client(OkxClient):
    """OKX's whole top 5."""

    depth = 5
    channel = "books5"

    def take_book(self, message):
        self.book, self.ready = DictBook(), True
        [row] = message["data"]
        for key, is_ask in (("bids", False), ("asks", True)):
            for price, size, _, _ in row[key]:
                self.put(price, size, is_ask)


class BitfinexClient(RawClient):
    """Bitfinex at length 100: one sequence over all data of the connection, and the signed CRC32 over the text of its numbers."""

    depth = 100
    last = 0

    def __init__(self, *known: Any) -> None:
        super().__init__(*known)
        self.channels: dict[int, str] = {}

    def requests(self):
        native = self.instrument.native
        return [
            {"event": "conf", "flags": 65536 + 131072},
            {"event": "subscribe", "channel": "book", "symbol": native, "len": "100"},
            {"event": "subscribe", "channel": "trades", "symbol": native},
        ]

    def take(self, message):
        if isinstance(message, dict):
            if message.get("event") == "subscribed":
                self.channels[message["chanId"]] = message["channel"]
            elif message.get("type") == "mystery":
                self.wrong.append("unknown")
            return
        if message[-1] != self.last + 1:
            self.wrong.append("sequence")
        self.last = message[-1]
        if self.channels[message[0]] == "trades":
            if message[1] == "te":
                number, _, amount, price = message[2]
                self.trades.append((str(number), self.ticks(price), self.lots(abs(amount)), "sell" if amount < 0 else "buy"))
        elif message[1] == "cs":
            if message[2] != self.checksum():
                self.wrong.append("checksum")
        elif message[1] != "hb":
            if isinstance(message[1][0], list):
                self.book, self.ready = DictBook(), True
            for price, count, amount in message[1] if isinstance(message[1][0], list) else [message[1]]:
                self.put(price, abs(amount) if count else 0, amount < 0)

    def checksum(self):
        tokens = []
        for pair in itertools.zip_longest(*self.book.levels(25)):
            for level, sign in zip(pair, (1, -1), strict=True):
                if level is not None:
                    tokens += [
                        self.text(level[0], self.instrument.price_decimals),
                        self.text(sign * level[1], self.instrument.size_decimals),
                    ]
        crc = zlib.crc32(":".join(tokens).encode())
        return crc - (crc >> 31 << 32)

    @staticmethod
    def text(units, decimals):
        """By way of a double, and of Python's own shortest text of it: the sizes and prices here need no exponent, or a negative one."""
        text = repr(units / 10**decimals)
        return (
            text.removesuffix(".0").replace("e-0", "e-")
            if "e" in text and abs(units) * 10**6 < 10**decimals
            else f"{Decimal(text):f}".removesuffix(".0")
        )


class BybitClient(RawClient):
    """Bybit v5 at depth 50: `u` has no hole."""

    depth = 50
    last = -1

    def requests(self):
        native = self.instrument.native
        return [{"op": "subscribe", "req_id": "1", "args": [f"orderbook.50.{native}", f"publicTrade.{native}"]}]

    def take(self, message):
        if message.get("topic", "").startswith("publicTrade."):
            for row in message["data"]:
                self.trades.append((row["i"], self.ticks(row["p"]), self.lots(row["v"]), row["S"].lower()))
        elif message.get("topic", "").startswith("orderbook."):
            data = message["data"]
            if message["type"] == "snapshot":
                self.book, self.ready = DictBook(), True
            elif data["u"] != self.last + 1:
                self.wrong.append("sequence")
            self.last = data["u"]
            for key, is_ask in (("b", False), ("a", True)):
                for price, size in data[key]:
                    self.put(price, size, is_ask)
        elif "op" not in message:
            self.wrong.append("unknown")


CLIENTS: dict[tuple[str, str], type[RawClient]] = {
    ("kraken", ""): KrakenClient,
    ("coinbase", ""): AdvancedClient,
    ("coinbase", "exchange"): ExchangeFeedClient,
    ("binance-us", ""): BinanceClient,
    ("binance-us", "depth20"): PictureClient,
    ("binance", ""): BinanceClient,
    ("okx", ""): OkxClient,
    ("okx", "books5"): Okx5Client,
    ("bitfinex", ""): BitfinexClient,
    ("bybit", ""): BybitClient,
}
