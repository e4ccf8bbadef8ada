"""Ladders as text: what is shown is the book, exactly; grouping, the consolidated book, the chart, what is cut and how that is told."""

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.tui_pictures import book

from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.tui.books import ladder_text
from alphapulse_cli.tui.books.chart import chart_lines, reach
from alphapulse_cli.tui.books.consolidate import coarsest, consolidated, merged, rungs_in
from alphapulse_cli.tui.books.grouping import STEPS, Rung, Rungs, group_ticks, grouped, moves_of, rungs_of
from alphapulse_cli.tui.books.ladder_columns import columns, size_cells, widths
from alphapulse_cli.tui.books.ladder_text import Look
from alphapulse_cli.tui.feed.picture import BookLadder

LOTS = st.integers(1, 10**14)


def side(is_ask):
    """Levels of a side, best first, below or above a middle that no side reaches."""
    ticks = st.integers(100_001, 10**9) if is_ask else st.integers(1, 100_000)
    levels = st.dictionaries(ticks, LOTS, max_size=40)
    return levels.map(lambda found: sorted(found.items(), reverse=not is_ask))


ladders = st.builds(BookLadder, st.integers(0, 8), st.integers(0, 8), side(False), side(True))


def of(set_name, ladder, more=0):
    """A LIVE book with that ladder, and so many levels a side that the ladder does not hold."""
    made = book(set_name, ladder=ladder)
    made.status.bid_count, made.status.ask_count = len(ladder.bids) + more, len(ladder.asks) + more
    return made


def text_of(line):
    return "".join(piece.text for piece in line)


def numbers(line):
    """(price, size, total) as somebody reads them from a line."""
    cells = re.sub("[▲▼>*≥]", " ", text_of(line)).split()
    return tuple(Fraction(cell) for cell in cells[:3])


def shown(rungs, is_ask, limit, lines_of=ladder_text.side_lines):
    wide = columns(rungs, widths(rungs)[2])
    return lines_of(rungs, Look(), wide, limit, 1, is_ask=is_ask)


def check_ladder(ladder, limit, lines_of=ladder_text.side_lines):
    """Every level, with its exact price and size, and the exact sum of all that are as good or better; in the book's order."""
    rungs = rungs_in(of("kraken", ladder), 1, coarsest([of("kraken", ladder)]), limit)
    for is_ask, levels in ((False, ladder.bids), (True, ladder.asks)):
        total, wanted = 0, []
        for ticks, lots in levels[:limit]:
            total += lots
            units = 10**ladder.price_decimals, *[10**ladder.size_decimals] * 2
            wanted.append(tuple(Fraction(*pair) for pair in zip((ticks, lots, total), units, strict=True)))
        assert [numbers(line) for line in shown(rungs, is_ask, limit, lines_of)] == wanted


class TestTheLadderIsTheBook:
    @given(ladders, st.integers(1, 50))
    def test_what_is_read_from_the_text_is_the_books_levels(self, ladder, limit):
        check_ladder(ladder, limit)

    @given(ladders, st.integers(0, 60))
    def test_narrow_columns_leave_digits_out_only_behind_an_ellipsis(self, ladder, width):
        rungs = rungs_in(of("kraken", ladder), 1, 0, 50)
        for is_ask, levels in ((False, ladder.bids), (True, ladder.asks)):
            lines = ladder_text.side_lines(rungs, Look(), columns(rungs, width), 50, 1, is_ask=is_ask)
            for line, (ticks, lots) in zip(lines, levels, strict=True):
                price, size = text_of(line)[1:].split()[:2]
                assert price == to_text(ticks, ladder.price_decimals)
                whole = to_text(lots, ladder.size_decimals)
                assert whole.startswith(size[:-1]) if size.endswith("…") else Fraction(size) == Fraction(whole)

    @pytest.mark.parametrize("broken", ["size of the next", "total from the second", "worst first"])
    def test_a_broken_ladder_is_found_out(self, broken):
        """The property above can fail."""

        def mutant(rungs, look, wide, count, most, *, is_ask):
            mine = list(rungs.asks if is_ask else rungs.bids)
            if broken == "size of the next":
                mine = [rung._replace(lots=after.lots) for rung, after in zip(mine, mine[1:] + mine[:1], strict=True)]
            elif broken == "total from the second":
                mine = [rung._replace(total=rung.total - mine[0].lots) for rung in mine]
            else:
                mine = mine[::-1]
            wrong = Rungs(rungs.price_decimals, rungs.size_decimals, mine, mine)
            return ladder_text.side_lines(wrong, look, wide, count, most, is_ask=is_ask)

        ladder = BookLadder(2, 3, [(99, 5), (98, 6)], [(101, 7), (102, 8)])
        check_ladder(ladder, 5)
        with pytest.raises(AssertionError):
            check_ladder(ladder, 5, mutant)


class TestGrouping:
    @given(side(False), side(True), st.sampled_from(STEPS))
    def test_groups_hold_all_there_is_and_look_no_better_than_it(self, bids, asks, step):
        for is_ask, levels in ((False, bids), (True, asks)):
            made = rungs_of(levels, step, 10**6, is_ask=is_ask)
            for rung in made:
                inside = [(ticks, lots) for ticks, lots in levels if grouped(ticks, step, is_ask=is_ask) == rung.ticks]
                assert sum(lots for _, lots in inside) == rung.lots
                assert all(0 <= (rung.ticks - ticks if is_ask else ticks - rung.ticks) < step for ticks, _ in inside)
            assert sum(rung.lots for rung in made) == sum(lots for _, lots in levels) == (made[-1].total if made else 0)
            assert rungs_of(levels, step, 3, is_ask=is_ask) == made[:3]

    def test_bids_go_down_and_asks_up(self):
        assert (grouped(109, 10, is_ask=False), grouped(101, 10, is_ask=True), grouped(110, 10, is_ask=True)) == (100, 110, 110)

    def test_a_step_counts_in_ticks_of_the_coarsest(self):
        assert [group_ticks(5, decimals, 1) for decimals in (1, 2, 4)] == [5, 50, 5000]
        assert group_ticks(1, 4, 1) == 1

    def test_the_last_group_of_a_cut_ladder_is_at_least_what_it_says(self):
        rungs = rungs_in(of("kraken", BookLadder(0, 0, [(29, 1), (21, 2), (19, 3)], [(31, 1)]), more=1), 10, 0, 10)
        assert rungs.bids == [Rung(20, 3, 3), Rung(10, 3, 6, whole=False)]
        assert rungs.is_cut == (True, True)
        assert "≥3" in text_of(shown(rungs, False, 5)[1])

    def test_a_group_moved_as_the_level_of_it_that_moved_last(self):
        moved = {(False, 101): (1, 5), (False, 108): (-1, 9), (True, 101): (1, 5)}
        assert moves_of(moved, 10) == {(False, 100): -2, (True, 110): 1}  # what moved last of all counts twice


class TestConsolidated:
    @given(st.lists(ladders, min_size=1, max_size=4), st.sampled_from(STEPS), st.integers(1, 30))
    def test_a_price_has_what_all_have_there_whatever_their_decimals(self, found, step, limit):
        books = [of(f"x{at}", ladder) for at, ladder in enumerate(found)]
        coarse = coarsest(books)
        whole = consolidated(books, step, coarse, limit)
        for is_ask, rungs in ((False, whole.bids), (True, whole.asks)):
            wanted: dict[Fraction, Fraction] = {}
            for ladder in found:
                size = group_ticks(step, ladder.price_decimals, coarse)
                for ticks, lots in ladder.asks if is_ask else ladder.bids:
                    price = Fraction(grouped(ticks, size, is_ask=is_ask), 10**ladder.price_decimals)
                    wanted[price] = wanted.get(price, Fraction(0)) + Fraction(lots, 10**ladder.size_decimals)
            best = sorted(wanted, reverse=not is_ask)[:limit]
            assert [whole.price(rung) for rung in rungs] == best
            unit, total = 10**whole.size_decimals, 0
            for rung in rungs:
                total += rung.lots
                assert Fraction(rung.lots, unit) == wanted[whole.price(rung)]
                assert (rung.total, sum(rung.parts), rung.whole) == (total, rung.lots, True)

    def test_beyond_what_one_of_them_knows_the_sums_are_at_least(self):
        cut, deep = (
            of("a", BookLadder(0, 0, [(50, 1), (49, 1)], []), more=5),
            of("b", BookLadder(1, 0, [(500, 1), (490, 1), (480, 1)], [])),
        )
        assert [rung.whole for rung in consolidated([cut, deep], 1, 0, 9).bids] == [True, True, False]
        assert [rung.whole for rung in consolidated([cut, deep], 2, 0, 9).bids] == [True, False]

    def test_the_best_prices_are_those_before_grouping(self):
        books = [of("a", BookLadder(0, 0, [(47, 1)], [(53, 1)])), of("b", BookLadder(1, 0, [(481, 1)], [(529, 1)]))]
        assert consolidated(books, 10, 0, 5).best == (481, 529)

    def test_nothing_merged_is_nothing(self):
        assert merged([], 5) == Rungs(0, 0, [], [])


class TestTheMiddle:
    @pytest.mark.parametrize(
        ("bid", "ask", "wanted"),
        [(9999, 10002, "100.005 ─ spread 0.03"), (10000, 10000, "locked 0.00"), (10003, 10001, "crossed -0.02")],
    )
    def test_it_says_mid_and_spread_exactly_and_what_is_odd_in_words(self, bid, ask, wanted):
        rungs = rungs_in(of("kraken", BookLadder(2, 0, [(bid, 3)], [(ask, 1)])), 1, 2, 5)
        line = text_of(ladder_text.middle(rungs, 10, "", 60))
        assert wanted in line
        assert "imbalance +50%" in line

    def test_in_few_cells_the_words_are_signs_and_then_go(self):
        rungs = rungs_in(of("kraken", BookLadder(2, 0, [(9999, 1)], [(10001, 3)])), 1, 2, 5)
        lines = [text_of(ladder_text.middle(rungs, 10, "", width)) for width in (30, 22, 16, 5)]
        assert [line.rstrip("─ ") for line in lines] == ["─ 100 ─ Δ0.02 ─ -50%", "─ 100 ─ Δ0.02 ─ -50%", "─ 100 Δ0.02", "─ 100"]

    def test_a_side_that_is_empty_is_said(self):
        assert "no bids" in text_of(ladder_text.middle(rungs_in(of("a", BookLadder(0, 0, [], [(1, 1)])), 1, 0, 5), 10, "", 30))
        assert "no asks" in text_of(ladder_text.middle(rungs_in(of("a", BookLadder(0, 0, [(1, 1)], [])), 1, 0, 5), 10, "", 30))

    def test_imbalance_is_of_the_best_levels_only(self):
        rungs = rungs_in(of("a", BookLadder(0, 0, [(9, 3), (8, 100)], [(10, 1)])), 1, 0, 5)
        assert (rungs.imbalance(1), Rungs(0, 0).imbalance(5)) == (Fraction(1, 2), None)


class TestMarks:
    def lines(self, look, moved=None):
        return ladder_text.side_lines(
            rungs_in(of("a", BookLadder(1, 0, [(95, 3), (90, 1)], [(101, 1)], moved or {})), 1, 1, 5),
            look,
            columns(Rungs(1, 0), 40),
            5,
            4,
            is_ask=False,
        )

    def test_what_moved_last_has_a_neutral_sign_and_a_ground_and_what_moved_before_is_paler(self):
        up, down = self.lines(Look(), {(False, 95): (1, 7), (False, 90): (-1, 7)})
        assert [line[0] for line in (up, down)] == [("▲", "moved", "flash"), ("▼", "moved", "flash")]
        up, down = self.lines(Look(), {(False, 95): (1, 7), (False, 90): (-1, 6)})
        assert [line[0] for line in (up, down)] == [("▲", "moved", "flash"), ("▼", "fading", "fade")]

    def test_the_cursor_is_the_same_price_whatever_the_decimals(self):
        first, second = self.lines(Look(cursor=Fraction("9.50")))
        assert (first[0].text, second[0].text) == (">", " ")
        assert self.lines(Look(cursor=Fraction("9.501")))[0][0].text == " "

    def test_the_best_of_all_is_starred_but_not_once_it_is_scrolled_away(self):
        assert "9.5*" in text_of(self.lines(Look(best_bid=True))[0])
        assert not any("*" in text_of(line) for line in self.lines(Look(best_bid=True, skip=1)))

    def test_bars_are_shares_of_the_most(self):
        cells = [sum(len(piece.text) for piece in line if piece.ground == "bid-bar") for line in self.lines(Look())]
        assert cells == [25, 33]  # three quarters, rounded up, and all of the cells behind the price

    def test_a_stale_one_has_neither_bars_nor_marks(self):
        lines = self.lines(Look(is_stale=True), {(False, 95): (1, 0)})
        assert {piece.ground for line in lines for piece in line} == {""}


class TestColumns:
    def test_sizes_stand_by_their_points_without_zeros_behind(self):
        assert size_cells([150, 5, 12_000], 2, 8) == ["    1.5 ", "    0.05", "  120   "]

    def test_what_does_not_fit_ends_in_an_ellipsis(self):
        assert size_cells([12_345_678], 4, 7) == ["1234.5…"]
        assert size_cells([12_345_678], 0, 5) == ["1234…"]
        assert size_cells([12_345_678], 4, 4) == ["123…"]

    def test_initials_are_one_each(self):
        assert ladder_text.initials(["binance", "bitstamp", "bybit", "b", "é"]) == "biy34"


class TestTheChart:
    def test_hills_grow_away_from_the_mid_and_the_axis_says_where(self):
        rungs = consolidated([of("a", BookLadder(0, 0, [(99, 1), (98, 1), (90, 2)], [(101, 2), (110, 2)]))], 1, 0, 50)
        lines = [text_of(line) for line in chart_lines(rungs, 40, 10)]
        assert len(lines) == 10
        assert {len(line) for line in lines} == {40}
        assert lines[0].split() == ["bids", "4", "depth", "asks", "4"]
        assert lines[-1].split() == ["90", "100", "110"]
        assert lines[1][0] == lines[1][-1] == "█"
        assert lines[-2][19:21].strip() == ""

    @pytest.mark.parametrize(("width", "height"), [(0, 0), (10, 10), (40, 2)])
    def test_without_room_or_a_side_there_is_none(self, width, height):
        rungs = consolidated([of("a", BookLadder(0, 0, [(99, 1)], [(101, 2)]))], 1, 0, 50)
        assert chart_lines(rungs, width, height) == []
        assert chart_lines(Rungs(0, 0), 40, 10) == []
        assert reach(Rungs(0, 0)) == 0
