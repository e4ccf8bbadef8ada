"""Bitfinex's REST side for simulators: tickers, trades, books, candles, platform status, and pair metadata of `conf`.

/v2/conf/LABEL,LABEL…  ─► a list for each label; empty for transfers, derivatives and margin, which are not simulated

Of `pub:info:pair`, BTC's largest order and the twelve fields of a row are the real exchange's, as quoted by third parties; the
largest orders of other currencies are invented, of about the same value.
"""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

import orjson

from alphapulse_cli.exchanges.bitfinex.facts import MOST_TRADES, TICKERS_PATH, TRADES_PATH
from alphapulse_cli.exchanges.bitfinex.figures import NS_PER_MS, SPANS, candle_row, ticker_figures, understood_key
from alphapulse_cli.exchanges.bitfinex.numbers import number_text
from alphapulse_cli.exchanges.bitfinex.pairs import SMALLEST_ORDER, codes_of
from alphapulse_cli.exchanges.protocol import Level, Truth
from alphapulse_cli.market.events import Side, Trade
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import trim_text

BOOK_PATH = re.compile(r"/v2/book/(t[\w:]+)/(P0|R0)")
CANDLES_PATH = re.compile(r"/v2/candles/([\w:]+)/(hist|last)")
SPELLINGS = {"UST": "USDt", "UDC": "USDC"}  # code -> usual spelling, for listed currencies whose code is not the usual one
BOOK_LENGTHS = ("1", "25", "100", "250")
DEFAULT_CANDLES, MOST_CANDLES = 100, 10_000
INVALID_PATH = b'["error",10020,"path: invalid"]'
DEFAULT_TRADES = 125
INFO_FIELDS = 12  # pair row of pub:info:pair: smallest order, largest order, margins, unused fields
LARGEST_ORDERS = {"BTC": "2000.0", "ETH": "5000.0", "SOL": "100000.0", "XRP": "5000000.0", "DOGE": "50000000.0"}
OTHERS_LARGEST_ORDER = "100000.0"


def trade_row(trade: Trade, now_ns: int) -> str:
    """Row [id, time, amount, price] of a trade; one without an exchange time is dated `now_ns`."""
    instrument, sign = trade.instrument, "-" if trade.side is Side.SELL else ""
    moment = (now_ns if trade.exchange_ns is None else trade.exchange_ns) // NS_PER_MS
    amount = number_text(trade.size_lots, instrument.size_decimals)
    return f"[{int(trade.trade_id)},{moment},{sign}{amount},{number_text(trade.price_ticks, instrument.price_decimals)}]"


def level_row(instrument: Instrument, level: Level, *, is_ask: bool) -> str:
    """Row [price, count, amount] of a level. The simulated market has no orders: the count is derived from the size."""
    ticks, lots = level
    sign, price = "-" if is_ask else "", number_text(ticks, instrument.price_decimals)
    if not lots:
        return f"[{price},0,{sign}1]"
    return f"[{price},{1 + lots % 5},{sign}{number_text(lots, instrument.size_decimals)}]"


def _order_row(instrument: Instrument, level: Level, *, is_ask: bool) -> str:
    """Row [order, price, amount] of a raw book: a level as one order, whose id is its price."""
    ticks, lots = level
    sign = "-" if is_ask else ""
    return f"[{ticks},{number_text(ticks, instrument.price_decimals)},{sign}{number_text(lots, instrument.size_decimals)}]"


def _order_sizes(instrument: Instrument) -> list[object]:
    """Row of a pair in pub:info:pair; without a smallest order if the market has none."""
    fields: list[str | None] = [None] * INFO_FIELDS
    least = trim_text(instrument.min_size_lots, instrument.size_decimals)
    fields[SMALLEST_ORDER] = (least if "." in least else f"{least}.0") if instrument.min_size_lots else None
    fields[SMALLEST_ORDER + 1] = LARGEST_ORDERS.get(instrument.symbol.partition("-")[0], OTHERS_LARGEST_ORDER)
    return [instrument.native[1:], fields]


class RestEncoder:
    """REST side of a simulated Bitfinex; `exchanges.protocol.RestEncoder`."""

    def __init__(self, truth: Truth, mode: str = "") -> None:  # noqa: ARG002  # one mode only
        self._truth = truth
        self._by_path = {TRADES_PATH.format(native=each.native): symbol for symbol, each in truth.instruments.items()}
        self._by_native = {each.native: symbol for symbol, each in truth.instruments.items()}

    def respond(self, path: str, query: Mapping[str, str], now_ns: int) -> tuple[int, bytes]:
        """Answer a public path; 404 with Bitfinex's error for an unknown one."""
        path, _, rest = path.partition("?")
        query = {**dict(parse_qsl(rest)), **query}
        if path in self._by_path:
            return 200, self._trades(self._by_path[path], query, now_ns)
        if path == "/v2/platform/status":
            return 200, b"[1]"
        if path.startswith("/v2/conf/"):
            return self._conf(path.removeprefix("/v2/conf/").split(","))
        if path.startswith("/v2/ticker/"):
            return self._ticker(path.removeprefix("/v2/ticker/"), now_ns)
        if found := BOOK_PATH.fullmatch(path):
            return self._book(found[1], found[2], query.get("len", "25"))
        if found := CANDLES_PATH.fullmatch(path):
            return self._candles(found[1], query, is_last=found[2] == "last")
        return (200, self._tickers(query, now_ns)) if path == TICKERS_PATH else (404, INVALID_PATH)

    def _conf(self, labels: list[str]) -> tuple[int, bytes]:
        if not all(label.startswith("pub:") for label in labels):
            return 404, INVALID_PATH
        pairs = [native[1:] for native in self._by_native]
        codes = sorted({code for native in self._by_native for code in codes_of(native)})
        answers: dict[str, object] = {
            "pub:list:currency": codes,
            "pub:list:pair:exchange": pairs,
            "pub:map:currency:sym": [[code, SPELLINGS[code]] for code in codes if code in SPELLINGS],
            "pub:info:pair": [_order_sizes(each) for each in self._truth.instruments.values()],
        }
        return 200, orjson.dumps([answers.get(label, []) for label in labels])

    def _tickers(self, query: Mapping[str, str], now_ns: int) -> bytes:
        """Rows [symbol, …] of all pairs, or of the pairs in the parameter `symbols`."""
        wanted = query.get("symbols", "ALL").split(",")
        found = [each for each in self._truth.instruments.values() if wanted == ["ALL"] or each.native in wanted]
        rows = [f"[{orjson.dumps(each.native).decode()},{ticker_figures(self._truth, each, now_ns)}]" for each in found]
        return f"[{','.join(rows)}]".encode("ascii")

    def _ticker(self, native: str, now_ns: int) -> tuple[int, bytes]:
        symbol = self._by_native.get(native)
        if symbol is None:
            return 500, b'["error",10020,"symbol: invalid"]'
        return 200, f"[{ticker_figures(self._truth, self._truth.instruments[symbol], now_ns)}]".encode("ascii")

    def _book(self, native: str, precision: str, length: str) -> tuple[int, bytes]:
        symbol = self._by_native.get(native)
        if symbol is None or length not in BOOK_LENGTHS:
            return 500, f'["error",10020,"{"symbol" if symbol is None else "len"}: invalid"]'.encode("ascii")
        instrument, row = self._truth.instruments[symbol], level_row if precision == "P0" else _order_row
        bids, asks = self._truth.book(symbol, int(length))
        rows = [row(instrument, each, is_ask=False) for each in bids] + [row(instrument, each, is_ask=True) for each in asks]
        return 200, f"[{','.join(rows)}]".encode("ascii")

    def _candles(self, key: str, query: Mapping[str, str], *, is_last: bool) -> tuple[int, bytes]:
        """Candles with a trade from `start` to `end`, at most `limit`: newest first (`sort` 1: oldest). One row for `last`."""
        length, native = understood_key(key) or ("", "")
        symbol = self._by_native.get(native)
        numbers = [query.get(name, usual) for name, usual in (("start", "0"), ("end", "9" * 16), ("limit", str(DEFAULT_CANDLES)))]
        if symbol is None or not all(re.fullmatch(r"[0-9]{1,16}", each, re.ASCII) for each in numbers):
            return 500, b'["error",10020,"key: invalid"]'
        start, end, limit = map(int, numbers)
        instrument, held = self._truth.instruments[symbol], self._truth.candles(symbol, SPANS[length], MOST_CANDLES)
        if is_last:
            return 200, (candle_row(instrument, held[-1]) if held else "[]").encode("ascii")
        found = [each for each in held if start <= each.begin_ns // NS_PER_MS <= end]
        chosen = found[:limit] if query.get("sort") == "1" else found[::-1][:limit]
        return 200, f"[{','.join(candle_row(instrument, each) for each in chosen)}]".encode("ascii")

    def _trades(self, symbol: str, query: Mapping[str, str], now_ns: int) -> bytes:
        """Trades since `start` (ms), oldest first for `sort` 1, else the newest first; at most `limit`."""
        start, limit = query.get("start", "0"), query.get("limit", str(DEFAULT_TRADES))
        if not (start.isdecimal() and limit.isdecimal()):
            return b'["error",10020,"limit: invalid"]'
        since_ns, most = int(start) * NS_PER_MS, min(int(limit), MOST_TRADES)
        found = [each for each in self._truth.recent_trades(symbol, MOST_TRADES) if (each.exchange_ns or 0) >= since_ns]
        chosen = found[:most] if query.get("sort") == "1" else found[::-1][:most]
        return f"[{','.join(trade_row(each, now_ns) for each in chosen)}]".encode("ascii")
