"""Faults of the whole exchange: refused handshakes, and REST snapshots that are old, late or ahead of the stream.

Each is started by its kind of fault (`sim.mischief`) and applies once: to the next handshake or the next snapshot.
"""

from collections import deque

import orjson

from alphapulse_cli.sim.mischief import HANDSHAKES

SNAPSHOT_IDS = ("lastUpdateId", "seqId")  # id fields of REST snapshots that are spliced with the stream: Binance's, OKX's
AHEAD = 1_000_000
WITH_PAUSE = (418, 429)


class Outages:
    """Pending faults of one exchange."""

    def __init__(self) -> None:
        self._refusals: deque[tuple[int, list[tuple[str, str]]]] = deque()
        self._snapshots: deque[tuple[str, float]] = deque()
        self._former: dict[str, bytes] = {}  # path -> the last snapshot
        self._late_s = 0.0

    def begin(self, kind: str, seconds: float) -> None:
        """Start a fault, which applies once; kinds of a connection are ignored."""
        if kind in HANDSHAKES:
            status = HANDSHAKES[kind]
            self._refusals.append((status, [("Retry-After", f"{seconds:.0f}")] if status in WITH_PAUSE else []))
        elif kind.endswith("-snapshot"):
            self._snapshots.append((kind, seconds))

    def refusal(self) -> tuple[int, list[tuple[str, str]]] | None:
        """Take the pending refusal of the next handshake (HTTP status, headers); None to accept it."""
        return self._refusals.popleft() if self._refusals else None

    def spoil(self, path: str, status: int, body: bytes) -> tuple[int, bytes]:
        """Apply a pending fault to the answer to a REST request; only snapshots are altered."""
        name = next((each for each in SNAPSHOT_IDS if b'"%s"' % each.encode() in body), "")
        if status != 200 or not name:
            return status, body
        kind, seconds = self._snapshots.popleft() if self._snapshots else ("", 0.0)
        former = self._former.get(path, body)
        self._former[path] = body
        if kind == "old-snapshot":
            return status, former
        if kind == "ahead-snapshot":
            picture = orjson.loads(body)
            row = picture if name in picture else picture["data"][0]
            row[name] += AHEAD
            return status, orjson.dumps(picture)
        self._late_s = seconds if kind == "late-snapshot" else 0.0
        return status, body

    def take_delay_s(self) -> float:
        """Take the delay in seconds of the answer altered last; 0 for none."""
        delay_s, self._late_s = self._late_s, 0.0
        return delay_s
