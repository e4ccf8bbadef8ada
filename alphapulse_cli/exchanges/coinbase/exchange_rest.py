"""Public REST of Coinbase Exchange, for simulators.

    /time   /currencies   /currencies/ID   /products   /products/volume-summary   /products/ID   /products/ID/book?level=1|2
    /products/ID/trades?limit=&before=&after=   /products/ID/ticker   /products/ID/stats
    /products/ID/candles?granularity=&start=&end=

Answers have the keys of recorded answers; figures of trading other than order books (`rfq`, `conversions`) are 0. A page of trades
has the headers `CB-BEFORE` and `CB-AFTER`, the ids of its newest and its oldest trade. There is no candle for a time without a
trade.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from alphapulse_cli.exchanges.coinbase.currencies import exchange_currencies
from alphapulse_cli.exchanges.coinbase.figures import MONTH_DAYS, best, last_day, last_days, owner_of, price_text, size_text
from alphapulse_cli.exchanges.coinbase.products import exchange_record
from alphapulse_cli.exchanges.coinbase.server import MAKER_WORDS
from alphapulse_cli.exchanges.protocol import Level, Truth
from alphapulse_cli.exchanges.timestamps import SECOND_NS, rfc3339_ns, rfc3339_text
from alphapulse_cli.market.events import Trade
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.market.trade_summary import Span, TradeSummary

MOST_TRADES = 1000
MOST_CANDLES = 300
GRANULARITIES = {text: Span(int(text)) for text in ("60", "300", "900", "3600", "21600", "86400")}
DEFAULT_GRANULARITY = "60"
LEVELS = {"1": 1, "2": None}  # level of the query -> depth

Answer = tuple[int, Any]
NOT_FOUND: Answer = (404, {"message": "NotFound"})


class ExchangeRest:
    """Public REST of one simulated market."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    def respond(self, path: str, query: Mapping[str, str], now_ns: int) -> Answer:
        """Answer a GET with (HTTP status, JSON value)."""
        if path == "/time":
            return 200, {"iso": rfc3339_text(now_ns, 3), "epoch": now_ns // 1_000_000 / 1000}
        if path == "/currencies":
            return 200, exchange_currencies(self._truth)
        if path.startswith("/currencies/"):
            by_code = {each["id"]: each for each in exchange_currencies(self._truth)}
            currency = by_code.get(path.removeprefix("/currencies/"))
            return (200, currency) if currency else NOT_FOUND
        if path == "/products":
            return 200, [exchange_record(instrument) for instrument in self._truth.instruments.values()]
        if path == "/products/volume-summary":
            return 200, [self._volumes(instrument, now_ns) for instrument in self._truth.instruments.values()]
        return self._product(path, query, now_ns)

    def headers(self, path: str, query: Mapping[str, str], _now_ns: int) -> Sequence[tuple[str, str]]:
        """Headers with the cursors of a page of trades."""
        instrument, resource = self._named(path)
        page = self._page(instrument, query) if instrument is not None and resource == "trades" else []
        return [("CB-BEFORE", page[0].trade_id), ("CB-AFTER", page[-1].trade_id)] if page else []

    def _named(self, path: str) -> tuple[Instrument | None, str]:
        """Split a path below /products/ into (instrument, resource); None for an unknown product."""
        name, _, resource = path.removeprefix("/products/").partition("/")
        by_name = {instrument.native: instrument for instrument in self._truth.instruments.values()}
        return by_name.get(name) if path.startswith("/products/") else None, resource

    def _product(self, path: str, query: Mapping[str, str], now_ns: int) -> Answer:
        instrument, resource = self._named(path)
        if instrument is None:
            return NOT_FOUND
        if resource == "":
            return 200, exchange_record(instrument)
        if resource == "book":
            return self._book(instrument, query, now_ns)
        if resource == "trades":
            return 200, [_trade(instrument, trade) for trade in self._page(instrument, query)]
        if resource == "ticker":
            return self._ticker(instrument, now_ns)
        if resource == "stats":
            return 200, self._stats(instrument, now_ns)
        return self._candles(instrument, query, now_ns) if resource == "candles" else NOT_FOUND

    def _book(self, instrument: Instrument, query: Mapping[str, str], now_ns: int) -> Answer:
        level = query.get("level", "1")
        if level not in LEVELS:
            return 400, {"message": "Invalid level"}
        symbol = owner_of(instrument)
        bids, asks = self._truth.book(symbol, LEVELS[level])
        return 200, {
            "bids": _levels(instrument, bids),
            "asks": _levels(instrument, asks),
            "sequence": self._truth.sequence(symbol),
            "auction_mode": False,
            "auction": None,
            "time": rfc3339_text(now_ns, 6),
        }

    def _page(self, instrument: Instrument, query: Mapping[str, str]) -> list[Trade]:
        """Page of trades, newest first, with ids below the cursor `after` and above the cursor `before`."""
        limit = min(_whole(query.get("limit", ""), MOST_TRADES), MOST_TRADES)
        newer, older = _whole(query.get("before", ""), -1), _whole(query.get("after", ""), 1 << 62)
        past = self._truth.recent_trades(owner_of(instrument), MOST_TRADES)
        return [trade for trade in reversed(past) if newer < int(trade.trade_id) < older][:limit]

    def _ticker(self, instrument: Instrument, now_ns: int) -> Answer:
        bid, ask = best(self._truth, instrument)
        last = self._truth.recent_trades(owner_of(instrument), 1)
        if not last:
            return NOT_FOUND
        return 200, {
            "ask": _padded_price(instrument, ask[0]) if ask else "0",
            "bid": _padded_price(instrument, bid[0]) if bid else "0",
            "volume": size_text(instrument, last_day(self._truth, instrument, now_ns).size_lots),
            "trade_id": int(last[0].trade_id),
            "price": _padded_price(instrument, last[0].price_ticks),
            "size": to_text(last[0].size_lots, instrument.size_decimals),
            "time": rfc3339_text(last[0].exchange_ns or 0, 6),
            "rfq_volume": "0",
        }

    def _stats(self, instrument: Instrument, now_ns: int) -> dict[str, str]:
        day = last_day(self._truth, instrument, now_ns)
        return {
            "open": price_text(instrument, day.open_ticks),
            "high": price_text(instrument, day.high_ticks),
            "low": price_text(instrument, day.low_ticks),
            "last": price_text(instrument, day.close_ticks),
            "volume": size_text(instrument, day.size_lots),
            "volume_30day": size_text(instrument, last_days(self._truth, instrument, MONTH_DAYS, now_ns).size_lots),
            "rfq_volume_24hour": "0",
            "rfq_volume_30day": "0",
        }

    def _volumes(self, instrument: Instrument, now_ns: int) -> dict[str, Any]:
        base, quote = instrument.symbol.split("-")
        none = ("rfq_volume_24hour", "rfq_volume_30day", "conversion_volume_24hour", "conversion_volume_30day")
        return {
            "id": instrument.native,
            "base_currency": base,
            "quote_currency": quote,
            "display_name": instrument.native,
            "market_types": ["spot"],
            "spot_volume_24hour": size_text(instrument, last_day(self._truth, instrument, now_ns).size_lots),
            "spot_volume_30day": size_text(instrument, last_days(self._truth, instrument, MONTH_DAYS, now_ns).size_lots),
            **dict.fromkeys(none, "0"),
        }

    def _candles(self, instrument: Instrument, query: Mapping[str, str], now_ns: int) -> Answer:
        """Candles that begin between `start` and `end`, newest first."""
        span = GRANULARITIES.get(query.get("granularity", DEFAULT_GRANULARITY))
        if span is None:
            return 400, {"message": "Unsupported granularity"}
        end_ns = _moment(query.get("end", ""), now_ns)
        begin_ns = _moment(query.get("start", ""), end_ns - MOST_CANDLES * span.seconds * SECOND_NS + 1)
        if (end_ns - begin_ns) // SECOND_NS // span.seconds > MOST_CANDLES:
            too_many = "granularity too small for the requested time range. Count of aggregations requested exceeds 300"
            return 400, {"message": too_many}
        count = max(0, (now_ns - begin_ns) // SECOND_NS // span.seconds + 2)
        found = self._truth.candles(owner_of(instrument), span, count)
        return 200, [_candle(instrument, each) for each in reversed(found) if begin_ns <= each.begin_ns <= end_ns]


def _candle(instrument: Instrument, candle: TradeSummary) -> orjson.Fragment:
    """Candle `[time, low, high, open, close, volume]`, with exact decimals as JSON numbers."""
    prices = (candle.low_ticks, candle.high_ticks, candle.open_ticks, candle.close_ticks)
    numbers = [str(candle.begin_ns // SECOND_NS), *(price_text(instrument, ticks) for ticks in prices)]
    return orjson.Fragment(f"[{','.join([*numbers, size_text(instrument, candle.size_lots)])}]")


def _trade(instrument: Instrument, trade: Trade) -> dict[str, Any]:
    return {
        "trade_id": int(trade.trade_id),
        "side": MAKER_WORDS[trade.side],
        "size": to_text(trade.size_lots, instrument.size_decimals),
        "price": _padded_price(instrument, trade.price_ticks),
        "time": rfc3339_text(trade.exchange_ns or 0, 6),
    }


def _levels(instrument: Instrument, levels: Sequence[Level]) -> list[list[Any]]:
    """Rows `[price, size, number of orders]`; always 1 order, since the simulated market has no orders."""
    return [[_padded_price(instrument, ticks), to_text(lots, instrument.size_decimals), 1] for ticks, lots in levels]


def _padded_price(instrument: Instrument, ticks: int) -> str:
    return to_text(ticks, instrument.price_decimals)


def _whole(text: str, default: int) -> int:
    """Parse an integer of at most 15 digits; the default for any other text."""
    return int(text) if len(text) <= 15 and text.isdecimal() and text.isascii() else default


def _moment(text: str, default_ns: int) -> int:
    """Parse a time, given as seconds or RFC 3339 text, to ns since 1970; the default for any other text."""
    seconds = _whole(text, -1)
    if seconds >= 0:
        return seconds * SECOND_NS
    try:
        return rfc3339_ns(text)
    except ValueError:
        return default_ns
