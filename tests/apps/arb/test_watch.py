"""The watch over real segments, and `arb watch`, `scan`, `history` and `explain` as processes of their own."""

import json

import pytest
from support.app_parts import wait_until
from support.reader_sets import Writer, kept_alive

from alphapulse_cli.apps.arb.watch import Watch
from alphapulse_cli.errors import NoSegment
from alphapulse_cli.flow.arbitrage.candidate import ArbitragePolicy, RejectReason
from alphapulse_cli.flow.arbitrage.exact import parse
from alphapulse_cli.flow.arbitrage.opportunity import EventKind
from alphapulse_cli.readers import sets as sets_module
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.wire.delta import BookReason, BookState

FREE = {"kraken": "0", "coinbase": "0"}
APART = [(9_900, 10**8, False), (10_000, 10**8, True)]  # 99 bid, 100 ask
DEARER = [(10_100, 5 * 10**7, False), (10_200, 10**8, True)]  # 101 bid for a half
WIDE = [(9_900, 10**8, False), (10_500, 10**8, True)]


def refreshed(writer):
    """The moment at which its next message is received."""
    writer.now_ns = clock.realtime_ns()
    return writer


@pytest.fixture
def sets(shm_dir):
    """Kraken and Coinbase, one book each, alive."""
    with (
        open_directory(shm_dir, create=True) as directory,
        Writer(directory) as kraken,
        Writer(directory, set_name="coinbase", exchange="coinbase") as coinbase,
    ):
        yield directory, kraken, coinbase


def watch(directory, fees=FREE, wanted=None, **policy):
    return Watch(directory, wanted or Wanted(), ArbitragePolicy(**policy), fees, "sleep")


def told(events):
    return [(event.kind, event.finding.net.text) for event in events]


class TestTheWatch:
    def test_finds_what_is_there_when_it_begins(self, sets):
        directory, kraken, coinbase = sets
        kraken.snapshot(APART)
        coinbase.snapshot(DEARER)
        with watch(directory) as watching:
            (event,) = watching.settle()
            assert (event.kind, event.finding.size.text, event.finding.net.text) == (EventKind.OPENED, "0.5", "0.5")
            assert (event.opportunity.candidate.buy.name, event.opportunity.candidate.sell.name) == ("kraken", "coinbase")
            assert not event.opportunity.is_birth_seen

    def test_sees_every_change_though_many_come_between_two_polls(self, sets):
        """Ten births and ten deaths, all in the rings before the next poll."""
        directory, kraken, coinbase = sets
        kraken.snapshot(APART)
        coinbase.snapshot(WIDE)
        with watch(directory) as watching:
            assert watching.settle() == []
            for _ in range(10):
                refreshed(coinbase).update([(10_100, 10**8, False)])
                refreshed(coinbase).update([(10_100, 0, False)])
            events = watching.poll()
            assert [event.kind for event in events] == [EventKind.OPENED, EventKind.CLOSED] * 10
            assert [event.at_ns for event in events] == sorted(event.at_ns for event in events)
            assert all(event.opportunity.is_birth_seen for event in events)

    def test_takes_the_groups_of_two_sets_in_the_order_of_their_messages(self, sets):
        """Kraken's ask rises before Coinbase's bid does: they never cross, though Coinbase is read first."""
        directory, kraken, coinbase = sets
        kraken.snapshot(APART)
        coinbase.snapshot(WIDE)
        with watch(directory) as watching:
            watching.settle()
            refreshed(kraken).update([(10_000, 0, True), (10_500, 10**8, True)])
            refreshed(coinbase).update([(10_100, 10**8, False)])
            assert watching.poll() == []

    def test_a_lapped_book_gives_nothing_until_it_is_whole(self, sets, shm_dir):
        directory, kraken, coinbase = sets
        kraken.snapshot(APART)
        coinbase.snapshot(WIDE)
        with Writer(directory, set_name="binance-us", exchange="binance-us", capacity=64) as small:
            small.snapshot(WIDE)
            with watch(directory, {**FREE, "binance-us": "0"}) as watching:
                watching.settle()
                for turn in range(200):
                    refreshed(small).update([(10_100, 10**8 + turn, False)])
                events = watching.poll()
                assert watching.missed > 0
                assert told(events) == [(EventKind.OPENED, "1")]
                assert not events[0].opportunity.is_birth_seen

    def test_goes_on_after_the_clock_was_set_back(self, sets, monkeypatch):
        """By an hour: what comes then is an hour older than what came before, and not too old."""
        directory, kraken, coinbase = sets
        monkeypatch.setattr(sets_module, "LOOK_EVERY_NS", 0)
        back_ns = 0
        kraken.snapshot(APART)
        coinbase.snapshot(DEARER)
        policy = ArbitragePolicy(max_age_ns=2_000_000_000)
        with Watch(directory, Wanted(), policy, FREE, "sleep", now_ns=lambda: clock.realtime_ns() - back_ns) as watching:
            assert told(watching.settle()) == [(EventKind.OPENED, "0.5")]
            assert watching.poll() == []
            back_ns = 3600 * 10**9
            (event,) = watching.poll()
            assert (event.kind, event.why) == (EventKind.CLOSED, RejectReason.UNWATCHED)
            for writer, size in ((kraken, 1), (coinbase, 2)):
                refreshed(writer).now_ns -= back_ns
                writer.update([(9_000, size, False)])
            (event,) = watching.poll()
            assert (event.kind, event.opportunity.candidate.buy.name) == (EventKind.OPENED, "kraken")
            assert event.at_ns < clock.realtime_ns() - back_ns + 10**9
            kinds = [one.kind for one in wait_until(watching.poll)]
            assert kinds == [EventKind.CLOSED], "and grows too old in its time"

    def test_a_silent_writers_book_ends_it(self, sets):
        directory, kraken, coinbase = sets
        kraken.snapshot(APART)
        coinbase.snapshot(DEARER)
        with watch(directory) as watching:
            watching.settle()
            coinbase.close()
            (event,) = wait_until(watching.poll)
            assert (event.kind, event.why) == (EventKind.CLOSED, RejectReason.NOT_LIVE)
            assert watching.status().not_live == ("coinbase:BTC-USD STALE retired",)

    def test_a_status_ends_it_at_once(self, sets):
        directory, kraken, coinbase = sets
        kraken.snapshot(APART)
        coinbase.snapshot(DEARER)
        with watch(directory) as watching:
            watching.settle()
            coinbase.keepers["BTC-USD"].set_state(BookState.SYNCING, BookReason.SEQUENCE_GAP, clock.realtime_ns())
            (event,) = watching.poll()
            assert (event.why, dict(watching.status().refused)) == (RejectReason.NOT_LIVE, {RejectReason.NOT_LIVE: 1})

    def test_growing_old_ends_it_though_nothing_comes(self, sets):
        directory, kraken, coinbase = sets
        refreshed(kraken).snapshot(APART)
        refreshed(coinbase).snapshot(DEARER)
        with watch(directory, max_age_ns=300_000_000) as watching:
            (born,) = watching.settle()
            (event,) = wait_until(watching.poll)
            assert (event.why, event.at_ns) == (RejectReason.TOO_OLD, kraken.now_ns + 300_000_001)
            assert born.opportunity is event.opportunity

    def test_a_check_does_not_make_a_book_younger(self, sets):
        directory, kraken, coinbase = sets
        refreshed(kraken).snapshot(APART)
        refreshed(coinbase).snapshot(DEARER)
        with watch(directory, max_age_ns=300_000_000) as watching:
            watching.settle()
            changed_ns = kraken.now_ns

            def polled():
                refreshed(kraken).check()
                return watching.poll()

            (event,) = wait_until(polled)
            assert (event.why, event.at_ns) == (RejectReason.TOO_OLD, changed_ns + 300_000_001)

    def test_a_set_that_comes_later_is_taken_in(self, shm_dir):
        with open_directory(shm_dir, create=True) as directory, Writer(directory) as kraken:
            kraken.snapshot(APART)
            with watch(directory) as watching:
                watching.settle()
                with Writer(directory, set_name="coinbase", exchange="coinbase") as coinbase:
                    coinbase.snapshot(DEARER)
                    assert told(wait_until(watching.poll)) == [(EventKind.OPENED, "0.5")]

    def test_a_new_writers_book_is_another_chance(self, sets):
        directory, kraken, coinbase = sets
        kraken.snapshot(APART)
        coinbase.snapshot(DEARER)
        with watch(directory) as watching:
            watching.settle()
            coinbase.close()
            wait_until(watching.poll)
            with Writer(directory, set_name="coinbase", exchange="coinbase") as again:
                again.snapshot(DEARER)
                assert told(wait_until(watching.poll)) == [(EventKind.OPENED, "0.5")]

    def test_books_that_convert_are_read_though_only_others_were_asked_for(self, shm_dir):
        with (
            open_directory(shm_dir, create=True) as directory,
            Writer(directory, symbols=("BTC-USDT",)) as kraken,
            Writer(directory, symbols=("BTC-USD", "USDT-USD", "ETH-USD"), set_name="coinbase", exchange="coinbase") as coinbase,
        ):
            kraken.snapshot(APART, "BTC-USDT")
            coinbase.snapshot(DEARER, "BTC-USD")
            coinbase.snapshot([(99, 10**12, False), (100, 10**12, True)], "USDT-USD")
            wanted = Wanted.of(None, ["BTC-USDT", "BTC-USD"])
            with watch(directory, wanted=wanted) as watching:
                (event,) = watching.settle()
                assert (event.finding.net.text, event.note) == ("0.5", "coinbase:USDT-USD at 1")
                assert {symbol for _, symbol in watching.detector.markets} == {"BTC-USDT", "BTC-USD", "USDT-USD"}

    def test_the_exchanges_rules_come_from_the_images(self, sets):
        directory, kraken, coinbase = sets
        assert kraken.keepers["BTC-USD"].use_metadata(
            kraken.keepers["BTC-USD"].instrument.with_rules(1, 3 * 10**7, 0), kraken.now_ns
        )
        kraken.snapshot(APART)
        coinbase.snapshot(DEARER)
        with watch(directory) as watching:
            (event,) = watching.settle()
            assert event.finding.size.text == "0.3"

    def test_nothing_to_watch_says_what_to_do(self, shm_dir):
        with open_directory(shm_dir, create=True) as directory, pytest.raises(NoSegment):
            watch(directory)


class TestTheCommands:
    FEES = ("--fee", "kraken=0,coinbase=0.001", "--max-age", "1h")  # however long commands take to start

    @pytest.fixture
    def beating(self, sets):
        """The sets, whose books do not go stale however long a command takes to start."""
        _, kraken, coinbase = sets
        with kept_alive(kraken), kept_alive(coinbase):
            yield sets

    def test_watch_scan_history_and_explain_tell_of_the_same(self, alphapulse, beating):
        _, kraken, coinbase = beating
        kraken.snapshot(APART)
        coinbase.snapshot(DEARER)
        found = alphapulse("arb", "scan", *self.FEES)
        (seen,) = map(json.loads, found.stdout.splitlines())
        assert (found.code, seen["size"], seen["net"], seen["net_bps"]) == (0, "0.5", "0.4495", "89.9")
        watched = alphapulse("arb", "watch", *self.FEES, "--duration", "500ms")
        opened, closed = map(json.loads, watched.stdout.splitlines())
        assert (opened["event"], closed["event"], closed["why"]) == ("opened", "closed", "unwatched")
        assert (opened["net"], opened["size"], opened["buy"], opened["sell"]) == ("0.4495", "0.5", "kraken", "coinbase")
        (kept,) = map(json.loads, alphapulse("arb", "history").stdout.splitlines())
        assert (kept["id"], kept["net"], kept["is_unwatched"], kept["is_from_start"]) == (opened["id"], "0.4495", True, True)
        why = json.loads(alphapulse("arb", "explain", opened["id"][:4]).stdout)
        assert (why["paid"], why["got"], why["buy_fee_paid"], why["sell_fee_paid"]) == ("50", "50.5", "0", "0.0505")
        assert why["asks"][0] == ["100.00", "1.00000000"]
        assert why["bids"][0] == ["101.00", "0.50000000"]
        assert why["walk"] == [["100.00", "101.00", "0.5", "0.4495"]]

    def test_scan_exits_1_where_there_is_nothing_and_tells_why(self, alphapulse, beating):
        _, kraken, coinbase = beating
        kraken.snapshot(APART)
        coinbase.snapshot(DEARER)
        coinbase.keepers["BTC-USD"].set_state(BookState.STALE, BookReason.SILENT, coinbase.now_ns)
        found = alphapulse("arb", "scan", "--all", *self.FEES)
        rows = [json.loads(line) for line in found.stdout.splitlines()]
        assert found.code == 1
        assert [(row["buy"], row["verdict"]) for row in rows] == [("kraken", "not_live"), ("coinbase", "no profit")]
        assert "coinbase:BTC-USD STALE silent: not used" in found.stderr

    def test_configured_fees_hold(self, alphapulse, beating):
        _, kraken, coinbase = beating
        kraken.snapshot(APART)
        coinbase.snapshot(DEARER)
        fees = {"ALPHAPULSE_KRAKEN_TAKER_FEE": "0", "ALPHAPULSE_COINBASE_TAKER_FEE": "0"}
        assert json.loads(alphapulse("arb", "scan", "--max-age", "1h", **fees).stdout)["net"] == "0.5"
        assert alphapulse("arb", "scan", "--max-age", "1h").code == 1  # the exchanges' own eat it

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["watch", "--fee", "kraken=26"], "not a taker fee"),
            (["watch", "--fee", "nowhere=0.1"], "not a fee"),
            (["watch", "--size", "0"], "a size of 0 allows nothing"),
            (["watch", "--min-bps", "-3"], "not a number of basis points"),
            (["watch", "--max-age", "soon"], "not a duration"),
            (["scan", "--notional", "1e999"], "not a notional"),
            (["history", "--show", "everything"], "unknown --show"),
            (["history", "--after", "1.5"], "not milliseconds"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, alphapulse, sets, options, said):
        done = alphapulse("arb", *options)
        assert (done.code, done.stdout) == (2, "")
        assert said in done.stderr
        assert "hint:" in done.stderr

    def test_nothing_collected_and_nothing_kept(self, alphapulse):
        assert alphapulse("arb", "watch").code == 3
        for command in (["history"], ["explain", "last"]):
            done = alphapulse("arb", *command)
            assert done.code == 2
            assert "no opportunities were kept yet" in done.stderr

    def test_an_unknown_symbol_is_named(self, alphapulse, beating):
        done = alphapulse("arb", "scan", "--symbols", "BTC-UDS")
        assert done.code == 3
        assert "did you mean BTC-USD" in done.stderr

    def test_a_store_that_cannot_be_written_does_not_stop_the_watch(self, alphapulse, beating, tmp_path):
        _, kraken, coinbase = beating
        kraken.snapshot(APART)
        coinbase.snapshot(DEARER)
        (tmp_path / "store").mkdir()
        done = alphapulse("arb", "watch", *self.FEES, "--duration", "300ms", "--store", str(tmp_path / "store"))
        assert done.code == 0
        assert len(done.stdout.splitlines()) == 2
        assert "opportunities are not kept" in done.stderr


def test_python_sees_the_same(sets, shm_dir):
    import alphapulse_cli as ap

    _, kraken, coinbase = sets
    kraken.snapshot(APART)
    coinbase.snapshot(DEARER)
    policy = ap.ArbitragePolicy(size=parse("0.2"))
    with ap.arbitrage("kraken", "coinbase", policy=policy, fees=FREE, shm_dir=str(shm_dir)) as events:
        event = next(iter(events))
        assert (event.kind, event.finding.net.text, events.status.open) == ("opened", "0.2", 1)
