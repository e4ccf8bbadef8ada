"""Market data in Kraken's notation, for the encoder's frames and REST answers.

JSON numbers carry all decimals of the grid, trailing zeros included, which no JSON library writes; so they are made as text.
"""

from collections.abc import Sequence

import orjson

from alphapulse_cli.exchanges.kraken.entries import Json
from alphapulse_cli.exchanges.kraken.pairs import status_word
from alphapulse_cli.exchanges.protocol import Level
from alphapulse_cli.exchanges.timestamps import rfc3339_text
from alphapulse_cli.market.events import Side, Trade
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import to_text


def time_text(ns: int) -> str:
    """Time as Kraken writes it: RFC 3339 with microseconds, finer digits cut off."""
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
    return (
        f'{{"symbol":{quoted(instrument.native)},"base":{quoted(base)},"quote":{quoted(quote)},"status":{quoted(status_word(instrument))},'
        f'"price_precision":{prices},"price_increment":{to_text(instrument.tick_size_ticks, prices)},"qty_precision":{sizes},'
        f'"qty_increment":{to_text(instrument.lot_size_lots, sizes)},"qty_min":{to_text(instrument.min_size_lots, sizes)},'
        f'"cost_precision":5,"cost_min":"0.5","marginable":false,"has_index":true}}'
    )


def fetched_trade(trade: Trade) -> list[object]:
    """Row of a `Trades` answer: [price, volume, time, side, type, misc, id].

    Its time is 0: `trades_answer` writes the time itself, as a number of seconds.
    """
    instrument = trade.instrument
    price, size = to_text(trade.price_ticks, instrument.price_decimals), to_text(trade.size_lots, instrument.size_decimals)
    return [price, size, 0, "s" if trade.side is Side.SELL else "b", "m", "", int(trade.trade_id)]


def trades_answer(name: str, trades: Sequence[Trade]) -> bytes:
    """Body of a `Trades` answer. Times have nine decimals, which no double holds; so the body is made as text."""
    rows = []
    for trade in trades:
        row = [orjson.dumps(each).decode() for each in fetched_trade(trade)]
        row[2] = to_text(trade.exchange_ns or 0, 9)
        rows.append(f"[{','.join(row)}]")
    last = trades[-1].exchange_ns or 0 if trades else 0
    return f'{{"error":[],"result":{{{quoted(name)}:[{",".join(rows)}],"last":"{last}"}}}}'.encode()


def asset_pair(name: str, instrument: Instrument) -> Json:
    """Pair of an `AssetPairs` answer; `name` is REST's."""
    base, _, quote = name.partition("/")
    return {
        "altname": name.replace("/", ""),
        "wsname": name,
        "aclass_base": "currency",
        "base": base,
        "aclass_quote": "currency",
        "quote": quote,
        "lot": "unit",
        "pair_decimals": instrument.price_decimals,
        "lot_decimals": instrument.size_decimals,
        "lot_multiplier": 1,
        "ordermin": to_text(instrument.min_size_lots, instrument.size_decimals),
        "costmin": "0.5",
        "tick_size": to_text(instrument.tick_size_ticks, instrument.price_decimals),
        "status": status_word(instrument),
    }
