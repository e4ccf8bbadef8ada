"""A replica is the writer's book, however the stream is cut; and the property that says so catches what breaks it.

The mutants at the end are broken on purpose: each must make the very property fail that the real code passes.
"""

from random import Random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support.campaigns import size
from support.strategies_book import EXCHANGE, SYMBOL, Message, Writer, assert_same, histories

from alphapulse_cli.book import book as book_module
from alphapulse_cli.book import hashes
from alphapulse_cli.book.book import Book
from alphapulse_cli.book.reconstruct import ColdReason, Reconstructor
from alphapulse_cli.book.side import Side
from alphapulse_cli.book.walk import Walk
from alphapulse_cli.market.trading_status import TradingStatus
from alphapulse_cli.wire.batch import Batch
from alphapulse_cli.wire.delta import FIRST, LAST, NO_FEED_DELAY, BookReason, BookState, RecordKind, dtype

cut_sizes = st.lists(st.integers(1, 9), min_size=1, max_size=5)


def new_replica():
    return Reconstructor(EXCHANGE, SYMBOL)


def assert_shown(replica, pictures):
    """What is shown is the writer's book at one version, whole."""
    picture = pictures[replica.version]
    assert replica.book.bids() == picture.bids
    assert replica.book.asks() == picture.asks
    assert replica.book.book_hash == picture.book_hash


def follow(replica, writer, start, sizes):
    """Read the stream from record `start` on in reads of these sizes, in a reused buffer as a ring reader has it."""
    position, turn, end = start, 0, len(writer.stream) // 256
    buffer = bytearray(256 * (max(sizes) + 1))
    while position < end:
        count = min(sizes[turn % len(sizes)], end - position)
        buffer[256 : 256 * (count + 1)] = writer.stream[256 * position : 256 * (position + count)]
        replica.apply(buffer, 1, count)
        yield position + count
        position, turn = position + count, turn + 1


def check_river(history, sizes, joined):
    """reconstruct(deltas(history)) == apply(history), for a reader that joined at any version, whatever the reads."""
    writer = Writer()
    for message in history:
        writer.take(message)
        assert_same(writer.book, writer.model)
    records = records_of(writer)
    assert not any(row["changes"][row["change_count"] :].tobytes().strip(b"\0") for row in records if not row["flags"] & 7)
    picture = writer.pictures[joined % len(writer.pictures)]
    for start in {0, picture.position}:
        replica = new_replica()
        assert picture.load_into(replica)
        for _ in follow(replica, writer, start, sizes):
            assert not replica.is_cold
            assert_shown(replica, writer.pictures)
        assert replica.version == writer.version
        assert replica.checks_bad == 0
        assert replica.checks_ok == writer.version - picture.version + (picture.version > 0 and start <= picture.position)


def check_holes(history, sizes, hole_start, hole_size):
    """With records missing, what is shown is still a whole version of the writer's; behind, the replica says that it is cold."""
    writer = Writer()
    for message in history:
        writer.take(message)
    total = len(writer.stream) // 256
    if not total:
        return
    hole_start %= total
    hole_end = min(total, hole_start + hole_size)
    replica = new_replica()
    assert writer.pictures[0].load_into(replica)
    whole, writer.stream = writer.stream, writer.stream[: 256 * hole_start]
    for _ in follow(replica, writer, 0, sizes):
        assert_shown(replica, writer.pictures)
    writer.stream = whole
    replica.missed()
    for _ in follow(replica, writer, hole_end, sizes):
        assert_shown(replica, writer.pictures)
    if hole_end < total and replica.version != writer.version:
        assert replica.is_cold
    if replica.is_cold:
        assert replica.why is ColdReason.LAPPED
        assert writer.pictures[-1].load_into(replica)
        assert not replica.is_cold


def records_of(writer):
    import numpy as np

    return np.frombuffer(bytes(writer.stream), dtype())


class TestTheRiver:
    @given(histories, cut_sizes, st.integers(0, 12))
    @settings(max_examples=size(40, 80), deadline=None)
    def test_a_reader_rebuilds_the_writers_book(self, history, sizes, joined):
        """However the stream is cut into reads, and wherever the reader joined."""
        check_river(history, sizes, joined)

    @given(histories, cut_sizes, st.integers(0, 100), st.integers(1, 12))
    @settings(max_examples=size(40, 80), deadline=None)
    def test_with_a_hole_it_is_the_writers_book_or_cold(self, history, sizes, hole_start, hole_size):
        """Never something between."""
        check_holes(history, sizes, hole_start, hole_size)

    def test_an_image_copied_in_the_middle_of_a_read_group(self):
        """The held beginning is not lost by `load`."""
        writer = grown_writer()
        replica = new_replica()
        replica.apply(writer.stream, 0, 2)
        writer.pictures[0].load_into(replica)
        assert replica.apply(writer.stream, 2, 3) == 2
        assert_shown(replica, writer.pictures)
        assert replica.version == 1

    @pytest.mark.parametrize("size", [1, 7, 4_000])
    def test_a_group_of_45827_changes(self, size):
        """Nothing is dropped, and nothing is shown before its LAST."""
        writer = Writer()
        writer.take(
            Message(
                True, [(10**6 - i, 1 + i, False) for i in range(22_913)] + [(10**6 + 1 + i, 9, True) for i in range(22_914)], None
            )
        )
        replica = new_replica()
        writer.pictures[0].load_into(replica)
        for position in follow(replica, writer, 0, [size]):
            assert replica.version == (1 if position >= 3_819 else 0)
            assert replica.book.is_empty == (replica.version == 0)
        assert_shown(replica, writer.pictures)
        assert replica.checks_ok == 1

    @pytest.mark.parametrize("in_order", [True, False])
    @pytest.mark.parametrize("seed", range(6))
    def test_large_groups_are_merged_or_set_with_one_result(self, seed, in_order):
        """A difference comes in order of price and is merged in one walk; a long update in any order is not."""
        random = Random(seed)
        writer = Writer()
        for is_snapshot in (True, True, False, True):
            rows = [
                (random.choice((random.randrange(2_000), 10**13)), random.randrange(5), side)
                for side in (False, True)
                for _ in range(900)
            ]
            writer.take(Message(is_snapshot, sorted(rows) if in_order else rows, random.choice((None, 200))))
        assert max(row["version"] for row in records_of(writer)) == 4
        replica = new_replica()
        writer.pictures[0].load_into(replica)
        for _ in follow(replica, writer, 0, [50, 3]):
            assert_shown(replica, writer.pictures)
        assert (replica.version, replica.checks_ok) == (4, 4)

    def test_every_group_is_one_version_more(self):
        """The ancestor's versions came from the wall clock: no reader could see a gap."""
        writer = Writer()
        for i in range(5):
            writer.take(Message(False, [(100, i + 1, False)], None))
        groups = [row for row in records_of(writer) if row["symbol"] == SYMBOL.encode() and row["flags"] & 7 == RecordKind.DELTA]
        assert [(row["prev_version"], row["version"]) for row in groups] == [(i, i + 1) for i in range(5)]


def grown_writer():
    """A first group of three records, its CHECK behind it, then two small ones."""
    writer = Writer()
    writer.take(Message(False, [(100 + i, 1, True) for i in range(30)], None))
    writer.take(Message(False, [(90, 1, False)], None))
    writer.take(Message(False, [(90, 2, False)], None))
    return writer


@pytest.fixture
def writer():
    return grown_writer()


@pytest.fixture
def replica(writer):
    """At version 1, after the group of three records, another book's record and the CHECK."""
    replica = new_replica()
    writer.pictures[0].load_into(replica)
    replica.apply(writer.stream, 0, 5)
    return replica


def patched(writer, record, **values):
    """The record with these fields set otherwise."""
    rows = records_of(writer)[record : record + 1].copy()
    for name, value in values.items():
        rows[name] = value
    return rows.tobytes()


class TestCold:
    """Why a replica is not to be relied on, and that it stays so until `load`."""

    def test_before_any_image(self, writer):
        """It has no book to continue."""
        replica = new_replica()
        assert (replica.is_cold, replica.why) == (True, ColdReason.COLD)
        assert replica.apply(writer.stream, 0, len(writer.stream) // 256) == 0
        assert replica.book.is_empty

    def test_a_version_left_out(self, replica, writer):
        """The chain is what tells."""
        assert replica.apply(writer.stream, 8, 1) == 0
        assert replica.why is ColdReason.CHAIN_BROKEN
        assert replica.version == 1
        assert replica.apply(writer.stream, 5, 3) == 0

    def test_a_check_of_a_version_we_never_saw(self, replica, writer):
        """A lost last group is noticed within a second."""
        replica.apply(writer.stream, 7, 1)
        assert replica.why is ColdReason.CHAIN_BROKEN

    def test_the_rest_of_a_group(self, replica, writer):
        """Its beginning was never there."""
        replica.apply(patched(writer, 5, flags=LAST, version=2, prev_version=1), 0, 1)
        assert replica.why is ColdReason.GROUP_WITHOUT_FIRST

    @pytest.mark.parametrize(
        "wrong", [{"price_decimals": 3}, {"size_decimals": 7}, {"change_count": 13}, {"flags": FIRST | LAST | 7}]
    )
    def test_a_group_that_cannot_be_ours(self, replica, writer, wrong):
        """Another grid without a RESET, more changes than fit, an unknown kind."""
        replica.apply(patched(writer, 5, **wrong), 0, 1)
        assert replica.why is ColdReason.CHAIN_BROKEN
        assert_shown(replica, writer.pictures)

    def test_a_reset(self, replica, writer):
        """The writer replaced its image: read it."""
        writer.batch.clear()
        count = writer.batch.finish(RecordKind.RESET, 9, 2, 1, 0, False)
        assert replica.apply(writer.batch.records, 0, count) == 1
        assert replica.why is ColdReason.RESET
        writer.pictures[3].load_into(replica)
        assert not replica.is_cold
        assert_shown(replica, writer.pictures)

    def test_a_failed_check(self, replica, writer):
        """The replica is not the writer's book: it may not be used."""
        wrong = bytearray(writer.stream[4 * 256 : 5 * 256])
        wrong[64] ^= 1
        assert replica.apply(wrong, 0, 1) == 1
        assert replica.why is ColdReason.CHECK_FAILED
        assert (replica.checks_ok, replica.checks_bad) == (1, 1)

    @pytest.mark.parametrize("byte", [72, 76])
    def test_a_check_with_another_level_count(self, replica, writer, byte):
        """Counts are part of the proof."""
        wrong = bytearray(writer.stream[4 * 256 : 5 * 256])
        wrong[byte] ^= 1
        replica.apply(wrong, 0, 1)
        assert replica.why is ColdReason.CHECK_FAILED

    def test_an_image_whose_hash_is_another(self, writer):
        """Torn or spoiled."""
        picture = writer.pictures[2]
        picture.book_hash ^= 1
        replica = new_replica()
        assert not picture.load_into(replica)
        assert replica.why is ColdReason.CHECK_FAILED

    def test_an_image_that_is_none_changes_nothing(self, replica, writer):
        """ValueError, and the old book is still there."""
        with pytest.raises(ValueError, match="whole number"):
            replica.load(9, 2, 8, 0, b"x", b"")
        assert_shown(replica, writer.pictures)

    @pytest.mark.parametrize("wrong", [{"price_decimals": 19}, {"size_decimals": 1 << 40}, {"state": 1 << 40}, {"reason": 256}])
    def test_an_image_of_words_that_no_image_has_changes_nothing(self, replica, wrong):
        words = {"version": 9, "price_decimals": 2, "size_decimals": 8, "state": 2, "bids": b"", "asks": b""} | wrong
        with pytest.raises(ValueError, match=r"decimals|state"):
            replica.load(**words)
        assert (replica.version, replica.book.bid_count) == (1, 30 - replica.book.ask_count)

    def test_a_group_beyond_all_bounds_is_never_shown_in_part(self):
        """What would be left of it, its last record, names the version before it as a whole group does."""
        replica, batch = new_replica(), Batch(SYMBOL, EXCHANGE, 2, 8)
        replica.load(0, 2, 8, BookState.LIVE, b"", b"")
        for ticks in range(25):
            batch.append(ticks, 1)
        assert batch.finish(RecordKind.DELTA, 1, 1, 0) == 3
        first, middle, last = (bytes(batch.records[at : at + 256]) for at in (0, 256, 512))
        assert replica.apply(first + 65_535 * middle + last, 0, 65_537) == 0
        assert replica.why is ColdReason.GROUP_WITHOUT_FIRST
        assert (replica.version, replica.book.bid_count) == (0, 0)


class TestHoles:
    def test_a_hole_in_a_held_group_is_a_lap_at_once(self, writer):
        """Its rest was the first that was lost."""
        replica = new_replica()
        writer.pictures[0].load_into(replica)
        replica.apply(writer.stream, 0, 2)
        replica.missed()
        assert replica.why is ColdReason.LAPPED

    def test_a_hole_between_groups_of_others_harms_nothing(self, replica, writer):
        """The chain decides."""
        replica.missed()
        assert replica.apply(writer.stream, 5, 3) == 2
        assert not replica.is_cold
        assert replica.version == 2

    def test_a_new_first_drops_a_group_that_never_ended(self, writer):
        """And the chain tells that something is missing."""
        replica = new_replica()
        writer.pictures[0].load_into(replica)
        replica.apply(writer.stream, 0, 2)
        replica.apply(writer.stream, 5, 1)
        assert replica.why is ColdReason.CHAIN_BROKEN


class TestWords:
    def test_what_the_last_group_said(self, replica, writer):
        """Times of the group, state of the CHECK."""
        replica.apply(writer.stream, 5, 1)
        assert (replica.timestamp_ns, replica.feed_delay_us) == (1002, 2)
        replica.apply(writer.stream, 7, 1)
        assert replica.feed_delay_us == NO_FEED_DELAY
        assert (replica.exchange_checksum, replica.book_state) == (0, BookState.LIVE)

    def test_a_negative_feed_delay(self, replica, writer):
        """Their clock may be ahead of ours."""
        replica.apply(patched(writer, 5, feed_delay_us=-3), 0, 1)
        assert replica.feed_delay_us == -3

    def test_a_status_is_heard_even_cold(self, writer):
        """That the writer has gone stale is worth knowing without a book."""
        replica = new_replica()
        writer.batch.status(7, 3, BookState.STALE, BookReason.SILENT, TradingStatus.TRADING)
        assert replica.apply(writer.batch.records, 0, 1) == 1
        assert (replica.book_state, replica.reason, replica.timestamp_ns) == (BookState.STALE, BookReason.SILENT, 7)

    def test_an_old_status_is_not(self, replica, writer):
        """It is of the time before the image."""
        writer.batch.status(7, 0, BookState.STALE, BookReason.SILENT, TradingStatus.TRADING)
        assert replica.apply(writer.batch.records, 0, 1) == 0
        assert replica.book_state == BookState.LIVE

    def test_records_that_are_not_there(self, replica):
        """Lengths are looked at before memory is."""
        for start, count in ((0, 3), (-1, 1), (2, 1), (0, -1), (1 << 55, 1), (0, 1 << 56), (1 << 62, (1 << 63) - 1)):
            with pytest.raises(ValueError, match="records"):
                replica.apply(bytes(512), start, count)
        assert replica.apply(b"", 0, 0) == 0


# ---- mutants ---------------------------------------------------------------------------------------------------------

quick = settings(
    max_examples=120, deadline=None, derandomize=True, database=None, phases=[Phase.generate], report_multiple_bugs=False
)


def prove_river():
    """The first property, without shrinking."""
    quick(given(histories, cut_sizes, st.integers(0, 12))(check_river))()


def prove_holes():
    """The second one."""
    quick(given(histories, cut_sizes, st.integers(0, 100), st.integers(1, 12))(check_holes))()


def cut_without_telling(monkeypatch):
    real = Book.cut
    monkeypatch.setattr(Book, "cut", lambda self, depth, batch: real(self, depth, None))


def hash_without_side(monkeypatch):
    real = hashes.of_change
    monkeypatch.setattr(hashes, "of_change", lambda ticks, is_ask, old, lots: real(ticks, False, old, lots))


def drop_beyond_twelve(monkeypatch):
    real = Batch.append
    monkeypatch.setattr(Batch, "append", lambda self, ticks, word: real(self, ticks, word) if self.change_count < 12 else 12)


def leave_leftovers(monkeypatch):
    real = Batch.finish

    def finish(self, *arguments):
        old = bytes(self.records)
        count = real(self, *arguments)
        used = 64 + 16 * (self.change_count - 12 * (count - 1))
        self.records[256 * (count - 1) + used : 256 * count] = old[256 * (count - 1) + used : 256 * count]
        return count

    monkeypatch.setattr(Batch, "finish", finish)


def forget_removals_in_difference(monkeypatch):
    real = Walk._record
    monkeypatch.setattr(Walk, "_record", lambda self, batch, at, ticks, old, lots: lots and real(self, batch, at, ticks, old, lots))


def keep_levels_of_size_zero(monkeypatch):
    real = Side.set
    monkeypatch.setattr(Side, "set", lambda self, ticks, lots: real(self, ticks, lots or 1))


def show_half_groups(monkeypatch):
    monkeypatch.setattr(Reconstructor, "_take_record", lambda self, words, at: self._take_group(words, at, 1))


def end_each_record(monkeypatch):
    real = Batch._write_header

    def header(self, record, changes, flags, *rest):
        real(self, record, changes, flags | LAST, *rest)

    monkeypatch.setattr(Batch, "_write_header", header)


def apply_old_versions_again(monkeypatch):
    real = Reconstructor._take_group

    def take(self, words, at, count):
        if words[at + 7] >> 8 & 7 == 0 and words[at + 5] <= self.version:
            self._apply_changes(words, at, count)
        return real(self, words, at, count)

    monkeypatch.setattr(Reconstructor, "_take_group", take)


def take_other_books_records(monkeypatch):
    real = Reconstructor.__init__

    def init(self, exchange, symbol):
        real(self, exchange, "ETH-USD")

    monkeypatch.setattr(Reconstructor, "__init__", init)


def lose_what_is_held(monkeypatch):
    real = Reconstructor.apply

    def apply(self, *arguments):
        self._held_count = 0
        return real(self, *arguments)

    monkeypatch.setattr(Reconstructor, "apply", apply)


def never_break_the_chain(monkeypatch):
    monkeypatch.setattr(Reconstructor, "_chill", lambda self, why: 0)


def ignore_holes(monkeypatch):
    monkeypatch.setattr(Reconstructor, "missed", lambda self: None)


MUTANTS = [
    (cut_without_telling, prove_river),
    (hash_without_side, prove_river),
    (drop_beyond_twelve, prove_river),
    (leave_leftovers, prove_river),
    (forget_removals_in_difference, prove_river),
    (keep_levels_of_size_zero, prove_river),
    (show_half_groups, prove_river),
    (end_each_record, prove_river),
    (apply_old_versions_again, prove_river),
    (take_other_books_records, prove_river),
    (lose_what_is_held, prove_river),
    (never_break_the_chain, prove_holes),
    (ignore_holes, prove_holes),
]


@pytest.mark.skipif(bool(book_module.SOURCE_HASH), reason="compiled methods cannot be patched; the interpreted run breaks them")
class TestMutants:
    @pytest.mark.parametrize(("mutant", "prove"), MUTANTS, ids=[mutant.__name__ for mutant, _ in MUTANTS])
    def test_the_property_catches_it(self, monkeypatch, mutant, prove):
        """Else the property proves nothing."""
        mutant(monkeypatch)
        with pytest.raises((AssertionError, IndexError, KeyError)):
            prove()

    @pytest.mark.parametrize("prove", [prove_river, prove_holes])
    def test_and_lets_the_real_one_pass(self, prove):
        """With the very same examples."""
        prove()
