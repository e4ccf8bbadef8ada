"""Widgets that keep their lines: one is made again only where it shows something else, and always then."""

import contextlib

from rich.segment import Segment
from support.tui_pictures import strips_of
from textual.app import App
from textual.strip import Strip

from alphapulse_cli.tui.themes import THEMES
from alphapulse_cli.tui.widgets.by_line import ByLine


class Words(ByLine):
    DEFAULT_CSS = "Words { padding: 0 2; height: 4; }"

    def __init__(self):
        super().__init__()
        self.words = ["one", "two", "three", "four"]
        self.made = []

    def shown_on(self, y):
        return self.words[y]

    def render_line(self, y):
        self.made.append(y)
        return Strip([Segment(self.words[y], self.ground)])


class Bare(App[None]):
    def __init__(self, widget):
        super().__init__()
        self.widget = widget
        for theme in THEMES:
            self.register_theme(theme)

    def compose(self):
        yield self.widget


@contextlib.asynccontextmanager
async def words_shown():
    """(the widget, the pilot) of a small terminal with nothing else in it."""
    widget = Words()
    async with Bare(widget).run_test(size=(20, 6)) as pilot:
        await pilot.pause()
        yield widget, pilot


def on_screen(pilot):
    return [strip.text for strip in strips_of(pilot.app)]


async def drawn(widget, pilot, lines):
    """What is made for drawing these."""
    widget.made.clear()
    widget.draw_lines(lines)
    await pilot.pause()
    return widget.made


async def test_a_line_is_made_again_where_it_shows_something_else_only():
    async with words_shown() as (widget, pilot):
        widget.words[2] = "THREE"
        assert await drawn(widget, pilot, [0, 1, 2, 3]) == [2]
        assert on_screen(pilot)[:4] == [f"  {words:<18}" for words in ("one", "two", "THREE", "four")]
        assert await drawn(widget, pilot, [2]) == []


async def test_another_theme_or_width_makes_all_anew():
    async with words_shown() as (widget, pilot):
        before = widget.render_lines(widget.size.region)[0]
        widget.made.clear()
        pilot.app.theme = "light"
        await pilot.pause()
        assert {0, 1, 2, 3} <= set(widget.made)
        assert widget.render_lines(widget.size.region)[0]._segments[0].style != before._segments[0].style
        widget.made.clear()
        await pilot.resize_terminal(30, 6)
        await pilot.pause()
        assert {0, 1, 2, 3} <= set(widget.made)
        assert on_screen(pilot)[0] == f"  {'one':<28}"


async def test_a_line_is_drawn_to_its_very_end():
    async with words_shown() as (widget, _):
        widget.words[1] = "x" * 16  # the last cell is the padding's neighbour
        widget.draw_lines([1])
        (region,) = widget._repaint_regions
        assert (region.x, region.right) == (0, 20)


async def test_to_ask_what_should_stand_changes_nothing_and_knows_the_newest():
    async with words_shown() as (widget, _):
        widget.words[0] = "other"
        assert widget.should_stand(0, 16) == f"{'other':<16}"
        assert widget.should_stand(0, 3) == "oth"
        assert not widget._repaint_regions
