"""The overview: a row a book, what is marked, what sorting and filtering do, what Enter opens, and what it says where there is nothing."""

from dataclasses import replace

import pytest
from support.tui_pictures import book, picture, running_app

from alphapulse_cli.readers.status import SetStatus
from alphapulse_cli.shm.segment import Liveness
from alphapulse_cli.tui.cells import age, aligned, places
from alphapulse_cli.tui.feed.picture import Picture, SetPicture
from alphapulse_cli.tui.screens.overview import marked
from alphapulse_cli.wire.delta import BookState

WIDE = (220, 30)


def rows(tui):
    """The lines of the table, the header first; what is beneath its ruled line is the pane's."""
    lines = tui.lines()[1:-2]
    ruled = next((at for at, line in enumerate(lines) if line.startswith("──")), len(lines))
    return lines[:ruled]


def names(tui):
    """Symbol and exchange of each row."""
    return [tuple(line.split()[:2]) for line in rows(tui)[1:] if line.strip()]


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

    async def test_are_drawn(self):
        async with running_app(given=picture(book("a", bid="100.00", ask="100.01"), book("b", bid="100.02", ask="100.03"))) as tui:
            first, second = rows(tui)[1:3]
            assert "100.01«" in first
            assert "»100.02" in second


class TestRows:
    async def test_every_value_is_there_where_there_is_room(self):
        async with running_app(size=WIDE, given=three()) as tui:
            header, first = rows(tui)[:2]
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

    async def test_at_80_columns_the_dearest_are_left(self):
        async with running_app(size=(80, 24), given=three()) as tui:
            header = rows(tui)[0]
            assert [title in header for title in ("bid", "ask", "bps", "age", "trend", "gaps")] == [True] * 4 + [False] * 2
            assert all(len(line) <= 80 for line in tui.lines())

    async def test_points_stand_under_each_other(self):
        async with running_app(size=WIDE, given=picture(book("a", bid="100.25"), book("b", bid="9.5", ask="100"))) as tui:
            first, second = rows(tui)[1:3]
            assert first.index(".25") == second.index("9.5 ") + 1

    async def test_a_collector_without_books_has_a_row_that_says_so(self):
        async with running_app() as tui:
            sets = (SetPicture(SetStatus("kraken", "kraken", Liveness.LIVE)), SetPicture(SetStatus("coinbase", "coinbase", None)))
            await tui.give(Picture(1, sets))
            text = "\n".join(rows(tui))
            assert "○ no books yet" in text
            assert "✗ no segments" in text

    async def test_hostile_text_is_escaped(self):
        async with running_app(given=picture(book("k\x1b[31m", "B\x07TC-USD"))) as tui:
            assert "\\x1b[31m" in rows(tui)[1]
            assert "B\\x07TC" in rows(tui)[1]

    async def test_nothing_is_a_sentence(self):
        async with running_app(
            given=picture(advice="Nothing is collected. Start one: alphapulse collect --exchange kraken")
        ) as tui:
            assert "alphapulse collect --exchange kraken" in "\n".join(rows(tui))


class TestKeys:
    async def test_o_sorts_by_the_next_column_and_r_turns_it_around_and_both_are_remembered(self):
        async with running_app(given=three()) as tui:
            assert names(tui) == [("BTC-USD", "binance"), ("BTC-USD", "coinbase"), ("BTC-USD", "kraken"), ("ETH-USD", "kraken")]
            await tui.press("r")
            assert names(tui)[0] == ("ETH-USD", "kraken")
            await tui.press("o")
            assert [name for _, name in names(tui)] == ["binance", "coinbase", "kraken", "kraken"]
            assert tui.app.remembered("overview.order", "") == "exchange"

    async def test_what_has_no_value_is_last_either_way(self):
        async with running_app(given=three()) as tui:
            while tui.screen.order[0] != "bid":
                await tui.press("o")
            one_way = names(tui)
            await tui.press("r")
            other_way = names(tui)
            assert {one_way[0], other_way[0]} == {("BTC-USD", "coinbase"), ("ETH-USD", "kraken")}
            assert one_way[-1] == other_way[-1] == ("BTC-USD", "binance")

    async def test_a_click_on_a_title_sorts_by_it_and_another_turns_it_around(self):
        async with running_app(given=three()) as tui:
            at = rows(tui)[0].index("bps")
            await tui.pilot.click(offset=(at, 1))
            await tui.settle()
            assert tui.screen.order == ("spread", True)
            await tui.pilot.click(offset=(at, 1))
            await tui.settle()
            assert tui.screen.order == ("spread", False)

    async def test_the_filter_wants_every_word(self):
        async with running_app(given=three()) as tui:
            await tui.press("slash", *"btc kr", "enter")
            assert names(tui) == [("BTC-USD", "kraken")]
            await tui.press("slash", *"zz", "enter")
            assert "Nothing has all of: zz" in "\n".join(rows(tui))

    async def test_enter_opens_the_books_of_the_row_under_the_cursor(self):
        async with running_app(given=three()) as tui:
            await tui.press("down", "down", "down", "enter")
            assert (tui.app.current_mode, tui.app.remembered("books.symbol", "")) == ("books", "ETH-USD")
            assert tui.feed.watched == "ETH-USD"

    async def test_esc_comes_back_to_the_row(self):
        async with running_app(given=three()) as tui:
            await tui.press("down", "down", "down", "enter")
            await tui.press("escape")
            assert tui.app.current_mode == "overview"
            assert tui.screen.table.chosen == ("kraken", "ETH-USD")
            await tui.press("2", "escape")
            assert tui.app.current_mode == "books"  # came by its number: there is nothing to go back to

    async def test_g_lists_the_symbols_and_puts_the_cursor_there(self):
        async with running_app(given=three()) as tui:
            await tui.press("g")
            assert "ETH-USD" in "\n".join(tui.lines())
            await tui.press(*"eth", "enter")
            assert tui.screen.table.chosen == ("kraken", "ETH-USD")
            await tui.press("g", *"zzz", "enter")
            assert "go to a symbol" in "\n".join(tui.lines())  # nothing has these letters: it stays open
            await tui.press("escape")
            assert tui.screen.table.chosen == ("kraken", "ETH-USD")

    async def test_g_goes_to_the_ladders_where_a_screen_has_no_row_of_it(self):
        async with running_app(given=three()) as tui:
            await tui.press("6", "g", "down", "enter")
            assert (tui.app.current_mode, tui.feed.watched) == ("books", "ETH-USD")
            await tui.press("g", "enter")
            assert (tui.app.current_mode, tui.feed.watched) == ("books", "BTC-USD")

    async def test_c_chooses_columns_and_their_order_and_they_are_remembered(self):
        async with running_app(given=three()) as tui:
            await tui.press("c")
            prompt = tui.screen.query_one("Input")
            prompt.value = "ask symbol moon"
            await tui.press("enter")
            assert "no such column: moon" in "\n".join(tui.lines())
            prompt.value = "ask symbol ask"
            await tui.press("enter")
            assert "named twice: ask" in "\n".join(tui.lines())
            prompt.value = "age symbol exchange"
            await tui.press("enter")
            assert rows(tui)[0].split() == ["age", "symbol▲", "exchange"]
            assert rows(tui)[2].split() == ["3", "ms", "BTC-USD", "coinbase"]
            assert tui.app.remembered("overview.columns", "") == "age symbol exchange"
            await tui.press("c")
            tui.screen.query_one("Input").value = ""
            await tui.press("enter")
            assert "state" in rows(tui)[0]

    async def test_chosen_columns_that_do_not_fit_go_from_the_last_and_a_wrong_memory_is_none(self):
        async with running_app(size=(54, 30)) as tui:
            tui.app.remember("overview.columns", "symbol exchange bid ask bid_size")
            await tui.give(three())
            assert rows(tui)[0].split() == ["symbol▲", "exchange", "bid", "ask"]
            tui.app.remember("overview.columns", "symbol nonsense")
            await tui.give(three())
            assert "exchange" in rows(tui)[0]

    async def test_so_does_a_double_click(self):
        async with running_app(given=three()) as tui:
            await tui.pilot.click(offset=(5, 5), times=2)
            await tui.settle()
            assert (tui.app.current_mode, tui.feed.watched) == ("books", "ETH-USD")

    async def test_the_cursor_stays_on_its_row_when_sorting_moves_it(self):
        async with running_app(given=three()) as tui:
            await tui.press("down")
            assert tui.screen.table.chosen == ("coinbase", "BTC-USD")
            await tui.press("r")
            assert tui.screen.table.chosen == ("coinbase", "BTC-USD")

    async def test_y_copies_all_columns_of_what_is_listed(self):
        async with running_app(given=three()) as tui:
            await tui.press("y")
            lines = tui.app.clipboard.splitlines()
            assert lines[0].split()[:3] == ["symbol", "exchange", "state"]
            assert lines[2].split()[:2] == ["BTC-USD", "coinbase"]
            assert len(lines) == 5


def pane(tui):
    """The lines beneath the table's ruled line."""
    lines = tui.lines()[1:-2]
    ruled = next((at for at, line in enumerate(lines) if line.startswith("──")), len(lines))
    return lines[ruled + 1 :]


class TestPane:
    async def test_it_tells_of_the_row_under_the_cursor_and_wants_its_ladder_only(self):
        async with running_app(size=(120, 40), given=three()) as tui:
            assert (tui.feed.watched, tui.feed.depth[0]) == ("BTC-USD", "binance")
            await tui.press("down")
            assert (tui.feed.watched, tui.feed.depth[0]) == ("BTC-USD", "coinbase")
            text = "\n".join(pane(tui))
            assert "coinbase BTC-USD  ● LIVE" in text
            assert "100.04" in text
            assert "12 deltas/s" in text
            assert "no trades yet" in text

    async def test_a_book_that_is_not_live_says_why_and_what_to_do(self):
        async with running_app(size=(120, 40), given=three()) as tui:
            text = " ".join(" ".join(pane(tui)).split())
            assert "binance BTC-USD ○ STALE silent" in text
            assert "Nothing was heard for too long" in text
            command = "alphapulse collect --exchange binance --symbols BTC-USD"
            dead = tuple(
                replace(one, revival=f"The collector was killed. Start it again: {command}")
                if one.status.name == "binance"
                else one
                for one in three().sets
            )
            await tui.give(replace(three(), sets=dead, taken_ns=three().taken_ns + 10**9))
            assert any(line.strip().endswith(command) for line in pane(tui))

    async def test_its_own_number_leaves_the_ladder_as_it_is(self):
        """Pressed where it is in front already; so does that of Books."""
        async with running_app(size=(120, 40)) as tui:
            for key in "12":
                await tui.press(key)
                await tui.give(three())
                wanted = tui.feed.watched, tui.feed.depth
                assert wanted[0] == "BTC-USD"
                await tui.press(key)
                await tui.give(three())
                assert (tui.feed.watched, tui.feed.depth) == wanted

    async def test_x_pins_the_row_and_lets_it_go_again(self):
        async with running_app(size=(120, 40), given=three()) as tui:
            await tui.press("down", "x", "down", "down")
            assert "coinbase BTC-USD  ● LIVE" in pane(tui)[0]
            assert "pinned" in pane(tui)[0]
            assert tui.screen.table.chosen == ("kraken", "ETH-USD")
            await tui.give(picture(book("kraken", "ETH-USD")))
            await tui.press("up")
            assert "coinbase BTC-USD" in "\n".join(pane(tui))
            assert "no book" in "\n".join(pane(tui))
            await tui.press("x")
            assert "kraken ETH-USD  ● LIVE" in "\n".join(pane(tui))

    async def test_where_the_table_needs_the_room_there_is_none_and_nothing_is_watched(self):
        async with running_app(size=(100, 24), given=picture(*(book(f"s{at}", f"S{at}-USD") for at in range(15)))) as tui:
            assert pane(tui) == []
            assert tui.feed.watched == ""
            await tui.press("down")
            assert tui.feed.watched == ""

    async def test_what_it_shows_changes_with_the_market(self):
        async with running_app(size=(100, 40), given=picture(book("a"))) as tui:
            before = pane(tui)
            later = picture(book("a", bid="77.50", ask="77.60"))
            await tui.give(replace(later, taken_ns=later.taken_ns + 1_000_000_000))
            assert "77.50" in "\n".join(pane(tui))
            assert pane(tui) != before


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
