"""Both ends of a Coinbase connection without a socket: what the encoder tells of a market, the decoder's client knows exactly."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.coinbase_frames import BTC, BTC_USDC, ETH, TIME_NS, levels
from support.exchange_truth import PlainTruth

from alphapulse_cli.exchanges.coinbase import Decoder, Encoder
from alphapulse_cli.market.events import GapFound, GapReason, Heartbeat, Side, Snapshot, Subscribed, Trade, TradesMissed, Update
from alphapulse_cli.market.requests import Reconnect

MODES = ["advanced", "exchange"]
SYMBOLS = ["BTC-USD", "ETH-USD"]


class Line:
    """A client on a connection to an exchange: its books as two dicts a symbol, its trades, and all else that it was told."""

    def __init__(self, truth, mode, instruments=(BTC, ETH)):
        self.truth, self.mode = truth, mode
        self.decoder = Decoder(instruments, {"book", "trades"}, mode=mode)
        self.books, self.trades, self.told = {}, [], []
        self.now_ns, self.connections, self.dropped_frames = TIME_NS, 0, 0
        self.connect()

    def connect(self):
        self.encoder = Encoder(self.truth, self.mode)
        self.connections += 1
        self.decoder.connected(self.now_ns)
        self.deliver(self.encoder.connected(self.now_ns))

    def deliver(self, frames, drop=False):
        """Frames arrive, or do not; then whatever the decoder asks for is done, until it asks for nothing."""
        for frame in () if drop else frames:
            for event in self.decoder.receive(frame, self.now_ns):
                self.take(event)
        for request in self.decoder.pending_requests():
            if isinstance(request, Reconnect):
                self.connect()
                return
            self.deliver(self.encoder.receive(request.frame, self.now_ns))

    def take(self, event):
        match event:
            case Snapshot() | Update():
                sides = self.books.setdefault(event.instrument.symbol, ({}, {}))
                if isinstance(event, Snapshot):
                    sides[0].clear()
                    sides[1].clear()
                for ticks, lots, is_ask in levels(event):
                    sides[is_ask].pop(ticks, None)
                    if lots:
                        sides[is_ask][ticks] = lots
            case Trade():
                self.trades.append(event)
            case _:
                self.told.append(event)

    def change(self, symbol, changes, drop=False):
        self.now_ns += 1_000_000
        self.truth.change(symbol, changes)
        self.deliver(self.encoder.update(symbol, changes, self.now_ns), drop)

    def trade(self, symbol, ticks, lots, side, drop=False):
        self.now_ns += 1_000_000
        trade = self.truth.trade(symbol, ticks, lots, side, exchange_ns=self.now_ns // 1000 * 1000)
        self.deliver(self.encoder.trades(symbol, [trade], self.now_ns), drop)

    def beat(self, drop=False):
        self.now_ns += 1_000_000
        self.deliver(self.encoder.heartbeat(self.now_ns), drop)

    def agrees(self, symbol="BTC-USD"):
        bids, asks = self.truth.book(symbol)
        return self.books[symbol] == (dict(bids), dict(asks))

    def heard(self, kind):
        return [event for event in self.told if isinstance(event, kind)]


def market():
    truth = PlainTruth([BTC, ETH, BTC_USDC])
    for symbol in SYMBOLS:
        truth.change(symbol, [(1000 - i, 10 + i, False) for i in range(30)] + [(1001 + i, 7 * 10**8 + i, True) for i in range(30)])
        truth.trade(symbol, 1000, 5)
        truth.trade(symbol, 1001, 6, Side.SELL)
    return truth


symbols = st.sampled_from(SYMBOLS)
ticks = st.one_of(st.integers(990, 1010), st.sampled_from([1, 10**13, (1 << 63) - 1]))
lots = st.one_of(st.just(0), st.integers(0, (1 << 62) - 1), st.sampled_from([1, 10**8, 12 * 10**7]))
histories = st.lists(
    st.one_of(
        st.tuples(st.just("change"), symbols, st.lists(st.tuples(ticks, lots, st.booleans()), min_size=1, max_size=8)),
        st.tuples(st.just("trade"), symbols, ticks, st.integers(1, 10**12), st.sampled_from([Side.BUY, Side.SELL])),
        st.tuples(st.just("beat")),
        st.tuples(st.just("resync"), st.sampled_from([BTC, ETH])),
        st.tuples(st.just("connect")),
    ),
    max_size=25,
)


def play(line, history):
    for kind, *rest in history:
        if kind == "resync":
            line.decoder.resync(*rest)
            line.deliver([])
        else:
            getattr(line, kind)(*rest)


@pytest.mark.parametrize("mode", MODES)
@given(history=histories)
def test_the_client_knows_the_market_exactly(mode, history):
    """decode(encode(e)) == e: books level for level, trades field for field, each once; no gap that is none."""
    truth = market()
    line = Line(truth, mode)
    play(line, history)
    assert all(line.agrees(symbol) for symbol in SYMBOLS)
    assert not line.heard(GapFound)
    assert not line.heard(TradesMissed)
    for symbol in SYMBOLS:
        known = [trade for trade in line.trades if trade.instrument.symbol == symbol]
        happened = truth.recent_trades(symbol, len(known))
        assert [_facts(trade) for trade in known] == [_facts(trade) for trade in happened]
        assert all(
            mine.exchange_ns == theirs.exchange_ns for mine, theirs in zip(known, happened, strict=True) if theirs.exchange_ns
        )


def _facts(trade):
    return trade.trade_id, trade.price_ticks, trade.size_lots, trade.side


@given(before=histories, lost=st.sampled_from(["change", "trade", "beat"]), after=histories)
def test_one_lost_frame_is_one_gap_for_all_and_heals(before, lost, after):
    """Advanced Trade: whichever frame is lost, the next one shows it; one GapFound, all instruments; the same connection heals."""
    line = Line(market(), "advanced")
    play(line, before)
    connections = line.connections
    arguments = {"change": ("BTC-USD", [(1000, 77, False)]), "trade": ("ETH-USD", 1000, 5, Side.BUY), "beat": ()}[lost]
    getattr(line, lost)(*arguments, drop=True)
    line.beat()
    (gap,) = line.heard(GapFound)
    assert (set(gap.instruments), gap.reason) == ({BTC, ETH}, GapReason.SEQUENCE)
    assert line.connections == connections
    assert all(line.agrees(symbol) for symbol in SYMBOLS)
    play(line, after)
    assert len(line.heard(GapFound)) == 1
    assert all(line.agrees(symbol) for symbol in SYMBOLS)
    assert not line.heard(TradesMissed)  # the past that trades begin with anew holds what was lost


def test_the_exchange_feed_cannot_see_a_lost_book_frame_but_a_lost_trade():
    """X3, X5: why this mode is not the default."""
    line = Line(market(), "exchange")
    line.change("BTC-USD", [(1000, 77, False)], drop=True)
    line.beat()
    assert not line.agrees()
    assert not line.heard(GapFound)
    line.trade("BTC-USD", 1000, 5, Side.BUY, drop=True)
    line.beat()
    assert line.heard(TradesMissed) == [TradesMissed(BTC, 1)]
    line.decoder.resync(BTC)
    line.deliver([])
    assert line.agrees()


@pytest.mark.parametrize("mode", MODES)
def test_an_alias_gets_the_book_it_shares(mode):
    line = Line(market(), mode, (BTC_USDC,))
    line.change("BTC-USD", [(1000, 77, False)])
    bids, asks = line.truth.book("BTC-USD")
    assert line.books == {"BTC-USDC": (dict(bids), dict(asks))}


class TestWhatTheServerSays:
    """The frames themselves, where the sheet tells how they look."""

    def subscribe(self, encoder, channel, *products):
        frame = orjson.dumps({"type": "subscribe", "product_ids": products, "channel": channel})
        return [orjson.loads(each) for each in encoder.receive(frame, TIME_NS)]

    def test_c6_c9_the_book_best_first_and_trimmed_then_the_confirmation(self):
        truth = PlainTruth([BTC])
        truth.change("BTC-USD", [(999, 10**8, False), (1000, 2 * 10**7, False), (1010, 1, True), (1001, 5, True)])
        book, confirmed = self.subscribe(Encoder(truth), "level2", "BTC-USD")
        assert (book["sequence_num"], confirmed["sequence_num"]) == (0, 1)
        rows = [(each["side"], each["price_level"], each["new_quantity"]) for each in book["events"][0]["updates"]]
        assert rows == [
            ("bid", "10", "0.2"),
            ("bid", "9.99", "1"),
            ("offer", "10.01", "0.00000005"),
            ("offer", "10.1", "0.00000001"),
        ]
        assert "type" not in confirmed
        assert confirmed["events"] == [{"subscriptions": {"level2": ["BTC-USD"]}}]

    def test_c10_trades_newest_first_with_the_makers_side(self):
        truth = market()
        past, _ = self.subscribe(Encoder(truth), "market_trades", "BTC-USD")
        (event,) = past["events"]
        assert event["type"] == "snapshot"
        assert [(each["trade_id"], each["side"]) for each in event["trades"]] == [("2", "BUY"), ("1", "SELL")]

    def test_c11_heartbeats_when_asked_for(self):
        encoder = Encoder(market())
        assert list(encoder.heartbeat(TIME_NS)) == []
        encoder.receive(b'{"type":"subscribe","channel":"heartbeats"}', TIME_NS)
        counters = [orjson.loads(encoder.heartbeat(TIME_NS)[0])["events"][0]["heartbeat_counter"] for _ in range(2)]
        assert counters == [1, 2]

    @pytest.mark.parametrize(
        ("frame", "message"),
        [
            (b'{"type":"subscribe","product_ids":["DOGE-USD"],"channel":"level2"}', "failure to subscribe"),
            (b'{"type":"subscribe","product_ids":["BTC-USD","DOGE-USD"],"channel":"level2"}', "failure to subscribe"),
            (b'{"type":"subscribe","channel":"level2"}', "failure to subscribe"),
            (b'{"type":"subscribe","product_ids":7,"channel":[]}', "failure to subscribe"),
            (b'{"type":"subscribe","product_ids":[["BTC-USD"]],"channel":{}}', "failure to subscribe"),
            (b'{"type":"subscribe","channel":"user"}', "authentication failure"),
            (b'{"type":"dance"}', "Type has to be either subscribe or unsubscribe"),
            (b'{"type":[]}', "Type has to be either subscribe or unsubscribe"),
            (b"\xff", "Malformed JSON"),
            (b"[]", "Malformed JSON"),
        ],
    )
    def test_c5_errors_have_no_number(self, frame, message):
        encoder = Encoder(market())
        assert [orjson.loads(each) for each in encoder.receive(frame, TIME_NS)] == [{"type": "error", "message": message}]
        assert orjson.loads(encoder.receive(b'{"type":"subscribe","channel":"heartbeats"}', TIME_NS)[0])["sequence_num"] == 0

    def test_x6_the_exchange_feeds_confirmation_and_errors(self):
        encoder = Encoder(market(), "exchange")
        frame = b'{"type":"subscribe","product_ids":["BTC-USD"],"channels":["level2_batch"]}'
        confirmed, book = (orjson.loads(each) for each in encoder.receive(frame, TIME_NS))
        assert confirmed["channels"] == [{"name": "level2_50", "product_ids": ["BTC-USD"], "account_ids": None}]
        assert book["bids"][0] == ["10.00", "0.00000010"]
        for channel, product, reason in (
            ("level2", "BTC-USD", "level2, level3, and full channels now require authentication."),
            ("matches", "DOGE-USD", "DOGE-USD is not a valid product"),
            ("dance", "BTC-USD", "dance is not a valid channel"),
        ):
            asked = orjson.dumps({"type": "subscribe", "product_ids": [product], "channels": [channel]})
            (answer,) = (orjson.loads(each) for each in encoder.receive(asked, TIME_NS))
            assert answer == {"type": "error", "message": "Failed to subscribe", "reason": reason}

    @pytest.mark.parametrize("mode", MODES)
    def test_what_is_not_subscribed_to_gives_no_frames(self, mode):
        line = Line(market(), mode)
        verbs: dict[str, list[dict[str, Any]]] = {
            "advanced": [{"channel": each} for each in ("level2", "market_trades")],
            "exchange": [{"channels": ["level2_50", "matches"]}],
        }
        for asked in verbs[mode]:
            line.encoder.receive(orjson.dumps({"type": "unsubscribe", "product_ids": ["ETH-USD"], **asked}), TIME_NS)
        trade = line.truth.trade("ETH-USD", 1000, 5)
        assert not line.encoder.update("ETH-USD", [(1, 1, False)], TIME_NS)
        assert not line.encoder.trades("ETH-USD", [trade], TIME_NS)
        assert line.encoder.update("BTC-USD", [(1, 1, False)], TIME_NS)

    @pytest.mark.parametrize("mode", MODES)
    def test_a_client_hears_that_it_is_subscribed_and_that_the_exchange_lives(self, mode):
        line = Line(market(), mode)
        line.beat()
        assert {event.channel for event in line.heard(Subscribed)} >= {"book", "trades"}
        assert line.heard(Heartbeat)

    def test_a_book_of_forty_five_thousand_levels_is_one_frame(self):
        truth = PlainTruth([BTC])
        truth.change(
            "BTC-USD", [(10**6 - i, i + 1, False) for i in range(22_500)] + [(10**6 + 1 + i, i + 1, True) for i in range(22_500)]
        )
        line = Line(truth, "advanced", (BTC,))
        assert line.agrees()


@given(
    st.binary(max_size=80)
    | st.sampled_from(["{}", '{"type":"subscribe","product_ids":{},"channels":7,"channel":7}']).map(str.encode)
)
def test_no_client_can_hurt_the_server(frame):
    for mode in MODES:
        for answer in Encoder(market(), mode).receive(frame, TIME_NS):
            assert orjson.loads(answer)["type"] == "error"
