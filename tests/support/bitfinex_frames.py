"""Bitfinex's frames by hand, and a decoder in the middle of its life."""

from typing import Any

import orjson

from alphapulse_cli.exchanges.bitfinex import Decoder
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.requests import Send

NOW = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
BTC = Instrument("bitfinex", "BTC-USD", "tBTCUSD", 0, 8)
ETH = Instrument("bitfinex", "ETH-USD", "tETHUSD", 1, 8)
BOOK_OF, TRADES_OF = {"tBTCUSD": 10092, "tETHUSD": 10093}, {"tBTCUSD": 17470, "tETHUSD": 17471}
BOOK_ROWS = [[57000, 3, 0.5], [56999, 1, 1.2], [57001, 2, -0.7]]  # of the documentation


def frame(*parts: Any) -> bytes:
    """Data frame of these parts."""
    return orjson.dumps(parts)


def event(kind: str, **said: Any) -> bytes:
    """Event of the server."""
    return orjson.dumps({"event": kind, **said})


def ack(channel: str, native: str = "tBTCUSD", number: int = 0) -> bytes:
    """The number of a channel, as the documentation has it."""
    number = number or (BOOK_OF if channel == "book" else TRADES_OF)[native]
    return event("subscribed", channel=channel, chanId=number, symbol=native, pair=native[1:])


def fresh(*instruments: Instrument, channels: Any = ("book", "trades"), depth: int = 0) -> Decoder:
    """A decoder on a new connection, its first requests taken."""
    decoder = Decoder(instruments or (BTC,), set(channels), depth)
    decoder.connected(NOW)
    decoder.pending_requests()
    return decoder


def live(*instruments: Instrument, channels: Any = ("book", "trades")) -> Decoder:
    """A decoder whose books are LIVE; the next number is 100."""
    decoder = fresh(*instruments, channels=channels)
    natives = [each.native for each in instruments or (BTC,)]
    decoder.receive(event("conf", status="OK", flags=229376), NOW)
    number = 100 - len(natives) * len(channels)
    for native in natives:
        for channel in channels:
            decoder.receive(ack(channel, native), NOW)
            rows = BOOK_ROWS if channel == "book" else []
            decoder.receive(frame((BOOK_OF if channel == "book" else TRADES_OF)[native], rows, number, 1700000000000), NOW)
            number += 1
    decoder.pending_requests()
    return decoder


def sent(decoder: Decoder) -> list[Any]:
    """All requests that are queued now: frames as values, others as they are."""
    return [orjson.loads(one.frame) if isinstance(one, Send) else one for one in decoder.pending_requests()]
