"""What both of Coinbase's encoders share: who is subscribed to what, and the client's messages read as a server must: warily.

    {"type":"subscribe"|"unsubscribe", "product_ids":[…], …channels, each feed in its own way}

A subscription is taken whole or refused whole. Its products are kept under the name of the product whose book they share: an alias
gets that product's frames, as with the real one.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from alphapulse_cli.exchanges.protocol import Truth
from alphapulse_cli.market.events import Side
from alphapulse_cli.market.instrument import Instrument

MAKER_WORDS = {Side.BUY: "sell", Side.SELL: "buy"}  # what the taker did, in the maker's word


class NotAcceptedError(ValueError):
    """A client's message that gets the exchange's error for an answer; `reason` may be empty."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class Subscriptions:
    """Products by channel, in the order in which they were subscribed to."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._products = {instrument.native: instrument for instrument in truth.instruments.values()}
        self._by_channel: dict[str, dict[str, Instrument]] = {}

    def find(self, name: object) -> Instrument | None:
        """The instrument whose book a product of this name has; None for a product that there is not."""
        instrument = self._products.get(name) if isinstance(name, str) else None
        if instrument is None or not instrument.alias_of:
            return instrument
        return self._truth.instruments.get(instrument.alias_of)

    def add(self, channel: str, instruments: Sequence[Instrument]) -> None:
        """These get the channel's frames from now on."""
        held = self._by_channel.setdefault(channel, {})
        held.update((instrument.native, instrument) for instrument in instruments)

    def remove(self, channel: str, instruments: Sequence[Instrument]) -> None:
        """These get them no more."""
        held = self._by_channel.get(channel, {})
        for instrument in instruments:
            held.pop(instrument.native, None)
        if not held:
            self._by_channel.pop(channel, None)

    def products(self, channel: str) -> Sequence[str]:
        """The names of the channel's products."""
        return list(self._by_channel.get(channel, ()))

    def instruments(self, channel: str) -> Sequence[Instrument]:
        """The channel's instruments."""
        return list(self._by_channel.get(channel, {}).values())

    def channels(self) -> Sequence[str]:
        """What anything is subscribed to."""
        return list(self._by_channel)

    def has(self, channel: str, instrument: Instrument) -> bool:
        """Whether frames of the channel about it go out."""
        return instrument.native in self._by_channel.get(channel, ())


def client_message(frame: bytes) -> tuple[bool, dict[str, Any]]:
    """(whether it subscribes, the message) of a client's frame; NotAcceptedError for anything that is neither kind."""
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
