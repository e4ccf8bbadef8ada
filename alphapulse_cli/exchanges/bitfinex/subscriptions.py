"""Requests at Bitfinex: one subscription each, and the number of the channel that carries it.

An ack names the number of a channel, and the data that follow name nothing else. A subscription ends by its number; the same number
may come again. Frames of one connection come in order, so a number means the old subscription until `unsubscribed`, and the new one
after `subscribed`.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from alphapulse_cli.exchanges.bitfinex.facts import FLAGS
from alphapulse_cli.exchanges.subscriptions import SUBSCRIBE, UNSUBSCRIBE, Subscriptions

Key = tuple[str, str]  # (channel, native symbol)
MOST_ENDED = 1000  # numbers of ended channels that are remembered


class Numbered(Subscriptions[Key]):
    """Subscriptions of one connection by channel and native symbol, and the numbers of their channels."""

    def __init__(self, keys: Iterable[Key], params: dict[str, dict[str, Any]]) -> None:
        super().__init__(keys, 1, self._frame)
        self._params = params  # of a subscription, by channel
        self._keys: dict[int, Key] = {}  # by channel number
        self._numbers: dict[Key, int] = {}
        self._ended: dict[int, None] = {}  # numbers of channels that were ended, in order
        self._ending: set[int] = set()  # numbers whose `unsubscribed` is awaited

    def start(self, now_ns: int) -> int:
        """Queue all subscriptions of a new connection; the numbers of the last one mean nothing. The time, as given."""
        for known in (self._keys, self._numbers, self._ended, self._ending):
            known.clear()
        return super().start(now_ns)

    def key_of(self, number: int) -> Key | None:
        """Subscription of a channel number; None where there is none."""
        return self._keys.get(number)

    def number_of(self, key: Key) -> int | None:
        """Channel number of a subscription; None where there is none yet."""
        return self._numbers.get(key)

    def was_ended(self, number: int) -> bool:
        """Whether that channel was ended: its last data may still come."""
        return number in self._ended

    def opened(self, key: Key, number: int) -> None:
        """Note an ack: the channel's number."""
        before = self._numbers.pop(key, None)
        if before is not None:
            self._keys.pop(before, None)
        other = self._keys.pop(number, None)
        if other is not None:
            self._numbers.pop(other, None)
        self._keys[number], self._numbers[key] = key, number
        self._ended.pop(number, None)
        self._ending.discard(number)

    def closed(self, number: int) -> tuple[Key | None, bool]:
        """Note the end of a channel: its subscription, and whether we asked for the end."""
        wanted = number in self._ending
        self._ending.discard(number)
        key = self._keys.pop(number, None)
        if key is not None:
            del self._numbers[key]
        self._ended[number] = None
        while len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]
        return key, wanted

    def frames(self) -> Iterator[bytes]:
        """Take the queued requests as frames: of each, the end of the old subscription, if there is one, and the new one."""
        waiting, self._waiting = self._waiting, {}
        for key in waiting:
            number = self._numbers.get(key)
            if number is not None and number not in self._ending:
                self._ending.add(number)
                yield orjson.dumps({"event": UNSUBSCRIBE, "chanId": number})
            yield self._request(SUBSCRIBE, [key])

    def _frame(self, _number: int, verb: str, keys: list[Key]) -> bytes:
        [(channel, native)] = keys
        return orjson.dumps({"event": verb, "channel": channel, "symbol": native, **self._params[channel]})


def conf() -> bytes:
    """Frame that sets the flags."""
    return orjson.dumps({"event": "conf", "flags": FLAGS})
