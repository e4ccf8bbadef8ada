"""Questions to a book, answered in exact numbers."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.decimals import top_decimals
from support.strategies_book import Message, Model, level_lists, to_levels

from alphapulse_cli.book import views
from alphapulse_cli.book.book import Book


@pytest.fixture
def book():
    """Bids 100.00 x 5, 99.50 x 10; asks 100.50 x 4, 101.00 x 6."""
    book = Book(2, 0)
    book.load(to_levels([(10000, 5, False), (9950, 10, False), (10050, 4, True), (10100, 6, True)], 2, 0))
    return book


class TestTop:
    def test_best_prices_mid_and_spread(self, book):
        """Ticks, and Fractions where half a tick may be left."""
        assert views.bbo(book) == (10000, 5, 10050, 4)
        assert views.mid_doubled(book) == 20050
        assert views.mid(book) == Fraction("100.25")
        assert views.spread_ticks(book) == 50
        assert views.spread_bps(book) == Fraction(500000, 10025)

    def test_a_crossed_book_has_a_negative_spread(self):
        """It happens, for a moment."""
        book = Book(2, 0)
        book.load(to_levels([(101, 1, False), (100, 1, True)], 2, 0))
        assert views.spread_ticks(book) == -1

    @pytest.mark.parametrize("rows", [[], [(1, 1, False)], [(1, 1, True)]])
    def test_one_side_alone_has_no_answer(self, rows):
        """None, not 0: "is 0 a value or a placeholder?"."""
        book = Book(2, 0)
        book.load(to_levels(rows, 2, 0))
        assert [ask(book) for ask in (views.bbo, views.mid, views.mid_doubled, views.spread_ticks, views.spread_bps)] == [None] * 5

    def test_a_mid_of_zero_has_no_basis_points(self):
        """Nothing to divide by."""
        book = Book(2, 0)
        book.load(to_levels([(0, 1, False), (0, 1, True)], 2, 0))
        assert views.spread_bps(book) is None
        assert views.mid(book) == 0


sides = st.dictionaries(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 2000), st.integers(1, 2**62 - 1), max_size=8)


class TestTopDecimals:
    """Text of a checksum, as the book writes it itself: that of Python's decimals."""

    @given(bids=sides, asks=sides, count=st.integers(0, 9), prices=st.integers(0, 18), sizes=st.integers(0, 18), sign=st.booleans())
    def test_it_is_the_text_of_the_lists_of_levels(self, bids, asks, count, prices, sizes, sign):
        book = Book(prices, sizes)
        book.reserve(8)
        for side, side_bit in ((bids, 0), (asks, 1 << 63)):
            for ticks, lots in side.items():
                book.set(ticks, lots | side_bit)
        expected = top_decimals(book.bids(count), book.asks(count), prices, sizes, sign=sign)
        assert book.top_decimals(count, prices, sizes, sign) == expected

    def test_an_example(self):
        book = Book(2, 3)
        book.load(to_levels([(10050, 500, False), (10000, 1, False), (10100, 120, True)], 2, 3))
        assert book.top_decimals(25, 2, 3, True) == b"100.5:0.5:101:-0.12:100:0.001"
        assert book.top_decimals(1, 2, 3, False) == b"100.5:0.5:101:0.12"
        assert Book(2, 3).top_decimals(25, 2, 3, True) == b""


class TestDepth:
    def test_depth_and_imbalance(self, book):
        """Of the best N levels a side."""
        assert views.depth_lots(book, 1) == (5, 4)
        assert views.depth_lots(book, 9) == (15, 10)
        assert views.imbalance(book, 1) == Fraction(1, 9)
        assert views.imbalance(book, 2) == Fraction(1, 5)
        assert views.imbalance(Book(0, 0), 5) is None


class TestWalk:
    def test_a_buyer_takes_asks_from_the_lowest(self, book):
        """Four at 100.50, then two at 101.00."""
        walk = views.depth_walk(book, True, size_lots=6)
        assert walk == views.Walk(6, 4 * 10050 + 2 * 10100, 10100, 2)
        assert walk.average_ticks == Fraction(4 * 10050 + 2 * 10100, 6)

    def test_a_seller_takes_bids_from_the_highest(self, book):
        """As many as there are."""
        assert views.depth_walk(book, False, size_lots=100) == views.Walk(15, 5 * 10000 + 10 * 9950, 9950, 2)

    def test_a_notional_buys_whole_lots(self, book):
        """What is left over buys nothing."""
        assert views.depth_walk(book, True, notional=4 * 10050 + 10099) == views.Walk(4, 4 * 10050, 10050, 1)
        assert views.depth_walk(book, True, notional=10049) == views.Walk(0, 0, None, 0)

    def test_both_bounds_hold(self, book):
        """Whichever is reached first."""
        assert views.depth_walk(book, True, size_lots=2, notional=10**9).filled_lots == 2
        assert views.depth_walk(book, True, size_lots=9, notional=10050).filled_lots == 1

    def test_nothing_wanted_is_nothing_filled(self, book):
        """No worst price then, no average."""
        walk = views.depth_walk(book, True, size_lots=0)
        assert (walk.filled_lots, walk.worst_ticks, walk.average_ticks) == (0, None, None)

    @pytest.mark.parametrize("wanted", [{}, {"size_lots": -1}, {"notional": -1}])
    def test_a_walk_must_be_told_how_far(self, book, wanted):
        """And forward."""
        with pytest.raises(ValueError, match="walk"):
            views.depth_walk(book, True, **wanted)

    @given(level_lists, st.booleans(), st.integers(0, 60))
    def test_a_walk_is_the_lots_laid_out_in_order(self, rows, is_ask, size_lots):
        """One lot after the other, small sizes only."""
        rows = [(ticks, lots % 7, side) for ticks, lots, side in rows]
        model = Model()
        model.take(Message(True, rows, None))
        book = Book(2, 8)
        book.load(to_levels(rows))
        laid_out = [ticks for ticks, lots in (model.asks() if is_ask else model.bids()) for _ in range(lots)][:size_lots]
        walk = views.depth_walk(book, is_ask, size_lots=size_lots)
        assert (walk.filled_lots, walk.cost) == (len(laid_out), sum(laid_out))
        assert walk.worst_ticks == (laid_out[-1] if laid_out else None)

    def test_a_deep_walk_reads_on(self):
        """Beyond the first slice of levels."""
        book = Book(2, 8)
        book.load(to_levels([(1000 + i, 1, True) for i in range(500)]))
        assert views.depth_walk(book, True, size_lots=400) == views.Walk(400, sum(range(1000, 1400)), 1399, 400)
