"""The rules W1 to W5 of subscriptions at Bybit, one class each.

Answers are of spot connections of 2023 to 2026, as public repositories hold them ("Invalid symbol :[…]", "error:handler not found",
"error:already subscribed", "args size >10"), with made-up topics.
"""

import orjson
import pytest

from alphapulse_cli.errors import UsageError
from alphapulse_cli.exchanges.bybit import Decoder
from alphapulse_cli.exchanges.bybit.facts import MOST_TEXT
from alphapulse_cli.market.events import Subscribed, SubscriptionRefused, Unanswered, Update
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.requests import Send, SlowDown

SECOND = 1_000_000_000
NAMES = [f"T{number}" for number in range(12)]


def listed(base):
    return Instrument("bybit", f"{base}-USDT", f"{base}USDT", 2, 4)


class Client:
    """A decoder whose requests a test answers by hand."""

    def __init__(self, bases=("T0", "T1"), channels=("book", "trades")):
        self.decoder = Decoder([listed(base) for base in bases], set(channels))
        self.decoder.connected(0)

    def sent(self):
        """Requests that leave now: (op, req_id, topics)."""
        frames = [orjson.loads(request.frame) for request in self.decoder.pending_requests() if isinstance(request, Send)]
        return [(each["op"], each["req_id"], each.get("args")) for each in frames]

    def subscribes(self):
        return [(req_id, topics) for verb, req_id, topics in self.sent() if verb == "subscribe"]

    def hears(self, req_id, words="subscribe", *, success=False, op="subscribe"):
        answer = {"success": success, "ret_msg": words, "conn_id": "x", "req_id": req_id, "op": op}
        return self.decoder.receive(orjson.dumps(answer), 0)

    def snapshot(self, base, u=7, kind="snapshot"):
        data = {"s": f"{base}USDT", "b": [["1", "1"]], "a": [["2", "1"]], "u": u, "seq": u}
        frame = {"topic": f"orderbook.50.{base}USDT", "ts": 1, "type": kind, "data": data, "cts": 1}
        return self.decoder.receive(orjson.dumps(frame), 0)


class TestW1AtMostTenTopicsInARequest:
    def test_books_and_trades_are_mixed(self):
        client = Client(NAMES)
        sent = client.sent()
        assert [len(topics) for _, _, topics in sent] == [10, 10, 4]
        assert sorted(topic for _, _, topics in sent for topic in topics) == sorted(
            f"{prefix}.{base}USDT" for base in NAMES for prefix in ("orderbook.50", "publicTrade")
        )
        assert len({req_id for _, req_id, _ in sent}) == 3
        assert client.sent() == [], "asking empties the list"

    def test_books_and_trades_are_mixed_when_books_heal(self):
        client = Client(NAMES, ("book",))
        client.sent()
        for base in NAMES:
            client.snapshot(base)
            client.decoder.resync(client.decoder.instruments[f"{base}USDT"])
        assert [(verb, len(topics)) for verb, _, topics in client.sent()] == [
            ("unsubscribe", 10), ("subscribe", 10), ("unsubscribe", 2), ("subscribe", 2),
        ]  # fmt: skip

    def test_all_topics_of_a_connection_have_so_many_characters_and_no_more(self):
        """A topic counts with its quotes and its comma."""
        each = len("orderbook.50.T000USDT") + 3
        many = [f"T{number:03}" for number in range(MOST_TEXT // each)]
        assert Client(many, ("book",)).sent()
        with pytest.raises(UsageError, match="21,000") as refusal:
            Client([*many, "T999"], ("book",))
        assert "fewer symbols" in refusal.value.hint


class TestW2AnAnswerBelongsToItsRequest:
    def test_an_ack_names_all_topics_of_its_request(self):
        client = Client()
        [(req_id, _)] = client.subscribes()
        natives = ["T0USDT", "T1USDT"]
        assert client.hears(req_id, success=True) == [Subscribed("book", natives), Subscribed("trades", natives)]

    def test_a_book_is_asked_for_until_its_snapshot_comes_trades_are_not(self):
        client = Client(("T0",))
        [(req_id, _)] = client.subscribes()
        client.hears(req_id, success=True)
        assert client.decoder.tick(10 * SECOND) == [Unanswered("book", ["T0USDT"])]
        topic = ["orderbook.50.T0USDT"]
        assert [(verb, topics) for verb, _, topics in client.sent()] == [("unsubscribe", topic), ("subscribe", topic)]

    def test_data_are_an_answer(self):
        client = Client(("T0",))
        client.sent()
        client.snapshot("T0")
        client.decoder.receive(b'{"topic":"publicTrade.T0USDT","ts":1,"type":"snapshot","data":[]}', 0)
        client.decoder.tick(15 * SECOND)
        assert client.sent() == []

    def test_an_answer_of_the_last_connection_means_nothing(self):
        client = Client()
        [(req_id, _)] = client.subscribes()
        client.decoder.connected(SECOND)
        assert not any(isinstance(event, Subscribed) for event in client.hears(req_id, success=True))

    def test_an_error_without_a_request_may_concern_all(self):
        client = Client(("T0",))
        client.sent()
        client.decoder.receive(b'{"topic":"publicTrade.T0USDT","ts":1,"type":"snapshot","data":[]}', 0)
        frame = b'{"success":false,"ret_msg":"error:system busy","conn_id":"x","op":"subscribe"}'
        assert client.decoder.receive(frame, 0) == [SubscriptionRefused("", "", "error:system busy", for_now=True)]
        client.decoder.tick(SECOND)
        assert [topics for _, topics in client.subscribes()] == [["orderbook.50.T0USDT"]]


class TestW3OneBadTopic:
    @pytest.mark.parametrize(
        "words",
        ["Invalid symbol :[orderbook.50.T1USDT]", "error:handler not found,topic:orderbook.50.T1USDT"],
        ids=["spot", "others"],
    )
    def test_a_named_bad_topic_is_refused_and_the_others_are_requested_again(self, words):
        client = Client()
        [(req_id, topics)] = client.subscribes()
        assert client.hears(req_id, words) == [SubscriptionRefused("book", "T1USDT", words)]
        [(_, again)] = client.subscribes()
        assert again == [topic for topic in topics if topic != "orderbook.50.T1USDT"]

    def test_the_bad_one_is_asked_for_each_ten_minutes_so_that_a_listing_heals_it(self):
        client = Client(("T0",), ("book",))
        [(req_id, topics)] = client.subscribes()
        client.hears(req_id, "Invalid symbol :[orderbook.50.T0USDT]")
        for second in range(0, 600, 10):
            client.decoder.tick(second * SECOND)
            assert client.subscribes() == []
        client.decoder.tick(600 * SECOND)
        assert [again for _, again in client.subscribes()] == [topics]
        assert client.snapshot("T0")
        assert [type(event) for event in client.snapshot("T0", 8, "delta")] == [Update]

    def test_several_bad_ones_are_found_one_after_the_other(self):
        client = Client(("T0", "T1", "T2"))
        bad, refused = {"orderbook.50.T1USDT", "publicTrade.T1USDT", "publicTrade.T2USDT"}, set()
        for _ in range(10):
            for req_id, topics in client.subscribes():
                worst = next((topic for topic in topics if topic in bad), None)
                if worst:
                    refused |= {(each.channel, each.native) for each in client.hears(req_id, f"Invalid symbol :[{worst}]")}
                else:
                    client.hears(req_id, success=True)
                    accepted = topics
        assert refused == {("book", "T1USDT"), ("trades", "T1USDT"), ("trades", "T2USDT")}
        assert accepted == ["orderbook.50.T0USDT", "publicTrade.T0USDT", "orderbook.50.T2USDT"]

    @pytest.mark.parametrize("words", ["error:unknown", "Invalid symbol :[orderbook.50.ELSEUSDT]", ""])
    def test_an_unnamed_bad_topic_has_each_topic_requested_alone(self, words):
        client = Client()
        [(req_id, topics)] = client.subscribes()
        assert client.hears(req_id, words) == [SubscriptionRefused("", "", words, for_now=True)]
        alone = client.subscribes()
        assert [again for _, again in alone] == [[topic] for topic in topics]
        assert client.hears(alone[0][0], words)[0].channel == "book"
        for req_id, _ in alone[1:]:
            client.hears(req_id, success=True)
        client.snapshot("T1")
        client.decoder.tick(SECOND)
        is_final = words.startswith("Invalid symbol")
        assert [again for _, again in client.subscribes()] == ([] if is_final else [topics[:1]])

    def test_a_rate_limit_refusal_is_temporary_and_concerns_all_topics(self):
        client = Client()
        [(req_id, topics)] = client.subscribes()
        words = "Too many visits. Exceeded the API Rate Limit."
        told = client.hears(req_id, words)
        assert [(each.channel, each.for_now) for each in told] == [("book", True), ("trades", True)] * 2
        client.decoder.tick(SECOND)
        [(req_id, again)] = client.subscribes()
        assert again == topics
        client.hears(req_id, words)
        assert [type(request) for request in client.decoder.pending_requests()] == [SlowDown]


class TestW4AlreadySubscribed:
    WORDS = "error:already subscribed,topic:orderbook.50.T0USDT"

    def test_already_subscribed_is_an_ack_for_a_live_book(self):
        client = Client(("T0",), ("book",))
        [(req_id, _)] = client.subscribes()
        client.snapshot("T0")
        assert client.hears(req_id, self.WORDS) == [Subscribed("book", ["T0USDT"])]
        assert client.sent() == []
        assert [type(event) for event in client.snapshot("T0", 8, "delta")] == [Update]

    def test_already_subscribed_without_a_snapshot_resubscribes(self):
        client = Client(("T0",), ("book",))
        [(req_id, topics)] = client.subscribes()
        client.hears(req_id, self.WORDS)
        assert [(verb, again) for verb, _, again in client.sent()] == [("unsubscribe", topics), ("subscribe", topics)]

    def test_the_others_of_its_request_are_asked_for_again(self):
        client = Client()
        [(req_id, topics)] = client.subscribes()
        client.snapshot("T0")
        client.hears(req_id, self.WORDS)
        [(_, again)] = client.subscribes()
        assert again == [topic for topic in topics if topic != "orderbook.50.T0USDT"]


class TestW5AskingForEver:
    def test_what_is_refused_for_now_is_asked_again_soon(self):
        client = Client(("T0",), ("book",))
        [(req_id, _)] = client.subscribes()
        found = [0]
        client.hears(req_id, "error:system busy")
        for second in range(1, 32):
            client.decoder.tick(second * SECOND)
            for again, _ in client.subscribes():
                found.append(second)
                client.hears(again, "error:system busy")
        assert found == [0, 1, 2, 3, 5, 9, 17]

    def test_a_refusal_while_live_ends_nothing(self):
        client = Client(("T0",), ("book",))
        [(req_id, _)] = client.subscribes()
        client.snapshot("T0")
        [refusal] = client.hears(req_id, "error:system busy")
        assert refusal.for_now
        assert [type(event) for event in client.snapshot("T0", 8, "delta")] == [Update]
        client.decoder.tick(SECOND)
        assert [verb for verb, _, _ in client.sent()] == ["subscribe"]

    def test_hostile_words_stay_text_and_bounded(self):
        client = Client(("T0",), ("book",))
        [(req_id, _)] = client.subscribes()
        [event] = client.hears(req_id, "\x1b]0;owned\x07" + "A" * 5000)
        assert event.message.startswith("\x1b]0;")
        assert len(event.message) == 200

    def test_requests_that_wait_for_an_answer_are_bounded(self):
        client = Client(("T0",), ("book",))
        for number in range(3000):
            client.decoder.connected(0) if number == 0 else client.decoder.confirm(client.decoder.instruments["T0USDT"])
            client.sent()
            client.snapshot("T0")
        assert len(client.decoder._topics._sent) == 1000
