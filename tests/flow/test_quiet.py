"""Books that have grown quiet: when they are checked, what proves them, and what becomes of those that nobody vouches for."""

import json
from typing import Any

import pytest
from support.feeds import DEPTHS, FEEDS, PICTURES, feed_id
from support.flow_parts import SECOND, Replica, River, assert_one_book, listed

from alphapulse_cli.flow.quiet import PROOF_WITHIN_NS, ROUND_BOOKS
from alphapulse_cli.market.requests import Send
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.wire.delta import BookReason, BookState

LIVE, STALE, SYNCING = BookState.LIVE, BookState.STALE, BookState.SYNCING
SYMBOLS = ("BTC-USD", "ETH-USD")
DEEP = [(ticks, 3, is_ask) for is_ask, every in ((False, range(9_000, 9_015)), (True, range(11_000, 11_015))) for ticks in every]


def river_of(directory, feed, symbols=SYMBOLS):
    river = River(directory, feed[0], [listed(feed[0], symbol) for symbol in symbols], mode=feed[1])
    for symbol in symbols:
        river.truth.change(symbol, DEEP)
    return river.connect()


def said(river, symbol="ETH-USD"):
    keeper = river.keeper(symbol)
    return keeper.state, keeper.reason


def goes_on(river, seconds, *, moving=("BTC-USD",), every=1.0, answered=True):
    """Time goes by, and these move; [(second, what ETH-USD is called)] whenever that is another."""
    seen: list[tuple[float, Any]] = []
    step = 0.1
    for tenth in range(1, round(seconds / step) + 1):
        river.tick(step)
        for symbol in moving:
            if tenth % round(every / step) == 0:
                river.change([(9_014, 1 + tenth, False)], symbol)
        if answered:
            river.ask()
        if not seen or seen[-1][1] != said(river):
            seen.append((round(tenth * step, 1), said(river)))
    return seen


def lose(river, changes, symbol="ETH-USD"):
    """It happens in the market, and this connection is never told: its stream of that symbol has died."""
    river.truth.change(symbol, changes)


@pytest.fixture(params=FEEDS, ids=feed_id)
def river(request, directory):
    return river_of(directory, request.param)


def test_beside_it_the_trading_status_is_read_at_most_each_two_minutes(river):
    """A halted market is a quiet one, and Coinbase and Binance tell a halt in their metadata only."""
    goes_on(river, 61)
    before = list(river.done.metadata)
    goes_on(river, 241, moving=())
    reads = river.done.metadata[len(before) :]
    assert [reads.count(path) for path in set(reads)] == [2] * len(set(before))  # an answer may come from several paths


class TestWhenItIsChecked:
    def test_after_ten_seconds_where_messages_usually_come_faster(self, river):
        goes_on(river, 3, moving=SYMBOLS, every=0.2)
        checked = [group for group in self.states_over(river, 12) if group[1] is BookReason.UNCONFIRMED]
        assert len(checked) == 1

    def states_over(self, river, seconds):
        before = len(river.states("ETH-USD"))
        goes_on(river, seconds)
        return river.states("ETH-USD")[before:]

    def test_no_sooner_than_ten_seconds(self, river):
        goes_on(river, 3, moving=SYMBOLS, every=0.2)
        assert self.states_over(river, 9.8) == []

    def test_twenty_times_its_median_interval(self, river):
        goes_on(river, 30, moving=SYMBOLS, every=1.0)
        assert self.states_over(river, 19.8) == []
        assert self.states_over(river, 1)[0] == (LIVE, BookReason.UNCONFIRMED)

    def test_thirty_seconds_at_most_while_another_is_heard(self, river):
        goes_on(river, 50, moving=SYMBOLS, every=5.0)
        assert self.states_over(river, 29.8) == []
        assert self.states_over(river, 1)[0] == (LIVE, BookReason.UNCONFIRMED)

    def test_a_minute_where_none_is(self, river):
        goes_on(river, 50, moving=SYMBOLS, every=5.0)
        assert goes_on(river, 59, moving=())[-1][1] == (LIVE, BookReason.NONE)
        before = len(river.states("ETH-USD"))
        goes_on(river, 3, moving=())
        assert river.states("ETH-USD")[before:][0] == (LIVE, BookReason.UNCONFIRMED)

    def test_however_often_pongs_that_are_late_make_it_stale_and_live_again(self, river):
        """A pong proves the transport: it is no message of the book's, and its silence goes on."""
        goes_on(river, 3, moving=SYMBOLS, every=0.2)
        before = len(river.states("ETH-USD"))
        for _ in range(5):
            goes_on(river, 2, moving=())
            river.ingest.silent(river.now)
            goes_on(river, 1, moving=())
            river.ingest.heard(river.now)
        assert (LIVE, BookReason.UNCONFIRMED) in river.states("ETH-USD")[before:]

    def test_while_nobody_has_answered_that_too_is_unconfirmed(self, river):
        goes_on(river, 3, moving=SYMBOLS, every=0.2)
        goes_on(river, 12, answered=False)
        assert said(river) == (LIVE, BookReason.UNCONFIRMED)
        river.ingest.silent(river.now)
        assert said(river)[0] is STALE
        river.ingest.heard(river.now)
        assert said(river) == (LIVE, BookReason.UNCONFIRMED)

    def test_a_book_that_moves_is_left_alone(self, river):
        goes_on(river, 3, moving=SYMBOLS)
        told = len(river.states("ETH-USD"))
        assert {state for _, state in goes_on(river, 60, moving=SYMBOLS)} == {(LIVE, BookReason.NONE)}
        assert len(river.states("ETH-USD")) == told

    def test_many_are_asked_for_in_few_messages(self, directory):
        """A hundred symbols of Kraken: no more messages than its limit lets through."""
        symbols = [f"S{number}-USD" for number in range(100)]
        desk = River(directory, "kraken", [listed("kraken", symbol) for symbol in symbols])
        for symbol in symbols:
            desk.truth.change(symbol, DEEP)
        desk.connect()
        sent = 0
        for _ in range(600):
            desk.tick(0.1)
            requests = desk.take_requests()
            assert sum(isinstance(request, Send) for request in requests) <= 4
            sent += sum(isinstance(request, Send) for request in requests)
            for request in requests:
                desk._do(request, fail=False)
        assert 2 * len(symbols) // ROUND_BOOKS <= sent <= 40
        assert all(keeper.state is LIVE for keeper in desk.ingest.keepers.values())


class TestWhatProvesIt:
    def test_a_snapshot_that_agrees(self, river):
        goes_on(river, 3, moving=SYMBOLS, every=0.2)
        version = river.keeper("ETH-USD").version
        goes_on(river, 30)
        assert said(river) == (LIVE, BookReason.NONE)
        assert (river.keeper("ETH-USD").version, river.count(Counter.GAPS, "ETH-USD")) == (version, 0)
        assert river.warnings == []

    def test_one_that_differs_is_a_gap_and_the_difference_is_published(self, river):
        """Its stream has died: what was missed is found, counted, and reaches readers as an ordinary group flagged RESYNCED."""
        goes_on(river, 3, moving=SYMBOLS, every=0.2)
        replica = Replica(river.outlet, "ETH-USD").follow()
        lose(river, [(9_100, 5, False), (11_000, 0, True)])
        goes_on(river, 22)
        if (river.exchange.facts.name, river.mode) in PICTURES:  # which comes back with the next picture
            river.change([(9_014, 4, False)], "ETH-USD")
        assert said(river) == (LIVE, BookReason.NONE)
        river.assert_true("ETH-USD", DEPTHS.get((river.exchange.facts.name, river.mode)))
        assert_one_book(river.keeper("ETH-USD"), replica)
        assert river.count(Counter.GAPS, "ETH-USD") == 1

    def test_a_message_that_comes_after_all(self, river):
        goes_on(river, 3, moving=SYMBOLS, every=0.2)
        goes_on(river, 10.5, answered=False)
        assert said(river) == (LIVE, BookReason.UNCONFIRMED)
        river.change([(9_014, 77, False)], "ETH-USD")
        river.tick(0.1)
        assert said(river) == (LIVE, BookReason.NONE)


class TestWhatNobodyVouchesFor:
    def test_is_not_live(self, river):
        goes_on(river, 3, moving=SYMBOLS, every=0.2)
        seen = goes_on(river, 22, answered=False)
        assert [state for _, state in seen] == [(LIVE, BookReason.NONE), (LIVE, BookReason.UNCONFIRMED), (STALE, BookReason.MUTE)]
        asked, gave_up = seen[1][0], seen[2][0]
        assert gave_up - asked == pytest.approx(PROOF_WITHIN_NS / SECOND, abs=0.2)

    def test_frames_about_others_do_not_make_it_live(self, river):
        goes_on(river, 3, moving=SYMBOLS, every=0.2)
        goes_on(river, 22, answered=False)
        river.ingest.silent(river.now)
        river.ingest.heard(river.now)
        assert said(river, "BTC-USD") == (LIVE, BookReason.NONE)
        assert said(river)[0] is STALE

    def test_its_own_do(self, river):
        goes_on(river, 3, moving=SYMBOLS, every=0.2)
        goes_on(river, 22, answered=False)
        river.change([(9_014, 77, False)], "ETH-USD")
        river.tick(0.1)
        assert said(river) == (LIVE, BookReason.NONE)

    def test_a_lost_connection_is_a_lost_connection(self, river):
        goes_on(river, 3, moving=SYMBOLS, every=0.2)
        goes_on(river, 22, answered=False)
        river.disconnect()
        river.tick(0.1)
        assert said(river) == (SYNCING, BookReason.DISCONNECTED)
        river.connect()
        goes_on(river, 1, moving=SYMBOLS, every=0.2)
        assert said(river) == (LIVE, BookReason.NONE)
        assert goes_on(river, 9)[-1][1] == (LIVE, BookReason.NONE)


class TestAFeedThatIsLate:
    """A promised heartbeat stays away: all books are doubted at once (`QuietBooks.doubt`)."""

    def test_every_book_is_asked_for_and_proven(self, directory):
        river = river_of(directory, FEEDS[0])
        goes_on(river, 3, moving=SYMBOLS)
        river.ingest.doubt(river.now, river.monotonic)
        assert {said(river, symbol) for symbol in SYMBOLS} == {(LIVE, BookReason.UNCONFIRMED)}
        river.ask()
        river.tick(0.1)
        assert {said(river, symbol) for symbol in SYMBOLS} == {(LIVE, BookReason.NONE)}
        assert river.count(Counter.GAPS, "ETH-USD") == 0

    def test_what_was_missed_is_a_gap(self, directory):
        river = river_of(directory, FEEDS[0])
        goes_on(river, 3, moving=SYMBOLS)
        lose(river, [(9_014, 999, False)])
        river.ingest.doubt(river.now, river.monotonic)
        river.ask()
        river.tick(0.1)
        assert river.count(Counter.GAPS, "ETH-USD") == 1
        assert river.count(Counter.GAPS, "BTC-USD") == 0
        river.assert_true("ETH-USD", 10)

    def test_nobody_answers(self, directory):
        river = river_of(directory, FEEDS[0])
        goes_on(river, 3, moving=SYMBOLS)
        river.ingest.doubt(river.now, river.monotonic)
        river.ingest.silent(river.now, BookReason.MUTE)
        assert {said(river, symbol) for symbol in SYMBOLS} == {(STALE, BookReason.MUTE)}

    def test_more_than_the_exchange_would_answer_in_time_are_left_to_silence(self, directory):
        symbols = [f"S{number}-USD" for number in range(ROUND_BOOKS + 1)]
        river = river_of(directory, FEEDS[0], symbols)
        river.ingest.doubt(river.now, river.monotonic)
        assert river.take_requests() == []
        assert said(river, "S0-USD") == (LIVE, BookReason.NONE)


@pytest.mark.parametrize("feed", FEEDS[:3], ids="-".join)
def test_a_stream_that_stays_dead_has_the_connection_replaced_each_ten_minutes_at_most(directory, feed):
    """Asked for three times in vain: another connection may have it. All other books pay for that with a moment."""
    river = river_of(directory, feed)
    goes_on(river, 3, moving=SYMBOLS, every=0.2)
    hear = river.hear

    def deaf_to_eth(*frames):
        for frame in frames:
            if b"ETH" not in frame or b'"result"' in frame:
                hear(frame)
            elif b'"sequence_num"' in frame:  # its number counts all the same
                hear(json.dumps(json.loads(frame) | {"channel": "subscriptions", "events": []}).encode())

    river.hear = deaf_to_eth
    goes_on(river, 75)
    assert (said(river), river.done.reconnects) == ((STALE, BookReason.MUTE), [])
    goes_on(river, 500)
    (why,) = river.done.reconnects
    assert why.startswith("no answer to the subscription to the book of ETH")
    assert said(river, "BTC-USD") == (LIVE, BookReason.NONE)
    goes_on(river, 200)
    assert len(river.done.reconnects) == 2
    river.hear = hear
    goes_on(river, 70)
    assert said(river)[0] is LIVE


class TestCrossedInItself:
    """Where a lost message cannot be seen otherwise."""

    @pytest.mark.parametrize(
        ("ask", "too_soon", "found"), [(8_900, 0, True), (9_014, 0, True), (9_015, 0, False), (8_900, 0.5, False)]
    )
    @pytest.mark.parametrize(("feed", "bound"), [(("coinbase", "exchange"), 3), (("bybit", ""), 1)])
    def test_for_three_seconds_is_a_gap_and_for_one_at_bybit(self, directory, feed, bound, ask, too_soon, found):
        seconds = bound + 0.3 - too_soon
        river = river_of(directory, feed)
        river.change([(ask, 1, True)], "ETH-USD")
        river.truth.change("ETH-USD", [(ask, 0, True)])  # the removal that was lost
        goes_on(river, seconds, moving=SYMBOLS[:1])
        assert (river.count(Counter.GAPS, "ETH-USD") == 1) is found
        if found:
            assert (SYNCING, BookReason.CROSSED) in river.states("ETH-USD")
            assert said(river) == (LIVE, BookReason.NONE)
            river.assert_true("ETH-USD", DEPTHS.get(feed))

    @pytest.mark.parametrize("feed", [("coinbase", "exchange"), ("binance-us", "depth20")], ids="-".join)
    def test_for_good_as_in_an_auction_is_looked_at_ever_more_rarely(self, directory, feed):
        """The exchange's own book is crossed: each snapshot shows it again. 3 s, 6, 12, 24, 48, then each minute."""
        river = river_of(directory, feed)
        river.change([(8_900, 1, True)], "ETH-USD")
        goes_on(river, 120, moving=SYMBOLS)
        assert river.count(Counter.GAPS, "ETH-USD") == 5
        river.change([(8_900, 0, True)], "ETH-USD")
        goes_on(river, 1, moving=SYMBOLS)
        river.change([(8_900, 1, True)], "ETH-USD")
        goes_on(river, 3.5, moving=SYMBOLS)
        assert river.count(Counter.GAPS, "ETH-USD") == 6, "once it came apart the first bound holds again"

    def test_not_if_it_comes_apart_in_between(self, directory):
        river = river_of(directory, ("coinbase", "exchange"))
        for _ in range(4):
            river.change([(8_900, 1, True)], "ETH-USD")
            goes_on(river, 2)
            river.change([(8_900, 0, True)], "ETH-USD")
            goes_on(river, 0.2)
        assert river.count(Counter.GAPS, "ETH-USD") == 0

    @pytest.mark.parametrize("feed", [("kraken", ""), ("coinbase", "advanced")], ids="-".join)
    def test_where_a_loss_shows_it_is_the_exchanges_own_affair(self, directory, feed):
        river = river_of(directory, feed)
        river.change([(8_900, 1, True)], "ETH-USD")
        goes_on(river, 5, moving=SYMBOLS)
        assert river.count(Counter.GAPS, "ETH-USD") == 0
        assert river.count(Counter.CROSSED, "ETH-USD") > 0


def test_another_exchanges_decoder_without_confirm_is_left_in_peace(directory, monkeypatch):
    """A plug-in of before: its books are LIVE as they were."""
    monkeypatch.delattr("alphapulse_cli.exchanges.kraken.decoder.Decoder.confirm")
    river = river_of(directory, ("kraken", ""))
    assert {state for _, state in goes_on(river, 70)} == {(LIVE, BookReason.NONE)}


class TestTheProofOfBinance:
    """A small REST snapshot, whose number says what has happened since the stream spoke last."""

    @pytest.fixture(params=["diff", "depth20"])
    def river(self, request, directory):
        return river_of(directory, ("binance-us", request.param))

    def test_a_stream_that_is_found_dead_is_subscribed_to_anew(self, river):
        goes_on(river, 3, moving=SYMBOLS, every=0.2)
        lose(river, [(9_100, 5, False)])
        goes_on(river, 14)
        asked = [json.loads(request.frame) for request in river.requests if isinstance(request, Send)][-2:]
        assert [message["method"] for message in asked] == ["UNSUBSCRIBE", "SUBSCRIBE"]
        assert asked[0]["params"] == asked[1]["params"] == [f"ethusd@{'depth20' if river.mode == 'depth20' else 'depth'}@100ms"]
        assert (SYNCING, BookReason.MUTE) in river.states("ETH-USD")
        assert any("dead stream of a quiet book" in line for line in river.warnings)
        assert river.done.proofs == 2, "the stream has a second to reach what the first one showed"

    def test_a_second_time_soon_after_the_connection_is_replaced(self, river):
        goes_on(river, 3, moving=SYMBOLS, every=0.2)
        lose(river, [(9_100, 5, False)])
        goes_on(river, 22)
        river.change([(9_014, 4, False)], "ETH-USD")
        goes_on(river, 3, moving=SYMBOLS, every=0.2)
        lose(river, [(9_100, 6, False)])
        goes_on(river, 22)
        assert river.done.reconnects == [f"the stream ethusd@{'depth20' if river.mode == 'depth20' else 'depth'}@100ms died again"]

    def test_one_that_is_merely_late_is_not(self, river):
        """The snapshot is ahead by what still is on its way."""
        goes_on(river, 3, moving=SYMBOLS, every=0.2)
        goes_on(river, 9.8)
        river.truth.change("ETH-USD", [(9_014, 50, False)])
        frames = river.encoder.update("ETH-USD", [(9_014, 50, False)], river.now)
        goes_on(river, 0.8)
        assert said(river) == (LIVE, BookReason.UNCONFIRMED)
        river.hear(*frames)
        goes_on(river, 5)
        assert river.warnings == []
        assert (said(river), river.count(Counter.GAPS, "ETH-USD")) == ((LIVE, BookReason.NONE), 0)

    def test_an_old_answer_proves_nothing(self, river):
        """A cache that is behind the stream: asked again, and in the end not LIVE."""
        goes_on(river, 3, moving=SYMBOLS, every=0.2)
        river.rest.respond = lambda *_: (200, b'{"lastUpdateId":1,"bids":[["1.00","1.0"]],"asks":[["2.00","1.0"]]}')
        goes_on(river, 21)
        assert said(river) == (STALE, BookReason.MUTE)
        assert 2 <= river.done.proofs <= 6
        assert river.count(Counter.GAPS, "ETH-USD") == 0

    def test_levels_that_differ_at_the_same_number_are_a_gap(self, river):
        goes_on(river, 3, moving=SYMBOLS, every=0.2)
        right = river.rest.respond
        wrong = lambda path, query, now: (200, right(path, query, now)[1].replace(b'"90.14', b'"90.15'))  # noqa: E731
        river.rest.respond = wrong
        goes_on(river, 10.5)
        river.rest.respond = right
        goes_on(river, 8)
        assert river.count(Counter.GAPS, "ETH-USD") == 1

    @pytest.mark.parametrize("body", [b"{", b"[]", b'{"lastUpdateId":"x","bids":[],"asks":[]}', b'{"lastUpdateId":7}'])
    def test_an_answer_that_is_none_is_counted(self, river, body):
        goes_on(river, 3, moving=SYMBOLS, every=0.2)
        river.rest.respond = lambda *_: (200, body)
        goes_on(river, 11)
        assert river.count(Counter.DECODE_ERRORS) == 1
        assert said(river) == (LIVE, BookReason.UNCONFIRMED)
