"""Conversion of one quote currency to another: at par where the user says so, or by the best level of a live conversion book.

    buy in USDT, sell in USD ─► is there a USDT-USD book?  the buyer buys USDT there, at its ask
                             ─► is there a USD-USDT book?  the seller sells USD there, at its bid
                             ─► neither: two different currencies, the two books are not compared

Either way a price is multiplied, never divided: the profit stays exact. Where several exchanges have such a book, the leg's own is
preferred, then the first by name, among those that are live.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from alphapulse_cli.flow.arbitrage.exact import Exact
from alphapulse_cli.flow.arbitrage.market import ArbitrageMarket
from alphapulse_cli.flow.arbitrage.terms import Rate

DOLLARS = frozenset({"USD", "USDT", "USDC"})  # currencies that `treat_as_usd` counts as one


@dataclass(frozen=True, slots=True)
class Settlement:
    """Currency of a pair's profit, and the conversion of the other leg to it by one of `markets`, the preferred first."""

    currency: str
    note: str = ""  # assumption made: "USDT taken as USD"
    converts_buy: bool = False  # the buyer's quote currency is converted; otherwise the seller's
    markets: tuple[ArbitrageMarket, ...] = ()

    def rate(self) -> tuple[Rate, ArbitrageMarket] | None:
        """Rate of the first live market's best level, and that market; None if none is live."""
        for market in self.markets:
            level = market.ask if self.converts_buy else market.bid
            if level is not None and market.is_live and not market.is_crossed:
                ticks, lots = level
                size = Exact(lots, market.size_decimals)
                return Rate(Exact(ticks, market.price_decimals), market.fee, size, market.id), market
        return None


def settlement(
    buy: ArbitrageMarket, sell: ArbitrageMarket, markets: Iterable[ArbitrageMarket], *, treat_as_usd: bool
) -> Settlement | None:
    """Settlement of a purchase at `buy` and a sale at `sell`; None for two currencies without a conversion."""
    paid, got = buy.quote, sell.quote
    if paid == got:
        return Settlement(got)
    if treat_as_usd and {paid, got} <= DOLLARS:
        return Settlement("USD", f"{' and '.join(sorted({paid, got} - {'USD'}))} taken as USD")
    known = list(markets)
    for symbol, converts_buy, leg in ((f"{paid}-{got}", True, buy), (f"{got}-{paid}", False, sell)):
        found = [market for market in known if market.symbol == symbol]
        if found:
            found.sort(key=lambda market: (market.name != leg.name, market.exchange != leg.exchange, market.name))
            return Settlement(got if converts_buy else paid, "", converts_buy, tuple(found))
    return None
