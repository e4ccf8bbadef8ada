"""Statistics of a product's market for tickers, statistics and candles, by REST and in both feeds.

    Truth (trades, candles, best levels) ─► the text of one number

Figures are computed from simulated trades; a figure without trades is "", as at the exchange.
"""

from collections.abc import Sequence
from decimal import Decimal

from alphapulse_cli.exchanges.protocol import Level, Truth
from alphapulse_cli.exchanges.timestamps import SECOND_NS
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import trim_text
from alphapulse_cli.market.trade_summary import DAY_S, Span, TradeSummary, merged

DAY = Span(DAY_S)
MONTH_DAYS, YEAR_DAYS = 30, 364  # the exchange reports figures of 30 days and of 52 weeks
PERCENT_DIGITS = Decimal("1e-14")  # recorded percentages have up to fourteen decimals
BPS_DIGITS = Decimal("1e-12")
WITHOUT_FIGURE = ""


def owner_of(instrument: Instrument) -> str:
    """Symbol whose book and trades a product has: its own or, for an alias, that of the aliased product."""
    return instrument.alias_of or instrument.symbol


def price_text(instrument: Instrument, ticks: int) -> str:
    """Price with its zeros trimmed."""
    return trim_text(ticks, instrument.price_decimals)


def size_text(instrument: Instrument, lots: int) -> str:
    """Size with its zeros trimmed."""
    return trim_text(lots, instrument.size_decimals)


def last_day(truth: Truth, instrument: Instrument, now_ns: int) -> TradeSummary:
    """Summary of the trades of the last 24 hours."""
    return truth.last_day(owner_of(instrument), now_ns)


def last_days(truth: Truth, instrument: Instrument, days: int, now_ns: int) -> TradeSummary:
    """Summary of the trades of the last `days` calendar days (UTC), today included."""
    begin_ns = DAY.begin_ns(now_ns) - (days - 1) * DAY_S * SECOND_NS
    candles = truth.candles(owner_of(instrument), DAY, days)
    return merged((each for each in candles if each.begin_ns >= begin_ns), begin_ns, now_ns)


def quote_volume(instrument: Instrument, summary: TradeSummary, decimals: int) -> str:
    """Quote volume, truncated to `decimals` digits."""
    excess = instrument.price_decimals + instrument.size_decimals - decimals
    return trim_text(summary.quote // 10**excess if excess > 0 else summary.quote * 10**-excess, decimals)


def percent_change(summary: TradeSummary) -> str:
    """Change from the first price to the last one, in percent of the first; "0" without a trade."""
    if not summary.trade_count:
        return "0"
    change = Decimal(100 * (summary.close_ticks - summary.open_ticks)) / summary.open_ticks
    return plain(change.quantize(PERCENT_DIGITS))


def best(truth: Truth, instrument: Instrument) -> tuple[Level | None, Level | None]:
    """Best bid and best ask, None if the side is empty."""
    bids, asks = truth.book(owner_of(instrument), 1)
    return bids[0] if bids else None, asks[0] if asks else None


def spread_fields(instrument: Instrument, bids: Sequence[Level], asks: Sequence[Level]) -> dict[str, str]:
    """Spread fields of a price book. In the recorded answer the field `last` was the mid price."""
    if not bids or not asks:
        return dict.fromkeys(("last", "mid_market", "spread_bps", "spread_absolute"), WITHOUT_FIGURE)
    twice, spread = bids[0][0] + asks[0][0], asks[0][0] - bids[0][0]
    middle = trim_text(twice * 5, instrument.price_decimals + 1)
    bps = plain((Decimal(20_000 * spread) / twice).quantize(BPS_DIGITS))
    return {"last": middle, "mid_market": middle, "spread_bps": bps, "spread_absolute": price_text(instrument, spread)}


def plain(number: Decimal) -> str:
    """Decimal text without exponent and trailing zeros."""
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text
