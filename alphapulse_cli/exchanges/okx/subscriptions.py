"""Subscriptions of an OKX connection: a channel and a symbol each, many in one message, each with an answer of its own.

    {"id":"7","op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT"},{"channel":"trades","instId":"BTC-USDT"}]}
    {"id":"7","event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"32f4414f"}
    {"id":"7","event":"error","code":"60012","msg":"Invalid request: …","connId":"32f4414f"}

The exchange counts messages, however many arguments they have: 480 an hour on a connection. An error names the request by its id,
and often the argument in its text.
"""

import re
from collections.abc import Iterable, Iterator
from functools import partial

import orjson

from alphapulse_cli.exchanges.okx.facts import FACTS
from alphapulse_cli.exchanges.subscriptions import Owed, batches

Key = tuple[str, str]  # the exchange's channel, and its name of the symbol

SUBSCRIBE, UNSUBSCRIBE = "subscribe", "unsubscribe"
NAMED = re.compile(r"channel:\s*([\w-]+)\s*,\s*instId:\s*([\w.-]+)")  # in the text of an error
LONGEST_ID = "999999999"  # with which a message's length is computed
MOST_REMEMBERED = 256  # requests whose ids are remembered


class Subscriptions:
    """Subscriptions of one connection, and the queue of those to request."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self.keys = dict.fromkeys(keys)
        self._owed: Owed[Key] = Owed()
        self._waiting: dict[Key, bool] = {}  # to request, in order; whether to unsubscribe first
        self._asked: dict[str, tuple[str, list[Key]]] = {}  # by the id of the request: its kind, its arguments
        self._last_id = 0

    def connected(self, monotonic_ns: int) -> None:
        """Queue all subscriptions of a new connection."""
        self._owed.clear()
        self._asked.clear()
        for key in self.keys:
            self._owed.ask(key, monotonic_ns)
        self._waiting = dict.fromkeys(self.keys, False)

    def ask_anew(self, key: Key, monotonic_ns: int) -> None:
        """Queue an unsubscribe and a subscribe."""
        self._owed.ask(key, monotonic_ns)
        self._waiting[key] = True

    def settle(self, key: Key) -> None:
        """Note an answer, or data that proves the subscription."""
        self._owed.settle(key)
        self._waiting.pop(key, None)

    def waits(self, key: Key) -> bool:
        """Whether the subscription still waits for its answer."""
        return self._owed.waits(key)

    def silences(self) -> dict[Key, int]:
        """Number of times in a row that each waiting subscription was requested without an answer."""
        return {key: self._owed.silences(key) for key in self._owed.everything()}

    def tick(self, monotonic_ns: int) -> list[Key]:
        """Queue the requests that are due again; those whose silence is to be reported."""
        again, untold = self._owed.due(monotonic_ns)
        for key in again:  # after a refusal there is no subscription to end; after a silence the answer may have been lost
            self._waiting[key] = not self._owed.was_refused(key)
        return untold

    def refused(self, request_id: object, text: str, monotonic_ns: int, *, final: bool) -> list[Key]:
        """Note a refusal of a request; the subscriptions that it concerns.

        They are the one that its text names, else all those of the request, else all that wait.
        """
        kind, asked = self._asked.get(request_id if isinstance(request_id, str) else "", (SUBSCRIBE, self._owed.everything()))
        if kind == UNSUBSCRIBE:
            return []
        found = NAMED.search(text)
        named = [(found[1], found[2])] if found and (found[1], found[2]) in self.keys else []
        keys = named or [key for key in asked if self._owed.waits(key)]
        for key in keys:
            self._owed.refuse(key, monotonic_ns, final=final)
        return keys

    def frames(self) -> Iterator[bytes]:
        """Take the queued requests as frames."""
        waiting, self._waiting = self._waiting, {}
        anew = [key for key, unsubscribe in waiting.items() if unsubscribe]
        fresh = [key for key, unsubscribe in waiting.items() if not unsubscribe]
        for keys, kinds in ((anew, (UNSUBSCRIBE, SUBSCRIBE)), (fresh, (SUBSCRIBE,))):
            names = {f"{channel} {native}": (channel, native) for channel, native in keys}
            longest = partial(_frame, LONGEST_ID, UNSUBSCRIBE, names)
            for batch, _ in batches(names, FACTS.subscribe_batch, longest):
                for kind in kinds:
                    yield self._request(kind, batch, names)

    def _request(self, kind: str, batch: list[str], names: dict[str, Key]) -> bytes:
        self._last_id += 1
        number = str(self._last_id)
        self._asked[number] = kind, [names[name] for name in batch]
        if len(self._asked) > MOST_REMEMBERED:
            del self._asked[next(iter(self._asked))]
        return _frame(number, kind, names, batch)


def _frame(number: str, kind: str, names: dict[str, Key], batch: list[str]) -> bytes:
    args = [dict(zip(("channel", "instId"), names[name], strict=True)) for name in batch]
    return orjson.dumps({"id": number, "op": kind, "args": args})
