"""What may become an opportunity: two exchanges' books of one thing (`Pair`), bought here and sold there.

A candidate answers, of the books as they are now: do the best prices cross net of fees? may they be believed? what would the best size
earn? The detector asks in that order, since the first question costs two multiplications and the last a walk through both books.
"""

from dataclasses import dataclass
from enum import StrEnum, unique
from fractions import Fraction
from typing import Protocol, Self

from alphapulse_cli.flow.arbitrage.conversion import Settlement
from alphapulse_cli.flow.arbitrage.depth_walk import DepthWalk, End, walk
from alphapulse_cli.flow.arbitrage.exact import ZERO, Exact
from alphapulse_cli.flow.arbitrage.market import Market
from alphapulse_cli.flow.arbitrage.terms import Leg, Rate, Terms

SECOND_NS = 1_000_000_000


@unique
class Why(StrEnum):
    """Why there is no opportunity where prices cross net of fees, and why one ended; `meaning` for people."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        """Known by its value in JSON."""
        made = str.__new__(cls, value)
        made._value_ = value
        made.meaning = meaning
        return made

    GONE = "gone", "the prices no longer cross net of fees"
    NOT_LIVE = "not_live", "a book is not live"
    NOT_TRADABLE = "not_tradable", "an exchange takes no order now that would trade, or says so in a word that is not known"
    TOO_OLD = "too_old", "a book has not changed for longer than --max-age"
    OUT_OF_STEP = "out_of_step", "the feeds' delays differ by more than --max-skew"
    CROSSED = "crossed", "a book is crossed in itself"
    NO_RATE = "no_rate", "the book that converts the currency is not live"
    TOO_SMALL = "too_small", "no size that the exchanges accept earns anything"
    BELOW_LIMITS = "below_limits", "below --min-profit or --min-bps"
    UNWATCHED = "unwatched", "the watch ended"


REAL_ENDS = frozenset({Why.GONE, Why.TOO_SMALL, Why.BELOW_LIMITS})  # the market's own; after the others it may have lived on


@dataclass(frozen=True, slots=True)
class ArbitragePolicy:
    """What counts as an opportunity. Money in the currency of the profit, sizes in the base currency."""

    size: Exact | None = None  # no larger
    notional: Exact | None = None  # what is bought costs no more, before fees
    min_profit: Exact = ZERO  # no less, net
    min_bps: Exact = ZERO  # no less, net, of what is spent
    max_age_ns: int = 10 * SECOND_NS
    max_skew_us: int = 500_000
    report_every_ns: int = SECOND_NS // 10  # changes of one opportunity are told this often at most; births and deaths always
    treat_as_usd: bool = False
    triangular: bool = False
    trust_unverified: bool = False  # trade LIVE books too that their exchange's checksums always refute


class Finding(Protocol):
    """What a walk found: a size and what it earns, in the currency of the profit."""

    @property
    def size(self) -> Exact:
        """In the base currency."""

    @property
    def net(self) -> Exact:
        """Net of all fees."""

    @property
    def spent(self) -> Exact:
        """What must be laid out, fees included."""

    @property
    def gross(self) -> Exact:
        """Before any fee."""

    @property
    def net_bps(self) -> Fraction:
        """The net of what is spent, in basis points."""

    @property
    def end(self) -> End:
        """What ended the walk."""


class Candidate(Protocol):
    """What the detector looks at when one of its `markets` changed."""

    kind: str  # "pair" or "triangle"
    symbol: str
    buy: Market  # where it begins
    sell: Market  # where it ends

    @property
    def markets(self) -> tuple[Market, ...]:
        """All whose prices it now depends on."""

    @property
    def currency(self) -> str:
        """Of the profit."""

    @property
    def note(self) -> str:
        """What was assumed, or which book converts; "" for neither."""

    def is_rate(self, market: Market) -> bool:
        """Whether that market's best level is part of the terms."""

    def forget_terms(self) -> None:
        """A grid, a rule or a rate is another."""

    def crosses(self) -> bool:
        """Whether the best prices earn anything net of fees."""

    def is_convertible(self) -> bool:
        """Whether all currencies can be counted in that of the profit now."""

    def walk(self) -> Finding | None:
        """The size that earns most now."""

    def best_return(self) -> Fraction | None:
        """What the best prices earn net of fees, of what is spent; None where a side is empty or nothing converts."""


class Pair:
    """Buy at `buy`'s asks and sell at `sell`'s bids."""

    kind = "pair"

    def __init__(self, buy: Market, sell: Market, settled: Settlement, policy: ArbitragePolicy) -> None:
        self.buy, self.sell = buy, sell
        self.symbol = buy.symbol if buy.quote == sell.quote else f"{buy.base}-{settled.currency}"
        self.settled = settled
        self._policy = policy
        self._terms: Terms | None = None
        self._markets: tuple[Market, ...] = (buy, sell)

    def settle(self, settled: Settlement) -> None:
        """Count the profit so from now on."""
        self.settled = settled
        self.forget_terms()

    @property
    def markets(self) -> tuple[Market, ...]:
        """The two books, and the one that converts."""
        return self._markets

    @property
    def currency(self) -> str:
        """In which the profit is counted."""
        return self.settled.currency

    @property
    def note(self) -> str:
        """What converts, or was assumed."""
        rate = None if self._terms is None else self._terms.buy.rate or self._terms.sell.rate
        return self.settled.note if rate is None else f"{rate.source} at {rate.price.text}"

    def is_rate(self, market: Market) -> bool:
        """Any but the two that are traded."""
        return market is not self.buy and market is not self.sell

    def forget_terms(self) -> None:
        """They are made again when they are needed."""
        self._terms, self._markets = None, (self.buy, self.sell)

    def terms(self) -> Terms | None:
        """For the books' grids and the rate of now; None where nothing live converts."""
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
        """By the last rate known: without one it is for `is_convertible` to say."""
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
        """Both books, from the best prices on."""
        terms = self.terms()
        return None if terms is None else walk(self.buy.book, self.sell.book, terms)

    def best_return(self) -> Fraction | None:
        """Below 0 where it would cost."""
        terms, ask, bid = self.terms(), self.buy.ask, self.sell.bid
        if terms is None or ask is None or bid is None or not ask[0]:
            return None
        return Fraction(bid[0] * terms.sell_weight, ask[0] * terms.buy_weight) - 1


def _leg(market: Market, rate: Rate | None) -> Leg:
    return Leg(market.price_decimals, market.size_decimals, market.fee, market.order_rules(), rate)
