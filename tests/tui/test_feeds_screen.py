"""The feeds screen: a row a card, the window that is shown, what is marked, and the keys."""

from dataclasses import replace

import pytest
from support.scorecards import HOUR_NS, a_market, card, perfect
from support.tui_pictures import book, picture, running_app

from alphapulse_cli.tui.screens.feeds import FeedsScreen, count_cell, state_cell, valid_cell

SIZES = [(80, 24), (120, 40), (300, 100)]


def shown(*cards):
    return replace(picture(book(), advice=""), cards=cards)


def feeds(cards=None, size=SIZES[1], **arguments):
    """The app with the feeds screen in front."""
    return running_app(size, given=shown(*(a_market() if cards is None else cards)), screen="feeds", **arguments)


def rows(tui):
    return [(row.key[0], row.cells["symbol"][0]) for row in tui.screen.table.rows]


def line_of(tui, *words):
    (line,) = [line for line in tui.lines() if all(word in line for word in words)]
    return line


class TestTheTable:
    @pytest.mark.parametrize("size", SIZES)
    async def test_says_how_valid_each_feed_was_at_every_size(self, size):
        async with feeds(size=size) as tui:
            assert "100" in line_of(tui, "binance-us", "all").split()
            assert "99.97" in line_of(tui, "coinbase", "BTC-USD")
            assert "stopped" in line_of(tui, "kraken", "all")

    async def test_has_connections_only_where_there_are_several(self):
        async with feeds() as tui:
            assert rows(tui) == [
                ("binance-us", "all"),
                ("binance-us", "BTC-USD"),
                ("coinbase", "all"),
                ("coinbase", "BTC-USD"),
                ("kraken", "all"),
                ("kraken", "connection 1"),
                ("kraken", "connection 2"),
                ("kraken", "BTC-USD"),
                ("kraken", "ETH-USD"),
            ]

    async def test_the_filter_takes_names_and_states(self):
        async with feeds() as tui:
            await tui.press("slash", *"stopped", "enter")
            assert {name for name, _ in rows(tui)} == {"kraken"}
            await tui.press("slash", *(["backspace"] * 7), *"cancel", "enter")
            assert {name for name, _ in rows(tui)} == {"coinbase"}

    async def test_sorts_the_worst_first_where_that_is_what_matters(self):
        cards = [
            card("symbol", name, 1, valid_ns=HOUR_NS - lost) for name, lost in (("A-USD", 5), ("B-USD", 10**12), ("C-USD", 10**10))
        ]
        async with feeds(cards) as tui:
            await tui.press("o", "o")
            assert [name for _, name in rows(tui)] == ["B-USD", "C-USD", "A-USD"]

    async def test_enter_opens_the_ladders_of_a_symbol(self):
        async with feeds([card("symbol", "BTC-USD", 1)]) as tui:
            await tui.press("enter")
            assert tui.screen.title == "Books"


class TestTheWindow:
    async def test_is_the_hour_and_w_goes_on(self):
        async with feeds() as tui:
            assert "The last hour, from 2026-01-02T02:04:05Z on" in tui.lines()[1]
            assert tui.feed.window == "hour"
            for window, words in (("day", "The last day"), ("start", "Since the collector's start"), ("hour", "The last hour")):
                await tui.press("v")
                assert (tui.feed.window, words in tui.lines()[1]) == (window, True)

    async def test_cards_of_another_are_not_shown_as_its_own(self):
        async with feeds() as tui:
            await tui.press("v")
            assert rows(tui) == []
            assert "Reading the scorecards" in tui.words()
            await tui.give(shown(replace(perfect(), window="day")))
            assert rows(tui) == [("kraken", "all")]

    async def test_is_remembered(self):
        async with feeds() as tui:
            await tui.press("v", "1")
            assert tui.feed.screen == "overview"
            await tui.press("7")
            assert (tui.feed.screen, tui.feed.window) == ("feeds", "day")

    async def test_without_cards_says_why(self):
        async with feeds(()) as tui:
            assert "No scorecards: collectors keep them, replays do not." in tui.words()


class TestMarks:
    def test_of_valid_time(self):
        assert valid_cell(perfect()) == ("100", "")
        assert valid_cell(card()) == ("99.97", "waiting")
        assert valid_cell(card(valid_ns=HOUR_NS - 1)) == ("99.9999", "waiting")
        assert valid_cell(card(valid_ns=HOUR_NS * 98 // 100)) == ("! 98.0", "dead")
        assert valid_cell(card(observed_ns=0, valid_ns=0)) == ("-", "quiet")

    def test_of_counts(self):
        assert [count_cell(number) for number in (0, 7, 1234, None)] == [
            ("0", "quiet"),
            ("! 7", "waiting"),
            ("! 1,234", "waiting"),
            ("", ""),
        ]

    def test_of_states(self):
        assert state_cell(card("symbol", "BTC-USD", 1)) == ("LIVE", "live")
        assert state_cell(card(books=3, books_live=2)) == ("2/3 LIVE", "waiting")
        assert state_cell(card("symbol", "BTC-USD", 1, trading_status="CANCEL_ONLY")) == ("LIVE, cancel only", "waiting")
        assert state_cell(card(live=False)) == ("stopped", "dead")

    def test_every_column_has_a_cell(self):
        screen = FeedsScreen()
        for one in a_market():
            assert set(screen.row(one).cells) == {column.name for column in screen.COLUMNS}
