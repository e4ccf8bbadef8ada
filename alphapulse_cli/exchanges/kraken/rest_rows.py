"""Rows of Kraken's REST answers, for simulators. Fields and formats are from the examples of Kraken's public documentation.

Prices of Depth, Ticker and Trades have at least five decimals, those of OHLC the pair's; sizes have the pair's.
"""

from collections.abc import Sequence

import orjson

from alphapulse_cli.exchanges.kraken.entries import Json
from alphapulse_cli.exchanges.kraken.pairs import rest_name, status_word
from alphapulse_cli.exchanges.kraken.render import MARGIN, cost_rule, quoted, round_half_up
from alphapulse_cli.exchanges.kraken.rest_names import asset_code, is_tokenized
from alphapulse_cli.exchanges.protocol import Level
from alphapulse_cli.market.events import Side, Trade
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.market.trade_summary import SECOND_NS, TradeSummary

PRICE_DECIMALS = 5
DECIMALS = {"ZUSD": (4, 2), "ZEUR": (4, 2), "XXRP": (8, 5), "XXDG": (8, 2)}  # asset: (decimals kept, decimals displayed)
USUAL_DECIMALS = (10, 5)
COLLATERAL = {"XXBT": 1.0, "XETH": 1.0, "ZUSD": 1.0}
TAKER_FEES = (
    *([0, 0.4], [10_000, 0.35], [50_000, 0.24], [100_000, 0.22], [250_000, 0.2]),
    *([500_000, 0.18], [1_000_000, 0.16], [2_500_000, 0.14], [5_000_000, 0.12], [10_000_000, 0.1]),
)
MAKER_FEES = (
    *([0, 0.25], [10_000, 0.2], [50_000, 0.14], [100_000, 0.12], [250_000, 0.1]),
    *([500_000, 0.08], [1_000_000, 0.06], [2_500_000, 0.04], [5_000_000, 0.02], [10_000_000, 0.0]),
)
INFO_FIELDS = {  # value of the parameter `info` -> fields of the answer
    "leverage": ("leverage_buy", "leverage_sell"),
    "fees": ("fees", "fees_maker", "fee_volume_currency"),
    "margin": ("margin_call", "margin_stop"),
}


def asset(name: str) -> Json:
    """Asset of an `Assets` answer; `name` is the WebSocket's, BTC."""
    code = asset_code(name)
    precision, shown = DECIMALS.get(code, USUAL_DECIMALS)
    row: Json = {
        "aclass": "tokenized_asset" if is_tokenized(name) else "currency",
        "altname": rest_name(name),
        "decimals": precision,
        "display_decimals": shown,
        "status": "enabled",
    }
    return row | ({"collateral_value": COLLATERAL[code]} if code in COLLATERAL else {})


def asset_pair(instrument: Instrument, info: str = "info") -> Json:
    """Pair of an `AssetPairs` answer, or those of its fields that `info` names."""
    name = rest_name(instrument.native)
    base, _, quote = name.partition("/")
    cost_decimals, least_cost = cost_rule(instrument.native.partition("/")[2])
    leverages, longest, shortest = MARGIN.get(instrument.native, ([], 0, 0))
    row: Json = {
        "altname": base + quote,
        "wsname": name,
        "aclass_base": "tokenized_asset" if is_tokenized(instrument.native) else "currency",
        "base": asset_code(base),
        "aclass_quote": "currency",
        "quote": asset_code(quote),
        "lot": "unit",
        "cost_decimals": cost_decimals,
        "pair_decimals": instrument.price_decimals,
        "lot_decimals": instrument.size_decimals,
        "lot_multiplier": 1,
        "leverage_buy": leverages,
        "leverage_sell": leverages,
        "fees": TAKER_FEES,
        "fees_maker": MAKER_FEES,
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": to_text(instrument.min_size_lots, instrument.size_decimals),
        "costmin": least_cost,
        "tick_size": to_text(instrument.tick_size_ticks, instrument.price_decimals),
        "status": status_word(instrument),
        "execution_venue": "international",
    }
    if leverages:
        row |= {"long_position_limit": longest, "short_position_limit": shortest}
    return {field: row[field] for field in INFO_FIELDS.get(info, row)}


def price_text(instrument: Instrument, ticks: int) -> str:
    """Price with at least five decimals."""
    decimals = max(PRICE_DECIMALS, instrument.price_decimals)
    return to_text(ticks * 10 ** (decimals - instrument.price_decimals), decimals)


def size_text(instrument: Instrument, lots: int) -> str:
    """Size with all decimals of the pair."""
    return to_text(lots, instrument.size_decimals)


def average_text(summary: TradeSummary, price_decimals: int, decimals: int) -> str:
    """Average price of the trades, weighted by size, rounded half up to `decimals`; zero without a trade."""
    return to_text(round_half_up(summary.quote * 10 ** (decimals - price_decimals), summary.size_lots or 1), decimals)


def levels(instrument: Instrument, side: Sequence[Level], now_ns: int) -> list[list[object]]:
    """Rows of one side of a `Depth` answer: [price, size, time in seconds]."""
    moment = now_ns // SECOND_NS
    return [[price_text(instrument, ticks), size_text(instrument, lots), moment] for ticks, lots in side]


def ticker(
    instrument: Instrument,
    book: tuple[Sequence[Level], Sequence[Level]],
    last: Sequence[Trade],
    today: TradeSummary,
    day: TradeSummary,
) -> Json:
    """Pair of a `Ticker` answer: pairs of figures are [today (UTC), last 24 hours]. Zeros without a trade."""
    spans = (today, day)

    def best(side: Sequence[Level]) -> list[str]:
        ticks, lots = side[0] if side else (0, 0)
        return [price_text(instrument, ticks), str(lots // 10**instrument.size_decimals), size_text(instrument, lots)]

    decimals = max(PRICE_DECIMALS, instrument.price_decimals)
    price, size = (last[-1].price_ticks, last[-1].size_lots) if last else (0, 0)
    return {
        "a": best(book[1]),
        "b": best(book[0]),
        "c": [price_text(instrument, price), size_text(instrument, size)],
        "v": [size_text(instrument, span.size_lots) for span in spans],
        "p": [average_text(span, instrument.price_decimals, decimals) for span in spans],
        "t": [span.trade_count for span in spans],
        "l": [price_text(instrument, span.low_ticks) for span in spans],
        "h": [price_text(instrument, span.high_ticks) for span in spans],
        "o": price_text(instrument, today.open_ticks),
    }


def candle(instrument: Instrument, summary: TradeSummary) -> list[object]:
    """Row of an `OHLC` answer: [begin in seconds, open, high, low, close, average, size, count]."""
    decimals = instrument.price_decimals
    prices = (summary.open_ticks, summary.high_ticks, summary.low_ticks, summary.close_ticks)
    return [
        summary.begin_ns // SECOND_NS,
        *(to_text(ticks, decimals) for ticks in prices),
        average_text(summary, decimals, decimals),
        size_text(instrument, summary.size_lots),
        summary.trade_count,
    ]


def trades_answer(key: str, trades: Sequence[Trade], last: str) -> bytes:
    """Body of a `Trades` answer: rows [price, size, time, side, type, misc, id]; `last` is a time in ns for the next request.

    Times have nine decimals, more than a double holds; so the body is built as text.
    """
    rows = []
    for trade in trades:
        price, size = price_text(trade.instrument, trade.price_ticks), size_text(trade.instrument, trade.size_lots)
        side = "s" if trade.side is Side.SELL else "b"
        rows.append(f'["{price}","{size}",{to_text(trade.exchange_ns or 0, 9)},"{side}","m","",{int(trade.trade_id)}]')
    return f'{{"error":[],"result":{{{quoted(key)}:[{",".join(rows)}],"last":"{last}"}}}}'.encode()


def answer(result: object) -> bytes:
    """Body of a successful answer."""
    return orjson.dumps({"error": [], "result": result})


def refusal(reason: str) -> bytes:
    """Body of an error; Kraken sends it with HTTP status 200."""
    return orjson.dumps({"error": [reason]})
