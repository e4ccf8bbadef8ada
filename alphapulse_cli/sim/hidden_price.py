"""The price that nobody sees: what an asset is worth at a time, the same for every simulated exchange.

    worth(t) = base * exp(sum over octaves of amplitude * noise(t / period))          noise: straight lines between random points

Each octave's period is twice the one below and its amplitude sqrt(2) times: from a quarter of a second to over an hour the sum
wanders as a random walk does, yet it is a function of (seed, name, time) alone. So two exchanges agree without talking to one another,
even from two processes, nothing accumulates, and the price cannot drift away for ever.

Floats live here and nowhere below: a market rounds what it reads to its own ticks.
"""

from math import exp, sqrt
from zlib import crc32

MASK64 = (1 << 64) - 1
FIRST_PERIOD_S = 0.25
OCTAVES = 15  # up to 0.25 s * 2**14: over an hour

# USD worth, and the typical move in a second as a fraction
ASSETS = {
    "BTC": (63310.0, 0.9e-4),
    "ETH": (2512.0, 1.1e-4),
    "SOL": (148.0, 1.4e-4),
    "XRP": (2.31, 1.4e-4),
    "DOGE": (0.1832, 1.6e-4),
    "USD": (1.0, 0.0),
    "USDT": (0.9996, 0.04e-4),
}


def scatter(value: int) -> int:
    """Another 64-bit number for each: splitmix64's mixing, so that neighbours share nothing."""
    value = (value + 0x9E3779B97F4A7C15) & MASK64
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK64
    return value ^ (value >> 31)


def seed_of(seed: int, *names: str) -> int:
    """A seed of its own for each name under one seed; the same in every process."""
    for name in names:
        seed = scatter((seed & MASK64) ^ crc32(name.encode()))
    return seed


class Noise:
    """One octave: random points of -1..1 a period apart, straight lines between them."""

    def __init__(self, seed: int, period_s: float, amplitude: float) -> None:
        self.period_s, self.amplitude = period_s, amplitude
        self._seed = seed
        self._index = -1
        self._left = self._right = 0.0

    def at(self, time_s: float) -> float:
        """Its value at a time, within `amplitude` of 0."""
        place = time_s / self.period_s
        index = int(place)
        if index != self._index:
            self._index, self._left, self._right = index, self._point(index), self._point(index + 1)
        return self._left + (self._right - self._left) * (place - index)

    def _point(self, index: int) -> float:
        return self.amplitude * (scatter(self._seed ^ scatter(index)) / (1 << 63) - 1.0)


class Wander:
    """A sum of octaves; `move_in_s` is about how far it gets in a second."""

    def __init__(self, seed: int, move_in_s: float, first_period_s: float = FIRST_PERIOD_S, octaves: int = OCTAVES) -> None:
        periods = [first_period_s * 2**octave for octave in range(octaves)] if move_in_s else []
        self._octaves = [Noise(scatter(seed + i), period, move_in_s * sqrt(period)) for i, period in enumerate(periods)]

    def at(self, time_s: float) -> float:
        """Its value at a time: a logarithm of a price's factor."""
        return sum(octave.at(time_s) for octave in self._octaves)


class HiddenMid:
    """What a symbol is worth on one exchange: the shared worth of base over quote, and the exchange's own small offset.

    The offset swings within a few basis points in some seconds and comes back: that is how books of two exchanges come to cross.
    """

    OFFSET = 0.45e-4  # a fraction of the price, at most, an octave
    OFFSET_PERIODS_S = (3.0, 11.0)

    def __init__(self, seed: int, exchange: str, symbol: str) -> None:
        base, _, quote = symbol.partition("-")
        (base_worth, base_move), (quote_worth, quote_move) = ASSETS[base], ASSETS[quote]
        self._worth = base_worth / quote_worth
        self._base = Wander(seed_of(seed, base), base_move)
        self._quote = Wander(seed_of(seed, quote), quote_move)
        own = seed_of(seed, exchange, symbol)
        self._offsets = [Noise(scatter(own + i), period, self.OFFSET) for i, period in enumerate(self.OFFSET_PERIODS_S)]

    def shared(self, now_ns: int) -> float:
        """What every exchange agrees on, in the quote currency."""
        time_s = now_ns / 1e9
        return self._worth * exp(self._base.at(time_s) - self._quote.at(time_s))

    def at(self, now_ns: int) -> float:
        """The mid price of our exchange, in the quote currency."""
        time_s = now_ns / 1e9
        return self.shared(now_ns) * (1.0 + sum(offset.at(time_s) for offset in self._offsets))
