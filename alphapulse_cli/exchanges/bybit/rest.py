"""Bybit's REST side for simulators: public market paths of spot, with parameters, limits and fields of Bybit's documentation."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from alphapulse_cli.exchanges.bybit.facts import FACTS, INSTRUMENTS, TICKERS
from alphapulse_cli.exchanges.bybit.instruments import status_word
from alphapulse_cli.exchanges.bybit.render import NS_PER_MS, SPANS, candle_figures, day_figures, rows_of, side_of
from alphapulse_cli.exchanges.protocol import Truth
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import to_text, trim_text
from alphapulse_cli.market.trade_summary import SECOND_NS, without_holes

PARAMS_ERROR = 10001
SYMBOL_INVALID, NOT_SUPPORTED = "params error: symbol invalid", "Not supported symbols"
EMPTY_CATEGORIES = ("linear", "inverse", "option")  # valid categories that are not simulated: their lists are empty
MOST_LEVELS, MOST_TRADES, MOST_CANDLES, USUAL_CANDLES = 1000, 60, 1000, 200
LARGEST_MS = 9_000_000_000_000


class _RefusedError(Exception):
    """Refusal of a request with Bybit's error 10001; `str(error)` is that error's text."""


class RestEncoder:
    """REST side of a simulated Bybit; `exchanges.protocol.RestEncoder`."""

    def __init__(self, truth: Truth, mode: str = "") -> None:
        FACTS.mode(mode)
        self._truth = truth

    def respond(self, path: str, query: Mapping[str, str], now_ns: int) -> tuple[int, bytes]:
        """Answer a public path of spot; Bybit's errors come with status 200, unknown paths with 404."""
        if path == "/v5/market/time":
            return 200, _answer(0, "OK", {"timeSecond": str(now_ns // SECOND_NS), "timeNano": str(now_ns)}, now_ns)
        if path == "/v5/system/status":  # it lists maintenance; the simulator has none
            return 200, _answer(0, "OK", {"list": []}, now_ns)
        route = ROUTES.get(path)
        if route is None:
            return 404, _answer(404, "Not Found", {}, now_ns)
        if query.get("category") not in ("spot", *EMPTY_CATEGORIES):
            return 200, _answer(PARAMS_ERROR, "params error: Category is invalid", {}, now_ns)
        try:
            return 200, _answer(0, "OK", route(self, query, now_ns), now_ns)
        except _RefusedError as refused:
            return 200, _answer(PARAMS_ERROR, str(refused), {}, now_ns)

    def _listed(self, query: Mapping[str, str]) -> Sequence[Instrument]:
        """Instruments of the parameter `symbol`, all without one; empty for an unlisted name or another category."""
        if query["category"] in EMPTY_CATEGORIES:
            return []
        return [each for each in self._truth.instruments.values() if query.get("symbol", each.native) == each.native]

    def _one(self, query: Mapping[str, str], unknown: str = SYMBOL_INVALID) -> Instrument:
        """The instrument of the parameter `symbol`; refused with the path's own error text if there is none."""
        for instrument in self._listed(query) if "symbol" in query else ():
            return instrument
        raise _RefusedError(unknown)

    def _instruments(self, query: Mapping[str, str], now_ns: int) -> dict[str, Any]:  # noqa: ARG002
        listed = self._listed(query)
        if query["category"] != "spot" and "symbol" in query:  # without a symbol, the answer for spot is an empty list
            raise _RefusedError(SYMBOL_INVALID)
        return {"category": query["category"], "list": [_row(each) for each in listed]}

    def _tickers(self, query: Mapping[str, str], now_ns: int) -> dict[str, Any]:
        wanted = [self._one(query, NOT_SUPPORTED)] if "symbol" in query else self._listed(query)
        return {"category": query["category"], "list": [self._ticker(each, now_ns) for each in wanted]}

    def _ticker(self, instrument: Instrument, now_ns: int) -> dict[str, str]:
        bids, asks = self._truth.book(instrument.symbol, 1)
        row = day_figures(self._truth, instrument, now_ns)
        for name, side in (("bid1", bids), ("ask1", asks)):
            price, size = (rows_of(instrument, side) or [["", ""]])[0]
            row |= {f"{name}Price": price, f"{name}Size": size}
        return row

    def _book(self, query: Mapping[str, str], now_ns: int) -> dict[str, Any]:
        instrument = self._one(query)
        bids, asks = self._truth.book(instrument.symbol, _number(query, "limit", 1, MOST_LEVELS))
        now_ms, number = now_ns // NS_PER_MS, self._truth.sequence(instrument.symbol)
        sides = {"b": rows_of(instrument, bids), "a": rows_of(instrument, asks)}
        return {"s": instrument.native, **sides, "ts": now_ms, "u": number, "seq": number, "cts": now_ms}

    def _trades(self, query: Mapping[str, str], now_ns: int) -> dict[str, Any]:  # noqa: ARG002
        instrument = self._one(query)
        trades = self._truth.recent_trades(instrument.symbol, _number(query, "limit", MOST_TRADES, MOST_TRADES))
        number = self._truth.sequence(instrument.symbol)
        rows = [
            {
                "execId": trade.trade_id,
                "symbol": instrument.native,
                "price": trim_text(trade.price_ticks, instrument.price_decimals),
                "size": trim_text(trade.size_lots, instrument.size_decimals),
                "side": side_of(trade),
                "time": str((trade.exchange_ns or 0) // NS_PER_MS),
                "isBlockTrade": False,
                "isRPITrade": False,
                "seq": str(number),
            }
            for trade in reversed(trades)
        ]
        return {"category": "spot", "list": rows}

    def _candles(self, query: Mapping[str, str], now_ns: int) -> dict[str, Any]:
        instrument, span = self._one(query, NOT_SUPPORTED), SPANS.get(query.get("interval", ""))
        if span is None:
            raise _RefusedError("params error: interval invalid")
        count = _number(query, "limit", USUAL_CANDLES, MOST_CANDLES)
        start_ms, end_ms = _number(query, "start", 0, LARGEST_MS), _number(query, "end", LARGEST_MS, LARGEST_MS)
        held = without_holes(self._truth.candles(instrument.symbol, span, MOST_CANDLES), span, now_ns, MOST_CANDLES)
        wanted = [each for each in held if start_ms <= each.begin_ns // NS_PER_MS <= end_ms]
        wanted = wanted[:count] if "start" in query and "end" not in query else wanted[-count:]
        rows = [[str(value) for value in candle_figures(instrument, each).values()] for each in reversed(wanted)]
        return {"symbol": instrument.native, "category": "spot", "list": rows}


ROUTES: Mapping[str, Callable[[RestEncoder, Mapping[str, str], int], dict[str, Any]]] = {
    INSTRUMENTS: RestEncoder._instruments,  # noqa: SLF001 - the table of this class's own methods
    TICKERS: RestEncoder._tickers,  # noqa: SLF001
    "/v5/market/orderbook": RestEncoder._book,  # noqa: SLF001
    "/v5/market/recent-trade": RestEncoder._trades,  # noqa: SLF001
    "/v5/market/kline": RestEncoder._candles,  # noqa: SLF001
}


def _number(query: Mapping[str, str], name: str, usual: int, most: int) -> int:
    """Value of a numeric parameter; larger values are reduced to the limit, as Bybit does."""
    text = query.get(name, str(usual))
    if not (text.isascii() and text.isdecimal() and len(text) <= 20 and (int(text) > 0 or not usual)):
        raise _RefusedError(f"params error: {name} invalid")
    return min(int(text), most)


def _answer(code: int, message: str, result: dict[str, Any], now_ns: int) -> bytes:
    return orjson.dumps({"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": now_ns // NS_PER_MS})


def _row(instrument: Instrument) -> dict[str, Any]:
    base, _, quote = instrument.symbol.partition("-")
    return {
        "symbol": instrument.native,
        "baseCoin": base,
        "quoteCoin": quote,
        "innovation": "0",
        "status": status_word(instrument),
        "marginTrading": "utaOnly",
        "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": to_text(instrument.lot_size_lots, instrument.size_decimals),
            "quotePrecision": "0.00000001",
            "minOrderQty": to_text(instrument.min_size_lots, instrument.size_decimals),
            "maxOrderQty": "100000000",
            "minOrderAmt": "5",
            "maxOrderAmt": "4000000",
        },
        "priceFilter": {"tickSize": to_text(instrument.tick_size_ticks, instrument.price_decimals)},
        "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
    }
