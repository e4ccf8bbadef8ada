"""The tape: newest first, exact values, what the filter leaves, and a cursor that follows the newest or stays with its trade."""

from decimal import Decimal

import pytest
from support.tui_pictures import picture, running_app

from alphapulse_cli.readers.items import TradeItem
from alphapulse_cli.tui.screens.tape import bar, share, smallest

SECOND = 1_000_000_000
NOON = 43_200 * SECOND


def trade(number, symbol="BTC-USD", name="kraken", side="buy", price="100.00", size="1.5", **more):
    """One, as long after noon as its number."""
    values = {"exchange_ns": NOON + number * SECOND + 7_000_000, "history": False} | more
    return TradeItem(
        name, name, symbol, NOON + number * SECOND, values["exchange_ns"], str(number), side, price, size, 2, 1, values["history"]
    )


def lines(tui):
    return [line for line in tui.lines()[2:-2] if line.strip()]


def shown(*trades):
    return picture(trades=tuple(trades))


class TestRows:
    async def test_a_trade_in_a_line(self):
        async with running_app(
            screen="tape", given=shown(trade(2), trade(1, "ETH-USD", "coinbase", "sell", "2000.10", "0.3"))
        ) as tui:
            assert lines(tui)[0].split()[:8] == ["12:00:02.000", "BTC-USD", "kraken", "▲", "buy", "100.00", "1.5", "150.00"]
            assert lines(tui)[1].split()[:8] == ["12:00:01.000", "ETH-USD", "coinbase", "▼", "sell", "2000.10", "0.3", "600.03"]

    async def test_a_bar_is_a_quarter_shorter_for_each_tenth_of_the_largest_of_the_same_quote_currency(self):
        async with running_app(size=(160, 24), screen="tape") as tui:
            sizes = ("1000", "100", "10", "0.1")
            await tui.give(shown(*(trade(9 - at, size=size) for at, size in enumerate(sizes)), trade(1, "BTC-EUR", size="0.5")))
            assert [line.count("█") for line in lines(tui)] == [30, 22, 15, 0, 30]
            assert "▏" in lines(tui)[3]

    @pytest.mark.parametrize(("value", "length"), [("100", 1.0), ("10", 0.75), ("0.01", 0.0), ("0.001", 0.0), ("0", 0.0)])
    def test_a_share_is_logarithmic_over_four_decades(self, value, length):
        assert share(Decimal(value), Decimal(100)) == pytest.approx(length)
        assert share(Decimal(value), Decimal(0)) == 0

    async def test_the_time_is_ours_and_the_exchanges_has_its_own_column(self):
        async with running_app(
            size=(160, 24), screen="tape", given=shown(trade(2), trade(1, exchange_ns=None, history=True))
        ) as tui:
            titles = tui.lines()[1]
            assert "received (UTC)" in titles
            at = titles.index("exchange's time")
            assert [line[at : at + 15].strip() for line in lines(tui)] == ["12:00:02.007", "-"]
            assert [line.split()[0] for line in lines(tui)] == ["12:00:02.000", "h12:00:01.000"]

    @pytest.mark.parametrize(("share", "text"), [(1.0, "████"), (0.5, "██"), (0.53125, "██▏"), (0.0001, "▏"), (0.0, "▏")])
    def test_a_bar_is_right_to_an_eighth_and_never_nothing(self, share, text):
        assert bar(share, 4) == text


class TestFilter:
    async def test_words_and_a_smallest_value(self):
        async with running_app(
            screen="tape", given=shown(trade(3, size="0.1"), trade(2, side="sell", size="9"), trade(1, "ETH-USD"))
        ) as tui:
            await tui.press("slash", *"btc >50", "enter")
            assert [line.split()[0] for line in lines(tui)] == ["12:00:02.000"]

    @pytest.mark.parametrize(
        ("word", "value"), [(">", 0), (">1,000", 1000), (">2_5.5", 25.5), (">x", 0), (">1e9", 0), (">.", 0), (">\u0661", 0)]
    )
    def test_half_typed_numbers_filter_nothing(self, word, value):
        assert float(smallest(word)) == value


class TestCursor:
    async def test_it_follows_the_newest_until_it_is_moved_then_stays_with_its_trade(self):
        async with running_app(screen="tape", given=shown(trade(2), trade(1))) as tui:
            await tui.give(shown(trade(3), trade(2), trade(1)))
            assert tui.screen.table.chosen[2] == "3"
            await tui.press("down")
            await tui.give(shown(trade(5), trade(4), trade(3), trade(2), trade(1)))
            assert tui.screen.table.chosen[2] == "2"
            await tui.press("home")
            await tui.give(shown(trade(6), trade(5)))
            assert tui.screen.table.chosen[2] == "6"

    async def test_no_trades_is_a_sentence(self):
        async with running_app(screen="tape", given=shown()) as tui:
            assert "No trades yet" in "\n".join(lines(tui))
