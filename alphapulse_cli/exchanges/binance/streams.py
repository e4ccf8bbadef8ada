"""Streams of Binance's simulator: names and payloads. Field letters are those of web-socket-streams.md.

btcusdt@depth@100ms ─► Stream("diff")      btcusdt@kline_1m ─► Stream("kline", "1m")      !ticker@arr ─► Stream("tickers")
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, unique
from typing import Any

from alphapulse_cli.exchanges.binance import figures
from alphapulse_cli.exchanges.binance.rest import aggregate_row
from alphapulse_cli.exchanges.binance.wire import price_text, quote_text, size_text, wire_rows
from alphapulse_cli.exchanges.protocol import Change, Truth
from alphapulse_cli.market.events import Side, Trade
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.trade_summary import TradeSummary


@unique
class Kind(Enum):
    """Kind of a stream; MISSING: a stream of the real exchange that the simulator lacks."""

    DIFF = "diff"
    PICTURE = "picture"
    TRADE = "trade"
    AGGREGATE = "aggregate"
    BEST = "best"
    TICKER = "ticker"
    MINI_TICKER = "mini ticker"
    CANDLE = "candle"
    MISSING = "missing"
    UNKNOWN = "unknown"


OF_A_SYMBOL = (
    (re.compile(r"depth(?:@100ms)?()"), Kind.DIFF),
    (re.compile(r"depth(5|10|20)(?:@100ms)?"), Kind.PICTURE),
    (re.compile(r"trade()"), Kind.TRADE),
    (re.compile(r"aggTrade()"), Kind.AGGREGATE),
    (re.compile(r"bookTicker()"), Kind.BEST),
    (re.compile(r"ticker()"), Kind.TICKER),
    (re.compile(r"miniTicker()"), Kind.MINI_TICKER),
    (re.compile(r"kline_(\d{1,2}[smhdwM])"), Kind.CANDLE),
    (re.compile(r"(?:avgPrice|blockTrade|referencePrice|ticker_(?:1h|4h|1d)|kline_\d{1,2}[smhdwM]@\+08:00)()"), Kind.MISSING),
)
OF_ALL = {"!ticker@arr": Kind.TICKER, "!miniTicker@arr": Kind.MINI_TICKER}
MISSING_OF_ALL = re.compile(r"!ticker_(?:1h|4h|1d)@arr")


@dataclass(frozen=True, slots=True)
class Stream:
    """Parsed suffix of a stream name (the part after the symbol): kind, and depth or interval."""

    kind: Kind
    detail: str = ""


def stream_of(suffix: str, exchange: str) -> Stream:
    """Parse a stream suffix, such as `depth@100ms` or `kline_1m`."""
    for pattern, kind in OF_A_SYMBOL:
        match = pattern.fullmatch(suffix)
        if match:
            known = kind is not Kind.CANDLE or match[1] in figures.intervals(exchange)
            return Stream(kind if known else Kind.UNKNOWN, match[1])
    return Stream(Kind.UNKNOWN)


def is_missing(name: str, exchange: str) -> bool:
    """Whether the real exchange has a stream of that name but the simulator lacks it."""
    if name.startswith("!"):
        return MISSING_OF_ALL.fullmatch(name) is not None
    return stream_of(name.partition("@")[2], exchange).kind is Kind.MISSING


def diff(truth: Truth, symbol: str, changes: Sequence[Change], now: int) -> dict[str, Any]:
    """Payload of a depth stream: the truth contains the changes already."""
    instrument, final = truth.instruments[symbol], truth.sequence(symbol)
    return {
        "e": "depthUpdate",
        "E": now,
        "s": instrument.native,
        "U": final - len(changes) + 1,
        "u": final,
        "b": wire_rows(instrument, [(ticks, lots) for ticks, lots, is_ask in changes if not is_ask]),
        "a": wire_rows(instrument, [(ticks, lots) for ticks, lots, is_ask in changes if is_ask]),
    }


def trade(fill: Trade, now: int, ns_per_unit: int) -> dict[str, Any]:
    """Payload of a trade stream."""
    instrument = fill.instrument
    return {
        "e": "trade",
        "E": now,
        "s": instrument.native,
        "t": int(fill.trade_id),
        "p": price_text(instrument, fill.price_ticks),
        "q": size_text(instrument, fill.size_lots),
        "T": now if fill.exchange_ns is None else fill.exchange_ns // ns_per_unit,
        "m": fill.side is Side.SELL,  # the buyer was the maker: the taker sold
        "M": True,
    }


def aggregate(fill: Trade, now: int, ns_per_unit: int) -> dict[str, Any]:
    """Payload of an aggTrade stream."""
    return {"e": "aggTrade", "E": now, "s": fill.instrument.native, **aggregate_row(fill, ns_per_unit)}


def best(truth: Truth, symbol: str) -> dict[str, Any]:
    """Payload of a bookTicker stream."""
    row = figures.best(truth, symbol)
    return {
        "u": truth.sequence(symbol),
        "s": truth.instruments[symbol].native,
        "b": row["bidPrice"],
        "B": row["bidQty"],
        "a": row["askPrice"],
        "A": row["askQty"],
    }


def ticker(truth: Truth, symbol: str, now_ns: int, ns_per_unit: int, kind: Kind) -> dict[str, Any]:
    """Payload of a ticker or miniTicker stream."""
    row = figures.ticker(truth, symbol, now_ns, ns_per_unit)
    names = figures.TICKER_LETTERS if kind is Kind.TICKER else figures.MINI_TICKER
    event = "24hrTicker" if kind is Kind.TICKER else "24hrMiniTicker"
    return {"e": event, "E": now_ns // ns_per_unit, **{figures.TICKER_LETTERS[name]: row[name] for name in names}}


def candle(
    instrument: Instrument, summary: TradeSummary, interval: str, now: int, ns_per_unit: int, *, is_over: bool
) -> dict[str, Any]:
    """Payload of a kline stream."""
    return {
        "e": "kline",
        "E": now,
        "s": instrument.native,
        "k": {
            "t": summary.begin_ns // ns_per_unit,
            "T": summary.end_ns // ns_per_unit - 1,
            "s": instrument.native,
            "i": interval,
            "f": figures.number_of(summary.first_id),
            "L": figures.number_of(summary.last_id),
            "o": price_text(instrument, summary.open_ticks),
            "c": price_text(instrument, summary.close_ticks),
            "h": price_text(instrument, summary.high_ticks),
            "l": price_text(instrument, summary.low_ticks),
            "v": size_text(instrument, summary.size_lots),
            "n": summary.trade_count,
            "x": is_over,
            "q": quote_text(instrument, summary.quote),
            "V": size_text(instrument, summary.bought_lots),
            "Q": quote_text(instrument, summary.bought_quote),
            "B": "0",
        },
    }
