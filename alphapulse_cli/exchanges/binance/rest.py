"""Binance's REST side, from a simulator's truth: `exchangeInfo`, `depth`, `trades` and `ticker/24hr`.

`lastUpdateId` is the truth's sequence now.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from alphapulse_cli.exchanges.binance import facts as binance
from alphapulse_cli.exchanges.binance.instruments import status_word
from alphapulse_cli.exchanges.protocol import Level, Truth
from alphapulse_cli.market.events import Side
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import to_text

WIRE_DECIMALS = 8
NS_PER_MS = 1_000_000
UNKNOWN_PATH, BAD_PARAMETER, MISSING_PARAMETER, INVALID_SYMBOL = -1000, -1100, -1102, -1121
DEFAULT_LIMIT, DEFAULT_TRADES = 100, 500


class RestEncoder:
    """REST side of a simulated Binance or Binance.US; `exchanges.protocol.RestEncoder`."""

    def __init__(self, truth: Truth, mode: str = "", exchange: str = "binance-us") -> None:
        binance.FACTS[exchange].mode(mode)
        self._truth = truth
        self._symbols = {instrument.native: symbol for symbol, instrument in truth.instruments.items()}

    def respond(self, path: str, query: Mapping[str, str], now_ns: int) -> tuple[int, bytes]:
        """Answer a GET with (HTTP status, body).

        The exchange's error comes with 400 for a bad parameter, 404 for an unknown path.
        """
        if path == binance.EXCHANGE_INFO:
            return self._exchange_info(query, now_ns)
        if path == binance.DEPTH_PATH:
            return self._depth(query)
        if path == binance.TRADES_PATH:
            return self._trades(query)
        if path == binance.VOLUMES_PATH:
            return 200, orjson.dumps([self._volume(native, symbol) for native, symbol in self._symbols.items()])
        return _refusal(404, UNKNOWN_PATH, "Path not found.")

    def _exchange_info(self, query: Mapping[str, str], now_ns: int) -> tuple[int, bytes]:
        natives: Any = list(self._symbols)
        if "symbol" in query:
            natives = [query["symbol"]]
        elif "symbols" in query:
            try:
                natives = orjson.loads(query["symbols"])
            except orjson.JSONDecodeError:
                natives = None
            if not isinstance(natives, list) or not all(isinstance(native, str) for native in natives):
                return _refusal(400, BAD_PARAMETER, "Illegal characters found in parameter 'symbols'.")
        if not all(native in self._symbols for native in natives):
            return _refusal(400, INVALID_SYMBOL, "Invalid symbol.")
        symbols = [_symbol_info(self._truth.instruments[self._symbols[native]]) for native in natives]
        return 200, orjson.dumps({"timezone": "UTC", "serverTime": now_ns // NS_PER_MS, "symbols": symbols})

    def _depth(self, query: Mapping[str, str]) -> tuple[int, bytes]:
        return self._of_symbol(query, DEFAULT_LIMIT, binance.SNAPSHOT_LIMITS[-1], lambda symbol, n: picture(self._truth, symbol, n))

    def _trades(self, query: Mapping[str, str]) -> tuple[int, bytes]:
        return self._of_symbol(query, DEFAULT_TRADES, binance.RECENT_TRADES, self._recent_trades)

    def _volume(self, native: str, symbol: str) -> dict[str, Any]:
        """Row of the 24 hour statistics: the volume is that of the trades which the simulator remembers."""
        instrument, trades = self._truth.instruments[symbol], self._truth.recent_trades(symbol, binance.RECENT_TRADES)
        last = trades[-1].price_ticks if trades else 0
        return {
            "symbol": native,
            "lastPrice": wire_text(last, instrument.price_decimals),
            "volume": wire_text(sum(trade.size_lots for trade in trades), instrument.size_decimals),
        }

    def _recent_trades(self, symbol: str, count: int) -> list[dict[str, Any]]:
        instrument = self._truth.instruments[symbol]
        return [
            {
                "id": int(trade.trade_id),
                "price": wire_text(trade.price_ticks, instrument.price_decimals),
                "qty": wire_text(trade.size_lots, instrument.size_decimals),
                "time": (trade.exchange_ns or 0) // NS_PER_MS,
                "isBuyerMaker": trade.side is Side.SELL,
                "isBestMatch": True,
            }
            for trade in self._truth.recent_trades(symbol, count)
        ]

    def _of_symbol(self, query: Mapping[str, str], default: int, most: int, answer: Callable[[str, int], Any]) -> tuple[int, bytes]:
        if not query.get("symbol"):
            return _refusal(400, MISSING_PARAMETER, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        limit = query.get("limit", str(default))
        if not re.fullmatch(r"0*[1-9][0-9]{0,8}", limit, re.ASCII):
            return _refusal(400, BAD_PARAMETER, "Illegal characters found in parameter 'limit'.")
        if query["symbol"] not in self._symbols:
            return _refusal(400, INVALID_SYMBOL, "Invalid symbol.")
        return 200, orjson.dumps(answer(self._symbols[query["symbol"]], min(int(limit), most)))


def wire_text(value: int, decimals: int) -> str:
    """Decimal text as Binance writes it: eight decimals, more where the grid is finer."""
    places, factor = _finest(decimals)
    return to_text(value * factor, places)


def _finest(decimals: int) -> tuple[int, int]:
    """Number of decimals to write, and the factor that brings a number of `decimals` there."""
    return max(WIRE_DECIMALS, decimals), 10 ** max(WIRE_DECIMALS - decimals, 0)


def wire_rows(instrument: Instrument, levels: Sequence[Level]) -> list[list[str]]:
    """Rows [price, quantity] as text, of (ticks, lots)."""
    prices, price_factor = _finest(instrument.price_decimals)
    sizes, size_factor = _finest(instrument.size_decimals)
    return [[to_text(ticks * price_factor, prices), to_text(lots * size_factor, sizes)] for ticks, lots in levels]


def picture(truth: Truth, symbol: str, depth: int) -> dict[str, Any]:
    """Best `depth` levels a side: a REST snapshot, and the data of a partial depth frame."""
    instrument, (bids, asks) = truth.instruments[symbol], truth.book(symbol, depth)
    return {"lastUpdateId": truth.sequence(symbol), "bids": wire_rows(instrument, bids), "asks": wire_rows(instrument, asks)}


def _symbol_info(instrument: Instrument) -> dict[str, Any]:
    base, _, quote = instrument.symbol.partition("-")
    return {
        "symbol": instrument.native,
        "status": status_word(instrument),
        "baseAsset": base,
        "quoteAsset": quote,
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": wire_text(instrument.tick_size_ticks, instrument.price_decimals)},
            {
                "filterType": "LOT_SIZE",
                "minQty": wire_text(instrument.min_size_lots, instrument.size_decimals),
                "stepSize": wire_text(instrument.lot_size_lots, instrument.size_decimals),
            },
        ],
    }


def _refusal(status: int, code: int, message: str) -> tuple[int, bytes]:
    return status, orjson.dumps({"code": code, "msg": message})
