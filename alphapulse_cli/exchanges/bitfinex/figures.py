"""Ticker and candles in Bitfinex's format, for channels and REST answers of simulators: JSON numbers as JavaScript writes them."""

from collections.abc import Sequence

from alphapulse_cli.exchanges.bitfinex.numbers import number_text
from alphapulse_cli.exchanges.protocol import Level, Truth
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.trade_summary import DAY_S, MONTH, WEEK, Span, TradeSummary

NS_PER_MS = 1_000_000
RELATIVE_DECIMALS = 8
HOUR_S = 3600
SPANS = {  # Bitfinex's name of a candle interval -> its length
    **{f"{minutes}m": Span(60 * minutes) for minutes in (1, 5, 15, 30)},
    **{f"{hours}h": Span(HOUR_S * hours) for hours in (1, 3, 6, 12)},
    "1D": Span(DAY_S),
    "1W": WEEK,
    "7D": WEEK,
    "14D": Span(14 * DAY_S),
    "1M": MONTH,
}


def ticker_figures(truth: Truth, instrument: Instrument, now_ns: int) -> str:
    """Best bid and its size, best ask and its size, change and relative change of 24 hours, last price, volume, high, low.

    A figure without a level or a trade is null.
    """
    symbol, prices = instrument.symbol, instrument.price_decimals
    day, last = truth.last_day(symbol, now_ns), truth.recent_trades(symbol, 1)
    best = [_best(instrument, side) for side in truth.book(symbol, 1)]
    volume = number_text(day.size_lots, instrument.size_decimals)
    if not last:
        return ",".join([*best, "0", "0", "null", volume, "null", "null"])
    change = last[-1].price_ticks - day.open_ticks if day.trade_count else 0
    sign = "-" if change < 0 else ""
    relative = abs(change) * 10**RELATIVE_DECIMALS // (day.open_ticks or 1)
    figures = (last[-1].price_ticks, day.high_ticks, day.low_ticks)
    price, high, low = (number_text(ticks, prices) for ticks in figures)
    changes = [sign + number_text(abs(change), prices), sign + number_text(relative, RELATIVE_DECIMALS)]
    return ",".join([*best, *changes, price, volume, high, low])


def candle_row(instrument: Instrument, candle: TradeSummary) -> str:
    """Row [begin in ms, open, close, high, low, volume]."""
    ticks = (candle.open_ticks, candle.close_ticks, candle.high_ticks, candle.low_ticks)
    prices = ",".join(number_text(each, instrument.price_decimals) for each in ticks)
    return f"[{candle.begin_ns // NS_PER_MS},{prices},{number_text(candle.size_lots, instrument.size_decimals)}]"


def understood_key(key: object) -> tuple[str, str] | None:
    """Parse a candle key, trade:1m:tBTCUSD, to (interval name, native symbol); None for any other text."""
    parts = key.split(":", 2) if isinstance(key, str) else []
    return (parts[1], parts[2]) if len(parts) == 3 and parts[0] == "trade" and parts[1] in SPANS else None


def _best(instrument: Instrument, side: Sequence[Level]) -> str:
    if not side:
        return "null,0"
    ticks, lots = side[0]
    return f"{number_text(ticks, instrument.price_decimals)},{number_text(lots, instrument.size_decimals)}"
