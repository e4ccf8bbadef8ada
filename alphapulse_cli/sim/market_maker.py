"""Simulated market of one exchange: exact books and trades, determined by a seed.

    hidden mid (shared) ─► step ─┬─ takers: levels that the mid has passed are bought or sold, best first     ─► trades
                                 ├─ makers: a fresh quote where the best one stands too far from the mid      ─┐
                                 └─ random orders: new, resized and cancelled levels, mostly near the top     ─┴► changes

A step is the content of one message about one symbol: net changes, at most one per price, none without effect.
Rules, as the tests number them:
  M1  A book is never crossed and never locked, and neither side is ever empty.
  M2  A trade takes from the best level of the side that its taker hits; that level's new size is among the same step's changes.
  M3  Trade ids grow by one for each symbol.
  M4  `sequence(symbol)` grows by the number of changes of each step.
  M5  A side keeps its first level count, but for a step's trades and planted levels, and grows by at most a twentieth (4 levels at
      least).
  M6  The same seed, symbols and sequence of (symbol, time) steps give the same history.
  M7  A planted opportunity (`sim.planted`) puts its level at the best place of its side and removes the levels of either side that
      are better or crossed. Until it ends the best levels stay and there are no trades; only sizes behind them change. Then the
      removed levels are restored.
  M8  No level and no trade is smaller than the exchange's smallest order: what a taker leaves of a level is at least that, or
      nothing.

Times are arguments, in ns since 1970. The market shares no code with `alphapulse_cli.book`, since books are compared with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, exp, floor
from random import Random

from alphapulse_cli.exchanges.protocol import Change, Level
from alphapulse_cli.market.events import Side, Trade
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.trade_summary import Span, TradeSummary
from alphapulse_cli.market.trading_status import TradingStatus
from alphapulse_cli.sim.hidden_price import HiddenMid, seed_of
from alphapulse_cli.sim.history import History
from alphapulse_cli.sim.ladder import SimulatedLadder
from alphapulse_cli.sim.listings import Listing, listings
from alphapulse_cli.sim.planted import Leg, Planted, PlantedSchedule

MAX_SWEPT = 12  # most trades of one step
CHANGES_A_STEP = 6  # most random orders of a step, before its changes are netted
HALF_SPREAD = 0.6e-4  # distance of makers' quotes from the mid, as a fraction of the price
STEEPNESS = 5.0  # gaps between levels grow by the factor exp(STEEPNESS) from the best level to the last
SIZE_TAIL = 1.3  # exponent of the power law of sizes: smaller values give heavier tails
TYPICAL_WORTH_USD = 900.0  # typical value of a level
STUB_ASK_TICKS = (10**11, 10**12 + 7, 10**13)
STUB_BID_TICKS = (1, 2)


@dataclass(frozen=True, slots=True)
class MarketStep:
    """Net changes and trades of one symbol in one step."""

    symbol: str
    changes: Sequence[Change]
    trades: Sequence[Trade]


class SimulatedMarket:
    """Market of one exchange: an `exchanges.protocol.Truth` that changes by calls of `step`."""

    def __init__(
        self,
        exchange: str,
        seed: int = 1,
        symbols: Sequence[str] = (),
        *,
        levels_per_side: int = 0,
        start_ns: int = 0,
        planted: PlantedSchedule | None = None,
        more: int = 0,
    ) -> None:
        """Create the books at `start_ns`: all listed symbols for (), the listings' depth for 0, `more` invented symbols.

        UsageError for unknown names.
        """
        self.exchange = exchange
        self._planted = planted
        self._books = {
            listing.instrument.symbol: _Book(seed, listing, levels_per_side or listing.levels_per_side, start_ns)
            for listing in listings(exchange, symbols, more)
        }
        self.instruments: Mapping[str, Instrument] = {symbol: book.instrument for symbol, book in self._books.items()}

    @property
    def symbols(self) -> list[str]:
        """Canonical symbols of the market."""
        return list(self._books)

    def step(self, symbol: str, now_ns: int) -> MarketStep:
        """Make one step of a symbol's market at `now_ns`. KeyError for an unknown symbol."""
        return self._books[symbol].step(now_ns, self._plant_in(symbol, now_ns))

    def due(self, now_ns: int) -> Sequence[str]:
        """Symbols whose planted opportunity begins or ends by `now_ns`; each needs a step now."""
        if self._planted is None:
            return ()
        return [symbol for symbol, book in self._books.items() if book.leg is not book.leg_of(self._plant_in(symbol, now_ns))]

    def _plant_in(self, symbol: str, now_ns: int) -> Planted | None:
        plant = self._planted.at(now_ns) if self._planted is not None else None
        return plant if plant is not None and plant.symbol == symbol else None

    def book(self, symbol: str, depth: int | None = None) -> tuple[Sequence[Level], Sequence[Level]]:
        """Bids and asks of a symbol, each best first: at most `depth` levels, all for None."""
        book = self._books[symbol]
        return book.bids.levels(depth), book.asks.levels(depth)

    def level_counts(self, symbol: str) -> tuple[int, int]:
        """Counts of bid levels and ask levels of a symbol."""
        book = self._books[symbol]
        return len(book.bids), len(book.asks)

    def sequence(self, symbol: str) -> int:
        """Sequence number of a symbol: it grows by one with each level change."""
        return self._books[symbol].sequence

    def restart_sequence(self, symbol: str) -> None:
        """Reset the symbol's sequence number to 1, as a restart of the exchange's engine would."""
        self._books[symbol].sequence = 1

    def double_min_size(self, symbol: str) -> None:
        """Double the minimum order size in a symbol's metadata."""
        held = self.instruments[symbol]
        self._use(held.with_rules(held.tick_size_ticks, held.lot_size_lots, 2 * held.min_size_lots))

    def set_trading_status(self, symbol: str, status: TradingStatus) -> None:
        """Set the trading status of a symbol."""
        self._use(self.instruments[symbol].with_status(status, ""))

    def _use(self, changed: Instrument) -> None:
        self._books[changed.symbol].instrument = changed
        self.instruments = {**self.instruments, changed.symbol: changed}

    def recent_trades(self, symbol: str, count: int) -> Sequence[Trade]:
        """The last `count` trades of a symbol, at most TRADES_KEPT, oldest first."""
        trades = self._books[symbol].history.trades
        return list(trades)[-count:] if count > 0 else []

    def last_day(self, symbol: str, now_ns: int) -> TradeSummary:
        """Summary of a symbol's trades of the last 24 hours."""
        return self._books[symbol].history.last_day(now_ns)

    def candles(self, symbol: str, span: Span, count: int) -> Sequence[TradeSummary]:
        """The newest `count` candles of a symbol with a trade, oldest first; as far as stored."""
        return self._books[symbol].history.candles(span, count)


class _Book:
    """Market of one symbol: both ladders and the random orders on them."""

    def __init__(self, seed: int, listing: Listing, levels_per_side: int, start_ns: int) -> None:
        self.instrument = listing.instrument
        self.history = History()
        self._random = Random(seed_of(seed, self.instrument.id, "orders"))  # noqa: S311 - a market, not a secret
        self._hidden = HiddenMid(seed, self.instrument.exchange, self.instrument.symbol)
        self._unit = float(10**self.instrument.price_decimals)
        mid = self._mid_ticks(start_ns)
        self._half_spread = max(0.5, mid * HALF_SPREAD)
        self._typical_lots = max(1.0, TYPICAL_WORTH_USD / self._worth_usd(start_ns) * 10**self.instrument.size_decimals)
        self.bids, self.asks = SimulatedLadder(is_ask=False), SimulatedLadder(is_ask=True)
        for ladder, reach in ((self.bids, 0.97 * mid), (self.asks, 4.0 * mid)):
            ladder.fill(self._first_levels(ladder.is_ask, mid, reach, levels_per_side, listing.has_stubs))
        self._near_gap = max(1.0, 4.0 * mid / levels_per_side / exp(STEEPNESS) * STEEPNESS * 4)
        self._targets = (len(self.bids), len(self.asks))
        self._last_trade_id = self._random.randrange(10**6, 10**8)
        # as on a real exchange, sequence numbers start large
        self.sequence = self._random.randrange(10**6, 10**9)
        self._touched: dict[tuple[int, bool], int] = {}
        self._made: list[Trade] = []
        self.leg: Leg | None = None  # the planted level in this book now
        self._set_aside: dict[
            tuple[int, bool], int
        ] = {}  # (ticks, is_ask) -> size before planting, restored at its end; 0: no level

    def leg_of(self, plant: Planted | None) -> Leg | None:
        """Leg of an opportunity in this book; None if it has none here."""
        return plant.leg(self.instrument.exchange) if plant is not None else None

    def _mid_ticks(self, now_ns: int) -> float:
        return self._hidden.at(now_ns) * self._unit

    def _worth_usd(self, now_ns: int) -> float:
        """Rough value of one unit of the base currency, in USD."""
        base, _, _ = self.instrument.symbol.partition("-")
        return HiddenMid(0, "", f"{base}-USD").shared(now_ns)

    def _first_levels(self, is_ask: bool, mid: float, reach: float, count: int, has_stubs: bool) -> dict[int, int]:
        """First levels of a side, lots by ticks: gaps grow with the distance from the mid, to about `reach` ticks in total."""
        sizes: dict[int, int] = {}
        expovariate = self._random.expovariate
        first_gap = reach / count * STEEPNESS / (exp(STEEPNESS) - 1.0)
        ticks = self._quote(is_ask, mid)
        stubs = STUB_ASK_TICKS if is_ask else STUB_BID_TICKS
        for i in range(count - len(stubs) * has_stubs):
            if ticks < 1:
                break
            sizes[ticks] = self._size()
            gap = 1 + int(expovariate(1.0) * first_gap * exp(STEEPNESS * i / count))
            ticks += gap if is_ask else -gap
        if has_stubs:
            sizes.update((ticks, self._size()) for ticks in stubs)
        return sizes

    def _quote(self, is_ask: bool, mid: float) -> int:
        """Price in ticks of a maker's quote: half the spread below the mid for bids, above it for asks."""
        return floor(mid + self._half_spread) + 1 if is_ask else ceil(mid - self._half_spread) - 1

    def _size(self) -> int:
        """Random size in lots, by a power law, bounded at 1000 typical sizes."""
        lots = self._typical_lots * 0.2 * self._random.paretovariate(SIZE_TAIL)
        bound = self._typical_lots * 1000
        return max(self._least, int(min(lots, bound)))

    @property
    def _least(self) -> int:
        """M8: the smallest order in lots."""
        return max(1, self.instrument.min_size_lots)

    def step(self, now_ns: int, plant: Planted | None = None) -> MarketStep:
        """Make one step: begin or end a planted opportunity, then takers, makers and random orders; returns the net changes."""
        self._touched, self._made = {}, []
        leg = self.leg_of(plant)
        if leg is not self.leg:
            self._bring_back()
            if leg is not None:
                self._plant(leg)
        if leg is not None:
            self._resize_behind()
        else:
            self._trade_on(self._mid_ticks(plant.begin_ns if plant is not None else now_ns), now_ns)
        changes = [
            (ticks, size, is_ask)
            for (ticks, is_ask), before in self._touched.items()
            if (size := (self.asks if is_ask else self.bids).sizes.get(ticks, 0)) != before
        ]
        self.sequence += len(changes)
        self.history.add(self._made, now_ns)
        return MarketStep(self.instrument.symbol, changes, self._made)

    def _plant(self, leg: Leg) -> None:
        """M7: make the planted level the best of its side, and remove better and crossed levels."""
        self.leg = leg
        own, other = (self.asks, self.bids) if leg.is_ask else (self.bids, self.asks)
        for ladder in (own, other):
            for ticks in ladder.better_than(leg.ticks):
                self._set_away(ladder, ticks)
        self._set_away(own, leg.ticks)
        self._put(own, leg.ticks, leg.lots)
        if not len(other):  # M1
            ticks = leg.ticks + (-1 if leg.is_ask else 1)
            self._set_away(other, ticks)
            self._put(other, ticks, self._size())

    def _set_away(self, ladder: SimulatedLadder, ticks: int) -> None:
        self._set_aside.setdefault((ticks, ladder.is_ask), ladder.sizes.get(ticks, 0))
        self._put(ladder, ticks, 0)

    def _bring_back(self) -> None:
        """M7: restore the levels that a planted opportunity removed or covered."""
        for (ticks, is_ask), lots in self._set_aside.items():
            self._put(self.asks if is_ask else self.bids, ticks, lots)
        self._set_aside, self.leg = {}, None

    def _resize_behind(self) -> None:
        """Resize random levels behind the best ones, while an opportunity is planted."""
        for _ in range(self._random.randint(1, CHANGES_A_STEP)):
            ladder = self.bids if self._random.random() < 0.5 else self.asks
            rank = max(1, self._rank(ladder))
            if rank < len(ladder):
                self._put(ladder, ladder.at(rank), self._size())

    def _trade_on(self, mid: float, now_ns: int) -> None:
        """Make the trades and orders of a step without a planted opportunity."""
        self._sweep(mid, now_ns)
        if self._random.random() < 0.15:
            self._take(self.asks if self._random.random() < 0.5 else self.bids, now_ns)
        for ladder in (self.bids, self.asks):
            self._quote_near(ladder, mid)
        for _ in range(self._random.randint(1, CHANGES_A_STEP)):
            self._anyone(self.bids if self._random.random() < 0.5 else self.asks, mid)

    def _put(self, ladder: SimulatedLadder, ticks: int, lots: int) -> None:
        before = ladder.put(ticks, lots)
        self._touched.setdefault((ticks, ladder.is_ask), before)

    def _other(self, ladder: SimulatedLadder) -> SimulatedLadder:
        return self.bids if ladder.is_ask else self.asks

    def _sweep(self, mid: float, now_ns: int) -> None:
        """Trade the levels that the mid has passed, best first, at most MAX_SWEPT."""
        for _ in range(MAX_SWEPT):
            if self.asks.best() <= mid and len(self.asks) > 1:
                self._trade(self.asks, self.asks.sizes[self.asks.best()], now_ns)
            elif self.bids.best() >= mid and len(self.bids) > 1:
                self._trade(self.bids, self.bids.sizes[self.bids.best()], now_ns)
            else:
                return

    def _take(self, ladder: SimulatedLadder, now_ns: int) -> None:
        """Trade a random part of the best level."""
        best_lots = ladder.sizes[ladder.best()]
        part = min(max(self._least, self._size() // 4), best_lots)
        self._trade(ladder, part if best_lots - part >= self._least else best_lots, now_ns)  # M8

    def _trade(self, ladder: SimulatedLadder, lots: int, now_ns: int) -> None:
        """M2: trade `lots` of the best level. The last level of a side is refilled rather than removed (M1)."""
        ticks = ladder.best()
        self._last_trade_id += 1
        side = Side.BUY if ladder.is_ask else Side.SELL
        self._made.append(Trade(self.instrument, str(self._last_trade_id), ticks, lots, side, now_ns))
        remaining = ladder.sizes[ticks] - lots
        self._put(ladder, ticks, remaining or (0 if len(ladder) > 1 else self._size()))

    def _clear_of_the_other_side(self, ladder: SimulatedLadder, ticks: int) -> int:
        """M1: clamp a price to at least one tick from the other side's best, and to at least 1 tick."""
        other_best = self._other(ladder).best()
        return max(ticks, other_best + 1) if ladder.is_ask else max(1, min(ticks, other_best - 1))

    def _quote_near(self, ladder: SimulatedLadder, mid: float) -> None:
        """Add a maker's quote if the best level is too far behind the mid."""
        quote = self._clear_of_the_other_side(ladder, self._quote(ladder.is_ask, mid))
        behind = ladder.best() - quote if ladder.is_ask else quote - ladder.best()
        if behind > self._half_spread and self._may_add(ladder):
            self._put(ladder, quote, self._size())

    def _may_add(self, ladder: SimulatedLadder) -> bool:
        """Whether the side is below the upper bound of M5."""
        target = self._targets[ladder.is_ask]
        return len(ladder) < target + max(4, target // 20)

    def _anyone(self, ladder: SimulatedLadder, mid: float) -> None:
        """Make a random order: add, remove or resize a level; a side below its level count only gets new levels."""
        surplus = len(ladder) - self._targets[ladder.is_ask]
        choice = self._random.random()
        if surplus < 0 or (choice < 0.33 and self._may_add(ladder)):
            self._add(ladder, mid)
        elif surplus > 0 and choice < 0.72:
            self._put(ladder, ladder.at(self._rank(ladder)), 0)
        else:
            self._put(ladder, ladder.at(self._rank(ladder)), self._size())

    def _add(self, ladder: SimulatedLadder, mid: float) -> None:
        draw = self._random
        spread_out = 40.0 if draw.random() < (0.4 if len(ladder) < self._targets[ladder.is_ask] else 0.12) else 1.0
        distance = int(draw.expovariate(1.0) * self._near_gap * spread_out)
        quote = self._quote(ladder.is_ask, mid)
        ticks = self._clear_of_the_other_side(ladder, quote + distance if ladder.is_ask else quote - distance)
        self._put(ladder, ticks, self._size())

    def _rank(self, ladder: SimulatedLadder) -> int:
        """Random rank of a level: mostly among the best few, one time in thirty anywhere."""
        if self._random.random() < 1 / 30:
            return self._random.randrange(len(ladder))
        return min(int(self._random.expovariate(1 / 6)), len(ladder) - 1)
