"""Subscriptions of one connection: a state for each, when to request it again, and in how many messages.

    ASKED ──first data──► LIVE ──wrong──► HEALING ──snapshot──► LIVE
      │                   LIVE ──quiet for long──► CONFIRMING ──snapshot──► LIVE
      └──refused for good──► REFUSED ──snapshot──► LIVE

    request ──data, or the answer that the exchange's rules call enough──► settled
     │ ▲
     │ └── due: no answer for 10 s, then 20, 40, 60, 60 …      refused for now: again after ¼ s, ½, 1, 2 … 60
     └──── refused for good ("not supported", "unknown symbol"): again each 10 minutes, so that a listing heals it

`Subscriptions` is all of it: a decoder tells it what the exchange's frames mean (`arrived`, `already_there`, `refused`, `ask_anew`),
and sends its `frames`. What waits leaves together; a subscription that has to be ended first is ended and begun in two messages, one
after the other. No request is ever given up, and none is repeated before its time unless its subscription was found wrong meanwhile.
One that a connection left unanswered three times in a row may succeed on another: `LastResort`. `Owed`, its clock, serves requests
without a subscription too. Times are monotonic nanoseconds, handed in. A key names one subscription: a channel and a symbol, say.
"""

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, unique
from functools import partial
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Name = TypeVar("Name")

NS_PER_S = 1_000_000_000
ANSWER_WITHIN_NS = 10 * NS_PER_S
REFUSED_PAUSE_NS = NS_PER_S // 4
LONGEST_PAUSE_NS = 60 * NS_PER_S
FINAL_PAUSE_NS = 600 * NS_PER_S
SILENCES, REPLACED_NS = 3, 600 * NS_PER_S  # silences until a connection is replaced; shortest time between two such for one request
MESSAGE_BYTES = 4000  # longest message of a request: Binance leaves more than 4,088 bytes without an answer
SUBSCRIBE, UNSUBSCRIBE = "subscribe", "unsubscribe"
LONGEST_NUMBER = 999_999_999  # of a request, with which a message's length is computed
MOST_REMEMBERED = 1000  # requests of a connection whose keys are remembered
TOO_FAST_NS = 2 * NS_PER_S  # a second refusal for our rate within this span slows us down

# Words of a refusal for good: of a symbol or channel that the exchange does not have. Every other refusal may soon be over.
FINAL_WORDS = re.compile(
    r"not supported|unsupported|unknown (?:symbol|stream|pair|product|channel)|invalid (?:symbol|stream|pair|product|channel)"
    r"|not a valid (?:symbol|stream|pair|product|channel)|(?:symbol|pair|product|channel) not found|require[sd]? authentication"
    r"|authentication failure|delisted|handler not found",
    re.IGNORECASE,
)

RATE_WORDS = re.compile(r"\brate\b|too many|too fast|throttl", re.IGNORECASE)


def is_rate(message: str) -> bool:
    """Whether a refusal says that we exceeded a rate limit."""
    return RATE_WORDS.search(message) is not None


def is_final(message: str) -> bool:
    """Whether a refusal in these words will be the same a minute later."""
    return FINAL_WORDS.search(message) is not None


def batches(names: Iterable[Name], most: int, frame_of: Callable[[list[Name]], bytes]) -> Iterator[tuple[list[Name], bytes]]:
    """Split the names, in order, into messages of at most `most` names and MESSAGE_BYTES bytes; each batch with its frame.

    A name that alone exceeds the limit has a message of its own.
    """
    waiting = list(names)
    while waiting:
        count = min(most, len(waiting))
        frame = frame_of(waiting[:count])
        while len(frame) > MESSAGE_BYTES and count > 1:
            count = max(1, min(count - 1, count * MESSAGE_BYTES // len(frame)))
            frame = frame_of(waiting[:count])
        yield waiting[:count], frame
        waiting = waiting[count:]


@dataclass(slots=True)
class _Debt:
    deadline_ns: int
    asked: int = 0  # repeated requests in a row without an answer
    refused: int = 0  # times in a row
    is_reported: bool = False


class Owed(Generic[Key]):
    """Requests that wait for their answer."""

    def __init__(self) -> None:
        self._debts: dict[Key, _Debt] = {}

    def clear(self) -> None:
        """Forget all requests of the previous connection."""
        self._debts.clear()

    def ask(self, key: Key, now_ns: int) -> None:
        """Note a request made now, for the first time or for a new reason."""
        self._debts[key] = _Debt(now_ns + ANSWER_WITHIN_NS)

    def settle(self, key: Key) -> None:
        """Note an answer, or data: the request is no longer owed."""
        self._debts.pop(key, None)

    def waits(self, key: Key) -> bool:
        """Whether the request still waits for its answer."""
        return key in self._debts

    def silences(self, key: Key) -> int:
        """Number of times in a row that the request was repeated without an answer."""
        debt = self._debts.get(key)
        return debt.asked if debt is not None else 0

    def was_refused(self, key: Key) -> bool:
        """Whether the last answer was a refusal."""
        debt = self._debts.get(key)
        return debt is not None and debt.refused > 0 and debt.asked <= 1

    def everything(self) -> list[Key]:
        """Keys of all waiting requests."""
        return list(self._debts)

    def refuse(self, key: Key, now_ns: int, *, final: bool) -> None:
        """Note a refusal: `due` returns the request again after a pause, of 10 minutes where it is `final`."""
        debt = self._debts.setdefault(key, _Debt(0))
        pause_ns = FINAL_PAUSE_NS if final else min(REFUSED_PAUSE_NS << min(debt.refused, 8), LONGEST_PAUSE_NS)
        debt.refused, debt.asked = debt.refused + 1, 0
        debt.is_reported = True  # the refusal itself is reported
        debt.deadline_ns = now_ns + pause_ns

    def refuse_all(self, now_ns: int) -> None:
        """Note a refusal that names no request: all that wait count as refused for now."""
        for key in self._debts:
            self.refuse(key, now_ns, final=False)

    def hurry(self, key: Key, deadline_ns: int) -> None:
        """Ask again at that time, if not sooner: the answer may have been lost."""
        debt = self._debts.get(key)
        if debt is not None:
            debt.deadline_ns = min(debt.deadline_ns, deadline_ns)

    def due(self, now_ns: int) -> tuple[list[Key], list[Key]]:
        """Requests to repeat now, and those of them whose silence has not been reported yet; both are noted as done."""
        again = [key for key, debt in self._debts.items() if now_ns >= debt.deadline_ns]
        unreported = [key for key in again if not self._debts[key].is_reported]
        for key in again:
            debt = self._debts[key]
            debt.asked += 1
            debt.is_reported = True
            debt.deadline_ns = now_ns + min(ANSWER_WITHIN_NS << min(debt.asked, 8), LONGEST_PAUSE_NS)
        return again, unreported


class LastResort(Generic[Key]):
    """Decision to replace a connection for a request that it never answers. It remembers replacements across connections."""

    def __init__(self) -> None:
        self._replaced_ns: dict[Key, int] = {}

    def is_due(self, key: Key, silences: int, now_ns: int) -> bool:
        """Whether to replace the connection now, after that many silences in a row; a yes is noted.

        All other subscriptions on the connection pay for it, so it is rare.
        """
        replaced_ns = self._replaced_ns.get(key)
        if silences < SILENCES or (replaced_ns is not None and now_ns - replaced_ns < REPLACED_NS):
            return False
        self._replaced_ns[key] = now_ns
        return True


@dataclass(slots=True)
class Patience:
    """Decision to slow down: for the first refusal for our rate asking again is enough, for a second one soon after it is not."""

    _until_ns: int = 0

    def is_over(self, now_ns: int) -> bool:
        """Note a refusal for our rate; whether it is the second within 2 s."""
        is_second = now_ns < self._until_ns
        self._until_ns = now_ns + TOO_FAST_NS
        return is_second


@unique
class Standing(Enum):
    """State of a subscription."""

    ASKED = "asked"
    HEALING = "healing"  # requested anew; updates of the old subscription are ignored
    LIVE = "live"
    CONFIRMING = "confirming"  # live, but requested anew as a check: its snapshot will show whether anything was missed
    REFUSED = "refused"


GOOD = (Standing.LIVE, Standing.CONFIRMING)  # states in which updates count


class Subscriptions(Generic[Key]):
    """Subscriptions of one connection by key, and the queue of those to request: `most` keys in a message, `spacing_ns` apart.

    `frame_of` makes the message of a request from its number, SUBSCRIBE or UNSUBSCRIBE, and its keys.
    """

    def __init__(
        self, keys: Iterable[Key], most: int, frame_of: Callable[[int, str, list[Key]], bytes], spacing_ns: int = 0
    ) -> None:
        self.standings = dict.fromkeys(keys, Standing.ASKED)
        self._most, self._frame_of, self._spacing_ns = most, frame_of, spacing_ns
        self._owed: Owed[Key] = Owed()
        self._waiting: dict[Key, bool] = {}  # to request, in order; whether to unsubscribe first
        self._alone: set[Key] = set()  # to be requested in a message of their own
        self._asked: dict[str, tuple[str, Sequence[Key]]] = {}  # requests of this connection by their number
        self._requests_made = 0

    def start(self, now_ns: int) -> int:
        """Queue all subscriptions of a new connection; the time at which the next message can leave.

        Each deadline counts from the time at which its message can have left.
        """
        self._owed.clear()
        self._alone.clear()
        self._asked.clear()
        for place, key in enumerate(self.standings):
            self.standings[key] = Standing.ASKED
            self._owed.ask(key, now_ns + place // self._most * self._spacing_ns)
        self._waiting = dict.fromkeys(self.standings, False)
        return now_ns + -(-len(self.standings) // self._most) * self._spacing_ns

    # What the exchange's frames mean

    def is_good(self, key: Key) -> bool:
        """Whether updates of that subscription count; False for a key that is none of ours."""
        return self.standings.get(key) in GOOD

    def waits(self, key: Key) -> bool:
        """Whether the subscription still waits for its answer."""
        return self._owed.waits(key)

    def arrived(self, key: Key) -> None:
        """Note data, or an answer, that proves the subscription: it is LIVE and no longer queued."""
        self.standings[key] = Standing.LIVE
        self._owed.settle(key)
        self._waiting.pop(key, None)
        self._alone.discard(key)

    def already_there(self, key: Key, now_ns: int) -> None:
        """Note an answer "already subscribed".

        The subscription is good where it is LIVE. Without a snapshot it is useless, and is made anew.
        """
        if self.is_good(key):
            self.arrived(key)
        else:
            self.ask_anew(key, now_ns)

    def refused(self, key: Key, now_ns: int, *, final: bool) -> None:
        """Note a refusal. A LIVE subscription goes on unless it is `final`, since the refusal may concern another request."""
        self._owed.refuse(key, now_ns, final=final)
        if final:
            self.standings[key] = Standing.REFUSED

    def all_refused(self, now_ns: int) -> None:
        """Note a refusal that names no request: all waiting requests count as refused for now."""
        self._owed.refuse_all(now_ns)

    def request_of(self, request_id: object, *, is_over: bool = False) -> tuple[str, Sequence[Key]] | None:
        """SUBSCRIBE or UNSUBSCRIBE, and the keys, of a request of this connection by its number, as text; None if unknown.

        `is_over` forgets it, where only one answer comes to each.
        """
        if not isinstance(request_id, str):
            return None
        return self._asked.pop(request_id, None) if is_over else self._asked.get(request_id)

    # What to request

    def ask_anew(self, key: Key, now_ns: int, standing: Standing = Standing.HEALING) -> None:
        """Queue an unsubscribe and subscribe of what is wrong, or never was right."""
        self.standings[key] = standing
        self._owed.ask(key, now_ns)
        self._waiting[key] = True

    def confirm(self, key: Key, now_ns: int) -> bool:
        """Queue an unsubscribe and subscribe of a LIVE subscription, whose updates still count. Whether it was LIVE."""
        is_live = self.standings.get(key) is Standing.LIVE
        if is_live:
            self.ask_anew(key, now_ns, Standing.CONFIRMING)
        return is_live

    def ask_again(self, keys: Iterable[Key], now_ns: int, *, alone: bool = False) -> None:
        """Queue keys whose request was refused for another one of it; `alone`, each by itself, where it is not known for which."""
        for key in keys:
            self._owed.ask(key, now_ns)
            self._waiting.setdefault(key, False)
            if alone:
                self._alone.add(key)

    def tick(self, now_ns: int) -> tuple[list[Key], list[Key]]:
        """Queue the requests that are due again; those, and which of them have a silence that is to be reported."""
        again, unreported = self._owed.due(now_ns)
        for key in again:
            # After a refusal there is no subscription to end, and a LIVE one is kept. After a silence the ack may have been lost:
            # then only ending the subscription first brings a snapshot.
            ends = self.standings[key] is not Standing.LIVE and not self._owed.was_refused(key)
            if ends and self.standings[key] is not Standing.CONFIRMING:
                self.standings[key] = Standing.HEALING
            self._waiting[key] = ends
        return again, unreported

    def silences(self) -> dict[Key, int]:
        """Number of times in a row that each waiting subscription was requested without an answer."""
        return {key: self._owed.silences(key) for key in self._owed.everything()}

    def frames(self) -> Iterator[bytes]:
        """Take the queued requests as frames."""
        waiting, self._waiting = self._waiting, {}
        for ends in (True, False):
            keys = [key for key, is_ended_first in waiting.items() if is_ended_first is ends]
            together = [key for key in keys if key not in self._alone]
            requests = [batch for batch, _ in batches(together, self._most, partial(self._frame_of, LONGEST_NUMBER, UNSUBSCRIBE))]
            requests += [[key] for key in keys if key in self._alone]
            for batch in requests:
                for verb in (UNSUBSCRIBE, SUBSCRIBE) if ends else (SUBSCRIBE,):
                    yield self._request(verb, batch)

    def _request(self, verb: str, keys: list[Key]) -> bytes:
        self._requests_made += 1
        self._asked[str(self._requests_made)] = verb, keys
        if len(self._asked) > MOST_REMEMBERED:
            del self._asked[next(iter(self._asked))]
        return self._frame_of(self._requests_made, verb, keys)
