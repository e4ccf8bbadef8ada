"""State of one Coinbase product in a decoder, and parsers of frame parts that both feeds share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto, unique
from typing import Any

from alphapulse_cli.exchanges.timestamps import rfc3339_ns
from alphapulse_cli.exchanges.trade_ids import TradeIds
from alphapulse_cli.market.events import Event, OffGrid, Side, Trade
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.scan import MAX_TICKS
from alphapulse_cli.market.ticks import Malformed, decimals_of
from alphapulse_cli.market.trade_numbers import exact_trade

KIND_CHARACTERS = 40  # of hostile text in an Unrecognised


@unique
class Trust(Enum):
    """State of a product's book on this connection."""

    WAITING = auto()  # no snapshot yet on this connection
    LIVE = auto()
    DISTRUSTED = auto()  # wrong (after a GapFound or a resync) until the next snapshot


@dataclass(slots=True, eq=False)
class Product:
    """One book of the exchange: the instruments that share it, its state and its trade ids."""

    name: str
    instruments: list[Instrument]
    trust: Trust = Trust.WAITING
    ids: TradeIds = field(default_factory=TradeIds)  # kept across connections


def trade_number(trade_id: object) -> int:
    """Number of a trade id, from text of digits or a JSON integer; Malformed for any other value."""
    if isinstance(trade_id, str) and len(trade_id) <= 19 and trade_id.isascii() and trade_id.isdecimal():
        trade_id = int(trade_id)
    if type(trade_id) is not int or not 0 <= trade_id <= MAX_TICKS:
        raise Malformed(f"not a trade id: {str(trade_id)[:40]!r}")
    return trade_id


def time_ns(text: str) -> int | None:
    """Nanoseconds since 1970 of a frame's time; None for 1970 or before, which means unset."""
    ns = rfc3339_ns(text)
    return ns if ns > 0 else None


def trades_of(
    product: Product, number: int, row: dict[str, Any], side: Side, exchange_ns: int | None, *, history: bool
) -> list[Trade]:
    """Trades of a row {"price": …, "size": …}, one for each instrument that shares the product."""
    price, size = row["price"], row["size"]
    return [
        exact_trade(instrument, str(number), price, size, side, exchange_ns, history=history) for instrument in product.instruments
    ]


def off_grid(product: Product, prices: Sequence[object], sizes: Sequence[object]) -> list[Event]:
    """OffGrid events of the instruments whose grid is too coarse for these numbers. Malformed for a value that is no number."""
    price_decimals = max(map(_decimals, prices), default=0)
    size_decimals = max(map(_decimals, sizes), default=0)
    return [
        OffGrid(instrument, max(price_decimals, instrument.price_decimals), max(size_decimals, instrument.size_decimals))
        for instrument in product.instruments
        if price_decimals > instrument.price_decimals or size_decimals > instrument.size_decimals
    ]


def _decimals(number: object) -> int:
    return decimals_of(number if isinstance(number, str) else repr(number))
