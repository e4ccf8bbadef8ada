"""Subscription requests of a Bybit connection: at most ten topics in a message, one answer to each message.

A topic is a channel and a symbol: `orderbook.50.BTCUSDT`, `publicTrade.BTCUSDT`. Rules, numbered as the tests number them:

  W1  A request holds at most ten topics, books and trades mixed; those of one connection at most 21,000 characters.
  W2  Each request gets one answer, matched by `req_id`. A book's subscription is settled by its snapshot, not by the answer.
  W3  Bybit refuses a whole request for one bad topic. If the refusal names it, that topic is refused, and the others are requested
      again together; if it names none, each is requested alone, since one of them may be bad.
  W4  "Already subscribed" counts as an ack for a LIVE topic. A book without a snapshot is resubscribed, to get one.
  W5  A request without an answer, or refused, is repeated without limit, after the pauses of `Owed`. A refusal while a book is LIVE
      does not end it.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from alphapulse_cli.errors import UsageError
from alphapulse_cli.exchanges.bybit.facts import FACTS, MOST_ARGS, MOST_TEXT
from alphapulse_cli.exchanges.bybit.fields import text
from alphapulse_cli.exchanges.subscriptions import SUBSCRIBE, Subscriptions, is_final, is_rate

SEND_SPACING_NS = int(1_000_000_000 / FACTS.sends.per_second)
ALREADY = "already subscribed"
NAMED_TOPIC = re.compile(
    r"topic:\s*([\w.-]+)|\[([\w.-]+)\]", re.ASCII
)  # "…,topic:orderbook.50.X", "Invalid symbol :[orderbook.50.X]"
SEPARATORS = 3  # characters around a topic: quotes and comma


class Topics(Subscriptions[str]):
    """Subscriptions of one connection by topic. UsageError for more than W1 allows."""

    def __init__(self, topics: Iterable[str]) -> None:
        super().__init__(topics, MOST_ARGS, _request, SEND_SPACING_NS)
        characters = sum(len(topic) + SEPARATORS for topic in self.standings)
        if characters > MOST_TEXT:
            raise UsageError(
                f"the subscriptions have {characters:,} characters; a connection carries {MOST_TEXT:,}",
                "collect fewer symbols, or one channel of --channels",
            )

    def answered(self, request_id: object) -> Sequence[str] | None:
        """Take the topics of the request that an answer belongs to; None for an unknown request."""
        verb, topics = self.request_of(request_id, is_over=True) or ("", ())
        return topics if verb == SUBSCRIBE else None

    def named_there(self, topics: Sequence[str], reason: str, monotonic_ns: int) -> str:
        """W4: record and return the topic that a refusal calls already subscribed; "" for any other refusal."""
        named = _named(reason)
        if named not in topics or ALREADY not in reason.casefold():
            return ""
        self.ask_again((topic for topic in topics if topic != named), monotonic_ns)
        self.already_there(named, monotonic_ns)
        return named

    def request_refused(self, topics: Sequence[str], reason: str, monotonic_ns: int) -> list[tuple[str, bool]]:
        """W3: record the refusal of a request; returns each refused topic and whether that is final.

        Topics that are merely requested again are not included.
        """
        named, final = _named(reason), is_final(reason)
        if named in topics:
            self.ask_again((topic for topic in topics if topic != named), monotonic_ns)
            topics = [named]
        elif not is_rate(reason) and len(topics) > 1:
            self.ask_again(topics, monotonic_ns, alone=True)
            return []
        for topic in topics:
            self.refused(topic, monotonic_ns, final=final)
        return [(topic, final) for topic in topics]


def ping(count: int) -> bytes:
    """Frame of the ping with number `count`."""
    return orjson.dumps({"req_id": f"p{count}", "op": "ping"})


def reason_of(message: dict[str, Any]) -> str:
    """Message text of an answer, as sent by the exchange: hostile. ValueError if it is not text."""
    return text(message.get("ret_msg", ""))


def _named(reason: str) -> str:
    """Topic that a refusal's text names; "" if none."""
    match = NAMED_TOPIC.search(reason)
    return match[1] or match[2] if match else ""


def _request(number: int, verb: str, topics: Sequence[str]) -> bytes:
    return orjson.dumps({"req_id": str(number), "op": verb, "args": topics})
