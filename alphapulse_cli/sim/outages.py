"""Faults of the whole exchange: refused handshakes, and REST snapshots that are old, late or ahead of the stream.

Each is started by its kind of mischief (`sim.mischief`) and strikes once: the next handshake or the next snapshot.
"""

from collections import deque

import orjson

from alphapulse_cli.sim.mischief import HANDSHAKES

SNAPSHOT_IDS = ("lastUpdateId", "seqId")  # of REST snapshots that are joined with the stream: Binance's, OKX's
AHEAD = 1_000_000
WITH_PAUSE = (418, 429)


class Outages:
    """Faults of one exchange that were started and have not struck yet."""

    def __init__(self) -> None:
        self._refusals: deque[tuple[int, list[tuple[str, str]]]] = deque()
        self._snapshots: deque[tuple[str, float]] = deque()
        self._former: dict[str, bytes] = {}  # path -> the last snapshot
        self._late_s = 0.0

    def begin(self, kind: str, seconds: float) -> None:
        """Start a fault, which strikes once; kinds that do not concern the whole exchange are ignored."""
        if kind in HANDSHAKES:
            status = HANDSHAKES[kind]
            self._refusals.append((status, [("Retry-After", f"{seconds:.0f}")] if status in WITH_PAUSE else []))
        elif kind.endswith("-snapshot"):
            self._snapshots.append((kind, seconds))

    def refusal(self) -> tuple[int, list[tuple[str, str]]] | None:
        """Take the refusal of the next handshake: HTTP status and headers; None to accept it."""
        return self._refusals.popleft() if self._refusals else None

    def spoil(self, path: str, status: int, body: bytes) -> tuple[int, bytes]:
        """Answer to a REST request after a fault, which alters snapshots only."""
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
        """Take the delay of the answer that was just altered, in seconds; 0 without one."""
        delay_s, self._late_s = self._late_s, 0.0
        return delay_s
