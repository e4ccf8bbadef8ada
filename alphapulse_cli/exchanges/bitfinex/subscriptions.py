"""Subscriptions at Bitfinex: a state and a channel number for each symbol and channel, and the frames that subscribe.

    ASKED ──first data──► LIVE ──wrong──► HEALING ──snapshot──► LIVE        unanswered requests: exchanges.subscriptions
                        LIVE ──quiet for long──► CONFIRMING ──snapshot──► LIVE
      └──symbol: invalid──► REFUSED ──snapshot, requested each ten minutes──► LIVE

An ack names the number of a channel, and the data that follow name nothing else. A subscription ends by its number; the same number
may come again. Frames of one connection come in order, so a number means the old subscription until `unsubscribed`, and the new one
after `subscribed`.
"""

from collections.abc import Iterable, Iterator
from enum import Enum, unique
from typing import Any

import orjson

from alphapulse_cli.exchanges.bitfinex.facts import FLAGS
from alphapulse_cli.exchanges.subscriptions import Owed

Key = tuple[str, str]  # (channel, native symbol)
MOST_ENDED = 1000  # numbers of ended channels that are remembered


@unique
class Standing(Enum):
    """State of a subscription."""

    ASKED = "asked"
    HEALING = "healing"  # requested anew; updates of the old subscription are ignored
    LIVE = "live"
    CONFIRMING = "confirming"  # live, but requested anew as a check: its snapshot will show whether anything was missed
    REFUSED = "refused"


GOOD = (Standing.LIVE, Standing.CONFIRMING)  # states in which updates count


class Subscriptions:
    """Subscriptions of one connection by channel and native symbol, and the queue of those to request."""

    def __init__(self, keys: Iterable[Key], params: dict[str, dict[str, Any]]) -> None:
        self._params = params  # of a subscription, by channel
        self.standings = dict.fromkeys(keys, Standing.ASKED)
        self._keys: dict[int, Key] = {}  # by channel number
        self._numbers: dict[Key, int] = {}
        self._ended: dict[int, None] = {}  # numbers of channels that were ended, in order
        self._ending: set[int] = set()  # numbers whose `unsubscribed` is awaited
        self._waiting: dict[Key, None] = {}
        self._owed: Owed[Key] = Owed()

    def start(self, monotonic_ns: int) -> None:
        """Queue all subscriptions of a new connection."""
        for known in (self._keys, self._numbers, self._ended, self._ending):
            known.clear()
        self._owed.clear()
        for key in self.standings:
            self.standings[key] = Standing.ASKED
            self._owed.ask(key, monotonic_ns)
        self._waiting = dict.fromkeys(self.standings)

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

    def ask_anew(self, key: Key, monotonic_ns: int, standing: Standing = Standing.HEALING) -> None:
        """Queue an end and a new subscription."""
        self.standings[key] = standing
        self._owed.ask(key, monotonic_ns)
        self._waiting[key] = None

    def arrived(self, key: Key) -> None:
        """Note data that proves the subscription: it is LIVE and no longer queued."""
        self.standings[key] = Standing.LIVE
        self._owed.settle(key)
        self._waiting.pop(key, None)

    def refused(self, key: Key, monotonic_ns: int, *, final: bool) -> None:
        """Note a refusal. A LIVE subscription goes on unless it is `final`."""
        self._owed.refuse(key, monotonic_ns, final=final)
        if final:
            self.standings[key] = Standing.REFUSED

    def all_refused(self, monotonic_ns: int) -> None:
        """Note a refusal that names no request: all waiting requests count as refused for now."""
        for key in self._owed.everything():
            self._owed.refuse(key, monotonic_ns, final=False)

    def tick(self, monotonic_ns: int) -> tuple[list[Key], list[Key]]:
        """Queue the requests that are due again; those, and which of them whose silence is to be reported."""
        again, unreported = self._owed.due(monotonic_ns)
        for key in again:
            if self.standings[key] not in GOOD:
                self.standings[key] = Standing.HEALING
            self._waiting[key] = None
        return again, unreported

    def silences(self) -> dict[Key, int]:
        """Number of times in a row that each waiting subscription was requested without an answer."""
        return {key: self._owed.silences(key) for key in self._owed.everything()}

    def frames(self) -> Iterator[bytes]:
        """Take the queued requests as frames: of each, the end of the old subscription, if there is one, and the new one."""
        waiting, self._waiting = self._waiting, {}
        for key in waiting:
            number = self._numbers.get(key)
            if number is not None and number not in self._ending:
                self._ending.add(number)
                yield orjson.dumps({"event": "unsubscribe", "chanId": number})
            channel, native = key
            yield orjson.dumps({"event": "subscribe", "channel": channel, "symbol": native, **self._params[channel]})


def conf() -> bytes:
    """Frame that sets the flags."""
    return orjson.dumps({"event": "conf", "flags": FLAGS})
