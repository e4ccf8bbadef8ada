"""Triangles among the symbols of one exchange: three currencies, each two of which are traded for one another.

    BTC-USD  ETH-BTC  ETH-USD  ─►  USD>BTC>ETH>USD   buy BTC-USD, buy ETH-BTC, sell ETH-USD
                                   USD>ETH>BTC>USD   buy ETH-USD, sell ETH-BTC, sell BTC-USD

Each triangle comes once per direction, and begins and ends in the usual currency of account (`HOMES`). Only names are used, no
books.
"""

from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

HOMES = ("USD", "USDT", "USDC", "EUR", "GBP")  # a route begins in the first of these in its triangle; else in the first by name


class RouteStep(NamedTuple):
    """One order: buy the symbol's base with its quote, or sell base for quote."""

    symbol: str
    is_buy: bool

    @property
    def paid(self) -> str:
        """Currency that is paid."""
        base, _, quote = self.symbol.partition("-")
        return quote if self.is_buy else base

    @property
    def got(self) -> str:
        """Currency that is received."""
        base, _, quote = self.symbol.partition("-")
        return base if self.is_buy else quote


class Route(NamedTuple):
    """Three steps from the currency `home` back to it."""

    home: str
    steps: tuple[RouteStep, RouteStep, RouteStep]

    @property
    def text(self) -> str:
        """Text of the route: "USD>BTC>ETH>USD"."""
        return ">".join([self.home, *(step.got for step in self.steps)])


def find_cycles(symbols: Iterable[str]) -> list[Route]:
    """All triangles of these canonical symbols (BASE-QUOTE), once per direction, sorted by text, then by symbols."""
    markets: dict[tuple[str, str], list[RouteStep]] = {}  # by (currency paid, currency received)
    partners: dict[str, set[str]] = {}
    for symbol in sorted(set(symbols)):
        base, _, quote = symbol.partition("-")
        if not base or not quote or base == quote:
            continue
        for step in (RouteStep(symbol, True), RouteStep(symbol, False)):
            markets.setdefault((step.paid, step.got), []).append(step)
            partners.setdefault(step.paid, set()).add(step.got)
    routes = []
    for one, others_of_one in partners.items():
        for other in (name for name in others_of_one if name > one):
            for third in (name for name in others_of_one & partners[other] if name > other):
                home, *others = sorted((one, other, third), key=_preference)
                for x, y in (others, others[::-1]):
                    legs = (markets[home, x], markets[x, y], markets[y, home])
                    routes += [Route(home, steps) for steps in product(*legs)]
    return sorted(routes, key=lambda route: (route.text, route.steps))


def _preference(currency: str) -> tuple[int, str]:
    """Sort key of a currency: `HOMES` first, in their order; then by name."""
    return (HOMES.index(currency) if currency in HOMES else len(HOMES), currency)
