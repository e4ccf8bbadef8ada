"""Tests of the decoder's rules, one class per rule. The frames are hand-written: replace them by recorded ones, dated."""

import orjson
import pytest

from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges.example.decoder import Decoder
from alphapulse_cli.exchanges.example.facts import FACTS
from alphapulse_cli.market.events import (
    GapFound,
    GapReason,
    OffGrid,
    Side,
    Snapshot,
    SubscriptionRefused,
    Trade,
    TradesMissed,
    Update,
)
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.requests import Send

BTC = Instrument(FACTS.name, "BTC-USD", "BTC_USD", 2, 4)
SECOND_NS = 1_000_000_000
SNAPSHOT = b'{"channel":"book","type":"snapshot","name":"BTC_USD","seq":7,"bids":[["10.50","2"]],"asks":[["10.75","1.5"]],"ts":1790000000000}'


def update(prev=7, seq=9, bids="[]", asks="[]"):
    return (
        f'{{"channel":"book","type":"update","name":"BTC_USD","prev":{prev},"seq":{seq},"bids":{bids},"asks":{asks},"ts":1790000000100}}'
    ).encode()


def trade(number=5, side="buy"):
    row = {"id": number, "price": "10.75", "size": "0.25", "side": side, "ts": 1790000000200}
    return orjson.dumps({"channel": "trades", "name": "BTC_USD", "trades": [row]})


def sent(decoder):
    return [orjson.loads(request.frame) for request in decoder.pending_requests() if isinstance(request, Send)]


@pytest.fixture
def decoder():
    """A decoder whose subscriptions were sent and not yet answered."""
    subscribing = Decoder([BTC], {"book", "trades"})
    subscribing.connected(0)
    assert [(each["op"], each["channel"]) for each in sent(subscribing)] == [("subscribe", "book"), ("subscribe", "trades")]
    return subscribing


@pytest.fixture
def live(decoder):
    """A decoder with a live book."""
    decoder.receive(SNAPSHOT, 0)
    return decoder


class TestE1Snapshot:
    def test_replaces_the_book(self, decoder):
        [event] = decoder.receive(SNAPSHOT, 0)
        assert type(event) is Snapshot
        assert list(event.levels) == [(1050, 20_000, False), (1075, 15_000, True)]
        assert event.exchange_ns == 1_790_000_000 * SECOND_NS


class TestE2Update:
    def test_sizes_are_absolute_and_0_removes(self, live):
        [event] = live.receive(update(bids='[["10.50","0"]]', asks='[["10.80","3"]]'), 0)
        assert type(event) is Update
        assert list(event.levels) == [(1050, 0, False), (1080, 30_000, True)]


class TestE3Sequence:
    def test_a_hole_is_a_gap_and_the_book_is_subscribed_anew(self, live):
        [event] = live.receive(update(prev=8), 0)
        assert event == GapFound((BTC,), GapReason.SEQUENCE, "prev 8, expected 7")
        assert [each["op"] for each in sent(live)] == ["unsubscribe", "subscribe"]

    def test_the_next_update_is_told_from_a_hole_by_prev_alone(self, live):
        live.receive(update(prev=7, seq=30), 0)
        [event] = live.receive(update(prev=30, seq=31), 0)
        assert type(event) is Update


class TestE4Healing:
    def test_updates_of_the_old_subscription_are_ignored(self, live):
        live.receive(update(prev=8), 0)
        assert live.receive(update(prev=9), 0) == []
        [event] = live.receive(SNAPSHOT, 0)
        assert type(event) is Snapshot

    def test_one_resync_is_in_flight(self, live):
        live.resync(BTC)
        live.resync(BTC)
        assert len(sent(live)) == 2


class TestE5Trades:
    def test_the_side_is_the_takers(self, live):
        [event] = live.receive(trade(side="sell"), 0)
        assert event == Trade(BTC, "5", 1075, 2_500, Side.SELL, 1_790_000_000_200_000_000)

    def test_a_hole_in_the_ids_is_reported(self, live):
        live.receive(trade(5), 0)
        assert live.receive(trade(8), 0)[0] == TradesMissed(BTC, 2)


class TestE6Requests:
    def test_without_an_answer_they_are_repeated(self, decoder):
        decoder.tick(11 * SECOND_NS)
        assert [each["op"] for each in sent(decoder)] == ["unsubscribe", "subscribe"] * 2

    def test_refused_they_are_repeated(self, decoder):
        [event] = decoder.receive(b'{"op":"error","message":"too many requests"}', 0)
        assert event == SubscriptionRefused("", "", "too many requests", for_now=True)
        decoder.tick(SECOND_NS)
        assert [each["op"] for each in sent(decoder)] == ["subscribe"] * 2


class TestE7QuietBook:
    def test_updates_count_until_the_snapshot(self, live):
        live.confirm(BTC)
        assert [each["op"] for each in sent(live)] == ["unsubscribe", "subscribe"]
        [event] = live.receive(update(), 0)
        assert type(event) is Update


class TestE8Numbers:
    def test_finer_than_the_grid_is_off_grid(self, live):
        assert live.receive(update(bids='[["10.505","1"]]'), 0) == [OffGrid(BTC, 3, 4)]
        [event] = live.receive(update(), 0)
        assert type(event) is Update

    @pytest.mark.parametrize("row", ['["ten","1"]', '["10.50"]', "{}", '"10"', '["10.50",null]'])
    def test_what_is_no_level_is_refused(self, live, row):
        with pytest.raises(DecodeError):
            live.receive(update(bids=f"[{row}]"), 0)
        [event] = live.receive(update(), 0)
        assert type(event) is Update
