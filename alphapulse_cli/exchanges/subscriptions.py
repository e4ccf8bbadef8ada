"""Requests that wait for an exchange's answer: when to ask again, and in how many messages.

    ask ──answer, data──► settled
     │ ▲
     │ └── due: no answer for 10 s, then 20, 40, 60, 60 …      refused for now: again after ¼ s, ½, 1, 2 … 60
     └──── refused for good ("not supported", "unknown symbol"): again each 10 minutes, so that a listing heals it

No request is ever given up. One that a connection left unanswered three times in a row may succeed on another: `LastResort`.
Times are monotonic nanoseconds, handed in. A key names one request: a channel and a symbol, or a batch.
"""

import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

NS_PER_S = 1_000_000_000
ANSWER_WITHIN_NS = 10 * NS_PER_S
REFUSED_PAUSE_NS = NS_PER_S // 4
LONGEST_PAUSE_NS = 60 * NS_PER_S
FINAL_PAUSE_NS = 600 * NS_PER_S
SILENCES, REPLACED_NS = 3, 600 * NS_PER_S  # silences until a connection is replaced; shortest time between two such for one request
MESSAGE_BYTES = 4000  # longest message of a request: Binance leaves more than 4,088 bytes without an answer

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


def batches(names: Iterable[str], most: int, frame_of: Callable[[list[str]], bytes]) -> Iterator[tuple[list[str], bytes]]:
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
