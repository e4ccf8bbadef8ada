"""What a connection subscribes to, in few messages, and what the exchange answered.

Five messages a second is all that a client may send, so that many streams go into one SUBSCRIBE; each has an integer id, and one
answer. `result: null` is a yes, for unknown symbols too. A no is `{"code", "msg", "id"}` or, on newer servers, `{"error": {…}, "id"}`.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from alphapulse_cli.errors import UsageError
from alphapulse_cli.exchanges.binance.facts import MAX_STREAMS, TRADE_STREAM
from alphapulse_cli.exchanges.protocol import BOOK, TEXT_KEPT, TRADES
from alphapulse_cli.market.events import Event, Subscribed, SubscriptionRefused, Unrecognised

ANSWER_WITHIN_NS = 10_000_000_000


def stream_name(native: str, suffix: str) -> str:
    """The stream's full name: btcusdt@trade of BTCUSDT and trade."""
    return f"{native.lower()}@{suffix}"


def _ours(suffix: str) -> str:
    """Our name of the channel, which is what everybody else reads."""
    return TRADES if suffix == TRADE_STREAM else BOOK


class Subscriptions:
    """The streams `<native>@<suffix>` of all natives and suffixes; UsageError if one connection cannot carry them."""

    def __init__(self, natives: Sequence[str], suffixes: Sequence[str], batch: int) -> None:
        if len(natives) * len(suffixes) > MAX_STREAMS:
            raise UsageError(
                f"{len(natives) * len(suffixes)} streams; a connection carries {MAX_STREAMS}",
                "collect fewer symbols, or one channel of --channels",
            )
        self._suffixes = suffixes
        self._batches = [natives[start : start + batch] for start in range(0, len(natives), batch)] if suffixes else []
        self._unanswered: dict[int, Sequence[str]] = {}
        self._last_id = 0
        self._opened_ns = 0

    def connected(self, monotonic_ns: int) -> list[bytes]:
        """The messages that subscribe a new connection to everything."""
        self._opened_ns = monotonic_ns
        self._unanswered.clear()
        frames = []
        for natives in self._batches:
            self._last_id += 1
            self._unanswered[self._last_id] = natives
            streams = [stream_name(native, suffix) for native in natives for suffix in self._suffixes]
            frames.append(orjson.dumps({"method": "SUBSCRIBE", "params": streams, "id": self._last_id}))
        return frames

    def answer(self, message: dict[str, Any]) -> tuple[Sequence[str], Sequence[Event]]:
        """The natives that are subscribed now, and what to tell of an answer. TypeError if it is not understood."""
        number, error = message.get("id"), message.get("error", message)
        if not isinstance(number, int | None) or not isinstance(error, dict):
            raise TypeError("an answer of unknown shape")
        natives = self._unanswered.get(number, ()) if number is not None else ()
        if "code" in error or "error" in message:
            text = str(error.get("msg", ""))[:TEXT_KEPT]
            refused = [SubscriptionRefused(_ours(suffix), native, text) for native in natives for suffix in self._suffixes]
            self._unanswered.pop(number or 0, None)
            return (), refused or [SubscriptionRefused("", "", text)]
        if message.get("result") is not None or not natives:
            return (), [Unrecognised("result")]
        del self._unanswered[number or 0]
        return natives, [Subscribed(_ours(suffix), natives) for suffix in self._suffixes]

    def overdue(self, monotonic_ns: int) -> bool:
        """Whether the exchange left a SUBSCRIBE unanswered for too long."""
        return bool(self._unanswered) and monotonic_ns - self._opened_ns >= ANSWER_WITHIN_NS

    def abandon(self) -> None:
        """Wait for no answer any more: the connection will be replaced."""
        self._unanswered.clear()
