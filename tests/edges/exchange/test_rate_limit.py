"""Limits: so many at once, then so many a second, and never more in any span, whatever falls when."""

import pytest

from alphapulse_cli import exchanges
from alphapulse_cli.edges.exchange.rate_limit import SLOW_NS, Account, Limits, OwnAccounts, RateLimit
from alphapulse_cli.exchanges.protocol import Rate

SECOND = 1_000_000_000


def most_in_any(span_ns, spent):
    """The largest cost spent within any span that begins with a spending."""
    return max(sum(cost for when, cost in spent if at <= when < at + span_ns) for at, _ in spent)


class TestRate:
    def test_within_is_the_bound_of_any_span(self):
        assert Rate.within(140, 600.0, burst=20) == Rate(20, 0.2)

    @pytest.mark.parametrize("name", list(exchanges.BUILT_IN))
    def test_every_exchange_has_room_for_a_resync_at_once(self, name):
        """An unsubscribe and a subscribe leave together."""
        assert exchanges.get(name).facts.sends.burst >= 2

    def test_kraken_connects_150_times_in_ten_minutes_at_most(self):
        connects = exchanges.get("kraken").facts.connects
        assert connects.burst + 600 * connects.per_second <= 150


class TestRateLimit:
    def test_a_burst_goes_at_once_then_one_after_the_other(self):
        limit = RateLimit(Rate(5, 1.0))
        assert [limit.reserve(SECOND) for _ in range(8)] == [0, 0, 0, 0, 0, 1, 2, 3]

    def test_rest_fills_it_again(self):
        limit = RateLimit(Rate(2, 1.0))
        assert [limit.reserve(0), limit.reserve(0), limit.reserve(0)] == [0, 0, 1]
        assert [limit.reserve(3 * SECOND), limit.reserve(3 * SECOND), limit.reserve(3 * SECOND)] == [0, 0, 1]

    @pytest.mark.parametrize("mean_gap", [1, 4, 30])
    def test_the_bound_holds_in_every_span(self, mean_gap):
        limit, spent, now = RateLimit(Rate.within(100, 10.0, burst=40)), [], 0
        for step in range(300):
            now += (step * 37 % (2 * mean_gap + 1)) * SECOND // 10
            cost = 1 + step * 13 % 40
            spent.append((now + round(limit.reserve(now, cost) * 1e9), cost))
        assert spent == sorted(spent, key=lambda each: each[0]), "nobody overtakes"
        assert most_in_any(10 * SECOND - 1000, spent) <= 100

    def test_a_limit_that_counted_from_now_would_break_the_bound(self):
        """The broken twin of `reserve`: it forgets who already waits."""
        spent = [(0, 1)] * 5 + [(SECOND, 1)] * 5
        assert most_in_any(2 * SECOND, spent) > 5 + 2

    def test_a_cost_beyond_the_burst_takes_all_of_it(self):
        limit = RateLimit(Rate(10, 1.0))
        assert [limit.reserve(0, 50), limit.reserve(0, 1)] == [0, 1]

    def test_a_pause_is_for_all_that_follow_and_the_burst_is_there_after_it(self):
        limit = RateLimit(Rate(2, 1.0))
        limit.pause(5 * SECOND)
        limit.pause(2 * SECOND)
        assert limit.pause_left_s(SECOND) == 4
        assert [limit.reserve(SECOND) for _ in range(4)] == [4, 4, 5, 6]
        assert limit.pause_left_s(6 * SECOND) == 0

    def test_too_fast_for_the_other_side(self):
        """Nothing at once any more, and half as often, for a minute."""
        limit = RateLimit(Rate(5, 1.0))
        limit.slow_down(0)
        assert [limit.reserve(0), limit.reserve(0), limit.reserve(0)] == [2, 4, 6]
        later = SLOW_NS + 30 * SECOND
        assert [limit.reserve(later) for _ in range(6)] == [0, 0, 0, 0, 0, 1]

    def test_binances_first_snapshots_go_together(self):
        """Weight 50 of 1,200 a minute: twelve at once, then one in five seconds."""
        weight = Limits.of(exchanges.get("binance-us").facts).weight
        assert [weight.reserve(0, 50) for _ in range(14)] == [0.0] * 12 + [5.0, 10.0]


class TestLimits:
    def test_what_the_exchange_counts_by_address_is_shared(self):
        shared = OwnAccounts()
        kraken, coinbase = (exchanges.get(name).facts for name in ("kraken", "coinbase"))
        one, other = Limits.of(kraken, shared), Limits.of(kraken, shared)
        assert [one.connects.reserve(0) for _ in range(20)][-1] == 0
        assert other.connects.reserve(0) > 0
        assert [one.sends.reserve(0) for _ in range(6)][-1] > 0
        assert other.sends.reserve(0) == 0, "by connection"
        one, other = Limits.of(coinbase, shared), Limits.of(coinbase, shared)
        assert [one.sends.reserve(0) for _ in range(4)][-1] == 0
        assert other.sends.reserve(0) > 0, "by address"

    def test_accounts_are_apart_by_name(self):
        shared = OwnAccounts()
        assert shared.update("a", lambda account: account) is not shared.update("b", lambda account: account)
        assert shared.update("a", lambda account: account) == Account()

    def test_of_another_connection_are_the_same_but_for_messages_that_the_exchange_counts_by_connection(self):
        for name, has_own in (("kraken", True), ("coinbase", False)):
            facts = exchanges.get(name).facts
            one = Limits.of(facts)
            other = one.of_another(facts)
            assert (other.connects, other.weight) == (one.connects, one.weight)
            assert (other.sends is not one.sends) is has_own
