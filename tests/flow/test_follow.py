"""From the other side: whole groups, exact replicas, laps healed, restarts followed."""

import os
import random
import signal
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.reader_sets import Overtaken, Writer, assert_same_book, ladder, random_rows
from support.shm_processes import child

from alphapulse_cli.book.reconstruct import ColdReason
from alphapulse_cli.errors import NoSegment, WrongLayout
from alphapulse_cli.flow.follow import SetFollower, states_of
from alphapulse_cli.flow.groups import GroupReader
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.cursor import list_cursors
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.segment import Segment, SegmentSpec
from alphapulse_cli.wire import delta
from alphapulse_cli.wire.delta import FIRST, LAST, BookReason, BookState

FLAGS_AT = delta.offsets()["flags"]


@pytest.fixture
def directory(tmp_path):
    with open_directory(tmp_path / "segments", create=True) as opened:
        yield opened


def drained(reader, limit=2048, later_s=0.0):
    """Everything a reader or follower gets until nothing is left: (group sizes, missed). Its clock is ours, or so much later."""
    sizes, missed = [], 0
    while True:
        polled = reader.poll(clock.monotonic_ns() + int(later_s * 1e9), limit)
        missed += polled.missed
        flags = bytes(polled.records[FLAGS_AT :: delta.DELTA_BYTES])
        assert len(flags) == polled.record_count
        size = 0
        for flag in flags:
            assert bool(flag & FIRST) == (size == 0)
            size += 1
            if flag & LAST:
                sizes.append(size)
                size = 0
        assert size == 0, "a group was cut"
        groups = reader.groups if isinstance(reader, SetFollower) else reader
        if not polled.record_count and not polled.missed and not groups.reader.lag:
            return sizes, missed


def until(condition, limit_s=10.0):
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.001)


class TestWholeGroups:
    @pytest.mark.parametrize("limit", [1, 2, 3, 5, 7, 64, 2048])
    def test_groups_of_13_and_1000_changes_however_reads_are_cut(self, directory, limit):
        with Writer(directory) as writer:
            reader, follower = GroupReader(directory, "kraken", SegmentKind.DELTAS), SetFollower(directory, "kraken")
            writer.snapshot(ladder(2000))
            follower.poll(clock.monotonic_ns())
            writer.update(ladder(13, 50))
            writer.update(ladder(1000, 70))
            writer.check()
            assert drained(reader, limit) == ([1, 1, 2, 84, 1], 0)
            drained(follower, limit)
            assert_same_book(follower.books["BTC-USD"], writer.book())
            assert follower.checks("BTC-USD") == (1, 0)

    @pytest.mark.parametrize("limit", [1, 97, 2048, 16_384])
    def test_a_group_of_45827_changes(self, directory, limit):
        with Writer(directory) as writer:
            writer.snapshot(ladder(45_827))
            reader, follower = GroupReader(directory, "kraken", SegmentKind.DELTAS), SetFollower(directory, "kraken")
            writer.update(ladder(45_827, 2))
            writer.check()
            assert drained(reader, limit) == ([3819, 1], 0)
            joins = follower.joins
            drained(follower, limit)
            assert_same_book(follower.books["BTC-USD"], writer.book())
            assert (follower.checks("BTC-USD"), follower.joins) == ((1, 0), joins)

    def test_a_ring_read_from_its_oldest_record_begins_at_a_group(self, directory):
        with Writer(directory, capacity=64) as writer:
            writer.snapshot(ladder(400))
            for round_ in range(20):
                writer.update(ladder(60, 2 + round_))
            sizes, missed = drained(GroupReader(directory, "kraken", SegmentKind.DELTAS, "oldest"), 7)
            assert (set(sizes), missed) == ({5}, 0)
            assert len(sizes) == 12

    def test_a_group_without_an_end_is_given_up_and_counted(self, directory):
        """Only a broken writer makes one: it must not be held for ever."""
        with Writer(directory, capacity=64) as writer:
            writer.snapshot(ladder(40))
            reader = GroupReader(directory, "kraken", SegmentKind.DELTAS)
            endless = bytearray(delta.DELTA_BYTES)
            for number in range(100):
                endless[FLAGS_AT] = FIRST if number == 0 else 0
                writer.outlet.deltas.publish(bytes(endless), 1)
                assert reader.poll(clock.monotonic_ns()).record_count == 0
            assert reader.missed == 100
            writer.update(ladder(20, 9))
            assert drained(reader) == ([2], 0)

    def test_a_held_group_does_not_survive_a_lap(self, directory):
        """Its first half was read, its second half overwritten: nothing of it is delivered."""
        with Writer(directory, capacity=64) as writer:
            writer.snapshot(ladder(400))
            reader, follower = GroupReader(directory, "kraken", SegmentKind.DELTAS), SetFollower(directory, "kraken")
            writer.update(ladder(120, 3))  # 10 records
            assert reader.poll(clock.monotonic_ns(), 4).record_count == 0
            assert follower.poll(clock.monotonic_ns(), 4).record_count == 0
            for round_ in range(20):
                writer.update(ladder(60, 4 + round_))
            sizes, missed = drained(reader, 9)
            assert set(sizes) == {5}
            assert missed > 0
            drained(follower, 9)
            assert_same_book(follower.books["BTC-USD"], writer.book())


steps = st.lists(
    st.one_of(
        st.tuples(st.just("update"), st.integers(1, 80)),
        st.tuples(st.just("poll"), st.integers(1, 30)),
        st.tuples(st.just("snapshot"), st.integers(1, 200)),
        st.tuples(st.just("join"), st.just(0)),
        st.tuples(st.just("regrid"), st.integers(0, 1)),
    ),
    max_size=40,
)


class TestReplicasAreExact:
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(history=steps, seed=st.integers(0, 1000))
    def test_whatever_happens_and_however_it_is_read(self, tmp_path_factory, history, seed):
        """Small rings lap, groups are cut, readers join at any moment, books are replaced and regridded: every reader ends equal."""
        with (
            open_directory(tmp_path_factory.mktemp("sets") / "s", create=True) as directory,
            Writer(directory, ("BTC-USD", "ETH-USD"), capacity=64) as writer,
        ):
            dice = random.Random(seed)
            followers = [SetFollower(directory, "kraken")]
            for what, amount in history:
                symbol = dice.choice(["BTC-USD", "ETH-USD"])
                match what:
                    case "update":
                        writer.update(random_rows(dice, amount), symbol)
                    case "poll":
                        dice.choice(followers).poll(amount)
                    case "snapshot":
                        writer.snapshot(ladder(amount, dice.randrange(1, 9)), symbol)
                    case "join":
                        followers.append(SetFollower(directory, "kraken", start=dice.choice(["now", "oldest"])))
                    case "regrid":
                        keeper = writer.keepers[symbol]
                        grid = keeper.instrument
                        keeper.regrid(min(grid.price_decimals + amount, 9), grid.size_decimals, writer.now_ns)
            for symbol in writer.keepers:
                writer.check(symbol)
            for follower in followers:
                drained(follower, dice.randrange(1, 40))
                assert follower.checks_bad == 0
                for symbol, keeper in writer.keepers.items():
                    assert_same_book(follower.books[symbol], keeper.book)
                    assert follower.books[symbol].version == keeper.version
                    assert not {ColdReason.CHAIN_BROKEN, ColdReason.CHECK_FAILED, ColdReason.GROUP_WITHOUT_FIRST} & set(
                        follower.breaks[symbol]
                    )
                    assert follower.state(symbol, clock.monotonic_ns())[0] is keeper.state

    def test_a_late_joiner_holds_the_exact_book_at_once(self, directory):
        with Writer(directory) as writer:
            writer.snapshot(ladder(45_827))
            dice = random.Random(3)
            for _ in range(300):
                writer.update(random_rows(dice))
            writer.beat()
            now_ns = clock.monotonic_ns()  # a slow machine takes longer for the copy than the writer may be silent
            follower = SetFollower(directory, "kraken")
            assert_same_book(follower.books["BTC-USD"], writer.book())
            assert follower.state("BTC-USD", now_ns) == (BookState.LIVE, BookReason.NONE)

    def test_a_regrid_and_an_oversize_group_are_resets_that_heal(self, directory):
        with Writer(directory, capacity=64) as writer:
            writer.snapshot(ladder(400))
            follower = SetFollower(directory, "kraken")
            writer.keepers["BTC-USD"].regrid(4, 9, writer.now_ns)
            drained(follower)
            assert_same_book(follower.books["BTC-USD"], writer.book())
            assert follower.books["BTC-USD"].book.price_decimals == 4
            writer.update(ladder(400, 7))  # 34 records, a quarter of the ring are 16
            drained(follower)
            assert_same_book(follower.books["BTC-USD"], writer.book())
            assert follower.breaks["BTC-USD"] == {ColdReason.RESET: 2}

    def test_a_book_without_an_image_is_not_made_up(self, directory):
        """A ring full of garbage names makes no books and raises nothing."""
        with Writer(directory) as writer:
            writer.snapshot(ladder(10))
            follower = SetFollower(directory, "kraken")
            for name in (b"\xff\xfe../x", b"../../etc/passwd", b"", b"ETH-USD"):
                record = bytearray(delta.DELTA_BYTES)
                record[8:24] = name.ljust(16, b"\0")
                record[FLAGS_AT] = FIRST | LAST
                writer.outlet.deltas.publish(bytes(record), 1)
            drained(follower)
            assert list(follower.books) == ["BTC-USD"]

    def test_books_that_appear_later_are_found(self, directory):
        with Writer(directory, ("BTC-USD", "ETH-USD")) as writer:
            (directory.path / "kraken_book_ETH-USD").rename(directory.path / "aside")
            follower = SetFollower(directory, "kraken")
            assert set(follower.books) == {"BTC-USD"}
            (directory.path / "aside").rename(directory.path / "kraken_book_ETH-USD")
            writer.snapshot(ladder(10), "ETH-USD")
            drained(follower)
            assert_same_book(follower.books["ETH-USD"], writer.book("ETH-USD"))

    def test_only_the_books_asked_for(self, directory):
        with Writer(directory, ("BTC-USD", "ETH-USD")) as writer:
            follower = SetFollower(directory, "kraken", ["ETH-USD"])
            writer.snapshot(ladder(10), "BTC-USD")
            drained(follower)
            assert set(follower.books) == {"ETH-USD"}


class TestLaps:
    def test_a_lapped_reader_is_told_and_heals(self, directory):
        with Writer(directory, capacity=64) as writer:
            writer.snapshot(ladder(100))
            follower = SetFollower(directory, "kraken")
            dice = random.Random(1)
            for _ in range(500):
                writer.update(random_rows(dice))
            _, missed = drained(follower)
            assert missed > 300
            assert follower.groups.missed == missed
            assert_same_book(follower.books["BTC-USD"], writer.book())
            assert follower.state("BTC-USD", clock.monotonic_ns())[0] is BookState.LIVE

    def test_a_book_whose_last_word_was_missed_is_not_live_on_a_guess(self, directory):
        """Its STATUS was overwritten by another book's records: nothing but the image can tell."""
        with Writer(directory, ("BTC-USD", "ETH-USD"), capacity=64) as writer:
            writer.snapshot(ladder(100))
            writer.snapshot(ladder(100), "ETH-USD")
            follower = SetFollower(directory, "kraken")
            writer.keepers["BTC-USD"].set_state(BookState.SYNCING, BookReason.SEQUENCE_GAP, writer.now_ns)
            for number in range(200):
                writer.update([(999_000, 1 + number, False)], "ETH-USD")
            follower.poll(clock.monotonic_ns(), 1)
            assert follower.state("BTC-USD", clock.monotonic_ns()) == (BookState.SYNCING, BookReason.SEQUENCE_GAP)

    def test_until_the_image_can_be_copied_a_lapped_book_is_syncing(self, directory):
        with Writer(directory, ("BTC-USD", "ETH-USD"), capacity=64) as writer:
            writer.snapshot(ladder(100))
            writer.snapshot(ladder(100), "ETH-USD")
            follower = SetFollower(directory, "kraken")
            writer.update([(999_999, 77, False)])
            for number in range(200):
                writer.update([(999_000, 1 + number, False)], "ETH-USD")
            image = writer.keepers["BTC-USD"].image
            image.begin()
            drained(follower)
            assert follower.state("BTC-USD", clock.monotonic_ns()) == (BookState.SYNCING, BookReason.STARTING)
            writer.keepers["BTC-USD"]._commit(writer.now_ns)
            follower.poll(clock.monotonic_ns())
            assert follower.state("BTC-USD", clock.monotonic_ns())[0] is BookState.LIVE
            assert_same_book(follower.books["BTC-USD"], writer.book())


class TestCheckpoints:
    """Copies of the live image are always overtaken here."""

    @pytest.fixture(autouse=True)
    def overtaken(self, monkeypatch):
        monkeypatch.setattr("alphapulse_cli.flow.images.ImageReader", Overtaken)

    def test_one_is_asked_for_and_taken(self, directory):
        """However many groups come before and after it, between two polls: they are kept, and applied to it."""
        with Writer(directory) as writer:
            writer.snapshot(ladder(3000))
            follower = SetFollower(directory, "kraken")
            assert follower.books["BTC-USD"].is_cold
            for number in range(3):
                writer.update([(999_999, 5 + number, False)])
            writer.outlet.serve_checkpoints(clock.realtime_ns())
            for number in range(3):
                writer.update([(999_999, 15 + number, False)])
            drained(follower)
            assert_same_book(follower.books["BTC-USD"], writer.book())
            assert follower.joins == 1

    def test_what_waits_for_one_is_bounded(self, directory, monkeypatch):
        monkeypatch.setattr("alphapulse_cli.flow.follow.KEPT_BYTES", 10 * delta.DELTA_BYTES)
        with Writer(directory) as writer:
            writer.snapshot(ladder(300))
            follower = SetFollower(directory, "kraken")
            for number in range(15):
                writer.update([(999_999, 5 + number, False)])
                follower.poll(clock.monotonic_ns())
            assert len(follower._waiting["BTC-USD"]) <= 10 * delta.DELTA_BYTES
            writer.outlet.serve_checkpoints(clock.realtime_ns())
            drained(follower)
            assert_same_book(follower.books["BTC-USD"], writer.book())

    def test_one_older_than_what_was_passed_by_is_not_taken(self, directory):
        """Its continuation was read and dropped: no group to come would tie to it."""
        with Writer(directory) as writer:
            writer.snapshot(ladder(300))
            writer.keepers["BTC-USD"].image.checkpoint()
            follower = SetFollower(directory, "kraken")
            assert_same_book(follower.books["BTC-USD"], writer.book())
            writer.update([(999_999, 50, False)])
            writer.keepers["BTC-USD"].regrid(3, 8, writer.now_ns)
            drained(follower)
            assert follower.books["BTC-USD"].is_cold, "the checkpoint is of before the RESET"
            writer.outlet.serve_checkpoints(clock.realtime_ns())
            drained(follower)
            assert_same_book(follower.books["BTC-USD"], writer.book())

    def test_one_older_than_a_lap_is_not_taken(self, directory):
        """A group of this book may lie between the checkpoint and the first record that was read again."""
        with Writer(directory, ("BTC-USD", "ETH-USD"), capacity=64) as writer:
            writer.snapshot(ladder(300))
            writer.snapshot(ladder(300), "ETH-USD")
            writer.keepers["BTC-USD"].image.checkpoint()
            follower = SetFollower(directory, "kraken")
            follower.poll(clock.monotonic_ns())
            writer.update([(999_999, 77, False)])
            for number in range(200):
                writer.update([(999_000, 1 + number, False)], "ETH-USD")
            drained(follower)
            assert follower.state("BTC-USD", clock.monotonic_ns())[0] is BookState.SYNCING
            writer.update([(999_999, 78, False)])
            writer.outlet.serve_checkpoints(clock.realtime_ns())
            drained(follower)
            assert_same_book(follower.books["BTC-USD"], writer.book())


class TestDamage:
    def test_an_image_that_is_no_book_is_counted_once_and_never_live(self, directory):
        with Writer(directory) as writer:
            writer.snapshot(ladder(100))
            image = writer.keepers["BTC-USD"].image
            good = bytes(image.bids[:16])
            image.bids[:16] = (5_000_000).to_bytes(8, "little") + good[8:]
            follower = SetFollower(directory, "kraken")
            for _ in range(5):
                follower.poll(clock.monotonic_ns())
            assert follower.damaged["BTC-USD"] == 1
            assert follower.state("BTC-USD", clock.monotonic_ns())[0] is BookState.SYNCING
            image.bids[:16] = good
            writer.update([(999_999, 5, False)])
            drained(follower)
            assert_same_book(follower.books["BTC-USD"], writer.book())

    def test_a_level_that_differs_from_the_images_own_hash_is_damage(self, directory):
        with Writer(directory) as writer:
            writer.snapshot(ladder(100))
            writer.keepers["BTC-USD"].image.bids[8] ^= 1
            follower = SetFollower(directory, "kraken")
            assert (follower.damaged["BTC-USD"], follower.books["BTC-USD"].is_cold) == (1, True)

    def test_numbers_that_name_no_state_are_not_live(self):
        assert states_of(99, 0) == (BookState.COLD, BookReason.NONE)
        assert states_of(2, 99) == (BookState.COLD, BookReason.NONE)
        assert states_of(2, 0) == (BookState.LIVE, BookReason.NONE)


class TestRestarts:
    def test_there_must_be_a_set(self, directory):
        with pytest.raises(NoSegment):
            SetFollower(directory, "kraken")

    def test_a_retired_sets_books_are_stale_and_its_successors_are_followed(self, directory):
        """Joins: one for the retired book, one for the new, empty image, one for the RESET of its first snapshot."""
        with Writer(directory) as writer:
            writer.snapshot(ladder(100))
        follower = SetFollower(directory, "kraken")
        assert follower.state("BTC-USD", clock.monotonic_ns()) == (BookState.STALE, BookReason.RETIRED)
        assert follower.joins == 1
        with Writer(directory) as writer:
            drained(follower)
            assert follower.joins == 2
            writer.snapshot(ladder(50, 9))
            drained(follower)
            assert follower.joins == 3
            assert_same_book(follower.books["BTC-USD"], writer.book())
            assert follower.state("BTC-USD", clock.monotonic_ns())[0] is BookState.LIVE

    def test_a_killed_writers_books_are_not_live_and_the_next_ones_are(self, directory):
        """With kill -9 and real processes: readers follow onto the new epoch and hold the new writer's book."""
        symbols = ["BTC-USD", "ETH-USD"]
        with child("support.reader_sets:write_until_told", directory.path, 1, symbols) as first:
            first.line()
            followers = [SetFollower(directory, "kraken"), SetFollower(directory, "kraken", start="oldest")]
            first.say("200")
            epoch, version, book_hash = first.line()
            for follower in followers:
                drained(follower)
                book = follower.books["BTC-USD"]
                assert (book.version, book.book.book_hash) == (version, book_hash)
                assert follower.checks("BTC-USD") == (1, 0)
                assert follower.state("BTC-USD", clock.monotonic_ns())[0] is BookState.LIVE
            os.kill(first.pid, signal.SIGKILL)
            first.process.wait(10)
        later = clock.monotonic_ns() + 3_000_000_000
        assert followers[0].state("BTC-USD", later) == (BookState.STALE, BookReason.SILENT)
        with child("support.reader_sets:write_until_told", directory.path, 2, symbols) as second:
            second.line()
            for follower in followers:
                drained(follower)
            second.say("100")
            new_epoch, version, book_hash = second.line()
            assert new_epoch > epoch
            for follower in followers:
                drained(follower)
                assert follower.groups.segment.epoch == new_epoch
                book = follower.books["BTC-USD"]
                assert (book.version, book.book.book_hash) == (version, book_hash)
                assert follower.checks("BTC-USD") == (2, 0)
                assert follower.checks_bad == 0
                assert follower.state("BTC-USD", clock.monotonic_ns())[0] is BookState.LIVE

    def test_a_successor_is_found_though_nobody_could_seal_the_old_ring(self, directory):
        """Somebody removed the files: the old ring never ends, but it is silent, and then its name is looked up."""
        writer = Writer(directory)
        writer.snapshot(ladder(10))
        follower = SetFollower(directory, "kraken")
        for name in directory.names():
            if not name.endswith((".lock", ".wake")):
                directory.unlink(name)
        writer.outlet._lease.release()
        with Writer(directory) as successor:
            successor.snapshot(ladder(20))
            drained(follower)
            assert follower.groups.segment.epoch == writer.outlet.epoch
            drained(follower, later_s=3.0)
            assert_same_book(follower.books["BTC-USD"], successor.book())

    def test_what_a_successors_ring_has_overwritten_counts_as_missed(self, directory):
        with Writer(directory, capacity=64):
            reader = GroupReader(directory, "kraken", SegmentKind.DELTAS)
        with Writer(directory, capacity=64) as writer:
            writer.snapshot(ladder(100))
            for number in range(300):
                writer.update([(999_000, 1 + number, False)])
            sizes, missed = drained(reader)
            assert sum(sizes) + missed == writer.outlet.deltas.published

    @pytest.mark.parametrize("limit", [1, 7, 4096])
    def test_what_is_left_of_a_group_that_was_cut_counts_as_missed(self, directory, limit):
        """Groups of several records: a lap ends within one, or overwrites one of which a part is held."""
        dice = random.Random(limit)
        with Writer(directory, capacity=64) as writer:
            reader = GroupReader(directory, "kraken", SegmentKind.DELTAS)
            writer.snapshot(ladder(40))
            got = missed = laps = ends = 0
            for _ in range(200):
                for _ in range(dice.choice([2, 40])):
                    writer.update(random_rows(dice, dice.choice([1, 30, 50])))
                for _ in range(dice.choice([3, 10, 200])):
                    polled = reader.poll(clock.monotonic_ns(), limit)
                    laps += polled.missed > 0
                    got, missed = got + polled.record_count, missed + polled.missed
                    if polled.record_count:
                        assert polled.first >= ends
                        ends = polled.first + polled.record_count
            while (
                polled := reader.poll(clock.monotonic_ns(), limit)
            ).record_count or reader.position < writer.outlet.deltas.published:
                got, missed = got + polled.record_count, missed + polled.missed
            assert laps > 20
            assert (got + missed, reader.missed) == (writer.outlet.deltas.published, missed)
            reader.close()


class TestCursors:
    def test_a_labelled_reader_is_seen_with_its_place_and_over_restarts(self, directory):
        with Writer(directory) as writer:
            reader = GroupReader(directory, "kraken", SegmentKind.DELTAS, label="tail deltas")
            writer.snapshot(ladder(10))
            drained(reader)
            (seen,) = list_cursors(directory)
            assert (seen.label, seen.position, seen.missed) == ("tail deltas", 2, 0)
        with Writer(directory) as writer:
            drained(reader)
            (seen,) = list_cursors(directory)
            assert seen.epoch == writer.outlet.epoch
        reader.close()
        assert list_cursors(directory) == []


def test_records_of_another_length_are_refused(directory):
    """A ring that says so may be a whole segment otherwise; its bytes would be read as what they are not."""
    spec = SegmentSpec(SegmentKind.DELTAS, "kraken", "kraken", 1, 512, 16)
    with Segment.create(directory, spec) as segment:
        segment.ready()
        with pytest.raises(WrongLayout, match="512 bytes"):
            GroupReader(directory, "kraken", SegmentKind.DELTAS)
