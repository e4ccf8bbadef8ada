"""One book: what the image and the ring say after each message. Kraken's decoder brings the messages, since it can go wrong in most ways."""

from dataclasses import replace

import pytest
from support.flow_parts import SECOND, Desk, Replica, River, assert_one_book, listed

from alphapulse_cli.errors import StorageError
from alphapulse_cli.flow import keeper as keeper_module
from alphapulse_cli.market.events import Snapshot, Update
from alphapulse_cli.market.levels import Levels
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.shm.image import ImageReader
from alphapulse_cli.wire import delta
from alphapulse_cli.wire.delta import BookReason, BookState, ChecksumState, RecordKind

BTC = listed("kraken")
LIVE, SYNCING, HALTED, STALE, COLD = BookState.LIVE, BookState.SYNCING, BookState.HALTED, BookState.STALE, BookState.COLD


def snapshot(*rows, instrument=BTC, **more):
    levels = Levels.from_levels(instrument.price_decimals, instrument.size_decimals, rows)
    return Snapshot(instrument, levels, **more)


def update(*rows, instrument=BTC, **more):
    levels = Levels.from_levels(instrument.price_decimals, instrument.size_decimals, rows)
    return Update(instrument, levels, **more)


FIRST_BOOK = ((100, 5, False), (99, 6, False), (101, 7, True))


@pytest.fixture
def desk(directory):
    return Desk(directory, [BTC])


@pytest.fixture
def keeper(desk):
    return desk.keeper()


@pytest.fixture
def live(keeper):
    keeper.apply(snapshot(*FIRST_BOOK), 1)
    return keeper


def kinds(desk):
    return [group.kind for group in desk.groups()]


class TestTheFirstSnapshot:
    def test_is_a_reset_and_then_live(self, desk, live):
        reset, status = desk.groups()
        assert (reset.kind, reset.prev_version, reset.version, reset.changes) == (RecordKind.RESET, 0, 1, [])
        assert (status.kind, status.version, status.state, status.reason) == (RecordKind.STATUS, 1, LIVE, BookReason.NONE)
        assert desk.count(Counter.RESETS, "BTC-USD") == 1

    def test_may_be_empty(self, desk, keeper):
        keeper.apply(snapshot(), 1)
        assert (keeper.state, keeper.version, kinds(desk)) == (LIVE, 1, [RecordKind.RESET, RecordKind.STATUS])

    def test_before_it_nothing_is_known_and_updates_are_left_out(self, desk, keeper):
        assert keeper.apply(update((100, 1, False)), 1)
        assert (keeper.state, keeper.version, kinds(desk)) == (COLD, 0, [])
        assert desk.count(Counter.UPDATES_IGNORED, "BTC-USD") == 1

    def test_before_it_a_book_is_cold_whatever_happens(self, keeper):
        for state in (SYNCING, STALE):
            keeper.set_state(state, BookReason.DISCONNECTED, 1)
            assert (keeper.state, keeper.reason) == (COLD, BookReason.DISCONNECTED)


class TestGroups:
    def test_an_update_is_one_group_and_the_version_grows_by_one(self, desk, live):
        live.apply(update((100, 9, False), (98, 1, False), (101, 0, True)), 2)
        group = desk.groups()[-1]
        assert (group.kind, group.prev_version, group.version, group.resynced) == (RecordKind.DELTA, 1, 2, False)
        assert group.changes == [(100, 9, False), (98, 1, False), (101, 0, True)]

    def test_what_changes_nothing_is_not_told(self, desk, live):
        told = len(desk.groups())
        live.apply(update((100, 5, False), (97, 0, False)), 2)
        assert (live.version, len(desk.groups())) == (1, told)

    def test_levels_beyond_the_depth_leave_as_removals_of_the_same_group(self, desk, live):
        live.apply(update((100, 4, False), (102, 1, False), depth=2), 2)
        assert desk.groups()[-1].changes == [(100, 4, False), (102, 1, False), (99, 0, False)]
        assert live.book.bids() == [(102, 1), (100, 4)]

    def test_a_snapshot_nobody_asked_for_is_an_ordinary_group_of_its_difference(self, desk, live):
        live.apply(snapshot((100, 5, False), (98, 1, False), (101, 8, True)), 2)
        group = desk.groups()[-1]
        assert (group.kind, group.resynced, group.prev_version, group.version) == (RecordKind.DELTA, False, 1, 2)
        assert sorted(group.changes) == [(98, 1, False), (99, 0, False), (101, 8, True)]

    def test_a_snapshot_that_heals_is_flagged(self, desk, live):
        live.set_state(SYNCING, BookReason.SEQUENCE_GAP, 2)
        live.apply(update((100, 1, False)), 3)
        live.apply(snapshot((100, 6, False)), 4)
        group, status = desk.groups()[-2:]
        assert (group.kind, group.resynced, sorted(group.changes)) == (
            RecordKind.DELTA,
            True,
            [(99, 0, False), (100, 6, False), (101, 0, True)],
        )
        assert (status.state, live.state) == (LIVE, LIVE)
        assert desk.count(Counter.RESYNCS, "BTC-USD") == 1

    def test_one_that_heals_without_any_difference_is_a_status_only(self, desk, live):
        live.set_state(SYNCING, BookReason.SEQUENCE_GAP, 2)
        live.apply(snapshot(*FIRST_BOOK), 3)
        assert (desk.groups()[-1].state, live.version) == (LIVE, 1)

    def test_a_group_beyond_a_quarter_of_the_ring_is_a_reset(self, directory):
        desk = Desk(directory, [BTC], ring=64)
        keeper = desk.keeper()
        keeper.apply(snapshot((1, 1, False)), 1)
        keeper.apply(update(*((ticks, 1, True) for ticks in range(1000, 1192))), 2)  # 192 changes: 16 records, a quarter
        assert (desk.groups()[-1].kind, desk.groups()[-1].record_count) == (RecordKind.DELTA, 16)
        replica = Replica(desk.outlet, "BTC-USD").follow()
        keeper.apply(update(*((ticks, 2, True) for ticks in range(1000, 1193))), 3)
        reset = desk.groups()[-1]
        assert (reset.kind, reset.changes, reset.prev_version, reset.version) == (RecordKind.RESET, [], 2, 3)
        assert_one_book(keeper, replica)
        assert replica.joins == 2

    def test_a_late_joiner_needs_no_record_before_the_images_position(self, desk, live):
        """The image says which record follows it; its own group is among those before."""
        live.apply(update((100, 9, False)), 2)
        image = Replica(desk.outlet, "BTC-USD").image()
        assert image.ring_position == desk.outlet.deltas.published

    def test_crossed_books_are_counted(self, desk, live):
        live.apply(update((101, 1, False)), 2)
        assert live.book.is_locked
        live.apply(update((102, 1, False)), 3)
        live.apply(update((102, 0, False), (101, 0, False)), 4)
        assert desk.count(Counter.CROSSED, "BTC-USD") == 2


class TestTheImageComesFirst:
    def test_whoever_sees_a_group_finds_it_in_the_image(self, desk, live, monkeypatch):
        """At the moment that a sleeping reader is woken by each publish the image already is the book after it, whole."""
        replica, wake, seen = Replica(desk.outlet, "BTC-USD"), desk.outlet.wake, []
        memoryview(wake.memory).cast("B").cast("Q")[wake.request_word(desk.outlet.deltas.segment.spec.kind)] = 1

        def woken(_):
            seen.append((replica.image().version, desk.groups()[-1].version))

        monkeypatch.setattr(wake, "wake", woken)
        live.apply(update((100, 1, False)), 2)
        live.apply(snapshot((90, 1, False)), 3)
        live.regrid(3, 4, 4)
        live.set_state(SYNCING, BookReason.SEQUENCE_GAP, 5)
        assert seen == [(2, 2), (3, 3), (4, 4), (4, 4)]


class TestFeedDelay:
    @pytest.mark.parametrize(
        ("receive_ns", "exchange_ns", "delay_us"),
        [(12_345_678, 5_000, 12_340), (5_999, 5_000, 0), (5_000, 5_001, -1), (5, None, delta.NO_FEED_DELAY)],
    )
    def test_a_record_says_it_in_microseconds_rounded_down(self, desk, live, receive_ns, exchange_ns, delay_us):
        live.apply(update((100, 1, False), exchange_ns=exchange_ns), receive_ns)
        assert desk.groups()[-1].feed_delay_us == delay_us

    def test_counter_and_histogram_take_it_from_updates(self, desk, live):
        live.apply(update((100, 1, False), exchange_ns=5_000_000_000), 5_002_000_000)
        live.apply(update((100, 2, False)), 9)
        assert desk.count(Counter.FEED_DELAY_US, "BTC-USD") == desk.count(Counter.FEED_DELAY_US) == 2_000
        delays = desk.outlet.counters.feed_delay.read()
        assert delays.count == 1
        assert abs(delays.quantile(0.5) - 2_000_000) < 70_000

    def test_not_from_a_snapshot_whose_time_may_be_long_ago(self, desk, keeper):
        keeper.apply(snapshot(*FIRST_BOOK, exchange_ns=1), 5_000)
        assert desk.outlet.counters.feed_delay.read().count == 0

    @pytest.mark.parametrize(
        ("exchange_ns", "delay_us"), [(0, (1 << 31) - 1), ((1 << 63) - 1, 1 - (1 << 31)), (-(1 << 62), (1 << 31) - 1)]
    )
    def test_any_nonsense_of_a_time_saturates(self, desk, live, exchange_ns, delay_us):
        """INT32_MIN means that the exchange gave no time, so no delay is ever that. Decoders refuse what 63 bits cannot hold."""
        live.apply(update((100, 1, False), exchange_ns=exchange_ns), 5_000_000_000_000)
        assert desk.groups()[-1].feed_delay_us == delay_us


class TestChecks:
    def test_each_second(self, desk, live):
        for now in range(0, 10 * SECOND, SECOND // 10):
            live.tick(1_000 * SECOND + now, 50 * SECOND + now)
        checks = desk.groups("BTC-USD", RecordKind.CHECK)
        assert len(checks) == 10
        book = live.book
        assert checks[-1].check == (book.book_hash, 2, 1, ChecksumState.NONE, LIVE)
        assert (checks[-1].version, checks[-1].prev_version) == (1, 1)

    def test_also_when_the_clock_is_set_back(self, desk, live):
        live.tick(1_000 * SECOND, 50 * SECOND)
        live.tick(10 * SECOND, 51 * SECOND)
        assert len(desk.groups("BTC-USD", RecordKind.CHECK)) == 2

    def test_each_1024_groups(self, desk, live):
        live.check(5)
        for lots in range(1, 1_026):
            live.apply(update((50, lots, False)), 5)
        assert kinds(desk)[-3:] == [RecordKind.DELTA, RecordKind.CHECK, RecordKind.DELTA]
        assert len(desk.groups("BTC-USD", RecordKind.CHECK)) == 2

    def test_not_of_a_book_that_is_not_live(self, desk, live):
        live.set_state(SYNCING, BookReason.SEQUENCE_GAP, 2)
        live.tick(1_000 * SECOND, 50 * SECOND)
        assert desk.groups("BTC-USD", RecordKind.CHECK) == []


class TestTheExchangesChecksum:
    @pytest.fixture
    def checked(self, directory):
        return River(directory, "kraken").connect()

    def test_ok_is_in_the_image_with_the_message_it_was_for(self, checked):
        image = Replica(checked.outlet, "BTC-USD").image()
        assert (image.checksum_state, image.state) == (ChecksumState.OK, LIVE)
        assert checked.count(Counter.CHECKSUMS_OK, "BTC-USD") == 1

    @pytest.mark.skipif(bool(keeper_module.SOURCE_HASH), reason="the compiled keeper cannot be watched; the interpreted run does")
    def test_no_image_ever_calls_a_refuted_book_live(self, checked, monkeypatch):
        """Also not for the moment between the edit and the verdict."""
        keeper, seen = checked.keeper(), []
        compared = keeper._book_checksum

        class Watched:
            """The publisher; after each of its calls the image is looked at, None while it is being edited."""

            def __init__(self, real):
                self.real = real

            def __getattr__(self, name):
                def call(*arguments):
                    done = getattr(self.real, name)(*arguments)
                    look(name)
                    return done

                return call

        def look(moment):
            image = Replica(checked.outlet, "BTC-USD").image()
            seen.append((moment, image and (image.state, image.checksum_state)))

        def watched(*arguments):
            look("verdict")
            return compared(*arguments)

        monkeypatch.setattr(keeper, "_publisher", Watched(keeper._publisher))
        monkeypatch.setattr(keeper, "_book_checksum", watched)
        checked.change([(9_000, 1, False)], spoil=True)
        assert ("change", None) in seen
        assert ("verdict", None) in seen
        edited = [state for _, state in seen[seen.index(("change", None)) :] if state is not None]
        assert edited
        assert set(edited) == {(SYNCING, ChecksumState.BAD)}

    def test_a_first_snapshot_with_a_wrong_one_is_a_book_to_be_healed_not_a_cold_one(self, desk, keeper):
        assert not keeper.apply(snapshot(*FIRST_BOOK, checksum=1), 1)
        assert (keeper.state, keeper.reason, keeper.version) == (SYNCING, BookReason.BAD_CHECKSUM, 1)
        assert desk.states() == [(SYNCING, BookReason.BAD_CHECKSUM)]
        keeper.apply(snapshot(*FIRST_BOOK), 2)
        assert keeper.state is LIVE
        assert desk.count(Counter.RESETS, "BTC-USD") == 1


class TestRoom:
    def test_is_made_before_a_message_is_applied(self, desk, live):
        replica = Replica(desk.outlet, "BTC-USD").follow()
        old = replica.outlet_image()
        live.apply(update(*((ticks, 1, True) for ticks in range(1_000, 3_500))), 2)
        assert old.state.name == "REPLACED"
        assert live.book.ask_count == 2_501
        assert desk.count(Counter.IMAGES_GROWN, "BTC-USD") == 1
        assert_one_book(live, replica)

    def test_without_it_the_book_is_halted_as_it_was_and_stays_so(self, desk, live, monkeypatch):
        def full(*_):
            raise StorageError("no room")

        monkeypatch.setattr(desk.outlet, "grow_image", full)
        before = live.book.book_hash
        assert not live.apply(update(*((ticks, 1, True) for ticks in range(1_000, 3_500))), 2)
        assert (live.state, live.reason, live.book.book_hash) == (HALTED, BookReason.NO_ROOM, before)
        told = len(desk.groups())
        live.apply(update((100, 1, False)), 3)
        assert not live.apply(snapshot(*((ticks, 1, True) for ticks in range(1_000, 3_500))), 4)
        live.set_state(LIVE, BookReason.NONE, 5)
        live.set_state(SYNCING, BookReason.DISCONNECTED, 6)
        assert (live.state, live.book.book_hash, len(desk.groups())) == (HALTED, before, told)

    def test_any_snapshot_that_fits_heals_it(self, desk, live, monkeypatch):
        def full(*_):
            raise StorageError("no room")

        replica = Replica(desk.outlet, "BTC-USD").follow()
        monkeypatch.setattr(desk.outlet, "grow_image", full)
        live.apply(update(*((ticks, 1, True) for ticks in range(1_000, 3_500))), 2)
        assert live.apply(snapshot((100, 1, False)), 3)
        assert live.state is LIVE
        assert_one_book(live, replica)

    def test_a_monstrous_snapshots_room_is_given_back_at_the_next_that_fits_in_a_quarter(self, desk, live):
        replica = Replica(desk.outlet, "BTC-USD").follow()
        live.apply(snapshot(*((ticks, 1, True) for ticks in range(1_000, 41_000))), 2)
        assert_one_book(live, replica)
        large = replica.outlet_image()
        assert large.spec.capacity == 65_536
        live.apply(update((50, 1, False)), 3)
        live.apply(snapshot(*((ticks, 1, True) for ticks in range(1_000, 17_385))), 4)  # one more than a quarter
        assert desk.count(Counter.IMAGES_SHRUNK, "BTC-USD") == 0
        live.apply(snapshot(*((ticks, 2, True) for ticks in range(1_000, 17_384))), 5)
        assert (large.state.name, replica.outlet_image().spec.capacity) == ("REPLACED", 32_768)
        assert desk.count(Counter.IMAGES_SHRUNK, "BTC-USD") == 1
        assert_one_book(live, replica)
        live.apply(snapshot(*FIRST_BOOK), 6)
        assert replica.outlet_image().spec.capacity == 1024
        live.apply(snapshot(*FIRST_BOOK), 7)
        assert desk.count(Counter.IMAGES_SHRUNK, "BTC-USD") == 2
        assert_one_book(live, replica)

    def test_where_it_cannot_be_given_back_the_book_stays_where_it_is(self, desk, live, monkeypatch):
        def full(*_):
            raise StorageError("no room")

        live.apply(snapshot(*((ticks, 1, True) for ticks in range(1_000, 41_000))), 2)
        monkeypatch.setattr(desk.outlet, "shrink_image", full)
        assert live.apply(snapshot(*FIRST_BOOK), 3)
        assert (live.state, desk.count(Counter.IMAGES_SHRUNK, "BTC-USD")) == (LIVE, 0)
        assert_one_book(live, Replica(desk.outlet, "BTC-USD"))


class TestGrid:
    def test_a_finer_one_is_a_reset_of_exactly_the_same_book(self, desk, live):
        replica = Replica(desk.outlet, "BTC-USD").follow()
        finer = live.regrid(4, 4, 2)
        assert (finer.price_decimals, finer.size_decimals) == (4, 4)
        reset = desk.groups()[-1]
        assert (reset.kind, reset.decimals, reset.prev_version, reset.version) == (RecordKind.RESET, (4, 4), 1, 2)
        assert live.book.bids() == [(10_000, 5), (9_900, 6)]
        assert_one_book(live, replica)

    def test_the_one_it_has_is_nothing_new(self, desk, live):
        told = len(desk.groups())
        assert live.regrid(1, 1, 2) == live.instrument
        assert len(desk.groups()) == told

    def test_before_the_first_snapshot_nobody_is_told(self, desk, keeper):
        keeper.regrid(4, 4, 2)
        assert desk.groups() == []
        assert Replica(desk.outlet, "BTC-USD").image().price_decimals == 4

    @pytest.mark.parametrize("decimals", [(19, 4), (2, 19), (18, 18)])
    def test_one_that_cannot_be_changes_nothing(self, desk, keeper, decimals):
        keeper.apply(snapshot((10**6, 10**8, False)), 1)
        told = len(desk.groups())
        assert keeper.regrid(*decimals, 2) is None
        assert (keeper.state, keeper.instrument, len(desk.groups())) == (LIVE, BTC, told)
        assert keeper.book.bids() == [(10**6, 10**8)]
        assert_one_book(keeper, Replica(desk.outlet, "BTC-USD"))

    def test_a_snapshot_brings_its_own_to_a_book_that_waits_for_it(self, desk, live):
        """Finer or coarser than the old book's, which need not fit."""
        replica = Replica(desk.outlet, "BTC-USD").follow()
        for decimals, at in (((2, 9), 2), ((7, 4), 3), ((2, 4), 4)):
            live.set_state(SYNCING, BookReason.SEQUENCE_GAP, at)
            replica.follow()
            live.apply(
                snapshot((10**13, 5, False), instrument=replace(BTC, price_decimals=decimals[0], size_decimals=decimals[1])), at
            )
            reset = desk.groups("BTC-USD", RecordKind.RESET)[-1]
            assert (live.state, reset.decimals, reset.version) == (LIVE, decimals, live.version)
            assert_one_book(live, replica)


def test_the_checks_constant_is_the_designs():
    assert (keeper_module.CHECK_EVERY_GROUPS, keeper_module.CHECK_EVERY_NS) == (1024, SECOND)


class TestTheRulesOfOrders:
    """The image says tick, lot and minimum size on the grid that the book is on now."""

    RULED = replace(BTC, tick_size_ticks=5, lot_size_lots=10, min_size_lots=300)

    @pytest.fixture
    def ruled(self, directory):
        return Desk(directory, [self.RULED])

    def rules(self, desk):
        return ImageReader(desk.keeper().image.segment).rules()

    def test_are_there_before_the_first_snapshot(self, ruled):
        assert self.rules(ruled) == (BTC.price_decimals, BTC.size_decimals, 5, 10, 300)

    def test_grow_with_a_finer_grid(self, ruled):
        ruled.keeper().apply(snapshot(*FIRST_BOOK, instrument=self.RULED), 1)
        ruled.keeper().regrid(BTC.price_decimals + 1, BTC.size_decimals + 2, 2)
        assert self.rules(ruled) == (BTC.price_decimals + 1, BTC.size_decimals + 2, 50, 1000, 30_000)

    def test_go_along_to_a_larger_file(self, ruled):
        keeper = ruled.keeper()
        keeper.apply(snapshot(*((100 + i, 1, True) for i in range(1500)), instrument=self.RULED), 1)
        assert ruled.count(Counter.IMAGES_GROWN, "BTC-USD") == 1
        assert self.rules(ruled) == (BTC.price_decimals, BTC.size_decimals, 5, 10, 300)

    def test_newer_metadata_counts_whatever_the_grid_has_become(self, ruled):
        keeper = ruled.keeper()
        keeper.regrid(BTC.price_decimals, BTC.size_decimals + 1, 1)
        assert keeper.use_metadata(replace(self.RULED, min_size_lots=7), 2)
        assert not keeper.use_metadata(replace(self.RULED, min_size_lots=7), 3)
        assert self.rules(ruled) == (BTC.price_decimals, BTC.size_decimals + 1, 5, 100, 70)
        assert keeper.instrument.rules == (5, 100, 70)

    def test_come_with_their_grid(self, ruled):
        assert ruled.keeper().use_metadata(replace(self.RULED, size_decimals=BTC.size_decimals + 1), 2)
        assert self.rules(ruled) == (BTC.price_decimals, BTC.size_decimals + 1, 5, 10, 300)

    def test_of_a_grid_that_the_book_cannot_have_are_not_taken(self, ruled):
        keeper = ruled.keeper()
        keeper.apply(snapshot((1, 10**17, False), instrument=self.RULED), 1)
        assert not keeper.use_metadata(replace(self.RULED, size_decimals=18), 2)
        assert (self.rules(ruled).lot_size_lots, keeper.state, keeper.instrument) == (10, LIVE, self.RULED)

    def test_of_a_book_that_waits_leave_with_its_snapshot(self, ruled):
        keeper = ruled.keeper()
        keeper.apply(snapshot(*FIRST_BOOK, instrument=self.RULED), 1)
        keeper.set_state(SYNCING, BookReason.SEQUENCE_GAP, 2)
        finer = replace(self.RULED, price_decimals=BTC.price_decimals + 1, min_size_lots=7)
        assert keeper.use_metadata(finer, 3)
        assert self.rules(ruled) == (BTC.price_decimals, BTC.size_decimals, 5, 10, 300), "the book is on the old grid still"
        keeper.apply(snapshot(*FIRST_BOOK, instrument=keeper.instrument), 4)
        assert self.rules(ruled) == (BTC.price_decimals + 1, BTC.size_decimals, 5, 10, 7)

    def test_are_none_where_the_writer_does_not_say(self, ruled):
        """A writer of layout 1.0 leaves zeros there."""
        image = ruled.keeper().image
        image.begin()
        image.set_rules(0, 0, 0)
        ruled.keeper()._commit(1)
        assert self.rules(ruled) is None

    def test_are_none_in_the_middle_of_an_edit(self, ruled):
        image = ruled.keeper().image
        image.begin()
        assert self.rules(ruled) is None
        ruled.keeper()._commit(1)
        assert self.rules(ruled) is not None


class TestALevelThatNoGridHolds:
    """`Levels` keep it out; a book without it is never LIVE."""

    ABSURD = (2**63, 1, True)

    def test_in_an_update_is_a_gap(self, desk, live):
        before = live.book.book_hash
        assert not live.apply(update(self.ABSURD, (102, 1, True)), 2)
        assert (live.state, live.reason, live.book.book_hash) == (SYNCING, BookReason.OFF_GRID, before)
        assert desk.states()[-1] == (SYNCING, BookReason.OFF_GRID)
        assert desk.count(Counter.LEVELS_KEPT_OUT, "BTC-USD") == 1
        assert (desk.count(Counter.RESYNCS, "BTC-USD"), desk.count(Counter.GAPS, "BTC-USD")) == (1, 0), (
            "nothing was lost on the way"
        )

    def test_in_the_snapshot_too_it_halts_the_book(self, desk, live):
        live.apply(update(self.ABSURD), 2)
        assert not live.apply(snapshot(self.ABSURD, *FIRST_BOOK), 3)
        assert (live.state, live.reason) == (HALTED, BookReason.OFF_GRID)
        assert desk.states()[-1] == (HALTED, BookReason.OFF_GRID)

    def test_in_the_first_snapshot_it_halts_the_book(self, keeper):
        assert not keeper.apply(snapshot(self.ABSURD), 1)
        assert (keeper.state, keeper.reason, keeper.version) == (HALTED, BookReason.OFF_GRID, 0)

    def test_in_a_snapshot_of_a_live_book_it_is_a_gap(self, live):
        """Nobody asked for it, so the one that is asked for may be without."""
        assert not live.apply(snapshot(self.ABSURD), 2)
        assert (live.state, live.reason) == (SYNCING, BookReason.OFF_GRID)

    def test_a_snapshot_without_it_heals(self, desk, live):
        replica = Replica(desk.outlet, "BTC-USD").follow()
        for moment in (2, 3):
            live.apply(snapshot(self.ABSURD), moment)
        live.apply(update((100, 1, False)), 4)
        assert live.state is HALTED
        assert live.apply(snapshot((90, 1, False)), 5)
        assert (live.state, live.reason) == (LIVE, BookReason.NONE)
        assert_one_book(live, replica)

    def test_its_removal_removes_nothing(self, live):
        assert live.apply(update((2**63, 0, True), (102, 1, True)), 2)
        assert (live.state, live.book.asks()) == (LIVE, [(101, 7), (102, 1)])

    def test_a_grid_that_became_too_fine_is_given_up(self, live):
        """The next snapshot is read on the grid that the exchange announced."""
        live.regrid(14, 4, 2)
        assert not live.apply(update((2**63, 1, True), instrument=live.instrument), 3)
        assert live.instrument == BTC
        assert live.apply(snapshot((10**15, 1, False)), 4)
        assert live.state is LIVE
