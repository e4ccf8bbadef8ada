"""Planted opportunities: arbitrage between two simulated exchanges, with known times and an exactly known profit.

    (seed, symbols, exchanges, time) ─► PlantedSchedule ─► Planted ─► the buy exchange's market: its best ask, too low
                                                                 └──► the sell exchange's market: its best bid, too high

Time is divided into slots of `every_ns` since 1970, each with one opportunity, so that all simulators, in one process or many,
compute the same ones without communicating. Rules, as the tests number them:
  P1  The same seed, exchanges, symbols and slot length give the same opportunities, each inside its slot.
  P2  Net of both exchanges' lowest-tier taker fees there is a profit; against any third exchange of the schedule there is none.
  P3  Both levels have the same size, whole lots of both exchanges and no less than their minimum orders; one trade of that size
      takes the whole profit.
  P4  Until it ends the two levels do not change, and the symbol's hidden price is constant on every exchange of the schedule.

Prices come from the shared hidden price, whose floats are rounded to ticks here; from then on all numbers are exact.
`Planted.outcome` shares no code with the detection of arbitrage, which is compared with it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from math import ceil, lcm

from alphapulse_cli import exchanges as registry
from alphapulse_cli.errors import UsageError
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.sim.hidden_price import HiddenMid, scatter, seed_of
from alphapulse_cli.sim.listings import listings, rows_of

SECOND_NS = 1_000_000_000
SHORTEST_EVERY_NS, LONGEST_EVERY_NS = SECOND_NS // 2, 3600 * SECOND_NS
SHORTEST_LIFE_NS, LONGEST_LIFE_NS = SECOND_NS // 5, 5 * SECOND_NS
HALF_MARGIN = (0.25, 0.40)  # half the margin, as a fraction of the lowest fee of a third exchange
UNCONTESTED_FEE = 0.004  # replaces the third exchange's fee if there is no third exchange
LOWEST_THIRD_FEE = 0.001  # with a lower fee the margin would be less than the normal differences between books
WORTH_USD = (200.0, 5000.0)
EXACT = Context(prec=80)


@dataclass(frozen=True, slots=True)
class Leg:
    """One of the two planted levels: the ask to buy from, or the bid to sell to."""

    instrument: Instrument
    ticks: int
    lots: int
    is_ask: bool

    @property
    def price(self) -> Decimal:
        """Exact price, in the quote currency."""
        return Decimal(self.ticks).scaleb(-self.instrument.price_decimals, EXACT)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Exact result of a trade: `size` in the base currency, `gross` and `net` in the quote currency; all 0 without a profit."""

    size: Decimal
    gross: Decimal
    net: Decimal


@dataclass(frozen=True, slots=True)
class Planted:
    """One planted opportunity in [`begin_ns`, `end_ns`), ns since 1970, to within a simulator's step."""

    number: int  # number of its slot in the schedule
    symbol: str
    buy: Leg
    sell: Leg
    begin_ns: int
    life_ns: int

    @property
    def end_ns(self) -> int:
        """End of the opportunity, ns since 1970."""
        return self.begin_ns + self.life_ns

    @property
    def size(self) -> Decimal:
        """Size of each level, in the base currency."""
        return Decimal(self.buy.lots).scaleb(-self.buy.instrument.size_decimals, EXACT)

    def leg(self, exchange: str) -> Leg | None:
        """Leg in that exchange's book; None if it has none there."""
        return next((leg for leg in (self.buy, self.sell) if leg.instrument.exchange == exchange), None)

    def outcome(self, buy_fee: str | None = None, sell_fee: str | None = None) -> Outcome:
        """Result at these taker fees, fractions such as "0.0026"; None takes the exchange's lowest tier."""
        paid_fee, got_fee = (
            Decimal(taker_fee(leg.instrument.exchange) if fee is None else fee)
            for leg, fee in ((self.buy, buy_fee), (self.sell, sell_fee))
        )
        multiply, subtract = EXACT.multiply, EXACT.subtract
        paid, got = multiply(self.size, self.buy.price), multiply(self.size, self.sell.price)
        gross = subtract(got, paid)
        net = subtract(subtract(gross, multiply(paid, paid_fee)), multiply(got, got_fee))
        return Outcome(self.size, gross, net) if net > 0 else Outcome(Decimal(0), Decimal(0), Decimal(0))


class PlantedSchedule:
    """Schedule of all planted opportunities among these exchanges in these symbols; () takes all symbols that two of them list."""

    def __init__(self, seed: int, exchanges: Sequence[str], symbols: Sequence[str] = (), every_ns: int = 10 * SECOND_NS) -> None:
        """Compute the symbols and pairs of exchanges.

        UsageError for unknown exchanges, no symbol that two of them list, or an invalid slot.
        """
        if not SHORTEST_EVERY_NS <= every_ns <= LONGEST_EVERY_NS:
            raise UsageError(
                f"not an interval of planted opportunities: {every_ns / 1e9:g} s", "one in 0.5 s at most, one in 3600 s at least"
            )
        self.every_ns = every_ns
        self.exchanges = sorted(set(exchanges))  # independent of the order in which the simulators were started
        self._seed = seed_of(seed, "planted")
        self._fees = {name: float(taker_fee(name)) for name in self.exchanges}
        listed: dict[str, list[Instrument]] = {}
        for name in self.exchanges:
            for listing in listings(name):
                if not symbols or listing.instrument.symbol in symbols:
                    listed.setdefault(listing.instrument.symbol, []).append(listing.instrument)
        self._pairs = {symbol: pairs for symbol, where in listed.items() if (pairs := self._safe_pairs(where))}
        self.symbols = sorted(self._pairs)
        if not self.symbols:
            raise UsageError(
                "nothing to plant: no symbol that two of these exchanges list", "name two exchanges that share a symbol"
            )
        self._worths = {symbol: HiddenMid(seed, "", symbol) for symbol in self.symbols}
        self._usd = {symbol: HiddenMid(seed, "", f"{symbol.partition('-')[0]}-USD") for symbol in self.symbols}
        self._held: Planted | None = None

    def _safe_pairs(self, where: Sequence[Instrument]) -> list[tuple[Instrument, Instrument, float]]:
        """Pairs as (buy, sell, lowest fee of a third exchange); pairs that a cheap third exchange would profit from are left out (P2)."""
        found = []
        for buy in where:
            for sell in where:
                others = [self._fees[one.exchange] for one in where if one not in (buy, sell)]
                if buy is not sell and min(others, default=UNCONTESTED_FEE) >= LOWEST_THIRD_FEE:
                    found.append((buy, sell, min(others, default=UNCONTESTED_FEE)))
        return found

    def at(self, now_ns: int) -> Planted | None:
        """Opportunity at `now_ns`, always the same object; None between two opportunities."""
        number = now_ns // self.every_ns
        held = self._held
        if held is None or held.number != number:
            held = self._held = self._slot(number)
        return held if held.begin_ns <= now_ns < held.end_ns else None

    def planted(self, from_ns: int, until_ns: int) -> Iterator[Planted]:
        """Iterate over the opportunities that begin at or after `from_ns` and before `until_ns`, in order of time."""
        for number in range(from_ns // self.every_ns, -(-until_ns // self.every_ns)):
            plant = self._slot(number)
            if from_ns <= plant.begin_ns < until_ns:
                yield plant

    def _slot(self, number: int) -> Planted:
        draw = _Draw(scatter(self._seed ^ scatter(number)))
        symbol = self.symbols[draw.below(len(self.symbols))]
        pairs = self._pairs[symbol]
        buy, sell, lowest_fee = pairs[draw.below(len(pairs))]
        longest = min(LONGEST_LIFE_NS, self.every_ns * 6 // 10)
        life_ns = int(SHORTEST_LIFE_NS * (longest / SHORTEST_LIFE_NS) ** draw.fraction())
        begin_ns = number * self.every_ns + self.every_ns // 10 + draw.below(max(1, self.every_ns * 8 // 10 - life_ns))
        worth = self._worths[symbol].shared(begin_ns)
        half = lowest_fee * draw.between(*HALF_MARGIN)
        ask = _to_grid(worth * (1.0 - half) / (1.0 + self._fees[buy.exchange]), buy)
        bid = _to_grid(worth * (1.0 + half) / (1.0 - self._fees[sell.exchange]), sell)
        size = draw.between(*WORTH_USD) / self._usd[symbol].shared(begin_ns)
        buy_lots, sell_lots = _whole_lots(size, buy, sell)
        return Planted(number, symbol, Leg(buy, ask, buy_lots, True), Leg(sell, bid, sell_lots, False), begin_ns, life_ns)


class _Draw:
    """Sequence of random numbers from a seed."""

    def __init__(self, state: int) -> None:
        self._state = state

    def below(self, bound: int) -> int:
        """Next whole number from 0 to bound - 1."""
        self._state = scatter(self._state)
        return self._state % bound

    def fraction(self) -> float:
        """Next number in [0, 1)."""
        return self.below(1 << 53) / (1 << 53)

    def between(self, low: float, high: float) -> float:
        """Next number in [`low`, `high`)."""
        return low + (high - low) * self.fraction()


def taker_fee(exchange: str) -> str:
    """Taker fee of an exchange's lowest tier, a decimal fraction. UsageError for an unknown exchange."""
    return registry.get(exchange).facts.taker_fee or "0"


def _to_grid(price: float, instrument: Instrument) -> int:
    """Price in ticks, rounded to a multiple of the tick size, at least two tick sizes."""
    step = instrument.tick_size_ticks
    steps: int = max(2, round(price * 10**instrument.price_decimals / step))
    return steps * step


def _whole_lots(size: float, buy: Instrument, sell: Instrument) -> tuple[int, int]:
    """P3: about `size` units of the base currency, in whole lots of the buy and the sell exchange, not below either minimum."""
    decimals = max(buy.size_decimals, sell.size_decimals)
    finer: Mapping[str, int] = {one.exchange: 10 ** (decimals - one.size_decimals) for one in (buy, sell)}
    unit = lcm(*(one.lot_size_lots * finer[one.exchange] for one in (buy, sell)))
    least = max(one.min_size_lots * finer[one.exchange] for one in (buy, sell))
    lots: int = ceil(max(size * 10**decimals, least, 1) / unit) * unit
    return lots // finer[buy.exchange], lots // finer[sell.exchange]


@dataclass(frozen=True, slots=True)
class PlantPlan:
    """Parsed value of `--plant`: slot length in ns, and exchanges if given."""

    every_ns: int
    exchanges: Sequence[str] = ()

    def schedule(self, seed: int, exchanges: Sequence[str], symbols: Sequence[str] = ()) -> PlantedSchedule:
        """Create the schedule for simulators of these exchanges. UsageError as from PlantedSchedule."""
        return PlantedSchedule(seed, self.exchanges or exchanges, symbols, self.every_ns)


def parse_plant(text: str) -> PlantPlan | None:
    """Parse "6/min", "10s" or "6/min:kraken+coinbase"; None for "" and "off". UsageError for other texts."""
    if text in ("", "off"):
        return None
    found = re.fullmatch(r"(?:(\d{1,4}(?:\.\d{1,6})?)/min|(\d{1,4}(?:\.\d{1,6})?)s)(?::([a-z0-9+-]+))?", text)
    if found is None or not float(found[1] or found[2]):
        raise UsageError(f"not a rate of planted opportunities: {text[:40]!r}", "write 6/min, 10s, 6/min:kraken+coinbase, or off")
    every_ns = round(60 * SECOND_NS / float(found[1])) if found[1] else round(float(found[2]) * SECOND_NS)
    names = found[3].split("+") if found[3] else ()
    for name in names:
        rows_of(name)
    if not SHORTEST_EVERY_NS <= every_ns <= LONGEST_EVERY_NS:
        raise UsageError(f"not a rate of planted opportunities: {text[:40]!r}", "one in 0.5 s at most, one in 3600 s at least")
    return PlantPlan(every_ns, names)
