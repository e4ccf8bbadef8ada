"""Records of Coinbase products, for REST and the channel `status` of simulators: names, increments, trading status, figures.

Keys are from recorded answers: Advanced Trade of April 2026, Exchange of 2023 to 2026. The simulated market has no largest order:
LARGEST_LOTS and LARGEST_QUOTE are the real limits of BTC-USD.
"""

from collections.abc import Iterable
from typing import Any

from alphapulse_cli.exchanges.coinbase.currencies import name_of
from alphapulse_cli.exchanges.coinbase.figures import (
    WITHOUT_FIGURE,
    best,
    last_day,
    percent_change,
    price_text,
    quote_volume,
    size_text,
)
from alphapulse_cli.exchanges.coinbase.instruments import status_fields
from alphapulse_cli.exchanges.protocol import Truth
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import to_text

LARGEST_LOTS, LARGEST_QUOTE = 340_000_000_000, "150000000"
SMALLEST_QUOTE = "1"
NEW_AT = "2023-01-01T00:00:00Z"
UNUSED_TEXTS = (  # keys whose value was "" in the recorded record of BTC-USD
    *("market_cap", "base_cbrn", "quote_cbrn", "product_cbrn", "icon_color", "icon_url", "display_name_overwrite"),
    *("about_description",),
)


def increments(instrument: Instrument) -> dict[str, str]:
    """Price and size increments, under the keys that all records share."""
    return {
        "base_increment": to_text(instrument.lot_size_lots, instrument.size_decimals),
        "quote_increment": to_text(instrument.tick_size_ticks, instrument.price_decimals),
    }


def advanced_record(truth: Truth, instrument: Instrument, aliases: Iterable[str], now_ns: int) -> dict[str, Any]:
    """Advanced Trade record of a product; `aliases` are the products that share its book."""
    base, quote = instrument.symbol.split("-")
    grid = increments(instrument)
    day = last_day(truth, instrument, now_ns)
    price = price_text(instrument, day.close_ticks) if day.trade_count else WITHOUT_FIGURE
    bid, ask = best(truth, instrument)
    return {
        "product_id": instrument.native,
        "price": price,
        "price_percentage_change_24h": percent_change(day) if day.trade_count else WITHOUT_FIGURE,
        "volume_24h": size_text(instrument, day.size_lots),
        "volume_percentage_change_24h": WITHOUT_FIGURE,
        **grid,
        "quote_min_size": SMALLEST_QUOTE,
        "quote_max_size": LARGEST_QUOTE,
        "base_min_size": to_text(instrument.min_size_lots, instrument.size_decimals),
        "base_max_size": size_text(instrument, LARGEST_LOTS),
        "base_name": name_of(base),
        "quote_name": name_of(quote),
        "watched": False,
        "is_disabled": False,
        "new": False,
        **status_fields(instrument.trading_status),
        "product_type": "SPOT",
        "quote_currency_id": quote,
        "base_currency_id": base,
        "fcm_trading_session_details": None,
        "mid_market_price": WITHOUT_FIGURE,
        "alias": instrument.alias_of,
        "alias_to": list(aliases),
        "base_display_symbol": base,
        "quote_display_symbol": quote,
        "view_only": False,
        "price_increment": grid["quote_increment"],
        "display_name": instrument.native,
        "product_venue": "CBE",
        "approximate_quote_24h_volume": quote_volume(instrument, day, 2),
        "new_at": NEW_AT,
        **dict.fromkeys(UNUSED_TEXTS, ""),
        "is_alpha_testing": False,
        "best_bid_price": price_text(instrument, bid[0]) if bid else WITHOUT_FIGURE,
        "best_ask_price": price_text(instrument, ask[0]) if ask else WITHOUT_FIGURE,
    }


def exchange_record(instrument: Instrument) -> dict[str, Any]:
    """Exchange record of a product; it has `base_min_size`, which the exchange no longer sends, if the market has one."""
    base, quote = instrument.symbol.split("-")
    return {
        "id": instrument.native,
        "base_currency": base,
        "quote_currency": quote,
        **increments(instrument),
        "base_min_size": to_text(instrument.min_size_lots, instrument.size_decimals),
        "display_name": instrument.native,
        "min_market_funds": SMALLEST_QUOTE,
        "margin_enabled": False,
        **status_fields(instrument.trading_status),
        "status_message": "",
        "fx_stablecoin": False,
        "max_slippage_percentage": "0.02000000",
        "high_bid_limit_percentage": "",
    }


def exchange_status(instrument: Instrument) -> dict[str, Any]:
    """Row of a product in a `status` frame of the Exchange feed."""
    record = exchange_record(instrument)
    for key in ("base_min_size", "trading_disabled", "high_bid_limit_percentage"):
        del record[key]
    return {**record, "type": "spot"}


def advanced_status(instrument: Instrument) -> dict[str, Any]:
    """Row of a product in a `status` frame of Advanced Trade, in the documented format."""
    base, quote = instrument.symbol.split("-")
    return {
        "product_type": "SPOT",
        "id": instrument.native,
        "base_currency": base,
        "quote_currency": quote,
        **increments(instrument),
        "display_name": f"{base}/{quote}",
        "status": status_fields(instrument.trading_status)["status"],
        "status_message": "",
        "min_market_funds": SMALLEST_QUOTE,
    }
