"""Latency of a stage over the last two minutes, and of each second.

a histogram that only grows ── a reading a second ──► the difference to the last one: p50, p99 of that second
                                                └──► the difference to the one of two minutes ago: the Stage
"""

from collections import deque

from alphapulse_cli.shm.histogram import Distribution, bucket_end
from alphapulse_cli.tui.feed.picture import HISTORY, Stage

WINDOW_S = 120
MARK_EVERY_S = 10


class StageWatch:
    """Readings of one stage of one set. `is_relative`: the stage spans two machines' clocks."""

    def __init__(self, name: str, *, is_relative: bool) -> None:
        self._name = name
        self._is_relative = is_relative
        self._history: deque[tuple[int, int]] = deque(maxlen=HISTORY)
        self.begin_again()

    def begin_again(self) -> None:
        """Start again for a new histogram, which counts from zero; the history of the old one stays."""
        self._marks: deque[Distribution] = deque(maxlen=WINDOW_S // MARK_EVERY_S)
        self._last: Distribution | None = None
        self._readings = 0

    def read(self, now: Distribution) -> Stage:
        """Take the reading of a second and return the stage. A second without samples is (0, 0) in the history."""
        if self._last is not None:
            second = now.since(self._last)
            self._history.append((second.quantile(0.5) or 0, second.quantile(0.99) or 0))
        self._last = now
        if self._readings % MARK_EVERY_S == 0:
            self._marks.append(now)
        self._readings += 1
        oldest = self._marks[0]
        return Stage(self._name, self._is_relative, now if oldest is now else window(now, oldest), tuple(self._history))


def window(now: Distribution, earlier: Distribution) -> Distribution:
    """Distribution of the samples after the earlier reading; its largest value is that of its last bucket."""
    made = now.since(earlier)
    top = next((at for at in range(len(made.counts) - 1, -1, -1) if made.counts[at]), None)
    made.largest = 0 if top is None else min(made.largest, bucket_end(top))
    return made
