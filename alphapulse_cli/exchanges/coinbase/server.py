"""Common part of Coinbase's two encoders: subscriptions, and the defensive reading of client messages.

    {"type":"subscribe"|"unsubscribe", "product_ids":[…], …channels, each feed in its own way}

A subscription is accepted wholly or refused wholly. Its products are kept under the name of the product whose book they share: an
alias gets that product's frames, as at the real exchange.
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
        """Instrument whose book a product of this name has; None for an unknown product."""
        instrument = self._products.get(name) if isinstance(name, str) else None
        if instrument is None or not instrument.alias_of:
            return instrument
        return self._truth.instruments.get(instrument.alias_of)

    def add(self, channel: str, instruments: Sequence[Instrument]) -> None:
        """Subscribe to a channel's frames of these instruments."""
        held = self._by_channel.setdefault(channel, {})
        held.update((instrument.native, instrument) for instrument in instruments)

    def remove(self, channel: str, instruments: Sequence[Instrument]) -> None:
        """End the subscription to a channel's frames of these instruments."""
        held = self._by_channel.get(channel, {})
        for instrument in instruments:
            held.pop(instrument.native, None)
        if not held:
            self._by_channel.pop(channel, None)

    def products(self, channel: str) -> Sequence[str]:
        """Names of the channel's products."""
        return list(self._by_channel.get(channel, ()))

    def instruments(self, channel: str) -> Sequence[Instrument]:
        """Instruments of the channel."""
        return list(self._by_channel.get(channel, {}).values())

    def channels(self) -> Sequence[str]:
        """Channels with a subscription."""
        return list(self._by_channel)

    def has(self, channel: str, instrument: Instrument) -> bool:
        """Whether the client gets the channel's frames of this instrument."""
        return instrument.native in self._by_channel.get(channel, ())


class Every:
    """Alarm that is due once in so many seconds; the first time at once."""

    def __init__(self, seconds: int) -> None:
        self._period_ns = seconds * SECOND_NS
        self._next_ns = 0

    def is_due(self, now_ns: int) -> bool:
        """Whether the time has come; if it has, the next time is a period later."""
        if now_ns < self._next_ns:
            return False
        self._next_ns = now_ns + self._period_ns
        return True


class Changes:
    """Last trade that a client was told of, by channel and product."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._told: dict[tuple[str, str], str] = {}

    def traded(self, channel: str, instruments: Sequence[Instrument]) -> Sequence[Instrument]:
        """Those that have traded since the last call for the channel; their last trades count as told."""
        found = []
        for instrument in instruments:
            last = self._truth.recent_trades(instrument.symbol, 1)
            key = (channel, instrument.symbol)
            if last and last[0].trade_id != self._told.get(key):
                self._told[key] = last[0].trade_id
                found.append(instrument)
        return found


RATE_REFUSAL = orjson.dumps({"type": "error", "message": "rate limit exceeded"})  # names no product; no real one was ever recorded


def no_product(name: str) -> Instrument:
    """Placeholder instrument of that name, for a channel without products: the confirmation names it."""
    return Instrument("coinbase", name, name, 0, 0)


def client_message(frame: bytes) -> tuple[bool, dict[str, Any]]:
    """Pair (whether it subscribes, the message) of a client's frame; NotAcceptedError for any other frame."""
    try:
        message = orjson.loads(frame)
    except ValueError as error:
        raise NotAcceptedError("Malformed JSON") from error
    if not isinstance(message, dict):
        raise NotAcceptedError("Malformed JSON")
    verb = message.get("type")
    if verb not in ("subscribe", "unsubscribe"):  # hostile: it need not be hashable
        raise NotAcceptedError("Type has to be either subscribe or unsubscribe")
    return verb == "subscribe", message
