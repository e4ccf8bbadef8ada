"""Subscriptions of an OKX connection: a channel and a symbol each, many in one message, each with an answer of its own.

    {"id":"7","op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT"},{"channel":"trades","instId":"BTC-USDT"}]}
    {"id":"7","event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"32f4414f"}
    {"id":"7","event":"error","code":"60012","msg":"Invalid request: …","connId":"32f4414f"}

The exchange counts messages, however many arguments they have: 480 an hour on a connection. An error names the request by its id,
and often the argument in its text.
"""

import re
from collections.abc import Iterable, Sequence

import orjson

from alphapulse_cli.exchanges.okx.facts import FACTS
from alphapulse_cli.exchanges.subscriptions import SUBSCRIBE, UNSUBSCRIBE, Subscriptions

Key = tuple[str, str]  # the exchange's channel, and its name of the symbol

NAMED = re.compile(r"channel:\s*([\w-]+)\s*,\s*instId:\s*([\w.-]+)")  # in the text of an error


class Arguments(Subscriptions[Key]):
    """Subscriptions of one connection. Whether updates of a book count is for its `Book` to say."""

    def __init__(self, keys: Iterable[Key]) -> None:
        super().__init__(keys, FACTS.subscribe_batch, _frame)

    def request_refused(self, request_id: object, text: str, monotonic_ns: int, *, final: bool) -> Sequence[Key]:
        """Note a refusal of a request; the subscriptions that it concerns.

        They are the one that its text names, else all those of the request, else all that wait.
        """
        verb, asked = self.request_of(request_id) or (SUBSCRIBE, self.standings)
        if verb == UNSUBSCRIBE:
            return ()
        found = NAMED.search(text)
        named = [(found[1], found[2])] if found and (found[1], found[2]) in self.standings else []
        keys = named or [key for key in asked if self.waits(key)]
        for key in keys:
            self.refused(key, monotonic_ns, final=final)
        return keys


def _frame(number: int, verb: str, keys: Sequence[Key]) -> bytes:
    args = [{"channel": channel, "instId": native} for channel, native in keys]
    return orjson.dumps({"id": str(number), "op": verb, "args": args})
