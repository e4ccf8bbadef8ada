"""Subscription requests of a Kraken connection: many symbols of one channel per message, the request's kind coded in `req_id`.

A client may send about one message a second, so all waiting requests are sent together. Kraken's errors contain no channel, only
our `req_id`: the kind of request is coded in it (req_id modulo 4), so that no request has to be remembered.
"""

from collections.abc import Iterable
from typing import Any

import orjson

from alphapulse_cli.exchanges.kraken.facts import FACTS
from alphapulse_cli.exchanges.subscriptions import Subscriptions

REQUEST_KINDS = ("ping", "instrument", "book", "trade")  # index: req_id modulo 4
SEND_SPACING_NS = int(1_000_000_000 / FACTS.sends.per_second)


class Channel(Subscriptions[str]):
    """Subscriptions of one channel by native symbol; `params` are those of each request."""

    def __init__(self, name: str, natives: Iterable[str], params: dict[str, Any]) -> None:
        super().__init__(natives, FACTS.subscribe_batch, self._frame, SEND_SPACING_NS)
        self.name = name
        self.params = params

    def _frame(self, number: int, method: str, natives: list[str]) -> bytes:
        return request(method, self.name, number, {"channel": self.name, "symbol": natives, **self.params})


def request(method: str, kind: str, number: int, params: dict[str, Any] | None = None) -> bytes:
    """Frame of the request with that kind and number."""
    message: dict[str, Any] = {"method": method, "req_id": 4 * number + REQUEST_KINDS.index(kind)}
    if params is not None:
        message["params"] = params
    return orjson.dumps(message)


def kind_of_request(req_id: object) -> str:
    """Kind of the request that an answer belongs to; "" if the answer has no `req_id`."""
    return REQUEST_KINDS[req_id % 4] if isinstance(req_id, int) and not isinstance(req_id, bool) else ""
