"""Bybit's REST side for simulators: `instruments-info` and `tickers`, the only paths that alphapulse requests."""

from collections.abc import Mapping
from typing import Any

import orjson

from alphapulse_cli.exchanges.bybit.facts import FACTS, INSTRUMENTS, TICKERS
from alphapulse_cli.exchanges.bybit.instruments import status_word
from alphapulse_cli.exchanges.protocol import Truth
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import to_text, trim_text

NS_PER_MS = 1_000_000
PARAMS_ERROR = 10001
TRADES_ADDED = 1000  # most trades whose sizes make up a volume


class RestEncoder:
    """REST side of a simulated Bybit; `exchanges.protocol.RestEncoder`."""

    def __init__(self, truth: Truth, mode: str = "") -> None:
        FACTS.mode(mode)
        self._truth = truth

    def respond(self, path: str, query: Mapping[str, str], now_ns: int) -> tuple[int, bytes]:
        """Answer for all spot symbols, or for the one that `symbol` names; Bybit's errors come with status 200."""
        if path not in (INSTRUMENTS, TICKERS):
            return 404, _answer(404, "Not Found", {}, now_ns)
        if query.get("category") != "spot":
            return 200, _answer(PARAMS_ERROR, "params error: Category is invalid", {}, now_ns)
        listed = [each for each in self._truth.instruments.values() if query.get("symbol", each.native) == each.native]
        if not listed and "symbol" in query:
            return 200, _answer(PARAMS_ERROR, "params error: symbol invalid", {}, now_ns)
        row = _row if path == INSTRUMENTS else self._ticker
        return 200, _answer(0, "OK", {"category": "spot", "list": [row(each) for each in listed]}, now_ns)

    def _ticker(self, instrument: Instrument) -> dict[str, Any]:
        """Row of the tickers: the volume is that of the trades which the simulator remembers."""
        trades = self._truth.recent_trades(instrument.symbol, TRADES_ADDED)
        last = trim_text(trades[-1].price_ticks, instrument.price_decimals) if trades else ""
        lots = sum(trade.size_lots for trade in trades)
        return {"symbol": instrument.native, "lastPrice": last, "volume24h": trim_text(lots, instrument.size_decimals)}


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
