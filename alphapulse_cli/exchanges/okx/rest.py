"""OKX's REST side for simulators: the paths `public/…` and `market/…` that alphapulse requests, and `public/time`.

`seqId` is the truth's sequence now. OKX's errors come with HTTP 200 and a code.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson

from alphapulse_cli.exchanges.okx import facts as okx
from alphapulse_cli.exchanges.okx.encoder import book_row, trade_row
from alphapulse_cli.exchanges.okx.fields import NS_PER_MS, Json
from alphapulse_cli.exchanges.okx.instruments import SPOT, status_word
from alphapulse_cli.exchanges.protocol import Truth
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import trim_text

TIME_PATH = "/api/v5/public/time"
DEFAULT_TRADES = 100


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
        if path == okx.INSTRUMENTS:
            return self._instruments(query)
        if path == okx.VOLUMES:
            return _answer([self._ticker(native, symbol) for native, symbol in self._symbols.items()])
        if path not in (okx.BOOKS_PATH, okx.TRADES_PATH):
            return 404, orjson.dumps({"code": "404", "data": [], "msg": "Not Found"})
        symbol = self._symbols.get(query.get("instId", ""))
        if symbol is None:
            return _refusal("51001", "Instrument ID does not exist")
        return self._book(symbol, query, now_ns) if path == okx.BOOKS_PATH else self._trades(symbol, query, now_ns)

    def _instruments(self, query: Mapping[str, str]) -> tuple[int, bytes]:
        if query.get("instType", SPOT) != SPOT:
            return _refusal("51000", "Parameter instType  error")
        wanted = [native for native in self._symbols if query.get("instId", native) == native]
        if not wanted:
            return _refusal("51001", "Instrument ID does not exist")
        return _answer([_listed(self._truth.instruments[self._symbols[native]]) for native in wanted])

    def _book(self, symbol: str, query: Mapping[str, str], now_ns: int) -> tuple[int, bytes]:
        size = query.get("sz", "1")
        if not re.fullmatch(r"[1-9][0-9]{0,2}", size, re.ASCII) or int(size) > okx.BOOK_DEPTH:
            return _refusal("51000", "Parameter sz error")
        levels = self._truth.book(symbol, int(size))
        return _answer([{**book_row(self._truth.instruments[symbol], *levels, now_ns), "seqId": self._truth.sequence(symbol)}])

    def _ticker(self, native: str, symbol: str) -> Json:
        """Row of the tickers: the volume is that of the trades which the simulator remembers."""
        instrument, trades = self._truth.instruments[symbol], self._truth.recent_trades(symbol, okx.RECENT_TRADES)
        lots = sum(trade.size_lots for trade in trades)
        last = trim_text(trades[-1].price_ticks, instrument.price_decimals) if trades else ""
        return {"instType": SPOT, "instId": native, "last": last, "vol24h": trim_text(lots, instrument.size_decimals)}

    def _trades(self, symbol: str, query: Mapping[str, str], now_ns: int) -> tuple[int, bytes]:
        limit = query.get("limit", str(DEFAULT_TRADES))
        if not re.fullmatch(r"[1-9][0-9]{0,2}", limit, re.ASCII) or int(limit) > okx.RECENT_TRADES:
            return _refusal("51000", "Parameter limit error")
        newest_first = reversed(self._truth.recent_trades(symbol, int(limit)))
        return _answer([trade_row(trade, now_ns) for trade in newest_first])


def _listed(instrument: Instrument) -> Json:
    base, _, quote = instrument.symbol.partition("-")
    prices, sizes = instrument.price_decimals, instrument.size_decimals
    return {
        "baseCcy": base,
        "instId": instrument.native,
        "instType": SPOT,
        "lotSz": trim_text(instrument.lot_size_lots, sizes),
        "minSz": trim_text(instrument.min_size_lots, sizes),
        "quoteCcy": quote,
        "state": status_word(instrument),
        "tickSz": trim_text(instrument.tick_size_ticks, prices),
    }


def _answer(data: list[Any]) -> tuple[int, bytes]:
    return 200, orjson.dumps({"code": "0", "data": data, "msg": ""})


def _refusal(code: str, message: str) -> tuple[int, bytes]:
    return 200, orjson.dumps({"code": code, "data": [], "msg": message})
