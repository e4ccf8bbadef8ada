"""Pace of a simulated market: its rate on average, on an event loop whose timers may be late."""

import asyncio
import time
from collections.abc import Callable

MOST_MADE_UP_FOR = 64  # steps, or one burst: more that fell due while the loop was busy are left out
SHORTEST_SLEEP_S, LONGEST_SLEEP_S = 0.002, 0.25


async def keep_pace(step: Callable[[int], None], per_second: float, burst: int) -> None:
    """Call `step(count)` as steps fall due, in whole bursts, until cancelled; `step(0)` where none is due, to let time pass."""
    due, last = 0.0, time.monotonic()
    while True:
        await asyncio.sleep(min(LONGEST_SLEEP_S, max(SHORTEST_SLEEP_S, (burst - due) / per_second)))
        now = time.monotonic()
        due, last = min(due + (now - last) * per_second, float(max(MOST_MADE_UP_FOR, burst))), now
        count = int(due) // burst * burst
        due -= count
        step(count)
