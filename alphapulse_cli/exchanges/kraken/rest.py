"""Kraken's REST side for simulators: the public spot paths except `Spread`.

    respond(path, query) ─► ROUTES ─► a method ─► rest_rows

Parameters, defaults and limits are those of Kraken's public documentation; an invalid value gets EGeneral:Invalid arguments.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime

from alphapulse_cli.exchanges.kraken import rest_rows as rows
from alphapulse_cli.exchanges.kraken.facts import FACTS
from alphapulse_cli.exchanges.kraken.pairs import TRADES_PATH, rest_name
from alphapulse_cli.exchanges.kraken.rest_names import PairNames, asset_code, is_tokenized
from alphapulse_cli.exchanges.kraken.summaries import MINUTES
from alphapulse_cli.exchanges.protocol import Truth
from alphapulse_cli.exchanges.timestamps import rfc3339_text
from alphapulse_cli.market.trade_summary import DAY_S, SECOND_NS, Span, TradeSummary, without_holes

MOST_TRADES = 1000
MOST_CANDLES = 720
MOST_LEVELS, USUAL_LEVELS = 500, 100
SECONDS_BELOW = 10**12  # a smaller `since` is in seconds, a larger one in ns
ASSET_CLASSES = ("currency", "tokenized_asset")
UNKNOWN_PAIR, UNKNOWN_ASSET, INVALID = "EQuery:Unknown asset pair", "EQuery:Unknown asset", "EGeneral:Invalid arguments"


class _RefusedError(Exception):
    """Refusal of a request; `str(error)` is Kraken's error."""


class RestEncoder:
    """REST side of a simulated Kraken; `exchanges.protocol.RestEncoder`."""

    def __init__(self, truth: Truth, mode: str = "") -> None:  # noqa: ARG002  # one mode only
        self._truth = truth
        self._names = PairNames({symbol: each.native for symbol, each in truth.instruments.items()})

    def respond(self, path: str, query: Mapping[str, str], now_ns: int) -> tuple[int, bytes]:
        """Answer a public path; errors have status 200 as at Kraken, unknown paths 404."""
        route = ROUTES.get(path)
        if route is None:
            return 404, rows.refusal("EGeneral:Unknown method")
        try:
            return 200, route(self, query, now_ns)
        except _RefusedError as refused:
            return 200, rows.refusal(str(refused))

    def _time(self, query: Mapping[str, str], now_ns: int) -> bytes:  # noqa: ARG002
        moment = datetime.fromtimestamp(now_ns // SECOND_NS, UTC)
        with_short_year = format_datetime(moment).replace(f" {moment.year} ", f" {moment.year % 100:02} ")
        return rows.answer({"unixtime": now_ns // SECOND_NS, "rfc1123": with_short_year})

    def _status(self, query: Mapping[str, str], now_ns: int) -> bytes:  # noqa: ARG002
        return rows.answer({"status": "online", "timestamp": rfc3339_text(now_ns, 0)})

    def _assets(self, query: Mapping[str, str], now_ns: int) -> bytes:  # noqa: ARG002
        wanted_class = _choice(query, "aclass", ASSET_CLASSES)
        listed = dict.fromkeys(name for each in self._truth.instruments.values() for name in each.native.split("/"))
        of_class = [name for name in listed if is_tokenized(name) == (wanted_class == "tokenized_asset")]
        if "asset" in query:
            by_name = {alias: name for name in of_class for alias in (name, rest_name(name), asset_code(name))}
            wanted = query["asset"].split(",")
            if any(name not in by_name for name in wanted):
                raise _RefusedError(UNKNOWN_ASSET)
            of_class = [by_name[name] for name in wanted]
        return rows.answer({asset_code(name): rows.asset(name) for name in of_class})

    def _asset_pairs(self, query: Mapping[str, str], now_ns: int) -> bytes:  # noqa: ARG002
        info = _choice(query, "info", ("info", *rows.INFO_FIELDS))
        tokenized = _choice(query, "aclass_base", ASSET_CLASSES) == "tokenized_asset"
        instruments = self._truth.instruments
        pairs = self._pairs(query) if "pair" in query else [(key, symbol) for symbol, key in self._names.keys.items()]
        of_class = [(key, symbol) for key, symbol in pairs if is_tokenized(instruments[symbol].native) == tokenized]
        if "pair" in query and len(of_class) < len(pairs):
            raise _RefusedError(UNKNOWN_PAIR)
        return rows.answer({key: rows.asset_pair(instruments[symbol], info) for key, symbol in of_class})

    def _ticker(self, query: Mapping[str, str], now_ns: int) -> bytes:
        pairs = self._pairs(query) if "pair" in query else [(key, symbol) for symbol, key in self._names.keys.items()]
        return rows.answer({key: self._ticker_of(symbol, now_ns) for key, symbol in pairs})

    def _ticker_of(self, symbol: str, now_ns: int) -> dict[str, object]:
        truth, span = self._truth, Span(DAY_S)
        begin_ns = span.begin_ns(now_ns)
        newest = truth.candles(symbol, span, 1)
        today = newest[0] if newest and newest[0].begin_ns == begin_ns else TradeSummary(begin_ns, now_ns)
        last = truth.recent_trades(symbol, 1)
        return rows.ticker(truth.instruments[symbol], truth.book(symbol, 1), last, today, truth.last_day(symbol, now_ns))

    def _ohlc(self, query: Mapping[str, str], now_ns: int) -> bytes:
        key, symbol = self._one_pair(query)
        minutes = _number(query, "interval", 1)
        if minutes not in MINUTES:
            raise _RefusedError(INVALID)
        span = Span(minutes * 60)
        candles = without_holes(self._truth.candles(symbol, span, MOST_CANDLES), span, now_ns, MOST_CANDLES)
        complete_s = span.begin_ns(now_ns) // SECOND_NS - span.seconds  # begin of the newest complete candle
        since_s = _number(query, "since", 0)
        instrument = self._truth.instruments[symbol]
        wanted = [rows.candle(instrument, each) for each in candles if each.begin_ns // SECOND_NS > since_s]
        return rows.answer({key: wanted, "last": complete_s})

    def _depth(self, query: Mapping[str, str], now_ns: int) -> bytes:
        key, symbol = self._one_pair(query)
        count = _number(query, "count", USUAL_LEVELS)
        if not 1 <= count <= MOST_LEVELS:
            raise _RefusedError(INVALID)
        instrument, (bids, asks) = self._truth.instruments[symbol], self._truth.book(symbol, count)
        sides = {"asks": rows.levels(instrument, asks, now_ns), "bids": rows.levels(instrument, bids, now_ns)}
        return rows.answer({key: sides})

    def _trades(self, query: Mapping[str, str], now_ns: int) -> bytes:  # noqa: ARG002
        key, symbol = self._one_pair(query)
        since, most = _number(query, "since", 0), min(_number(query, "count", MOST_TRADES), MOST_TRADES)
        since_ns = since * SECOND_NS if since < SECONDS_BELOW else since
        trades = [each for each in self._truth.recent_trades(symbol, MOST_TRADES) if (each.exchange_ns or 0) > since_ns]
        trades = trades[:most] if since_ns else trades[-most:]
        last_ns = trades[-1].exchange_ns or 0 if trades else since_ns
        return rows.trades_answer(key, trades, str(last_ns))

    def _pairs(self, query: Mapping[str, str]) -> list[tuple[str, str]]:
        found = self._names.found(query["pair"])
        if found is None:
            raise _RefusedError(UNKNOWN_PAIR)
        return found

    def _one_pair(self, query: Mapping[str, str]) -> tuple[str, str]:
        if "pair" not in query:
            raise _RefusedError(INVALID)
        found = self._pairs(query)
        if len(found) != 1:
            raise _RefusedError(UNKNOWN_PAIR)
        return found[0]


def _number(query: Mapping[str, str], name: str, usual: int) -> int:
    text = query.get(name, str(usual))
    if not (text.isascii() and text.isdecimal() and len(text) <= 20):
        raise _RefusedError(INVALID)
    return int(text)


def _choice(query: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    """Value of an enumerated parameter; the first of `choices` is the default."""
    value = query.get(name, choices[0])
    if value not in choices:
        raise _RefusedError(INVALID)
    return value


ROUTES: Mapping[str, Callable[[RestEncoder, Mapping[str, str], int], bytes]] = {
    "/0/public/Time": RestEncoder._time,  # noqa: SLF001 - the table of this class's own methods
    "/0/public/SystemStatus": RestEncoder._status,  # noqa: SLF001
    "/0/public/Assets": RestEncoder._assets,  # noqa: SLF001
    FACTS.instruments_path: RestEncoder._asset_pairs,  # noqa: SLF001
    "/0/public/Ticker": RestEncoder._ticker,  # noqa: SLF001
    "/0/public/OHLC": RestEncoder._ohlc,  # noqa: SLF001
    "/0/public/Depth": RestEncoder._depth,  # noqa: SLF001
    TRADES_PATH: RestEncoder._trades,  # noqa: SLF001
}
