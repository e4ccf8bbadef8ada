"""Rules T1 to T7 of `exchanges/trade_ids.py`, and what they add up to whatever comes in which order."""

from hypothesis import given
from hypothesis import strategies as st
from support.exchange_truth import instrument

from alphapulse_cli.exchanges import trade_ids
from alphapulse_cli.exchanges.trade_ids import FILL_TRIES, TradeIds
from alphapulse_cli.market.events import Side, Trade, TradesMissed, TradesRecovered

SECOND = 1_000_000_000
BTC = instrument("binance-us", "BTC-USDT", "BTCUSDT", 2, 4)
ALIAS = instrument("coinbase", "BTC-USDC", "BTC-USDC", 2, 4)


def traded(number, exchange_ns=SECOND, history=False):
    return number, (Trade(BTC, str(number), 100, 1, Side.BUY, exchange_ns, history),)


def told(events):
    """(ids of trades, ids of those that are history, missed, recovered)."""
    trades = [event for event in events if isinstance(event, Trade)]
    missed = sum(event.count for event in events if isinstance(event, TradesMissed))
    recovered = sum(event.count for event in events if isinstance(event, TradesRecovered))
    return [int(t.trade_id) for t in trades], [int(t.trade_id) for t in trades if t.history], missed, recovered


def take(ids, *numbers, history=False, now_ns=0):
    return told(ids.take([traded(number, history=history) for number in numbers], now_ns))


class TestT1AStepOverNumbersIsAHole:
    def test_it_is_told_before_the_trade_that_shows_it(self):
        ids = TradeIds()
        take(ids, 10)
        events = ids.take([traded(15)], 0)
        assert [type(event) for event in events] == [TradesMissed, Trade]
        assert events[0].count == 4
        assert ids.holes == [(11, 14)]

    def test_the_first_number_is_taken_as_it_comes(self):
        assert take(TradeIds(), 1000) == ([1000], [], 0, 0)

    def test_each_instrument_that_shares_the_market_is_told(self):
        ids = TradeIds()
        both = [Trade(one, "7", 1, 1, Side.BUY, SECOND) for one in (BTC, ALIAS)]
        take(ids, 5)
        assert [event.instrument for event in ids.take([(7, both)], 0)] == [BTC, ALIAS, BTC, ALIAS]

    def test_a_number_that_the_exchange_only_names_is_missing_itself(self):
        ids = TradeIds()
        take(ids, 10)
        assert ids.last_known(13) == 3
        assert ids.last_known(13) == 0
        assert told(ids.take([traded(13, 60 * SECOND)], 0)) == ([13], [13], 0, 1)
        assert take(ids, 14) == ([14], [], 0, 0)


class TestAnAbsurdNumber:
    """Of 63 bits: as a hole it would fill every counter, and make a late one of each trade that comes."""

    ABSURD = (1 << 63) - 1

    def test_begins_anew_and_so_does_what_comes_after_it(self):
        ids = TradeIds()
        take(ids, 10)
        assert take(ids, self.ABSURD) == ([self.ABSURD], [], 0, 0)
        assert take(ids, 11) == ([11], [], 0, 0), "in the same second, and no history"
        assert take(ids, 14) == ([14], [], 2, 0)
        assert ids.holes == [(12, 13)]

    def test_that_is_only_named_misses_nothing(self):
        ids = TradeIds()
        take(ids, 10)
        assert ids.last_known(self.ABSURD) == 0
        assert take(ids, 12) == ([12], [], 1, 0)

    def test_a_long_outage_is_none(self):
        ids = TradeIds()
        take(ids, 10)
        assert take(ids, 900_000_000)[2] == 900_000_000 - 11


class TestT2WhatFillsAHoleIsHistory:
    def test_a_trade_in_a_hole_is_history_from_any_source(self):
        ids = TradeIds()
        take(ids, 10, 15)
        assert take(ids, 12) == ([12], [12], 0, 1)
        assert take(ids, 11, 13, 14, history=True) == ([11, 13, 14], [11, 13, 14], 0, 3)
        assert ids.missing == 0

    def test_what_lies_below_the_oldest_is_history_and_what_lies_between_is_missed(self):
        ids = TradeIds()
        take(ids, 100)
        assert take(ids, 97, 98, history=True) == ([97, 98], [97, 98], 2 + 0, 1)
        assert ids.holes == [(99, 99)]


class TestT3NothingIsToldTwice:
    def test_a_seen_trade_is_not_published_again_from_any_source(self):
        ids = TradeIds()
        assert take(ids, 3, 2, 1, history=True)[0] == [1, 2, 3]
        assert take(ids, 6, 5, 4, 3)[0] == [4, 5, 6]
        assert take(ids, 6)[0] == []
        assert take(ids, 1, 2, 3, history=True)[0] == []


class TestT4NumbersThatBeginAnew:
    def test_a_reset_of_the_ids_is_detected_by_time(self):
        ids = TradeIds()
        ids.take([traded(500, SECOND)], 0)
        assert told(ids.take([traded(1, 3 * SECOND), traded(2, 3 * SECOND)], 0)) == ([1, 2], [], 0, 0)
        assert ids.newest == 2

    def test_an_old_one_without_a_later_time_is_a_repetition(self):
        ids = TradeIds()
        ids.take([traded(500, SECOND)], 0)
        assert told(ids.take([traded(500, 2 * SECOND)], 0))[0] == []


class TestT5TheHolesAreBounded:
    def test_beyond_the_bound_the_lowest_hole_is_dropped(self, monkeypatch):
        monkeypatch.setattr(trade_ids, "MOST_HOLES", 2)
        ids = TradeIds()
        take(ids, 10, 20, 30, 40)
        assert ids.holes == [(21, 29), (31, 39)]
        assert take(ids, 15) == ([], [], 0, 0)  # it stays missed
        assert take(ids, 25, 35) == ([25, 35], [25, 35], 0, 2)


class TestT6MissingTradesAreAskedFor:
    def test_a_while_after_the_hole_then_ever_more_rarely_and_not_for_ever(self):
        ids = TradeIds()
        take(ids, 10, 15, now_ns=5 * SECOND)
        asked = [second for second in range(300) if ids.wants_fill(second * SECOND)]
        assert asked == [6, 16, 76]
        assert len(asked) == FILL_TRIES
        take(ids, 20, now_ns=300 * SECOND)
        assert [second for second in range(300, 400) if ids.wants_fill(second * SECOND)] == [301, 311, 371]

    def test_without_a_hole_nobody_asks(self):
        ids = TradeIds()
        take(ids, 10, 12)
        take(ids, 11, history=True)
        assert not any(ids.wants_fill(second * SECOND) for second in range(300))

    def test_only_what_is_missing_is_taken_from_an_answer(self):
        ids = TradeIds()
        take(ids, 10, 15)
        events = ids.fill([traded(number) for number in range(5, 20)], 0)
        assert told(events) == ([11, 12, 13, 14], [11, 12, 13, 14], 0, 4)


class TestT7ATradeMayStandForSeveral:
    @staticmethod
    def take(ids, *counted):
        """Told ids, missed, recovered of trades given as (number, count)."""
        events = ids.take_counted([(number, count, traded(number)[1]) for number, count in counted], 0)
        found, _, missed, recovered = told(events)
        return found, missed, recovered

    def test_only_what_lies_before_the_first_of_them_is_missing(self):
        ids = TradeIds()
        assert self.take(ids, (100, 1), (103, 3)) == ([100, 103], 0, 0)
        assert self.take(ids, (110, 4)) == ([110], 3, 0)
        assert ids.holes == [(104, 106)]

    def test_it_fills_them_all(self):
        ids = TradeIds()
        self.take(ids, (100, 1), (110, 1))
        assert self.take(ids, (105, 3)) == ([105], 0, 3)
        assert ids.holes == [(101, 102), (106, 109)]
        assert self.take(ids, (102, 9)) == ([102], 0, 2), "no more than the hole holds"

    def test_without_a_count_nothing_before_it_is_missing(self):
        ids = TradeIds()
        assert self.take(ids, (100, 0), (107, 0)) == ([100, 107], 0, 0)
        assert self.take(ids, (100, 0)) == ([], 0, 0)

    def test_a_count_that_reaches_back_over_what_was_told(self):
        ids = TradeIds()
        assert self.take(ids, (100, 1), (103, 50)) == ([100, 103], 0, 0)

    def test_the_first_trade_with_a_count_misses_nothing(self):
        ids = TradeIds()
        assert self.take(ids, (100, 5)) == ([100], 0, 0)
        assert self.take(ids, (95, 1)) == ([95], 0, 0)
        assert ids.holes == []


class Forgetful(TradeIds):
    """A mutant that remembers the newest number only, as all three decoders did."""

    def _fill_some(self, first, number):
        return number - first + 1 if number < self.newest else 0


FRAMES = st.lists(st.tuples(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.booleans()), max_size=30)


def check(made, frames):
    """However trades come: each id is told at most once, and missed - recovered is what was never told."""
    seen: list[int] = []
    missed = recovered = 0
    for numbers, history in frames:
        found, _, more, back = take(made, *numbers, history=history)
        seen, missed, recovered = seen + found, missed + more, recovered + back
    assert len(seen) == len(set(seen))
    assert set(seen) == {number for numbers, _ in frames for number in numbers}
    if seen:
        assert missed - recovered == max(seen) - min(seen) + 1 - len(seen) == made.missing


class TestAllOfIt:
    @given(FRAMES)
    def test_each_at_most_once_and_reported_missing_is_really_missing(self, frames):
        check(TradeIds(), frames)

    def test_the_check_finds_the_mutant(self):
        found = False
        for frames in ([([1, 5, 3, 3], False), ([3], False)], [([1, 4], False), ([2], True), ([2], True)]):
            try:
                check(Forgetful(), frames)
            except AssertionError:
                found = True
        assert found
