"""The Books screen with pictures made by hand: every key, every state, what fits where, mouse, memory, and what is drawn again."""

import re
from dataclasses import replace
from fractions import Fraction

import pytest
from support.campaigns import crossed, size
from support.tui_pictures import book, picture, running_app
from textual.events import MouseScrollDown, MouseScrollUp

from alphapulse_cli.tui.books import words as say
from alphapulse_cli.tui.books.consolidated import ConsolidatedPane
from alphapulse_cli.tui.books.depth_chart import DepthChart
from alphapulse_cli.tui.books.ladder import LadderPane, wrapped
from alphapulse_cli.tui.feed.picture import BookLadder
from alphapulse_cli.tui.preferences import Preferences
from alphapulse_cli.tui.screens.books_keys import BooksKeys
from alphapulse_cli.wire.delta import BookReason, BookState

SIZES = [(80, 24), (120, 40), (300, 100)]
SOME = size(SIZES[:2], SIZES)  # what a large terminal shows is asked of it once in the suite, each key in a campaign


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


def books(size=(120, 40), **arguments):
    """The app with the Books screen in front; its ladders are drawn one turn of the event loop after their frame."""
    return running_app(size, screen="books", pauses=2, **arguments)


def seen(tui):
    """The lines of the terminal, to their ends."""
    return [line.text for line in tui.strips()]


def panes(tui):
    """The ladders that are shown, without the consolidated one."""
    return [pane for pane in tui.screen.query(LadderPane) if pane.display and not isinstance(pane, ConsolidatedPane)]


def text_of(widget):
    return "\n".join(widget.render_line(y).text for y in range(widget.size.height))


class TestWhatIsShown:
    @pytest.mark.parametrize(
        ("size", "ladders", "has_whole", "has_chart"),
        [((80, 24), 3, False, False), ((120, 40), 3, True, True), ((300, 100), 3, True, True)],
    )
    async def test_what_there_is_room_for(self, size, ladders, has_whole, has_chart):
        async with books(size, given=three()) as tui:
            assert len(panes(tui)) == ladders
            assert tui.screen.query_one(ConsolidatedPane).display == has_whole
            assert tui.screen.query_one(DepthChart).display == has_chart
            whole = "\n".join(seen(tui))
            assert all(word in whole for word in ("BTC-USD", "1 of 2", "binance", "coinbase", "kraken", "50000.00", "LIVE"))
            assert ("all 3 live" in whole, "depth" in whole) == (has_whole, has_chart)
            assert tui.feed.watched == "BTC-USD"

    async def test_the_consolidated_one_adds_up_whoever_has_a_part(self):
        async with books((200, 60)) as tui:
            cheap = BookLadder(1, 0, [(499_999, 7)], [(500_005, 1)])
            await tui.give(picture(of("binance"), of("kraken", ladder=cheap)))
            lines = text_of(tui.screen.query_one(ConsolidatedPane)).splitlines()
            assert "b binance  k kraken" in lines[0]
            assert any("49999.90" in line and " 9 " in line and "bk" in line for line in lines)  # 2.0 and 7
            assert any("50000.00" in line and "b·" in line for line in lines)

    async def test_only_live_books_are_added_up(self):
        async with books((200, 60)) as tui:
            await tui.give(three(state=BookState.STALE))
            whole = text_of(tui.screen.query_one(ConsolidatedPane))
            assert "all 2 live" in whole
            assert "binance" not in whole

    @pytest.mark.parametrize("size", SIZES)
    async def test_no_line_is_wider_or_narrower_than_the_terminal(self, size):
        async with books(size) as tui:
            await tui.give(three(state=BookState.STALE))
            assert {len(line) for line in seen(tui)} == {size[0]}

    async def test_marks_of_what_moved(self):
        async with books() as tui:
            await tui.give(three(ladder=ladder(moved={(False, 4_999_999): (1, 1), (True, 5_000_003): (-1, 1)})))
            text = text_of(panes(tui)[0])
            assert "▲49999.99" in text
            assert "▼50000.03" in text


class TestStates:
    @pytest.mark.campaign
    @pytest.mark.parametrize(("state", "size"), crossed([state for state in BookState if state is not BookState.LIVE], SIZES))
    async def test_a_book_that_is_not_live_says_so_and_what_to_do_over_its_last_levels(self, state, size):
        async with books(size) as tui:
            await tui.give(three(state=state))
            text = text_of(panes(tui)[0])
            assert f"─ {state.name} ─" in text
            assert "Nothing was heard for too long" in " ".join(text.split())
            assert "50000.00" in text
            assert "*" not in text
            assert not any(
                segment.style.bgcolor != tui.screen.styles.background.rich_color
                for segment in panes(tui)[0].render_line(30 % size[1])
            )

    async def test_without_levels_there_are_only_the_words(self):
        async with books() as tui:
            await tui.give(three(state=BookState.COLD, ladder=None))
            assert "no levels are known" in " ".join(text_of(panes(tui)[0]).split())
            await tui.give(three(ladder=None))
            assert "The book is being read" in text_of(panes(tui)[0])

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

    async def test_nothing_collected_is_the_pictures_advice(self):
        async with books() as tui:
            await tui.give(picture(advice="Nothing is collected. Start a collector"))
            assert "There are no books." in text_of(panes(tui)[0])
            assert "Start a collector" in text_of(panes(tui)[0])
            await tui.give(three())
            assert "no books" not in text_of(panes(tui)[0])

    async def test_a_symbol_that_goes_away_is_missed_and_comes_back(self):
        async with books(given=three()) as tui:
            tui.screen.show_symbol("ETH-USD")
            await tui.settle()
            await tui.give(picture(of("kraken")))
            text = " ".join(text_of(panes(tui)[0]).split())
            assert "ETH-USD is not collected any more" in text
            assert "BTC-USD" in text
            await tui.give(three())
            assert "not collected" not in text_of(panes(tui)[0])
            await tui.give(picture(of("kraken")))
            await tui.press("right")
            assert tui.feed.watched == "BTC-USD"

    async def test_no_live_book_leaves_the_consolidated_one_with_words(self):
        async with books() as tui:
            stale = [of(name, state=BookState.STALE) for name in ("a", "b")]
            await tui.give(picture(*stale))
            assert "No exchange is LIVE" in text_of(tui.screen.query_one(ConsolidatedPane))
            assert "No depth chart" in text_of(tui.screen.query_one(DepthChart))

    async def test_names_of_others_are_escaped(self):
        async with books() as tui:
            await tui.give(picture(of("a\x1b[2Jb\u202e"), of("c", state=BookState.STALE)))
            assert "\x1b" not in "".join(seen(tui))
            assert "\\x1b[2Jb\\u202e" in seen(tui)[2]


class TestKeys:
    @pytest.mark.campaign
    @pytest.mark.parametrize(("key", "size"), crossed(["right", "left", "]", "["], SIZES))
    async def test_symbols(self, key, size):
        async with books(size, given=three()) as tui:
            await tui.press(key)
            assert tui.feed.watched == "ETH-USD"
            assert len(panes(tui)) == 1
            await tui.press(key)
            assert tui.feed.watched == "BTC-USD"
            assert len(panes(tui)) == 3

    @pytest.mark.campaign
    @pytest.mark.parametrize("size", SOME)
    async def test_grouping_goes_up_and_down_and_keeps_the_true_middle(self, size):
        async with books(size, given=three()) as tui:
            await tui.press("plus", "plus", "plus")
            text = text_of(panes(tui)[0])
            assert "grouped by 0.1" in seen(tui)[1]
            assert "50000.10" in text
            assert "50000.01" not in text
            assert "50000.005" in text
            await tui.press("minus", "minus", "minus", "minus")
            assert "not grouped" in seen(tui)[1]
            assert "50000.01" in text_of(panes(tui)[0])

    @pytest.mark.campaign
    @pytest.mark.parametrize("size", SOME)
    async def test_c_and_d_show_and_hide_whatever_the_room(self, size):
        async with books(size, given=three()) as tui:
            for key, part in (("c", ConsolidatedPane), ("d", DepthChart)):
                before = tui.screen.query_one(part).display
                await tui.press(key)
                assert tui.screen.query_one(part).display != before
                await tui.press(key)
                assert tui.screen.query_one(part).display == before
            assert len(panes(tui)) == 3

    async def test_what_there_is_no_room_for_is_told_and_is_a_key_away(self):
        async with books((80, 24), given=three()) as tui:
            await tui.press("c")
            assert [pane.render_line(0).text.split()[0] for pane in panes(tui)] == ["binance", "coinbase"]
            assert "2 of 3 exchanges shown, e: next" in seen(tui)[1]
            for key, first in (("e", "coinbase"), ("tab", "kraken"), ("shift+tab", "coinbase"), ("E", "binance")):
                await tui.press(key)
                assert panes(tui)[0].render_line(0).text.split()[0] == first

    @pytest.mark.campaign
    @pytest.mark.parametrize("size", SOME)
    async def test_levels_scrolling_and_home(self, size):
        async with books(size, given=three()) as tui:
            first = text_of(panes(tui)[0])
            await tui.press("n", "n", "n", "n", "n")
            assert "5 levels" in seen(tui)[1]
            assert len(re.findall(r"(?m)^.(?:49999\.\d\d|50000\.00)[ *] ", text_of(panes(tui)[0]))) == 5
            await tui.press("m")
            assert "10 levels" in seen(tui)[1]
            await tui.press("down", "down")
            assert "from level 3" in seen(tui)[1]
            assert "49999.98" in text_of(panes(tui)[0])
            assert "50000.00 " not in text_of(panes(tui)[0])
            await tui.press("up")
            assert "from level 2" in seen(tui)[1]
            await tui.press("pagedown")
            assert "from level 22" in seen(tui)[1]
            tui.screen.action_scroll(1_000)
            await tui.settle()
            assert "from level 200" in seen(tui)[1]
            await tui.press("pageup")
            assert "from level 180" in seen(tui)[1]
            await tui.press("home")
            assert text_of(panes(tui)[0]) == first

    async def test_the_cursor_goes_along_the_prices_and_says_who_has_them(self):
        async with books(given=three()) as tui:
            await tui.press("shift+down")
            assert "> 50000: 3 bid by 3" in seen(tui)[1]
            assert all(">50000.00" in text_of(pane) for pane in panes(tui))
            await tui.press("shift+up")
            assert "> 50000.01: 6 asked by 3" in seen(tui)[1]

    async def test_the_filter_is_of_exchanges(self):
        async with books(given=three()) as tui:
            await tui.press("slash", *"coin", "enter")
            assert [pane.render_line(0).text.split()[0] for pane in panes(tui)] == ["coinbase"]
            await tui.press("slash", *"xx", "enter")
            assert "No exchange has the words of the filter" in " ".join(text_of(panes(tui)[0]).split())
            await tui.press("escape")
            assert len(panes(tui)) == 3

    async def test_y_copies_the_exact_levels(self):
        async with books(given=three()) as tui:
            await tui.press("y")
            lines = tui.app.clipboard.splitlines()
            assert lines[0] == "binance\tBTC-USD\task\t50000.01\t2.0\t2.0"
            assert "kraken\tBTC-USD\tbid\t49999.99\t1.1\t2.1" in lines

    async def test_drawn_anew_while_it_is_still_composed_it_waits(self):
        """The status line may grow, and have it drawn again, between its frame's coming and its ladders'."""
        async with books(given=three()) as tui:
            await tui.screen.query_one("#books-merged").remove()
            tui.screen.show_again()

    async def test_every_key_is_in_the_help(self):
        async with books((120, 60), given=three()) as tui:
            await tui.press("question_mark")
            text = tui.words()
            assert all((one.tooltip or one.description) in text for one in BooksKeys.BINDINGS)


class TestMemory:
    async def test_symbol_and_grouping_outlive_the_run_and_damaged_ones_do_no_harm(self, tmp_path):
        path = tmp_path / "tui.json"
        async with books(given=three(), state=Preferences(path)) as tui:
            await tui.press("right", "plus")
        async with books(given=three(), state=Preferences(path)) as tui:
            assert tui.feed.watched == "ETH-USD"
            assert "grouped by 0.02" in seen(tui)[1]
        damaged = Preferences(None)
        for name in ("symbol", "grouping", "levels", "consolidated", "chart"):
            damaged.set(f"books.{name}", "nonsense")
        async with books(given=three(), state=damaged) as tui:
            assert tui.feed.watched == "BTC-USD"
            assert "not grouped" in seen(tui)[1]

    async def test_whoever_comes_back_looks_at_it_again(self):
        async with books(given=three()) as tui:
            await tui.press("3")
            tui.feed.watched = "somebody else's"
            await tui.press("2")
            assert tui.feed.watched == "BTC-USD"


class TestMouse:
    async def test_a_click_marks_the_price_in_all_ladders_and_again_takes_it_away(self):
        async with books(given=three()) as tui:
            pane = panes(tui)[1]
            line = next(y for y in range(pane.size.height) if "49999.97" in pane.render_line(y).text)
            for wanted in (True, False):
                await tui.pilot.click(pane, offset=(4, line))
                await tui.settle()
                assert [">49999.97" in text_of(one) for one in panes(tui)] == [wanted] * 3
            asks = next(y for y in range(pane.size.height) if "50000.03" in pane.render_line(y).text)
            assert pane.price_at(asks) == Fraction("50000.03")
            assert [pane.price_at(y) for y in (0, 1, pane.rows()[0] + 2)] == [None] * 3

    async def test_the_wheel_goes_deeper_and_back(self):
        async with books(given=three()) as tui:
            await tui.pilot._post_mouse_events([MouseScrollDown], panes(tui)[0], offset=(3, 5))
            await tui.settle()
            assert "from level 4" in seen(tui)[1]
            await tui.pilot._post_mouse_events([MouseScrollUp], panes(tui)[0], offset=(3, 5))
            await tui.settle()
            assert "from level" not in seen(tui)[1]


class TestDrawing:
    async def test_only_what_changed_is_drawn_again(self, monkeypatch):
        async with books() as tui:
            shown = three()
            await tui.give(shown)
            drawn = []
            render_line = LadderPane.render_line

            def noted(self, y):
                drawn.append((self, y))
                return render_line(self, y)

            monkeypatch.setattr(LadderPane, "render_line", noted)
            await tui.give(replace(shown, taken_ns=shown.taken_ns + 1))
            assert drawn == []
            other = ladder()
            changed = replace(other, bids=[(other.bids[0][0], 11), *other.bids[1:3], *other.bids[3:]])
            was = shown.books[0]
            await tui.give(replace(shown, books=(replace(was, ladder=changed), *shown.books[1:])))
            assert {pane for pane, _ in drawn} == {panes(tui)[0], tui.screen.query_one(ConsolidatedPane)}

    async def test_a_large_terminal_is_drawn_less_often_but_never_left_behind(self):
        async with books((300, 100), given=three()) as tui:
            for mid in range(5_000_100, 5_000_600, 100):
                tui.feed.show(three(ladder=ladder(mid)))
                await tui.pilot.pause()
            for _ in range(500):
                if "50005.00" in text_of(panes(tui)[0]):
                    break
                await tui.pilot.pause(0.01)
            assert "50005.00" in text_of(panes(tui)[0])

    async def test_a_smaller_terminal_and_a_larger_one(self):
        async with books(given=three()) as tui:
            for size, count in (((40, 12), 1), ((10, 4), 1), ((300, 100), 3), ((80, 24), 3)):
                await tui.pilot.resize_terminal(*size)
                await tui.settle()
                assert len(panes(tui)) == count
                assert {len(line) for line in seen(tui)} == {size[0]}

    async def test_exchanges_that_come_and_go(self):
        async with books((300, 50)) as tui:
            for names in (["a"], ["a", "b", "c", "d", "e", "f"], ["f"], []):
                await tui.give(picture(*(of(name) for name in names)))
                assert len(panes(tui)) == max(len(names), 1)
