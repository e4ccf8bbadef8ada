"""Bybit's encoder: what a client may ask, what it is told, and that decoder and encoder understand each other whatever happens."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.exchange_truth import PlainTruth

from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges.bybit import Decoder, Encoder, RestEncoder, parse_instruments, parse_volumes
from alphapulse_cli.exchanges.bybit.facts import MOST_TEXT
from alphapulse_cli.market.events import BookEvent, GapFound, Heartbeat, Side, Snapshot, Subscribed, SubscriptionRefused, Update
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.requests import Send
from alphapulse_cli.market.trading_status import TradingStatus

BTC = Instrument("bybit", "BTC-USDT", "BTCUSDT", 1, 6, min_size_lots=11)
STOCK = Instrument(
    "bybit", "AAPLX-USDT", "AAPLXUSDT", 2, 3, tick_size_ticks=5, lot_size_lots=5, trading_status=TradingStatus.SUSPENDED
)
NOW = 1_700_000_000_123_000_000
TICKERS = "/v5/market/tickers"
INFO, SPOT = "/v5/market/instruments-info", {"category": "spot"}


def ladder(count, lots=7):
    """`count` levels a side around 100.0."""
    return [(1000 + i, lots, True) for i in range(count)] + [(999 - i, lots, False) for i in range(count)]


class Line:
    """A decoder and an encoder joined without a socket, and the books that a client makes of the events: two dicts each, never cut."""

    def __init__(self, truth, instruments=(BTC,), channels=("book", "trades"), depth=0):
        self.truth, self.decoder, self.encoder = truth, Decoder(instruments, set(channels), depth), Encoder(truth)
        self.books: dict[str, tuple[dict[int, int], dict[int, int]]] = {}

    def connect(self):
        self.decoder.connected(0)
        return self.ask()

    def ask(self):
        """Carry the decoder's requests over, and the answers back."""
        requests = [request for request in self.decoder.pending_requests() if isinstance(request, Send)]
        return [event for request in requests for event in self.deliver(self.encoder.receive(request.frame, NOW))]

    def deliver(self, frames):
        events = [event for frame in frames for event in self.decoder.receive(frame, NOW)]
        for event in events:
            if isinstance(event, BookEvent):
                if isinstance(event, Snapshot):
                    self.books[event.instrument.symbol] = ({}, {})
                for ticks, lots, is_ask in event.levels:
                    side = self.books[event.instrument.symbol][is_ask]
                    side.pop(ticks, None)
                    if lots:
                        side[ticks] = lots
        return events

    def happens(self, changes, symbol="BTC-USDT", *, lose=False):
        """It happens in the market, and the client is told, unless that is lost."""
        self.truth.change(symbol, changes)
        frames = self.encoder.update(symbol, changes, NOW)
        return [] if lose else self.deliver(frames)

    def is_true(self, symbol="BTC-USDT"):
        bids, asks = self.truth.book(symbol, self.decoder.depth)
        return self.books[symbol] == (dict(bids), dict(asks))


@pytest.fixture
def truth():
    market = PlainTruth([BTC, STOCK])
    market.change("BTC-USDT", ladder(60))
    return market


@pytest.fixture
def line(truth):
    """A client of BTCUSDT at depth 50, connected and subscribed."""
    joined = Line(truth)
    joined.connect()
    return joined


def ask(encoder, *topics, op="subscribe"):
    """The answers to one request, parsed."""
    request = {"op": op, "req_id": "9", "args": topics}
    return [json.loads(frame) for frame in encoder.receive(json.dumps(request).encode(), NOW)]


class TestAnswers:
    def test_a_client_gets_an_ack_and_its_book(self, truth):
        events = Line(truth).connect()
        assert events[:2] == [Subscribed("book", ["BTCUSDT"]), Subscribed("trades", ["BTCUSDT"])]
        assert [type(event) for event in events[2:]] == [Snapshot]

    def test_nothing_of_a_refused_request_is_done(self, truth):
        encoder = Encoder(truth)
        [refused] = ask(encoder, "orderbook.50.BTCUSDT", "publicTrade.BTCUSDT", "publicTrade.FOOUSDT")
        assert (refused["success"], refused["ret_msg"], refused["req_id"]) == (False, "Invalid symbol :[publicTrade.FOOUSDT]", "9")
        truth.change("BTC-USDT", [(1000, 1, True)])
        assert not encoder.update("BTC-USDT", [(1000, 1, True)], NOW)
        assert not encoder.trades("BTC-USDT", [truth.trade("BTC-USDT", 1000, 1)], NOW)

    @pytest.mark.parametrize(
        "topic",
        ["orderbook.30.BTCUSDT", "orderbook.full.BTCUSDT", "kline.2.BTCUSDT", "kline.BTCUSDT", "orderbook", "", "orderbook.x"],
    )
    def test_a_topic_that_there_is_not(self, truth, topic):
        [refused] = ask(Encoder(truth), topic)
        assert refused["ret_msg"] == f"error:handler not found,topic:{topic}"

    def test_more_than_ten_topics_are_too_many(self, truth):
        [refused] = ask(Encoder(truth), *(f"publicTrade.T{number}" for number in range(11)))
        assert refused["ret_msg"] == "args size >10"

    def test_more_text_than_a_connection_carries(self):
        each = len("publicTrade.T00000USDT") + 3
        many = [Instrument("bybit", f"T{i:05}-USDT", f"T{i:05}USDT", 1, 1) for i in range(MOST_TEXT // each + 1)]
        encoder = Encoder(PlainTruth(many))
        answers = [ask(encoder, f"publicTrade.{one.native}")[0]["success"] for one in many]
        assert answers == [True] * (len(many) - 1) + [False]

    def test_unsubscribing_ends_a_book_and_its_number_goes_on(self, line, truth):
        number = json.loads(line.encoder.update("BTC-USDT", change(truth, [(1000, 1, True)]), NOW)[0])["data"]["u"]
        assert ask(line.encoder, "orderbook.50.BTCUSDT", op="unsubscribe")[0]["success"] is True
        assert not line.encoder.update("BTC-USDT", change(truth, [(1000, 2, True)]), NOW)
        _, snapshot = ask(line.encoder, "orderbook.50.BTCUSDT")
        assert (snapshot["type"], snapshot["data"]["u"]) == ("snapshot", number)

    @pytest.mark.parametrize(
        "frame", [b"", b"\xff", b"[]", b"7", b"{}", b'{"op":"nope"}', b'{"op":"subscribe"}', b'{"op":"subscribe","args":[7]}']
    )
    def test_nonsense_is_refused(self, truth, frame):
        [answer] = [json.loads(each) for each in Encoder(truth).receive(frame, NOW)]
        assert answer["success"] is False

    def test_ping(self, line):
        answers = line.encoder.receive(b'{"req_id":"p1","op":"ping"}', NOW)
        assert [(one["ret_msg"], one["op"], one["req_id"]) for one in map(json.loads, answers)] == [("pong", "ping", "p1")]
        assert line.deliver(answers) == [Heartbeat()]

    @given(st.binary(max_size=80))
    def test_a_client_may_send_anything(self, frame):
        for answer in Encoder(PlainTruth([BTC])).receive(frame, NOW):
            json.loads(answer)


def change(truth, changes, symbol="BTC-USDT"):
    truth.change(symbol, changes)
    return changes


class TestTheClientsWindow:
    def test_a_frame_is_written_as_the_exchange_writes_it(self, line, truth):
        """In the order of keys of its spot frames, numbers without trailing zeros, a removal as "0"."""
        [frame] = line.encoder.update("BTC-USDT", change(truth, [(1000, 0, True), (1001, 500000, True)]), NOW)
        data = json.loads(frame)["data"]
        expected = (
            '{"topic":"orderbook.50.BTCUSDT","ts":1700000000123,"type":"delta","data":{"s":"BTCUSDT","b":[],"a":[["100.1","0.5"],'
            '["105","0.000007"],["100","0"]],"u":%d,"seq":122},"cts":1700000000123}'
        )
        assert frame.decode() == expected % data["u"]

    def test_a_removal_brings_the_level_that_rises_from_below(self, line):
        [event] = line.happens([(1000, 0, True)])
        assert list(event.levels) == [(1050, 7, True), (1000, 0, True)]

    def test_an_insert_removes_the_level_that_it_pushes_out(self, line):
        """So a client that never cuts is right."""
        line.happens([(1000, 0, True)])
        [event] = line.happens([(1000, 3, True)])
        assert list(event.levels) == [(1000, 3, True), (1050, 0, True)]
        assert line.is_true()

    def test_what_happens_below_the_window_is_not_told(self, line):
        assert line.happens([(1055, 3, True), (940, 1, False)]) == []
        assert [type(event) for event in line.happens([(1000, 3, True)])] == [Update], "and has no number"

    def test_a_connection_may_have_two_depths(self, line, truth):
        ask(line.encoder, "orderbook.200.BTCUSDT")
        frames = [json.loads(frame) for frame in line.encoder.update("BTC-USDT", change(truth, [(1000, 3, True)]), NOW)]
        assert [frame["topic"] for frame in frames] == ["orderbook.50.BTCUSDT", "orderbook.200.BTCUSDT"]

    def test_a_lost_frame_is_a_gap_and_a_resync_brings_a_right_book(self, line):
        line.happens([(1000, 0, True), (999, 0, False)], lose=True)
        assert [type(event) for event in line.happens([(998, 1, False)])] == [GapFound]
        assert not line.is_true()
        assert [type(event) for event in line.ask()] == [Subscribed, Snapshot]
        assert line.is_true()

    def test_a_restart_is_a_snapshot_of_number_1(self, line):
        line.encoder.restart_sequence()
        [event] = line.happens([(1000, 0, True)])
        assert type(event) is Snapshot
        assert line.is_true()
        assert [type(event) for event in line.happens([(1001, 0, True)])] == [Update]
        assert line.is_true()

    def test_a_lost_restart_is_found(self, line):
        line.encoder.restart_sequence()
        line.happens([(1000, 0, True)], lose=True)
        assert [type(event) for event in line.happens([(1001, 0, True)])] == [GapFound]
        line.ask()
        assert line.is_true()


class TestTrades:
    def test_trades_arrive_as_they_happened(self, line, truth):
        moment = 1_700_000_000_000_000_000
        happened = [
            truth.trade("BTC-USDT", 1000 + i, 5, Side.SELL if i % 2 else Side.BUY, exchange_ns=moment + i * 10**6) for i in range(3)
        ]
        assert line.deliver(line.encoder.trades("BTC-USDT", happened, NOW)) == happened

    def test_a_frame_holds_1024_at_most(self, line, truth):
        happened = [truth.trade("BTC-USDT", 1000, 5, exchange_ns=NOW) for _ in range(2500)]
        frames = line.encoder.trades("BTC-USDT", happened, NOW)
        assert [frame.count(b'"BT"') for frame in frames] == [1024, 1024, 452]
        assert line.deliver(frames) == happened


class TestRest:
    def test_instruments_survive_the_way(self, truth):
        status, body = RestEncoder(truth).respond(INFO, SPOT, NOW)
        assert status == 200
        found = parse_instruments(body)
        assert found == [replace(BTC, min_size_lots=11), replace(STOCK, min_size_lots=0)]
        assert found[1].status_word == "PreLaunch"

    def test_one_symbol_and_an_unknown_one(self, truth):
        rest = RestEncoder(truth)
        assert [one.native for one in parse_instruments(rest.respond(INFO, {**SPOT, "symbol": "BTCUSDT"}, NOW)[1])] == ["BTCUSDT"]
        assert json.loads(rest.respond(INFO, {**SPOT, "symbol": "FOO"}, NOW)[1])["result"]["list"] == []

    @pytest.mark.parametrize("query", [{}, {"category": "margin"}])
    def test_another_category_is_an_error(self, truth, query):
        assert json.loads(RestEncoder(truth).respond(INFO, query, NOW)[1])["retCode"] == 10001

    def test_the_volumes_are_read_back(self, truth):
        rest = RestEncoder(truth)
        assert parse_volumes(rest.respond(TICKERS, SPOT, NOW)[1]) == {}, "nothing was traded yet"
        for ticks, lots in ((1000, 1_500_000), (1015, 2_500_000)):
            truth.trade("BTC-USDT", ticks, lots)
        assert parse_volumes(rest.respond(TICKERS, SPOT, NOW)[1]) == {"BTCUSDT": (4.0, 101.5)}

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b'{"retCode":0,"result":{"list":[{"symbol":"BTCUSDT"}]}}',
            b'{"retCode":0,"result":{"list":[{"symbol":1,"lastPrice":"x","volume24h":"1"}]}}',
        ],
    )
    def test_volumes_that_cannot_be_read(self, body):
        with pytest.raises(DecodeError, match="volumes not understood"):
            parse_volumes(body)

    def test_an_unknown_path(self, truth):
        assert RestEncoder(truth).respond("/v5/order/create", {}, NOW)[0] == 404


# Whatever happens in the market, and whatever is lost on the way

changes = st.lists(
    st.tuples(st.integers(1, 90), st.integers(0, 4), st.booleans()).map(lambda each: (each[0] + 90 * each[2], each[1], each[2])),
    min_size=1,
    max_size=9,
)
histories = st.lists(changes, max_size=25)


@given(st.lists(changes, max_size=12), histories, st.sampled_from([50, 200]))
def test_the_clients_book_is_the_servers_window(first, history, depth):
    """decode(encode(history)) == history, as far as the window shows it, without a cut."""
    truth = PlainTruth([BTC])
    for step in first:
        truth.change("BTC-USDT", step)
    line = Line(truth, channels=("book",), depth=depth)
    line.connect()
    for step in history:
        for event in line.happens(step):
            assert isinstance(event, Update)
            assert event.exchange_ns == NOW
        assert line.is_true()


def test_the_first_change_of_a_market_without_a_past_is_no_restart():
    """Its number would be 1."""
    line = Line(PlainTruth([BTC]), channels=("book",))
    line.connect()
    assert [type(event) for event in line.happens([(1, 1, False)])] == [Update]


@given(st.lists(changes, max_size=12), histories, st.sets(st.integers(0, 24), max_size=3))
def test_a_lost_frame_is_caught_by_the_number_of_the_next(first, history, lost):
    """A book that no gap was told of is the true one as it was after the last frame that arrived."""
    truth = PlainTruth([BTC])
    for step in first:
        truth.change("BTC-USDT", step)
    line = Line(truth, channels=("book",))
    line.connect()
    is_wrong = False
    for place, step in enumerate(history):
        events = line.happens(step, lose=place in lost)
        is_wrong = is_wrong or any(isinstance(event, GapFound) for event in events)
        if any(isinstance(event, Update) for event in events):
            assert line.is_true()
            assert not is_wrong
    line.decoder.resync(BTC)
    line.ask()
    assert line.is_true()


@given(
    st.lists(
        st.tuples(st.integers(1, 10**9), st.integers(1, 10**15), st.sampled_from([Side.BUY, Side.SELL])), min_size=1, max_size=8
    )
)
def test_trades_survive_the_way(happened):
    truth = PlainTruth([BTC])
    line = Line(truth)
    line.connect()
    sent = [truth.trade("BTC-USDT", ticks, lots, side, exchange_ns=NOW) for ticks, lots, side in happened]
    assert line.deliver(line.encoder.trades("BTC-USDT", sent, NOW)) == sent


def test_a_refused_symbol_is_told_to_the_client_and_the_others_are_served(truth):
    gone = Instrument("bybit", "FOO-USDT", "FOOUSDT", 1, 8)
    line = Line(truth, (gone, BTC))
    told = line.connect()
    for _ in range(2):
        told += line.ask()
    words = "Invalid symbol :[{}.FOOUSDT]"
    assert [event for event in told if isinstance(event, SubscriptionRefused)] == [
        SubscriptionRefused("book", "FOOUSDT", words.format("orderbook.50")),
        SubscriptionRefused("trades", "FOOUSDT", words.format("publicTrade")),
    ]
    assert line.is_true()
