"""Most traded markets of an exchange, by the value of a day's trades in US dollars."""

from collections.abc import Mapping, Sequence

from alphapulse_cli.market.instrument import Instrument

DOLLARS = frozenset({"USD", "USDT", "USDC", "FDUSD", "PYUSD", "DAI", "TUSD", "USDG", "USD1"})  # each taken for one dollar

Volumes = Mapping[str, tuple[float, float]]  # native name -> (volume of 24 hours in the base currency, last price)


def most_traded(listed: Sequence[Instrument], volumes: Volumes, count: int) -> list[Instrument]:
    """Instruments with the largest value traded in 24 hours, the largest first, at most `count`.

    A market is left out if its quote currency has no price in dollars on this exchange, or if no volume is told for it.
    """
    prices = {symbol: price for symbol, (_, price) in _by_symbol(listed, volumes).items()}
    worth = {
        symbol: volume * price * _dollars(symbol.rpartition("-")[2], prices)
        for symbol, (volume, price) in _by_symbol(listed, volumes).items()
    }
    ranked = sorted((one for one in listed if worth.get(one.symbol, 0.0) > 0), key=lambda one: (-worth[one.symbol], one.symbol))
    return ranked[:count]


def _by_symbol(listed: Sequence[Instrument], volumes: Volumes) -> dict[str, tuple[float, float]]:
    return {one.symbol: volumes[one.native] for one in listed if one.native in volumes}


def _dollars(currency: str, prices: Mapping[str, float]) -> float:
    """Price of a currency in dollars, by this exchange's own markets; 0 where it has none."""
    if currency in DOLLARS:
        return 1.0
    direct = next((prices[f"{currency}-{dollar}"] for dollar in sorted(DOLLARS) if prices.get(f"{currency}-{dollar}")), 0.0)
    inverse = next((1 / prices[f"{dollar}-{currency}"] for dollar in sorted(DOLLARS) if prices.get(f"{dollar}-{currency}")), 0.0)
    return direct or inverse
