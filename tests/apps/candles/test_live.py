"""Candles of running sets: each when it is closed by the set's clock, and equal to those of the files; what was not watched is told."""

import pytest
from support.reader_sets import PAST_NS, Writer, ladder

from alphapulse_cli.apps.candles.live import LiveCandles
from alphapulse_cli.apps.candles.markets import Rule
from alphapulse_cli.apps.candles.rings import SetCandles
from alphapulse_cli.errors import NoSegment
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.wire.delta import BookReason, BookState

S = 1_000_000_000
EVERY = Wanted()
BORDER = PAST_NS // (60 * S) * 60 * S


@pytest.fixture
def directory(tmp_path):
    with open_directory(tmp_path / "segments", create=True) as opened:
        yield opened


class Set(Writer):
    """Set whose clock is the test's: a replay's."""

    def __init__(self, directory, symbols=("BTC-USD",), **options):
        super().__init__(directory, symbols, replay=True, **options)
        self.at(0)

    def at(self, seconds):
        """Let the clock pass to that many seconds behind BORDER."""
        self.now_ns = BORDER + int(seconds * S)
        self.beat()

    def trade(self, name, ticks=100, lots=1, seconds=None, **options):
        exchange_ns = None if seconds is None else BORDER + int(seconds * S)
        self.trades((name, ticks, lots, 0), exchange_ns=exchange_ns, **options)


@pytest.fixture
def one(directory):
    with Set(directory) as made:
        made.snapshot(ladder(4))
        yield made


def following(directory, width="10s", late_s=2.0, start="now", wanted=EVERY, **options):
    return LiveCandles(directory, wanted, Rule(width, round(late_s * S)), start, **options)


def told(candles):
    return [((candle.begin_ns - BORDER) // S, candle.count, candle.late, candle.gap) for candle in candles]


class TestClosing:
    def test_each_is_handed_out_once_it_is_closed(self, directory, one):
        with following(directory) as live:
            one.trade("a", seconds=3)
            one.at(11.9)
            assert live.poll() == []
            one.at(12)
            assert told(live.poll()) == [(0, 1, 0, "")]
            one.at(22)
            assert told(live.poll()) == [(10, 0, 0, "")]

    def test_a_trade_within_the_wait_is_in_it_and_a_later_one_is_told(self, directory, one):
        with following(directory) as live:
            live.poll()
            one.at(11)
            one.trade("a", seconds=9.5)
            one.at(12)
            assert told(live.poll()) == [(0, 1, 0, "")]
            one.trade("b", seconds=9.6)
            one.at(22)
            assert told(live.poll()) == [(10, 0, 1, "")]
            one.trade("c", seconds=9.7)
            live.poll()
            assert live.untold == ["1 trades came too late for their candles, and no candle followed that tells it"]

    def test_none_is_closed_while_records_are_unread(self, directory):
        """The clock is far ahead, and more records wait than one poll reads."""
        with Set(directory) as one:
            one.snapshot(ladder(4))
            with following(directory) as live:
                for number in range(5000):
                    one.trade(str(number), seconds=1)
                one.at(60)
                assert live.poll() == []
                assert live.poll() == []
                assert told(live.poll())[0] == (0, 5000, 0, "")

    def test_symbols_and_sets_are_filtered(self, directory):
        with Set(directory, ("BTC-USD", "ETH-USD")) as one, Set(directory, set_name="second") as second:
            for each in (one, second):
                each.snapshot(ladder(4))
            with following(directory, wanted=Wanted.of(["kraken"], ["ETH-USD", "second:BTC-USD"])) as live:
                for each in (one, second):
                    each.at(12)
                assert {(candle.set_name, candle.symbol) for candle in live.poll()} == {
                    ("kraken", "ETH-USD"),
                    ("second", "BTC-USD"),
                }

    def test_nothing_there(self, directory):
        with pytest.raises(NoSegment):
            following(directory)


class TestWhereItBegins:
    def test_now_is_in_the_middle(self, directory, one):
        one.trade("before", seconds=1)
        one.at(5)
        with following(directory) as live:
            one.trade("a", seconds=6)
            one.at(12)
            assert told(live.poll()) == [(0, 1, 0, "the watch began")]

    def test_oldest_is_the_rings_first_record(self, directory, one):
        one.trade("before", seconds=1)
        one.at(12)
        with following(directory, start="oldest") as live:
            assert told(live.poll()) == [(0, 1, 0, "starting")]

    def test_a_book_that_was_not_live_before(self, directory, one):
        one.keepers["BTC-USD"].set_state(BookState.STALE, BookReason.SILENT, one.now_ns)
        with following(directory) as live:
            live.poll()
            one.at(12)
            assert told(live.poll()) == [(0, 0, 0, "silent")]

    def test_so_long_ago(self, directory, one):
        one.trade("a", seconds=1)
        one.trade("b", seconds=11)
        one.at(25)
        with following(directory, start="oldest", ago_ns=13 * S) as live:
            assert told(live.poll()) == [(10, 1, 0, "")]


class TestGaps:
    def test_records_that_were_missed(self, directory):
        with Set(directory, capacity=64) as one:
            one.snapshot(ladder(4))
            with following(directory) as live:
                one.trade("first", seconds=1)
                live.poll()
                one.at(13)
                for number in range(100):
                    one.trade(str(number), seconds=13)
                one.at(32)
                first, second, third = live.poll()
                assert (first.gap, first.count, second.gap, second.missed + second.count) == (
                    "trades missed",
                    1,
                    "trades missed",
                    100,
                )
                assert second.missed > 0
                assert third.gap == ""

    def test_a_book_that_is_not_live(self, directory, one):
        with following(directory) as live:
            one.at(11)
            one.keepers["BTC-USD"].set_state(BookState.SYNCING, BookReason.SEQUENCE_GAP, one.now_ns)
            one.at(21)
            one.keepers["BTC-USD"].set_state(BookState.LIVE, BookReason.NONE, one.now_ns)
            one.at(42)
            assert [gap for *_, gap in told(live.poll())] == ["", "sequence gap", "sequence gap", ""]

    def test_trades_missed_upstream(self, directory, one):
        with following(directory) as live:
            live.poll()
            one.at(11)
            one.outlet.counters.block("BTC-USD").add(Counter.TRADES_MISSED, 3)
            live.poll()
            one.at(22)
            first, second = live.poll()
            assert (first.missed, second.missed, second.gap) == (0, 3, "trades missed upstream")

    def test_a_lost_connection_of_a_market_without_a_book(self, directory):
        with Outlet(directory, "kraken", "kraken", ["BTC-USD"], 1024, 1, replay=True) as outlet:
            outlet.counters.block("BTC-USD")
            outlet.counters.block().set(Counter.CONNECTIONS, 1)
            outlet.counters.block().set(Counter.CONNECTIONS_OPEN, 1)

            def at(seconds, connections):
                outlet.counters.block().set(Counter.CONNECTIONS_OPEN, connections)
                outlet.beat(clock.monotonic_ns(), BORDER + seconds * S)

            at(0, 1)
            with following(directory) as live:
                live.poll()
                at(5, 0)
                live.poll()
                at(21, 1)
                assert [gap for *_, gap in told(live.poll())] == ["disconnected"]
                at(42, 1)
                assert [gap for *_, gap in told(live.poll())] == ["disconnected", "disconnected", ""]

    def test_another_collector(self, directory):
        first = Set(directory)
        first.snapshot(ladder(4))
        with following(directory) as live:
            first.trade("a", seconds=1)
            live.poll()
            first.close()
            with Set(directory) as second:
                second.at(25)
                second.snapshot(ladder(4))
                second.trade("b", seconds=25)
                second.at(42)
                found = live.poll() + live.poll() + live.poll()
                assert [(begin, count) for begin, count, *_ in told(found)] == [(0, 1), (10, 0), (20, 1), (30, 0)]
                assert ["collector restarted" in candle.gap for candle in found] == [True, True, True, False]
                assert found[-1].gap == ""


def counted(calls, function):
    """The function, and the time of each call in `calls`."""

    def call(self, now_ns):
        calls.append(now_ns)
        function(self, now_ns)

    return call


def test_the_counters_are_not_read_at_each_poll(directory, one, monkeypatch):
    looks: list[int] = []
    monkeypatch.setattr(SetCandles, "_count", counted(looks, SetCandles._count))
    with following(directory) as live:
        for _ in range(5):
            live.poll()
        assert len(looks) == 1
        one.at(1)
        live.poll()
        assert len(looks) == 2
