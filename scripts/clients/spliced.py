"""Local book as Binance's documentation says to keep one, for libraries that hand over frames and keep none. Plain dicts, exact text."""

from collections.abc import Mapping
from typing import Any


class SplicedBook:
    """Book of `depthUpdate` payloads on a REST snapshot; `gaps` counts the updates that did not follow the one before."""

    def __init__(self) -> None:
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}
        self.last_id, self.applied, self.gaps = 0, 0, 0
        self._waiting: list[Mapping[str, Any]] = []

    def update(self, payload: Mapping[str, Any]) -> None:
        """Apply an update, or keep it until there is a snapshot."""
        if not self.last_id:
            self._waiting.append(payload)
        elif payload["u"] > self.last_id:
            self.gaps += payload["U"] > self.last_id + 1
            self.last_id, self.applied = payload["u"], self.applied + 1
            for side, rows in ((self.bids, payload["b"]), (self.asks, payload["a"])):
                for price, size in rows:
                    side[price] = size
                    if not float(size):
                        del side[price]

    def forget(self) -> None:
        """Have updates wait for a snapshot again."""
        self.last_id = 0

    def snapshot(self, body: Mapping[str, Any]) -> None:
        """Begin anew with a REST snapshot, and the updates that waited for it."""
        self.bids, self.asks = dict(body["bids"]), dict(body["asks"])
        self.last_id, waiting = body["lastUpdateId"], self._waiting
        self._waiting = []
        for payload in waiting:
            self.update(payload)
