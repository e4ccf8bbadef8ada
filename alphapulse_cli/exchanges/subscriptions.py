"""Subscriptions of one connection: their states, repeated requests with backoff, and batches of request messages.

    ASKED ──first data──► LIVE ──wrong──► HEALING ──snapshot──► LIVE
      │                   LIVE ──quiet for long──► CONFIRMING ──snapshot──► LIVE
      └──refused permanently──► REFUSED ──snapshot──► LIVE

    request ──data, or the answer that the exchange's rules call enough──► settled
     │ ▲
     │ └── due: no answer for 10 s, then 20, 40, 60, 60 …      refused for now: again after ¼ s, ½, 1, 2 … 60
     └──── refused permanently ("not supported", "unknown symbol"): again each 10 minutes, so that a listing heals it

A decoder reports the meaning of frames to `Subscriptions` (`arrived`, `already_there`, `refused`, `ask_anew`) and sends its
`frames`. Queued requests are batched; a resubscription is two messages, unsubscribe and subscribe. No request is ever abandoned,
and none is repeated early unless its subscription turns out wrong. If a connection leaves a request unanswered three times in a
row, another connection may help: `LastResort`. The backoff is `Owed`, also used for requests without a subscription. Times are
monotonic nanoseconds, passed as arguments. A key identifies one subscription, such as a channel and a symbol.
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
# unanswered requests until a connection is replaced; shortest time between two replacements for one request
SILENCES, REPLACED_NS = 3, 600 * NS_PER_S
MESSAGE_BYTES = 4000  # longest request message: Binance does not answer one of more than 4,088 bytes
SUBSCRIBE, UNSUBSCRIBE = "subscribe", "unsubscribe"
LONGEST_NUMBER = 999_999_999  # largest request number, for computing a message's length
MOST_REMEMBERED = 1000  # most requests of a connection whose keys are remembered
TOO_FAST_NS = 2 * NS_PER_S  # a second rate-limit refusal within this span slows us down

# Texts of a final refusal: of a symbol or channel that the exchange does not have. Any other refusal may be temporary.
FINAL_WORDS = re.compile(
    r"not supported|unsupported|unknown (?:symbol|stream|pair|product|channel)|invalid (?:symbol|stream|pair|product|channel)"
    r"|not a valid (?:symbol|stream|pair|product|channel)|(?:symbol|pair|product|channel) not found|require[sd]? authentication"
    r"|authentication failure|delisted|handler not found",
    re.IGNORECASE,
)

RATE_WORDS = re.compile(r"\brate\b|too many|too fast|throttl", re.IGNORECASE)


def is_rate(message: str) -> bool:
    """Whether a refusal's text means that a rate limit was exceeded."""
    return RATE_WORDS.search(message) is not None


def is_final(message: str) -> bool:
    """Whether a refusal's text means that the request is refused permanently."""
    return FINAL_WORDS.search(message) is not None


def batches(names: Iterable[Name], most: int, frame_of: Callable[[list[Name]], bytes]) -> Iterator[tuple[list[Name], bytes]]:
    """Split the names, in order, into messages of at most `most` names and MESSAGE_BYTES bytes; each batch with its frame.

    A name that exceeds the limit by itself gets its own message.
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
    unanswered: int = 0  # repeated requests in a row without an answer
    refused: int = 0  # times in a row
    is_reported: bool = False


class Owed(Generic[Key]):
    """Backoff of unanswered requests: which of them to repeat, and when."""

    def __init__(self) -> None:
        self._debts: dict[Key, _Debt] = {}

    def clear(self) -> None:
        """Forget all requests of the previous connection."""
        self._debts.clear()

    def ask(self, key: Key, now_ns: int) -> None:
        """Record a request made now, for the first time or for a new reason."""
        self._debts[key] = _Debt(now_ns + ANSWER_WITHIN_NS)

    def settle(self, key: Key) -> None:
        """Record an answer or data: the request is settled."""
        self._debts.pop(key, None)

    def waits(self, key: Key) -> bool:
        """Whether the request still waits for its answer."""
        return key in self._debts

    def silences(self, key: Key) -> int:
        """Number of consecutive repetitions of the request without an answer."""
        debt = self._debts.get(key)
        return debt.unanswered if debt is not None else 0

    def was_refused(self, key: Key) -> bool:
        """Whether the last answer was a refusal."""
        debt = self._debts.get(key)
        return debt is not None and debt.refused > 0 and debt.unanswered <= 1

    def everything(self) -> list[Key]:
        """Keys of all waiting requests."""
        return list(self._debts)

    def refuse(self, key: Key, now_ns: int, *, final: bool) -> None:
        """Record a refusal: `due` returns the request again after a pause, of 10 minutes if it is `final`."""
        debt = self._debts.setdefault(key, _Debt(0))
        pause_ns = FINAL_PAUSE_NS if final else min(REFUSED_PAUSE_NS << min(debt.refused, 8), LONGEST_PAUSE_NS)
        debt.refused, debt.unanswered = debt.refused + 1, 0
        debt.is_reported = True  # the refusal itself is reported
        debt.deadline_ns = now_ns + pause_ns

    def refuse_all(self, now_ns: int) -> None:
        """Record a refusal that names no request: all waiting requests count as refused temporarily."""
        for key in self._debts:
            self.refuse(key, now_ns, final=False)

    def hurry(self, key: Key, deadline_ns: int) -> None:
        """Bring the request's repetition forward to that time: the answer may have been lost."""
        debt = self._debts.get(key)
        if debt is not None:
            debt.deadline_ns = min(debt.deadline_ns, deadline_ns)

    def due(self, now_ns: int) -> tuple[list[Key], list[Key]]:
        """Take the requests to repeat now, and those of them to report as unanswered (each once)."""
        again = [key for key, debt in self._debts.items() if now_ns >= debt.deadline_ns]
        unreported = [key for key in again if not self._debts[key].is_reported]
        for key in again:
            debt = self._debts[key]
            debt.unanswered += 1
            debt.is_reported = True
            debt.deadline_ns = now_ns + min(ANSWER_WITHIN_NS << min(debt.unanswered, 8), LONGEST_PAUSE_NS)
        return again, unreported


class LastResort(Generic[Key]):
    """Decision to replace a connection that leaves a request unanswered; replacements are remembered across connections."""

    def __init__(self) -> None:
        self._replaced_ns: dict[Key, int] = {}

    def is_due(self, key: Key, silences: int, now_ns: int) -> bool:
        """Whether to replace the connection now, after that many unanswered requests in a row; True counts as replaced.

        It interrupts all other subscriptions of the connection, so it is rare.
        """
        replaced_ns = self._replaced_ns.get(key)
        if silences < SILENCES or (replaced_ns is not None and now_ns - replaced_ns < REPLACED_NS):
            return False
        self._replaced_ns[key] = now_ns
        return True


@dataclass(slots=True)
class Patience:
    """Decision to slow down: not for a single rate-limit refusal, but for a second one soon after it."""

    _until_ns: int = 0

    def is_over(self, now_ns: int) -> bool:
        """Record a rate-limit refusal; returns whether it is the second within 2 s."""
        is_second = now_ns < self._until_ns
        self._until_ns = now_ns + TOO_FAST_NS
        return is_second


@unique
class Standing(Enum):
    """State of a subscription."""

    ASKED = "asked"
    HEALING = "healing"  # resubscribed; updates of the old subscription are ignored
    LIVE = "live"
    CONFIRMING = "confirming"  # live, and resubscribed as a check: the snapshot will show whether anything was missed
    REFUSED = "refused"


GOOD = (Standing.LIVE, Standing.CONFIRMING)  # states in which updates are applied


class Subscriptions(Generic[Key]):
    """Subscriptions of one connection by key, and the queue of requests: at most `most` keys per message, `spacing_ns` apart.

    `frame_of` builds a request message from its number, SUBSCRIBE or UNSUBSCRIBE, and its keys.
    """

    def __init__(
        self, keys: Iterable[Key], most: int, frame_of: Callable[[int, str, list[Key]], bytes], spacing_ns: int = 0
    ) -> None:
        self.standings = dict.fromkeys(keys, Standing.ASKED)
        self._most, self._frame_of, self._spacing_ns = most, frame_of, spacing_ns
        self._owed: Owed[Key] = Owed()
        self._waiting: dict[Key, bool] = {}  # queue: key -> whether to unsubscribe first
        self._alone: set[Key] = set()  # keys to be requested in a message of their own
        self._sent: dict[str, tuple[str, Sequence[Key]]] = {}  # number -> verb and keys of a request of this connection
        self._requests_made = 0

    def start(self, now_ns: int) -> int:
        """Queue all subscriptions of a new connection; returns the earliest time for the next message.

        Each deadline counts from the earliest time at which its message can be sent.
        """
        self._owed.clear()
        self._alone.clear()
        self._sent.clear()
        for place, key in enumerate(self.standings):
            self.standings[key] = Standing.ASKED
            self._owed.ask(key, now_ns + place // self._most * self._spacing_ns)
        self._waiting = dict.fromkeys(self.standings, False)
        return now_ns + -(-len(self.standings) // self._most) * self._spacing_ns

    # Reports of the exchange's answers and data

    def is_good(self, key: Key) -> bool:
        """Whether updates of that subscription are applied; False for an unknown key."""
        return self.standings.get(key) in GOOD

    def waits(self, key: Key) -> bool:
        """Whether the subscription still waits for its answer."""
        return self._owed.waits(key)

    def arrived(self, key: Key) -> None:
        """Record data or an answer that confirms the subscription: it is LIVE and no longer queued."""
        self.standings[key] = Standing.LIVE
        self._owed.settle(key)
        self._waiting.pop(key, None)
        self._alone.discard(key)

    def already_there(self, key: Key, now_ns: int) -> None:
        """Record an answer "already subscribed".

        A LIVE subscription is confirmed. One without a snapshot is resubscribed, to get the snapshot.
        """
        if self.is_good(key):
            self.arrived(key)
        else:
            self.ask_anew(key, now_ns)

    def refused(self, key: Key, now_ns: int, *, final: bool) -> None:
        """Record a refusal. Unless it is `final` a LIVE subscription stays LIVE, since it may belong to another request."""
        self._owed.refuse(key, now_ns, final=final)
        if final:
            self.standings[key] = Standing.REFUSED

    def all_refused(self, now_ns: int) -> None:
        """Record a refusal that names no request: all waiting requests count as refused temporarily."""
        self._owed.refuse_all(now_ns)

    def request_of(self, request_id: object, *, is_over: bool = False) -> tuple[str, Sequence[Key]] | None:
        """Verb (SUBSCRIBE or UNSUBSCRIBE) and keys of the request with that number, given as text; None if unknown.

        With `is_over` the request is forgotten: no further answer to it is expected.
        """
        if not isinstance(request_id, str):
            return None
        return self._sent.pop(request_id, None) if is_over else self._sent.get(request_id)

    # Requests to send

    def ask_anew(self, key: Key, now_ns: int, standing: Standing = Standing.HEALING) -> None:
        """Queue a resubscription of a book that is wrong or has no snapshot."""
        self.standings[key] = standing
        self._owed.ask(key, now_ns)
        self._waiting[key] = True

    def confirm(self, key: Key, now_ns: int) -> bool:
        """Queue a resubscription as a check; updates are still applied. Returns False if the subscription is not LIVE."""
        is_live = self.standings.get(key) is Standing.LIVE
        if is_live:
            self.ask_anew(key, now_ns, Standing.CONFIRMING)
        return is_live

    def ask_again(self, keys: Iterable[Key], now_ns: int, *, alone: bool = False) -> None:
        """Queue keys whose request was refused because of another key in it; `alone`: in separate messages."""
        for key in keys:
            self._owed.ask(key, now_ns)
            self._waiting.setdefault(key, False)
            if alone:
                self._alone.add(key)

    def tick(self, now_ns: int) -> tuple[list[Key], list[Key]]:
        """Queue the requests to repeat; returns them, and those of them to report as unanswered."""
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
        """Number of consecutive unanswered requests of each waiting subscription."""
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
        self._sent[str(self._requests_made)] = verb, keys
        if len(self._sent) > MOST_REMEMBERED:
            del self._sent[next(iter(self._sent))]
        return self._frame_of(self._requests_made, verb, keys)
