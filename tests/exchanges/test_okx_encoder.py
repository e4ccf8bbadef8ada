"""The exchange's side of OKX, and both sides against each other: whatever is lost on the way, a live book is the truth at its number."""

import random
from collections import deque
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.campaigns import size
from support.exchange_truth import PlainTruth
from support.okx import BTC, SECOND, DictBook

from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges.okx import FACTS, Decoder, Encoder, RestEncoder, parse_instruments, parse_volumes
from alphapulse_cli.exchanges.okx import book as okx_book
from alphapulse_cli.exchanges.okx.book import Book, Stage
from alphapulse_cli.exchanges.protocol import BOOK
from alphapulse_cli.market.events import GapFound
from alphapulse_cli.market.requests import FetchSnapshot, Send
from alphapulse_cli.market.trading_status import TradingStatus

SYMBOL, NOW = "BTC-USDT", 1_700_000_000_000 * 1_000_000
BOOKS = b'{"id":"7","op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT"}]}'


def truth_of(depth=3):
    truth = PlainTruth([BTC])
    truth.change(
        SYMBOL, [(1000 - step, 1 + step, False) for step in range(depth)] + [(1001 + step, 1, True) for step in range(depth)]
    )
    return truth


def parsed(frames):
    return [orjson.loads(frame) for frame in frames]


class TestRequests:
    def test_one_answer_for_each_argument_each_with_its_data(self):
        encoder = Encoder(truth_of())
        frame = BOOKS.replace(b"]}", b',{"channel":"trades","instId":"BTC-USDT"},{"channel":"books5","instId":"BTC-USDT"}]}')
        told = parsed(encoder.receive(frame, NOW))
        assert [(each.get("event"), each.get("id"), each["arg"]["channel"]) for each in told] == [
            ("subscribe", "7", "books"), (None, None, "books"), ("subscribe", "7", "trades"), ("subscribe", "7", "books5"), (None, None, "books5"),
        ]  # fmt: skip

    def test_a_snapshot_as_the_documentation_has_it(self):
        truth = PlainTruth([BTC])
        truth.change(SYMBOL, [(640402, 50_000_000, False), (640403, 38_699_412, True)])
        _, frame = Encoder(truth).receive(BOOKS, 1_786_538_760_218 * 1_000_000)
        assert frame == (
            b'{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"snapshot","data":[{"asks":[["64040.3","0.38699412","0","1"]],'
            b'"bids":[["64040.2","0.5","0","1"]],"ts":"1786538760218","checksum":0,"seqId":2,"prevSeqId":-1}]}'
        )

    @pytest.mark.parametrize(
        ("frame", "code"),
        [
            (BOOKS.replace(b"BTC", b"FOO"), "60018"), (BOOKS.replace(b"books", b"candle"), "60018"), (b"{", "60012"), (b"7", "60012"),
            (b"{}", "60012"), (BOOKS.replace(b"subscribe", b"order"), "60012"), (b'{"op":"subscribe","args":7}', "60012"),
            (b'{"op":"subscribe","args":[{"channel":"books"}]}', "60012"),
        ],
    )  # fmt: skip
    def test_invalid_requests_get_okxs_errors(self, frame, code):
        [told] = parsed(Encoder(truth_of()).receive(frame, NOW))
        assert (told["event"], told["code"]) == ("error", code)

    def test_an_unknown_instrument_is_refused_in_the_exchanges_words(self):
        [told] = parsed(Encoder(truth_of()).receive(BOOKS.replace(b"BTC", b"FOO"), NOW))
        assert told["msg"] == (
            "Wrong URL or channel:books,instId:FOO-USDT doesn't exist. Please use the correct URL, channel and parameters "
            "referring to API document."
        )

    def test_a_second_subscription_is_answered_without_a_second_snapshot(self):
        encoder = Encoder(truth_of())
        encoder.receive(BOOKS, NOW)
        assert [each["event"] for each in parsed(encoder.receive(BOOKS, NOW))] == ["subscribe"]

    def test_after_an_unsubscribe_nothing_comes(self):
        truth = truth_of()
        encoder = Encoder(truth)
        encoder.receive(
            BOOKS.replace(b"]}", b',{"channel":"trades","instId":"BTC-USDT"},{"channel":"books5","instId":"BTC-USDT"}]}'), NOW
        )
        for channel in (b"books", b"books5", b"trades"):
            encoder.receive(BOOKS.replace(b'"subscribe"', b'"unsubscribe"').replace(b'"books"', b'"%s"' % channel), NOW)
        truth.change(SYMBOL, [(1000, 9, False)])
        assert not encoder.update(SYMBOL, [(1000, 9, False)], NOW)
        assert not encoder.trades(SYMBOL, [truth.trade(SYMBOL, 1000, 5)], NOW)

    def test_the_text_ping(self):
        assert Encoder(truth_of()).receive(b"ping", NOW) == [b"pong"]


class TestTheWindow:
    def test_a_level_that_leaves_it_is_removed_and_one_that_rises_into_it_told(self):
        truth = truth_of(depth=401)
        encoder = Encoder(truth)
        encoder.receive(BOOKS, NOW)
        better = [(1000, 0, False)]
        truth.change(SYMBOL, better)
        [told] = parsed(encoder.update(SYMBOL, better, NOW))
        assert told["data"][0]["bids"] == [["100", "0", "0", "0"], ["60", "0.00000401", "0", "1"]]
        truth.change(SYMBOL, [(1000, 7, False)])
        [told] = parsed(encoder.update(SYMBOL, [(1000, 7, False)], NOW))
        assert told["data"][0]["bids"] == [["60", "0", "0", "0"], ["100", "0.00000007", "0", "1"]]

    def test_its_frame_is_the_last_of_a_change(self):
        """A fault that takes the last frame away takes the one that a client misses."""
        truth = truth_of()
        encoder = Encoder(truth)
        for channel in (b"books", b"books5", b"tickers", b"bbo-tbt"):
            encoder.receive(BOOKS.replace(b'"books"', b'"%s"' % channel), NOW)
        truth.change(SYMBOL, [(1001, 9, False)])
        told = parsed(encoder.update(SYMBOL, [(1001, 9, False)], NOW))
        assert [each["arg"]["channel"] for each in told] == ["tickers", "bbo-tbt", "books5", "books"]

    def test_what_happens_beyond_it_is_not_told(self):
        truth = truth_of(depth=410)
        encoder = Encoder(truth)
        encoder.receive(BOOKS, NOW)
        truth.change(SYMBOL, [(595, 77, False)])
        assert not encoder.update(SYMBOL, [(595, 77, False)], NOW)

    def test_a_minute_without_a_change_is_told_once(self):
        encoder = Encoder(truth_of())
        encoder.receive(BOOKS, NOW)
        assert encoder.heartbeat(NOW + 59 * SECOND) == []
        [told] = parsed(encoder.heartbeat(NOW + 60 * SECOND))
        [row] = told["data"]
        assert (row["asks"], row["bids"], row["seqId"], row["prevSeqId"]) == ([], [], 6, 6)
        assert encoder.heartbeat(NOW + 61 * SECOND) == []


class TestRest:
    def get(self, path, **query):
        return RestEncoder(truth_of()).respond(f"/api/v5/{path}", query, NOW)

    def test_the_instruments_are_read_back(self):
        truth = PlainTruth([BTC.with_rules(1, 1, 1000)])
        status, body = RestEncoder(truth).respond("/api/v5/public/instruments?instType=SPOT", {}, NOW)
        assert (status, parse_instruments(body)) == (200, [BTC.with_rules(1, 1, 1000)])

    @pytest.mark.parametrize(
        ("word", "status"),
        [("live", TradingStatus.TRADING), ("suspend", TradingStatus.SUSPENDED), ("preopen", TradingStatus.SUSPENDED),
         ("test", TradingStatus.SUSPENDED), ("rebase", TradingStatus.UNKNOWN), ("", TradingStatus.UNKNOWN)],
    )  # fmt: skip
    def test_words_of_the_trading_status(self, word, status):
        _, body = self.get("public/instruments", instType="SPOT")
        [found] = parse_instruments(body.replace(b'"live"', b'"%s"' % word.encode()))
        assert (found.trading_status, found.status_word) == (status, word)

    @pytest.mark.parametrize("kind", ["MARGIN", "SWAP", "FUTURES", "OPTION"])
    def test_nothing_is_listed_of_another_kind(self, kind):
        """So that a client which asks for all of them goes on."""
        for path in ("public/instruments", "market/tickers"):
            assert orjson.loads(self.get(path, instType=kind)[1]) == {"code": "0", "data": [], "msg": ""}

    def test_an_instrument_has_every_field_of_a_spot_market(self):
        """Clients with typed records need them all."""
        [row] = orjson.loads(self.get("public/instruments", instType="SPOT", instId=SYMBOL)[1])["data"]
        assert {
            "ctVal",
            "expTime",
            "lever",
            "listTime",
            "maxLmtSz",
            "ruleType",
            "settleCcy",
            "stk",
            "tradeQuoteCcyList",
            "uly",
        } <= set(row)
        assert (row["instId"], row["tickSz"], row["ctVal"], row["maxLmtAmt"]) == (SYMBOL, "0.1", "", "1000000")

    def test_a_book_cut_to_its_size(self):
        [row] = orjson.loads(self.get("market/books", instId=SYMBOL, sz="2")[1])["data"]
        assert (len(row["asks"]), len(row["bids"]), row["seqId"]) == (2, 2, 6)

    @pytest.mark.parametrize(
        ("path", "query", "code"),
        [
            ("market/books", {"instId": "FOO-BAR"}, "51001"), ("market/trades", {}, "51001"), ("public/instruments", {"instType": "FOO"}, "51000"),
            ("public/instruments", {}, "50014"), ("public/instruments", {"instType": "SPOT", "instId": "FOO-BAR"}, "51001"),
            ("public/instruments", {"instType": "SWAP", "instId": SYMBOL}, "51001"),
            ("market/books", {"instId": SYMBOL, "sz": "401"}, "51000"), ("market/books", {"instId": SYMBOL, "sz": "x"}, "51000"),
            ("market/trades", {"instId": SYMBOL, "limit": "0"}, "51000"),
        ],
    )  # fmt: skip
    def test_errors_come_with_200(self, path, query, code):
        status, body = self.get(path, **query)
        assert (status, orjson.loads(body)["code"]) == (200, code)

    def test_trades_newest_first(self):
        truth = truth_of()
        for ticks in (1000, 1001, 1002):
            truth.trade(SYMBOL, ticks, 5, exchange_ns=NOW)
        _, body = RestEncoder(truth).respond("/api/v5/market/trades", {"instId": SYMBOL, "limit": "2"}, NOW)
        assert [row["tradeId"] for row in orjson.loads(body)["data"]] == ["3", "2"]

    def test_the_volumes_are_read_back(self):
        truth = truth_of()
        path = FACTS.volumes_path
        assert parse_volumes(RestEncoder(truth).respond(path, {}, NOW)[1]) == {}, "nothing was traded yet"
        truth.trade(SYMBOL, 1000, 3 * 10**8, exchange_ns=NOW)
        truth.trade(SYMBOL, 1015, 10**8, exchange_ns=NOW)
        assert parse_volumes(RestEncoder(truth).respond(path, {}, NOW)[1]) == {SYMBOL: (4.0, 101.5)}

    @pytest.mark.parametrize(
        "body", [b"{", b"[]", b'{"code":"50011","msg":"","data":[]}', b'{"code":"0","data":[{"instId":"A-B","last":"x"}]}']
    )
    def test_volumes_that_cannot_be_read(self, body):
        with pytest.raises(DecodeError, match="volumes not understood"):
            parse_volumes(body)

    def test_the_time(self):
        assert orjson.loads(self.get("public/time")[1])["data"] == [{"ts": "1700000000000"}]


class Pair:
    """One symbol's truth, exchange and client, and the two wires between them: frames in order, snapshots when the schedule says."""

    def __init__(self, *, snapshots):
        self.snapshots = snapshots
        self.truth = truth_of(30)
        self.history = {self.truth.sequence(SYMBOL): self.truth.book(SYMBOL)}
        self.rest, self.decoder, self.client = RestEncoder(self.truth), Decoder([BTC], {BOOK}), DictBook()
        self.down: deque[bytes] = deque()
        self.bodies: deque[bytes] = deque()
        self.cached, self.now, self.gaps = b"", 0, 0
        self.connect()

    def connect(self):
        self.encoder = Encoder(self.truth, snapshots=self.snapshots)
        self.down.clear()
        self.bodies.clear()
        self.client.live = False
        self.decoder.connected(self.now)
        self.ask()

    def ask(self, *, cached=False):
        for request in self.decoder.pending_requests():
            if isinstance(request, Send):
                self.down.extend(self.encoder.receive(request.frame, NOW))
            elif isinstance(request, FetchSnapshot):
                path, _, query = request.path.partition("?")
                fresh = self.rest.respond(path, dict(pair.split("=") for pair in query.split("&")), NOW)[1]
                self.bodies.append(self.cached if cached and self.cached else fresh)
                self.cached = fresh
                assert len(self.bodies) == 1, "one snapshot is in flight at a time"

    def take(self, events):
        self.client.apply(events)
        self.gaps += sum(isinstance(event, GapFound) for event in events)
        book = self.decoder._books[SYMBOL]
        if self.client.live:
            assert book.stage is Stage.LIVE
            bids, asks = self.history[book.last]
            assert self.client.sides == (dict(bids), dict(asks)), f"a live book is wrong at {book.last}"

    def do(self, action, argument):
        match action:
            case "change":
                changes = [(ticks, lots, is_ask) for ticks, lots, is_ask in argument]
                self.truth.change(SYMBOL, changes)
                self.history[self.truth.sequence(SYMBOL)] = self.truth.book(SYMBOL)
                self.down.extend(self.encoder.update(SYMBOL, changes, NOW))
            case "deliver" if self.down:
                frame = self.down.popleft()
                for _ in range({"lose": 0, "double": 2}.get(argument, 1)):
                    self.take(self.decoder.receive(frame, NOW))
            case "answer" if self.bodies:
                body = self.bodies.popleft()
                if argument == "lose":
                    self.decoder.fetch_failed(BTC, self.now)
                else:
                    self.take(self.decoder.receive_snapshot(BTC, body, NOW))
            case "tick":
                self.now += SECOND
                self.take(self.decoder.tick(self.now))
            case "resync":
                self.client.live = False
                self.decoder.resync(BTC)
            case "connect":
                self.connect()
        self.ask(cached=argument == "cached")

    def end_kindly(self):
        """Everything arrives from here on: the book becomes live and the truth."""
        for step in range(200):
            self.do("change", [(900 + step % 5, 1 + step, False)])
            self.do("tick", "")
            while self.down or self.bodies:
                self.do("deliver", "")
                self.do("answer", "")
            if self.client.live and step > 3:
                break
        bids, asks = self.truth.book(SYMBOL)
        assert self.client.live
        assert self.client.sides == (dict(bids), dict(asks))


levels = st.lists(st.tuples(st.integers(990, 1010), st.integers(0, 5), st.booleans()), min_size=1, max_size=4)
actions = st.one_of(
    st.tuples(st.just("change"), levels),
    st.tuples(st.just("deliver"), st.sampled_from(["", "", "", "", "lose", "double", "cached"])),
    st.tuples(st.just("answer"), st.sampled_from(["", "", "lose"])),
    st.tuples(st.sampled_from(["tick", "tick", "resync", "connect"]), st.sampled_from(["", "cached"])),
)


def play(schedule, *, snapshots):
    pair = Pair(snapshots=snapshots)
    for action, argument in schedule:
        pair.do(action, argument)
    pair.end_kindly()
    return pair


@pytest.mark.parametrize("snapshots", [True, False], ids=["in band", "by REST"])
class TestBothSides:
    @settings(max_examples=size(75, 150), deadline=None)
    @given(st.lists(actions, max_size=60))
    def test_a_live_book_is_the_truth_at_its_number_and_in_the_end_all_is_well(self, snapshots, schedule):
        play(schedule, snapshots=snapshots)

    def test_when_nothing_is_lost_there_is_no_gap(self, snapshots):
        dice = random.Random(3)
        schedule = [("change", [(dice.randint(990, 1010), dice.randint(0, 5), dice.random() < 0.5)]) for _ in range(50)]
        assert (
            play(
                [each for change in schedule for each in (change, ("deliver", ""), ("answer", ""), ("tick", ""))],
                snapshots=snapshots,
            ).gaps
            == 0
        )


def deaf_to_gaps(monkeypatch):
    """O5 left out: whatever comes is applied."""

    def on_live(self, update, kept):
        self._stand_at(kept.numbers.seq)
        return (update,)

    monkeypatch.setattr(Book, "_on_live", on_live)


def any_snapshot_will_do(monkeypatch):
    """O8 without its first half: a snapshot older than the stream is taken."""
    begin = Book._begin_run

    def begin_run(self, kept):
        begin(self, kept)
        self._floor = okx_book.NONE

    monkeypatch.setattr(Book, "_begin_run", begin_run)


def held_for_nothing(monkeypatch):
    """O8 without its second half: the kept messages are dropped."""
    monkeypatch.setattr(Book, "_keep", lambda self, kept: setattr(self, "last", kept.numbers.seq))


@pytest.mark.parametrize(
    ("broken", "snapshots"),
    [(deaf_to_gaps, True), (any_snapshot_will_do, False), (held_for_nothing, False)],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_the_pair_catches_a_broken_book(monkeypatch, broken, snapshots):
    """Else that nothing is found proves nothing."""
    broken(monkeypatch)
    found = False
    for seed in range(200):
        dice = random.Random(seed)
        schedule: list[tuple[str, Any]] = []
        for _ in range(40):
            schedule.append(("change", [(dice.randint(990, 1010), dice.randint(1, 5), False)]))
            schedule.append(("deliver", dice.choice(["", "", "", "lose", "cached"])))
            schedule.append((dice.choice(["answer", "tick", "deliver"]), dice.choice(["", "cached"])))
        try:
            play(schedule, snapshots=snapshots)
        except AssertionError:
            found = True
            break
    assert found


def test_a_snapshot_of_rest_is_never_asked_for_where_one_comes_in_band():
    pair = Pair(snapshots=True)
    pair.end_kindly()
    assert pair.cached == b""
