"""Rule D2 for markets that take no order that would trade: nothing opens, what is open closes, the occasion is counted."""

import pytest
from flow.arbitrage.test_detector import MS, Floor

from alphapulse_cli.flow.arbitrage.candidate import REAL_ENDS, RejectReason
from alphapulse_cli.flow.arbitrage.opportunity import EventKind
from alphapulse_cli.market.trading_status import TradingStatus

BUY, SELL = "a:X-USD", "b:X-USD"


def say(floor, one, at_ms, status):
    """The same book, another trading status."""
    market = floor.markets[one]
    return floor.detector.update(market, market.book, at_ms * MS, market.version, trading_status=status)


class TestNotTradable:
    @pytest.mark.parametrize("one", [BUY, SELL])
    @pytest.mark.parametrize("status", [None, *TradingStatus])
    def test_only_what_can_be_taken_on_both_sides_is_an_opportunity(self, one, status):
        """Whichever side is halted. Where nobody tells, it is as it was before there was a status."""
        floor = Floor()
        (born,) = floor.crossed()
        assert born.kind is EventKind.OPENED
        events = say(floor, one, 5, status)
        if status in (None, TradingStatus.TRADING, TradingStatus.LIMIT_ONLY):
            assert events == []
            assert floor.detector.refused == {}
        else:
            assert [(event.kind, event.why) for event in events] == [(EventKind.CLOSED, RejectReason.NOT_TRADABLE)]
            assert floor.detector.refused == {RejectReason.NOT_TRADABLE: 1}

    def test_it_is_counted_once_for_as_long_as_it_lasts_and_over_when_it_trades_again(self):
        floor = Floor()
        floor.crossed()
        say(floor, SELL, 5, TradingStatus.CANCEL_ONLY)
        assert say(floor, SELL, 6, TradingStatus.SUSPENDED) == say(floor, BUY, 7, TradingStatus.TRADING) == []
        assert floor.detector.refused == {RejectReason.NOT_TRADABLE: 1}
        (again,) = say(floor, SELL, 8, TradingStatus.TRADING)
        assert again.kind is EventKind.OPENED
        say(floor, BUY, 9, TradingStatus.AUCTION)
        assert floor.detector.refused == {RejectReason.NOT_TRADABLE: 2}

    def test_a_book_that_is_not_live_is_that_first(self):
        """The reason that heals by itself is told."""
        floor = Floor()
        floor.crossed()
        say(floor, SELL, 5, TradingStatus.CANCEL_ONLY)
        market = floor.markets[SELL]
        floor.detector.withdraw(market, market.state.STALE, market.reason.SILENT, 6 * MS)
        assert floor.detector.held_back(floor.detector.candidates[0]) is RejectReason.NOT_LIVE

    def test_the_market_that_converts_must_trade_too(self):
        """Its price is part of the profit, and its fee: somebody must sell there."""
        floor = Floor("a:X-USD", "b:X-EUR", "c:EUR-USD")
        floor.set("c:EUR-USD", 1, bids=[(2, 10**6)], asks=[(2, 10**6)])
        floor.set("a:X-USD", 2, asks=[(100, 5)])
        (born,) = floor.set("b:X-EUR", 3, bids=[(110, 5)])
        assert born.kind is EventKind.OPENED
        (closed,) = say(floor, "c:EUR-USD", 4, TradingStatus.SUSPENDED)
        assert closed.why is RejectReason.NOT_TRADABLE

    def test_it_is_no_end_that_the_prices_made(self):
        assert RejectReason.NOT_TRADABLE not in REAL_ENDS
