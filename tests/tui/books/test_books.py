"""The Books screen with pictures made by hand: every key, every state, what fits where, mouse, memory, and what is drawn again."""

import re
from dataclasses import replace
from fractions import Fraction

import pytest
from support import tui_pictures
from support.tui_pictures import book, picture
from textual.events import MouseScrollDown, MouseScrollUp

from alphapulse_cli.tui.books import words as say
from alphapulse_cli.tui.books.consolidated import ConsolidatedPane
from alphapulse_cli.tui.books.depth_chart import DepthChart
from alphapulse_cli.tui.books.ladder import LadderPane, wrapped
from alphapulse_cli.tui.feed.picture import BookLadder
from alphapulse_cli.tui.preferences import Preferences
from alphapulse_cli.wire.delta import BookReason, BookState

SIZES = [(80, 24), (120, 40), (300, 100)]


def ladder(mid=5_000_000, decimals=2, levels=200, moved=None):
    """Levels one tick apart, each of one lot more than the one before."""
    bids = [(mid - at, 10 + at) for at in range(levels)]
    asks = [(mid + 1 + at, 20 + at) for at in range(levels)]
    return BookLadder(decimals, 1, bids, asks, moved or {})


def of(name, **more):
    """A book with a deep ladder."""
    made = book(name, **({"ladder": ladder()} | more))
    status = replace(made.status, exchange=name, bid_count=200, ask_count=200)
    return replace(made, status=status)


def three(**more):
    """A symbol at three exchanges, and another at one."""
    return picture(of("binance", **more), of("coinbase"), of("kraken"), of("kraken", symbol="ETH-USD"))


def at_once(work, size=(120, 40), **arguments):
    """Run `work(app, pilot, feed)` on the Books screen."""
    return tui_pictures.at_once(work, size, screen="books", **arguments)


async def give(pilot, feed, shown):
    feed.show(shown)
    await settle(pilot)


async def settle(pilot):
    for _ in range(2):
        await pilot.pause()


async def press(pilot, *keys):
    await pilot.press(*keys)
    await settle(pilot)


def seen(app):
    """The lines of the terminal."""
    return [line.text for line in app.screen._compositor.render_strips(app.size)]


def panes(app):
    """The ladders that are shown, without the consolidated one."""
    return [pane for pane in app.screen.query(LadderPane) if pane.display and not isinstance(pane, ConsolidatedPane)]


def text_of(widget):
    return "\n".join(widget.render_line(y).text for y in range(widget.size.height))


class TestWhatIsShown:
    @pytest.mark.parametrize(
        ("size", "ladders", "has_whole", "has_chart"),
        [((80, 24), 3, False, False), ((120, 40), 3, True, True), ((300, 100), 3, True, True)],
    )
    def test_what_there_is_room_for(self, size, ladders, has_whole, has_chart):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            assert len(panes(app)) == ladders
            assert app.screen.query_one(ConsolidatedPane).display == has_whole
            assert app.screen.query_one(DepthChart).display == has_chart
            whole = "\n".join(seen(app))
            assert all(word in whole for word in ("BTC-USD", "1 of 2", "binance", "coinbase", "kraken", "50000.00", "LIVE"))
            assert ("all 3 live" in whole, "depth" in whole) == (has_whole, has_chart)
            assert feed.watched == "BTC-USD"

        at_once(work, size)

    def test_the_consolidated_one_adds_up_whoever_has_a_part(self):
        async def work(app, pilot, feed):
            cheap = BookLadder(1, 0, [(499_999, 7)], [(500_005, 1)])
            await give(pilot, feed, picture(of("binance"), of("kraken", ladder=cheap)))
            lines = text_of(app.screen.query_one(ConsolidatedPane)).splitlines()
            assert "b binance  k kraken" in lines[0]
            assert any("49999.90" in line and " 9 " in line and "bk" in line for line in lines)  # 2.0 and 7
            assert any("50000.00" in line and "b·" in line for line in lines)

        at_once(work, (200, 60))

    def test_only_live_books_are_added_up(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three(state=BookState.STALE))
            whole = text_of(app.screen.query_one(ConsolidatedPane))
            assert "all 2 live" in whole
            assert "binance" not in whole

        at_once(work, (200, 60))

    @pytest.mark.parametrize("size", SIZES)
    def test_no_line_is_wider_or_narrower_than_the_terminal(self, size):
        async def work(app, pilot, feed):
            await give(pilot, feed, three(state=BookState.STALE))
            assert {len(line) for line in seen(app)} == {size[0]}

        at_once(work, size)

    def test_marks_of_what_moved(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three(ladder=ladder(moved={(False, 4_999_999): (1, 1), (True, 5_000_003): (-1, 1)})))
            text = text_of(panes(app)[0])
            assert "▲49999.99" in text
            assert "▼50000.03" in text

        at_once(work)


class TestStates:
    @pytest.mark.parametrize("size", SIZES)
    @pytest.mark.parametrize("state", [state for state in BookState if state is not BookState.LIVE])
    def test_a_book_that_is_not_live_says_so_and_what_to_do_over_its_last_levels(self, state, size):
        async def work(app, pilot, feed):
            await give(pilot, feed, three(state=state))
            text = text_of(panes(app)[0])
            assert f"─ {state.name} ─" in text
            assert "Nothing was heard for too long" in " ".join(text.split())
            assert "50000.00" in text
            assert "*" not in text
            assert not any(
                segment.style.bgcolor != app.screen.styles.background.rich_color
                for segment in panes(app)[0].render_line(30 % size[1])
            )

        at_once(work, size)

    def test_without_levels_there_are_only_the_words(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three(state=BookState.COLD, ladder=None))
            assert "no levels are known" in " ".join(text_of(panes(app)[0]).split())
            await give(pilot, feed, three(ladder=None))
            assert "The book is being read" in text_of(panes(app)[0])

        at_once(work)

    def test_every_reason_has_a_next_thing_to_do(self):
        assert say.NEXT.keys() == set(BookReason)
        for reason in BookReason:
            status = replace(of("coinbase", state=BookState.SYNCING).status, reason=reason)
            lines = [line for words in say.why(status, has_ladder=True) for line in wrapped(words, 24, "")]
            assert len(lines) <= 8, "what a ladder has above its middle at 80 x 24"
        status = of("kra\x1bken", state=BookState.HALTED).status
        said = say.why(replace(status, reason=BookReason.REFUSED), has_ladder=False)
        assert said == [
            "HALTED refused; no levels are known.",
            "See what the exchange has: alphapulse symbols --exchange kra\\x1bken",
        ]

    def test_what_its_set_needs_stands_in_place_of_what_its_book_would(self):
        status = of("kraken", state=BookState.STALE).status
        said = say.why(status, has_ladder=True, revival="The collector of kra\x1bken was killed")
        assert said == ["STALE silent; levels as last known.", "The collector of kra\\x1bken was killed"]

    def test_nothing_collected_is_the_pictures_advice(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, picture(advice="Nothing is collected. Start a collector"))
            assert "There are no books." in text_of(panes(app)[0])
            assert "Start a collector" in text_of(panes(app)[0])
            await give(pilot, feed, three())
            assert "no books" not in text_of(panes(app)[0])

        at_once(work)

    def test_a_symbol_that_goes_away_is_missed_and_comes_back(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            app.screen.show_symbol("ETH-USD")
            await settle(pilot)
            await give(pilot, feed, picture(of("kraken")))
            text = " ".join(text_of(panes(app)[0]).split())
            assert "ETH-USD is not collected any more" in text
            assert "BTC-USD" in text
            await give(pilot, feed, three())
            assert "not collected" not in text_of(panes(app)[0])
            await give(pilot, feed, picture(of("kraken")))
            await press(pilot, "right")
            assert feed.watched == "BTC-USD"

        at_once(work)

    def test_no_live_book_leaves_the_consolidated_one_with_words(self):
        async def work(app, pilot, feed):
            stale = [of(name, state=BookState.STALE) for name in ("a", "b")]
            await give(pilot, feed, picture(*stale))
            assert "No exchange is LIVE" in text_of(app.screen.query_one(ConsolidatedPane))
            assert "No depth chart" in text_of(app.screen.query_one(DepthChart))

        at_once(work)

    def test_names_of_others_are_escaped(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, picture(of("a\x1b[2Jb\u202e"), of("c", state=BookState.STALE)))
            assert "\x1b" not in "".join(seen(app))
            assert "\\x1b[2Jb\\u202e" in seen(app)[2]

        at_once(work)


class TestKeys:
    @pytest.mark.parametrize(("key", "wanted"), [("right", "ETH-USD"), ("left", "ETH-USD"), ("]", "ETH-USD"), ("[", "ETH-USD")])
    @pytest.mark.parametrize("size", SIZES)
    def test_symbols(self, key, wanted, size):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            await press(pilot, key)
            assert feed.watched == wanted
            assert len(panes(app)) == 1
            await press(pilot, key)
            assert feed.watched == "BTC-USD"
            assert len(panes(app)) == 3

        at_once(work, size)

    @pytest.mark.parametrize("size", SIZES)
    def test_grouping_goes_up_and_down_and_keeps_the_true_middle(self, size):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            await press(pilot, "plus", "plus", "plus")
            text = text_of(panes(app)[0])
            assert "grouped by 0.1" in seen(app)[1]
            assert "50000.10" in text
            assert "50000.01" not in text
            assert "50000.005" in text
            await press(pilot, "minus", "minus", "minus", "minus")
            assert "not grouped" in seen(app)[1]
            assert "50000.01" in text_of(panes(app)[0])

        at_once(work, size)

    @pytest.mark.parametrize("size", SIZES)
    def test_c_and_d_show_and_hide_whatever_the_room(self, size):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            for key, part in (("c", ConsolidatedPane), ("d", DepthChart)):
                before = app.screen.query_one(part).display
                await press(pilot, key)
                assert app.screen.query_one(part).display != before
                await press(pilot, key)
                assert app.screen.query_one(part).display == before
            assert len(panes(app)) == 3

        at_once(work, size)

    def test_what_there_is_no_room_for_is_told_and_is_a_key_away(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            await press(pilot, "c")
            assert [pane.render_line(0).text.split()[0] for pane in panes(app)] == ["binance", "coinbase"]
            assert "2 of 3 exchanges shown, e: next" in seen(app)[1]
            for key, first in (("e", "coinbase"), ("tab", "kraken"), ("shift+tab", "coinbase"), ("E", "binance")):
                await press(pilot, key)
                assert panes(app)[0].render_line(0).text.split()[0] == first

        at_once(work, (80, 24))

    @pytest.mark.parametrize("size", SIZES)
    def test_levels_scrolling_and_home(self, size):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            first = text_of(panes(app)[0])
            await press(pilot, "n", "n", "n", "n", "n")
            assert "5 levels" in seen(app)[1]
            assert len(re.findall(r"(?m)^.(?:49999\.\d\d|50000\.00)[ *] ", text_of(panes(app)[0]))) == 5
            await press(pilot, "m")
            assert "10 levels" in seen(app)[1]
            await press(pilot, "down", "down")
            assert "from level 3" in seen(app)[1]
            assert "49999.98" in text_of(panes(app)[0])
            assert "50000.00 " not in text_of(panes(app)[0])
            await press(pilot, "up")
            assert "from level 2" in seen(app)[1]
            await press(pilot, "pagedown")
            assert "from level 22" in seen(app)[1]
            app.screen.action_scroll(1_000)
            await settle(pilot)
            assert "from level 200" in seen(app)[1]
            await press(pilot, "pageup")
            assert "from level 180" in seen(app)[1]
            await press(pilot, "home")
            assert text_of(panes(app)[0]) == first

        at_once(work, size)

    def test_the_cursor_goes_along_the_prices_and_says_who_has_them(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            await press(pilot, "shift+down")
            assert "> 50000: 3 bid by 3" in seen(app)[1]
            assert all(">50000.00" in text_of(pane) for pane in panes(app))
            await press(pilot, "shift+up")
            assert "> 50000.01: 6 asked by 3" in seen(app)[1]

        at_once(work)

    def test_the_filter_is_of_exchanges(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            await press(pilot, "slash", *"coin", "enter")
            assert [pane.render_line(0).text.split()[0] for pane in panes(app)] == ["coinbase"]
            await press(pilot, "slash", *"xx", "enter")
            assert "No exchange has the words of the filter" in " ".join(text_of(panes(app)[0]).split())
            await press(pilot, "escape")
            assert len(panes(app)) == 3

        at_once(work)

    def test_y_copies_the_exact_levels(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            await press(pilot, "y")
            lines = app.clipboard.splitlines()
            assert lines[0] == "binance\tBTC-USD\task\t50000.01\t2.0\t2.0"
            assert "kraken\tBTC-USD\tbid\t49999.99\t1.1\t2.1" in lines

        at_once(work)

    def test_drawn_anew_while_it_is_still_composed_it_waits(self):
        """The status line may grow, and have it drawn again, between its frame's coming and its ladders'."""

        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            await app.screen.query_one("#books-merged").remove()
            app.screen.show_again()

        at_once(work)

    def test_every_key_is_in_the_help(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            await press(pilot, "question_mark")
            text = str(app.screen._table())
            assert all((one.tooltip or one.description) in text for one in type(app.screen_stack[0]).__mro__[1].BINDINGS)

        at_once(work)


class TestMemory:
    def test_symbol_and_grouping_outlive_the_run_and_damaged_ones_do_no_harm(self, tmp_path):
        path = tmp_path / "tui.json"

        async def first(app, pilot, feed):
            await give(pilot, feed, three())
            await press(pilot, "right", "plus")

        async def second(app, pilot, feed):
            await give(pilot, feed, three())
            assert feed.watched == "ETH-USD"
            assert "grouped by 0.02" in seen(app)[1]

        async def third(app, pilot, feed):
            await give(pilot, feed, three())
            assert feed.watched == "BTC-USD"
            assert "not grouped" in seen(app)[1]

        at_once(first, state=Preferences(path))
        at_once(second, state=Preferences(path))
        damaged = Preferences(None)
        for name in ("symbol", "grouping", "levels", "consolidated", "chart"):
            damaged.set(f"books.{name}", "nonsense")
        at_once(third, state=damaged)

    def test_whoever_comes_back_looks_at_it_again(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            await press(pilot, "3")
            feed.watched = "somebody else's"
            await press(pilot, "2")
            assert feed.watched == "BTC-USD"

        at_once(work)


class TestMouse:
    def test_a_click_marks_the_price_in_all_ladders_and_again_takes_it_away(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            pane = panes(app)[1]
            line = next(y for y in range(pane.size.height) if "49999.97" in pane.render_line(y).text)
            for wanted in (True, False):
                await pilot.click(pane, offset=(4, line))
                await settle(pilot)
                assert [">49999.97" in text_of(one) for one in panes(app)] == [wanted] * 3
            asks = next(y for y in range(pane.size.height) if "50000.03" in pane.render_line(y).text)
            assert pane.price_at(asks) == Fraction("50000.03")
            assert [pane.price_at(y) for y in (0, 1, pane.rows()[0] + 2)] == [None] * 3

        at_once(work)

    def test_the_wheel_goes_deeper_and_back(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            await pilot._post_mouse_events([MouseScrollDown], panes(app)[0], offset=(3, 5))
            await settle(pilot)
            assert "from level 4" in seen(app)[1]
            await pilot._post_mouse_events([MouseScrollUp], panes(app)[0], offset=(3, 5))
            await settle(pilot)
            assert "from level" not in seen(app)[1]

        at_once(work)


class TestDrawing:
    def test_only_what_changed_is_drawn_again(self, monkeypatch):
        async def work(app, pilot, feed):
            shown = three()
            await give(pilot, feed, shown)
            drawn = []
            monkeypatch.setattr(
                LadderPane, "render_line", lambda self, y, was=LadderPane.render_line: drawn.append((self, y)) or was(self, y)
            )
            await give(pilot, feed, replace(shown, taken_ns=shown.taken_ns + 1))
            assert drawn == []
            other = ladder()
            changed = replace(other, bids=[(other.bids[0][0], 11), *other.bids[1:3], *other.bids[3:]])
            was = shown.books[0]
            await give(pilot, feed, replace(shown, books=(replace(was, ladder=changed), *shown.books[1:])))
            assert {pane for pane, _ in drawn} == {panes(app)[0], app.screen.query_one(ConsolidatedPane)}

        at_once(work)

    def test_a_large_terminal_is_drawn_less_often_but_never_left_behind(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            for mid in range(5_000_100, 5_000_600, 100):
                feed.show(three(ladder=ladder(mid)))
                await pilot.pause()
            for _ in range(500):
                if "50005.00" in text_of(panes(app)[0]):
                    break
                await pilot.pause(0.01)
            assert "50005.00" in text_of(panes(app)[0])

        at_once(work, (300, 100))

    def test_a_smaller_terminal_and_a_larger_one(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            for size, count in (((40, 12), 1), ((10, 4), 1), ((300, 100), 3), ((80, 24), 3)):
                await pilot.resize_terminal(*size)
                await settle(pilot)
                assert len(panes(app)) == count
                assert {len(line) for line in seen(app)} == {size[0]}

        at_once(work)

    def test_exchanges_that_come_and_go(self):
        async def work(app, pilot, feed):
            for names in (["a"], ["a", "b", "c", "d", "e", "f"], ["f"], []):
                await give(pilot, feed, picture(*(of(name) for name in names)))
                assert len(panes(app)) == max(len(names), 1)

        at_once(work, (300, 50))
