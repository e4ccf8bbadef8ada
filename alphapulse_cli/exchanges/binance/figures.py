"""Statistics of a simulated Binance market for REST answers and streams: 24-hour figures, candles, best bid and ask.

All are computed from the simulated trades (`Truth.last_day`, `Truth.candles`); times are arguments, in ns since 1970. Field names
and intervals are from the public documentation of Binance's spot API (rest-api.md, web-socket-streams.md).
"""

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from alphapulse_cli.exchanges.binance.wire import price_text, quote_text, size_text
from alphapulse_cli.exchanges.protocol import Truth
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.trade_summary import DAY_S, MONTH, WEEK, Span, TradeSummary, without_holes

NS_PER_MS = 1_000_000
_MINUTES = {"1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30}
_HOURS = {"1h": 1, "2h": 2, "4h": 4, "6h": 6, "8h": 8, "12h": 12}
INTERVALS: Mapping[str, Span] = {
    "1s": Span(1),
    **{name: Span(60 * count) for name, count in _MINUTES.items()},
    **{name: Span(3600 * count) for name, count in _HOURS.items()},
    "1d": Span(DAY_S),
    "3d": Span(3 * DAY_S),
    "1w": WEEK,
    "1M": MONTH,
}
# Letters of the stream `ticker` by the names of GET ticker/24hr.
TICKER_LETTERS = {
    "symbol": "s",
    "priceChange": "p",
    "priceChangePercent": "P",
    "weightedAvgPrice": "w",
    "prevClosePrice": "x",
    "lastPrice": "c",
    "lastQty": "Q",
    "bidPrice": "b",
    "bidQty": "B",
    "askPrice": "a",
    "askQty": "A",
    "openPrice": "o",
    "highPrice": "h",
    "lowPrice": "l",
    "volume": "v",
    "quoteVolume": "q",
    "openTime": "O",
    "closeTime": "C",
    "firstId": "F",
    "lastId": "L",
    "count": "n",
}
MINI_TICKER = ("symbol", "lastPrice", "openPrice", "highPrice", "lowPrice", "volume", "quoteVolume")  # of the stream `miniTicker`
MINI_OF_REST = (*MINI_TICKER, "openTime", "closeTime", "firstId", "lastId", "count")  # of GET ticker/24hr?type=MINI


def intervals(exchange: str) -> Mapping[str, Span]:
    """Candle intervals of the exchange, by name. Binance.US documents no interval of one second."""
    return INTERVALS if exchange == "binance" else {name: span for name, span in INTERVALS.items() if name != "1s"}


def number_of(trade_id: str) -> int:
    """Trade id as an integer; -1 for "", no trade."""
    return int(trade_id) if trade_id else -1


def best(truth: Truth, symbol: str) -> dict[str, str]:
    """Best bid and ask with their sizes, by the names of GET ticker/bookTicker; zeros for an empty side."""
    instrument, found = truth.instruments[symbol], {}
    for side, levels in zip(("bid", "ask"), truth.book(symbol, 1), strict=True):
        ticks, lots = levels[0] if levels else (0, 0)
        found[f"{side}Price"], found[f"{side}Qty"] = price_text(instrument, ticks), size_text(instrument, lots)
    return found


def ticker(truth: Truth, symbol: str, now_ns: int, ns_per_unit: int = NS_PER_MS) -> dict[str, Any]:
    """Figures of the last 24 hours, by the names of GET ticker/24hr."""
    instrument, day = truth.instruments[symbol], truth.last_day(symbol, now_ns)
    last = truth.recent_trades(symbol, 1)
    change = day.close_ticks - day.open_ticks
    return {
        "symbol": instrument.native,
        "priceChange": ("-" if change < 0 else "") + price_text(instrument, abs(change)),
        "priceChangePercent": _ratio(100 * change, day.open_ticks, "0.001"),
        "weightedAvgPrice": _ratio(day.quote, day.size_lots * 10**instrument.price_decimals, "0.00000001"),
        "prevClosePrice": price_text(instrument, day.open_ticks),
        "lastPrice": price_text(instrument, day.close_ticks),
        "lastQty": size_text(instrument, last[-1].size_lots if last else 0),
        **best(truth, symbol),
        "openPrice": price_text(instrument, day.open_ticks),
        "highPrice": price_text(instrument, day.high_ticks),
        "lowPrice": price_text(instrument, day.low_ticks),
        "volume": size_text(instrument, day.size_lots),
        "quoteVolume": quote_text(instrument, day.quote),
        "openTime": day.begin_ns // ns_per_unit,
        "closeTime": day.end_ns // ns_per_unit,
        "firstId": number_of(day.first_id),
        "lastId": number_of(day.last_id),
        "count": day.trade_count,
    }


def _ratio(above: int, below: int, grid: str) -> str:
    """Decimal text of a ratio, rounded to the grid; 0 for a denominator of 0."""
    exact = Decimal(above) / below if below else Decimal(0)
    return f"{exact.quantize(Decimal(grid), ROUND_HALF_UP):f}"


def candles(truth: Truth, symbol: str, span: Span, now_ns: int, count: int) -> Sequence[TradeSummary]:
    """The newest `count` candles up to now, including candles without a trade."""
    return without_holes(truth.candles(symbol, span, count + 1), span, now_ns, count)


def candle_row(instrument: Instrument, candle: TradeSummary) -> list[Any]:
    """Row of GET klines."""
    return [
        candle.begin_ns // NS_PER_MS,
        *(price_text(instrument, ticks) for ticks in (candle.open_ticks, candle.high_ticks, candle.low_ticks, candle.close_ticks)),
        size_text(instrument, candle.size_lots),
        candle.end_ns // NS_PER_MS - 1,
        quote_text(instrument, candle.quote),
        candle.trade_count,
        size_text(instrument, candle.bought_lots),
        quote_text(instrument, candle.bought_quote),
        "0",
    ]


def average(truth: Truth, symbol: str, now_ns: int) -> dict[str, Any]:
    """Volume-weighted average price of the last five minutes (to within a minute); the last price if there was no trade."""
    begin_ns = now_ns - 300 * 1000 * NS_PER_MS
    minutes = [each for each in truth.candles(symbol, INTERVALS["1m"], 6) if each.begin_ns >= begin_ns]
    instrument, last = truth.instruments[symbol], truth.recent_trades(symbol, 1)
    quote, lots = sum(each.quote for each in minutes), sum(each.size_lots for each in minutes)
    mean = _ratio(quote, lots * 10**instrument.price_decimals, "0.00000001")
    price = mean if lots else price_text(instrument, last[-1].price_ticks if last else 0)
    return {"mins": 5, "price": price, "closeTime": (last[-1].exchange_ns or 0) // NS_PER_MS if last else 0}
