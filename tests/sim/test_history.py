"""What a simulated market remembers: exactly the trades that it made, within its bounds."""

import pytest
from support.exchange_truth import instrument

from alphapulse_cli.market.events import Side, Trade
from alphapulse_cli.market.trade_summary import DAY_S, SECOND_NS, Span, by_span, merged
from alphapulse_cli.sim import history as kept
from alphapulse_cli.sim.exchange import STEP_NS, VIRTUAL_START_NS
from alphapulse_cli.sim.history import TRADES_KEPT, History
from alphapulse_cli.sim.market_maker import SimulatedMarket

BTC = instrument()


def trades_at(seconds, count=1, ticks=100):
    return [Trade(BTC, str(int(seconds * 10) + i), ticks + i, 2, Side.SELL, int(seconds * SECOND_NS)) for i in range(count)]


def history_of(*seconds):
    history = History()
    for each in seconds:
        history.add(trades_at(each), int(each * SECOND_NS))
    return history


class TestAgainstTheMarket:
    def test_figures_are_those_of_the_trades_that_it_made(self):
        """Ten minutes of a market: the day, and candles of five lengths, counted again from its steps."""
        market, now_ns = SimulatedMarket("binance", 5, ["BTC-USDT"], levels_per_side=40), VIRTUAL_START_NS
        made: list[Trade] = []
        for _ in range(3000):
            now_ns += 4 * STEP_NS
            made += market.step("BTC-USDT", now_ns).trades
        assert len(made) > 200
        whole = market.last_day("BTC-USDT", now_ns)
        prices = [trade.price_ticks for trade in made]
        assert (whole.open_ticks, whole.close_ticks, whole.high_ticks, whole.low_ticks) == (
            prices[0],
            prices[-1],
            max(prices),
            min(prices),
        )
        assert (whole.trade_count, whole.size_lots) == (len(made), sum(trade.size_lots for trade in made))
        assert whole.quote == sum(trade.price_ticks * trade.size_lots for trade in made)
        assert (whole.first_id, whole.last_id) == (made[0].trade_id, made[-1].trade_id)
        for seconds in (1, 60, 300, 3600, DAY_S):
            for candle in market.candles("BTC-USDT", Span(seconds), 5):
                inside = [trade for trade in made if candle.begin_ns <= (trade.exchange_ns or 0) < candle.end_ns]
                assert (candle.open_ticks, candle.close_ticks) == (inside[0].price_ticks, inside[-1].price_ticks)
                assert candle.size_lots == sum(trade.size_lots for trade in inside)
                assert candle.trade_count == len(inside)

    def test_a_frozen_history_is_not_changed_by_reading(self):
        history = history_of(1, 2, 61)
        assert history.candles(Span(60), 9) == history.candles(Span(60), 9)
        assert history.last_day(70 * SECOND_NS) == history.last_day(70 * SECOND_NS)


class TestBounds:
    def test_the_day_forgets_what_is_older(self):
        history = history_of(30, 90, DAY_S + 40)
        assert history.last_day((DAY_S + 50) * SECOND_NS).first_id == "900", "the minute of second 30 began over a day ago"
        assert history.last_day(3 * DAY_S * SECOND_NS).trade_count == 0

    def test_trades_and_summaries_are_bounded(self, monkeypatch):
        monkeypatch.setattr(kept, "LEVELS", ((1, 5), (60, 3), (3600, 2)))
        history = history_of(*range(TRADES_KEPT + 10))
        assert len(history.trades) == TRADES_KEPT
        assert [candle.begin_ns // SECOND_NS for candle in history.candles(Span(1), 100)] == [1005, 1006, 1007, 1008, 1009]

    def test_a_candle_that_lost_its_begin_is_not_given(self, monkeypatch):
        monkeypatch.setattr(kept, "LEVELS", ((1, 5), (60, 3), (3600, 2)))
        history = history_of(*range(250))
        assert [candle.begin_ns // SECOND_NS for candle in history.candles(Span(120), 100)] == [120, 240]
        history = history_of(*range(310))
        assert [candle.begin_ns // SECOND_NS for candle in history.candles(Span(120), 100)] == [240]

    def test_counts_and_spans(self):
        history = history_of(1, 61, 121)
        assert [candle.last_id for candle in history.candles(Span(60), 2)] == ["610", "1210"]
        assert history.candles(Span(60), 0) == []
        with pytest.raises(ValueError, match="0 s"):
            history.candles(Span(0), 1)

    def test_a_clock_that_goes_back_loses_no_trade(self):
        history = history_of(100, 50)
        assert merged(by_span(history.candles(Span(1), 9), Span(60)), 0, 1).trade_count == 2
