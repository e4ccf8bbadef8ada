"""Instruments: symbols, native names, the integer grid of prices and sizes, and the reading of symbols that people type."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from alphapulse_cli.errors import UsageError
from alphapulse_cli.market.scan import MAX_DECIMALS
from alphapulse_cli.market.trading_status import TradingStatus

NAME_BYTES = 16  # of a symbol and of an exchange's name in a record, NUL-padded ASCII
SYMBOL_PATTERN = re.compile(r"[A-Za-z0-9.]+-[A-Za-z0-9.]+")  # mixed case exists: AAPLx-USD
QUOTES = (  # quote currencies by which names without a separator (BTCUSDT) are split
    *("USDT", "USDC", "FDUSD", "PYUSD", "DAI", "USD", "EUR", "GBP", "JPY", "AUD", "CAD", "CHF", "BRL", "TRY"),
    *("BTC", "XBT", "ETH", "BNB"),
)
OLD_NAMES = {"XBT": "BTC", "XDG": "DOGE"}  # Kraken's older asset names, which people still type


@dataclass(frozen=True, slots=True)
class Instrument:
    """One market of one exchange: its names, and the grid on which its prices and sizes are integers.

    price = ticks / 10**price_decimals, size = lots / 10**size_decimals. The exchange's own tick size is `tick_size_ticks` of our
    ticks and its lot size `lot_size_lots` of our lots; both are 1 where the exchange's equals ours.
    """

    exchange: str  # "kraken"
    symbol: str  # canonical BASE-QUOTE: "BTC-USD"
    native: str  # the exchange's own name: "BTC/USD", "BTCUSDT"
    price_decimals: int
    size_decimals: int
    tick_size_ticks: int = 1
    lot_size_lots: int = 1
    min_size_lots: int = 0
    trading_status: TradingStatus = TradingStatus.TRADING  # an exchange that reports no status trades what it lists
    alias_of: str = ""  # the canonical symbol whose book this one shares, as Coinbase's BTC-USDC shares BTC-USD's
    status_word: str = field(default="", compare=False)  # the exchange's own word for its trading status: hostile text
    grid_is_final: bool = False  # the grid cannot be refined: a finer level is left out and counted, without an OffGrid event

    @property
    def id(self) -> str:
        """Instrument id as in logs and `--symbol`: "kraken:BTC-USD"."""
        return f"{self.exchange}:{self.symbol}"

    @property
    def trading(self) -> bool:
        """Whether the market accepts orders that take liquidity."""
        return self.trading_status.allows_taking

    @property
    def rules(self) -> tuple[int, int, int]:
        """Order rules (tick_size_ticks, lot_size_lots, min_size_lots): the increments and the smallest size of an order."""
        return self.tick_size_ticks, self.lot_size_lots, self.min_size_lots

    def with_rules(self, tick_size_ticks: int, lot_size_lots: int, min_size_lots: int) -> "Instrument":
        """Copy with other order rules (in ticks and lots of the same grid)."""
        return replace(self, tick_size_ticks=tick_size_ticks, lot_size_lots=lot_size_lots, min_size_lots=min_size_lots)

    def with_status(self, trading_status: TradingStatus, status_word: str) -> "Instrument":
        """Copy with another trading status."""
        return replace(self, trading_status=trading_status, status_word=status_word)

    def on_grid(self, price_decimals: int, size_decimals: int) -> "Instrument | None":
        """Copy on a grid of at least these decimals, its rules rescaled; None where that takes more than 18 decimals."""
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
    """Return the canonical symbol itself.

    UsageError where it is not BASE-QUOTE, or longer than the 16 bytes of a record's field (never cut).
    """
    if not SYMBOL_PATTERN.fullmatch(symbol):
        raise UsageError(f"not a symbol: {symbol[:40]!r}", "write BASE-QUOTE, as in BTC-USD")
    if len(symbol) > NAME_BYTES:
        raise UsageError(f"symbol {symbol[:40]!r} does not fit the {NAME_BYTES} bytes that a record keeps for it")
    return symbol


def split_id(text: str) -> tuple[str, str]:
    """Split "kraken:BTC-USD" into ("kraken", "BTC-USD"), a bare symbol into ("", "BTC-USD"). UsageError for anything else."""
    exchange, colon, symbol = text.rpartition(":")
    if colon and not re.fullmatch(r"[a-z0-9-]+", exchange):
        raise UsageError(f"not an exchange: {exchange[:40]!r}", "write exchange:BASE-QUOTE, as in kraken:BTC-USD")
    return exchange, check_symbol(symbol)


def understood_id(text: str) -> tuple[str, str]:
    """Split an id in the spellings people use: "btc-usd", "BTC/USDT", "kraken:XBTUSD" are BTC-USD, BTC-USDT, kraken:BTC-USD.

    Returns (exchange, symbol) as `split_id`. UsageError for text that is no symbol, and for one that may be several: "BTCFDUSD" is
    BTC-FDUSD or BTCFD-USD.
    """
    exchange, _, symbol = text.strip().rpartition(":")
    may_be = _canonical(symbol) if len(symbol) <= 40 and symbol.isascii() else []
    if len(may_be) > 1:
        raise UsageError(f"not a symbol: {symbol!r}", f"did you mean {' or '.join(may_be)}?")
    return split_id(f"{exchange.lower()}:{may_be[0]}" if exchange and may_be else may_be[0] if may_be else text)


def _canonical(symbol: str) -> list[str]:
    """All canonical symbols that the text may mean; empty for text that is no symbol."""
    if SYMBOL_PATTERN.fullmatch(symbol) and not symbol.islower() and symbol.partition("-")[0] not in OLD_NAMES:
        return [symbol]
    parts = [part for part in re.split(r"[-/_]", symbol.upper()) if re.fullmatch(r"[A-Z0-9.]+", part)]
    if len(parts) == 2 and len(re.findall(r"[-/_]", symbol)) == 1:
        return ["-".join(OLD_NAMES.get(part, part) for part in parts)]
    if len(parts) != 1 or not re.fullmatch(r"[A-Z0-9]+", symbol.upper()):
        return []
    whole = parts[0]
    found = [(whole[: -len(quote)], quote) for quote in QUOTES if whole.endswith(quote) and whole != quote]
    return [f"{OLD_NAMES.get(base, base)}-{OLD_NAMES.get(quote, quote)}" for base, quote in found]


def near_symbols(wanted: str, known: Iterable[str], limit: int = 5) -> list[str]:
    """Up to `limit` of the `known` canonical symbols that `wanted` may be a misspelling of, likeliest first.

    First those that differ only in case, separator, order or an old name ("btcusd", "BTC/USD", "USD-BTC", "XBT-USD"). If there are
    none, all quotes of a lone base ("BTC"); then typos ("BTC-UDS"). Only the first 40 characters of `wanted` are compared.
    """
    import difflib

    parts = [OLD_NAMES.get(part, part) for part in re.findall("[A-Z0-9.]+", wanted[:40].upper())]
    key, turned = "".join(parts), "".join(reversed(parts))
    if key[:3] in OLD_NAMES:  # written in one: XBTUSD
        key = OLD_NAMES[key[:3]] + key[3:]
    by_key: dict[str, list[str]] = {}
    for symbol in sorted(set(known)):
        by_key.setdefault(symbol.upper().replace("-", ""), []).append(symbol)
    same = [*by_key.get(key, ()), *by_key.get(turned, ())]
    of_base = [symbol for symbols in by_key.values() for symbol in symbols if symbol.upper().partition("-")[0] == key]
    typos = [symbol for close in difflib.get_close_matches(key, by_key, n=limit, cutoff=0.7) for symbol in by_key[close]]
    return list(dict.fromkeys(same or of_base or typos))[:limit]
