"""Shared parts of Coinbase's two encoders: subscriptions, and parsing of client messages.

    {"type":"subscribe"|"unsubscribe", "product_ids":[…], …channels, each feed in its own way}

A subscription is accepted or refused as a whole. Products are stored under the name of the product whose book they share: an alias
gets that product's frames, as at the real exchange.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from alphapulse_cli.exchanges.protocol import Truth
from alphapulse_cli.exchanges.timestamps import SECOND_NS
from alphapulse_cli.market.events import Side
from alphapulse_cli.market.instrument import Instrument

MAKER_WORDS = {Side.BUY: "sell", Side.SELL: "buy"}  # taker side -> the maker's side, as frames name it
TAKER_WORDS = {Side.BUY: "buy", Side.SELL: "sell"}
BATCH_S = 5  # seconds between frames of `ticker_batch`, and of `status`, whose interval is not documented


class NotAcceptedError(ValueError):
    """Refusal of a client's message, answered with the exchange's error; `reason` may be empty."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class Subscriptions:
    """Products by channel, in the order of subscription."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._products = {instrument.native: instrument for instrument in truth.instruments.values()}
        self._by_channel: dict[str, dict[str, Instrument]] = {}

    def find(self, name: object) -> Instrument | None:
        """Instrument whose book that product has (for an alias, the aliased one); None for an unknown product."""
        instrument = self._products.get(name) if isinstance(name, str) else None
        if instrument is None or not instrument.alias_of:
            return instrument
        return self._truth.instruments.get(instrument.alias_of)

    def add(self, channel: str, instruments: Sequence[Instrument]) -> None:
        """Add these instruments to a channel's subscription."""
        held = self._by_channel.setdefault(channel, {})
        held.update((instrument.native, instrument) for instrument in instruments)

    def remove(self, channel: str, instruments: Sequence[Instrument]) -> None:
        """Remove these instruments from a channel's subscription."""
        held = self._by_channel.get(channel, {})
        for instrument in instruments:
            held.pop(instrument.native, None)
        if not held:
            self._by_channel.pop(channel, None)

    def products(self, channel: str) -> Sequence[str]:
        """Names of the products subscribed on a channel."""
        return list(self._by_channel.get(channel, ()))

    def instruments(self, channel: str) -> Sequence[Instrument]:
        """Instruments subscribed on a channel."""
        return list(self._by_channel.get(channel, {}).values())

    def channels(self) -> Sequence[str]:
        """Channels with a subscription."""
        return list(self._by_channel)

    def has(self, channel: str, instrument: Instrument) -> bool:
        """Whether the client is subscribed to this instrument on the channel."""
        return instrument.native in self._by_channel.get(channel, ())


class Every:
    """Periodic timer, due every `seconds`; due at once the first time."""

    def __init__(self, seconds: int) -> None:
        self._period_ns = seconds * SECOND_NS
        self._next_ns = 0

    def is_due(self, now_ns: int) -> bool:
        """Whether the timer is due; if so, it is due again one period later."""
        if now_ns < self._next_ns:
            return False
        self._next_ns = now_ns + self._period_ns
        return True


class Changes:
    """Last trade sent to a client, by channel and product."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._announced: dict[tuple[str, str], str] = {}

    def traded(self, channel: str, instruments: Sequence[Instrument]) -> Sequence[Instrument]:
        """Instruments with a new trade since the last call for the channel."""
        found = []
        for instrument in instruments:
            last = self._truth.recent_trades(instrument.symbol, 1)
            key = (channel, instrument.symbol)
            if last and last[0].trade_id != self._announced.get(key):
                self._announced[key] = last[0].trade_id
                found.append(instrument)
        return found


RATE_REFUSAL = orjson.dumps({"type": "error", "message": "rate limit exceeded"})  # names no product; a real one was never recorded


def no_product(name: str) -> Instrument:
    """Placeholder instrument of that name, for a channel without products: the confirmation names it."""
    return Instrument("coinbase", name, name, 0, 0)


def client_message(frame: bytes) -> tuple[bool, dict[str, Any]]:
    """Parse a client's frame to (whether it subscribes, message); NotAcceptedError for any other frame."""
    try:
        message = orjson.loads(frame)
    except ValueError as error:
        raise NotAcceptedError("Malformed JSON") from error
    if not isinstance(message, dict):
        raise NotAcceptedError("Malformed JSON")
    verb = message.get("type")
    if verb not in ("subscribe", "unsubscribe"):  # hostile: the value may be unhashable
        raise NotAcceptedError("Type has to be either subscribe or unsubscribe")
    return verb == "subscribe", message
