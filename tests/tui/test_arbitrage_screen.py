"""The raw spreads between exchanges: exact, both ways, crossing ones first and marked, none of a book that is not LIVE."""

from decimal import Decimal

from tui_pictures import at_once, book, drawn, give, picture

from alphapulse_cli.tui.screens.arbitrage import ArbitrageScreen, Item
from alphapulse_cli.wire.delta import BookState


def lines(app):
    return [line for line in drawn(app)[2:-2] if line.strip()]


class TestItems:
    def test_what_is_left_of_a_unit_is_exact(self):
        item = Item(book("a", bid="99.00", ask="100.10"), book("b", bid="100.3", ask="101.00"))
        assert item.spread == Decimal("0.20")
        assert abs(item.bps - 0.2 / 100.1 * 10_000) < 1e-9
        assert item.size == Decimal("1.5")

    def test_both_ways_of_every_two_live_books_and_no_others(self):
        async def work(app, pilot, feed):
            stale = book("c", bid="500.00", ask="501.00", state=BookState.STALE)
            other = book("a", "ETH-USD", bid="900.00", ask="901.00")
            await give(
                pilot, feed, picture(book("a", bid="99.00", ask="100.00"), book("b", bid="100.50", ask="101.00"), stale, other)
            )
            assert [tuple(line.split()[at] for at in (0, 1, 3, 5)) for line in lines(app)] == [
                ("BTC-USD", "a", "b", "»+50.00"),
                ("BTC-USD", "b", "a", "-198.02"),
            ]

        at_once(work, screen="arbitrage")


class TestScreen:
    def test_no_two_live_books_is_a_sentence_with_what_to_do(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, picture(book("a")))
            assert "alphapulse collect --exchange coinbase" in "\n".join(lines(app))
            await give(pilot, feed, picture(advice="Nothing is collected"))
            assert "Nothing is collected" in "\n".join(lines(app))

        at_once(work, screen="arbitrage")

    def test_enter_opens_the_books(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, picture(book("a", "ETH-USD"), book("b", "ETH-USD")))
            await pilot.press("enter")
            await pilot.pause()
            assert (app.current_mode, feed.watched) == ("books", "ETH-USD")

        at_once(work, screen="arbitrage")

    def test_it_says_that_these_are_raw(self):
        assert "before fees" in ArbitrageScreen.HELP
