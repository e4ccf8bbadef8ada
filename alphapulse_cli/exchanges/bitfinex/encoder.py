"""Server side of a Bitfinex connection: a client's requests in; acks, snapshots, updates, checksums and trades out, from a `Truth`.

The exchange keeps the *client's window*: the best `len` levels per side. After each change of the market the encoder sends a frame
for each level that left the window (a count of 0) or came into it, or has another size. Numbers are JSON numbers as JavaScript
writes them. The flags of `conf` add a sequence number, a time and checksum frames. A checksum follows the snapshot, each
CHECKSUM_EVERY-th update of a book and its heartbeats, since the real exchange sends it now and then.
"""

from collections.abc import Sequence
from typing import Any
from zlib import crc32

import orjson

from alphapulse_cli.exchanges.bitfinex.checksum import book_text, signed
from alphapulse_cli.exchanges.bitfinex.facts import CHANNELS_PER_CONNECTION, FACTS, OB_CHECKSUM, SEQ_ALL, TIMESTAMP, VERSION
from alphapulse_cli.exchanges.bitfinex.figures import NS_PER_MS, SPANS, candle_row, ticker_figures, understood_key
from alphapulse_cli.exchanges.bitfinex.rest import level_row, trade_row
from alphapulse_cli.exchanges.protocol import BOOK, TRADES, Change, Level, NotSimulated, Truth
from alphapulse_cli.market.events import Trade
from alphapulse_cli.market.instrument import Instrument

SERVER_ID = "083bd8d4-aca7-4690-a573-eabfc8103de8"
FIRST_CHANNEL = 4_204_928
HISTORY_TRADES = 30
CHECKSUM_EVERY = 8
HEARTBEAT_NS = 15_000_000_000
TICKER, CANDLES = "ticker", "candles"
SNAPSHOT_CANDLES = 240
PRECISIONS, FREQUENCIES = ("P0",), ("F0",)  # of the simulator; the real exchange also has coarser and slower ones
DEFAULT_LENGTH = "25"

Json = dict[str, Any]


class _Refusal(ValueError):
    """Refusal of a client's request, with the exchange's code."""

    def __init__(self, words: str, code: int) -> None:
        super().__init__(words)
        self.code = code


class _Channel:
    """One subscription of the client: channel number, time of the last frame and, for a book, the client's window."""

    def __init__(self, number: int, depth: int, now_ns: int) -> None:
        self.number, self.depth, self.spoke_ns = number, depth, now_ns
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})  # lots by ticks: bids, asks
        self.until_checksum = CHECKSUM_EVERY
        self.best: list[Sequence[Level]] = []  # of a ticker: best levels as last sent


class Encoder:
    """Encoder of one client's connection; `exchanges.protocol.Encoder`."""

    def __init__(self, truth: Truth, mode: str = "") -> None:
        self._lengths = [str(depth) for depth in FACTS.mode(mode).depths]
        self._truth = truth
        self._by_native = {instrument.native: instrument for instrument in truth.instruments.values()}
        self._channels: dict[tuple[str, str], _Channel] = {}  # by channel and symbol; of candles, by channel and key
        self._next_number = FIRST_CHANNEL
        self._flags = self._sequence = 0
        self.spoil_checksum = False

    def connected(self, now_ns: int) -> Sequence[bytes]:  # noqa: ARG002 - the greeting tells no time
        """Greeting, with the state of the platform."""
        return [orjson.dumps({"event": "info", "version": VERSION, "serverId": SERVER_ID, "platform": {"status": 1}})]

    def receive(self, frame: bytes, now_ns: int) -> Sequence[bytes]:
        """Acks, each followed by its snapshot; Bitfinex's errors; pongs."""
        message: Json = {}
        try:
            request = orjson.loads(frame)
            message = request if isinstance(request, dict) else {}
            return self._answer(message, now_ns)
        except _Refusal as refusal:
            return [_error(message, str(refusal), refusal.code)]
        except (KeyError, TypeError, ValueError, AttributeError):
            return [_error(message, "parameters: invalid", 10000)]

    def update(self, symbol: str, changes: Sequence[Change], now_ns: int) -> Sequence[bytes]:  # noqa: ARG002 - the window is compared
        """Frames of a book change: ticker, one frame per changed level of the client's window, now and then a checksum."""
        ticker, channel = self._channels.get((TICKER, symbol)), self._channels.get((BOOK, symbol))
        tickers = [self._ticker(ticker, symbol, now_ns)] if ticker and ticker.best != [*self._truth.book(symbol, 1)] else []
        if channel is None:
            return tickers
        instrument, frames = self._truth.instruments[symbol], list[bytes]()
        for is_ask, (before, levels) in enumerate(zip(channel.sides, self._truth.book(symbol, channel.depth), strict=True)):
            after = dict(levels)
            removals = [(ticks, 0) for ticks in before if ticks not in after]
            changed = removals + [(ticks, lots) for ticks, lots in levels if before.get(ticks) != lots]
            frames += [self._data(channel, level_row(instrument, level, is_ask=bool(is_ask)), now_ns) for level in changed]
            before.clear()
            before.update(after)
        if not frames:
            return tickers
        channel.until_checksum -= 1
        if channel.until_checksum <= 0 or self.spoil_checksum:
            frames += self._checksum(channel, instrument, now_ns)
        return tickers + frames

    def trades(self, symbol: str, trades: Sequence[Trade], now_ns: int) -> Sequence[bytes]:
        """Frames `te` and `tu` for each trade, oldest first; then the ticker and the candles that they change."""
        frames, channel = list[bytes](), self._channels.get((TRADES, symbol))
        if channel is not None:
            twice = [(trade, word) for trade in trades for word in ("te", "tu")]
            frames = [self._data(channel, f'"{word}",{trade_row(trade, now_ns)}', now_ns) for trade, word in twice]
        ticker = self._channels.get((TICKER, symbol))
        if trades and ticker is not None:
            frames.append(self._ticker(ticker, symbol, now_ns))
        for (name, key), each in self._channels.items() if trades else ():
            length, native = understood_key(key) or ("", "")
            if name == CANDLES and self._by_native[native].symbol == symbol:
                [newest] = self._truth.candles(symbol, SPANS[length], 1)
                frames.append(self._data(each, candle_row(self._truth.instruments[symbol], newest), now_ns))
        return frames

    def trading_status(self, symbol: str, now_ns: int) -> Sequence[bytes]:  # noqa: ARG002
        """Return no frames: Bitfinex has no trading status of a pair."""
        return ()

    def heartbeat(self, now_ns: int) -> Sequence[bytes]:
        """Heartbeats of channels that have been silent for 15 s."""
        silent = [channel for channel in self._channels.values() if now_ns - channel.spoke_ns >= HEARTBEAT_NS]
        return [self._data(channel, '"hb"', now_ns) for channel in silent]

    def refuse_for_now(self, frame: bytes, now_ns: int) -> Sequence[bytes]:  # noqa: ARG002
        """Refusal by a rate limit, in the words of REST: none of the WebSocket was ever recorded."""
        return [_error(orjson.loads(frame), "ratelimit: error", 11010)]

    def restart_sequence(self) -> None:
        """Restart the sequence numbers of this connection."""
        self._sequence = 0

    # Requests

    def _answer(self, message: Json, now_ns: int) -> list[bytes]:
        event = message.get("event")
        if event == "ping":
            return [orjson.dumps({"event": "pong", "ts": now_ns // NS_PER_MS, "cid": message.get("cid")})]
        if event == "conf":
            self._flags = message["flags"] if type(message["flags"]) is int else 0
            return [orjson.dumps({"event": "conf", "status": "OK", "flags": self._flags})]
        if event == "subscribe":
            return self._subscribe(message, now_ns)
        if event == "unsubscribe":
            return [self._unsubscribe(message)]
        raise _Refusal("event: invalid", 10000)

    def _subscribe(self, message: Json, now_ns: int) -> list[bytes]:
        name, native = message["channel"], message.get("symbol")
        if name == CANDLES:
            return self._subscribe_candles(message, now_ns)
        if name not in (BOOK, TRADES, TICKER):
            raise _Refusal("channel: unknown", 10302)
        instrument = self._by_native.get(native) if isinstance(native, str) else None
        if instrument is None:
            raise _Refusal("symbol: invalid", 10300)
        if (name, instrument.symbol) in self._channels:
            raise _Refusal("subscribe: dup", 10301)
        if len(self._channels) >= CHANNELS_PER_CONNECTION:
            raise _Refusal("subscribe: limit", 10305)
        ack: Json = {"event": "subscribed", "channel": name, "chanId": self._next_number, "symbol": native}
        if name == BOOK:
            length = str(message.get("len", DEFAULT_LENGTH))
            if message.get("prec", PRECISIONS[0]) not in PRECISIONS or message.get("freq", FREQUENCIES[0]) not in FREQUENCIES:
                raise _Refusal("prec: invalid", 10011)
            if length not in self._lengths:
                raise _Refusal("len: invalid", 10012)
            ack |= {"prec": PRECISIONS[0], "freq": FREQUENCIES[0], "len": length}
        if "subId" in message:
            ack["subId"] = message["subId"]
        channel = _Channel(self._next_number, int(ack.get("len", 0)), now_ns)
        self._channels[name, instrument.symbol] = channel
        self._next_number += 1
        first = {BOOK: self._first_book, TRADES: self._first_trades, TICKER: self._first_ticker}[name]
        return [
            orjson.dumps({**ack, "pair": instrument.native[1:]}),
            *first(channel, self._truth.instruments[instrument.symbol], now_ns),
        ]

    def _subscribe_candles(self, message: Json, now_ns: int) -> list[bytes]:
        length, native = understood_key(message.get("key")) or ("", "")
        instrument = self._by_native.get(native)
        if instrument is None:
            raise _Refusal("key: invalid", 10300)
        key: str = message["key"]
        if (CANDLES, key) in self._channels:
            raise _Refusal("subscribe: dup", 10301)
        if len(self._channels) >= CHANNELS_PER_CONNECTION:
            raise _Refusal("subscribe: limit", 10305)
        channel = self._channels[CANDLES, key] = _Channel(self._next_number, 0, now_ns)
        self._next_number += 1
        ack: Json = {"event": "subscribed", "channel": CANDLES, "chanId": channel.number, "key": key}
        ack |= {"subId": message["subId"]} if "subId" in message else {}
        past = self._truth.candles(instrument.symbol, SPANS[length], SNAPSHOT_CANDLES)
        rows = ",".join(candle_row(self._truth.instruments[instrument.symbol], each) for each in reversed(past))
        return [orjson.dumps(ack), self._data(channel, f"[{rows}]", now_ns)]

    def _unsubscribe(self, message: Json) -> bytes:
        number = message["chanId"]
        for key, channel in self._channels.items():
            if channel.number == number:
                del self._channels[key]
                return orjson.dumps({"event": "unsubscribed", "status": "OK", "chanId": number})
        raise _Refusal("unsubscribe: invalid", 10401)

    # Frames

    def _first_book(self, channel: _Channel, instrument: Instrument, now_ns: int) -> list[bytes]:
        bids, asks = self._truth.book(instrument.symbol, channel.depth)
        channel.sides = dict(bids), dict(asks)
        levels = [level_row(instrument, level, is_ask=False) for level in bids] + [
            level_row(instrument, level, is_ask=True) for level in asks
        ]
        return [self._data(channel, f"[{','.join(levels)}]", now_ns), *self._checksum(channel, instrument, now_ns)]

    def _first_trades(self, channel: _Channel, instrument: Instrument, now_ns: int) -> list[bytes]:
        past = self._truth.recent_trades(instrument.symbol, HISTORY_TRADES)
        return [self._data(channel, f"[{','.join(trade_row(trade, now_ns) for trade in reversed(past))}]", now_ns)]

    def _first_ticker(self, channel: _Channel, instrument: Instrument, now_ns: int) -> list[bytes]:
        return [self._ticker(channel, instrument.symbol, now_ns)]

    def _ticker(self, channel: _Channel, symbol: str, now_ns: int) -> bytes:
        channel.best = [*self._truth.book(symbol, 1)]
        return self._data(channel, f"[{ticker_figures(self._truth, self._truth.instruments[symbol], now_ns)}]", now_ns)

    def _checksum(self, channel: _Channel, instrument: Instrument, now_ns: int) -> list[bytes]:
        """Checksum of the client's window, if it requested checksums."""
        channel.until_checksum = CHECKSUM_EVERY
        if not self._flags & OB_CHECKSUM:
            return []
        bids, asks = sorted(channel.sides[0].items(), reverse=True), sorted(channel.sides[1].items())
        crc = crc32(book_text(bids, asks, instrument.price_decimals, instrument.size_decimals).encode("ascii"))
        if self.spoil_checksum:
            crc, self.spoil_checksum = crc ^ 1, False
        return [self._data(channel, f'"cs",{signed(crc)}', now_ns)]

    def _data(self, channel: _Channel, content: str, now_ns: int) -> bytes:
        """Data frame: the channel's number, the content, and what the flags ask for."""
        channel.spoke_ns = now_ns
        ending = ""
        if self._flags & SEQ_ALL:
            self._sequence += 1
            ending = f",{self._sequence}"
        if self._flags & TIMESTAMP:
            ending += f",{now_ns // NS_PER_MS}"
        return f"[{channel.number},{content}{ending}]".encode("ascii")


NOT_SIMULATED: Sequence[NotSimulated] = (
    (
        "funding, derivatives, liquidations: symbols `f…`, `t…F0:…F0`, channel `status`",
        "refused: symbol: invalid, channel: unknown",
    ),
    (
        "precisions P1 to P4 and R0, frequency F1 of the channel `book`",
        "refused: prec: invalid (10011); R0 by REST: a level as one order",
    ),
    ("the number of orders of a level", "1 to 5, made of its size"),
    (
        "margins, labels, networks and fees of `conf`; every pair's own largest order",
        "null or empty lists; one that fits its price",
    ),
    ("REST paths other than tickers, ticker, trades, book, candles, conf and platform/status", "404"),
)


def _error(message: Json, words: str, code: int) -> bytes:
    echoed = {key: message[key] for key in ("channel", "symbol", "chanId") if key in message}
    return orjson.dumps({"event": "error", "msg": words, "code": code, **echoed})
