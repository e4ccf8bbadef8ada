"""What one quote currency is worth in another: the same by order, or what a live conversion book says at its best level.

    buy in USDT, sell in USD ─► is there a USDT-USD book?  the buyer buys USDT there, at its ask
                             ─► is there a USD-USDT book?  the seller sells USD there, at its bid
                             ─► neither: two different currencies, the two books are not compared

Either way a price is multiplied, never divided: the profit stays exact. Of several exchanges with such a book the leg's own is
preferred, then the first by name, of those that are live.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from alphapulse_cli.flow.arbitrage.exact import Exact
from alphapulse_cli.flow.arbitrage.market import Market
from alphapulse_cli.flow.arbitrage.terms import Rate

DOLLARS = frozenset({"USD", "USDT", "USDC"})  # what `treat_as_usd` takes for one another


@dataclass(frozen=True, slots=True)
class Settlement:
    """In which currency a pair's profit is counted, and how the other leg gets there: by one of `markets`, the preferred first."""

    currency: str
    note: str = ""  # what was assumed: "USDT taken as USD"
    converts_buy: bool = False  # the buyer's quote currency is the one that is converted; else the seller's
    markets: tuple[Market, ...] = ()

    def rate(self) -> tuple[Rate, Market] | None:
        """What the first live market's best level says, and which that is; None where none is live."""
        for market in self.markets:
            level = market.ask if self.converts_buy else market.bid
            if level is not None and market.is_live and not market.is_crossed:
                ticks, lots = level
                size = Exact(lots, market.size_decimals)
                return Rate(Exact(ticks, market.price_decimals), market.fee, size, market.id), market
        return None


def settlement(buy: Market, sell: Market, markets: Iterable[Market], *, treat_as_usd: bool) -> Settlement | None:
    """How a purchase here and a sale there are settled; None for currencies of which nobody says what they are to one another."""
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
