"""Paces of checkpoints in a capture: as often as they keep within their share of the file.

A collector's files begin with some, too, since `--keep` deletes those before them; in a capture made of others no share is exceeded.
"""

from dataclasses import dataclass

from alphapulse_cli.edges.capture.rolling import Totals

FRAMES_TO_CHECKPOINTS = 6  # compressed bytes: checkpoints are at most 1/7 of a capture, below the 15 % that it allows them
LEAST_PAUSE_NS = 1_000_000_000
FIRST_AFTER_NS = 5_000_000_000  # for the books of a new connection to have come


@dataclass(slots=True)
class CheckpointPace:
    """Times at which a capture with these `totals` is to have checkpoints. `started_ns` and all times are CLOCK_MONOTONIC."""

    totals: Totals
    started_ns: int
    _made_ns: int = 0
    _files: int = 0  # begun when the last checkpoints were made
    _before_bytes: int = 0  # of all checkpoints, when the last ones were made

    def is_due(self, monotonic_ns: int) -> bool:
        """Whether checkpoints are to be made now."""
        totals = self.totals
        if monotonic_ns - self.started_ns < FIRST_AFTER_NS or monotonic_ns - self._made_ns < LEAST_PAUSE_NS or totals.stopped:
            return False
        if totals.files > self._files:
            return True
        frames_bytes = totals.bytes_written - totals.checkpoint_bytes
        next_bytes = totals.checkpoint_bytes - self._before_bytes  # about as many as the last ones took
        return next_bytes > 0 and frames_bytes >= FRAMES_TO_CHECKPOINTS * (totals.checkpoint_bytes + next_bytes)

    def made(self, monotonic_ns: int) -> None:
        """Note that checkpoints are made now."""
        self._made_ns, self._files, self._before_bytes = monotonic_ns, self.totals.files, self.totals.checkpoint_bytes

    def failed(self, monotonic_ns: int) -> None:
        """Note that none could be made now: a book is healing. They are tried again after the least pause."""
        self._made_ns = monotonic_ns


@dataclass(slots=True)
class MeasuredPace:
    """Times at which a capture that is made of another is to have checkpoints. All times are the recording's."""

    totals: Totals
    started_ns: int
    _tried_ns: int = 0
    _size: int = 0  # of the last checkpoints, compressed

    def is_due(self, time_ns: int) -> bool:
        """Whether checkpoints are to be tried now; if so, the next try is LEAST_PAUSE_NS later."""
        if time_ns - self.started_ns < FIRST_AFTER_NS or time_ns - self._tried_ns < LEAST_PAUSE_NS or not self._has_room():
            return False
        self._tried_ns = time_ns
        return True

    def fits(self, size: int) -> bool:
        """Whether checkpoints of that many bytes, compressed, keep within their share."""
        self._size = size
        return self._has_room()

    def _has_room(self) -> bool:
        frames_bytes = self.totals.bytes_written - self.totals.checkpoint_bytes
        return frames_bytes >= FRAMES_TO_CHECKPOINTS * (self.totals.checkpoint_bytes + self._size)
