"""The tape: newest first, exact values, what the filter leaves, and a cursor that follows the newest or stays with its trade."""

from decimal import Decimal

import pytest
from support.tui_pictures import at_once, drawn, give, picture

from alphapulse_cli.readers.items import TradeTold
from alphapulse_cli.tui.screens.tape import bar, share, smallest

SECOND = 1_000_000_000
NOON = 43_200 * SECOND


def trade(number, symbol="BTC-USD", name="kraken", side="buy", price="100.00", size="1.5", **more):
    """One, as long after noon as its number."""
    values = {"exchange_ns": NOON + number * SECOND + 7_000_000, "history": False} | more
    return TradeTold(
        name, name, symbol, NOON + number * SECOND, values["exchange_ns"], str(number), side, price, size, 2, 1, values["history"]
    )


def lines(app):
    return [line for line in drawn(app)[2:-2] if line.strip()]


def shown(*trades):
    return picture(trades=tuple(trades))


class TestRows:
    def test_a_trade_in_a_line(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, shown(trade(2), trade(1, "ETH-USD", "coinbase", "sell", "2000.10", "0.3")))
            assert lines(app)[0].split()[:8] == ["12:00:02.000", "BTC-USD", "kraken", "▲", "buy", "100.00", "1.5", "150.00"]
            assert lines(app)[1].split()[:8] == ["12:00:01.000", "ETH-USD", "coinbase", "▼", "sell", "2000.10", "0.3", "600.03"]

        at_once(work, screen="tape")

    def test_a_bar_is_a_quarter_shorter_for_each_tenth_of_the_largest_of_the_same_quote_currency(self):
        async def work(app, pilot, feed):
            sizes = ("1000", "100", "10", "0.1")
            await give(
                pilot, feed, shown(*(trade(9 - at, size=size) for at, size in enumerate(sizes)), trade(1, "BTC-EUR", size="0.5"))
            )
            assert [line.count("█") for line in lines(app)] == [30, 22, 15, 0, 30]
            assert "▏" in lines(app)[3]

        at_once(work, size=(160, 24), screen="tape")

    @pytest.mark.parametrize(("value", "length"), [("100", 1.0), ("10", 0.75), ("0.01", 0.0), ("0.001", 0.0), ("0", 0.0)])
    def test_a_share_is_logarithmic_over_four_decades(self, value, length):
        assert share(Decimal(value), Decimal(100)) == pytest.approx(length)
        assert share(Decimal(value), Decimal(0)) == 0

    def test_the_time_is_ours_and_the_exchanges_has_its_own_column(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, shown(trade(2), trade(1, exchange_ns=None, history=True)))
            titles = drawn(app)[1]
            assert "received (UTC)" in titles
            at = titles.index("exchange's time")
            assert [line[at : at + 15].strip() for line in lines(app)] == ["12:00:02.007", "-"]
            assert [line.split()[0] for line in lines(app)] == ["12:00:02.000", "h12:00:01.000"]

        at_once(work, size=(160, 24), screen="tape")

    @pytest.mark.parametrize(("share", "text"), [(1.0, "████"), (0.5, "██"), (0.53125, "██▏"), (0.0001, "▏"), (0.0, "▏")])
    def test_a_bar_is_right_to_an_eighth_and_never_nothing(self, share, text):
        assert bar(share, 4) == text


class TestFilter:
    def test_words_and_a_smallest_value(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, shown(trade(3, size="0.1"), trade(2, side="sell", size="9"), trade(1, "ETH-USD")))
            await pilot.press("slash", *"btc >50", "enter")
            await pilot.pause()
            assert [line.split()[0] for line in lines(app)] == ["12:00:02.000"]

        at_once(work, screen="tape")

    @pytest.mark.parametrize(
        ("word", "value"), [(">", 0), (">1,000", 1000), (">2_5.5", 25.5), (">x", 0), (">1e9", 0), (">.", 0), (">\u0661", 0)]
    )
    def test_half_typed_numbers_filter_nothing(self, word, value):
        assert float(smallest(word)) == value


class TestCursor:
    def test_it_follows_the_newest_until_it_is_moved_then_stays_with_its_trade(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, shown(trade(2), trade(1)))
            await give(pilot, feed, shown(trade(3), trade(2), trade(1)))
            assert app.screen.table.chosen[2] == "3"
            await pilot.press("down")
            await give(pilot, feed, shown(trade(5), trade(4), trade(3), trade(2), trade(1)))
            assert app.screen.table.chosen[2] == "2"
            await pilot.press("home")
            await give(pilot, feed, shown(trade(6), trade(5)))
            assert app.screen.table.chosen[2] == "6"

        at_once(work, screen="tape")

    def test_no_trades_is_a_sentence(self):
        async def work(app, pilot, feed):
            await give(pilot, feed, shown())
            assert "No trades yet" in "\n".join(lines(app))

        at_once(work, screen="tape")
