"""Market data in Bybit's format, for frames and REST answers of simulators. Numbers are text without trailing zeros."""

from collections.abc import Sequence
from typing import Any

from alphapulse_cli.exchanges.protocol import Level, Truth
from alphapulse_cli.market.events import Side, Trade
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import to_text, trim_text
from alphapulse_cli.market.trade_summary import DAY_S, MONTH, WEEK, Span, TradeSummary

NS_PER_MS = 1_000_000
SPANS = {  # Bybit's name of a candle interval -> its length
    **{str(minutes): Span(60 * minutes) for minutes in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)},
    "D": Span(DAY_S),
    "W": WEEK,
    "M": MONTH,
}


def rows_of(instrument: Instrument, levels: Sequence[Level]) -> list[list[str]]:
    """Rows [price, size] of one side of a book."""
    prices, sizes = instrument.price_decimals, instrument.size_decimals
    return [[trim_text(ticks, prices), trim_text(lots, sizes)] for ticks, lots in levels]


def side_of(trade: Trade) -> str:
    """Bybit's word for the taker's side."""
    return "Sell" if trade.side is Side.SELL else "Buy"


def day_figures(truth: Truth, instrument: Instrument, now_ns: int) -> dict[str, str]:
    """Last price and figures of 24 hours: the fields of a spot ticker. Prices are empty if there was no trade.

    The index price is empty, since a simulated market has no index.
    """
    day, last = truth.last_day(instrument.symbol, now_ns), truth.recent_trades(instrument.symbol, 1)
    prices, sizes = instrument.price_decimals, instrument.size_decimals

    def price(ticks: int) -> str:
        return trim_text(ticks, prices) if last else ""

    last_ticks = last[-1].price_ticks if last else 0
    change = last_ticks - day.open_ticks if day.trade_count else 0
    ten_thousandths = (20_000 * change + day.open_ticks) // (2 * day.open_ticks) if day.open_ticks else 0
    return {
        "symbol": instrument.native,
        "lastPrice": price(last_ticks),
        "highPrice24h": price(day.high_ticks),
        "lowPrice24h": price(day.low_ticks),
        "prevPrice24h": price(day.open_ticks),
        "volume24h": trim_text(day.size_lots, sizes),
        "turnover24h": trim_text(day.quote, prices + sizes),
        "price24hPcnt": to_text(ten_thousandths, 4),
        "usdIndexPrice": "",
    }


def candle_figures(instrument: Instrument, candle: TradeSummary) -> dict[str, Any]:
    """Row of `kline`: begin in ms, prices (open, high, low, close), volume, turnover."""
    prices, sizes = instrument.price_decimals, instrument.size_decimals
    return {
        "start": candle.begin_ns // NS_PER_MS,
        "open": trim_text(candle.open_ticks, prices),
        "high": trim_text(candle.high_ticks, prices),
        "low": trim_text(candle.low_ticks, prices),
        "close": trim_text(candle.close_ticks, prices),
        "volume": trim_text(candle.size_lots, sizes),
        "turnover": trim_text(candle.quote, prices + sizes),
    }
