"""The one clock below the edges: heartbeats, leases and cursors need it; everything else is handed its time.

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
    """Sleep for about this long."""
    time.sleep(duration_ns / 1_000_000_000)
