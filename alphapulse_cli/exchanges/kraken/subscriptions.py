"""What we have asked Kraken for, and what is still owed to us: one state a symbol and channel, and the frames that ask.

    ASKED ──first data──► LIVE ──wrong──► HEALING ──snapshot──► LIVE        whatever is owed is asked again: exchanges.subscriptions
                        LIVE ──quiet for long──► CONFIRMING ──snapshot──► LIVE
      └──pair not supported──► REFUSED ──snapshot, each ten minutes asked for──► LIVE

A client may send about one message a second, so whatever waits to be asked leaves together, many symbols in one message. An error
of Kraken names no channel, only our `req_id`: its last digit base 4 says which kind of request it was, so nothing is remembered.
"""

from collections.abc import Iterable, Iterator
from enum import Enum, unique
from functools import partial
from typing import Any

import orjson

from alphapulse_cli.exchanges.kraken.facts import FACTS
from alphapulse_cli.exchanges.subscriptions import Owed, batches

REQUEST_KINDS = ("ping", "instrument", "book", "trade")  # by req_id modulo 4
SEND_SPACING_NS = int(1_000_000_000 / FACTS.sends.per_second)


@unique
class Standing(Enum):
    """Where a subscription stands."""

    ASKED = "asked"
    HEALING = "healing"  # asked anew; what still comes of the old subscription is ignored
    LIVE = "live"
    CONFIRMING = "confirming"  # live, and asked anew all the same: its snapshot will show whether anything was missed
    REFUSED = "refused"


GOOD = (Standing.LIVE, Standing.CONFIRMING)  # whose updates count


class Channel:
    """The subscriptions of one channel, by Kraken's symbol names, and those of them that wait to be asked for."""

    def __init__(self, name: str, natives: Iterable[str], params: dict[str, Any]) -> None:
        self.name = name
        self.params = params
        self.standings = dict.fromkeys(natives, Standing.ASKED)
        self._owed: Owed[str] = Owed()
        self._waiting: dict[str, bool] = {}  # in the order in which they came; whether it must be unsubscribed first
        self._requests_made = 0

    def start(self, monotonic_ns: int) -> int:
        """A new connection: everything is to be asked for. Patience begins when a message can have left; returns when the last can."""
        sent_ns = monotonic_ns
        self._owed.clear()
        for place, native in enumerate(self.standings):
            sent_ns = monotonic_ns + (1 + place // FACTS.subscribe_batch) * SEND_SPACING_NS
            self.standings[native] = Standing.ASKED
            self._owed.ask(native, sent_ns)
        self._waiting = dict.fromkeys(self.standings, False)
        return sent_ns

    def ask_anew(self, native: str, monotonic_ns: int) -> None:
        """Unsubscribe and subscribe one symbol: it is wrong, or was never right."""
        self.standings[native] = Standing.HEALING
        self._owed.ask(native, monotonic_ns)
        self._waiting[native] = True

    def confirm(self, native: str, monotonic_ns: int) -> None:
        """Unsubscribe and subscribe a symbol that is live, whose updates are still good."""
        self.ask_anew(native, monotonic_ns)
        self.standings[native] = Standing.CONFIRMING

    def arrived(self, native: str) -> None:
        """Data that makes the subscription good: nothing needs to be asked any more."""
        self.standings[native] = Standing.LIVE
        self._owed.settle(native)
        self._waiting.pop(native, None)

    def accepted(self, native: str, monotonic_ns: int) -> None:
        """It is subscribed already: good where it is LIVE; where no snapshot came that subscription is of no use."""
        if self.standings[native] in GOOD:
            self.arrived(native)
        else:
            self.ask_anew(native, monotonic_ns)

    def refused(self, native: str, monotonic_ns: int, *, final: bool) -> None:
        """The exchange said no; one that is LIVE goes on, in the hope that the refusal is of another request."""
        self._owed.refuse(native, monotonic_ns, final=final)
        if final:
            self.standings[native] = Standing.REFUSED

    def all_refused(self, monotonic_ns: int) -> None:
        """The exchange said no to something that it did not name: all that is owed may be it."""
        for native in self._owed.everything():
            self._owed.refuse(native, monotonic_ns, final=False)

    def tick(self, monotonic_ns: int) -> list[str]:
        """Queue again what is due; those whose silence is news."""
        again, untold = self._owed.due(monotonic_ns)
        for native in again:
            # After a refusal there is nothing to end, and a LIVE one is not ended for it. After a silence the ack may be lost, and only
            # what is ended first brings a snapshot.
            ends = self.standings[native] is not Standing.LIVE and not self._owed.was_refused(native)
            if ends and self.standings[native] is not Standing.CONFIRMING:
                self.standings[native] = Standing.HEALING
            self._waiting[native] = ends
        return untold

    def silences(self) -> dict[str, int]:
        """Number of times in a row that each owed subscription was asked for without an answer."""
        return {native: self._owed.silences(native) for native in self._owed.everything()}

    def frames(self) -> Iterator[bytes]:
        """What is to be sent for all that waits; asking empties the list."""
        waiting, self._waiting = self._waiting, {}
        anew = [native for native, unsubscribe in waiting.items() if unsubscribe]
        fresh = [native for native, unsubscribe in waiting.items() if not unsubscribe]
        for natives, methods in ((anew, ("unsubscribe", "subscribe")), (fresh, ("subscribe",))):
            for batch, _ in batches(natives, FACTS.subscribe_batch, partial(self._request, methods[0])):
                for method in methods:
                    self._requests_made += 1
                    yield self._request(method, batch)

    def _request(self, method: str, batch: list[str]) -> bytes:
        return request(method, self.name, self._requests_made, {"channel": self.name, "symbol": batch, **self.params})


def request(method: str, kind: str, number: int, params: dict[str, Any] | None = None) -> bytes:
    """The frame of our request `number` of that kind."""
    message: dict[str, Any] = {"method": method, "req_id": 4 * number + REQUEST_KINDS.index(kind)}
    if params is not None:
        message["params"] = params
    return orjson.dumps(message)


def kind_of_request(req_id: object) -> str:
    """The kind of the request that an answer belongs to; "" if the answer does not say."""
    return REQUEST_KINDS[req_id % 4] if isinstance(req_id, int) and not isinstance(req_id, bool) else ""
