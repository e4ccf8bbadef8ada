"""Subscriptions at Bybit: a state for each topic, the requests that subscribe, and the exchange's answers to them.

    ASKED ──first data──► LIVE ──wrong──► HEALING ──snapshot──► LIVE        unanswered requests: exchanges.subscriptions
                        LIVE ──quiet for long──► CONFIRMING ──snapshot──► LIVE
      └──unknown symbol──► REFUSED ──snapshot, requested each ten minutes──► LIVE

A topic is a channel and a symbol: `orderbook.50.BTCUSDT`, `publicTrade.BTCUSDT`. Rules, numbered as the tests number them:

  W1  A request holds at most ten topics, books and trades mixed; those of one connection at most 21,000 characters.
  W2  One answer comes to each request, and its `req_id` tells which. An answer to a book is not enough: its snapshot settles it.
  W3  One bad topic has the whole request refused. Where the refusal names it, that topic is refused, and the others are requested
      again together; where it names none, each is requested alone, since one of them may be bad.
  W4  "Already subscribed" is an ack of what is LIVE. A book without a snapshot is unsubscribed first, to bring one.
  W5  A request without an answer, or refused, is repeated for ever, with the pauses of `Owed`. A refusal while a book is LIVE does
      not end it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, unique
from typing import Any

import orjson

from alphapulse_cli.errors import UsageError
from alphapulse_cli.exchanges.bybit.facts import FACTS, MOST_ARGS, MOST_TEXT
from alphapulse_cli.exchanges.bybit.fields import text
from alphapulse_cli.exchanges.subscriptions import Owed, batches, is_final, is_rate

SEND_SPACING_NS = int(1_000_000_000 / FACTS.sends.per_second)
ALREADY = "already subscribed"
NAMED_TOPIC = re.compile(
    r"topic:\s*([\w.-]+)|\[([\w.-]+)\]", re.ASCII
)  # "…,topic:orderbook.50.X", "Invalid symbol :[orderbook.50.X]"
SEPARATORS = 3  # characters of a topic's quotes and comma
MOST_REMEMBERED = 1000  # requests that wait for an answer; one beyond that is an answer to nothing we know


@unique
class Standing(Enum):
    """State of a subscription."""

    ASKED = "asked"
    HEALING = "healing"  # requested anew; updates of the old subscription are ignored
    LIVE = "live"
    CONFIRMING = "confirming"  # live, but requested anew as a check: its snapshot will show whether anything was missed
    REFUSED = "refused"


GOOD = (Standing.LIVE, Standing.CONFIRMING)  # states in which updates count


class Topics:
    """Subscriptions of one connection by topic, and the queue of those to request. UsageError for more than W1 allows."""

    def __init__(self, topics: Iterable[str]) -> None:
        self.standings = dict.fromkeys(topics, Standing.ASKED)
        characters = sum(len(topic) + SEPARATORS for topic in self.standings)
        if characters > MOST_TEXT:
            raise UsageError(
                f"the subscriptions have {characters:,} characters; a connection carries {MOST_TEXT:,}",
                "collect fewer symbols, or one channel of --channels",
            )
        self._owed: Owed[str] = Owed()
        self._waiting: dict[str, bool] = {}  # topics to request, in order; whether to unsubscribe first
        self._alone: set[str] = set()  # W3: to be requested in a message of their own
        self._topics_of: dict[str, Sequence[str]] = {}  # by req_id: requests of this connection without an answer
        self._requests_made = 0

    def start(self, monotonic_ns: int) -> None:
        """Queue all subscriptions of a new connection. Each deadline counts from the time at which its message can have left."""
        self._owed.clear()
        self._alone.clear()
        self._topics_of.clear()
        for place, topic in enumerate(self.standings):
            self.standings[topic] = Standing.ASKED
            self._owed.ask(topic, monotonic_ns + place // MOST_ARGS * SEND_SPACING_NS)
        self._waiting = dict.fromkeys(self.standings, False)

    def ask_anew(self, topic: str, monotonic_ns: int) -> None:
        """Queue an unsubscribe and subscribe of a book that is wrong, or never was right."""
        self.standings[topic] = Standing.HEALING
        self._owed.ask(topic, monotonic_ns)
        self._waiting[topic] = True

    def confirm(self, topic: str, monotonic_ns: int) -> None:
        """Queue an unsubscribe and subscribe of a live book, whose updates still count."""
        self.ask_anew(topic, monotonic_ns)
        self.standings[topic] = Standing.CONFIRMING

    def arrived(self, topic: str) -> None:
        """Note data that proves the subscription: it is LIVE and no longer queued."""
        self.standings[topic] = Standing.LIVE
        self._owed.settle(topic)
        self._waiting.pop(topic, None)
        self._alone.discard(topic)

    def answered(self, req_id: object) -> Sequence[str] | None:
        """Topics of the request that an answer belongs to, which is then over; None where that is not known."""
        return self._topics_of.pop(req_id, None) if isinstance(req_id, str) else None

    def already_there(self, topics: Sequence[str], reason: str, monotonic_ns: int) -> str:
        """W4: the topic of a refused request that the exchange calls subscribed already, "" for any other refusal; it is noted."""
        named = _named(reason)
        if named not in topics or ALREADY not in reason.casefold():
            return ""
        self._ask_again(topics, named, monotonic_ns)
        if self.standings[named] in GOOD:
            self.arrived(named)
        else:
            self.ask_anew(named, monotonic_ns)
        return named

    def refused(self, topics: Sequence[str], reason: str, monotonic_ns: int) -> list[tuple[str, bool]]:
        """W3: note the refusal of a request; the topics that are refused, each with whether that is for good.

        Topics that are only requested again are not among them.
        """
        named = _named(reason)
        if named in topics:
            self._ask_again(topics, named, monotonic_ns)
            return [self._refuse(named, reason, monotonic_ns)]
        if is_rate(reason) or len(topics) == 1:
            return [self._refuse(topic, reason, monotonic_ns) for topic in topics]
        self._alone.update(topics)
        self._ask_again(topics, "", monotonic_ns)
        return []

    def _ask_again(self, topics: Sequence[str], but: str, monotonic_ns: int) -> None:
        """Queue these topics but one: their request was refused because of another."""
        for topic in topics:
            if topic != but:
                self._owed.ask(topic, monotonic_ns)
                self._waiting.setdefault(topic, False)

    def all_refused(self, monotonic_ns: int) -> None:
        """Note a refusal that names no request: all waiting requests count as refused for now."""
        for topic in self._owed.everything():
            self._owed.refuse(topic, monotonic_ns, final=False)

    def _refuse(self, topic: str, reason: str, monotonic_ns: int) -> tuple[str, bool]:
        final = is_final(reason)
        self._owed.refuse(topic, monotonic_ns, final=final)
        if final:
            self.standings[topic] = Standing.REFUSED
        return topic, final

    def tick(self, monotonic_ns: int) -> list[str]:
        """Queue the requests that are due again; the topics whose silence is to be reported."""
        again, untold = self._owed.due(monotonic_ns)
        for topic in again:
            # After a refusal there is no subscription to end, and a LIVE one is kept. After a silence the ack may have been lost:
            # then only ending the subscription first brings a snapshot.
            ends = self.standings[topic] is not Standing.LIVE and not self._owed.was_refused(topic)
            if ends and self.standings[topic] is not Standing.CONFIRMING:
                self.standings[topic] = Standing.HEALING
            self._waiting[topic] = ends
        return untold

    def silences(self) -> dict[str, int]:
        """Number of times in a row that each waiting subscription was requested without an answer."""
        return {topic: self._owed.silences(topic) for topic in self._owed.everything()}

    def frames(self) -> Iterator[bytes]:
        """Take the queued requests as frames (W1)."""
        waiting, self._waiting = self._waiting, {}
        for is_anew in (True, False):
            topics = [topic for topic, unsubscribe in waiting.items() if unsubscribe is is_anew]
            together = [topic for topic in topics if topic not in self._alone]
            requests = [batch for batch, _ in batches(together, MOST_ARGS, lambda names: _request("subscribe", "", names))]
            requests += [[topic] for topic in topics if topic in self._alone]
            for batch in requests:
                if is_anew:
                    yield self._numbered("unsubscribe", batch)
                yield self._numbered("subscribe", batch)

    def _numbered(self, verb: str, topics: Sequence[str]) -> bytes:
        self._requests_made += 1
        req_id = f"{verb[0]}{self._requests_made}"
        if verb == "subscribe":
            self._topics_of[req_id] = topics
            if len(self._topics_of) > MOST_REMEMBERED:
                del self._topics_of[next(iter(self._topics_of))]
        return _request(verb, req_id, topics)


def ping(count: int) -> bytes:
    """Frame of our ping number `count`."""
    return orjson.dumps({"req_id": f"p{count}", "op": "ping"})


def reason_of(message: dict[str, Any]) -> str:
    """The exchange's words of an answer: hostile. ValueError where they are no text."""
    return text(message.get("ret_msg", ""))


def _named(reason: str) -> str:
    """Topic that the exchange's words name; "" if none."""
    match = NAMED_TOPIC.search(reason)
    return match[1] or match[2] if match else ""


def _request(verb: str, req_id: str, topics: Sequence[str]) -> bytes:
    return orjson.dumps({"req_id": req_id, "op": verb, "args": topics})
