"""Binance's REST side, from a simulator's truth: every public GET of market data but those of NOT_SIMULATED in `encoder`.

`lastUpdateId` is the truth's sequence now. Paths, parameters, error codes and weights are those of the public documentation
(rest-api.md and errors.md of Binance's and of Binance.US's repositories of API docs); the used weight of each calendar minute is
counted and reported in headers, but no request is refused for it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from alphapulse_cli.exchanges.binance import facts as binance
from alphapulse_cli.exchanges.binance import figures
from alphapulse_cli.exchanges.binance.exchange_info import exchange_info
from alphapulse_cli.exchanges.binance.wire import picture, price_text, quote_text, size_text
from alphapulse_cli.exchanges.protocol import Truth
from alphapulse_cli.market.events import Side, Trade
from alphapulse_cli.market.trade_summary import TradeSummary

NS_PER_MS, NS_PER_MINUTE = 1_000_000, 60_000_000_000
UNKNOWN_PATH, BAD_PARAMETER, MISSING_PARAMETER = -1000, -1100, -1102
INVALID_INTERVAL, INVALID_SYMBOL, INVALID_COMBINATION, INVALID_VALUE = -1120, -1121, -1128, -1130
DEFAULT_DEPTH, DEFAULT_ROWS, MOST_ROWS = 100, 500, 1000
BAD_SYMBOL, BAD_NUMBER = "^[A-Z0-9-_.]{1,20}$", "^[0-9]{1,20}$"
# Weights of a GET, (one symbol, all symbols): Binance, Binance.US. Depth has weights of its own, by its limit.
WEIGHTS: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "binance": {
        binance.EXCHANGE_INFO: (20, 20),
        binance.TRADES_PATH: (25, 25),
        "/api/v3/aggTrades": (4, 4),
        "/api/v3/klines": (2, 2),
        "/api/v3/uiKlines": (2, 2),
        "/api/v3/avgPrice": (2, 2),
        binance.VOLUMES_PATH: (2, 80),
        "/api/v3/ticker/price": (2, 4),
        "/api/v3/ticker/bookTicker": (2, 4),
    },
    "binance-us": {binance.EXCHANGE_INFO: (10, 10), binance.VOLUMES_PATH: (1, 40), "/api/v3/ticker/price": (1, 2)},
}

Query = Mapping[str, str]


class RefusedError(ValueError):
    """Refusal of a request, with the exchange's code and words; HTTP status 400."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class RestEncoder:
    """REST side of a simulated Binance or Binance.US; `exchanges.protocol.RestEncoder` with `headers`."""

    def __init__(self, truth: Truth, mode: str = "", exchange: str = "binance-us") -> None:
        binance.FACTS[exchange].mode(mode)
        self._truth, self._exchange = truth, exchange
        self._symbols = {instrument.native: symbol for symbol, instrument in truth.instruments.items()}
        self._minute, self._used_weight = 0, 0
        self._answers: Mapping[str, Callable[[Query, int], Any]] = {
            "/api/v3/ping": lambda _query, _now_ns: {},
            "/api/v3/time": lambda _query, now_ns: {"serverTime": now_ns // NS_PER_MS},
            binance.EXCHANGE_INFO: self._exchange_info,
            binance.DEPTH_PATH: self._depth,
            binance.TRADES_PATH: self._trades,
            "/api/v3/aggTrades": self._aggregate_trades,
            "/api/v3/klines": self._candles,
            "/api/v3/uiKlines": self._candles,
            "/api/v3/avgPrice": self._average,
            binance.VOLUMES_PATH: self._tickers,
            "/api/v3/ticker/price": self._prices,
            "/api/v3/ticker/bookTicker": self._best,
        }

    def respond(self, path: str, query: Query, now_ns: int) -> tuple[int, bytes]:
        """Answer a GET with (HTTP status, body): 400 and the exchange's error for a bad parameter, 404 for an unknown path."""
        answer = self._answers.get(path)
        if answer is None:
            return 404, orjson.dumps({"code": UNKNOWN_PATH, "msg": "Path not found."})
        try:
            return 200, orjson.dumps(answer(query, now_ns))
        except RefusedError as refused:
            return 400, orjson.dumps({"code": refused.code, "msg": str(refused)})

    def headers(self, path: str, query: Query, now_ns: int) -> Sequence[tuple[str, str]]:
        """Weight used in this calendar minute, this request included."""
        if self._minute != now_ns // NS_PER_MINUTE:
            self._minute, self._used_weight = now_ns // NS_PER_MINUTE, 0
        self._used_weight += self._weight(path, query)
        return [(name, str(self._used_weight)) for name in ("X-MBX-USED-WEIGHT", "X-MBX-USED-WEIGHT-1M")]

    def _weight(self, path: str, query: Query) -> int:
        if path == binance.DEPTH_PATH:
            limit = query.get("limit", "")
            fitting = binance.snapshot_limit(int(limit) if re.fullmatch(BAD_NUMBER, limit, re.ASCII) else DEFAULT_DEPTH)
            return binance.snapshot_weight(self._exchange, fitting)
        return WEIGHTS[self._exchange].get(path, (1, 1))["symbol" not in query]

    # Parameters

    def _symbol(self, query: Query) -> str:
        """Canonical symbol of the parameter `symbol`."""
        native = query.get("symbol")
        if not native:
            raise RefusedError(MISSING_PARAMETER, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        if not re.fullmatch(BAD_SYMBOL, native, re.ASCII):
            raise _illegal("symbol", BAD_SYMBOL)
        return self._known(native)

    def _known(self, native: str) -> str:
        if native not in self._symbols:
            raise RefusedError(INVALID_SYMBOL, "Invalid symbol.")
        return self._symbols[native]

    def _chosen(self, query: Query) -> list[str]:
        """Canonical symbols of the parameter `symbol` or `symbols`; all symbols if neither is given."""
        if "symbol" in query and "symbols" in query:
            raise RefusedError(INVALID_COMBINATION, "Combination of optional parameters invalid.")
        if "symbol" in query:
            return [self._symbol(query)]
        if "symbols" not in query:
            return list(self._symbols.values())
        try:
            natives = orjson.loads(query["symbols"])
        except orjson.JSONDecodeError:
            natives = None
        well_formed = isinstance(natives, list) and all(
            isinstance(one, str) and re.fullmatch(BAD_SYMBOL, one, re.ASCII) for one in natives
        )
        if not well_formed:
            raise _illegal("symbols", r"^\[(\"[A-Z0-9-_.]{1,20}\"(,\"[A-Z0-9-_.]{1,20}\"){0,}){0,1}\]$")
        return [self._known(native) for native in natives]

    def _one_or_more(self, query: Query, row: Callable[[str], dict[str, Any]]) -> Any:
        """A row for `symbol`, otherwise a list of rows."""
        rows = [row(symbol) for symbol in self._chosen(query)]
        return rows[0] if "symbol" in query else rows

    # Answers

    def _exchange_info(self, query: Query, now_ns: int) -> dict[str, Any]:
        chosen = [self._truth.instruments[symbol] for symbol in self._chosen(query)]
        return exchange_info(self._exchange, chosen, now_ns // NS_PER_MS)

    def _depth(self, query: Query, _now_ns: int) -> dict[str, Any]:
        symbol = self._symbol(query)
        return picture(self._truth, symbol, _number(query, "limit", DEFAULT_DEPTH, binance.SNAPSHOT_LIMITS[-1]))

    def _trades(self, query: Query, _now_ns: int) -> list[dict[str, Any]]:
        symbol = self._symbol(query)
        return [_trade_row(trade) for trade in self._truth.recent_trades(symbol, _limit(query))]

    def _aggregate_trades(self, query: Query, _now_ns: int) -> list[dict[str, Any]]:
        symbol = self._symbol(query)
        begin_ms, end_ms = _moments(query)
        found = self._truth.recent_trades(symbol, MOST_ROWS)
        if "fromId" in query:
            first_id = _number(query, "fromId", 0)
            found = [trade for trade in found if int(trade.trade_id) >= first_id][: _limit(query)]
        elif begin_ms is not None:
            found = [trade for trade in found if _time_ms(trade) >= begin_ms]
        if end_ms is not None:
            found = [trade for trade in found if _time_ms(trade) <= end_ms]
        is_forward = "fromId" in query or begin_ms is not None
        return [aggregate_row(trade, NS_PER_MS) for trade in (found[: _limit(query)] if is_forward else found[-_limit(query) :])]

    def _candles(self, query: Query, now_ns: int) -> list[list[Any]]:
        symbol = self._symbol(query)
        if "interval" not in query:
            raise RefusedError(MISSING_PARAMETER, "Mandatory parameter 'interval' was not sent, was empty/null, or malformed.")
        span = figures.intervals(self._exchange).get(query["interval"])
        if span is None:
            raise RefusedError(INVALID_INTERVAL, "Invalid interval.")
        begin_ms, end_ms = _moments(query)
        found: Sequence[TradeSummary] = figures.candles(self._truth, symbol, span, now_ns, MOST_ROWS)
        if end_ms is not None:
            found = [candle for candle in found if candle.begin_ns // NS_PER_MS <= end_ms]
        if begin_ms is not None:
            found = [candle for candle in found if candle.begin_ns // NS_PER_MS >= begin_ms][: _limit(query)]
        return [figures.candle_row(self._truth.instruments[symbol], candle) for candle in found[-_limit(query) :]]

    def _average(self, query: Query, now_ns: int) -> dict[str, Any]:
        return figures.average(self._truth, self._symbol(query), now_ns)

    def _tickers(self, query: Query, now_ns: int) -> Any:
        kind = query.get("type", "FULL")
        if kind not in ("FULL", "MINI"):
            raise RefusedError(INVALID_VALUE, "Data sent for parameter 'type' is not valid.")

        def row(symbol: str) -> dict[str, Any]:
            full = figures.ticker(self._truth, symbol, now_ns)
            return full if kind == "FULL" else {name: full[name] for name in figures.MINI_OF_REST}

        return self._one_or_more(query, row)

    def _prices(self, query: Query, _now_ns: int) -> Any:
        def row(symbol: str) -> dict[str, Any]:
            instrument, last = self._truth.instruments[symbol], self._truth.recent_trades(symbol, 1)
            return {"symbol": instrument.native, "price": price_text(instrument, last[-1].price_ticks if last else 0)}

        return self._one_or_more(query, row)

    def _best(self, query: Query, _now_ns: int) -> Any:
        def row(symbol: str) -> dict[str, Any]:
            return {"symbol": self._truth.instruments[symbol].native, **figures.best(self._truth, symbol)}

        return self._one_or_more(query, row)


def _illegal(name: str, legal: str) -> RefusedError:
    return RefusedError(BAD_PARAMETER, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def _number(query: Query, name: str, default: int, most: int | None = None) -> int:
    """Value of an integer parameter; with `most`, a limit: at least 1, larger values are reduced to `most`."""
    text = query.get(name, str(default))
    if not re.fullmatch(BAD_NUMBER, text, re.ASCII) or (most is not None and not int(text)):
        raise _illegal(name, BAD_NUMBER)
    return int(text) if most is None else min(int(text), most)


def _limit(query: Query) -> int:
    return _number(query, "limit", DEFAULT_ROWS, MOST_ROWS)


def _moments(query: Query) -> tuple[int | None, int | None]:
    """Times `startTime` and `endTime`, ms since 1970; None if not given."""
    begin_ms, end_ms = (_number(query, name, 0) if name in query else None for name in ("startTime", "endTime"))
    return begin_ms, end_ms


def _time_ms(trade: Trade) -> int:
    return (trade.exchange_ns or 0) // NS_PER_MS


def _trade_row(trade: Trade) -> dict[str, Any]:
    instrument = trade.instrument
    return {
        "id": int(trade.trade_id),
        "price": price_text(instrument, trade.price_ticks),
        "qty": size_text(instrument, trade.size_lots),
        "quoteQty": quote_text(instrument, trade.price_ticks * trade.size_lots),
        "time": _time_ms(trade),
        "isBuyerMaker": trade.side is Side.SELL,
        "isBestMatch": True,
    }


def aggregate_row(trade: Trade, ns_per_unit: int) -> dict[str, Any]:
    """Aggregate of one trade, without the event's own fields: in the simulator one aggregate holds one trade."""
    instrument, number = trade.instrument, int(trade.trade_id)
    return {
        "a": number,
        "p": price_text(instrument, trade.price_ticks),
        "q": size_text(instrument, trade.size_lots),
        "f": number,
        "l": number,
        "T": (trade.exchange_ns or 0) // ns_per_unit,
        "m": trade.side is Side.SELL,
        "M": True,
    }
