"""Coinbase's REST side for simulators: product records, the book and the time, in the shapes of either interface.

    Advanced Trade   /api/v3/brokerage/market/products[/ID]   /api/v3/brokerage/market/product_book?product_id=ID&limit=N   /…/time
                     /api/v3/brokerage/market/products/ID/ticker?limit=N
    Exchange         /products[/ID]   /products/ID/book?level=2   /products/ID/trades?limit=N   /time

Books by REST carry no number that a feed knows: the collector never asks for one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from alphapulse_cli.exchanges.coinbase.facts import ADVANCED, FACTS
from alphapulse_cli.exchanges.coinbase.instruments import status_fields
from alphapulse_cli.exchanges.coinbase.server import MAKER_WORDS
from alphapulse_cli.exchanges.protocol import Level, Truth
from alphapulse_cli.exchanges.timestamps import SECOND_NS, rfc3339_text
from alphapulse_cli.market.events import Trade
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import to_text

BROKERAGE, MARKET = "/api/v3/brokerage", "/api/v3/brokerage/market"
MOST_TRADES = 1000
BEST_LEVELS = 50  # levels a side, where the request names no limit

Answer = tuple[int, Any]


class RestEncoder:
    """REST side of a simulated Coinbase, in the interface of its mode."""

    def __init__(self, truth: Truth, mode: str = "") -> None:
        self._truth = truth
        advanced = FACTS.mode(mode).name == ADVANCED
        self._answer: Callable[[str, Mapping[str, str], int], Answer] = self._advanced if advanced else self._exchange

    @property
    def _products(self) -> dict[str, Instrument]:
        """Instruments by product name, as they are now."""
        return {instrument.native: instrument for instrument in self._truth.instruments.values()}

    def respond(self, path: str, query: Mapping[str, str], now_ns: int) -> tuple[int, bytes]:
        """Answer a GET with (HTTP status, body)."""
        status, body = self._answer(path, query, now_ns)
        return status, orjson.dumps(body)

    def _advanced(self, path: str, query: Mapping[str, str], now_ns: int) -> Answer:
        if path == f"{BROKERAGE}/time":
            millis = str(now_ns // 1_000_000)
            return 200, {"iso": rfc3339_text(now_ns, 0), "epochSeconds": str(now_ns // SECOND_NS), "epochMillis": millis}
        if path == f"{MARKET}/products":
            records = [self._advanced_record(instrument) for instrument in self._products.values()]
            return 200, {"products": records, "num_products": len(records)}
        is_ticker = path.startswith(f"{MARKET}/products/") and path.endswith("/ticker")
        name = query.get("product_id", "") if path == f"{MARKET}/product_book" else path.removeprefix(f"{MARKET}/products/")
        name = name.removesuffix("/ticker")
        instrument = self._products.get(name)
        if instrument is None:
            return 404, {
                "error": "NOT_FOUND",
                "error_details": "valid product_id is required",
                "message": "valid product_id is required",
            }
        if is_ticker:
            trades = self._recent_trades(instrument, query)
            return 200, {
                "trades": [{**_trade(each), "product_id": name, "side": MAKER_WORDS[each.side].upper()} for each in trades]
            }
        if path != f"{MARKET}/product_book":
            return 200, self._advanced_record(instrument)
        limit = query.get("limit", "")
        bids, asks = self._book(instrument, int(limit) if limit.isdecimal() and limit.isascii() else BEST_LEVELS)
        sides = {"bids": _dicts(instrument, bids), "asks": _dicts(instrument, asks)}
        return 200, {"pricebook": {"product_id": name, **sides, "time": rfc3339_text(now_ns, 6)}}

    def _exchange(self, path: str, query: Mapping[str, str], now_ns: int) -> Answer:
        if path == "/time":
            return 200, {"iso": rfc3339_text(now_ns, 3), "epoch": now_ns // 1_000_000 / 1000}
        if path == "/products":
            return 200, [_exchange_record(instrument) for instrument in self._products.values()]
        is_trades = path.endswith("/trades")
        name = path.removeprefix("/products/").removesuffix("/book").removesuffix("/trades")
        instrument = self._products.get(name)
        if instrument is None:
            return 404, {"message": "NotFound"}
        if is_trades:
            trades = self._recent_trades(instrument, query)
            return 200, [{**_trade(each), "trade_id": int(each.trade_id), "side": MAKER_WORDS[each.side]} for each in trades]
        if not path.endswith("/book"):
            return 200, _exchange_record(instrument)
        bids, asks = self._book(instrument, None if query.get("level", "1") == "2" else 1)
        sides = {"bids": _triples(instrument, bids), "asks": _triples(instrument, asks)}
        return 200, {**sides, "sequence": self._truth.sequence(self._owner(instrument)), "time": rfc3339_text(now_ns, 6)}

    def _recent_trades(self, instrument: Instrument, query: Mapping[str, str]) -> Sequence[Trade]:
        """Last trades, newest first, as many as the query's limit says."""
        limit = query.get("limit", "")
        count = min(int(limit), MOST_TRADES) if limit.isdecimal() and limit.isascii() else MOST_TRADES
        return list(reversed(self._truth.recent_trades(self._owner(instrument), count)))

    def _owner(self, instrument: Instrument) -> str:
        return instrument.alias_of or instrument.symbol

    def _book(self, instrument: Instrument, depth: int | None) -> tuple[Sequence[Level], Sequence[Level]]:
        return self._truth.book(self._owner(instrument), depth)

    def _advanced_record(self, instrument: Instrument) -> dict[str, Any]:
        base, quote = instrument.symbol.split("-")
        tick = to_text(instrument.tick_size_ticks, instrument.price_decimals)
        others = [each.native for each in self._products.values() if each.alias_of == instrument.symbol]
        return {
            "product_id": instrument.native,
            "price_increment": tick,
            "quote_increment": tick,
            "base_increment": to_text(instrument.lot_size_lots, instrument.size_decimals),
            "base_min_size": to_text(instrument.min_size_lots, instrument.size_decimals),
            "base_currency_id": base,
            "quote_currency_id": quote,
            "base_display_symbol": base,
            "quote_display_symbol": quote,
            "product_type": "SPOT",
            **status_fields(instrument.trading_status),
            "is_disabled": False,
            "view_only": False,
            "alias": instrument.alias_of,
            "alias_to": others,
        }


def _exchange_record(instrument: Instrument) -> dict[str, Any]:
    base, quote = instrument.symbol.split("-")
    return {
        "id": instrument.native,
        "base_currency": base,
        "quote_currency": quote,
        "quote_increment": to_text(instrument.tick_size_ticks, instrument.price_decimals),
        "base_increment": to_text(instrument.lot_size_lots, instrument.size_decimals),
        "base_min_size": to_text(instrument.min_size_lots, instrument.size_decimals),
        "min_market_funds": "1",
        "display_name": f"{base}/{quote}",
        **status_fields(instrument.trading_status),
    }


def _trade(trade: Trade) -> dict[str, Any]:
    instrument = trade.instrument
    return {
        "trade_id": trade.trade_id,
        "price": to_text(trade.price_ticks, instrument.price_decimals),
        "size": to_text(trade.size_lots, instrument.size_decimals),
        "time": rfc3339_text(trade.exchange_ns or 0, 6),
    }


def _dicts(instrument: Instrument, levels: Sequence[Level]) -> list[dict[str, str]]:
    return [{"price": price, "size": size} for price, size in _texts(instrument, levels)]


def _triples(instrument: Instrument, levels: Sequence[Level]) -> list[list[Any]]:
    return [[price, size, 1] for price, size in _texts(instrument, levels)]  # 1: the number of orders, unknown here


def _texts(instrument: Instrument, levels: Sequence[Level]) -> list[tuple[str, str]]:
    prices, sizes = instrument.price_decimals, instrument.size_decimals
    return [(to_text(ticks, prices), to_text(lots, sizes)) for ticks, lots in levels]
