"""OKX's REST side for simulators: the public spot paths that alphapulse and other clients request.

`seqId` is the market's current sequence number. OKX's errors come with HTTP 200 and a code.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson

from alphapulse_cli.exchanges.okx import facts as okx
from alphapulse_cli.exchanges.okx.fields import NS_PER_MS, Json
from alphapulse_cli.exchanges.okx.instruments import SPOT, status_word
from alphapulse_cli.exchanges.okx.rows import book_row, trade_row
from alphapulse_cli.exchanges.okx.summaries import SPANS, candle_row, ticker_row
from alphapulse_cli.exchanges.protocol import Truth
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import trim_text
from alphapulse_cli.market.trade_summary import without_holes

TIME_PATH, STATUS_PATH = "/api/v5/public/time", "/api/v5/system/status"
TICKER_PATH = "/api/v5/market/ticker"
HISTORY_TRADES_PATH = "/api/v5/market/history-trades"
CANDLES_PATHS = ("/api/v5/market/candles", "/api/v5/market/history-candles")
DEFAULT_TRADES = DEFAULT_CANDLES = 100
MOST_CANDLES = 300
EMPTY_KINDS = ("MARGIN", "SWAP", "FUTURES", "OPTION")  # valid instrument types that are not simulated: their lists are empty
EMPTY_FIELDS = (  # of an instrument of the spot market
    *(
        "alias",
        "auctionEndTime",
        "ctMult",
        "ctType",
        "ctVal",
        "ctValCcy",
        "expTime",
        "instFamily",
        "optType",
        "posLmtAmt",
        "posLmtPct",
    ),
    *("maxPlatOILmt", "preMktSwTime", "settleCcy", "stk", "uly"),
)
LIMITS = {  # of BTC-USDT, for all
    **dict.fromkeys(("maxLmtAmt", "maxMktAmt", "maxMktSz", "maxStopSz"), "1000000"),
    **dict.fromkeys(("maxIcebergSz", "maxTriggerSz", "maxTwapSz"), "9999999999.0000000000000000"),
    "maxLmtSz": "9999999999",
    "lever": "10",
    "category": "1",
    "groupId": "1",
    "ruleType": "normal",
    "openType": "call_auction",
}
LISTED_MS = "1606468572000"
UNKNOWN_INSTRUMENT = ("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
HELD_CANDLES = 1440
MOST_PAST_TRADES, HELD_TRADES = 100, 1000


class RestEncoder:
    """REST side of a simulated OKX; `exchanges.protocol.RestEncoder`. KeyError for an unknown mode."""

    def __init__(self, truth: Truth, mode: str = "") -> None:
        okx.FACTS.mode(mode)
        self._truth = truth
        self._symbols = {instrument.native: symbol for symbol, instrument in truth.instruments.items()}

    def respond(self, path: str, query: Mapping[str, str], now_ns: int) -> tuple[int, bytes]:
        """Answer a GET with (HTTP status, body); a query in the path counts too."""
        path, _, more = path.partition("?")
        query = {**dict(parse_qsl(more)), **query}
        if path == TIME_PATH:
            return _answer([{"ts": str(now_ns // NS_PER_MS)}])
        if path == STATUS_PATH:  # it lists maintenance; the simulator has none
            return _answer([])
        if path == okx.INSTRUMENTS:
            return self._instruments(query)
        if path == okx.VOLUMES:
            return self._tickers(query, now_ns)
        if path not in (okx.BOOKS_PATH, okx.TRADES_PATH, HISTORY_TRADES_PATH, TICKER_PATH, *CANDLES_PATHS):
            return 404, orjson.dumps({"code": "404", "data": [], "msg": "Not Found"})
        symbol = self._symbols.get(query.get("instId", ""))
        if symbol is None:
            return _refusal(*UNKNOWN_INSTRUMENT)
        if path == TICKER_PATH:
            return _answer([ticker_row(self._truth, self._truth.instruments[symbol], now_ns)])
        if path in CANDLES_PATHS:
            return self._candles(symbol, query, now_ns)
        if path == HISTORY_TRADES_PATH:
            return self._past_trades(symbol, query, now_ns)
        return self._book(symbol, query, now_ns) if path == okx.BOOKS_PATH else self._trades(symbol, query, now_ns)

    def _instruments(self, query: Mapping[str, str]) -> tuple[int, bytes]:
        kind = query.get("instType", "")
        if kind not in (SPOT, *EMPTY_KINDS):
            return _wrong_kind(kind)
        wanted = [native for native in self._symbols if kind == SPOT and query.get("instId", native) == native]
        if not wanted and "instId" in query:
            return _refusal(*UNKNOWN_INSTRUMENT)
        return _answer([_listed(self._truth.instruments[self._symbols[native]]) for native in wanted])

    def _tickers(self, query: Mapping[str, str], now_ns: int) -> tuple[int, bytes]:
        kind = query.get("instType", "")
        if kind not in (SPOT, *EMPTY_KINDS):
            return _wrong_kind(kind)
        listed = self._truth.instruments.values() if kind == SPOT else ()
        return _answer([ticker_row(self._truth, each, now_ns) for each in listed])

    def _book(self, symbol: str, query: Mapping[str, str], now_ns: int) -> tuple[int, bytes]:
        size = query.get("sz", "1")
        if not re.fullmatch(r"[1-9][0-9]{0,2}", size, re.ASCII) or int(size) > okx.BOOK_DEPTH:
            return _refusal("51000", "Parameter sz error")
        levels = self._truth.book(symbol, int(size))
        return _answer([{**book_row(self._truth.instruments[symbol], *levels, now_ns), "seqId": self._truth.sequence(symbol)}])

    def _candles(self, symbol: str, query: Mapping[str, str], now_ns: int) -> tuple[int, bytes]:
        """Candles, newest first; as at OKX, `after` is an upper and `before` a lower bound of the time, both exclusive."""
        span = SPANS.get(query.get("bar", "1m"))
        if span is None:
            return _refusal("51000", "Parameter bar error")
        page = _page(query, DEFAULT_CANDLES, MOST_CANDLES)
        if isinstance(page, str):
            return _refusal("51000", page)
        before, after, limit = page
        held = without_holes(self._truth.candles(symbol, span, HELD_CANDLES), span, now_ns, HELD_CANDLES)
        wanted = [each for each in held if before < each.begin_ns // NS_PER_MS < after][-limit:]
        return _answer([candle_row(self._truth.instruments[symbol], each, now_ns) for each in reversed(wanted)])

    def _past_trades(self, symbol: str, query: Mapping[str, str], now_ns: int) -> tuple[int, bytes]:
        """Page of past trades, newest first; the bounds are ids, with `type=2` times in ms."""
        page = _page(query, DEFAULT_TRADES, MOST_PAST_TRADES)
        if isinstance(page, str):
            return _refusal("51000", page)
        before, after, limit = page
        by_time = query.get("type", "1") == "2"
        rows = [trade_row(trade, now_ns) for trade in self._truth.recent_trades(symbol, HELD_TRADES)]
        wanted = [row for row in rows if before < int(row["ts" if by_time else "tradeId"]) < after][-limit:]
        return _answer([{**row, "source": "0"} for row in reversed(wanted)])

    def _trades(self, symbol: str, query: Mapping[str, str], now_ns: int) -> tuple[int, bytes]:
        limit = query.get("limit", str(DEFAULT_TRADES))
        if not re.fullmatch(r"[1-9][0-9]{0,2}", limit, re.ASCII) or int(limit) > okx.RECENT_TRADES:
            return _refusal("51000", "Parameter limit error")
        newest_first = reversed(self._truth.recent_trades(symbol, int(limit)))
        return _answer([trade_row(trade, now_ns) for trade in newest_first])


def _page(query: Mapping[str, str], usual: int, most: int) -> tuple[int, int, int] | str:
    """Parse a page to (lower bound, upper bound, most rows), bounds exclusive, `after` the upper one; or OKX's error text."""
    limit = query.get("limit", str(usual))
    if not re.fullmatch(r"[1-9][0-9]{0,2}", limit, re.ASCII) or int(limit) > most:
        return "Parameter limit error"
    before, after = query.get("before", "0"), query.get("after", "9" * 16)
    if not all(re.fullmatch(r"[0-9]{1,16}", bound, re.ASCII) for bound in (before, after)):
        return "Parameter after error"
    return int(before), int(after), int(limit)


def _listed(instrument: Instrument) -> Json:
    base, _, quote = instrument.symbol.partition("-")
    prices, sizes = instrument.price_decimals, instrument.size_decimals
    return {
        **dict.fromkeys(EMPTY_FIELDS, ""),
        **LIMITS,
        "baseCcy": base,
        "contTdSwTime": LISTED_MS,
        "futureSettlement": False,
        "instId": instrument.native,
        "instType": SPOT,
        "listTime": LISTED_MS,
        "lotSz": trim_text(instrument.lot_size_lots, sizes),
        "minSz": trim_text(instrument.min_size_lots, sizes),
        "quoteCcy": quote,
        "state": status_word(instrument),
        "tickSz": trim_text(instrument.tick_size_ticks, prices),
        "tradeQuoteCcyList": [quote],
        "upcChg": [],
    }


def _wrong_kind(kind: str) -> tuple[int, bytes]:
    return _refusal("51000", "Parameter instType error") if kind else _refusal("50014", "Parameter instType can not be empty")


def _answer(data: list[Any]) -> tuple[int, bytes]:
    return 200, orjson.dumps({"code": "0", "data": data, "msg": ""})


def _refusal(code: str, message: str) -> tuple[int, bytes]:
    return 200, orjson.dumps({"code": code, "data": [], "msg": message})
