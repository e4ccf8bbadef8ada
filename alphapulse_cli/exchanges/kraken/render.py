"""Market data in Kraken's notation, for the encoder's frames.

JSON numbers carry all decimals of the grid, trailing zeros included, which no JSON library writes; so frames are built as text.
"""

from collections.abc import Sequence

import orjson

from alphapulse_cli.exchanges.kraken.pairs import status_word
from alphapulse_cli.exchanges.protocol import Level
from alphapulse_cli.exchanges.timestamps import rfc3339_text
from alphapulse_cli.market.events import Side, Trade
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.market.trade_summary import TradeSummary

MARGIN = {  # pair: leverages, largest long and short position; from Kraken's documentation
    "BTC/USD": ([2, 3, 4, 5], 250, 200),
    "ETH/BTC": ([2, 3, 4, 5], 1100, 400),
}
COSTS = {"BTC": (6, "0.00002")}  # quote asset: (decimals of a cost, smallest cost of an order)
USUAL_COST = (5, "0.5")


def cost_rule(quote: str) -> tuple[int, str]:
    """Decimals of a cost, and smallest cost of an order, in that quote asset."""
    return COSTS.get(quote, USUAL_COST)


def time_text(ns: int) -> str:
    """Time in Kraken's format: RFC 3339, truncated to microseconds."""
    return rfc3339_text(ns, 6)


def quoted(text: str) -> str:
    """JSON string of the text."""
    return orjson.dumps(text).decode()


def levels_json(instrument: Instrument, levels: Sequence[Level]) -> str:
    """Elements of a JSON list of book levels, without the brackets."""
    prices, sizes = instrument.price_decimals, instrument.size_decimals
    return ",".join([f'{{"price":{to_text(ticks, prices)},"qty":{to_text(lots, sizes)}}}' for ticks, lots in levels])


def trade_json(trade: Trade, now_ns: int) -> str:
    """Entry of a trade frame; a trade without an exchange time is dated `now_ns`."""
    instrument, side = trade.instrument, "sell" if trade.side is Side.SELL else "buy"
    moment = time_text(now_ns if trade.exchange_ns is None else trade.exchange_ns)
    return (
        f'{{"symbol":{quoted(instrument.native)},"side":"{side}","price":{to_text(trade.price_ticks, instrument.price_decimals)},'
        f'"qty":{to_text(trade.size_lots, instrument.size_decimals)},"ord_type":"market","trade_id":{int(trade.trade_id)},'
        f'"timestamp":"{moment}"}}'
    )


def asset_json(name: str) -> str:
    """Asset of the channel `instrument`."""
    return f'{{"id":{quoted(name)},"status":"enabled","precision":10,"precision_display":5,"borrowable":false}}'


def pair_json(instrument: Instrument) -> str:
    """Pair of the channel `instrument`."""
    prices, sizes = instrument.price_decimals, instrument.size_decimals
    base, _, quote = instrument.native.partition("/")
    cost_decimals, least_cost = cost_rule(quote)
    marginable = str(instrument.native in MARGIN).lower()
    return (
        f'{{"symbol":{quoted(instrument.native)},"base":{quoted(base)},"quote":{quoted(quote)},"status":{quoted(status_word(instrument))},'
        f'"price_precision":{prices},"price_increment":{to_text(instrument.tick_size_ticks, prices)},"qty_precision":{sizes},'
        f'"qty_increment":{to_text(instrument.lot_size_lots, sizes)},"qty_min":{to_text(instrument.min_size_lots, sizes)},'
        f'"cost_precision":{cost_decimals},"cost_min":"{least_cost}","marginable":{marginable},"has_index":true}}'
    )


def ticker_json(
    instrument: Instrument, book: tuple[Sequence[Level], Sequence[Level]], last_ticks: int, day: TradeSummary, now_ns: int
) -> str:
    """Entry of a ticker frame: the best levels, the last price, and 24-hour figures; zeros without a trade."""
    prices, sizes = instrument.price_decimals, instrument.size_decimals
    (bid, bid_lots), (ask, ask_lots) = (side[0] if side else (0, 0) for side in book)
    change = last_ticks - day.open_ticks
    percent = to_text(round_half_up(10**4 * change, day.open_ticks or 1), 2)
    return (
        f'{{"symbol":{quoted(instrument.native)},"bid":{to_text(bid, prices)},"bid_qty":{to_text(bid_lots, sizes)},'
        f'"ask":{to_text(ask, prices)},"ask_qty":{to_text(ask_lots, sizes)},"last":{to_text(last_ticks, prices)},'
        f'"volume":{to_text(day.size_lots, sizes)},"vwap":{to_text(average_ticks(day), prices)},"low":{to_text(day.low_ticks, prices)},'
        f'"high":{to_text(day.high_ticks, prices)},"change":{to_text(change, prices)},"change_pct":{percent},"trades":{day.trade_count},'
        f'"timestamp":"{time_text(now_ns)}"}}'
    )


def candle_json(instrument: Instrument, candle: TradeSummary, minutes: int) -> str:
    """Entry of an ohlc frame. Its own `timestamp` is the end of the candle, deprecated by Kraken but still sent."""
    prices, begin = instrument.price_decimals, rfc3339_text(candle.begin_ns, 9)
    return (
        f'{{"symbol":{quoted(instrument.native)},"open":{to_text(candle.open_ticks, prices)},"high":{to_text(candle.high_ticks, prices)},'
        f'"low":{to_text(candle.low_ticks, prices)},"close":{to_text(candle.close_ticks, prices)},"trades":{candle.trade_count},'
        f'"volume":{to_text(candle.size_lots, instrument.size_decimals)},"vwap":{to_text(average_ticks(candle), prices)},'
        f'"interval_begin":"{begin}","interval":{minutes},"timestamp":"{time_text(candle.end_ns)}"}}'
    )


def average_ticks(summary: TradeSummary) -> int:
    """Average price, weighted by size; 0 without a trade."""
    return round_half_up(summary.quote, summary.size_lots or 1)


def round_half_up(amount: int, by: int) -> int:
    """Quotient of integers, rounded to the nearest one, halves up; `by` is positive."""
    return (2 * amount + by) // (2 * by)
