"""An event loop whose time is made up: it jumps to the next thing that is due, so that a minute of a collector takes a fraction of a second.

    with VirtualTime(start_ns) as time:
        time.run(main())

Inside, `alphapulse_cli.shm.clock` tells the loop's time, and random pauses come from the seed: the same seed, the same run. Nothing may
wait for a socket or a thread: what is due never comes from outside.
"""

import asyncio
import random
import selectors
from contextlib import ExitStack
from unittest.mock import patch

from alphapulse_cli.shm import clock

MONOTONIC_START_NS = 5_000 * 10**9


class Stuck(Exception):
    """Nothing is due, ever: who waits would wait for ever."""


class _Selector(selectors.SelectSelector):
    """Waits by moving the clock."""

    def __init__(self, time):
        super().__init__()
        self._time = time

    def select(self, timeout=None):
        if timeout is None:
            raise Stuck
        self._time.monotonic_ns += round(timeout * 1e9)
        return []


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, time):
        super().__init__(_Selector(time))
        self._virtual = time
        self._clock_resolution = 1e-6  # larger than what a float of seconds loses

    def time(self):
        return self._virtual.monotonic_ns / 1e9


class VirtualTime:
    """The two clocks. `set_clock` makes the real-time one jump; the monotonic one only ever goes on."""

    def __init__(self, realtime_start_ns, seed=0):
        self.monotonic_ns = MONOTONIC_START_NS
        self.ahead_ns = realtime_start_ns - MONOTONIC_START_NS
        self._dice = random.Random(f"pauses {seed}")
        self._patches = ExitStack()

    @property
    def realtime_ns(self):
        return self.monotonic_ns + self.ahead_ns

    def set_clock(self, seconds):
        self.ahead_ns += int(seconds * 1e9)

    def run(self, main):
        with asyncio.Runner(loop_factory=lambda: _Loop(self)) as runner:
            return runner.run(main)

    def __enter__(self):
        for target, name, stand_in in (
            (clock, "monotonic_ns", lambda: self.monotonic_ns),
            (clock, "realtime_ns", lambda: self.realtime_ns),
            (random.SystemRandom, "random", lambda _: self._dice.random()),
            (random.SystemRandom, "getrandbits", lambda _, bits: self._dice.getrandbits(bits)),
        ):
            self._patches.enter_context(patch.object(target, name, stand_in))
        return self

    def __exit__(self, *_):
        self._patches.close()
