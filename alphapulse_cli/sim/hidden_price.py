"""Hidden price of an asset, a function of time that all simulated exchanges share.

    worth(t) = base * exp(sum over octaves of amplitude * noise(t / period))          noise: straight lines between random points

Each octave has twice the period of the one below and sqrt(2) times its amplitude: from a quarter of a second to over an hour the
sum wanders like a random walk, yet it is a function of (seed, name, time) alone. So exchanges agree without communicating, even in
different processes, no error accumulates, and the price stays in a bounded range.

Floats are used in this module only: a market rounds a price to its own ticks.
"""

from math import exp, sqrt
from zlib import crc32

MASK64 = (1 << 64) - 1
FIRST_PERIOD_S = 0.25
OCTAVES = 15  # longest period: 0.25 s * 2**14, over an hour

# asset -> (price in USD, typical move per second as a fraction of the price)
ASSETS = {
    "BTC": (63310.0, 0.9e-4),
    "ETH": (2512.0, 1.1e-4),
    "SOL": (148.0, 1.4e-4),
    "XRP": (2.31, 1.4e-4),
    "DOGE": (0.1832, 1.6e-4),
    "USD": (1.0, 0.0),
    "USDT": (0.9996, 0.04e-4),
}
INVENTED_MOVE = 1.6e-4


def scatter(value: int) -> int:
    """Hash a 64-bit number (splitmix64), so that results for adjacent numbers are uncorrelated."""
    value = (value + 0x9E3779B97F4A7C15) & MASK64
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK64
    return value ^ (value >> 31)


def seed_of(seed: int, *names: str) -> int:
    """Derive a seed from a seed and names; the same in every process."""
    for name in names:
        seed = scatter((seed & MASK64) ^ crc32(name.encode()))
    return seed


def _asset(name: str) -> tuple[float, float]:
    """Price in USD and typical move of an asset: from ASSETS, otherwise a seeded price between 1 and 100 USD."""
    return ASSETS.get(name) or (1.0 + seed_of(0, name) % 9900 / 100, INVENTED_MOVE)


class Noise:
    """One octave of noise: random points within ±`amplitude`, `period_s` seconds apart, with straight lines between them."""

    def __init__(self, seed: int, period_s: float, amplitude: float) -> None:
        self.period_s, self.amplitude = period_s, amplitude
        self._seed = seed
        self._index = -1
        self._left = self._right = 0.0

    def at(self, time_s: float) -> float:
        """Value at a time in seconds, within ±`amplitude`."""
        place = time_s / self.period_s
        index = int(place)
        if index != self._index:
            self._index, self._left, self._right = index, self._point(index), self._point(index + 1)
        return self._left + (self._right - self._left) * (place - index)

    def _point(self, index: int) -> float:
        return self.amplitude * (scatter(self._seed ^ scatter(index)) / (1 << 63) - 1.0)


class Wander:
    """Sum of octaves of noise; `move_in_s` is its typical move per second."""

    def __init__(self, seed: int, move_in_s: float, first_period_s: float = FIRST_PERIOD_S, octaves: int = OCTAVES) -> None:
        periods = [first_period_s * 2**octave for octave in range(octaves)] if move_in_s else []
        self._octaves = [Noise(scatter(seed + i), period, move_in_s * sqrt(period)) for i, period in enumerate(periods)]

    def at(self, time_s: float) -> float:
        """Value at a time in seconds: logarithm of a price factor."""
        return sum(octave.at(time_s) for octave in self._octaves)


class HiddenMid:
    """Hidden mid price of a symbol on one exchange: the shared price of base in quote, times the exchange's own small offset.

    The offset swings within ±0.9 basis points over some seconds, so that books of two exchanges cross now and then.
    """

    OFFSET = 0.45e-4  # amplitude of each octave of the offset, a fraction of the price
    OFFSET_PERIODS_S = (3.0, 11.0)

    def __init__(self, seed: int, exchange: str, symbol: str) -> None:
        base, _, quote = symbol.partition("-")
        (base_worth, base_move), (quote_worth, quote_move) = _asset(base), _asset(quote)
        self._worth = base_worth / quote_worth
        self._base = Wander(seed_of(seed, base), base_move)
        self._quote = Wander(seed_of(seed, quote), quote_move)
        own = seed_of(seed, exchange, symbol)
        self._offsets = [Noise(scatter(own + i), period, self.OFFSET) for i, period in enumerate(self.OFFSET_PERIODS_S)]

    def shared(self, now_ns: int) -> float:
        """Price shared by all exchanges, in the quote currency, at `now_ns` since 1970."""
        time_s = now_ns / 1e9
        return self._worth * exp(self._base.at(time_s) - self._quote.at(time_s))

    def at(self, now_ns: int) -> float:
        """Mid price of this exchange, in the quote currency, at `now_ns` since 1970."""
        time_s = now_ns / 1e9
        return self.shared(now_ns) * (1.0 + sum(offset.at(time_s) for offset in self._offsets))
