"""Ways to trade on the screen: opportunities first and marked, net and size as the walk says, none of a book that is not LIVE."""

import re
from dataclasses import replace
from fractions import Fraction

from support import tui_market
from support.tui_pictures import book, picture, running_app

from alphapulse_cli.flow.arbitrage.candidate import RejectReason
from alphapulse_cli.flow.arbitrage.exact import Exact
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.tui.feed.arbitrage_feed import ArbitrageFeed
from alphapulse_cli.tui.feed.picture import Seen
from alphapulse_cli.tui.screens.arbitrage import ArbitrageScreen, money, notes, profit, verdict
from alphapulse_cli.wire.delta import BookState

FREE = {"a": "0", "b": "0"}


def compared(*books):
    made = picture(*books)
    return replace(made, arbitrage=tui_market.arbitrage(books, FREE, made.taken_ns - 4_200_000_000))


def crossing(state=BookState.LIVE):
    return compared(book("a", bid="99.00", ask="100.00"), book("b", bid="100.50", ask="101.00", state=state))


def lines(tui):
    """Of the table and of the notes; what is beneath the ruled line is the pane's."""
    found = tui.lines()[2:-2]
    ruled = next((at for at, line in enumerate(found) if line.startswith("──")), len(found))
    below = [line for line in found[ruled + 1 :] if line.startswith(("  held back", "  not compared"))]
    return [line for line in [*found[:ruled], *below] if line.strip()]


def pane(tui):
    found = tui.lines()[2:-2]
    ruled = next((at for at, line in enumerate(found) if line.startswith("──")), len(found))
    return "\n".join(found[ruled + 1 :])


class TestPane:
    async def test_it_has_the_walk_level_by_level_and_its_sums(self):
        async with running_app(size=(140, 40), screen="arbitrage") as tui:
            shown = crossing()
            await tui.give(shown)
            text = pane(tui)
            assert "buy at a, sell at b  » opportunity" in text
            walked = [line.split()[:4] for line in text.splitlines() if line.split()[:1] == ["100.00"]]
            assert walked == [["100.00", "100.50", "1.5", "1.5"], ["100.00", "100.49", "1", "2.5"]]
            (net,) = [row.found.net.text for row in shown.arbitrage.rows if row.found is not None]
            assert f"{net} USD" in text
            await tui.press("down")
            assert "buy at b, sell at a  no profit" in pane(tui)
            assert "there is nothing" in pane(tui)

    async def test_without_a_profit_it_says_which_prices_would_break_even_to_the_tick(self):
        """That bid or that ask loses nothing after both fees, the next worse one does."""
        shown = picture(book("a", bid="99.00", ask="100.00"), book("b", bid="99.50", ask="100.50"))
        buyer, seller = Fraction("1.001"), Fraction("0.998")
        shown = replace(shown, arbitrage=tui_market.arbitrage(shown.books, {"a": "0.001", "b": "0.002"}, shown.taken_ns))

        async with running_app(size=(140, 40), screen="arbitrage", given=shown) as tui:
            said = re.search(r"breaks even with a bid of (\d+\.\d\d) at b, or with an ask of (\d+\.\d\d) at a\.", pane(tui))
            bid, ask = map(Fraction, said.groups())
            tick = Fraction("0.01")
            assert bid * seller >= 100 * buyer > (bid - tick) * seller
            assert Fraction("99.5") * seller >= ask * buyer > Fraction("99.5") * seller - tick * buyer

    async def test_a_row_that_is_held_back_names_the_book_that_is_not_live_and_why(self):
        async with running_app(size=(140, 40), screen="arbitrage", given=crossing(BookState.SYNCING)) as tui:
            assert "Held back: a book is not live: b: SYNCING" in pane(tui)

    async def test_what_was_seen_lately_and_how_long_it_lasted(self):
        async with running_app(size=(140, 40), screen="arbitrage") as tui:
            shown = crossing()
            found = next(row.found for row in shown.arbitrage.rows if row.found is not None)
            ends = ("a", "BTC-USD"), ("b", "BTC-USD")
            now, second = shown.taken_ns, 1_000_000_000
            lives = ((0.2, False), (0.7, False), (9.0, True))
            seen = [
                Seen("BTC-USD", *ends, now - 30 * second - int(life * second), now - 30 * second, found, cut) for life, cut in lives
            ]
            other = replace_ends(seen[0], ("b", "BTC-USD"), ("a", "BTC-USD"))
            await tui.give(replace(shown, arbitrage=replace(shown.arbitrage, seen=(*seen, other))))
            text = pane(tui)
            assert "of 2 seen, after 100 ms: 2, 500 ms: 1, 1.00 s: 0, 5.00 s: 0" in text
            assert ">9.00 s" in text
            assert sum(line.rstrip().endswith(found.net.text) for line in text.splitlines()) == len(lives)

    async def test_an_alarm_on_a_way_rings_and_marks_its_row(self, monkeypatch):
        async with running_app(size=(140, 40), screen="arbitrage") as tui:
            bells = []
            monkeypatch.setattr(tui.app, "bell", lambda: bells.append(1))
            await tui.give(compared(book("a"), book("b")))
            tui.app.alarms.put("arbitrage", ("a", "BTC-USD", "b", "BTC-USD"), "net > 49")
            await tui.give(crossing())
            assert bells == [1]
            assert "!BTC-USD" in lines(tui)[0]
            assert "!" not in lines(tui)[1]


def replace_ends(seen, buy, sell):
    return seen._replace(buy=buy, sell=sell)


class TestRows:
    async def test_an_opportunity_is_first_with_the_size_and_net_of_the_walk(self):
        async with running_app((120, 30), screen="arbitrage") as tui:
            shown = crossing()
            await tui.give(shown)
            (row,) = [row for row in shown.arbitrage.rows if row.found is not None]
            first, second = lines(tui)
            assert "»+50.00" in first
            assert "opportunity" in first
            assert first.split()[0:2] == ["BTC-USD", "a"]
            assert f" {row.found.size.text} " in first
            assert f" {money(row.found.net)} " in first
            assert "no profit" in second
            assert tui.feed.screen == "arbitrage"

    async def test_a_book_that_goes_stale_removes_it_and_says_why(self):
        async with running_app((120, 30), screen="arbitrage", given=crossing()) as tui:
            await tui.give(crossing(BookState.STALE))
            text = "\n".join(lines(tui))
            assert "»" not in text
            assert "held back: 2 not live (a book is not live)" in text


class TestWords:
    def test_opportunities_sort_above_all_others(self):
        rows = sorted(tui_market.MARKET.arbitrage.rows, key=lambda row: profit(row) or (False, -(10**9)), reverse=True)
        assert [row.found is not None for row in rows[:2]] == [True, False]
        assert rows[-1].why is RejectReason.NOT_LIVE
        assert verdict(rows[-1]) == ("not live", "waiting")

    def test_money_is_never_shown_as_more_than_it_is(self):
        assert [money(Exact(units, 3)) for units in (1_999, 1_234_567, 999)] == ["1.99", "1,234.56", "0.999000"]
        assert money(Exact(19_999_999, 10)) == "0.001999"

    def test_an_exchange_whose_fee_nobody_knows_is_a_sentence(self, tmp_path):
        class Unknown:
            name = exchange = "nowhere"
            is_replay = False
            epoch = 1

            def clock_ns(self):
                return clock.realtime_ns()

            def stand(self, now_ns):
                raise AssertionError("it is left out")

        with open_directory(tmp_path) as directory:
            made = ArbitrageFeed({}).look(directory, [Unknown()], clock.monotonic_ns())
        assert "nowhere is left out" in made.unknown_fees[0]
        assert notes(made) == [("", [made.unknown_fees[0]])]


class TestScreen:
    async def test_nothing_to_compare_is_a_sentence_with_what_to_do(self):
        async with running_app(screen="arbitrage", given=compared(book("a"))) as tui:
            assert "alphapulse collect --exchange coinbase" in "\n".join(lines(tui))
            await tui.give(picture(advice="Nothing is collected"))
            assert "Nothing is collected" in "\n".join(lines(tui))

    async def test_enter_opens_the_books(self):
        async with running_app(screen="arbitrage", given=compared(book("a", "ETH-USD"), book("b", "ETH-USD"))) as tui:
            await tui.press("enter")
            assert (tui.app.current_mode, tui.feed.watched) == ("books", "ETH-USD")

    def test_it_says_what_it_does_not_see(self):
        assert "between two pictures is not seen" in ArbitrageScreen.HELP
        assert "alphapulse arb watch" in ArbitrageScreen.HELP
