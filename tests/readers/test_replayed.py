"""Sets that a replay writes: their ages run on the recording's clock, everything calls them replays, and nothing takes them for live.

The writer is in this process, so that the recording's clock moves when the test says so; a live set lies beside where both are meant.
"""

from unittest.mock import patch

import numpy as np
import pytest
from support.reader_sets import PAST_NS, Writer, ladder

import alphapulse_cli as ap
from alphapulse_cli.apps.arb.watch import Watch
from alphapulse_cli.apps.doctor import CheckVerdict, sets
from alphapulse_cli.apps.reconstruct import Books, verify
from alphapulse_cli.apps.replay.steering import CONTROL_NAME
from alphapulse_cli.apps.revive import revival
from alphapulse_cli.apps.segments import describe
from alphapulse_cli.apps.tail import Tail
from alphapulse_cli.cli import board
from alphapulse_cli.errors import UsageError
from alphapulse_cli.flow.arbitrage.candidate import ArbitragePolicy
from alphapulse_cli.flow.merged import MergedFollowers, MergedStep
from alphapulse_cli.readers.items import DeltaGroup, TradeItem
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.readers.status import BookStatus, StatusSource, state_words
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.lease import Lease
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.tui.books.words import NEXT_IN_A_REPLAY, what_next
from alphapulse_cli.tui.feed.advice import advice
from alphapulse_cli.tui.feed.arbitrage_feed import ArbitrageFeed
from alphapulse_cli.tui.feed.feed import ScreenFeed
from alphapulse_cli.tui.feed.picture import Picture, Watched
from alphapulse_cli.tui.feed.set_feed import OneSet
from alphapulse_cli.wire.delta import BookState

SECOND_NS = 1_000_000_000
A_MINUTE_MS = 60_000
MOMENT = "2025-02-19T21:20:03.000Z"
FREE = {"kraken": "0", "coinbase": "0", "binance": "0"}


@pytest.fixture
def directory(shm_dir):
    with open_directory(shm_dir, create=True) as opened:
        yield opened


@pytest.fixture
def past(directory):
    """A replayed set whose recording has gone on for 3 s, of which its book changed at 1.5 s for the last time."""
    with Writer(directory, replay=True) as writer:
        writer.snapshot(ladder(20))
        writer.now_ns += 3 * SECOND_NS // 2
        writer.update([(1_000_000, 7, False)])
        writer.trades(("t1", 1_000_000, 5, 0))
        writer.now_ns += 3 * SECOND_NS // 2
        writer.beat()
        yield writer


@pytest.fixture
def beside(directory):
    """A live set in the same directory."""
    with Writer(directory, set_name="coinbase", exchange="coinbase") as writer:
        writer.snapshot(ladder(20))
        writer.beat()
        yield writer


class TestAges:
    """1,500 ms in the past, by the recording's clock alone; those of the live set are a test's."""

    def test_in_a_status(self, directory, past, beside):
        coinbase, kraken = StatusSource(directory).sample()
        assert (kraken.replay, kraken.recording_ns, kraken.books[0].age_ms) == (True, PAST_NS + 3 * SECOND_NS, 1500.0)
        assert kraken.books[0].state is BookState.LIVE
        assert (coinbase.replay, coinbase.recording_ns) == (False, 0)
        assert 0 <= (coinbase.books[0].age_ms or 0) < A_MINUTE_MS

    def test_stand_still_while_the_replay_is_paused_and_go_back_with_a_seek(self, directory, past):
        source = StatusSource(directory)
        before = source.sample()[0].books[0].age_ms
        past.beat()
        assert source.sample()[0].books[0].age_ms == before == 1500.0
        past.now_ns -= SECOND_NS
        past.beat()
        assert source.sample()[0].books[0].age_ms == 500.0

    def test_are_unknown_before_the_replay_tells_its_time(self, directory):
        with Writer(directory, replay=True) as writer:
            writer.outlet._recording_ns = 0
            for segment in writer.outlet._segments:
                segment.set_recording(0)
            writer.snapshot(ladder(20))
            (status,) = StatusSource(directory).sample()
        assert (status.replay, status.recording_ns, status.books[0].age_ms) == (True, 0, None)

    def test_in_views_of_books(self, directory, past, beside):
        books = Books(directory, Wanted(), "sleep")
        coinbase, kraken = books.views(1)
        books.close()
        assert (kraken.age_ms, kraken.replay, kraken.row()["replay"]) == (1500.0, True, True)
        assert 0 <= (coinbase.age_ms or 0) < A_MINUTE_MS
        assert "replay" not in coinbase.row()

    def test_on_the_live_screen(self, directory, past, beside, shm_dir):
        shown: list[Picture] = []
        feed = ScreenFeed(str(shm_dir), Wanted(), shown.append, lambda error: None)
        feed.step(clock.monotonic_ns())
        feed.stop()
        feed._leave()
        coinbase, kraken = sorted(shown[-1].books, key=lambda book: book.set_name)
        assert (kraken.status.age_ms, kraken.status.replay) == (1500.0, True)
        assert 0 <= (coinbase.status.age_ms or 0) < A_MINUTE_MS
        assert [one.status.name for one in shown[-1].replays] == ["kraken"]

    def test_in_a_tail_from_some_seconds_ago(self, directory, past, beside):
        """Two seconds before now: the replay's now is 3 s after its first record."""
        with Tail(directory, SegmentKind.DELTAS, Wanted(), "oldest", ago_ns=2 * SECOND_NS) as tail:
            told = [(item.set_name, item.replay, item.version) for item in tail.poll() if item.row().get("changes")]
        assert ("kraken", True, 2) in told
        assert ("kraken", True, 1) not in told
        assert not any(is_replay for name, is_replay, _ in told if name == "coinbase")

    def test_for_programs(self, past, beside, shm_dir):
        with ap.DeltaReader("kraken", start="oldest", shm_dir=str(shm_dir)) as reader:
            assert (reader.replay, reader.now_ns()) == (True, PAST_NS + 3 * SECOND_NS)
            assert (reader.now_ns() - np.max(ap.times(reader.poll()).view("i8"))) / 1e6 == 1500.0
        with ap.TradeReader("coinbase", shm_dir=str(shm_dir)) as reader:
            before = clock.realtime_ns()
            assert not reader.replay
            assert before <= reader.now_ns() <= clock.realtime_ns()

    def test_against_our_own_clock_are_found(self, directory, past):
        """What a reader would show that does not know replays."""
        with patch.object(Segment, "now_ns", lambda _: clock.realtime_ns()):
            assert (StatusSource(directory).sample()[0].books[0].age_ms or 0) > 3600 * 24 * 365 * 1000


class TestNothingTakesThemForLive:
    def test_programs_are_told(self, past, beside, shm_dir):
        with (
            ap.follow("kraken", "coinbase", shm_dir=str(shm_dir)) as following,
            ap.Book("kraken", "BTC-USD", shm_dir=str(shm_dir)) as book,
        ):
            past.beat()
            beside.beat()
            found = {update.set_name: update for update in following.poll()}
            assert {name: update.replay for name, update in found.items()} == {"kraken": True, "coinbase": False}
            assert found["kraken"].copy().replay
            assert (book.read().replay, book.read().state) == (True, BookState.LIVE)

    def test_items_say_so(self, directory, past, beside):
        for kind, made in ((SegmentKind.DELTAS, DeltaGroup), (SegmentKind.TRADES, TradeItem)):
            with Tail(directory, kind, Wanted(), "oldest") as tail:
                rows = [item.row() for item in tail.poll() if isinstance(item, made)]
            assert {row["set"] for row in rows if row.get("replay")} == {"kraken"}
            assert not any("replay" in row for row in rows if row["set"] == "coinbase")

    def test_words(self, directory, past, beside):
        coinbase, kraken = StatusSource(directory).sample()
        assert board.set_words(kraken).startswith(f"kraken: REPLAY at {MOMENT}, live, pid ")
        assert board.set_words(coinbase).startswith("coinbase: live, pid ")
        assert state_words(kraken.books[0]) == "LIVE, REPLAY"
        assert [(row["set"], row.get("replay"), row.get("recording")) for row in board.rows([coinbase, kraken])] == [
            ("coinbase", None, None),
            ("kraken", True, "2025-02-19T21:20:03.000000Z"),
        ]
        marks = {row.name: (row.replay, row.recording_ns) for row in describe(directory, lambda _: None)}
        assert marks["kraken_trades"] == marks["kraken_book_BTC-USD"] == (True, PAST_NS + 3 * SECOND_NS)
        assert marks["coinbase_trades"] == (False, None)

    def test_of_the_doctor(self, past, beside, shm_dir):
        found = {finding.check: finding for finding in sets(str(shm_dir))}
        assert found["set kraken"].found == f"REPLAY at {MOMENT}: played from a recording, not live"
        assert found["set kraken"].verdict is CheckVerdict.OK
        assert found["set coinbase"].found == "live"

    def test_one_that_is_over_is_not_to_be_collected_again(self, directory, shm_dir):
        with Writer(directory, replay=True) as writer:
            writer.snapshot(ladder(20))
        (status,) = StatusSource(directory).sample()
        assert revival(directory, status).sentence == "The replay of kraken is over. Play it again: alphapulse replay FILE"
        (finding,) = [one for one in sets(str(shm_dir)) if one.check == "set kraken"]
        assert finding.found == "retired, REPLAY: readable until a replay starts again"

    def test_a_proof_of_one_says_so(self, directory, past):
        (proof,) = verify(directory, Wanted(), 0.0, lambda name: None, "sleep")
        assert proof.row()["replay"] is True


def traded(directory, name, bid, *, replay):
    """A set whose book has a bid of so many ticks and an ask of one tick more."""
    writer = Writer(directory, set_name=name, exchange=name, replay=replay)
    writer.snapshot([(bid, 10**8, False), (bid + 1, 10**8, True)])
    writer.beat()
    return writer


def order_of_two(directory):
    """(set, time in the recording) of the steps of two replayed sets, of which the one publishes its later record first."""
    with (
        traded(directory, "kraken", 1_000_000, replay=True) as kraken,
        traded(directory, "coinbase", 1_000_100, replay=True) as coinbase,
        Watch(directory, Wanted(), ArbitragePolicy(), FREE, "sleep") as watching,
    ):
        watching.settle()
        kraken.now_ns += 2 * SECOND_NS
        kraken.update([(1_000_000, 3, False)])  # the clock has not reached it
        steps = list(watching.steps(clock.monotonic_ns()))
        coinbase.now_ns += SECOND_NS
        coinbase.update([(1_000_100, 3, False)])
        coinbase.now_ns = kraken.now_ns
        kraken.beat()
        coinbase.beat()
        steps += watching.steps(clock.monotonic_ns())
        return [(step.follower.set_name, step.timestamp_ns - PAST_NS) for step in steps]


TIMES = [(1, "kraken"), (2, "kraken"), (6, "kraken"), (3, "coinbase"), (4, "coinbase"), (5, "coinbase"), (7, "coinbase")]


def order_of_many(directory, limit):
    """(second of the recording, set) of the steps of two replayed sets, read so many records at a time."""
    with (
        traded(directory, "kraken", 1_000_000, replay=True) as kraken,
        traded(directory, "coinbase", 1_000_100, replay=True) as coinbase,
        Watch(directory, Wanted(), ArbitragePolicy(), FREE, "sleep") as watching,
    ):
        watching.settle()
        for second, name in TIMES:
            writer = kraken if name == "kraken" else coinbase
            writer.now_ns = PAST_NS + second * SECOND_NS
            writer.update([(1_000_000, 2 + second, False)])
        kraken.now_ns = coinbase.now_ns
        kraken.beat()
        coinbase.beat()
        steps = [step for _ in TIMES for step in watching._merged.poll(clock.monotonic_ns(), limit)]
        return [((step.timestamp_ns - PAST_NS) // SECOND_NS, step.follower.set_name) for step in steps]


class TestArbitrage:
    def test_between_replays_is_found_by_their_records_alone(self, directory):
        """Books of 2025 are not too old, and the events carry the recording's times."""
        with (
            traded(directory, "kraken", 1_000_000, replay=True) as kraken,
            traded(directory, "coinbase", 1_000_100, replay=True) as coinbase,
            Watch(directory, Wanted(), ArbitragePolicy(), FREE, "sleep") as watching,
        ):
            events = watching.settle()
            for writer in (kraken, coinbase):
                writer.now_ns += SECOND_NS
                writer.update([(1_000_000, 2, False)])
                writer.beat()
            events += watching.poll()
            status = watching.status()
            assert [event.opportunity.candidate.buy.name for event in events][:1] == ["kraken"]
            assert all(PAST_NS <= event.at_ns <= PAST_NS + SECOND_NS for event in events)
            assert (status.replay, status.now_ns) == (True, PAST_NS + SECOND_NS)
            assert watching.looks(everything=False)[0]["replay"] is True

    def test_with_a_live_set_is_refused(self, directory, past, beside):
        with pytest.raises(UsageError, match="kraken from a REPLAY cannot be compared with coinbase") as refused:
            Watch(directory, Wanted(), ArbitragePolicy(), FREE, "sleep")
        assert refused.value.hint == "name sets of one kind: --exchange …"
        Watch(directory, Wanted.of(["kraken"], None), ArbitragePolicy(), FREE, "sleep").close()

    def test_one_that_appears_later_is_left_out_with_one_line(self, directory, beside):
        with Watch(directory, Wanted(), ArbitragePolicy(), FREE, "sleep") as watching, Writer(directory, replay=True) as late:
            late.snapshot(ladder(20))
            watching._sets.look_now()
            watching._sets.look_now()
            status = watching.status()
            assert (watching.sets, status.left_out, status.replay) == (["coinbase"], ("kraken",), False)

    def test_the_order_is_the_recordings_however_late_a_set_is_seen(self, directory):
        """A record that is ahead of the recording's clock waits for those of the other set that are published after it."""
        assert order_of_two(directory) == [("coinbase", SECOND_NS), ("kraken", 2 * SECOND_NS)]

    def test_without_waiting_for_the_clock_it_is_that_of_publication(self, directory):
        """Else the test above could not fail."""
        with patch.object(MergedFollowers, "_up_to", lambda _, __, groups: groups):
            assert order_of_two(directory) == [("kraken", 2 * SECOND_NS), ("coinbase", SECOND_NS)]

    def test_what_a_replay_published_last_counts_though_it_has_ended(self, directory):
        with (
            traded(directory, "kraken", 1_000_000, replay=True) as kraken,
            Watch(directory, Wanted(), ArbitragePolicy(), FREE, "sleep") as watching,
        ):
            watching.settle()
            kraken.now_ns += SECOND_NS
            kraken.update([(1_000_000, 3, False)])
            kraken.close()
            steps = [(step.state, step.timestamp_ns) for step in watching.steps(clock.monotonic_ns())]
            assert steps == [(BookState.LIVE, PAST_NS + SECOND_NS), (BookState.STALE, 0)]
            assert list(watching.steps(clock.monotonic_ns())) == []

    @pytest.mark.parametrize("limit", [1, 2, 3])
    def test_the_order_is_the_recordings_however_little_is_read_at_a_time(self, directory, limit):
        assert order_of_many(directory, limit) == sorted(TIMES)

    def test_without_a_look_at_what_is_left_in_a_ring_it_is_that_of_the_reads(self, directory):
        """Else the test above could not fail."""
        with patch.object(MergedFollowers, "_has_more", lambda *_: False):
            assert order_of_many(directory, 1) != sorted(TIMES)

    @pytest.mark.parametrize("is_slow", [False, True], ids=["at once", "late"])
    def test_a_set_ends_between_the_records_of_another_where_it_ended_in_the_recording(self, directory, is_slow):
        with (
            traded(directory, "kraken", 1_000_000, replay=True) as kraken,
            traded(directory, "coinbase", 1_000_100, replay=True) as coinbase,
            Watch(directory, Wanted(), ArbitragePolicy(), FREE, "sleep") as watching,
        ):
            watching.settle()
            steps: list[MergedStep] = []
            for seconds in (1, 3):
                coinbase.now_ns = PAST_NS + seconds * SECOND_NS
                coinbase.update([(1_000_100, seconds, False)])
                coinbase.beat()
                if seconds == 1:
                    kraken.now_ns = PAST_NS + 2 * SECOND_NS
                    kraken.beat()
                    kraken.close()
                    steps += [] if is_slow else watching.steps(clock.monotonic_ns())
            steps += watching.steps(clock.monotonic_ns())
            assert [(step.follower.set_name, step.state.name) for step in steps] == [
                ("coinbase", "LIVE"),
                ("kraken", "STALE"),
                ("coinbase", "LIVE"),
            ]

    def test_on_the_live_screen_leaves_replays_out_where_there_are_live_sets(self, directory, past, beside):
        class Set:
            def __init__(self, name, is_replay):
                self.name = self.exchange = name
                self.is_replay, self.epoch = is_replay, 1

            def clock_ns(self):
                return 1

            def stand(self, now_ns):
                return iter(())

        made = ArbitrageFeed({}).look(directory, [Set("kraken", True), Set("coinbase", False)], clock.monotonic_ns())
        assert made.unknown_fees == ("kraken is left out: it is a REPLAY, the others are live",)
        assert ArbitrageFeed({}).look(directory, [Set("kraken", True)], clock.monotonic_ns()).unknown_fees == ()

    @pytest.mark.parametrize("has_restarted", [False, True])
    def test_on_the_live_screen_ages_by_the_recordings_clock_and_begins_anew_with_a_seek(self, directory, shm_dir, has_restarted):
        """2 s of the recording pass at once: that is the opportunity's age; what was seen before a seek back is told, what came later is not."""
        shown: list[Picture] = []
        marks: list[int] = []
        feed = ScreenFeed(str(shm_dir), Wanted(), shown.append, lambda error: None, FREE, marks.append)
        feed.turn_to("arbitrage")

        def step():
            feed._next_look = feed._next_picture = feed._arbitrage_feed._next = 0
            feed._changed = True
            feed.step(clock.monotonic_ns())
            assert shown[-1].arbitrage is not None
            return shown[-1], shown[-1].arbitrage

        with traded(directory, "kraken", 1_000_000, replay=True) as kraken:
            coinbase = traded(directory, "coinbase", 1_000_100, replay=True)
            step()
            for _ in range(2):
                for writer in (kraken, coinbase):
                    writer.now_ns += SECOND_NS
                    writer.update([(1_000_000, writer.now_ns % 1000 + 2, False)])
                    writer.beat()
                picture, arbitrage = step()
            [row] = [row for row in arbitrage.rows if row.found is not None]
            assert picture.arbitrage_ns == PAST_NS + 2 * SECOND_NS
            assert picture.arbitrage_ns - row.since_ns in (SECOND_NS, 2 * SECOND_NS)
            assert marks[-1] == PAST_NS + 2 * SECOND_NS
            coinbase.update([(1_000_100, 0, False), (1_000_101, 0, True), (1_000_000, 5, False), (1_000_001, 5, True)])
            coinbase.beat()
            _, arbitrage = step()
            assert [(seen.until_ns - PAST_NS, seen.until_ns - seen.since_ns) for seen in arbitrage.seen] == [
                (2 * SECOND_NS, picture.arbitrage_ns - row.since_ns)
            ]
            if has_restarted:  # the replay was sought back to 1 s
                coinbase.close()
                with traded(directory, "coinbase", 1_000_100, replay=True) as again:
                    kraken.now_ns = again.now_ns = PAST_NS + SECOND_NS
                    again.beat()
                    kraken.beat()
                    for _ in range(3):
                        _, arbitrage = step()
                    assert arbitrage.seen == ()
            coinbase.close()
        feed._leave()


class TestAfterASeek:
    """A replay that goes to another time has a new ring, in which it plays again what lies before that time."""

    @staticmethod
    def played(directory, *seconds):
        """A replayed set with trades at these seconds of the recording, the last of which it has reached."""
        writer = Writer(directory, replay=True)
        writer.snapshot(ladder(20))
        for second in seconds:
            writer.now_ns = PAST_NS + second * SECOND_NS
            writer.update([(1_000_000, second + 1, False)])
            writer.trades((f"t{second}", 1_000_000 + second, 5, 0))
        writer.beat()
        return writer

    @pytest.mark.parametrize("is_mutant", [False, True], ids=["forgets", "mutant"])
    @pytest.mark.parametrize(
        ("then", "tape"), [((1, 2), ["t2", "t1"]), ((4, 5, 6), ["t6", "t5", "t4", "t3", "t2", "t1"])], ids=["back", "on"]
    )
    def test_the_tape_has_each_trade_once_and_none_of_a_later_time(self, directory, shm_dir, monkeypatch, then, tape, is_mutant):
        if is_mutant:  # broken mutant: the tape stays as it was
            monkeypatch.setattr(OneSet, "_forget_trades", lambda *_: None)
        shown: list[Picture] = []
        feed = ScreenFeed(str(shm_dir), Wanted(), shown.append, lambda error: None)

        def step():
            feed._next_look = feed._next_second = feed._next_picture = 0
            feed.step(clock.monotonic_ns())
            return [trade.trade_id for trade in shown[-1].trades]

        with self.played(directory, 1, 2, 3, 4, 5):
            step()
            assert step() == ["t5", "t4", "t3", "t2", "t1"]
        with self.played(directory, *then):
            for _ in range(3):
                told = step()
            assert (told == tape) is not is_mutant
            [book] = shown[-1].books
            assert book.last_trade is not None
            assert book.last_trade.trade_id == tape[0]
        feed._leave()

    def test_a_trend_has_a_point_for_each_second_of_the_recording_and_none_of_a_later_one(self, directory, shm_dir):
        shown: list[Picture] = []
        feed = ScreenFeed(str(shm_dir), Wanted(), shown.append, lambda error: None)
        feed.watch(Watched("BTC-USD"))

        def moments():
            for _ in range(3):
                feed._next_look = feed._next_second = feed._next_picture = 0
                feed.step(clock.monotonic_ns())
            return [None if one is None else one.mid for one in shown[-1].books[0].history]

        with self.played(directory, 1) as writer:
            before = len(moments())
            assert len(moments()) == before  # our seconds are not those of the recording
            writer.now_ns += SECOND_NS
            writer.beat()
            assert len(moments()) == before + 1
            writer.now_ns += 3 * SECOND_NS
            writer.beat()
            assert [mid is None for mid in moments()[before + 1 :]] == [True, True, False]
            writer.now_ns -= 4 * SECOND_NS
            writer.beat()
            assert moments() == []
        feed._leave()

    def test_a_book_that_is_still_hidden_is_not_shown_for_live(self, directory):
        """A seek plays what lies before its time with images that others can open, and rings that they cannot."""
        with self.played(directory, 1):
            pass
        source = StatusSource(directory)
        assert source.sample()[0].books[0].state is BookState.STALE
        with Writer(directory, replay=True, is_hidden=True) as hidden:
            hidden.snapshot(ladder(20))
            [book] = source.sample()[0].books
            assert (book.state, book.bid) == (BookState.COLD, "")
            hidden.outlet.show()
            hidden.beat()
            assert source.sample()[0].books[0].state is BookState.LIVE

    def test_a_set_that_has_ended_while_its_replay_runs_is_not_called_over(self, directory, shm_dir):
        with self.played(directory, 1):
            pass
        (status,) = StatusSource(directory).sample()
        with Lease.acquire(directory, CONTROL_NAME):
            told = revival(directory, status)
            assert told is not None
            assert "goes to another time, or its recording has nothing" in told.sentence
            assert advice("dir", Wanted(), [], ["a", "b"], {"a": told.sentence, "b": told.sentence}) == told.sentence
            assert "alphapulse" not in told.sentence
        (directory.path / f"{CONTROL_NAME}.lock").unlink()  # as if its process had ended
        over = revival(directory, status)
        assert over is not None
        assert over.sentence.startswith("The replay of kraken is over")

    @pytest.mark.parametrize("reason", NEXT_IN_A_REPLAY)
    def test_what_comes_next_is_in_the_recording_and_needs_no_network(self, reason):
        told = [
            what_next(BookStatus("kraken", "BTC-USD", BookState.STALE, reason, replay=is_replay)) for is_replay in (False, True)
        ]
        assert told[0] != told[1]
        assert any(word in told[1] for word in ("recording", "replay"))
        assert "network" not in told[1]
