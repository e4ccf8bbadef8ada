"""Instruments of the simulated exchanges: grids and book depths.

Grids and native names are those of the real exchanges, so that decoders meet realistic numbers. `levels_per_side` applies to
each side. Full-depth books also have stub orders at extreme prices.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from string import ascii_uppercase

from alphapulse_cli import exchanges
from alphapulse_cli.errors import UsageError
from alphapulse_cli.exchanges import Listed
from alphapulse_cli.market.instrument import Instrument


@dataclass(frozen=True, slots=True)
class Listing:
    """An instrument of a simulated exchange and the shape of its book."""

    instrument: Instrument
    levels_per_side: int
    has_stubs: bool = False


LISTED: dict[str, Sequence[Listed]] = {
    "kraken": (
        ("BTC-USD", "BTC/USD", 1, 8, 2500),
        ("ETH-USD", "ETH/USD", 2, 8, 2500),
        ("SOL-USD", "SOL/USD", 2, 8, 2000),
        ("XRP-USD", "XRP/USD", 5, 8, 2000),
        ("DOGE-USD", "DOGE/USD", 7, 8, 2000),
        ("ETH-BTC", "ETH/BTC", 5, 8, 800),
    ),
    "coinbase": (
        ("BTC-USD", "BTC-USD", 2, 8, 22900),
        ("ETH-USD", "ETH-USD", 2, 8, 12000),
        ("SOL-USD", "SOL-USD", 2, 8, 4000),
        ("XRP-USD", "XRP-USD", 4, 6, 4000),
        ("DOGE-USD", "DOGE-USD", 5, 1, 3000),
        ("ETH-BTC", "ETH-BTC", 5, 8, 800),
    ),
    "binance-us": (
        ("BTC-USD", "BTCUSD", 2, 5, 4000),
        ("ETH-USD", "ETHUSD", 2, 4, 4000),
        ("SOL-USD", "SOLUSD", 2, 3, 3000),
        ("XRP-USD", "XRPUSD", 4, 0, 3000),
        ("DOGE-USD", "DOGEUSD", 5, 0, 3000),
        ("ETH-BTC", "ETHBTC", 5, 4, 800),
        ("BTC-USDT", "BTCUSDT", 2, 5, 4000),
        ("ETH-USDT", "ETHUSDT", 2, 4, 4000),
    ),
    "binance": (
        ("BTC-USDT", "BTCUSDT", 2, 5, 5000),
        ("ETH-USDT", "ETHUSDT", 2, 4, 5000),
        ("SOL-USDT", "SOLUSDT", 2, 3, 4000),
        ("XRP-USDT", "XRPUSDT", 4, 1, 4000),
        ("DOGE-USDT", "DOGEUSDT", 5, 0, 3000),
        ("ETH-BTC", "ETHBTC", 5, 4, 800),
    ),
    "okx": (
        ("BTC-USD", "BTC-USD", 1, 8, 1000),
        ("ETH-USD", "ETH-USD", 2, 6, 1000),
        ("SOL-USD", "SOL-USD", 2, 6, 1000),
        ("XRP-USD", "XRP-USD", 4, 6, 800),
        ("DOGE-USD", "DOGE-USD", 5, 6, 800),
        ("ETH-BTC", "ETH-BTC", 5, 6, 500),
        ("BTC-USDT", "BTC-USDT", 1, 8, 1000),
        ("ETH-USDT", "ETH-USDT", 2, 6, 1000),
    ),
    "bitfinex": (  # prices with five significant digits
        ("BTC-USD", "tBTCUSD", 0, 8, 1000),
        ("ETH-USD", "tETHUSD", 1, 8, 1000),
        ("SOL-USD", "tSOLUSD", 2, 8, 800),
        ("XRP-USD", "tXRPUSD", 4, 8, 800),
        ("DOGE-USD", "tDOGE:USD", 5, 8, 800),
        ("ETH-BTC", "tETHBTC", 6, 8, 400),
        ("BTC-USDT", "tBTCUST", 0, 8, 800),
        ("ETH-USDT", "tETHUST", 1, 8, 800),
    ),
    "bybit": (
        ("BTC-USDT", "BTCUSDT", 1, 6, 2500),
        ("ETH-USDT", "ETHUSDT", 2, 5, 2500),
        ("SOL-USDT", "SOLUSDT", 2, 3, 2000),
        ("XRP-USDT", "XRPUSDT", 4, 2, 2000),
        ("DOGE-USDT", "DOGEUSDT", 5, 1, 2000),
        ("ETH-BTC", "ETHBTC", 6, 5, 800),
    ),
}
# minimum order size in lots if it is more than one lot; invented, in the order of magnitude of the real ones. For Bitfinex, BTC's is
# the real one, as quoted by third parties; the others have about the same value, between 2.5 and 5 USD.
MIN_SIZES: dict[str, dict[str, int]] = {
    "kraken": {
        "BTC-USD": 5_000,
        "ETH-USD": 100_000,
        "SOL-USD": 2_000_000,
        "XRP-USD": 200_000_000,
        "DOGE-USD": 1_500_000_000,
        "ETH-BTC": 100_000,
    },
    "coinbase": {"ETH-USD": 1_000, "XRP-USD": 1_000},
    "binance-us": {"SOL-USD": 10, "DOGE-USD": 2},
    "okx": {"BTC-USD": 1_000, "ETH-USD": 100, "SOL-USD": 1_000, "XRP-USD": 1_000_000, "DOGE-USD": 10_000_000, "BTC-USDT": 1_000},
    "bitfinex": {
        "BTC-USD": 6_000,
        "ETH-USD": 120_000,
        "SOL-USD": 2_000_000,
        "XRP-USD": 200_000_000,
        "DOGE-USD": 2_200_000_000,
        "ETH-BTC": 120_000,
        "BTC-USDT": 6_000,
        "ETH-USDT": 120_000,
    },
    "bybit": {"BTC-USDT": 11, "XRP-USDT": 100},
}
INVENTED_BASES = [f"{first}{second}{third}" for first in "QVWZ" for second in ascii_uppercase for third in ascii_uppercase]
INVENTED_LEVELS = 40
FULL_DEPTH = frozenset({"coinbase"})


def listings(exchange: str, symbols: Sequence[str] = (), more: int = 0) -> list[Listing]:
    """Listings of an exchange for these canonical symbols, in their order; all its listings for (), with `more` invented ones.

    UsageError, with near matches, for an exchange or a symbol that is not simulated.
    """
    held = rows_of(exchange)
    rows = {row[0]: row for row in (*held, *_invented(held[0], more))}
    for symbol in symbols:
        if symbol not in rows:
            near = get_close_matches(symbol.upper(), rows, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it lists {', '.join(rows)}"
            raise UsageError(f"the simulated {exchange} does not list {symbol[:40]!r}", hint)
    return [_listing(exchange, rows[symbol]) for symbol in dict.fromkeys(symbols or rows)]


def _invented(like: Listed, count: int) -> list[Listed]:
    """Listings of invented markets with small books, QAA-USD, QAB-USD …, named as the exchange names the market `like`."""
    if count > len(INVENTED_BASES):
        raise UsageError(f"{count} invented markets; there are names for {len(INVENTED_BASES)}")
    symbol, native, *_ = like
    base, _, quote = symbol.partition("-")
    return [(f"{name}-{quote}", native.replace(base, name, 1), 4, 2, INVENTED_LEVELS) for name in INVENTED_BASES[:count]]


def rows_of(exchange: str) -> Sequence[Listed]:
    """Listing rows of an exchange, from the table here or from a plug-in's package. UsageError if there are none."""
    if exchange in LISTED:
        return LISTED[exchange]
    rows = exchanges.get(exchange).listings if exchange in exchanges.names() else ()
    if not rows:
        raise UsageError(f"no simulator of {exchange[:40]!r}", f"simulators are: {', '.join(simulated())}")
    return rows


def simulated() -> list[str]:
    """Names of the exchanges with a simulator, plug-ins last; plug-ins that cannot be loaded are left out."""
    found = list(LISTED)
    for name in exchanges.names():
        if name not in LISTED:
            with suppress(UsageError):
                found += [name] if exchanges.get(name).listings else []
    return found


def _listing(exchange: str, row: Listed) -> Listing:
    symbol, native, price_decimals, size_decimals, levels_per_side = row
    smallest = MIN_SIZES.get(exchange, {}).get(symbol, 1)
    instrument = Instrument(exchange, symbol, native, price_decimals, size_decimals, min_size_lots=smallest)
    return Listing(instrument, levels_per_side, exchange in FULL_DEPTH)
