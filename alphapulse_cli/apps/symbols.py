"""What an exchange lists, from its own metadata: names, grid, smallest order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from alphapulse_cli import exchanges
from alphapulse_cli.apps.collect import list_instruments
from alphapulse_cli.apps.plan import addresses, mode_of
from alphapulse_cli.edges.fetch import Fetcher
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import trim_text


@dataclass(frozen=True, slots=True)
class Listing:
    """One symbol. Sizes are exact decimal text; the tick size is the smallest step of a price, the lot size that of a size."""

    exchange: str
    symbol: str
    native: str
    tick_size: str
    lot_size: str
    min_size: str  # "" where the exchange says none
    trading: bool
    alias_of: str

    def row(self) -> dict[str, Any]:
        """As JSON has it."""
        return {name: getattr(self, name) for name in self.__slots__}


async def list_symbols(
    name: str,
    pattern: str = "",
    mode: str = "",
    url: str = "",
    rest_url: str = "",
    notice: Callable[[str, str], None] | None = None,
) -> list[Listing]:
    """The exchange's symbols that match, sorted. UsageError for an unknown exchange, ExchangeError if it cannot be asked."""
    exchange = exchanges.get(name)
    chosen, _ = mode_of(exchange.facts, mode, 0)
    fetcher = Fetcher(addresses(chosen, url, rest_url)[1], exchange.facts.rest_weight_per_minute)
    listed = await list_instruments(exchange, chosen, fetcher, notice or (lambda _level, _message: None))
    return [_listing(one) for one in matching(listed, pattern)]


def matching(listed: Sequence[Instrument], pattern: str) -> list[Instrument]:
    """Those whose canonical or native name holds the pattern, in any case; with * or ? it must match the whole name."""
    wanted = pattern.upper()
    if not set(wanted) & set("*?["):
        wanted = f"*{wanted}*"
    found = [one for one in listed if fnmatchcase(one.symbol.upper(), wanted) or fnmatchcase(one.native.upper(), wanted)]
    return sorted(found, key=lambda one: one.symbol)


def _listing(one: Instrument) -> Listing:
    return Listing(
        one.exchange,
        one.symbol,
        one.native,
        trim_text(one.tick_size_ticks, one.price_decimals),
        trim_text(one.lot_size_lots, one.size_decimals),
        trim_text(one.min_size_lots, one.size_decimals) if one.min_size_lots else "",
        one.trading,
        one.alias_of,
    )
