"""Walk of two books: the size that earns most when bought at one's asks and sold at the other's bids, and every level it takes.

    asks of A   ticks, lots ──► matched with ──► bids of B      pieces (ask ticks, bid ticks, lots), best first on both sides
                                   │
                 marginal net = bid * sell_weight - ask * buy_weight      per lot, an integer; it never grows along the walk

The weights hold all factors of a price: grid, taker fee (paid on each leg's notional in its quote currency), rate to the currency
of the profit. The net profit is thus a concave function of the size. Rules, numbered as the tests number them:
  W1  Nothing is walked unless the best prices cross net of fees.
  W2  An order's size is a whole multiple of both lot sizes (their least common multiple), and no less than both minimum sizes.
  W3  The best multiple is the one below or the one above the size q at which the marginal net ends being positive; if q is below
      the minimum it is the minimum, if that still earns. Among sizes that earn the same it is the smallest.
  W4  Caps (a size, a notional, what the best level of a conversion book takes) bound the size before it is rounded down to W2.
  W5  No more than MOST_PIECES are walked: books that cross so deep are two different currencies of one name. `end` says so.
Prices must not be negative (no exchange has such). All decisions are made on integers; only averages are Fractions.
"""

from dataclasses import dataclass
from enum import StrEnum, unique
from fractions import Fraction

from alphapulse_cli.book.book import Book
from alphapulse_cli.flow.arbitrage.exact import BASIS_POINTS, ZERO, Exact
from alphapulse_cli.flow.arbitrage.terms import Terms

FIRST_LOOK, LOOK_GROWTH = 4, 4  # levels first read of a side, and the factor by which more are read
MOST_PIECES = 512


@unique
class End(StrEnum):
    """Reason for which a walk ended."""

    NO_PROFIT = "the next lots earn nothing net of fees"
    NO_DEPTH = "one of the sides has no more levels"
    CAPPED = "the size, notional or conversion limit"
    TOO_DEEP = "too many levels cross to be true"


@dataclass(slots=True, eq=False)
class DepthWalk:
    """Size that earns most: `fills` of (ask ticks, bid ticks, lots); lots and `size_lots` are in 10**-terms.size_decimals.

    `net_units` are in 10**-terms.money_decimals of the settlement currency. `asks` and `bids` are the levels that were looked at,
    on their books' own grids, best first; the last of them may not be taken. Treat it as immutable.
    """

    terms: Terms
    size_lots: int
    net_units: int
    fills: tuple[tuple[int, int, int], ...]
    asks: tuple[tuple[int, int], ...]
    bids: tuple[tuple[int, int], ...]
    end: End

    @property
    def size(self) -> Exact:
        """Size in the base currency."""
        return Exact(self.size_lots, self.terms.size_decimals)

    @property
    def net(self) -> Exact:
        """Profit net of all fees, in the settlement currency."""
        return Exact(self.net_units, self.terms.money_decimals)

    @property
    def paid(self) -> Exact:
        """Cost of the asks before the fee, in the buyer's quote currency."""
        units = sum(ask * lots for ask, _, lots in self.fills)
        return Exact(units, self.terms.buy.price_decimals + self.terms.size_decimals)

    @property
    def got(self) -> Exact:
        """Proceeds of the bids before the fee, in the seller's quote currency."""
        units = sum(bid * lots for _, bid, lots in self.fills)
        return Exact(units, self.terms.sell.price_decimals + self.terms.size_decimals)

    @property
    def paid_settled(self) -> Exact:
        """`paid` in the settlement currency."""
        return self.paid if self.terms.buy.rate is None else self.paid * self.terms.buy.rate.price

    @property
    def got_settled(self) -> Exact:
        """`got` in the settlement currency."""
        return self.got if self.terms.sell.rate is None else self.got * self.terms.sell.rate.price

    @property
    def gross(self) -> Exact:
        """Profit before any fee, in the settlement currency."""
        return self.got_settled - self.paid_settled

    @property
    def buy_fee(self) -> Exact:
        """Taker fee of the buying leg, in the settlement currency."""
        return self.paid_settled * self.terms.buy.fee

    @property
    def sell_fee(self) -> Exact:
        """Taker fee of the selling leg, in the settlement currency."""
        return self.got_settled * self.terms.sell.fee

    @property
    def conversion_fee(self) -> Exact:
        """Taker fee of the conversion of a quote currency, in the settlement currency."""
        buy, sell = self.terms.buy, self.terms.sell
        fee = ZERO
        if buy.rate is not None:
            fee = fee + (self.paid_settled + self.buy_fee) * buy.rate.fee
        if sell.rate is not None:
            fee = fee + (self.got_settled - self.sell_fee) * sell.rate.fee
        return fee

    @property
    def spent(self) -> Exact:
        """Money to be laid out: the cost with every fee of the buying leg, in the settlement currency."""
        return self.paid * self.terms.buy.weight(1)

    @property
    def net_bps(self) -> Fraction:
        """Net profit in basis points of the money spent; 0 where none is spent."""
        return self.net.fraction * BASIS_POINTS / self.spent.fraction if self.spent.units else Fraction(0)

    @property
    def average_ask(self) -> Fraction:
        """Average price paid, before the fee, in the buyer's quote currency."""
        return self.paid.fraction / self.size.fraction

    @property
    def average_bid(self) -> Fraction:
        """Average price received, before the fee, in the seller's quote currency."""
        return self.got.fraction / self.size.fraction


def walk(asks: Book, bids: Book, terms: Terms) -> DepthWalk | None:
    """Find the size that earns most buying from `asks` and selling to `bids`; None if no admissible size earns anything.

    The books must be on the grids of `terms`. It is one loop, since every change that may be worth something passes through it.
    """
    buy_weight, sell_weight, capped = terms.buy_weight, terms.sell_weight, terms.caps()
    ask_levels, bid_levels = levels(asks, FIRST_LOOK, is_ask=True), levels(bids, FIRST_LOOK, is_ask=False)
    asks_seen = bids_seen = ask = bid = ask_lots = bid_lots = taken = peak = 0
    goal, end = -1, End.TOO_DEEP
    fills: list[tuple[int, int, int]] = []
    for _ in range(MOST_PIECES):  # W5
        if not ask_lots:
            if asks_seen == len(ask_levels):
                ask_levels = levels(asks, LOOK_GROWTH * asks_seen, is_ask=True)
            if asks_seen == len(ask_levels):
                end = End.NO_DEPTH
                break
            ask, ask_lots = ask_levels[asks_seen]
            ask_lots *= terms.buy_factor
            asks_seen += 1
        if not bid_lots:
            if bids_seen == len(bid_levels):
                bid_levels = levels(bids, LOOK_GROWTH * bids_seen, is_ask=False)
            if bids_seen == len(bid_levels):
                end = End.NO_DEPTH
                break
            bid, bid_lots = bid_levels[bids_seen]
            bid_lots *= terms.sell_factor
            bids_seen += 1
        if goal < 0 and bid * sell_weight <= ask * buy_weight:  # W1; beyond it only the lots to which W3 rounds up
            if not taken:
                return None
            peak, goal, end = taken, terms.at_least(taken), End.NO_PROFIT
        wanted = min(bid_lots, ask_lots)
        allowed = wanted if capped is None else capped.allow(wanted, ask, bid)
        lots = allowed if goal < 0 else min(allowed, goal - taken)
        if lots:
            fills.append((ask, bid, lots))
            taken += lots
        if taken == goal:
            break
        if allowed < wanted:
            end = End.CAPPED if goal < 0 else end
            break
        ask_lots -= lots
        bid_lots -= lots
    if goal < 0:
        peak = taken
    size, net = _best(fills, peak, taken if taken == goal else 0, terms)
    if not size:
        return None
    if size < taken:
        fills = _first(fills, size)
    return DepthWalk(terms, size, net, tuple(fills), tuple(ask_levels[:asks_seen]), tuple(bid_levels[:bids_seen]), end)


def _best(fills: list[tuple[int, int, int]], peak: int, above: int, terms: Terms) -> tuple[int, int]:
    """W3: (size, net) of the multiple below the peak, or of the one above it if that earns more; (0, 0) if neither earns."""
    best_size, best_net = 0, 0
    for size in (peak - peak % terms.step, above):
        net = net_of(fills, size, terms) if size >= terms.minimum else 0
        if net > best_net:
            best_size, best_net = size, net
    return best_size, best_net


def net_of(fills: list[tuple[int, int, int]], size_lots: int, terms: Terms) -> int:
    """Net profit of the first `size_lots` of these fills, in 10**-money_decimals."""
    net, buy_weight, sell_weight = 0, terms.buy_weight, terms.sell_weight
    for ask, bid, lots in fills:
        if lots >= size_lots:
            return net + size_lots * (bid * sell_weight - ask * buy_weight)
        net += lots * (bid * sell_weight - ask * buy_weight)
        size_lots -= lots
    return net


def levels(book: Book, count: int, *, is_ask: bool) -> list[tuple[int, int]]:
    """Best `count` levels of a side, best first. Few are read at a time, since most walks end within the first look."""
    return book.asks(count) if is_ask else book.bids(count)


def _first(fills: list[tuple[int, int, int]], size_lots: int) -> list[tuple[int, int, int]]:
    kept = []
    for ask, bid, lots in fills:
        piece = min(lots, size_lots)
        if not piece:
            break
        kept.append((ask, bid, piece))
        size_lots -= piece
    return kept
