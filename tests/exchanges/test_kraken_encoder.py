"""Kraken's encoder: what a client may ask, what it is told, and that decoder and encoder understand each other whatever happens."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.exchange_truth import PlainTruth
from support.kraken_client import DictBook, Line

from alphapulse_cli.exchanges.kraken import Decoder, Encoder, RestEncoder, parse_instruments
from alphapulse_cli.market.events import (
    Heartbeat,
    InstrumentsSeen,
    Side,
    Snapshot,
    Subscribed,
    SubscriptionRefused,
    SystemStatus,
    Trade,
    TradesMissed,
    Update,
)
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.trading_status import TradingStatus

BTC = Instrument("kraken", "BTC-USD", "BTC/USD", 1, 8, tick_size_ticks=1, min_size_lots=10000)
STOCK = Instrument(
    "kraken", "AAPLx-USD", "AAPLx/USD", 2, 5, tick_size_ticks=5, lot_size_lots=10, trading_status=TradingStatus.CANCEL_ONLY
)
NOW = 1_700_000_000_000_000_000


def ladder(count, lots=7):
    """`count` levels a side around 100.0."""
    return [(1000 + i, lots, True) for i in range(count)] + [(999 - i, lots, False) for i in range(count)]


@pytest.fixture
def truth():
    market = PlainTruth([BTC, STOCK])
    market.change("BTC-USD", ladder(12))
    return market


@pytest.fixture
def line(truth):
    """A client of BTC/USD at depth 10, connected and subscribed."""
    joined = Line(Decoder([BTC], {"book", "trades"}), Encoder(truth))
    joined.connect()
    return joined


def ask(encoder, method="subscribe", **params):
    """The answers to one request, parsed."""
    request = {"method": method, "req_id": 9, "params": params}
    return [json.loads(frame) for frame in encoder.receive(json.dumps(request).encode(), NOW)]


class TestAnswers:
    def test_the_greeting_is_the_status(self, truth):
        [event] = Line(Decoder([BTC], ()), Encoder(truth)).deliver(Encoder(truth).connected(NOW))
        assert event == SystemStatus("online")

    def test_a_client_gets_acks_metadata_and_its_book(self, truth):
        events = Line(Decoder([BTC], {"book", "trades"}), Encoder(truth)).connect()
        assert [type(event) for event in events] == [SystemStatus, Subscribed, InstrumentsSeen, Subscribed, Snapshot, Subscribed]
        assert events[2].instruments == [BTC]

    def test_one_ack_a_symbol_and_an_error_for_a_name_of_version_1(self, truth):
        book, _, error = ask(Encoder(truth), channel="book", symbol=["BTC/USD", "XBT/USD"])
        assert book["result"] == {"channel": "book", "depth": 10, "snapshot": True, "symbol": "BTC/USD"}
        assert book["req_id"] == 9
        assert book["success"] is True
        assert (error["error"], error["symbol"], error["success"]) == ("Currency pair not supported XBT/USD", "XBT/USD", False)

    def test_the_same_twice_is_refused(self, truth):
        encoder = Encoder(truth)
        ask(encoder, channel="book", symbol=["BTC/USD"])
        assert [answer["error"] for answer in ask(encoder, channel="book", symbol=["BTC/USD"])] == ["Already subscribed"]

    def test_unsubscribing_needs_the_depth_of_the_subscription(self, truth):
        encoder = Encoder(truth)
        ask(encoder, channel="book", symbol=["BTC/USD"], depth=25)
        [refused] = ask(encoder, "unsubscribe", channel="book", symbol=["BTC/USD"], depth=10)
        assert refused["error"] == "Subscription Not Found"
        [done] = ask(encoder, "unsubscribe", channel="book", symbol=["BTC/USD"], depth=25)
        assert done["success"] is True
        assert encoder.update("BTC-USD", [(1000, 1, True)], NOW) == []

    @pytest.mark.parametrize("depth", [11, 0, -1, "10", 10.0, None, True, [10]])
    def test_a_depth_that_there_is_not(self, truth, depth):
        encoder = Encoder(truth)
        [refused] = ask(encoder, channel="book", symbol=["BTC/USD"], depth=depth)
        assert refused["error"] == "Subscription depth not supported"
        assert encoder.update("BTC-USD", [(1000, 1, True)], NOW) == []

    @pytest.mark.parametrize(
        "frame",
        [
            b"",
            b"\xff",
            b"[]",
            b"7",
            b"{}",
            b'{"method":"subscribe"}',
            b'{"method":"subscribe","params":{"channel":"book","symbol":7}}',
        ],
    )
    def test_nonsense_is_a_malformed_request(self, truth, frame):
        [answer] = [json.loads(each) for each in Encoder(truth).receive(frame, NOW)]
        assert (answer["error"], answer["method"]) == ("Malformed request", "error")

    def test_ping(self, truth):
        [pong] = [json.loads(frame) for frame in Encoder(truth).receive(b'{"method":"ping","req_id":42}', NOW)]
        assert (pong["method"], pong["req_id"]) == ("pong", 42)

    def test_heartbeats_only_fill_silence_and_only_where_there_is_a_subscription(self, truth):
        encoder = Encoder(truth)
        assert encoder.heartbeat(NOW) == []
        ask(encoder, channel="trade", symbol=["BTC/USD"])
        assert encoder.heartbeat(NOW) == [], "the ack was just sent"
        assert encoder.heartbeat(NOW) == [b'{"channel":"heartbeat"}']
        assert Decoder([BTC], ()).receive(b'{"channel":"heartbeat"}', 0) == [Heartbeat()]

    def test_hostile_symbols_come_back_as_data(self, truth):
        hostile = 'A"},{"\x1b[2J/USD'
        [refused] = ask(Encoder(truth), channel="book", symbol=[hostile])
        assert refused["symbol"] == hostile

    @given(st.binary(max_size=80))
    def test_a_client_may_send_anything(self, frame):
        for answer in Encoder(PlainTruth([BTC])).receive(frame, NOW):
            json.loads(answer)


class TestTheClientsWindow:
    def test_numbers_carry_their_trailing_zeros(self, line):
        [frame] = line.encoder.update("BTC-USD", self.happens(line, [(1000, 0, True)]), NOW)
        assert b'{"price":100.0,"qty":0.00000000}' in frame
        assert b'{"price":101.0,"qty":0.00000007}' in frame

    @staticmethod
    def happens(line, changes):
        line.encoder._truth.change("BTC-USD", changes)
        return changes

    def told(self, line, changes):
        [event] = line.deliver(line.encoder.update("BTC-USD", self.happens(line, changes), NOW))
        return list(event.levels)

    def test_a_removal_brings_the_level_that_rises_from_below(self, line):
        assert self.told(line, [(1000, 0, True)]) == [(1000, 0, True), (1010, 7, True)]

    def test_an_insert_pushes_out_without_a_delete(self, line):
        self.told(line, [(999, 0, False)])
        assert self.told(line, [(999, 3, False)]) == [(999, 3, False)]
        assert line.books["BTC-USD"].right

    def test_a_client_that_does_not_cut_is_wrong(self, truth):
        """The mutant beside the property: without the cut the level that returns is one too many."""
        line = Line(Decoder([BTC], {"book"}), Encoder(truth))
        line.books["BTC-USD"] = DictBook(cuts=False)
        line.connect()
        verdicts = []
        for changes in ([(998, 0, False)], [(998, 3, False)], [(989, 0, False), (988, 0, False)], [(997, 0, False)]):
            line.deliver(line.encoder.update("BTC-USD", self.happens(line, changes), NOW))
            verdicts.append(line.books["BTC-USD"].right)
        assert not all(verdicts)

    def test_what_happens_below_the_window_is_not_told(self, line):
        assert line.encoder.update("BTC-USD", self.happens(line, [(1011, 3, True), (900, 1, False)]), NOW) == []

    def test_a_spoiled_checksum_is_wrong_once(self, line):
        line.encoder.spoil_checksum = True
        self.told(line, [(1000, 8, True)])
        assert not line.books["BTC-USD"].right
        self.told(line, [(1000, 9, True)])
        assert line.books["BTC-USD"].right

    def test_each_connection_has_its_own_depth(self, truth):
        shallow, deep = (Line(Decoder([BTC], {"book"}, depth), Encoder(truth)) for depth in (10, 25))
        for line in (shallow, deep):
            line.connect()
        assert len(shallow.books["BTC-USD"].asks) == 10
        assert len(deep.books["BTC-USD"].asks) == 12

    def test_a_resync_brings_a_right_book_again(self, line):
        self.happens(line, [(1000, 0, True), (999, 0, False)])
        line.encoder.update("BTC-USD", [(1000, 0, True), (999, 0, False)], NOW)  # lost on the way
        self.told(line, [(998, 1, False)])
        assert not line.books["BTC-USD"].right
        line.decoder.resync(BTC)
        assert [type(event) for event in line.ask()] == [Subscribed, Snapshot]
        assert line.books["BTC-USD"].right


class TestTrades:
    def test_trades_arrive_as_they_happened(self, line, truth):
        happened = [
            truth.trade("BTC-USD", 1000 + i, 5, Side.SELL if i % 2 else Side.BUY, exchange_ns=NOW + 1000 * i) for i in range(3)
        ]
        assert line.deliver(line.encoder.trades("BTC-USD", happened, NOW)) == happened

    def test_a_lost_frame_shows_in_the_ids(self, line, truth):
        happened = [truth.trade("BTC-USD", 1000, 5, exchange_ns=NOW) for _ in range(3)]
        line.deliver(line.encoder.trades("BTC-USD", happened[:1], NOW))
        assert line.deliver(line.encoder.trades("BTC-USD", happened[2:], NOW))[0] == TradesMissed(BTC, 1)

    def test_without_a_subscription_there_are_none(self, truth):
        assert Encoder(truth).trades("BTC-USD", [truth.trade("BTC-USD", 1, 1)], NOW) == []

    def test_history_is_sent_where_it_is_asked_for(self, truth):
        for _ in range(60):
            truth.trade("BTC-USD", 1000, 5)
        encoder = Encoder(truth)
        frames = encoder.receive(b'{"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD"],"snapshot":true}}', NOW)
        past = [event for frame in frames for event in Decoder([BTC], {"trades"}).receive(frame, 0) if isinstance(event, Trade)]
        assert [int(trade.trade_id) for trade in past] == list(range(11, 61))
        assert all(trade.history for trade in past)


class TestInstruments:
    def test_they_survive_the_way_over_rest(self, truth):
        rest = RestEncoder(truth)
        status, body = rest.respond("/0/public/AssetPairs", {}, NOW)
        assert status == 200
        assert parse_instruments(body) == [BTC]
        [stock] = parse_instruments(rest.respond("/0/public/AssetPairs", {"aclass_base": "tokenized_asset"}, NOW)[1])
        assert (stock.native, stock.tick_size_ticks, stock.trading) == ("AAPLx/USD", 5, False)

    def test_they_survive_the_way_over_the_websocket(self, truth):
        events = Line(Decoder([BTC, STOCK], ()), Encoder(truth)).connect()
        assert events[-1] == InstrumentsSeen([BTC, STOCK])

    def test_a_client_may_do_without_the_present_ones(self, truth):
        encoder = Encoder(truth)
        [ack] = ask(encoder, channel="instrument", snapshot=False)
        assert ack["result"] == {"channel": "instrument", "snapshot": False}
        assert encoder.trading_status("BTC-USD", NOW) != []


# Whatever happens in the market, and whatever is lost on the way

changes = st.lists(
    st.tuples(st.integers(1, 60), st.integers(0, 4), st.booleans()).map(lambda each: (each[0] + 60 * each[2], each[1], each[2])),
    min_size=1,
    max_size=6,
)
histories = st.lists(changes, max_size=25)
depths = st.sampled_from([10, 25])


def window(truth, depth):
    bids, asks = truth.book("BTC-USD", depth)
    return dict(bids), dict(asks)


@given(changes, histories, depths)
def test_the_clients_book_is_the_servers_window_and_every_checksum_proves_it(first, history, depth):
    """decode(encode(history)) == history, as far as the window shows it."""
    truth = PlainTruth([BTC])
    truth.change("BTC-USD", first)
    line = Line(Decoder([BTC], {"book"}, depth), Encoder(truth))
    line.connect()
    book = line.books["BTC-USD"]
    for step in history:
        truth.change("BTC-USD", step)
        for event in line.deliver(line.encoder.update("BTC-USD", step, NOW)):
            assert isinstance(event, Update)
            assert event.exchange_ns == NOW
        assert book.right
        assert (book.bids, book.asks) == window(truth, depth)


@given(changes, histories, st.integers(0, 24))
def test_a_lost_frame_is_caught_by_the_checksum_of_the_next(first, history, lost):
    """At depth 10 a checksum is right exactly if the book is: nothing that matters goes unseen."""
    truth = PlainTruth([BTC])
    truth.change("BTC-USD", first)
    line = Line(Decoder([BTC], {"book"}), Encoder(truth))
    line.connect()
    book = line.books["BTC-USD"]
    for place, step in enumerate(history):
        truth.change("BTC-USD", step)
        frames = line.encoder.update("BTC-USD", step, NOW)
        if place != lost and line.deliver(frames):
            assert book.right == ((book.bids, book.asks) == window(truth, 10))
    line.decoder.resync(BTC)
    line.ask()
    assert book.right
    assert (book.bids, book.asks) == window(truth, 10)


@given(
    st.lists(
        st.tuples(st.integers(1, 10**9), st.integers(1, 10**15), st.sampled_from([Side.BUY, Side.SELL])), min_size=1, max_size=8
    )
)
def test_trades_survive_the_way(happened):
    truth = PlainTruth([BTC])
    line = Line(Decoder([BTC], {"trades"}), Encoder(truth))
    line.connect()
    sent = [truth.trade("BTC-USD", ticks, lots, side, exchange_ns=NOW) for ticks, lots, side in happened]
    assert line.deliver(line.encoder.trades("BTC-USD", sent, NOW)) == sent


def test_a_refused_symbol_is_told_to_the_client(truth):
    gone = Instrument("kraken", "FOO-BAR", "FOO/BAR", 1, 8)
    events = Line(Decoder([gone], {"book"}), Encoder(truth)).connect()
    assert events[-1] == SubscriptionRefused("book", "FOO/BAR", "Currency pair not supported FOO/BAR")
