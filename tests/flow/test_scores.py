"""Scorekeeper: what a book went through, in time that the test hands in."""

import pytest

from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.flow.scores import BookScore, Scorekeeper
from alphapulse_cli.market.trading_status import TradingStatus
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.shm.scores import RowKind, Score, ScoresWriter, read_scores
from alphapulse_cli.wire.delta import BookReason, BookState

MS, SECOND = 1_000_000, 1_000_000_000
START = 1_000 * SECOND
COLD, SYNCING, LIVE, STALE, HALTED = BookState.COLD, BookState.SYNCING, BookState.LIVE, BookState.STALE, BookState.HALTED
TRADING = TradingStatus.TRADING


class Connection:
    """Stands for an Ingest."""

    def __init__(self, *symbols):
        self.symbols = frozenset(symbols)
        self.frame_count = self.byte_count = 0


class Desk:
    """A set, its scorekeeper, and a clock that stands still unless it is moved."""

    def __init__(self, directory):
        self.directory, self.at = directory, START
        self.begin()

    def restart(self):
        """Another writer, which goes on; its counters begin at 0."""
        self.outlet.close()
        self.begin()

    def begin(self):
        self.outlet = Outlet(self.directory, "kraken", "kraken", ["BTC-USD", "ETH-USD"], 0, START)
        file = ScoresWriter(self.directory, "kraken", "kraken", self.outlet.epoch, self.at)
        self.keeper = Scorekeeper(file, self.outlet.counters, lambda: self.at)
        self.book = self.keeper.book("BTC-USD")

    def pass_time(self, ns, *, beats=True):
        """Let time pass, with a heartbeat each 100 ms, or none."""
        end = self.at + ns
        while beats and self.at + 100 * MS <= end:
            self.at += 100 * MS
            self.keeper.beat(self.at)
        self.at = end

    def become(self, state, reason=BookReason.NONE, status=TRADING):
        self.book.changed(state, reason, status)

    def row(self, name="BTC-USD", kind=RowKind.SYMBOL):
        self.keeper.bring_up(self.at)
        return next(row for row in read_scores(self.directory, "kraken").rows if (row.kind, row.name) == (kind, name))

    def scores(self, *scores, name="BTC-USD", kind=RowKind.SYMBOL):
        row = self.row(name, kind)
        return tuple(row.get(score) for score in scores)


@pytest.fixture
def desk(directory):
    return Desk(directory)


class TestValidTime:
    def test_is_the_time_in_which_the_book_was_live(self, desk):
        desk.become(COLD, BookReason.STARTING)
        desk.pass_time(700 * MS)
        desk.become(LIVE)
        desk.pass_time(5 * SECOND + 33)
        desk.become(SYNCING, BookReason.SEQUENCE_GAP)
        desk.pass_time(40 * MS)
        desk.become(LIVE)
        desk.pass_time(SECOND)
        assert desk.scores(Score.OBSERVED_NS, Score.VALID_NS) == (6_740 * MS + 33, 6 * SECOND + 33)

    @pytest.mark.parametrize("state", [COLD, SYNCING, STALE, HALTED])
    def test_no_other_state_is_valid(self, desk, state):
        desk.become(state, BookReason.SILENT)
        desk.pass_time(3 * SECOND)
        assert desk.scores(Score.OBSERVED_NS, Score.VALID_NS) == (3 * SECOND, 0)

    def test_of_a_writer_that_hangs_ends_when_readers_take_it_for_dead(self, desk):
        desk.become(LIVE)
        desk.pass_time(SECOND)
        desk.pass_time(10 * SECOND, beats=False)
        desk.pass_time(SECOND)
        assert desk.scores(Score.OBSERVED_NS, Score.VALID_NS) == (12 * SECOND, 12 * SECOND - (10 * SECOND + 100 * MS - 2 * SECOND))

    def test_the_same_where_a_message_comes_before_the_first_heartbeat(self, desk):
        desk.become(LIVE)
        desk.pass_time(SECOND)
        desk.pass_time(10 * SECOND, beats=False)
        desk.become(SYNCING, BookReason.SEQUENCE_GAP)
        desk.become(LIVE)
        desk.pass_time(SECOND)
        valid_ns = desk.scores(Score.VALID_NS)[0]
        assert valid_ns == SECOND + 2 * SECOND + 900 * MS

    def test_a_retired_book_is_not_observed(self, desk):
        desk.become(LIVE)
        desk.pass_time(SECOND)
        desk.become(STALE, BookReason.RETIRED)
        desk.pass_time(5 * SECOND)
        assert desk.scores(Score.OBSERVED_NS, Score.VALID_NS, Score.BREAKS) == (SECOND, SECOND, 0)
        desk.become(COLD, BookReason.STARTING)  # taken up again
        desk.pass_time(SECOND)
        desk.become(LIVE)
        assert desk.scores(Score.OBSERVED_NS, Score.VALID_NS, Score.BREAKS) == (2 * SECOND, SECOND, 0)
        assert desk.row().healings().count == 0

    def test_a_clock_that_goes_back_takes_nothing_away(self, desk):
        desk.become(LIVE)
        desk.pass_time(SECOND)
        desk.keeper.bring_up(desk.at)
        desk.at -= 500 * MS
        desk.become(LIVE)
        desk.at += 500 * MS
        assert desk.scores(Score.OBSERVED_NS, Score.VALID_NS) == (SECOND, SECOND)


class TestHealing:
    def test_lasts_from_the_end_of_live_to_the_next(self, desk):
        desk.become(LIVE)
        for ms in (30, 30, 50):
            desk.pass_time(SECOND)
            desk.become(SYNCING, BookReason.SEQUENCE_GAP)
            desk.pass_time(ms * MS, beats=False)
            desk.become(LIVE)
        healings = desk.row().healings()
        assert (healings.count, healings.quantile(0.5), healings.quantile(0.99)) == (3, 30, 50)
        assert desk.scores(Score.BREAKS) == (3,)

    def test_includes_the_silence_before_a_lost_connection(self, desk):
        desk.become(LIVE)
        desk.become(STALE, BookReason.SILENT)
        desk.pass_time(SECOND)
        desk.become(SYNCING, BookReason.DISCONNECTED)
        desk.pass_time(40 * MS, beats=False)
        desk.become(LIVE)
        healings = desk.row().healings()
        assert healings.count == 1
        assert 1040 <= healings.quantile(0.5) <= 1040 * 1.032
        assert desk.scores(Score.BREAKS) == (1,)

    def test_silence_alone_is_no_healing(self, desk):
        desk.become(LIVE)
        desk.become(STALE, BookReason.SILENT)
        desk.pass_time(SECOND)
        desk.become(LIVE)
        assert desk.row().healings().count == 0
        assert desk.scores(Score.BREAKS) == (1,)

    def test_nor_is_the_first_snapshot(self, desk):
        desk.become(COLD, BookReason.STARTING)
        desk.become(SYNCING, BookReason.STARTING)
        desk.pass_time(SECOND)
        desk.become(LIVE)
        assert desk.row().healings().count == 0
        assert desk.scores(Score.BREAKS) == (0,)


def test_halts_are_counted_and_timed(desk):
    desk.become(LIVE)
    for status in (TradingStatus.SUSPENDED, TradingStatus.CANCEL_ONLY):
        desk.become(LIVE, BookReason.NONE, status)
        desk.pass_time(2 * SECOND)
    desk.become(LIVE)
    desk.pass_time(SECOND)
    desk.become(LIVE, BookReason.NONE, TradingStatus.AUCTION)
    desk.become(LIVE)
    assert desk.scores(Score.HALTS, Score.RESTRICTED_NS, Score.VALID_NS) == (2, 4 * SECOND, 5 * SECOND)


class TestCounts:
    def test_of_a_symbol_follow_its_counters(self, desk):
        counters = desk.outlet.counters.block("BTC-USD")
        for counter, times in ((Counter.GAPS, 2), (Counter.RESYNCS, 3), (Counter.CHECKSUMS_OK, 5), (Counter.CHECKSUMS_BAD, 1)):
            counters.add(counter, times)
        for counter, times in ((Counter.BOOK_UPDATES, 10), (Counter.TRADES, 4), (Counter.UPDATES_IGNORED, 1), (Counter.FRAMES, 99)):
            counters.add(counter, times)
        wanted = Score.GAPS, Score.RESYNCS, Score.CHECKSUMS_OK, Score.CHECKSUMS_BAD, Score.MESSAGES
        assert desk.scores(*wanted) == (2, 3, 5, 1, 15)

    def test_go_on_with_another_writer_whose_counters_do_not(self, desk):
        counters = desk.outlet.counters.block("BTC-USD")
        counters.add(Counter.GAPS, 2)
        desk.keeper.bring_up(desk.at)
        desk.pass_time(SECOND)
        desk.restart()
        desk.outlet.counters.block("BTC-USD").add(Counter.GAPS, 5)
        assert desk.scores(Score.GAPS) == (7,)

    def test_of_a_connection(self, desk):
        connection = Connection("BTC-USD")
        score = desk.keeper.connection(3, connection)
        desk.pass_time(SECOND)
        score.opened()
        desk.pass_time(5 * SECOND)
        connection.frame_count, connection.byte_count = 7, 700
        score.closed()
        desk.pass_time(2 * SECOND)
        score.closed()  # an attempt that failed
        score.opened()
        desk.pass_time(SECOND)
        wanted = Score.OBSERVED_NS, Score.OPEN_NS, Score.RECONNECTS, Score.MESSAGES, Score.BYTES
        assert desk.scores(*wanted, name="3", kind=RowKind.CONNECTION) == (9 * SECOND, 6 * SECOND, 1, 7, 700)
        assert desk.scores(Score.RECONNECTS, name="", kind=RowKind.SET) == (1,)
        assert desk.row().connection == 3

    def test_of_a_connection_that_was_given_up_stand(self, desk):
        connection = Connection("ETH-USD")
        score = desk.keeper.connection(1, connection)
        score.opened()
        desk.pass_time(SECOND)
        connection.frame_count = 4
        desk.keeper.forget(connection)
        desk.pass_time(5 * SECOND)
        assert desk.scores(Score.OPEN_NS, Score.MESSAGES, name="1", kind=RowKind.CONNECTION) == (SECOND, 4)

    def test_feed_delays_are_of_the_symbol(self, desk):
        desk.keeper.book("ETH-USD")
        for delay_ns in (5 * MS, 7 * MS, -MS):
            desk.outlet.delays.count(desk.outlet.counters.block("BTC-USD"), START + delay_ns, START)
        assert (desk.row().feed_delay().count, desk.row().feed_delay().below_zero) == (2, 1)
        assert desk.row("ETH-USD").feed_delay().count == 0
        assert desk.outlet.counters.feed_delay.read().count == 2


def test_each_book_is_brought_up_once_a_second_whatever_their_number(desk):
    for number in range(35):
        desk.keeper.book(f"S{number}-USD").changed(LIVE, BookReason.NONE, TRADING)
    desk.pass_time(5 * SECOND)
    seen = [row.seen_ns for row in read_scores(desk.directory, "kraken").rows if row.name.startswith("S")]
    assert len(seen) == 35
    assert min(seen) >= desk.at - SECOND


def test_a_symbol_without_room_has_no_score_and_the_others_go_on(desk, monkeypatch):
    monkeypatch.setattr("alphapulse_cli.shm.scores.MOST_ROWS", 3)
    assert desk.keeper.book("ETH-USD") is not None
    assert desk.keeper.book("SOL-USD") is None
    assert desk.keeper.connection(1, Connection("SOL-USD", "BTC-USD")) is None
    desk.keeper.bring_up(desk.at)


class Hasty(BookScore):
    """Takes a hung writer's book for valid."""

    def add_up(self, now_ns):
        held, self._loop.beaten_ns = self._loop.beaten_ns, now_ns
        super().add_up(now_ns)
        self._loop.beaten_ns = held


class Easy(BookScore):
    """Takes any return to LIVE for a healing."""

    def changed(self, state, reason, status):
        self._ails = True
        super().changed(state, reason, status)


class Late(BookScore):
    """Counts a healing from the last change of state on, not from the end of LIVE."""

    def changed(self, state, reason, status):
        was_broken = self._broke_ns
        super().changed(state, reason, status)
        if was_broken and self._broke_ns:
            self._broke_ns = self._loop.now()


class Strict(BookScore):
    """Takes retirement for a break."""

    def changed(self, state, reason, status):
        super().changed(state, BookReason.NONE if reason is BookReason.RETIRED else reason, status)


class Deaf(BookScore):
    """Adds up the time only when it is brought up."""

    def changed(self, state, reason, status):
        at_ns, self._at_ns = self._at_ns, self._loop.now()
        super().changed(state, reason, status)
        self._at_ns = at_ns


class Forgetful(BookScore):
    """Begins at 0 with each writer."""

    def __init__(self, row, counters, loop):
        super().__init__(row, counters, loop)
        self._counted_from = dict.fromkeys(self._counted_from, 0)


class Nervous(BookScore):
    """Counts each status other than TRADING as another halt."""

    def changed(self, state, reason, status):
        self._is_restricted = False
        super().changed(state, reason, status)


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Hasty, TestValidTime.test_of_a_writer_that_hangs_ends_when_readers_take_it_for_dead),
        (Hasty, TestValidTime.test_the_same_where_a_message_comes_before_the_first_heartbeat),
        (Easy, TestHealing.test_silence_alone_is_no_healing),
        (Late, TestHealing.test_includes_the_silence_before_a_lost_connection),
        (Strict, TestValidTime.test_a_retired_book_is_not_observed),
        (Deaf, TestValidTime.test_is_the_time_in_which_the_book_was_live),
        (Forgetful, TestCounts.test_go_on_with_another_writer_whose_counters_do_not),
        (Nervous, lambda _, desk: test_halts_are_counted_and_timed(desk)),
    ],
)
def test_broken_scores_are_caught(broken, test, directory, monkeypatch):
    """The tests above, with a BookScore that is wrong in one way."""
    monkeypatch.setattr("alphapulse_cli.flow.scores.BookScore", broken)
    with pytest.raises(AssertionError):
        test(None, Desk(directory))
