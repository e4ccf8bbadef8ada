"""What a connection subscribes to, in few messages, and what the exchange answered.

Five messages a second is all that a client may send, so that many streams go into one SUBSCRIBE; each has an integer id, and one
answer. `result: null` is a yes, for unknown symbols too. A no is `{"code", "msg", "id"}` or, on newer servers, `{"error": {…}, "id"}`.

Rules, numbered as the tests number them:
  U1  A SUBSCRIBE holds as many symbols as the facts say and is never longer than MESSAGE_BYTES: a longer one gets no answer at all.
  U2  One that is neither answered nor fed is sent again (data of one of its streams confirm them all), and one that was refused, for ever, with the pauses of `Owed`; a stream that
      is subscribed to already is no error. The first silence of each is told, the others are not.
  U3  Three silences in a row on a connection that has fed nothing at all: it is the connection, and another one is made.
"""

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from alphapulse_cli.errors import UsageError
from alphapulse_cli.exchanges.binance.facts import MAX_STREAMS, TRADE_STREAM
from alphapulse_cli.exchanges.protocol import BOOK, TEXT_KEPT, TRADES
from alphapulse_cli.exchanges.subscriptions import Owed, batches, is_final
from alphapulse_cli.market.events import Event, Subscribed, SubscriptionRefused, Unanswered, Unrecognised

RESTART_WITHIN_NS = 3_000_000_000  # a connection that does not answer in this time when a dead stream is asked for anew is mute
SILENCES = 3  # U3
LONGEST_ID = 1 << 32  # as many digits as an id of ours may ever have, when a message's length is found


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
        cut = batches(natives, batch, lambda names: self._frame(names, LONGEST_ID)) if suffixes else ()
        self._batches: list[Sequence[str]] = [names for names, _ in cut]
        self._owed: Owed[int] = Owed()  # by place in `_batches`
        self._batch_of_id: dict[int, int] = {}  # of this connection
        self._last_id = 0
        self._restarts: dict[int, int] = {}  # requests of `restart` not answered yet, and when they were made

    def connected(self, monotonic_ns: int) -> list[bytes]:
        """The messages that subscribe a new connection to everything."""
        self._batch_of_id.clear()
        self._restarts.clear()
        self._owed.clear()
        for place in range(len(self._batches)):
            self._owed.ask(place, monotonic_ns)
        return [self._ask(place) for place in range(len(self._batches))]

    def fed(self, is_fed: Callable[[str], bool]) -> list[str]:
        """U2: the natives of what was not answered and is fed, which is as good as confirmed; told once."""
        places = [place for place in self._owed.everything() if any(map(is_fed, self._batches[place]))]
        for place in places:
            self._owed.settle(place)
        return [native for place in places for native in self._batches[place]]

    def unanswered(self) -> set[str]:
        """The natives that nobody has confirmed yet."""
        return {native for place in self._owed.everything() for native in self._batches[place]}

    def again(self, monotonic_ns: int, is_fed: Callable[[str], bool]) -> tuple[list[bytes], list[Event], bool]:
        """U2, U3: (what to send again, what to tell, whether the connection is to be given up)."""
        due, untold = self._owed.due(monotonic_ns)
        told: list[Event] = [Unanswered(_ours(suffix), self._batches[place]) for place in untold for suffix in self._suffixes]
        gave_up = any(self._owed.silences(place) >= SILENCES for place in due)
        gave_up = gave_up and not any(is_fed(native) for native in self._natives())
        unheard = any(monotonic_ns - asked_ns > RESTART_WITHIN_NS for asked_ns in self._restarts.values())
        return [self._ask(place) for place in due], told, gave_up or unheard

    def restart(self, stream: str, monotonic_ns: int) -> list[bytes]:
        """The messages that take one stream of the connection away and ask for it anew."""
        frames = []
        for method in ("UNSUBSCRIBE", "SUBSCRIBE"):
            self._last_id += 1
            self._restarts[self._last_id] = monotonic_ns
            frames.append(orjson.dumps({"method": method, "params": [stream], "id": self._last_id}))
        return frames

    def answer(self, message: dict[str, Any], monotonic_ns: int) -> tuple[Sequence[str], Sequence[Event]]:
        """The natives that are subscribed now, and what to tell of an answer. TypeError if it is not understood."""
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
