"""A trend: heights on one scale over a symbol's exchanges, the colour against the first sample, spikes as arrows."""

import pytest
from support.tui_pictures import book, picture, running_app

from alphapulse_cli.tui.trend import Scale, Scales, scale_of, trend_cell
from alphapulse_cli.tui.widgets.line_table import TREND


class TestCell:
    def test_height_is_the_price_and_colour_the_way_since_the_first(self):
        assert trend_cell([2.0, 3.0, 1.0, 2.0], Scale(1.0, 3.0)) == ("▅█▁▅", TREND + "=+-=")

    def test_a_fall_that_ends_high_on_the_scale_is_still_a_fall(self):
        """Height alone once decided the colour: the highest block was green though the price had fallen to it."""
        assert trend_cell([10.0, 9.0], Scale(1.0, 9.0))[1] == TREND + "=-"

    def test_nothing_moved_and_nothing_known(self):
        assert trend_cell([5.0, 5.0], scale_of([5.0, 5.0])) == ("▄▄", TREND + "==")
        assert trend_cell([], scale_of([])) == ("", "")


class TestScale:
    def test_it_spans_all_where_nothing_sticks_out(self):
        assert scale_of([float(i) for i in range(24)]) == Scale(0.0, 23.0)

    @pytest.mark.parametrize(("spike", "arrow", "way"), [(1000.0, "↑", "+"), (-1000.0, "↓", "-")])
    def test_a_spike_is_an_arrow_and_does_not_flatten_the_rest(self, spike, arrow, way):
        steady = [100.0 + i % 5 for i in range(40)]
        text, kind = trend_cell([*steady[:20], spike, *steady[20:]], scale_of([*steady, spike]))
        assert (text[20], kind[len(TREND) + 20]) == (arrow, way)
        assert len(set(text)) == 6  # five prices, each with its own height, and the arrow

    def test_all_exchanges_of_a_symbol_share_one_and_other_symbols_do_not(self):
        books = [book("a", mids=(100.0, 101.0)), book("b", mids=(102.0, 104.0)), book("a", "ETH-USD", mids=(1.0, 2.0))]
        assert Scales().of(books) == {"BTC-USD": Scale(100.0, 104.0), "ETH-USD": Scale(1.0, 2.0)}

    def test_it_is_made_anew_once_a_sample_is_new(self):
        scales, first, second = Scales(), book("a", mids=(1.0, 2.0)), book("b", mids=(1.0, 2.0))
        before = scales.of([first, second])["BTC-USD"]
        assert scales.of([first, second])["BTC-USD"] is before
        assert scales.of([first, book("b", mids=(1.0, 9.0))])["BTC-USD"] == Scale(1.0, 9.0)


async def test_what_is_on_the_screen_is_green_above_the_start_and_red_below_it():
    colours: list[str] = []

    async with running_app(size=(120, 20), given=picture(book("a", mids=(5.0, 9.0, 1.0)))) as tui:
        strips = tui.strips()
        for segment in strips[2]:
            colours.extend(segment.style.color.name for block in segment.text if block in "▅█▁")
    assert colours[1:] == ["#4cc38a", "#f2727f"]  # $bid and $ask of the dark theme
    assert colours[0] not in colours[1:]
