"""`capture diff`: the frames that one of two captures of a feed has and the other has not.

Frames are compared by content, times aside, each as often as it occurs. Both are read side by side by time, so that only what has no
counterpart yet is remembered: a digest of 16 bytes each. Which of several equal frames is the missing one cannot be told; the latest is.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from operator import itemgetter
from pathlib import Path
from typing import Any

from alphapulse_cli.apps.capture.places import rows_in
from alphapulse_cli.apps.replay.timeline import file_blocks
from alphapulse_cli.edges.capture.rows import Kind
from alphapulse_cli.errors import UsageError
from alphapulse_cli.readers.moments import moment

DIGEST_BYTES = 16
MOST_UNMATCHED = 5_000_000  # frames of one capture without a counterpart in the other

Damaged = Callable[[Path, str], None]


@dataclass(slots=True)
class Side:
    """Frames of one capture, and those of them that the other has not. Times are ns since 1970, 0 where there is none."""

    frames: int = 0
    first_ns: int = 0
    last_ns: int = 0
    missing: int = 0
    missing_first_ns: int = 0
    missing_last_ns: int = 0
    missing_outside: int = 0  # of them, before the other's first frame or after its last


def diff(one: Sequence[Path], other: Sequence[Path], damaged: Damaged) -> tuple[Side, Side]:
    """Compare two captures. UsageError where they have so little in common that they are none of one feed."""
    sides = Side(), Side()
    alone: tuple[dict[bytes, deque[int]], ...] = ({}, {})
    counts = [0, 0]
    told = [_timed(number, paths, damaged) for number, paths in enumerate((one, other))]
    for _, number, time_ns, payload in heapq.merge(*told, key=itemgetter(0, 1)):
        side = sides[number]
        side.frames += 1
        side.first_ns = min(side.first_ns or time_ns, time_ns)
        side.last_ns = max(side.last_ns, time_ns)
        digest = blake2b(payload, digest_size=DIGEST_BYTES).digest()
        waiting = alone[1 - number].get(digest)
        if waiting is not None:
            waiting.popleft()
            counts[1 - number] -= 1
            if not waiting:
                del alone[1 - number][digest]
            continue
        alone[number].setdefault(digest, deque()).append(time_ns)
        counts[number] += 1
        if counts[number] > MOST_UNMATCHED:
            raise UsageError(f"more than {MOST_UNMATCHED} frames that only one has: these are no captures of one feed")
    for number, side in enumerate(sides):
        _sum(side, sides[1 - number], alone[number])
    return sides


def _sum(side: Side, other: Side, alone: dict[bytes, deque[int]]) -> None:
    for times in alone.values():
        for time_ns in times:
            side.missing += 1
            side.missing_first_ns = min(side.missing_first_ns or time_ns, time_ns)
            side.missing_last_ns = max(side.missing_last_ns, time_ns)
            side.missing_outside += not other.first_ns <= time_ns <= other.last_ns


def _timed(number: int, paths: Sequence[Path], damaged: Damaged) -> Iterator[tuple[int, int, int, bytes]]:
    reached_ns = 0
    for path in paths:
        for row in rows_in(file_blocks(path, None, damaged)):
            if row.kind == Kind.RECEIVED:
                reached_ns = max(reached_ns, row.time_ns)
                yield reached_ns, number, row.time_ns, row.payload


def row_of(name: str, side: Side) -> dict[str, Any]:
    """Row of one side as plain values."""

    def time(at_ns: int) -> str | None:
        return moment(at_ns, digits=9) if at_ns else None

    return {
        "capture": name,
        "frames": side.frames,
        "from": time(side.first_ns),
        "to": time(side.last_ns),
        "only_here": side.missing,
        "first": time(side.missing_first_ns),
        "last": time(side.missing_last_ns),
        "outside": side.missing_outside,
    }
