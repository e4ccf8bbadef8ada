"""A book against a dict, in every way that it can be changed, and the promises that its memory keeps."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.strategies_book import Message as Said
from support.strategies_book import (
    Model,
    book_hash,
    depths,
    level_lists,
    mix,
    side_bytes,
    to_levels,
)
from support.strategies_book import assert_same as same

from alphapulse_cli.book.book import HASH_VECTORS, Book, NoRoom
from alphapulse_cli.book.hashes import splitmix64
from alphapulse_cli.market.levels import Levels
from alphapulse_cli.wire.batch import Batch
from alphapulse_cli.wire.delta import IS_ASK, LEVEL_IS_NEW, SIZE_MASK, dtype


def new_batch():
    return Batch("BTC-USD", "kraken", 2, 8)


def told(batch):
    """The batch's changes as (ticks, lots, is_ask, is_new)."""
    import numpy as np

    count = batch.finish(0, 1, 1, 0, 0, False)
    found = np.frombuffer(bytes(memoryview(batch.records)[: 256 * count]), dtype())["changes"].reshape(-1)[: batch.change_count]
    return [
        (ticks, word & SIZE_MASK, word >= IS_ASK, bool(word & LEVEL_IS_NEW))
        for ticks, word in zip(found["price_ticks"].tolist(), found["size_side"].tolist(), strict=True)
    ]


class BookMachine(RuleBasedStateMachine):
    """One book in memory of its own and one in memory handed in, next to a dict; a third is fed only what the batch was told."""

    def __init__(self):
        super().__init__()
        self.model = Model()
        self.private = Book(2, 8)
        self.memory = bytearray(16 * 300), bytearray(16 * 300)
        self.shared = Book(2, 8, *self.memory)
        self.follower = {}

    def tell(self, message, change):
        """Change both books and the model; what the batch was told must turn the follower into the model."""
        batch, second = new_batch(), new_batch()
        count = change(self.private, batch)
        assert count == batch.change_count
        change(self.shared, second)
        assert told(batch) == told(second)
        self.model.take(message)
        for ticks, lots, is_ask, is_new in told(batch):
            assert is_new == (bool(lots) and (is_ask, ticks) not in self.follower)
            assert self.follower.get((is_ask, ticks), 0) != lots
            self.follower[is_ask, ticks] = lots
            if not lots:
                del self.follower[is_ask, ticks]
        assert self.follower == self.model.lots

    @rule(rows=level_lists)
    def apply(self, rows):
        self.tell(Said(False, rows, None), lambda book, batch: book.apply(to_levels(rows), batch))

    @rule(rows=level_lists)
    def replace(self, rows):
        self.tell(Said(True, rows, None), lambda book, batch: book.replace(to_levels(rows), batch))

    @rule(rows=level_lists, order=st.sampled_from([1, -1]))
    def replace_sorted(self, rows, order):
        model = Model()
        model.take(Said(True, rows, None))
        rows = [(*bid, False) for bid in model.bids()[::order]] + [(*ask, True) for ask in model.asks()[::order]]
        self.tell(Said(True, rows, None), lambda book, batch: book.replace(to_levels(rows), batch))

    @rule(depth=st.integers(0, 8))
    def cut(self, depth):
        self.tell(Said(False, [], depth), lambda book, batch: book.cut(depth, batch))

    @rule(rows=level_lists)
    def load(self, rows):
        for book in (self.private, self.shared):
            book.load(to_levels(rows))
        self.model.take(Said(True, rows, None))
        self.follower = dict(self.model.lots)

    @rule()
    def load_sides(self):
        bids, asks = side_bytes(self.private.bids()), side_bytes(self.private.asks())
        assert bytes(self.memory[0][: len(bids)]) == bids
        assert bytes(self.memory[1][: len(asks)]) == asks
        for book in (self.private, self.shared):
            book.load_sides(bids, asks)

    @rule()
    def rebind(self):
        self.memory = bytearray(16 * 400), bytearray(16 * 400)
        self.shared.rebind(*self.memory)
        self.private.rebind(None, None)

    @rule(rows=level_lists)
    @precondition(lambda self: self.shared.room() > 0)
    def leave_out_what_is_on_another_grid(self, rows):
        for change in (self.private.apply, self.private.replace):
            with pytest.raises(ValueError, match="grid"):
                change(to_levels(rows, price_decimals=3), new_batch())

    @invariant()
    def both_are_the_model(self):
        for book in (self.private, self.shared):
            same(book, self.model)
            assert (book.bid_count, book.ask_count) == (len(self.model.bids()), len(self.model.asks()))
            assert book.best_bid() == (self.model.bids() or [None])[0]
            assert book.best_ask() == (self.model.asks() or [None])[0]
            assert book.bids(2) == self.model.bids()[:2]
            assert book.is_empty == (not self.model.lots)
            both = self.model.bids() and self.model.asks()
            assert book.is_crossed == bool(both and self.model.bids()[0][0] > self.model.asks()[0][0])
            assert book.is_locked == bool(both and self.model.bids()[0][0] == self.model.asks()[0][0])
            for ticks in (100, 110, 10**13):
                for is_ask in (False, True):
                    assert book.size_at(ticks, is_ask) == self.model.lots.get((is_ask, ticks), 0)


BookMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None, derandomize=True)
TestBookAgainstADict = BookMachine.TestCase


class TestRoom:
    """A message is applied whole or not at all."""

    ROWS = [(100 - i, 5, False) for i in range(4)] + [(101 + i, 5, True) for i in range(2)]

    def full(self):
        memory = bytearray(16 * 4), bytearray(16 * 4)
        book = Book(2, 8, *memory)
        book.load(to_levels(self.ROWS))
        return book, memory

    @pytest.mark.parametrize("change", ["apply", "replace", "load"])
    def test_no_room_leaves_everything_unchanged(self, change):
        """Book, memory and batch."""
        book, memory = self.full()
        before = bytes(memory[0]), bytes(memory[1]), book.book_hash
        batch = new_batch()
        rows = [(90, 7, False)] + self.ROWS + [(110 + i, 1, True) for i in range(3)]
        arguments = (to_levels(rows),) if change == "load" else (to_levels(rows), batch)
        with pytest.raises(NoRoom) as caught:
            getattr(book, change)(*arguments)
        assert caught.value.needed_count >= 5
        assert (bytes(memory[0]), bytes(memory[1]), book.book_hash) == before
        assert batch.change_count == 0

    def test_a_full_side_still_takes_removals(self):
        """They need no room."""
        book, _ = self.full()
        assert book.room() == 0
        assert book.apply(to_levels([(100, 0, False), (1, 0, False)]), None) == 1
        assert book.room() == 1

    def test_a_single_change_without_room_is_refused(self):
        """Compiled, it would be written beyond the memory."""
        book, memory = self.full()
        before = bytes(memory[0]), book.book_hash
        with pytest.raises(NoRoom):
            book.set(1, 1)
        assert (bytes(memory[0]), book.book_hash) == before
        assert book.set(100, 6) == 5

    def test_larger_memory_takes_it(self):
        """What the owner of an image does when it hears NoRoom."""
        book, _ = self.full()
        book.rebind(bytearray(16 * 20), bytearray(16 * 20))
        assert book.apply(to_levels([(1, 1, False)]), None) == 1
        assert book.bids() == [(100, 5), (99, 5), (98, 5), (97, 5), (1, 1)]

    def test_smaller_memory_is_refused(self):
        """And the book stays where it was."""
        book, memory = self.full()
        with pytest.raises(NoRoom):
            book.rebind(bytearray(16 * 20), bytearray(16))
        book.apply(to_levels([(100, 0, False)]), None)
        assert book.bids() == [(99, 5), (98, 5), (97, 5)]
        assert bytes(memory[0][:16]) == side_bytes([(97, 5)])


@pytest.mark.parametrize("grid", [(-1, 8), (19, 8), (2, 19), (1 << 40, 8)])
def test_a_book_has_the_decimals_that_a_record_can_say(grid):
    """Else an image of nonsense would make a book of nonsense."""
    with pytest.raises(ValueError, match="decimals"):
        Book(*grid)


class TestRescale:
    @given(level_lists, st.integers(0, 8), st.integers(0, 8))
    def test_a_finer_grid_multiplies_exactly_or_not_at_all(self, rows, price_step, size_step):
        """As whole numbers do."""
        book = Book(2, 8)
        book.load(to_levels(rows))
        bids, asks, hashed = book.bids(), book.asks(), book.book_hash
        fits = all(ticks * 10**price_step < 1 << 63 and lots * 10**size_step <= SIZE_MASK for ticks, lots in bids + asks)
        assert book.rescale(2 + price_step, 8 + size_step) == fits
        if fits:
            bids, asks = ([(t * 10**price_step, q * 10**size_step) for t, q in side] for side in (bids, asks))
            hashed = book_hash([(*one, False) for one in bids] + [(*one, True) for one in asks])
        assert (book.bids(), book.asks(), book.book_hash) == (bids, asks, hashed)
        assert (book.price_decimals, book.size_decimals) == ((2 + price_step, 8 + size_step) if fits else (2, 8))

    @pytest.mark.parametrize("grid", [(1, 8), (2, 7), (19, 8), (2, 19)])
    def test_there_is_no_coarser_grid_and_none_beyond_eighteen(self, grid):
        """Digits would be lost."""
        book = Book(2, 8)
        assert not book.rescale(*grid)
        assert (book.price_decimals, book.size_decimals) == (2, 8)


class TestHash:
    @pytest.mark.parametrize(("rows", "expected"), HASH_VECTORS)
    def test_vectors(self, rows, expected):
        """What another reader's hash must give."""
        book = Book(0, 0)
        book.load(to_levels(rows, 0, 0))
        assert book.book_hash == expected == book_hash(rows)

    def test_splitmix64_is_the_published_one(self):
        """The first outputs of the reference generator seeded with 0."""
        assert splitmix64(0) == mix(0) == 0xE220A8397B1DCDAF
        assert splitmix64(0x9E3779B97F4A7C15) == 0x6E789E6AA1B965F4

    def test_negative_ticks_hash_as_twos_complement(self):
        """No exchange of ours has them; the record could."""
        book = Book(0, 0)
        book.reserve(2)
        book.set(-5, 7)
        book.set(-(1 << 63), 1 | IS_ASK)
        assert book.book_hash == book_hash([(-5, 7, False), (-(1 << 63), 1, True)])

    def test_both_sides_of_one_price_differ(self):
        """The side is part of what is hashed."""
        assert book_hash([(1, 1, False)]) != book_hash([(1, 1, True)])


class TestWholeBooks:
    """Full depth: 45,827 levels, as Coinbase's BTC-USD."""

    COUNT = 45_827

    def full(self):
        half = self.COUNT // 2
        rows = [(10**7 - 1 - 3 * i, i + 1, False) for i in range(half)]
        return rows + [(10**7 + 3 * i, i + 1, True) for i in range(self.COUNT - half)]

    def test_nothing_beyond_sixteen_changes_is_dropped(self):
        """The ancestor's log said "some bid changes dropped"; every reader was wrong from then on."""
        book, batch = Book(2, 8), new_batch()
        assert book.replace(to_levels(self.full()), batch) == self.COUNT
        assert sorted((ticks, lots, is_ask) for ticks, lots, is_ask, _ in told(batch)) == sorted(self.full())

    def test_the_same_book_again_says_nothing(self):
        """A second snapshot costs readers nothing."""
        book, batch = Book(2, 8), new_batch()
        book.load(to_levels(self.full()))
        assert book.replace(to_levels(self.full()), batch) == 0
        assert book.replace(to_levels(self.full()[::-1]), batch) == 0

    def test_prices_of_a_tick_apart_are_apart(self):
        """The ancestor's keys were price * 100000 in f32: every SHIB price shared one, and neighbouring cents merged."""
        book = Book(10, 8)
        book.load(to_levels([(ticks, 1, False) for ticks in range(99, 0, -1)] + [(12170601 * 10**8, 1, True)], 10, 8))
        assert book.bid_count == 99
        assert book.best_ask() == (12170601 * 10**8, 1)

    def test_stub_orders_stay(self):
        """Real books have them at 10^13 ticks."""
        book = Book(8, 0)
        book.load(to_levels([(1, 1, False), (5, 2, True), (10**13, 3, True)], 8, 0))
        assert book.asks() == [(5, 2), (10**13, 3)]


class TestImageSides:
    @pytest.mark.parametrize(
        ("bids", "reason"),
        [
            (b"x" * 17, "whole number"),
            (side_bytes([(1, 1), (2, 1)]), "order"),
            (side_bytes([(2, 1), (2, 1)]), "order"),
            (side_bytes([(2, 0)]), "size"),
            (side_bytes([(2, 1 << 62)]), "size"),
            (side_bytes([(2, -1)]), "size"),
        ],
    )
    def test_bytes_that_are_no_side_are_refused(self, bids, reason):
        """An image is another process's: it is looked at before it is believed."""
        book = Book(2, 8)
        book.load(to_levels([(1, 1, False)]))
        with pytest.raises(ValueError, match=reason):
            book.load_sides(bids, b"")
        assert book.bids() == [(1, 1)]

    @given(level_lists, depths)
    def test_an_image_copy_is_the_book(self, rows, depth):
        """Best last on either side."""
        model = Model()
        model.take(Said(True, rows, depth))
        book = Book(2, 8)
        book.load_sides(side_bytes(model.bids()), bytearray(side_bytes(model.asks())))
        same(book, model)


def test_a_batch_may_be_left_out():
    """Whoever only keeps a book needs no deltas."""
    book = Book(2, 8)
    assert book.apply(to_levels([(1, 1, False), (1, 1, False), (2, 2, True), (3, 1, True)]), None) == 3
    assert book.cut(1, None) == 1
    assert isinstance(to_levels([]), Levels)
    assert book.asks() == [(2, 2)]
