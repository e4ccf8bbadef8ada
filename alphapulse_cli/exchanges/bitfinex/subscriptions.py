"""Subscription requests of a Bitfinex connection (one subscription each), and the channel numbers of their data.

An ack assigns a channel number, the only identification of the data that follow. A subscription is ended by its number, which may
be assigned again. Frames of one connection come in order, so a number refers to the old subscription until `unsubscribed`, and to
the new one after `subscribed`.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from alphapulse_cli.exchanges.bitfinex.facts import FLAGS
from alphapulse_cli.exchanges.subscriptions import SUBSCRIBE, UNSUBSCRIBE, Subscriptions

Key = tuple[str, str]  # (channel, native symbol)
MOST_ENDED = 1000  # most numbers of ended channels remembered


class Numbered(Subscriptions[Key]):
    """Subscriptions of one connection by channel and native symbol, and the numbers of their channels."""

    def __init__(self, keys: Iterable[Key], params: dict[str, dict[str, Any]]) -> None:
        super().__init__(keys, 1, self._frame)
        self._params = params  # (channel, native symbol) -> channel number
        self._keys: dict[int, Key] = {}  # by channel number
        self._numbers: dict[Key, int] = {}
        self._ended: dict[int, None] = {}  # numbers of channels that were ended, in order
        self._ending: set[int] = set()  # numbers whose `unsubscribed` is awaited

    def start(self, now_ns: int) -> int:
        """Queue all subscriptions of a new connection and forget the channel numbers of the last one; returns the time given."""
        for known in (self._keys, self._numbers, self._ended, self._ending):
            known.clear()
        return super().start(now_ns)

    def key_of(self, number: int) -> Key | None:
        """Subscription with that channel number; None if there is none."""
        return self._keys.get(number)

    def number_of(self, key: Key) -> int | None:
        """Channel number of a subscription; None if there is none yet."""
        return self._numbers.get(key)

    def was_ended(self, number: int) -> bool:
        """Whether that channel was ended; its last data may still arrive."""
        return number in self._ended

    def opened(self, key: Key, number: int) -> None:
        """Record an ack, which assigns the channel number."""
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
        """Record the end of a channel; returns its subscription, and whether the end was requested."""
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
        """Take the queued requests as frames: for each, `unsubscribe` if there is an old subscription, then `subscribe`."""
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
