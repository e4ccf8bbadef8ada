"""Market for arbitrage: one book with its set, its exchange's fee and order rules, and its current state."""

from dataclasses import dataclass, field
from typing import NamedTuple

from alphapulse_cli.book.book import Book
from alphapulse_cli.flow.arbitrage.exact import Exact
from alphapulse_cli.flow.arbitrage.terms import Rules
from alphapulse_cli.market.trading_status import TradingStatus, allows_taking
from alphapulse_cli.wire.delta import BookReason, BookState

Level = tuple[int, int]  # (ticks, lots)
Mark = tuple[str, str, int, int, int | None, int, int]  # fields of a Standing


class Standing(NamedTuple):
    """State of a market at one moment, for `arb explain`."""

    name: str
    symbol: str
    version: int
    timestamp_ns: int
    feed_delay_us: int | None
    price_decimals: int
    size_decimals: int


@dataclass(slots=True, eq=False)
class ArbitrageMarket:
    """One book as a market. `bid` and `ask` are its current best levels; prices are in ticks of 10**-price_decimals.

    `timestamp_ns` is the receive time of the last message that changed the book, `feed_delay_us` that message's feed delay, None if
    unknown.
    """

    name: str  # of the set: "kraken", or the name given with `collect --as`
    exchange: str
    symbol: str
    fee: Exact
    rules: Rules | None = None  # None: any size on the book's grid
    is_traded: bool = True  # False: it only converts currencies for others
    trusts_unverified: bool = False  # whether a LIVE book that is UNVERIFIED may be traded
    book: Book = field(default_factory=lambda: Book(0, 0))
    bid: Level | None = None
    ask: Level | None = None
    price_decimals: int = 0
    size_decimals: int = 0
    version: int = 0
    timestamp_ns: int = 0
    feed_delay_us: int | None = None
    state: BookState = BookState.COLD
    reason: BookReason = BookReason.STARTING
    trading_status: TradingStatus | None = None  # None: not told by its writer
    is_tradable: bool = True
    is_live: bool = False
    is_crossed: bool = False

    @property
    def id(self) -> str:
        """Id of the market: "kraken:BTC-USD"."""
        return f"{self.name}:{self.symbol}"

    @property
    def base(self) -> str:
        """Currency that is bought or sold."""
        return self.symbol.partition("-")[0]

    @property
    def quote(self) -> str:
        """Currency in which it is paid."""
        return self.symbol.partition("-")[2]

    def mark(self) -> Mark:
        """Fields of its present Standing."""
        return (
            self.name,
            self.symbol,
            self.version,
            self.timestamp_ns,
            self.feed_delay_us,
            self.price_decimals,
            self.size_decimals,
        )

    def order_rules(self) -> Rules:
        """Order rules; where the exchange gives none, any size on the book's grid."""
        return self.rules or Rules(1, 0, self.size_decimals)

    def take(
        self,
        book: Book,
        version: int,
        timestamp_ns: int,
        feed_delay_us: int | None,
        state: BookState,
        reason: BookReason,
        trading_status: TradingStatus | None,
    ) -> bool:
        """Update from the current state of the book; returns whether its grid changed."""
        self.book, self.version, self.timestamp_ns, self.feed_delay_us = book, version, timestamp_ns, feed_delay_us
        self.state, self.reason = state, reason
        self.is_live = state is BookState.LIVE and (reason is not BookReason.UNVERIFIED or self.trusts_unverified)
        if trading_status is not self.trading_status:
            self.trading_status, self.is_tradable = trading_status, allows_taking(trading_status)
        bid, ask = self.bid, self.ask = book.best_bid(), book.best_ask()
        self.is_crossed = bid is not None and ask is not None and bid[0] > ask[0]
        if book.price_decimals == self.price_decimals and book.size_decimals == self.size_decimals:
            return False
        self.price_decimals, self.size_decimals = book.price_decimals, book.size_decimals
        return True
