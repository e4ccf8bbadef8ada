"""Subscriptions of one Binance connection: batched SUBSCRIBE requests, and the exchange's answers.

A client may send five messages a second, so many streams go into one SUBSCRIBE; each has an integer id, and one answer.
`result: null` accepts, unknown symbols too. A refusal is `{"code", "msg", "id"}` or, on newer servers, `{"error": {…}, "id"}`.

Rules, numbered as the tests number them:
  U1  A SUBSCRIBE holds at most `Facts.subscribe_batch` symbols and MESSAGE_BYTES bytes: Binance does not answer a longer one.
  U2  A SUBSCRIBE without an answer and without data is sent again (data of one of its streams confirm all of them). So is a
      refused one, without limit, after the pauses of `Owed`; to subscribe twice is no error. Only the first silence of each is
      reported.
  U3  A connection that sent no data at all is replaced after three unanswered SUBSCRIBEs in a row.
"""

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from alphapulse_cli.errors import UsageError
from alphapulse_cli.exchanges.binance.facts import MAX_STREAMS, TRADE_STREAM
from alphapulse_cli.exchanges.protocol import BOOK, TEXT_KEPT, TRADES
from alphapulse_cli.exchanges.subscriptions import Owed, batches, is_final
from alphapulse_cli.market.events import Event, Subscribed, SubscriptionRefused, Unanswered, Unrecognised

RESTART_WITHIN_NS = 3_000_000_000  # longest wait for the answer to the restart of a dead stream; then the connection counts as dead
SILENCES = 3  # U3
LONGEST_ID = 1 << 32  # longest id, for computing a message's length


def stream_name(native: str, suffix: str) -> str:
    """Full name of a stream: BTCUSDT and trade give btcusdt@trade."""
    return f"{native.lower()}@{suffix}"


def _ours(suffix: str) -> str:
    """Canonical channel name (BOOK or TRADES) of a stream suffix."""
    return TRADES if suffix == TRADE_STREAM else BOOK


class Subscriptions:
    """Streams `<native>@<suffix>` of all natives and suffixes. UsageError for more than one connection carries."""

    def __init__(self, natives: Sequence[str], suffixes: Sequence[str], batch: int) -> None:
        if len(natives) * len(suffixes) > MAX_STREAMS:
            raise UsageError(
                f"{len(natives) * len(suffixes)} streams; a connection carries {MAX_STREAMS}",
                "divide the symbols among several connections, as `collect` does",
            )
        self._suffixes = suffixes
        cut = batches(natives, batch, lambda names: self._frame(names, LONGEST_ID)) if suffixes else ()
        self._batches: list[Sequence[str]] = [names for names, _ in cut]
        self._owed: Owed[int] = Owed()  # by index in `_batches`
        self._batch_of_id: dict[int, int] = {}  # request id on this connection -> index in `_batches`
        self._last_id = 0
        self._restarts: dict[int, int] = {}  # unanswered requests of `restart`, and their times

    def connected(self, monotonic_ns: int) -> list[bytes]:
        """Messages that subscribe a new connection to all streams."""
        self._batch_of_id.clear()
        self._restarts.clear()
        self._owed.clear()
        for place in range(len(self._batches)):
            self._owed.ask(place, monotonic_ns)
        return [self._ask(place) for place in range(len(self._batches))]

    def fed(self, is_fed: Callable[[str], bool]) -> list[str]:
        """U2: symbols of unanswered batches that data have confirmed; each batch once."""
        places = [place for place in self._owed.everything() if any(map(is_fed, self._batches[place]))]
        for place in places:
            self._owed.settle(place)
        return [native for place in places for native in self._batches[place]]

    def unanswered(self) -> set[str]:
        """Symbols whose subscription is not yet confirmed."""
        return {native for place in self._owed.everything() for native in self._batches[place]}

    def again(self, monotonic_ns: int, is_fed: Callable[[str], bool]) -> tuple[list[bytes], list[Event], bool]:
        """U2, U3: messages to send again, events to report, and whether to replace the connection."""
        due, untold = self._owed.due(monotonic_ns)
        events: list[Event] = [Unanswered(_ours(suffix), self._batches[place]) for place in untold for suffix in self._suffixes]
        gave_up = any(self._owed.silences(place) >= SILENCES for place in due)
        gave_up = gave_up and not any(is_fed(native) for native in self._natives())
        unheard = any(monotonic_ns - asked_ns > RESTART_WITHIN_NS for asked_ns in self._restarts.values())
        return [self._ask(place) for place in due], events, gave_up or unheard

    def restart(self, stream: str, monotonic_ns: int) -> list[bytes]:
        """Messages that unsubscribe one stream of the connection and resubscribe to it."""
        frames = []
        for method in ("UNSUBSCRIBE", "SUBSCRIBE"):
            self._last_id += 1
            self._restarts[self._last_id] = monotonic_ns
            frames.append(orjson.dumps({"method": method, "params": [stream], "id": self._last_id}))
        return frames

    def answer(self, message: dict[str, Any], monotonic_ns: int) -> tuple[Sequence[str], Sequence[Event]]:
        """Symbols that an answer confirms, and its events. TypeError if it is not understood."""
        number, error = message.get("id"), message.get("error", message)
        if not isinstance(number, int | None) or not isinstance(error, dict):
            raise TypeError("an answer of unknown shape")
        if number in self._restarts and message.get("result", "") is None:
            self._restarts.pop(number or 0, None)
            return (), ()
        place = self._batch_of_id.get(number) if number is not None else None
        natives = self._batches[place] if place is not None else ()
        if "code" in error or "error" in message:
            text = str(error.get("msg", ""))[:TEXT_KEPT]
            if place is None or not self._owed.waits(place):
                return (), [SubscriptionRefused("", "", text, for_now=True)]
            final = is_final(text)
            self._owed.refuse(place, monotonic_ns, final=final)
            return (), [
                SubscriptionRefused(_ours(suffix), native, text, for_now=not final)
                for native in natives
                for suffix in self._suffixes
            ]
        if message.get("result") is not None or place is None or not self._owed.waits(place):
            return (), [Unrecognised("result")]
        self._owed.settle(place)
        return natives, [Subscribed(_ours(suffix), natives) for suffix in self._suffixes]

    def _natives(self) -> list[str]:
        return [native for names in self._batches for native in names]

    def _ask(self, place: int) -> bytes:
        self._last_id += 1
        self._batch_of_id[self._last_id] = place
        return self._frame(self._batches[place], self._last_id)

    def _frame(self, natives: Sequence[str], number: int) -> bytes:
        streams = [stream_name(native, suffix) for native in natives for suffix in self._suffixes]
        return orjson.dumps({"method": "SUBSCRIBE", "params": streams, "id": number})
