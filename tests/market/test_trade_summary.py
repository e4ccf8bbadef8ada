"""Summaries of trades: candles and figures of a day, in exact integers, whatever way they are put together."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.exchange_truth import instrument

from alphapulse_cli.market.events import Side, Trade
from alphapulse_cli.market.trade_summary import (
    MONTH,
    SECOND_NS,
    WEEK,
    Span,
    TradeSummary,
    by_span,
    merged,
    without_holes,
)

BTC = instrument()
MINUTE = Span(60)


def trade(number, ticks, lots, side=Side.BUY):
    return Trade(BTC, str(number), ticks, lots, side, None)


def summary(trades, begin_s=0, seconds=1):
    made = TradeSummary(begin_s * SECOND_NS, (begin_s + seconds) * SECOND_NS)
    for each in trades:
        made.add(each)
    return made


class TestASummary:
    def test_says_what_the_trades_did(self):
        made = summary([trade(7, 100, 5), trade(8, 90, 2, Side.SELL), trade(9, 110, 1)])
        assert (made.open_ticks, made.high_ticks, made.low_ticks, made.close_ticks) == (100, 110, 90, 110)
        assert (made.size_lots, made.quote) == (8, 100 * 5 + 90 * 2 + 110)
        assert (made.bought_lots, made.bought_quote) == (6, 610)
        assert (made.trade_count, made.first_id, made.last_id) == (3, "7", "9")

    def test_of_nothing_is_zero(self):
        assert merged([], 0, 5) == TradeSummary(0, 5)

    def test_keeps_sums_that_no_float_holds(self):
        huge = (1 << 61) + 1
        assert summary([trade(1, huge, huge), trade(2, 1, 1)]).quote == huge * huge + 1

    @given(st.lists(st.tuples(st.integers(1, 200), st.integers(1, 50), st.sampled_from(Side)), max_size=30), st.integers(1, 7))
    def test_of_parts_is_that_of_the_whole(self, rows, cut):
        trades = [trade(number, *row) for number, row in enumerate(rows)]
        parts = [summary(trades[i : i + cut]) for i in range(0, len(trades), cut)]
        assert merged(parts, 0, SECOND_NS) == summary(trades)


class TestSpans:
    @pytest.mark.parametrize(
        ("span", "moment", "begin", "end"),
        [
            (MINUTE, "2026-11-28T05:06:07", "2026-11-28T05:06", "2026-11-28T05:07"),
            (Span(14400), "2026-11-28T05:06:07", "2026-11-28T04:00", "2026-11-28T08:00"),
            (WEEK, "2026-11-29T23:59:59", "2026-11-23", "2026-11-30"),
            (WEEK, "2026-11-30T00:00:00", "2026-11-30", "2026-12-07"),
            (MONTH, "2026-12-31T23:59:59", "2026-12-01", "2027-01-01"),
            (MONTH, "2028-02-01T00:00:00", "2028-02-01", "2028-03-01"),
        ],
    )
    def test_begin_and_end(self, span, moment, begin, end):
        def nanoseconds(text):
            return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND_NS

        assert span.begin_ns(nanoseconds(moment)) == nanoseconds(begin)
        assert span.end_ns(nanoseconds(begin)) == nanoseconds(end)

    def test_seconds_become_minutes(self):
        seconds = [summary([trade(1, 100, 1)], 58), summary([trade(2, 101, 1)], 59), summary([trade(3, 102, 1)], 60)]
        first, second = by_span(seconds, MINUTE)
        assert (first.begin_ns, first.end_ns, first.last_id) == (0, 60 * SECOND_NS, "2")
        assert (second.begin_ns, second.open_ticks, second.trade_count) == (60 * SECOND_NS, 102, 1)


class TestWithoutHoles:
    """A minute in which nobody traded is a candle of the last price and no size."""

    CANDLES = (summary([trade(1, 100, 1)], 0, 60), summary([trade(2, 105, 1)], 180, 60))

    def filled(self, until_s, count):
        found = without_holes(self.CANDLES, MINUTE, until_s * SECOND_NS, count)
        return [(each.begin_ns // SECOND_NS, each.close_ticks, each.trade_count) for each in found]

    def test_the_middle_and_the_end_are_filled(self):
        assert self.filled(301, 10) == [(0, 100, 1), (60, 100, 0), (120, 100, 0), (180, 105, 1), (240, 105, 0), (300, 105, 0)]

    def test_only_the_newest_are_given(self):
        assert self.filled(301, 2) == [(240, 105, 0), (300, 105, 0)]
        assert self.filled(301, 0) == []

    def test_a_year_of_silence_takes_no_year(self):
        until_s = 366 * 86_400 * 1000
        assert [begin for begin, _, _ in self.filled(until_s, 3)] == [until_s - 120, until_s - 60, until_s]

    def test_nothing_comes_of_nothing(self):
        assert without_holes([], MINUTE, 301 * SECOND_NS, 5) == []

    def test_what_is_given_is_a_copy(self):
        without_holes(self.CANDLES, MINUTE, 0, 9)[0].add(trade(9, 1, 1))
        assert self.CANDLES[0].trade_count == 1
