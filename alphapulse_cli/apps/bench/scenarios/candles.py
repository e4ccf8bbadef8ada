"""`candles`: time a trade takes into its candle, exact and judged for lateness and repetition, against a bare running sum in floats.

Afterwards every candle is compared with sums made here.
"""

import random
import time
from collections.abc import Iterator, Sequence

from alphapulse_cli.apps.bench.frames import STARTED_NS
from alphapulse_cli.apps.bench.ground import Ground
from alphapulse_cli.apps.bench.report import Result, Samples
from alphapulse_cli.errors import IntegrityError
from alphapulse_cli.market.candles import Candle, CandleMaker, CandleTrade

CASE, BARE = "a trade", "open, high, low, close and volume of the same trade in floats"
SEED, STEP_NS, MINUTE_NS = 13, 20_000_000, 60_000_000_000
FEWEST = 5


def measure(ground: Ground) -> Iterator[Result]:
    """Measure the lines of this scenario."""
    ground.progress("candles: a trade")
    trades = _trades(ground.several(5_000, 50_000))
    samples, until = Samples(batch=len(trades)), time.monotonic() + ground.budget_s
    while len(samples.work) < FEWEST or time.monotonic() < until:
        begun = time.perf_counter_ns()
        made = _made(trades)
        work = (time.perf_counter_ns() - begun) / len(trades)
        begun = time.perf_counter_ns()
        _bare(trades)
        reference = (time.perf_counter_ns() - begun) / len(trades)
        samples.work.append(work)
        samples.reference.append(reference)
        samples.ratios.append(work / reference)
    _check(trades, made)
    yield samples.result("candles", CASE, BARE, "Reading the ring or the file; the text of the candle.")


def _trades(count: int) -> list[CandleTrade]:
    dice = random.Random(SEED)  # noqa: S311 - no secret
    begin_ns = STARTED_NS - STARTED_NS % MINUTE_NS
    return [
        CandleTrade(begin_ns + place * STEP_NS, begin_ns + place * STEP_NS, 1, place, 10_000_000 + dice.randrange(-500, 500),
                    dice.randrange(1, 10**8), 2, 8, place & 1, str(10**6 + place), is_history=False)
        for place in range(count)
    ]  # fmt: skip


def _made(trades: Sequence[CandleTrade]) -> list[Candle]:
    maker = CandleMaker(("bench", "bench", "BTC-USD"), "1m", trades[0].receive_ns, 2_000_000_000)
    found: list[Candle] = []
    for number, trade in enumerate(trades):
        maker.add(trade)
        if number % 500 == 0:
            found += maker.close(trade.receive_ns)
    return [*found, *maker.finish(trades[-1].receive_ns + MINUTE_NS)]


def _bare(trades: Sequence[CandleTrade]) -> dict[int, list[float]]:
    candles: dict[int, list[float]] = {}
    for trade in trades:
        price, size = trade.price_ticks / 100, trade.size_lots / 1e8
        begin = trade.exchange_ns // MINUTE_NS
        held = candles.get(begin)
        if held is None:
            candles[begin] = [price, price, price, price, size]
            continue
        held[1] = max(held[1], price)
        held[2] = min(held[2], price)
        held[3] = price
        held[4] += size
    return candles


def _check(trades: Sequence[CandleTrade], made: Sequence[Candle]) -> None:
    by_minute: dict[int, list[CandleTrade]] = {}
    for trade in trades:
        by_minute.setdefault(trade.exchange_ns // MINUTE_NS, []).append(trade)
    truth = [
        (len(some), some[0].price_ticks, max(one.price_ticks for one in some), min(one.price_ticks for one in some),
         some[-1].price_ticks, sum(one.size_lots for one in some))
        for some in by_minute.values()
    ]  # fmt: skip
    found = [
        (one.count, one.open_ticks, one.high_ticks, one.low_ticks, one.close_ticks, one.volume_lots) for one in made if one.count
    ]
    if found != truth:
        raise IntegrityError("candles: they are not those of the trades")
