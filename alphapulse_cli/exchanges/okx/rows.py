"""Levels and trades in OKX's notation, for the encoder's frames and the REST answers of simulators."""

from collections.abc import Sequence
from typing import Any

import orjson

from alphapulse_cli.exchanges.okx.fields import NS_PER_MS, Json
from alphapulse_cli.exchanges.protocol import Level
from alphapulse_cli.market.events import Side, Trade
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import trim_text


def book_row(instrument: Instrument, bids: Sequence[Level], asks: Sequence[Level], now_ns: int) -> Json:
    """Levels and time of a book message: rows [price, size, "0", number of orders]."""
    return {"asks": _rows(instrument, asks), "bids": _rows(instrument, bids), "ts": str(now_ns // NS_PER_MS)}


def _rows(instrument: Instrument, levels: Sequence[Level]) -> list[list[str]]:
    prices, sizes = instrument.price_decimals, instrument.size_decimals
    return [[trim_text(ticks, prices), trim_text(lots, sizes), "0", "1" if lots else "0"] for ticks, lots in levels]


def trade_row(trade: Trade, now_ns: int) -> Json:
    """Trade in OKX's format (frames and REST); one without an exchange time is dated `now_ns`."""
    instrument = trade.instrument
    return {
        "instId": instrument.native,
        "tradeId": str(int(trade.trade_id)),
        "px": trim_text(trade.price_ticks, instrument.price_decimals),
        "sz": trim_text(trade.size_lots, instrument.size_decimals),
        "side": "sell" if trade.side is Side.SELL else "buy",
        "ts": str((now_ns if trade.exchange_ns is None else trade.exchange_ns) // NS_PER_MS),
    }


def data_frame(channel: str, instrument: Instrument, data: Sequence[Any], action: str = "") -> bytes:
    """Message of a channel with these rows."""
    message: Json = {"arg": {"channel": channel, "instId": instrument.native}}
    return orjson.dumps({**message, **({"action": action} if action else {}), "data": data})
