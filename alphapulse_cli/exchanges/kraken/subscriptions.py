"""Subscriptions at Kraken: a state for each symbol and channel, and the frames that subscribe.

    ASKED ──first data──► LIVE ──wrong──► HEALING ──snapshot──► LIVE        unanswered requests: exchanges.subscriptions
                        LIVE ──quiet for long──► CONFIRMING ──snapshot──► LIVE
      └──pair not supported──► REFUSED ──snapshot, requested each ten minutes──► LIVE

A client may send about one message a second, so all waiting requests leave together, many symbols in one message. An error of
Kraken names no channel, only our `req_id`: the kind of request is coded in it (req_id modulo 4), so no request has to be
remembered.
"""

from collections.abc import Iterable, Iterator
from enum import Enum, unique
from functools import partial
from typing import Any

import orjson

from alphapulse_cli.exchanges.kraken.facts import FACTS
from alphapulse_cli.exchanges.subscriptions import Owed, batches

REQUEST_KINDS = ("ping", "instrument", "book", "trade")  # index: req_id modulo 4
SEND_SPACING_NS = int(1_000_000_000 / FACTS.sends.per_second)


@unique
class Standing(Enum):
    """State of a subscription."""

    ASKED = "asked"
    HEALING = "healing"  # requested anew; updates of the old subscription are ignored
    LIVE = "live"
    CONFIRMING = "confirming"  # live, but requested anew as a check: its snapshot will show whether anything was missed
    REFUSED = "refused"


GOOD = (Standing.LIVE, Standing.CONFIRMING)  # states in which updates count


class Channel:
    """Subscriptions of one channel by native symbol, and the queue of those to request."""

    def __init__(self, name: str, natives: Iterable[str], params: dict[str, Any]) -> None:
        self.name = name
        self.params = params
        self.standings = dict.fromkeys(natives, Standing.ASKED)
        self._owed: Owed[str] = Owed()
        self._waiting: dict[str, bool] = {}  # symbols to request, in order; whether to unsubscribe first
        self._requests_made = 0

    def start(self, monotonic_ns: int) -> int:
        """Queue all subscriptions of a new connection; the time at which the last request can have left.

        Each deadline counts from the time at which its message can have left.
        """
        sent_ns = monotonic_ns
        self._owed.clear()
        for place, native in enumerate(self.standings):
            sent_ns = monotonic_ns + (1 + place // FACTS.subscribe_batch) * SEND_SPACING_NS
            self.standings[native] = Standing.ASKED
            self._owed.ask(native, sent_ns)
        self._waiting = dict.fromkeys(self.standings, False)
        return sent_ns

    def ask_anew(self, native: str, monotonic_ns: int) -> None:
        """Queue an unsubscribe and subscribe of a symbol whose book is wrong, or never was right."""
        self.standings[native] = Standing.HEALING
        self._owed.ask(native, monotonic_ns)
        self._waiting[native] = True

    def confirm(self, native: str, monotonic_ns: int) -> None:
        """Queue an unsubscribe and subscribe of a live symbol, whose updates still count."""
        self.ask_anew(native, monotonic_ns)
        self.standings[native] = Standing.CONFIRMING

    def arrived(self, native: str) -> None:
        """Note data that proves the subscription: it is LIVE and no longer queued."""
        self.standings[native] = Standing.LIVE
        self._owed.settle(native)
        self._waiting.pop(native, None)

    def accepted(self, native: str, monotonic_ns: int) -> None:
        """Note an answer "already subscribed".

        The subscription is good where it is LIVE. Without a snapshot it is useless, and is made anew.
        """
        if self.standings[native] in GOOD:
            self.arrived(native)
        else:
            self.ask_anew(native, monotonic_ns)

    def refused(self, native: str, monotonic_ns: int, *, final: bool) -> None:
        """Note a refusal. A LIVE subscription goes on unless it is `final`, since the refusal may concern another request."""
        self._owed.refuse(native, monotonic_ns, final=final)
        if final:
            self.standings[native] = Standing.REFUSED

    def all_refused(self, monotonic_ns: int) -> None:
        """Note a refusal that names no request: all waiting requests count as refused for now."""
        for native in self._owed.everything():
            self._owed.refuse(native, monotonic_ns, final=False)

    def tick(self, monotonic_ns: int) -> list[str]:
        """Queue the requests that are due again; the symbols whose silence is to be reported."""
        again, untold = self._owed.due(monotonic_ns)
        for native in again:
            # After a refusal there is no subscription to end, and a LIVE one is kept. After a silence the ack may have been lost:
            # then only ending the subscription first brings a snapshot.
            ends = self.standings[native] is not Standing.LIVE and not self._owed.was_refused(native)
            if ends and self.standings[native] is not Standing.CONFIRMING:
                self.standings[native] = Standing.HEALING
            self._waiting[native] = ends
        return untold

    def silences(self) -> dict[str, int]:
        """Number of times in a row that each waiting subscription was requested without an answer."""
        return {native: self._owed.silences(native) for native in self._owed.everything()}

    def frames(self) -> Iterator[bytes]:
        """Take the queued requests as frames."""
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
    """Frame of our request `number` of that kind."""
    message: dict[str, Any] = {"method": method, "req_id": 4 * number + REQUEST_KINDS.index(kind)}
    if params is not None:
        message["params"] = params
    return orjson.dumps(message)


def kind_of_request(req_id: object) -> str:
    """Kind of the request that an answer belongs to; "" where the answer does not say."""
    return REQUEST_KINDS[req_id % 4] if isinstance(req_id, int) and not isinstance(req_id, bool) else ""
