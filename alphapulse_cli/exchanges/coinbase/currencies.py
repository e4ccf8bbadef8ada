"""Currencies of a simulated Coinbase: records of the currencies that its products trade, for both REST interfaces, and rates.

    /v2/currencies   /v2/currencies/crypto   /v2/exchange-rates?currency=USD   (api.coinbase.com)
    /currencies   /currencies/ID                                               (api.exchange.coinbase.com)

Formats are from the documentation and from answers that client libraries quote. Networks, addresses and colours are not simulated:
they are empty, and an `asset_id` is derived from the code.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

from alphapulse_cli.exchanges.coinbase.figures import best, plain
from alphapulse_cli.exchanges.protocol import Truth
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import to_text

NAMES = {
    "BTC": "Bitcoin",
    "ETH": "Ethereum",
    "SOL": "Solana",
    "XRP": "XRP",
    "DOGE": "Dogecoin",
    "USDC": "USDC",
    "USDT": "Tether",
    "USD": "US Dollar",
    "EUR": "Euro",
    "GBP": "British Pound",
}
FIAT = {"USD": "$", "EUR": "€", "GBP": "£"}  # with their signs
FIAT_DECIMALS = 2
STABLE_DECIMALS = 6  # amount decimals of a currency that is no product's base: USDC, USDT
RATE_DIGITS = Decimal("1e-18")


def name_of(code: str) -> str:
    """Name of a currency; its code if it has no name."""
    return NAMES.get(code, code)


def currencies_of(truth: Truth) -> list[tuple[str, int]]:
    """Currencies that the products trade: code -> decimals of an amount."""
    found: dict[str, int] = {}
    for instrument in truth.instruments.values():
        base, quote = instrument.symbol.split("-")
        if base not in FIAT:
            found[base] = max(found.get(base, 0), instrument.size_decimals)
        found.setdefault(quote, FIAT_DECIMALS if quote in FIAT else STABLE_DECIMALS)
    return sorted(found.items())


def fiat_currencies(truth: Truth) -> list[dict[str, str]]:
    """Records of `/v2/currencies`."""
    return [
        {"id": code, "name": name_of(code), "min_size": to_text(1, decimals)}
        for code, decimals in currencies_of(truth)
        if code in FIAT
    ]


def crypto_currencies(truth: Truth) -> list[dict[str, Any]]:
    """Records of `/v2/currencies/crypto`."""
    return [
        {
            "asset_id": str(uuid5(NAMESPACE_DNS, code)),
            "code": code,
            "name": name_of(code),
            "color": "#000000",
            "sort_index": place,
            "exponent": decimals,
            "type": "crypto",
            "address_regex": "",
        }
        for place, (code, decimals) in enumerate(currencies_of(truth), 100)
        if code not in FIAT
    ]


def exchange_currencies(truth: Truth) -> list[dict[str, Any]]:
    """Records of `/currencies`, and of the channel `status` of the Exchange feed."""
    return [_exchange_currency(code, decimals, place) for place, (code, decimals) in enumerate(currencies_of(truth), 1)]


def _exchange_currency(code: str, decimals: int, place: int) -> dict[str, Any]:
    smallest = to_text(1, decimals)
    return {
        "id": code,
        "name": name_of(code),
        "min_size": smallest,
        "status": "online",
        "message": "",
        "max_precision": smallest,
        "convertible_to": [],
        "details": {
            "type": "fiat" if code in FIAT else "crypto",
            "symbol": FIAT.get(code),
            "network_confirmations": None,
            "sort_order": place,
            "crypto_address_link": None,
            "crypto_transaction_link": None,
            "push_payment_methods": [],
            "group_types": [],
            "display_name": None,
            "processing_time_seconds": None,
            "min_withdrawal_amount": None,
            "max_withdrawal_amount": None,
        },
        "default_network": "",
        "supported_networks": [],
        "display_name": code,
    }


def exchange_rates(truth: Truth, currency: str) -> dict[str, str] | None:
    """Value of one unit of `currency` in each other currency, from the books' mid prices; None for an unknown currency."""
    codes = [code for code, _ in currencies_of(truth)]
    if currency not in codes:
        return None
    prices = _middles(truth)
    worth = {currency: Decimal(1)}
    for _ in codes:  # each round follows one more product
        for base, quote, price in prices:
            if base in worth and quote not in worth:
                worth[quote] = worth[base] * price
            elif quote in worth and base not in worth:
                worth[base] = worth[quote] / price
    return {code: plain(worth[code].quantize(RATE_DIGITS)) for code in codes if code in worth}


def _middles(truth: Truth) -> Sequence[tuple[str, str, Decimal]]:
    """(base, quote, mid price) of each product whose book has both sides."""
    found = []
    for instrument in truth.instruments.values():
        bid, ask = best(truth, instrument)
        if bid and ask:
            base, quote = instrument.symbol.split("-")
            found.append((base, quote, _middle(instrument, bid[0] + ask[0])))
    return found


def _middle(instrument: Instrument, sum_ticks: int) -> Decimal:
    return Decimal(sum_ticks).scaleb(-instrument.price_decimals) / 2
