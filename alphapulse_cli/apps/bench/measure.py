"""Timing: the work and its reference by turns, for as long as a budget lasts.

    Timed(n) ─► nanoseconds that n calls took, the loop's own cost taken off
    by_turns(work, reference, budget) ─► Samples      many calls a sample, for what takes less than a few microseconds
    frame_by_frame(work, reference, frames) ─► Samples     one call a sample, the clock's own cost taken off

The number of samples is bounded by the budget and by MOST_SAMPLES; a very slow piece of work is sampled FEWEST times all the same.
"""

import time
import timeit
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from alphapulse_cli.apps.bench.report import Samples

SAMPLE_NS = 20_000  # what a sample should take at least: 500 times the clock's own cost
FEWEST, MOST_SAMPLES, MOST_CALLS = 5, 20_000, 1 << 20
FRAMES_A_TURN = 32

Timed = Callable[[int], float]


def calls(statement: str, before: Callable[[], object] | None = None, **names: Any) -> Timed:
    """Times the statement, with these names in it. `before` is called before each sample, untimed."""
    run = timeit.Timer(statement, globals=names, timer=time.perf_counter_ns).timeit

    def timed(count: int) -> float:
        if before is not None:
            before()
        return max(run(count) - count * loop_ns(), 1.0)

    return timed


def by_turns(
    work: Timed, reference: Timed, budget_s: float, *, most_calls: int = MOST_CALLS, per_call: float = 1, per_reference: float = 1
) -> Samples:
    """Samples of both for `budget_s`; `per_call` and `per_reference` are how many of the counted things one call does.

    `most_calls` bounds a sample of the work where it uses something up.
    """
    batch, reference_batch = calibrated(work, most_calls), calibrated(reference)
    samples = Samples(batch=batch)
    until = time.monotonic() + budget_s
    while len(samples.work) < FEWEST or (time.monotonic() < until and len(samples.work) < MOST_SAMPLES):
        spent = work(batch) / batch / per_call
        spent_by_reference = reference(reference_batch) / reference_batch / per_reference
        samples.work.append(spent)
        samples.reference.append(spent_by_reference)
        samples.ratios.append(spent / spent_by_reference)
    return samples


def calibrated(timed: Timed, most: int = MOST_CALLS) -> int:
    """How many calls make a sample worth taking; the first ones are a warm-up and no measure."""
    count = 1
    while count < most and min(timed(count) for _ in range(3)) < SAMPLE_NS:
        count = min(2 * count, most)
    return count


def frame_by_frame(work: Callable[[bytes], object], reference: Callable[[bytes], object], frames: Sequence[bytes]) -> Samples:
    """Every frame once through the work, then through the reference, a few frames at a turn."""
    samples = Samples()
    for at in range(0, len(frames), FRAMES_A_TURN):
        turn = frames[at : at + FRAMES_A_TURN]
        spent, spent_by_reference = _each(work, turn), _each(reference, turn)
        samples.work += spent
        samples.reference += spent_by_reference
        samples.ratios.append(sum(spent) / sum(spent_by_reference))
    return samples


def _each(work: Callable[[bytes], object], frames: Sequence[bytes]) -> list[float]:
    now, cost, spent = time.perf_counter_ns, clock_ns(), []
    for frame in frames:
        begun = now()
        work(frame)
        spent.append(max(now() - begun - cost, 1.0))
    return spent


@cache
def loop_ns() -> float:
    """What timing one call costs when there is none: a turn of the loop."""
    run = timeit.Timer("pass", timer=time.perf_counter_ns).timeit
    return min(run(10_000) for _ in range(20)) / 10_000


@cache
def clock_ns() -> float:
    """What lies between two looks at the clock."""
    now = time.perf_counter_ns
    return min(-now() + now() for _ in range(2_000))


def memcpy_of(size: int) -> Timed:
    """The reference for whatever moves bytes: so many, copied into memory that is there already."""
    return calls("target[:] = source", target=memoryview(bytearray(size)), source=memoryview(bytes(size)))
