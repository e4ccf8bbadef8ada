"""The overview: a row a book, what is marked, what sorting and filtering do, what Enter opens, and what it says where there is nothing."""

from dataclasses import replace

import pytest
from support.tui_pictures import at_once, book, drawn, give, picture

from alphapulse_cli.readers.status import SetStatus
from alphapulse_cli.shm.segment import Liveness
from alphapulse_cli.tui.cells import age, aligned, places
from alphapulse_cli.tui.feed.picture import Picture, SetPicture
from alphapulse_cli.tui.screens.overview import marked
from alphapulse_cli.wire.delta import BookState

WIDE = (220, 30)


def rows(app):
    """The lines of the table, the header first; what is beneath its ruled line is the pane's."""
    lines = drawn(app)[1:-2]
    ruled = next((at for at, line in enumerate(lines) if line.startswith("──")), len(lines))
    return lines[:ruled]


def names(app):
    """Symbol and exchange of each row."""
    return [tuple(line.split()[:2]) for line in rows(app)[1:] if line.strip()]


def three():
    """Two symbols, three exchanges, one not LIVE."""
    return picture(
        book("kraken", bid="100.00", ask="100.05"),
        book("coinbase", bid="100.01", ask="100.04"),
        book("binance", bid="101.00", ask="102.00", state=BookState.STALE),
        book("kraken", "ETH-USD", bid="10.00", ask="10.50"),
    )


class TestMarks:
    def test_the_best_over_all_live_exchanges(self):
        books = [
            book("a", bid="100.00", ask="100.05"),
            book("b", bid="100.01", ask="100.05"),
            book("c", bid="100.50", state=BookState.STALE),
        ]
        best, crossing = marked(books)
        assert best == {("a", "BTC-USD"): {"ask"}, ("b", "BTC-USD"): {"bid", "ask"}, ("c", "BTC-USD"): set()}
        assert not any(crossing.values())

    def test_one_alone_is_no_contest(self):
        best, crossing = marked([book("a"), book("b", state=BookState.SYNCING)])
        assert not any(best.values())
        assert not any(crossing.values())

    def test_a_bid_above_anothers_ask_crosses_at_both(self):
        _, crossing = marked([book("a", bid="100.00", ask="100.01"), book("b", bid="100.02", ask="100.03")])
        assert crossing == {("a", "BTC-USD"): {"ask"}, ("b", "BTC-USD"): {"bid"}}

    def test_an_equal_price_does_not(self):
        _, crossing = marked([book("a", bid="100.00", ask="100.01"), book("b", bid="100.01", ask="100.03")])
        assert not any(crossing.values())

    def test_a_book_does_not_cross_itself(self):
        _, crossing = marked([book("a", bid="100.05", ask="100.01"), book("b", bid="99.00", ask="101.00")])
        assert crossing == {("a", "BTC-USD"): set(), ("b", "BTC-USD"): set()}

    def test_are_drawn(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, picture(book("a", bid="100.00", ask="100.01"), book("b", bid="100.02", ask="100.03")))
            first, second = rows(app)[1:3]
            assert "100.01«" in first
            assert "»100.02" in second

        at_once(work)


class TestRows:
    def test_every_value_is_there_where_there_is_room(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            header, first = rows(app)[:2]
            for title in (
                "symbol",
                "exchange",
                "state",
                "bid size",
                "bps",
                "trend",
                "last trade",
                "messages/s",
                "deltas/s",
                "delay ms",
                "gaps",
                "why",
            ):
                assert title in header
            assert first.split()[:4] == ["BTC-USD", "binance", "✗", "STALE"]
            assert first.split()[-1] == "silent"

        at_once(work, size=WIDE)

    def test_at_80_columns_the_dearest_are_left(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            header = rows(app)[0]
            assert [title in header for title in ("bid", "ask", "bps", "age", "trend", "gaps")] == [True] * 4 + [False] * 2
            assert all(len(line) <= 80 for line in drawn(app))

        at_once(work, size=(80, 24))

    def test_points_stand_under_each_other(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, picture(book("a", bid="100.25"), book("b", bid="9.5", ask="100")))
            first, second = rows(app)[1:3]
            assert first.index(".25") == second.index("9.5 ") + 1

        at_once(work, size=WIDE)

    def test_a_collector_without_books_has_a_row_that_says_so(self):
        async def work(app, pilot, feed):
            sets = (SetPicture(SetStatus("kraken", "kraken", Liveness.LIVE)), SetPicture(SetStatus("coinbase", "coinbase", None)))
            await give(pilot, feed, Picture(1, sets))
            text = "\n".join(rows(app))
            assert "○ no books yet" in text
            assert "✗ no segments" in text

        at_once(work)

    def test_hostile_text_is_escaped(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, picture(book("k\x1b[31m", "B\x07TC-USD")))
            assert "\\x1b[31m" in rows(app)[1]
            assert "B\\x07TC" in rows(app)[1]

        at_once(work)

    def test_nothing_is_a_sentence(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, picture(advice="Nothing is collected. Start one: alphapulse collect --exchange kraken"))
            assert "alphapulse collect --exchange kraken" in "\n".join(rows(app))

        at_once(work)


class TestKeys:
    def test_o_sorts_by_the_next_column_and_r_turns_it_around_and_both_are_remembered(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            assert names(app) == [("BTC-USD", "binance"), ("BTC-USD", "coinbase"), ("BTC-USD", "kraken"), ("ETH-USD", "kraken")]
            await pilot.press("r")
            await pilot.pause()
            assert names(app)[0] == ("ETH-USD", "kraken")
            await pilot.press("o")
            await pilot.pause()
            assert [name for _, name in names(app)] == ["binance", "coinbase", "kraken", "kraken"]
            assert app.remembered("overview.order", "") == "exchange"

        at_once(work)

    def test_what_has_no_value_is_last_either_way(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            app.screen._sort_by("bid", reverse=False)
            await pilot.pause()
            assert names(app)[-1] == ("BTC-USD", "binance")
            await pilot.press("r")
            await pilot.pause()
            assert names(app)[0] == ("BTC-USD", "coinbase")
            assert names(app)[-1] == ("BTC-USD", "binance")

        at_once(work)

    def test_a_click_on_a_title_sorts_by_it_and_another_turns_it_around(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            at = rows(app)[0].index("bps")
            await pilot.click(offset=(at, 1))
            await pilot.pause()
            assert app.screen.order == ("spread", True)
            await pilot.click(offset=(at, 1))
            await pilot.pause()
            assert app.screen.order == ("spread", False)

        at_once(work)

    def test_the_filter_wants_every_word(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            await pilot.press("slash", *"btc kr", "enter")
            await pilot.pause()
            assert names(app) == [("BTC-USD", "kraken")]
            await pilot.press("slash", *"zz", "enter")
            await pilot.pause()
            assert "Nothing has all of: zz" in "\n".join(rows(app))

        at_once(work)

    def test_enter_opens_the_books_of_the_row_under_the_cursor(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            await pilot.press("down", "down", "down", "enter")
            await pilot.pause()
            assert (app.current_mode, app.remembered("books.symbol", "")) == ("books", "ETH-USD")
            assert feed.watched == "ETH-USD"

        at_once(work)

    def test_esc_comes_back_to_the_row(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            await pilot.press("down", "down", "down", "enter")
            await pilot.pause()
            await pilot.press("escape")
            await pilot.pause()
            assert app.current_mode == "overview"
            assert app.screen.table.chosen == ("kraken", "ETH-USD")
            await pilot.press("2", "escape")
            await pilot.pause()
            assert app.current_mode == "books"  # came by its number: there is nothing to go back to

        at_once(work)

    def test_g_lists_the_symbols_and_puts_the_cursor_there(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            await pilot.press("g")
            await pilot.pause()
            assert "ETH-USD" in "\n".join(drawn(app))
            await pilot.press(*"eth", "enter")
            await pilot.pause()
            assert app.screen.table.chosen == ("kraken", "ETH-USD")
            await pilot.press("g", *"zzz", "enter")
            await pilot.pause()
            assert "go to a symbol" in "\n".join(drawn(app))  # nothing has these letters: it stays open
            await pilot.press("escape")
            await pilot.pause()
            assert app.screen.table.chosen == ("kraken", "ETH-USD")

        at_once(work)

    def test_g_goes_to_the_ladders_where_a_screen_has_no_row_of_it(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            await pilot.press("6", "g", "down", "enter")
            await pilot.pause()
            assert (app.current_mode, feed.watched) == ("books", "ETH-USD")
            await pilot.press("g", "enter")
            await pilot.pause()
            assert (app.current_mode, feed.watched) == ("books", "BTC-USD")

        at_once(work)

    def test_c_chooses_columns_and_their_order_and_they_are_remembered(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            await pilot.press("c")
            await pilot.pause()
            prompt = app.screen.query_one("Input")
            prompt.value = "ask symbol moon"
            await pilot.press("enter")
            await pilot.pause()
            assert "no such column: moon" in "\n".join(drawn(app))
            prompt.value = "ask symbol ask"
            await pilot.press("enter")
            await pilot.pause()
            assert "named twice: ask" in "\n".join(drawn(app))
            prompt.value = "age symbol exchange"
            await pilot.press("enter")
            await pilot.pause()
            assert rows(app)[0].split() == ["age", "symbol▲", "exchange"]
            assert rows(app)[2].split() == ["3", "ms", "BTC-USD", "coinbase"]
            assert app.remembered("overview.columns", "") == "age symbol exchange"
            await pilot.press("c")
            await pilot.pause()
            app.screen.query_one("Input").value = ""
            await pilot.press("enter")
            await pilot.pause()
            assert "state" in rows(app)[0]

        at_once(work)

    def test_chosen_columns_that_do_not_fit_go_from_the_last_and_a_wrong_memory_is_none(self):
        async def work(app, pilot, feed):
            app.remember("overview.columns", "symbol exchange bid ask bid_size")
            await give(pilot, feed, three())
            assert rows(app)[0].split() == ["symbol▲", "exchange", "bid", "ask"]
            app.remember("overview.columns", "symbol nonsense")
            await give(pilot, feed, three())
            assert "exchange" in rows(app)[0]

        at_once(work, size=(54, 30))

    def test_so_does_a_double_click(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            await pilot.click(offset=(5, 5), times=2)
            await pilot.pause()
            assert (app.current_mode, feed.watched) == ("books", "ETH-USD")

        at_once(work)

    def test_the_cursor_stays_on_its_row_when_sorting_moves_it(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            await pilot.press("down")
            assert app.screen.table.chosen == ("coinbase", "BTC-USD")
            await pilot.press("r")
            await pilot.pause()
            assert app.screen.table.chosen == ("coinbase", "BTC-USD")

        at_once(work)

    def test_y_copies_all_columns_of_what_is_listed(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            await pilot.press("y")
            lines = app.clipboard.splitlines()
            assert lines[0].split()[:3] == ["symbol", "exchange", "state"]
            assert lines[2].split()[:2] == ["BTC-USD", "coinbase"]
            assert len(lines) == 5

        at_once(work)


def pane(app):
    """The lines beneath the table's ruled line."""
    lines = drawn(app)[1:-2]
    ruled = next((at for at, line in enumerate(lines) if line.startswith("──")), len(lines))
    return lines[ruled + 1 :]


class TestPane:
    def test_it_tells_of_the_row_under_the_cursor_and_wants_its_ladder_only(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            assert (feed.watched, feed.depth[0]) == ("BTC-USD", "binance")
            await pilot.press("down")
            await pilot.pause()
            assert (feed.watched, feed.depth[0]) == ("BTC-USD", "coinbase")
            text = "\n".join(pane(app))
            assert "coinbase BTC-USD  ● LIVE" in text
            assert "100.04" in text
            assert "12 deltas/s" in text
            assert "no trades yet" in text

        at_once(work, size=(120, 40))

    def test_a_book_that_is_not_live_says_why_and_what_to_do(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            text = " ".join(" ".join(pane(app)).split())
            assert "binance BTC-USD ○ STALE silent" in text
            assert "Nothing was heard for too long" in text
            command = "alphapulse collect --exchange binance --symbols BTC-USD"
            dead = tuple(
                replace(one, revival=f"The collector was killed. Start it again: {command}")
                if one.status.name == "binance"
                else one
                for one in three().sets
            )
            await give(pilot, feed, replace(three(), sets=dead, taken_ns=three().taken_ns + 10**9))
            assert any(line.strip().endswith(command) for line in pane(app))

        at_once(work, size=(120, 40))

    def test_its_own_number_leaves_the_ladder_as_it_is(self):
        """Pressed where it is in front already; so does that of Books."""

        async def work(app, pilot, feed):
            for key in "12":
                await pilot.press(key)
                await give(pilot, feed, three())
                wanted = feed.watched, feed.depth
                assert wanted[0] == "BTC-USD"
                await pilot.press(key)
                await give(pilot, feed, three())
                assert (feed.watched, feed.depth) == wanted

        at_once(work, size=(120, 40))

    def test_x_pins_the_row_and_lets_it_go_again(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, three())
            await pilot.press("down", "x", "down", "down")
            await pilot.pause()
            assert "coinbase BTC-USD  ● LIVE" in pane(app)[0]
            assert "pinned" in pane(app)[0]
            assert app.screen.table.chosen == ("kraken", "ETH-USD")
            await give(pilot, feed, picture(book("kraken", "ETH-USD")))
            await pilot.press("up")
            assert "coinbase BTC-USD" in "\n".join(pane(app))
            assert "no book" in "\n".join(pane(app))
            await pilot.press("x")
            await pilot.pause()
            assert "kraken ETH-USD  ● LIVE" in "\n".join(pane(app))

        at_once(work, size=(120, 40))

    def test_where_the_table_needs_the_room_there_is_none_and_nothing_is_watched(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, picture(*(book(f"s{at}", f"S{at}-USD") for at in range(15))))
            assert pane(app) == []
            assert feed.watched == ""
            await pilot.press("down")
            assert feed.watched == ""

        at_once(work, size=(100, 24))

    def test_what_it_shows_changes_with_the_market(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, picture(book("a")))
            before = pane(app)
            later = picture(book("a", bid="77.50", ask="77.60"))
            await give(pilot, feed, replace(later, taken_ns=later.taken_ns + 1_000_000_000))
            assert "77.50" in "\n".join(pane(app))
            assert pane(app) != before

        at_once(work, size=(100, 40))


class TestCells:
    @pytest.mark.parametrize(
        ("age_ms", "text"),
        [
            (None, ""),
            (-5, "0 ms"),
            (12.4, "12 ms"),
            (999.4, "999 ms"),
            (1500, "1.5 s"),
            (99_900, "99.9 s"),
            (600_000, "10 min"),
            (36_000_000, "10 h"),
        ],
    )
    def test_an_age_has_a_unit_that_fits(self, age_ms, text):
        assert age(age_ms) == text

    def test_numbers_are_padded_to_the_same_place(self):
        texts = ["1.25", "100", "0.5", ""]
        assert [aligned(text, places(texts)) for text in texts] == ["1.25", "100   ", "0.5 ", ""]
        assert aligned("100", 0) == "100"
