"""What is traded, where, and on which grid its numbers lie."""

import re
from dataclasses import dataclass, replace

from alphapulse_cli.errors import UsageError

NAME_BYTES = 16  # what a record keeps for a symbol and for an exchange, NUL-padded ASCII
MAX_DECIMALS = 18
SYMBOL_PATTERN = re.compile(r"[A-Za-z0-9.]+-[A-Za-z0-9.]+")  # mixed case exists: AAPLx-USD


@dataclass(frozen=True, slots=True)
class Instrument:
    """One market of one exchange: its names, and the grid on which its prices and sizes are integers.

    price = ticks / 10**price_decimals, size = lots / 10**size_decimals. The exchange's own tick size is `tick_size_ticks` of our
    ticks, its lot size `lot_size_lots` of our lots (1 where it says nothing finer is meant).
    """

    exchange: str  # "kraken"
    symbol: str  # canonical BASE-QUOTE: "BTC-USD"
    native: str  # the exchange's own name: "BTC/USD", "BTCUSDT"
    price_decimals: int
    size_decimals: int
    tick_size_ticks: int = 1
    lot_size_lots: int = 1
    min_size_lots: int = 0
    trading: bool = True
    alias_of: str = ""  # the canonical symbol whose book this one shares, as Coinbase's BTC-USDC shares BTC-USD's

    @property
    def id(self) -> str:
        """As it is written in logs and in `--symbol`: "kraken:BTC-USD"."""
        return f"{self.exchange}:{self.symbol}"

    def on_grid(self, price_decimals: int, size_decimals: int) -> "Instrument | None":
        """The same on a grid at least this fine; None if that takes more than 18 decimals."""
        prices, sizes = max(price_decimals, self.price_decimals), max(size_decimals, self.size_decimals)
        if prices > MAX_DECIMALS or sizes > MAX_DECIMALS:
            return None
        return replace(
            self,
            price_decimals=prices,
            size_decimals=sizes,
            tick_size_ticks=self.tick_size_ticks * 10 ** (prices - self.price_decimals),
            lot_size_lots=self.lot_size_lots * 10 ** (sizes - self.size_decimals),
            min_size_lots=self.min_size_lots * 10 ** (sizes - self.size_decimals),
        )


def check_symbol(symbol: str) -> str:
    """The canonical symbol itself, or UsageError: not BASE-QUOTE, or longer than the 16 bytes a record keeps (never cut)."""
    if not SYMBOL_PATTERN.fullmatch(symbol):
        raise UsageError(f"not a symbol: {symbol[:40]!r}", "write BASE-QUOTE, as in BTC-USD")
    if len(symbol) > NAME_BYTES:
        raise UsageError(f"symbol {symbol[:40]!r} does not fit the {NAME_BYTES} bytes that a record keeps for it")
    return symbol


def split_id(text: str) -> tuple[str, str]:
    """("kraken", "BTC-USD") of "kraken:BTC-USD"; ("", "BTC-USD") of a bare symbol. UsageError for anything else."""
    exchange, colon, symbol = text.rpartition(":")
    if colon and not re.fullmatch(r"[a-z0-9-]+", exchange):
        raise UsageError(f"not an exchange: {exchange[:40]!r}", "write exchange:BASE-QUOTE, as in kraken:BTC-USD")
    return exchange, check_symbol(symbol)
