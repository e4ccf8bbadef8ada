"""What we have asked Kraken for, and what is still owed to us: one state a symbol and channel, and the frames that ask.

    ASKED ──first data──► LIVE ──wrong──► HEALING ──snapshot──► LIVE        ASKED, HEALING ──no answer for 10 s──► asked again
      └──pair not supported──► REFUSED

A client may send about one message a second, so whatever waits to be asked leaves together, many symbols in one message. An error
of Kraken names no channel, only our `req_id`: its last digit base 4 says which kind of request it was, so nothing is remembered.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, unique
from typing import Any

import orjson

from alphapulse_cli.exchanges.kraken.facts import FACTS

REQUEST_KINDS = ("ping", "instrument", "book", "trade")  # by req_id modulo 4
PATIENCE_NS = 10_000_000_000  # longer without an answer, and it is asked again
SEND_SPACING_NS = int(1_000_000_000 / FACTS.sends.per_second)


@unique
class Standing(Enum):
    """Where a subscription stands."""

    ASKED = "asked"
    HEALING = "healing"  # asked anew; what still comes of the old subscription is ignored
    LIVE = "live"
    REFUSED = "refused"


@dataclass(slots=True)
class Subscription:
    """One symbol of one channel."""

    standing: Standing = Standing.ASKED
    asked_ns: int = 0
    last_trade_id: int | None = None  # kept over connections: ids go on counting


class Channel:
    """The subscriptions of one channel, by Kraken's symbol names, and those of them that wait to be asked for."""

    def __init__(self, name: str, natives: Iterable[str], params: dict[str, Any]) -> None:
        self.name = name
        self.subscriptions = {native: Subscription() for native in natives}
        self._params = params
        self._waiting: dict[str, None] = {}  # in the order in which they came
        self._again = False  # whether any of the waiting must be unsubscribed first
        self._requests_made = 0

    def start(self, monotonic_ns: int) -> int:
        """A new connection: everything is to be asked for. Patience begins when a message can have left; returns when the last can."""
        sent_ns = monotonic_ns
        for place, subscription in enumerate(self.subscriptions.values()):
            sent_ns = monotonic_ns + (1 + place // FACTS.subscribe_batch) * SEND_SPACING_NS
            subscription.standing, subscription.asked_ns = Standing.ASKED, sent_ns
        self._waiting = dict.fromkeys(self.subscriptions)
        self._again = False
        return sent_ns

    def ask_again(self, native: str, monotonic_ns: int) -> None:
        """Unsubscribe and subscribe one symbol; a subscription that was never live is treated alike, for its ack may be lost."""
        subscription = self.subscriptions[native]
        subscription.standing, subscription.asked_ns = Standing.HEALING, monotonic_ns
        self._waiting[native] = None
        self._again = True

    def arrived(self, native: str) -> None:
        """Data that makes the subscription good: nothing needs to be asked any more."""
        self.subscriptions[native].standing = Standing.LIVE
        self._waiting.pop(native, None)

    def overdue(self, monotonic_ns: int) -> list[str]:
        """The symbols whose answer has been awaited for too long."""
        owed = (Standing.ASKED, Standing.HEALING)
        return [
            native
            for native, subscription in self.subscriptions.items()
            if subscription.standing in owed and monotonic_ns - subscription.asked_ns > PATIENCE_NS
        ]

    def frames(self) -> Iterator[bytes]:
        """What is to be sent for all that waits; asking empties the list."""
        natives, again = list(self._waiting), self._again
        self._waiting, self._again = {}, False
        for start in range(0, len(natives), FACTS.subscribe_batch):
            batch = natives[start : start + FACTS.subscribe_batch]
            for method in ("unsubscribe", "subscribe") if again else ("subscribe",):
                self._requests_made += 1
                yield request(method, self.name, self._requests_made, {"channel": self.name, "symbol": batch, **self._params})


def request(method: str, kind: str, number: int, params: dict[str, Any] | None = None) -> bytes:
    """The frame of our request `number` of that kind."""
    message: dict[str, Any] = {"method": method, "req_id": 4 * number + REQUEST_KINDS.index(kind)}
    if params is not None:
        message["params"] = params
    return orjson.dumps(message)


def kind_of_request(req_id: object) -> str:
    """The kind of the request that an answer belongs to; "" if the answer does not say."""
    return REQUEST_KINDS[req_id % 4] if isinstance(req_id, int) and not isinstance(req_id, bool) else ""
