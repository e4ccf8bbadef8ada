"""Trading statuses: which let an order take what stands in a book, which of two counts, what a number means."""

from itertools import product

import pytest

from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.trading_status import (
    BY_STRICTNESS,
    NOT_REPORTED,
    TradingStatus,
    allows_taking,
    remark,
    stricter,
    trading_status,
)


class TestWhatMayBeTaken:
    def test_only_where_orders_that_cross_are_taken(self):
        """An auction matches later, a post-only market refuses what crosses; of an unknown word nobody knows."""
        assert [one for one in TradingStatus if one.allows_taking] == [TradingStatus.TRADING, TradingStatus.LIMIT_ONLY]

    def test_where_nobody_tells_it_is_believed_to_trade(self):
        """Else nothing of a writer of layout 1.1 could be traded on; an unknown word is another thing."""
        assert allows_taking(None)
        assert not allows_taking(TradingStatus.UNKNOWN)

    def test_an_instrument_says_so(self):
        one = Instrument("kraken", "BTC-USD", "BTC/USD", 1, 8)
        assert one.trading
        assert not one.with_status(TradingStatus.POST_ONLY, "post_only").trading


class TestTheStricter:
    def test_every_status_has_its_place(self):
        assert sorted(BY_STRICTNESS) == list(TradingStatus)

    def test_neither_order_nor_repetition_matters(self):
        for one, other in product(TradingStatus, repeat=2):
            assert stricter(one, other) is stricter(other, one) is stricter(one, other, one)

    @pytest.mark.parametrize("status", list(TradingStatus))
    def test_trading_forbids_nothing_and_delisted_everything(self, status):
        assert stricter(TradingStatus.TRADING, status) is status
        assert stricter(TradingStatus.DELISTED, status) is TradingStatus.DELISTED

    def test_what_is_known_to_forbid_hides_what_is_unknown(self):
        assert stricter(TradingStatus.UNKNOWN, TradingStatus.LIMIT_ONLY) is TradingStatus.UNKNOWN
        assert stricter(TradingStatus.UNKNOWN, TradingStatus.POST_ONLY) is TradingStatus.POST_ONLY


class TestNumbers:
    def test_they_are_those_of_the_layout(self):
        """Other languages know only these."""
        names = ["UNKNOWN", "TRADING", "POST_ONLY", "LIMIT_ONLY", "CANCEL_ONLY", "AUCTION", "SUSPENDED", "DELISTED"]
        assert [one.name for one in TradingStatus] == names
        assert [int(one) for one in TradingStatus] == list(range(8))

    def test_a_number_of_a_later_version_is_unknown(self):
        assert trading_status(8) is trading_status(255) is TradingStatus.UNKNOWN
        assert trading_status(4) is TradingStatus.CANCEL_ONLY
        assert trading_status(NOT_REPORTED) is None

    def test_words_for_people(self):
        assert [remark(one) for one in (None, TradingStatus.TRADING, TradingStatus.CANCEL_ONLY)] == ["", "", "cancel only"]
        assert remark(TradingStatus.UNKNOWN) == "status unknown"
