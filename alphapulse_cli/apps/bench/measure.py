"""Timing of work and its reference, in turn, within a budget of time.

    Timed(n) ─► nanoseconds of n calls, without the loop's own cost
    by_turns(work, reference, budget) ─► Samples           many calls a sample, for work of less than a few microseconds
    frame_by_frame(work, reference, frames) ─► Samples     one call a sample, without the clock's own cost

The budget and MOST_SAMPLES bound the number of samples; very slow work is sampled FEWEST times all the same.
"""

import time
import timeit
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from alphapulse_cli.apps.bench.report import Samples

SAMPLE_NS = 20_000  # least time of a sample: 500 times the clock's own cost
FEWEST, MOST_SAMPLES, MOST_CALLS = 5, 20_000, 1 << 20
FRAMES_A_TURN = 32

Timed = Callable[[int], float]


def calls(statement: str, before: Callable[[], object] | None = None, **names: Any) -> Timed:
    """Make a timer of the statement, with these names in it. `before` is called before each sample, untimed."""
    run = timeit.Timer(statement, globals=names, timer=time.perf_counter_ns).timeit

    def timed(count: int) -> float:
        if before is not None:
            before()
        return max(run(count) - count * loop_ns(), 1.0)

    return timed


def by_turns(
    work: Timed, reference: Timed, budget_s: float, *, most_calls: int = MOST_CALLS, per_call: float = 1, per_reference: float = 1
) -> Samples:
    """Sample work and reference in turn for `budget_s` seconds; `per_call` and `per_reference` are the units of work in one call.

    `most_calls` bounds the calls in a sample of work that uses something up.
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
    """Number of calls that make a sample of at least SAMPLE_NS, at most `most`; its calls also warm up."""
    count = 1
    while count < most and min(timed(count) for _ in range(3)) < SAMPLE_NS:
        count = min(2 * count, most)
    return count


def frame_by_frame(work: Callable[[bytes], object], reference: Callable[[bytes], object], frames: Sequence[bytes]) -> Samples:
    """Sample each frame once through the work and once through the reference, FRAMES_A_TURN frames in turn."""
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
    """Cost of a turn of the timing loop without a call, in ns."""
    run = timeit.Timer("pass", timer=time.perf_counter_ns).timeit
    return min(run(10_000) for _ in range(20)) / 10_000


@cache
def clock_ns() -> float:
    """Time between two readings of the clock, in ns."""
    now = time.perf_counter_ns
    return min(-now() + now() for _ in range(2_000))


def memcpy_of(size: int) -> Timed:
    """Reference for work that moves bytes: a copy of `size` bytes into allocated memory."""
    return calls("target[:] = source", target=memoryview(bytearray(size)), source=memoryview(bytes(size)))
