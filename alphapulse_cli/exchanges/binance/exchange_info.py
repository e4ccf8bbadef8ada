"""GET exchangeInfo of the simulators of Binance and Binance.US: limits, and each symbol with all its filters.

Grids and smallest orders are the instrument's. The other fields have the values of the recorded Binance.US answer of 2021-10-12
and, where Binance's differ, of its public documentation (rest-api.md, filters.md; MIN_NOTIONAL became NOTIONAL). Bounds of prices,
sizes and orders are of the recorded order of magnitude, rounded to the grid.
"""

from typing import Any

from alphapulse_cli.exchanges.binance.instruments import status_word
from alphapulse_cli.exchanges.binance.wire import WIRE_DECIMALS, wire_text
from alphapulse_cli.market.instrument import Instrument

ORDER_TYPES = ("LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT")
RATE_LIMITS = {  # (kind, interval, number of them, limit); Binance.US as recorded, Binance as documented
    "binance-us": (
        ("REQUEST_WEIGHT", "MINUTE", 1, 1200),
        ("ORDERS", "SECOND", 10, 100),
        ("ORDERS", "DAY", 1, 200_000),
        ("RAW_REQUESTS", "MINUTE", 5, 6100),
    ),
    "binance": (
        ("REQUEST_WEIGHT", "MINUTE", 1, 6000),
        ("ORDERS", "SECOND", 10, 100),
        ("ORDERS", "DAY", 1, 200_000),
        ("RAW_REQUESTS", "MINUTE", 5, 61_000),
    ),
}
LARGEST_PRICE, LARGEST_SIZE, LARGEST_MARKET_SIZE = 1_000_000, 9_000_000, 100_000  # in base or quote currency
SMALLEST_WORTH, LARGEST_WORTH = {"binance-us": "10.00000000", "binance": "5.00000000"}, "9000000.00000000"
SMALLEST_WORTH_IN_BTC = "0.00010000"


def exchange_info(exchange: str, instruments: list[Instrument], now_ms: int) -> dict[str, Any]:
    """Body of the answer for these instruments."""
    names = ("rateLimitType", "interval", "intervalNum", "limit")
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": [dict(zip(names, row, strict=True)) for row in RATE_LIMITS[exchange]],
        "exchangeFilters": [],
        "symbols": [_symbol(exchange, instrument) for instrument in instruments],
    }


def _symbol(exchange: str, instrument: Instrument) -> dict[str, Any]:
    base, _, quote = instrument.symbol.partition("-")
    precisions = ("quotePrecision", "quoteAssetPrecision", "baseCommissionPrecision", "quoteCommissionPrecision")
    row = {
        "symbol": instrument.native,
        "status": status_word(instrument),
        "baseAsset": base,
        "baseAssetPrecision": WIRE_DECIMALS,
        "quoteAsset": quote,
        **dict.fromkeys(precisions, WIRE_DECIMALS),
        "orderTypes": list(ORDER_TYPES),
        "icebergAllowed": True,
        "ocoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": _filters(exchange, instrument, quote),
        "permissions": ["SPOT"],
    }
    if exchange == "binance":
        row |= {
            "otoAllowed": True,
            "allowTrailingStop": True,
            "cancelReplaceAllowed": True,
            "amendAllowed": True,
            "permissions": [],
            "permissionSets": [["SPOT"]],
            "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
            "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT"],
        }
    return row


def _filters(exchange: str, instrument: Instrument, quote: str) -> list[dict[str, Any]]:
    prices, sizes = instrument.price_decimals, instrument.size_decimals
    tick, lot = instrument.tick_size_ticks, instrument.lot_size_lots
    largest_ticks = LARGEST_PRICE * 10**prices // tick * tick
    largest_lots = LARGEST_SIZE * 10**sizes // lot * lot
    worth = SMALLEST_WORTH_IN_BTC if quote == "BTC" else SMALLEST_WORTH[exchange]
    notional = {
        "binance-us": {"filterType": "MIN_NOTIONAL", "minNotional": worth, "applyToMarket": True, "avgPriceMins": 5},
        "binance": {
            "filterType": "NOTIONAL",
            "minNotional": worth,
            "applyMinToMarket": True,
            "maxNotional": LARGEST_WORTH,
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
    }
    percent = {
        "binance-us": {"filterType": "PERCENT_PRICE", "multiplierUp": "5", "multiplierDown": "0.2", "avgPriceMins": 5},
        "binance": {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": "5",
            "bidMultiplierDown": "0.2",
            "askMultiplierUp": "5",
            "askMultiplierDown": "0.2",
            "avgPriceMins": 5,
        },
    }
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": wire_text(tick, prices),
            "maxPrice": wire_text(largest_ticks, prices),
            "tickSize": wire_text(tick, prices),
        },
        percent[exchange],
        {
            "filterType": "LOT_SIZE",
            "minQty": wire_text(instrument.min_size_lots, sizes),
            "maxQty": wire_text(largest_lots, sizes),
            "stepSize": wire_text(lot, sizes),
        },
        notional[exchange],
        {"filterType": "ICEBERG_PARTS", "limit": 10},
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": wire_text(0, sizes),
            "maxQty": wire_text(LARGEST_MARKET_SIZE * 10**sizes, sizes),
            "stepSize": wire_text(0, sizes),
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
    ]
