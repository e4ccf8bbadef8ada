"""What the plots of the latency screen say: the histogram, the seconds, the gauge, and the short figures."""

from itertools import pairwise
from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphapulse_cli.readers.status import SetStatus
from alphapulse_cli.shm.histogram import HISTOGRAM_BYTES, LARGEST, QUANTILES, Histogram
from alphapulse_cli.shm.segment import Liveness
from alphapulse_cli.tui.feed.picture import SetPicture
from alphapulse_cli.tui.widgets import figures
from alphapulse_cli.tui.widgets.gauge import bar, gauge_line, pace
from alphapulse_cli.tui.widgets.histogram import (
    DEAREST_FIRST,
    GUTTER,
    axis_of,
    column_of,
    columns,
    histogram_lines,
    marks,
    shape,
    ticks,
)
from alphapulse_cli.tui.widgets.history import GUTTER as HISTORY_GUTTER
from alphapulse_cli.tui.widgets.history import history_lines
from alphapulse_cli.tui.widgets.lines import bars, in_width, joined, side_by_side

WIDTH = 60
VALUES = st.lists(st.integers(0, LARGEST), min_size=1, max_size=50)


def held(*values):
    """A distribution of these values, in ns."""
    histogram = Histogram(bytearray(HISTOGRAM_BYTES))
    for value in values:
        histogram.record(value)
    return histogram.read()


def texts(lines):
    return ["".join(text for text, _ in line) for line in lines]


class TestTheHistogram:
    @given(VALUES, st.integers(1, 300))
    def test_its_columns_have_every_sample_once(self, values, width):
        distribution = held(*values)
        assert isclose(sum(columns(distribution, axis_of(distribution), width)), len(values), rel_tol=1e-6)

    @given(VALUES, st.integers(12, 300))
    def test_a_percentile_is_marked_where_there_are_samples(self, values, width):
        distribution = held(*values)
        axis = axis_of(distribution)
        counts = columns(distribution, axis, width)
        for fraction in QUANTILES:
            at = column_of(distribution.quantile(fraction), axis, width)
            assert counts[at] > 0

    @given(VALUES)
    def test_the_axis_begins_and_ends_at_round_figures_around_all_samples(self, values):
        begin, end = axis_of(held(*values))
        assert begin < end
        for edge in (begin, end):
            assert f"{10**edge:.3e}"[:5] in ("1.000", "2.000", "5.000") or edge == begin + 0.3
        assert 10**begin <= max(min(values), 1) * 1.0001
        assert 10**end >= max(values) * 0.9999

    def test_every_percentile_may_be_marked(self):
        assert set(DEAREST_FIRST) == {*(f"p{fraction * 100:g}" for fraction in QUANTILES), "max"}

    def test_marks_stand_below_the_column_of_the_quantile(self):
        distribution = held(*range(1_000, 1_000_000, 500))
        axis = axis_of(distribution)
        lines = marks(distribution, axis, WIDTH, 5)
        for fraction in QUANTILES:
            name, at = f"p{fraction * 100:g}", column_of(distribution.quantile(fraction), axis, WIDTH)
            assert any(line[at : at + 1 + len(name)] == f"▲{name}" or line[at - len(name) : at + 1] == f"{name}▲" for line in lines)

    def test_the_fullest_column_is_as_tall_as_there_is_room_and_any_sample_is_seen(self):
        distribution = held(*[1_000] * 999, 1_000_000)
        lines = texts(histogram_lines(distribution, WIDTH, 12))
        assert len(lines) == 12
        plot = [line[GUTTER:] for line in lines[:8]]
        assert all("█" in line for line in plot)
        assert "▁" in plot[-1]
        assert lines[0].startswith("    999 ┤")

    def test_ticks_are_figures_that_do_not_run_into_each_other(self):
        placed = ticks((3.0, 9.0), 60)
        assert placed[:3] == [(0, "1 µs"), (10, "10 µs"), (20, "100 µs")]
        for (at, text), (following, _) in pairwise(placed):
            assert at + len(text) < following

    def test_without_samples_it_says_so_and_without_room_it_is_not_there(self):
        assert "no samples yet" in "".join(texts(histogram_lines(held(), WIDTH, 10)))
        assert histogram_lines(held(1), 15, 10) == []
        assert histogram_lines(held(1), WIDTH, 3) == []

    @given(VALUES, st.integers(0, 120), st.integers(0, 40))
    def test_it_never_takes_more_than_its_room(self, values, width, height):
        lines = texts(histogram_lines(held(*values), width, height))
        assert len(lines) <= height
        assert all(len(line) <= width for line in lines)

    def test_its_shape_in_a_line(self):
        assert shape(held(*[2_000] * 8, *[20_000_000] * 4), (3.0, 10.0), 7) == "█   ▄  "
        assert shape(held(), (3.0, 10.0), 7) == "       "


class TestTheSeconds:
    def test_a_second_without_samples_is_a_gap_and_not_a_zero(self):
        lines = texts(history_lines([(10, 100), (0, 0), (5, 50)], 30, 5))
        seconds = [line[HISTORY_GUTTER : HISTORY_GUTTER + 3] for line in lines[:4]]
        assert seconds == ["█  ", "█·█", "█  ", "█·█"]

    def test_a_p50_of_nothing_is_a_second_all_the_same(self):
        lines = texts(history_lines([(0, 100)], 30, 3))
        assert [line[HISTORY_GUTTER] for line in lines[:2]] == ["█", "▁"]  # never a blank

    def test_each_band_has_its_own_scale_and_says_its_top(self):
        lines = texts(history_lines([(1_000, 2_000_000), (2_000, 1_000_000)], 30, 7))
        assert lines[0].startswith(" 2.00 ms ┤█")
        assert lines[3].startswith(" 2.00 µs ┤ █")
        assert lines[4].startswith("         │▄█")
        assert lines[6].split() == ["2", "s", "ago", "now"]

    def test_only_the_newest_find_room(self):
        history = [(at, at) for at in range(1, 121)]
        lines = texts(history_lines(history, HISTORY_GUTTER + 20, 3))
        assert lines[-1][HISTORY_GUTTER:].startswith("20 s ago")
        assert len(lines[0]) == HISTORY_GUTTER + 20

    def test_before_the_first_second_it_says_so(self):
        assert "once a second has passed" in "".join(texts(history_lines([], 60, 8)))
        assert history_lines([(1, 2)], 10, 8) == []

    @given(
        st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**12)), max_size=120), st.integers(0, 300), st.integers(0, 40)
    )
    def test_they_never_take_more_than_their_room(self, history, width, height):
        lines = texts(history_lines(history, width, height))
        assert len(lines) <= max(height, 2)
        assert all(len(line) <= width for line in lines) or not history


class TestTheGauge:
    @pytest.mark.parametrize(
        ("part", "words", "kind"),
        [
            (0, "keeps up", "live"),
            (0.49, "keeps up", "live"),
            (0.5, "falls behind", "waiting"),
            (0.9, "about to be lapped", "dead"),
        ],
    )
    def test_it_says_how_the_reader_does(self, part, words, kind):
        assert pace(part) == (words, kind)

    def test_the_bar_is_as_long_as_the_part_and_whatever_is_above_zero_is_seen(self):
        assert [bar(part, 4) for part in (0, 0.001, 0.5, 1, 7)] == ["    ", "▏   ", "██  ", "████", "████"]

    def test_the_line_has_the_figures_and_what_was_lost(self):
        one = SetPicture(SetStatus("kraken", "kraken", Liveness.LIVE), lag=3_342, missed=1_200, laps=2, capacity=65_536)
        (line,) = texts([gauge_line(one, 140)])
        assert "3,342 of 65,536 records behind (5.1%), ! 1,200 missed in 2 laps" in line
        assert len(texts([gauge_line(one, 40)])[0]) == 40

    def test_a_set_that_is_not_live_says_what_it_is(self):
        for liveness, word in ((Liveness.SILENT, "silent"), (Liveness.RETIRED, "retired"), (None, "gone")):
            assert f"{word}: what is shown" in texts([gauge_line(SetPicture(SetStatus("kraken", "kraken", liveness)), 100)])[0]
        assert "not attached" in texts([gauge_line(SetPicture(SetStatus("kraken", "kraken", Liveness.LIVE)), 100)])[0]


class TestFigures:
    @pytest.mark.parametrize(
        ("ns", "text"),
        [
            (None, "-"),
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (38_060, "38.1 µs"),
            (99_960, "100 µs"),
            (999_600, "1.00 ms"),
            (1_200_000_000, "1.20 s"),
            (LARGEST, "1,100 s"),
        ],
    )
    def test_durations_have_three_digits_and_a_unit(self, ns, text):
        assert figures.duration(ns) == text

    @given(st.integers(0, LARGEST))
    def test_they_fit_in_seven_columns(self, ns):
        assert len(figures.duration(ns)) <= 7

    def test_sizes_counts_and_ages(self):
        assert [figures.size(octets) for octets in (512, 24_704, 528_384, 1 << 24)] == ["512 B", "24.1 KiB", "516 KiB", "16.0 MiB"]
        assert [figures.count(number) for number in (4_365, 999_999, 12_345_678)] == ["4,365", "999,999", "12.3 M"]
        assert [figures.age(age) for age in (None, 0.04, 12, 180, 18_000)] == ["-", "0.0 s", "12 s", "3 min", "5 h"]


class TestLines:
    def test_bars_are_drawn_from_the_ground_in_eighths(self):
        assert bars([0, 0.001, 0.5, 0.75, 1], 2) == ["   ▄█", " ▁███"]

    def test_what_is_cut_has_an_ellipsis(self):
        assert texts([in_width([("abc", ""), ("def", "quiet")], 5), in_width([("abc", "")], 5), in_width([("abc", "")], 0)]) == [
            "abcd…",
            "abc  ",
            "",
        ]

    def test_blocks_stand_side_by_side_whatever_their_heights(self):
        assert texts(side_by_side([([[("a", "")]], 2), ([[("b", "")], [("c", "")]], 2)])) == ["a b ", "  c "]

    def test_as_many_parts_as_find_room(self):
        assert joined(["one", "two", "three"], 9) == "one, two"
        assert joined(["one"], 0) == "one"
