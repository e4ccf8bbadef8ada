"""Public REST of Advanced Trade and of the older `v2` interface at the same host, for simulators.

    /api/v3/brokerage/time                                     /v2/time
    /api/v3/brokerage/market/products[?product_type=&product_ids=&limit=&offset=]
    /api/v3/brokerage/market/products/ID                       /v2/currencies   /v2/currencies/crypto
    /api/v3/brokerage/market/products/ID/ticker?limit=         /v2/exchange-rates?currency=
    /api/v3/brokerage/market/products/ID/candles?granularity=&start=&end=&limit=
    /api/v3/brokerage/market/product_book?product_id=&limit=

Answers have the keys of answers recorded in April 2026; trailing zeros of prices and sizes are trimmed. There is no candle for a
time without a trade. Error texts about candles are from users' reports, the others from the documentation.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from alphapulse_cli.exchanges.coinbase.currencies import crypto_currencies, exchange_rates, fiat_currencies
from alphapulse_cli.exchanges.coinbase.figures import WITHOUT_FIGURE, best, owner_of, price_text, size_text, spread_fields
from alphapulse_cli.exchanges.coinbase.products import advanced_record
from alphapulse_cli.exchanges.coinbase.server import MAKER_WORDS
from alphapulse_cli.exchanges.protocol import Level, Truth
from alphapulse_cli.exchanges.timestamps import SECOND_NS, rfc3339_text
from alphapulse_cli.market.events import Trade
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.trade_summary import Span, TradeSummary

BROKERAGE, MARKET, V2 = "/api/v3/brokerage", "/api/v3/brokerage/market", "/v2"
MOST_TRADES = 1000
BEST_LEVELS = 50  # levels per side if the request has no limit
MOST_CANDLES = 350
GRANULARITIES = {
    "ONE_MINUTE": Span(60),
    "FIVE_MINUTE": Span(300),
    "FIFTEEN_MINUTE": Span(900),
    "THIRTY_MINUTE": Span(1800),
    "ONE_HOUR": Span(3600),
    "TWO_HOUR": Span(7200),
    "FOUR_HOUR": Span(14_400),
    "SIX_HOUR": Span(21_600),
    "ONE_DAY": Span(86_400),
}

Answer = tuple[int, Any]
NOT_FOUND: Answer = (404, {"error": "NOT_FOUND", "error_details": "not found", "message": "not found"})
NO_PRODUCT: Answer = (
    404,
    {"error": "NOT_FOUND", "error_details": "valid product_id is required", "message": "valid product_id is required"},
)


class AdvancedRest:
    """Public REST of one simulated market."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    def respond(self, path: str, query: Mapping[str, str], now_ns: int) -> Answer:
        """Answer a GET with (HTTP status, JSON value)."""
        if path.startswith(f"{V2}/"):
            return self._v2(path.removeprefix(f"{V2}/"), query, now_ns)
        if path == f"{BROKERAGE}/time":
            millis = str(now_ns // 1_000_000)
            return 200, {"iso": rfc3339_text(now_ns, 0), "epochSeconds": str(now_ns // SECOND_NS), "epochMillis": millis}
        if path == f"{MARKET}/products":
            return self._products(query, now_ns)
        if path == f"{MARKET}/product_book":
            return self._product_book(query, now_ns)
        name, _, resource = path.removeprefix(f"{MARKET}/products/").partition("/")
        if not path.startswith(f"{MARKET}/products/") or resource not in ("", "ticker", "candles"):
            return NOT_FOUND
        instrument = self._by_name.get(name)
        if instrument is None:
            return NO_PRODUCT
        if resource == "ticker":
            return self._ticker(instrument, query)
        return self._candles(instrument, query, now_ns) if resource else (200, self._record(instrument, now_ns))

    def _v2(self, resource: str, query: Mapping[str, str], now_ns: int) -> Answer:
        if resource == "time":
            return 200, {"data": {"iso": rfc3339_text(now_ns, 0), "epoch": now_ns // SECOND_NS}}
        if resource == "currencies":
            return 200, {"data": fiat_currencies(self._truth)}
        if resource == "currencies/crypto":
            return 200, {"data": crypto_currencies(self._truth)}
        if resource == "exchange-rates":
            currency = query.get("currency", "USD").upper()
            rates = exchange_rates(self._truth, currency)
            if rates is None:
                return 400, {"errors": [{"id": "invalid_request", "message": "Currency is invalid"}]}
            return 200, {"data": {"currency": currency, "rates": rates}}
        return 404, {"errors": [{"id": "not_found", "message": "Not found"}]}

    @property
    def _by_name(self) -> dict[str, Instrument]:
        """Current instruments by product name."""
        return {instrument.native: instrument for instrument in self._truth.instruments.values()}

    def _record(self, instrument: Instrument, now_ns: int) -> dict[str, Any]:
        aliases = [each.native for each in self._truth.instruments.values() if each.alias_of == instrument.symbol]
        return advanced_record(self._truth, instrument, aliases, now_ns)

    def _products(self, query: Mapping[str, str], now_ns: int) -> Answer:
        """Records of the products selected by the query; all are spot markets."""
        chosen = list(self._by_name.values()) if query.get("product_type", "SPOT") in ("", "SPOT") else []
        if names := [name for name in query.get("product_ids", "").split(",") if name]:
            chosen = [instrument for instrument in chosen if instrument.native in names]
        offset, limit = _whole(query, "offset", 0), _whole(query, "limit", len(chosen)) or len(chosen)
        records = [self._record(instrument, now_ns) for instrument in chosen[offset : offset + limit]]
        return 200, {"products": records, "num_products": len(records)}

    def _product_book(self, query: Mapping[str, str], now_ns: int) -> Answer:
        instrument = self._by_name.get(query.get("product_id", ""))
        if instrument is None:
            return NO_PRODUCT
        bids, asks = self._truth.book(owner_of(instrument), _whole(query, "limit", BEST_LEVELS))
        sides = {"bids": _levels(instrument, bids), "asks": _levels(instrument, asks)}
        book = {"product_id": instrument.native, **sides, "time": rfc3339_text(now_ns, 6)}
        return 200, {"pricebook": book, **spread_fields(instrument, bids, asks)}

    def _ticker(self, instrument: Instrument, query: Mapping[str, str]) -> Answer:
        """Last trades, newest first, and the best prices; `start` and `end` (seconds) bound the trades if given."""
        begin_ns, end_ns = _whole(query, "start", 0) * SECOND_NS, _whole(query, "end", 1 << 33) * SECOND_NS
        past = self._truth.recent_trades(owner_of(instrument), MOST_TRADES)
        rows = [
            _trade(instrument, each)
            for each in reversed(past)
            if each.exchange_ns is None or begin_ns <= each.exchange_ns <= end_ns
        ]
        bid, ask = best(self._truth, instrument)
        return 200, {
            "trades": rows[: _whole(query, "limit", MOST_TRADES)],
            "best_bid": price_text(instrument, bid[0]) if bid else WITHOUT_FIGURE,
            "best_ask": price_text(instrument, ask[0]) if ask else WITHOUT_FIGURE,
        }

    def _candles(self, instrument: Instrument, query: Mapping[str, str], now_ns: int) -> Answer:
        """Candles that begin between the seconds `start` and `end`, newest first."""
        span = GRANULARITIES.get(query.get("granularity", ""))
        if span is None:
            return _invalid("granularity argument is invalid")
        end_s = _whole(query, "end", now_ns // SECOND_NS)
        begin_s = _whole(query, "start", end_s - MOST_CANDLES * span.seconds + 1)
        if end_s < begin_s or (end_s - begin_s) // span.seconds > MOST_CANDLES:
            return _invalid("start and end argument is invalid - number of candles requested should be less than 350 ")
        found = self._truth.candles(owner_of(instrument), span, _since(begin_s, span, now_ns))
        rows = [
            candle_row(instrument, each) for each in reversed(found) if begin_s * SECOND_NS <= each.begin_ns <= end_s * SECOND_NS
        ]
        return 200, {"candles": rows[: _whole(query, "limit", MOST_CANDLES)]}


def candle_row(instrument: Instrument, candle: TradeSummary) -> dict[str, str]:
    """Candle in the format of REST answers and of the channel `candles`."""
    return {
        "start": str(candle.begin_ns // SECOND_NS),
        "low": price_text(instrument, candle.low_ticks),
        "high": price_text(instrument, candle.high_ticks),
        "open": price_text(instrument, candle.open_ticks),
        "close": price_text(instrument, candle.close_ticks),
        "volume": size_text(instrument, candle.size_lots),
    }


def _since(begin_s: int, span: Span, now_ns: int) -> int:
    """Largest number of candles from that second until now."""
    return max(0, (now_ns // SECOND_NS - begin_s) // span.seconds + 2)


def _trade(instrument: Instrument, trade: Trade) -> dict[str, Any]:
    return {
        "trade_id": trade.trade_id,
        "product_id": instrument.native,
        "price": price_text(instrument, trade.price_ticks),
        "size": size_text(instrument, trade.size_lots),
        "time": rfc3339_text(trade.exchange_ns or 0, 6),
        "side": MAKER_WORDS[trade.side].upper(),
        "bid": "",
        "ask": "",
        "exchange": "coinbase",
    }


def _levels(instrument: Instrument, levels: Sequence[Level]) -> list[dict[str, str]]:
    return [{"price": price_text(instrument, ticks), "size": size_text(instrument, lots)} for ticks, lots in levels]


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    """Integer parameter of at most 15 digits; the default if it is missing."""
    text = query.get(name, "")
    return int(text) if len(text) <= 15 and text.isdecimal() and text.isascii() else default


def _invalid(message: str) -> Answer:
    return 400, {"error": "INVALID_ARGUMENT", "error_details": message, "message": message}
