"""Subscriptions of an OKX connection: (channel, symbol) arguments, many per message, each answered separately.

    {"id":"7","op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT"},{"channel":"trades","instId":"BTC-USDT"}]}
    {"id":"7","event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"32f4414f"}
    {"id":"7","event":"error","code":"60012","msg":"Invalid request: …","connId":"32f4414f"}

The exchange limits messages, with any number of arguments, to 480 an hour on a connection. An error names the request by its id,
and often the argument in its text.
"""

import re
from collections.abc import Iterable, Sequence

import orjson

from alphapulse_cli.exchanges.okx.facts import FACTS
from alphapulse_cli.exchanges.subscriptions import SUBSCRIBE, UNSUBSCRIBE, Subscriptions

Key = tuple[str, str]  # (OKX's channel, native symbol)

NAMED = re.compile(r"channel:\s*([\w-]+)\s*,\s*instId:\s*([\w.-]+)")  # channel and symbol in the text of an error


class Arguments(Subscriptions[Key]):
    """Subscriptions of one connection. Each `Book` decides whether its updates are applied."""

    def __init__(self, keys: Iterable[Key]) -> None:
        super().__init__(keys, FACTS.subscribe_batch, _frame)

    def request_refused(self, request_id: object, text: str, monotonic_ns: int, *, final: bool) -> Sequence[Key]:
        """Record a refusal; returns the refused subscriptions.

        They are the one that its text names, else all of the request, else all that wait for an answer.
        """
        verb, requested = self.request_of(request_id) or (SUBSCRIBE, self.standings)
        if verb == UNSUBSCRIBE:
            return ()
        found = NAMED.search(text)
        named = [(found[1], found[2])] if found and (found[1], found[2]) in self.standings else []
        keys = named or [key for key in requested if self.waits(key)]
        for key in keys:
            self.refused(key, monotonic_ns, final=final)
        return keys


def _frame(number: int, verb: str, keys: Sequence[Key]) -> bytes:
    args = [{"channel": channel, "instId": native} for channel, native in keys]
    return orjson.dumps({"id": str(number), "op": verb, "args": args})
