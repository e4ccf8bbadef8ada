"""Cycle of one exchange as a candidate: three of its books, from one currency through two others and back."""

from collections.abc import Mapping
from fractions import Fraction

from alphapulse_cli.flow.arbitrage.candidate import ArbitragePolicy
from alphapulse_cli.flow.arbitrage.market import ArbitrageMarket
from alphapulse_cli.flow.arbitrage.routes import Route, find_cycles
from alphapulse_cli.flow.arbitrage.triangle import CycleLeg, CycleTerms, CycleWalk, walk_cycle


class Cycle:
    """Three orders, one after another, that begin and end in one currency.

    The policy's `notional` caps the money spent; its `size`, in one base currency, has no effect.
    """

    kind = "triangle"
    note = ""

    def __init__(
        self, route: Route, markets: tuple[ArbitrageMarket, ArbitrageMarket, ArbitrageMarket], policy: ArbitragePolicy
    ) -> None:
        self.route, self.markets = route, markets
        self.buy = self.sell = markets[0]
        self.symbol, self.currency = route.text, route.home
        self._policy = policy
        self._is_buy = tuple(step.is_buy for step in route.steps)
        self._terms: CycleTerms | None = None

    def is_rate(self, market: ArbitrageMarket) -> bool:  # noqa: ARG002 as every candidate
        """Always False: a cycle has no conversion book."""
        return False

    def forget_terms(self) -> None:
        """Drop the terms; they are made again on demand."""
        self._terms = None

    def terms(self) -> CycleTerms:
        """Terms for the books' present grids."""
        if self._terms is None:
            one, two, three = (
                CycleLeg(is_buy, market.price_decimals, market.size_decimals, market.fee, market.order_rules())
                for is_buy, market in zip(self._is_buy, self.markets, strict=True)
            )
            self._terms = CycleTerms((one, two, three))
        return self._terms

    def _prices(self) -> tuple[int, int, int] | None:
        """Best prices in ticks, asks for purchases and bids for sales; None if a side is empty."""
        first, second, third = self.markets
        buys_first, buys_second, buys_third = self._is_buy
        one = first.ask if buys_first else first.bid
        two = second.ask if buys_second else second.bid
        three = third.ask if buys_third else third.bid
        return None if one is None or two is None or three is None else (one[0], two[0], three[0])

    def crosses(self) -> bool:
        """Whether one unit sent round at the best prices returns as more, net of fees."""
        prices = self._prices()
        return prices is not None and (self._terms or self.terms()).crosses(prices)

    def is_convertible(self) -> bool:
        """Always True: a cycle ends in the currency in which it began."""
        return True

    def walk(self) -> CycleWalk | None:
        """Walk of all three books from the best prices on; None if no order earns anything."""
        return walk_cycle([market.book for market in self.markets], self.terms(), self._policy.notional)

    def best_return(self) -> Fraction | None:
        """Net return of the best prices, negative for a loss; None if a side is empty."""
        prices = self._prices()
        return None if prices is None else self.terms().best_return(prices)


def cycles_of(markets: Mapping[str, ArbitrageMarket], policy: ArbitragePolicy) -> list[Cycle]:
    """All cycles of one set, whose markets are given by symbol."""
    found = []
    for route in find_cycles(markets):
        one, two, three = (markets[step.symbol] for step in route.steps)
        found.append(Cycle(route, (one, two, three), policy))
    return found
