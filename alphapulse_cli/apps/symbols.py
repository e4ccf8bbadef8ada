"""Markets listed by an exchange, from its metadata."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from alphapulse_cli import exchanges
from alphapulse_cli.apps.collect.listing import list_instruments
from alphapulse_cli.apps.collect.plan import addresses, mode_of
from alphapulse_cli.edges.exchange.fetch import Fetcher
from alphapulse_cli.edges.exchange.rate_limit import RateLimit
from alphapulse_cli.flow.ingest import Notice
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import trim_text


@dataclass(frozen=True, slots=True)
class SymbolRow:
    """Row of one market. Sizes are exact decimal text, `min_size` is "" without a minimum."""

    exchange: str
    symbol: str
    native: str
    tick_size: str
    lot_size: str
    min_size: str
    trading: bool  # whether the market takes orders that trade
    trading_status: str  # name of a TradingStatus
    status_word: str  # the exchange's own word for it: hostile text
    alias_of: str


async def symbols(exchange_name: str, mode_name: str, url: str, rest_url: str, pattern: str, notice: Notice) -> list[SymbolRow]:
    """Markets of an exchange whose symbol matches `pattern` (any case, with * and ?; other words match anywhere), sorted by symbol.

    UsageError for an unknown exchange or mode, ExchangeError if the metadata cannot be fetched.
    """
    exchange = exchanges.get(exchange_name)
    mode, _ = mode_of(exchange.facts, mode_name, 0)
    _, rest = addresses(mode, url, rest_url)
    listed = await list_instruments(exchange, mode, Fetcher(rest, RateLimit(exchange.facts.rest_weight)), notice)
    return sorted(_matching(listed, pattern), key=lambda row: row.symbol)


def _matching(listed: Sequence[Instrument], pattern: str) -> Iterator[SymbolRow]:
    wanted = pattern.upper()
    if not any(sign in wanted for sign in "*?["):
        wanted = f"*{wanted}*"
    for one in listed:
        if fnmatchcase(one.symbol.upper(), wanted):
            yield SymbolRow(
                one.exchange,
                one.symbol,
                one.native,
                trim_text(one.tick_size_ticks, one.price_decimals),
                trim_text(one.lot_size_lots, one.size_decimals),
                trim_text(one.min_size_lots, one.size_decimals) if one.min_size_lots else "",
                one.trading,
                one.trading_status.name,
                one.status_word,
                one.alias_of,
            )
