"""Candidates for an opportunity: two exchanges' books of one base currency (`Pair`), to buy on one and sell on the other.

A candidate answers, for the books as they are now: do the best prices cross net of fees? can all currencies be converted? what
would the best size earn? The detector asks in that order, since the first question costs two multiplications and the last a walk
through both books.
"""

from dataclasses import dataclass
from enum import StrEnum, unique
from fractions import Fraction
from typing import Protocol, Self

from alphapulse_cli.flow.arbitrage.conversion import Settlement
from alphapulse_cli.flow.arbitrage.depth_walk import DepthWalk, End, walk
from alphapulse_cli.flow.arbitrage.exact import ZERO, Exact
from alphapulse_cli.flow.arbitrage.market import ArbitrageMarket
from alphapulse_cli.flow.arbitrage.terms import Leg, Rate, Terms

SECOND_NS = 1_000_000_000


@unique
class RejectReason(StrEnum):
    """Reason for which crossing prices are no opportunity, or for which one ended; `meaning` is for people."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        """Make a member whose value is its name in JSON."""
        made = str.__new__(cls, value)
        made._value_ = value
        made.meaning = meaning
        return made

    GONE = "gone", "the prices no longer cross net of fees"
    NOT_LIVE = "not_live", "a book is not live"
    NOT_TRADABLE = "not_tradable", "an exchange accepts no order now that would trade, or its trading status is unknown"
    TOO_OLD = "too_old", "a book has not changed for longer than --max-age"
    OUT_OF_STEP = "out_of_step", "the feeds' delays differ by more than --max-skew"
    CROSSED = "crossed", "a book is crossed in itself"
    NO_RATE = "no_rate", "the book that converts the currency is not live"
    TOO_SMALL = "too_small", "no size that the exchanges accept earns anything"
    BELOW_LIMITS = "below_limits", "below --min-profit or --min-bps"
    UNWATCHED = "unwatched", "the watch ended"


REAL_ENDS = frozenset(
    {RejectReason.GONE, RejectReason.TOO_SMALL, RejectReason.BELOW_LIMITS}
)  # ends seen in the market; after any other it may have lived on


@dataclass(frozen=True, slots=True)
class ArbitragePolicy:
    """Limits on opportunities. Money is in the currency of the profit, sizes are in the base currency."""

    size: Exact | None = None  # largest size
    notional: Exact | None = None  # largest cost of the bought levels, before fees
    min_profit: Exact = ZERO  # smallest net profit
    min_bps: Exact = ZERO  # smallest net profit in basis points of the money spent
    max_age_ns: int = 10 * SECOND_NS  # since a book's last change
    max_skew_us: int = 500_000  # between the feed delays of an opportunity's books
    report_every_ns: int = SECOND_NS // 10  # shortest time between two reported changes; births and deaths are always reported
    treat_as_usd: bool = False  # USD, USDT and USDC count as one currency
    triangular: bool = False  # look at cycles of one exchange too
    trust_unverified: bool = False  # trade also LIVE books that are UNVERIFIED


class Finding(Protocol):
    """Result of a walk: a size and its profit, in the currency of the profit."""

    @property
    def size(self) -> Exact:
        """Size in the base currency."""

    @property
    def net(self) -> Exact:
        """Profit net of all fees."""

    @property
    def spent(self) -> Exact:
        """Money to be laid out, fees included."""

    @property
    def gross(self) -> Exact:
        """Profit before any fee."""

    @property
    def net_bps(self) -> Fraction:
        """Net profit in basis points of the money spent."""

    @property
    def end(self) -> End:
        """Reason for which the walk ended."""


class Candidate(Protocol):
    """Possible opportunity, looked at by the detector when one of its `markets` changed."""

    kind: str  # "pair" or "triangle"
    symbol: str
    buy: ArbitrageMarket  # market of the first order
    sell: ArbitrageMarket  # market of the last order of a pair; a cycle's is its first market too

    @property
    def markets(self) -> tuple[ArbitrageMarket, ...]:
        """All markets on whose prices it now depends."""

    @property
    def currency(self) -> str:
        """Currency of the profit."""

    @property
    def note(self) -> str:
        """Assumption made, or the book that converts; "" for neither."""

    def is_rate(self, market: ArbitrageMarket) -> bool:
        """Whether that market's best level is part of the terms."""

    def forget_terms(self) -> None:
        """Drop the terms, after a change of a grid, a rule or a rate."""

    def crosses(self) -> bool:
        """Whether the best prices earn anything net of fees."""

    def is_convertible(self) -> bool:
        """Whether all currencies can now be converted to that of the profit."""

    def walk(self) -> Finding | None:
        """Walk the books to the size that earns most now; None if none earns anything."""

    def best_return(self) -> Fraction | None:
        """Net return of the best prices as a fraction of the money spent; None if a side is empty or nothing converts."""


class Pair:
    """Purchase from `buy`'s asks and sale to `sell`'s bids."""

    kind = "pair"

    def __init__(self, buy: ArbitrageMarket, sell: ArbitrageMarket, settled: Settlement, policy: ArbitragePolicy) -> None:
        self.buy, self.sell = buy, sell
        self.symbol = buy.symbol if buy.quote == sell.quote else f"{buy.base}-{settled.currency}"
        self.settled = settled
        self._policy = policy
        self._terms: Terms | None = None
        self._markets: tuple[ArbitrageMarket, ...] = (buy, sell)

    def settle(self, settled: Settlement) -> None:
        """Count the profit in the currency of this settlement from now on."""
        self.settled = settled
        self.forget_terms()

    @property
    def markets(self) -> tuple[ArbitrageMarket, ...]:
        """The two books, and the one that converts, if any."""
        return self._markets

    @property
    def currency(self) -> str:
        """Currency of the profit."""
        return self.settled.currency

    @property
    def note(self) -> str:
        """Book that converts, or the assumption made."""
        rate = None if self._terms is None else self._terms.buy.rate or self._terms.sell.rate
        return self.settled.note if rate is None else f"{rate.source} at {rate.price.text}"

    def is_rate(self, market: ArbitrageMarket) -> bool:
        """Whether the market is another than the two that are traded."""
        return market is not self.buy and market is not self.sell

    def forget_terms(self) -> None:
        """Drop the terms; they are made again on demand."""
        self._terms, self._markets = None, (self.buy, self.sell)

    def terms(self) -> Terms | None:
        """Terms for the books' grids and the present rate; None if no live book converts."""
        if self._terms is None:
            rate = None
            if self.settled.markets:
                found = self.settled.rate()
                if found is None:
                    return None
                rate, converter = found
                self._markets = (self.buy, self.sell, converter)
            converts_buy = self.settled.converts_buy
            buy, sell = _leg(self.buy, rate if converts_buy else None), _leg(self.sell, None if converts_buy else rate)
            self._terms = Terms(buy, sell, self._policy.size, self._policy.notional)
        return self._terms

    def crosses(self) -> bool:
        """Whether the best prices cross net of fees, at the last known conversion rate.

        Without a rate prices are compared without fees, and `is_convertible` decides.
        """
        ask, bid = self.buy.ask, self.sell.bid
        if ask is None or bid is None:
            return False
        terms = self._terms or self.terms()
        if terms is None:
            return bid[0] * int(10**self.buy.price_decimals) > ask[0] * int(10**self.sell.price_decimals)
        return bid[0] * terms.sell_weight > ask[0] * terms.buy_weight

    def is_convertible(self) -> bool:
        """Whether there are terms."""
        return self.terms() is not None

    def walk(self) -> DepthWalk | None:
        """Walk of both books from the best prices on; None if no size earns anything."""
        terms = self.terms()
        return None if terms is None else walk(self.buy.book, self.sell.book, terms)

    def best_return(self) -> Fraction | None:
        """Net return of the best prices, negative for a loss; None if a side is empty or nothing converts."""
        terms, ask, bid = self.terms(), self.buy.ask, self.sell.bid
        if terms is None or ask is None or bid is None or not ask[0]:
            return None
        return Fraction(bid[0] * terms.sell_weight, ask[0] * terms.buy_weight) - 1


def _leg(market: ArbitrageMarket, rate: Rate | None) -> Leg:
    return Leg(market.price_decimals, market.size_decimals, market.fee, market.order_rules(), rate)
