"""Both ends of a Bitfinex connection without a socket: what the encoder tells of a market, the decoder's client knows exactly."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bitfinex_frames import BTC, ETH, NOW, SECOND
from support.exchange_truth import PlainTruth
from support.kraken_client import Top

from alphapulse_cli.exchanges.bitfinex import Decoder, Encoder, RestEncoder, parse_instruments
from alphapulse_cli.exchanges.bitfinex.encoder import CHECKSUM_EVERY, HISTORY_TRADES
from alphapulse_cli.exchanges.bitfinex.facts import CHANNELS_PER_CONNECTION
from alphapulse_cli.market.events import (
    GapFound,
    GapReason,
    Heartbeat,
    Side,
    Snapshot,
    Subscribed,
    Trade,
    TradesMissed,
    TradesRecovered,
    Update,
)
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.requests import FetchTrades, Reconnect

SYMBOLS = ["BTC-USD", "ETH-USD"]
DEPTH = 25


class Line:
    """A client on a connection to an exchange: its books as two dicts a symbol, proved by each checksum, its trades, and all else."""

    def __init__(self, truth, instruments=(BTC, ETH)):
        self.truth = truth
        self.decoder = Decoder(instruments, {"book", "trades"}, DEPTH)
        self.rest = RestEncoder(truth)
        self.books, self.trades, self.told = {}, [], []
        self.now_ns, self.connections, self.checksums = NOW, 0, 0
        self.connect()

    def connect(self):
        self.encoder = Encoder(self.truth)
        self.connections += 1
        self.decoder.connected(self.now_ns)
        self.deliver(self.encoder.connected(self.now_ns))

    def deliver(self, frames, drop=False):
        """Frames arrive, but for the last one with `drop`; then what the decoder asks for is done, until it asks for nothing."""
        for frame in frames[: len(frames) - drop]:
            for event in self.decoder.receive(frame, self.now_ns):
                self.take(event)
        for request in self.decoder.pending_requests():
            if isinstance(request, Reconnect):
                self.connect()
                return
            if isinstance(request, FetchTrades):
                path, _, query = request.path.partition("?")
                _, body = self.rest.respond(path, dict(pair.split("=") for pair in query.split("&")), self.now_ns)
                for event in self.decoder.receive_trades(request.instrument, body, self.now_ns):
                    self.take(event)
            else:
                self.deliver(self.encoder.receive(request.frame, self.now_ns))

    def take(self, event):
        match event:
            case Snapshot() | Update():
                sides = self.books.setdefault(event.instrument.symbol, ({}, {}))
                if isinstance(event, Snapshot):
                    sides[0].clear()
                    sides[1].clear()
                for ticks, lots, is_ask in event.levels:
                    sides[is_ask].pop(ticks, None)
                    if lots:
                        sides[is_ask][ticks] = lots
                if event.checksum is not None:
                    top = Top(sorted(sides[0].items(), reverse=True), sorted(sides[1].items()))
                    assert self.decoder.book_checksum(event.instrument, top) == event.checksum
                    self.checksums += 1
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
        trade = self.truth.trade(symbol, ticks, lots, side, exchange_ns=self.now_ns)
        self.deliver(self.encoder.trades(symbol, [trade], self.now_ns), drop)

    def beat(self, drop=False):
        self.now_ns += 16 * SECOND
        self.deliver(self.encoder.heartbeat(self.now_ns), drop)

    def pass_time(self):
        self.now_ns += 2 * SECOND
        for event in self.decoder.tick(self.now_ns):
            self.take(event)
        self.deliver([])

    def agrees(self, symbol="BTC-USD"):
        bids, asks = self.truth.book(symbol, DEPTH)
        return self.books[symbol] == (dict(bids), dict(asks))

    def heard(self, kind):
        return [event for event in self.told if isinstance(event, kind)]


def market():
    truth = PlainTruth([BTC, ETH])
    for symbol in SYMBOLS:
        truth.change(symbol, [(1000 - i, 10 + i, False) for i in range(30)] + [(1001 + i, 7 * 10**8 + i, True) for i in range(30)])
        truth.trade(symbol, 1000, 5, exchange_ns=NOW - SECOND)
        truth.trade(symbol, 1001, 6, Side.SELL, exchange_ns=NOW - SECOND)
    return truth


symbols = st.sampled_from(SYMBOLS)
ticks = st.one_of(st.integers(960, 1040), st.sampled_from([1, 10**13, (1 << 63) - 1]))
lots = st.one_of(st.just(0), st.integers(0, 10**15), st.sampled_from([1, 10**8, 12 * 10**7, (1 << 62) - 1]))
histories = st.lists(
    st.one_of(
        st.tuples(st.just("change"), symbols, st.lists(st.tuples(ticks, lots, st.booleans()), min_size=1, max_size=8)),
        st.tuples(st.just("trade"), symbols, ticks, st.integers(1, 10**12), st.sampled_from([Side.BUY, Side.SELL])),
        st.tuples(st.just("beat")),
        st.tuples(st.just("resync"), st.sampled_from([BTC, ETH])),
        st.tuples(st.just("confirm"), st.sampled_from([BTC, ETH])),
        st.tuples(st.just("connect")),
    ),
    max_size=25,
)


def play(line, history):
    for kind, *rest in history:
        if kind in ("resync", "confirm"):
            getattr(line.decoder, kind)(*rest)
            line.deliver([])
        else:
            getattr(line, kind)(*rest)


def facts(trade):
    return trade.trade_id, trade.price_ticks, trade.size_lots, trade.side, trade.exchange_ns


def assert_trades_are_known(line):
    for symbol in SYMBOLS:
        known = [trade for trade in line.trades if trade.instrument.symbol == symbol]
        happened = line.truth.recent_trades(symbol, 10**6)
        assert sorted(facts(trade) for trade in known) == sorted(facts(trade) for trade in happened)


@given(history=histories)
def test_the_client_knows_the_market_exactly(history):
    """decode(encode(e)) == e: books level for level, trades field for field, each once; no gap that is none."""
    line = Line(market())
    play(line, history)
    assert all(line.agrees(symbol) for symbol in SYMBOLS)
    assert not line.heard(GapFound)
    assert not line.heard(TradesMissed)
    assert line.checksums >= 2
    assert_trades_are_known(line)


@given(before=histories, lost=st.sampled_from(["change", "trade", "beat"]), after=histories)
def test_one_lost_frame_is_one_gap_for_all_and_heals(before, lost, after):
    """Whichever frame is lost, of whatever channel, the next one shows it, and the next connection heals all."""
    line = Line(market())
    play(line, before)
    connections = line.connections
    arguments = {"change": ("BTC-USD", [(1000, 77, False)]), "trade": ("ETH-USD", 1000, 5, Side.BUY), "beat": ()}[lost]
    line.truth.change("BTC-USD", [(1000, 78, False)])
    getattr(line, lost)(*arguments, drop=True)
    line.beat()
    (gap,) = line.heard(GapFound)
    assert (list(gap.instruments), gap.reason) == ([BTC, ETH], GapReason.SEQUENCE)
    assert line.connections == connections + 1
    play(line, after)
    assert all(line.agrees(symbol) for symbol in SYMBOLS)
    assert len(line.heard(GapFound)) == 1
    assert_trades_are_known(line)


def test_trades_beyond_what_a_subscription_brings_are_fetched():
    line = Line(market())
    for number in range(2 * HISTORY_TRADES):
        line.truth.trade("BTC-USD", 1000, number + 1, exchange_ns=line.now_ns + number * 1_000_000)
    line.connect()
    assert [event.count for event in line.heard(TradesMissed)] == [1]
    line.pass_time()
    assert [event.count for event in line.heard(TradesRecovered)] == [1]
    assert_trades_are_known(line)


class TestTheEncoder:
    def test_removes_what_leaves_the_window_and_brings_what_rises_into_it(self):
        line = Line(market())
        line.truth.change("BTC-USD", [(1001, 0, True)])
        told = [orjson.loads(frame)[1] for frame in line.encoder.update("BTC-USD", [], line.now_ns)]
        assert told == [[1001, 0, -1], [1026, 1 + (7 * 10**8 + 25) % 5, -7.00000025]]
        line.truth.change("BTC-USD", [(1001, 5, True)])
        assert [orjson.loads(frame)[1] for frame in line.encoder.update("BTC-USD", [], line.now_ns)] == [
            [1026, 0, -1], [1001, 1, -5e-8],
        ]  # fmt: skip

    def test_sends_a_checksum_now_and_then(self):
        line = Line(market())
        words = []
        for number in range(2 * CHECKSUM_EVERY):
            line.truth.change("BTC-USD", [(1000, 100 + number, False)])
            words += [orjson.loads(frame)[1] for frame in line.encoder.update("BTC-USD", [], line.now_ns)]
        assert [place for place, word in enumerate(words) if word == "cs"] == [CHECKSUM_EVERY, 2 * CHECKSUM_EVERY + 1]

    @pytest.mark.parametrize(("flags", "parts"), [(0, 2), (65536, 3), (32768, 3), (65536 + 32768, 4)])
    def test_adds_what_the_flags_ask_for(self, flags, parts):
        encoder = Encoder(market())
        encoder.receive(orjson.dumps({"event": "conf", "flags": flags}), NOW)
        _, *data = encoder.receive(b'{"event":"subscribe","channel":"book","symbol":"tBTCUSD"}', NOW)
        assert [len(orjson.loads(frame)) for frame in data] == [parts]

    def test_beats_for_each_channel_that_was_silent_for_15_seconds(self):
        line = Line(market())
        assert line.encoder.heartbeat(line.now_ns + 14 * SECOND) == []
        line.change("BTC-USD", [(1000, 100, False)])
        beats = [orjson.loads(frame) for frame in line.encoder.heartbeat(NOW + 15 * SECOND)]
        assert [beat[1] for beat in beats] == ["hb"] * 3
        assert line.encoder.heartbeat(NOW + 16 * SECOND)

    @pytest.mark.parametrize(
        ("asked", "code"),
        [({"channel": "book", "symbol": "tFOOBAR"}, 10300), ({"channel": "book", "symbol": "tBTCUSD"}, 10301), ({"channel": "books"}, 10302),
         ({"channel": "book", "symbol": "tETHUSD", "len": "7"}, 10012), ({"channel": "book", "symbol": "tETHUSD", "prec": "R0"}, 10011), ({}, 10000)],
    )  # fmt: skip
    def test_refuses_in_the_exchanges_codes(self, asked, code):
        encoder = Encoder(market())
        encoder.receive(b'{"event":"subscribe","channel":"book","symbol":"tBTCUSD"}', NOW)
        (refusal,) = encoder.receive(orjson.dumps({"event": "subscribe", **asked}), NOW)
        assert orjson.loads(refusal)["code"] == code

    def test_refuses_the_26th_channel(self):
        many = [Instrument("bitfinex", f"Q{number}-USD", f"tQ{number}:USD", 1, 8) for number in range(CHANNELS_PER_CONNECTION + 1)]
        encoder = Encoder(PlainTruth(many))
        answers = [
            encoder.receive(orjson.dumps({"event": "subscribe", "channel": "book", "symbol": one.native}), NOW)[0] for one in many
        ]
        assert [orjson.loads(answer)["event"] for answer in answers] == ["subscribed"] * CHANNELS_PER_CONNECTION + ["error"]
        assert orjson.loads(answers[-1])["code"] == 10305

    @pytest.mark.parametrize(
        "frame", [b"", b"x", b"7", b"[]", b"null", b'{"event":"conf"}', b'{"event":"unsubscribe","chanId":7}', b'{"event":[]}']
    )
    def test_answers_anything_else_with_an_error(self, frame):
        (refusal,) = Encoder(market()).receive(frame, NOW)
        assert orjson.loads(refusal)["event"] == "error"

    def test_answers_a_ping(self):
        (pong,) = Encoder(market()).receive(b'{"event":"ping","cid":1234}', NOW)
        assert orjson.loads(pong) == {"event": "pong", "ts": NOW // 1_000_000, "cid": 1234}
        assert Decoder([BTC], {"book"}).receive(pong, NOW) == [Heartbeat(NOW)]


class TestRest:
    def test_tickers_are_read_back(self):
        truth = PlainTruth([BTC, ETH])
        truth.change("BTC-USD", [(63309, 1, False), (63310, 1, True)])
        truth.change("ETH-USD", [(25120, 1, False), (25121, 1, True)])
        _, body = RestEncoder(truth).respond("/v2/tickers", {"symbols": "ALL"}, NOW)
        assert parse_instruments(body) == [BTC, ETH]
        _, body = RestEncoder(truth).respond("/v2/tickers", {"symbols": "tETHUSD"}, NOW)
        assert parse_instruments(body) == [ETH]

    def test_trades_of_a_pair_by_their_time(self):
        truth = market()
        truth.trade("BTC-USD", 1002, 7, exchange_ns=NOW)
        rest = RestEncoder(truth)
        path = "/v2/trades/tBTCUSD/hist"
        assert [row[0] for row in orjson.loads(rest.respond(path, {}, NOW)[1])] == [3, 2, 1]
        assert [row[0] for row in orjson.loads(rest.respond(path, {"sort": "1", "limit": "2"}, NOW)[1])] == [1, 2]
        assert orjson.loads(rest.respond(path, {"start": str(NOW // 1_000_000)}, NOW)[1]) == [[3, NOW // 1_000_000, 7e-08, 1002]]
        assert rest.respond("/v2/trades/tFOOBAR/hist", {}, NOW)[0] == 404


def test_a_subscription_is_confirmed():
    line = Line(market())
    assert {(event.channel, *event.natives) for event in line.heard(Subscribed)} == {
        ("conf",), ("book", "tBTCUSD"), ("book", "tETHUSD"), ("trades", "tBTCUSD"), ("trades", "tETHUSD"),
    }  # fmt: skip
