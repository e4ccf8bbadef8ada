"""Timer of a simulated market that keeps the average step rate on an event loop with late timers."""

import asyncio
import time
from collections.abc import Callable

MOST_MADE_UP_FOR = 64  # most steps at once (or one burst): further ones that fell due while the loop was busy are skipped
SHORTEST_SLEEP_S, LONGEST_SLEEP_S = 0.002, 0.25


async def keep_pace(step: Callable[[int], None], per_second: float, burst: int) -> None:
    """Call `step(count)` as steps fall due, in whole bursts, until cancelled; `step(0)` if none is due, to advance time."""
    due, last = 0.0, time.monotonic()
    while True:
        await asyncio.sleep(min(LONGEST_SLEEP_S, max(SHORTEST_SLEEP_S, (burst - due) / per_second)))
        now = time.monotonic()
        due, last = min(due + (now - last) * per_second, float(max(MOST_MADE_UP_FOR, burst))), now
        count = int(due) // burst * burst
        due -= count
        step(count)
