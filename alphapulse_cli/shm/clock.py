"""The only clock below `edges`: heartbeats, leases and cursors read it; all other code is given its time as an argument.

Two clocks, never mixed: `realtime_ns` dates things for people and records, `monotonic_ns` measures ages (CLOCK_MONOTONIC is one
clock for all processes since boot, so a heartbeat of one process can be judged by another).
"""

import time


def realtime_ns() -> int:
    """CLOCK_REALTIME in nanoseconds since 1970."""
    return time.time_ns()


def monotonic_ns() -> int:
    """CLOCK_MONOTONIC in nanoseconds since boot."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def pause(duration_ns: int) -> None:
    """Sleep for about `duration_ns` nanoseconds."""
    time.sleep(duration_ns / 1_000_000_000)
