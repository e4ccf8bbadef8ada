"""The simulated market against its own rules, M1 to M6 and M8, and against what people would call plausible."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sim_parts import DictBook

from alphapulse_cli.errors import UsageError
from alphapulse_cli.market.events import Side
from alphapulse_cli.market.levels import LOTS_MASK
from alphapulse_cli.sim import market_maker
from alphapulse_cli.sim.hidden_price import HiddenMid
from alphapulse_cli.sim.ladder import SimulatedLadder
from alphapulse_cli.sim.listings import LISTED, listings
from alphapulse_cli.sim.market_maker import SimulatedMarket

START_NS = 1_790_000_000 * 10**9
STEP_NS = 50_000_000
SOME_SYMBOLS = st.sampled_from([(name, row[0]) for name, rows in LISTED.items() for row in rows])
# mostly short waits, sometimes ones in which the price runs far
WAITS_NS = st.lists(st.one_of(st.integers(0, 10**9), st.integers(0, 10**13)), min_size=1, max_size=60)


def steps_of(market, symbol, waits):
    now_ns = START_NS
    for wait_ns in waits:
        now_ns += wait_ns
        yield market.step(symbol, now_ns)


class TestM1NeverCrossed:
    """M1: a book is never crossed, never locked, and neither side is ever empty."""

    @given(SOME_SYMBOLS, st.integers(0, 2**64), st.integers(1, 60), WAITS_NS)
    @settings(max_examples=60, deadline=None)
    def test_books_are_never_crossed_however_far_the_price_runs(self, where, seed, levels, waits):
        """Thin books and long waits: takers run out of levels before makers have followed."""
        exchange, symbol = where
        market = SimulatedMarket(exchange, seed, [symbol], levels_per_side=levels, start_ns=START_NS)
        for _ in steps_of(market, symbol, waits):
            bids, asks = market.book(symbol)
            assert bids[0][0] < asks[0][0]
            assert all(ticks > 0 and 0 < lots <= LOTS_MASK for ticks, lots in [*bids, *asks])

    @pytest.mark.parametrize("guarded", [True, False])
    def test_dense_books_too_and_a_broken_market_is_found(self, monkeypatch, guarded):
        """A thousand levels are more than takers clear in a step. The mutant's makers do not look at the other side: it crosses."""
        if not guarded:
            monkeypatch.setattr(market_maker._Book, "_clear_of_the_other_side", lambda _, __, ticks: ticks)
        market = SimulatedMarket("kraken", 1, ["BTC-USD"], levels_per_side=1000, start_ns=START_NS)
        crossed = False
        for _ in steps_of(market, "BTC-USD", [10**12] * 200):
            bids, asks = market.book("BTC-USD", 1)
            crossed |= bids[0][0] >= asks[0][0]
        assert crossed is not guarded


class TestM2TradesTakeFromTheBest:
    """M2: a trade takes from the best level of the side that its taker hits, and the step's changes show it."""

    @given(SOME_SYMBOLS, st.integers(0, 2**64), WAITS_NS)
    @settings(max_examples=40, deadline=None)
    def test_taken_sizes_were_there(self, where, seed, waits):
        """Trades of a step, applied in order to the book before it, never take more than the best level holds."""
        exchange, symbol = where
        market = SimulatedMarket(exchange, seed, [symbol], levels_per_side=50, start_ns=START_NS)
        book = DictBook(*map(dict, market.book(symbol)))
        for step in steps_of(market, symbol, waits):
            for trade in step.trades:
                side = book.asks if trade.side is Side.BUY else book.bids
                best = min(side) if trade.side is Side.BUY else max(side)
                # a thin side's last level is refilled rather than lost; then it is both taken and there
                assert trade.price_ticks == best
                assert trade.size_lots > 0
                if len(side) > 1:
                    assert trade.size_lots <= side[best]
                    left = side[best] - trade.size_lots
                    book.put(best, left, trade.side is Side.BUY)
                else:
                    side[best] = LOTS_MASK
            book = DictBook(*map(dict, market.book(symbol)))

    def test_a_consumed_level_is_among_the_changes(self):
        """Whoever sees a trade of the whole best level sees that level gone in the same step."""
        market = SimulatedMarket("kraken", 3, ["BTC-USD"], levels_per_side=200, start_ns=START_NS)
        found = 0
        for i in range(400):
            before = dict(market.book("BTC-USD")[1])
            step = market.step("BTC-USD", START_NS + i * STEP_NS)
            after = dict(market.book("BTC-USD")[1])
            for trade in step.trades:
                if trade.side is Side.BUY and before.get(trade.price_ticks) == trade.size_lots:
                    found += 1
                    assert (trade.price_ticks, after.get(trade.price_ticks, 0), True) in step.changes
        assert found > 10

    def test_both_sides_take(self):
        """Takers buy and sell."""
        market = SimulatedMarket("kraken", 3, ["BTC-USD"], start_ns=START_NS)
        sides = [trade.side for step in steps_of(market, "BTC-USD", [STEP_NS] * 400) for trade in step.trades]
        assert sides.count(Side.BUY) > 10
        assert sides.count(Side.SELL) > 10


class TestM3M4Numbers:
    """M3, M4: trade ids and sequences count."""

    @given(SOME_SYMBOLS, st.integers(0, 2**64), WAITS_NS)
    @settings(max_examples=30, deadline=None)
    def test_ids_and_sequence_grow_by_what_happened(self, where, seed, waits):
        """Trade ids by one, the sequence by each step's changes; the past's end is what was traded last."""
        exchange, symbol = where
        market = SimulatedMarket(exchange, seed, [symbol], levels_per_side=50, start_ns=START_NS)
        sequence, trades = market.sequence(symbol), []
        for step in steps_of(market, symbol, waits):
            sequence += len(step.changes)
            assert market.sequence(symbol) == sequence
            trades += step.trades
        ids = [int(trade.trade_id) for trade in trades]
        assert ids == list(range(ids[0], ids[0] + len(ids))) if ids else True
        assert list(market.recent_trades(symbol, 5)) == trades[-5:]
        assert list(market.recent_trades(symbol, 0)) == []

    @given(SOME_SYMBOLS, st.integers(0, 2**64), WAITS_NS)
    @settings(max_examples=40, deadline=None)
    def test_changes_are_the_net_of_the_step(self, where, seed, waits):
        """Applied to the book before, the changes give the book after; no price twice, none without effect."""
        exchange, symbol = where
        market = SimulatedMarket(exchange, seed, [symbol], levels_per_side=30, start_ns=START_NS)
        book = DictBook(*map(dict, market.book(symbol)))
        for step in steps_of(market, symbol, waits):
            assert len({(ticks, is_ask) for ticks, _, is_ask in step.changes}) == len(step.changes)
            for ticks, lots, is_ask in step.changes:
                assert (book.asks if is_ask else book.bids).get(ticks, 0) != lots
                book.put(ticks, lots, is_ask)
            assert book.levels() == market.book(symbol)


class TestM5LevelCounts:
    """M5: books stay as deep as they were."""

    def test_coinbase_keeps_45000_levels_of_btc(self):
        """Both sides together, after a minute of trading; stub orders of 10^13 ticks among them."""
        market = SimulatedMarket("coinbase", 5, ["BTC-USD"], start_ns=START_NS)
        for _ in steps_of(market, "BTC-USD", [STEP_NS] * 1200):
            pass
        bids, asks = market.level_counts("BTC-USD")
        assert bids + asks in range(45_001, 48_500)
        assert market.book("BTC-USD")[1][-1][0] == 10**13
        assert market.book("BTC-USD")[0][-1][0] == 1

    @pytest.mark.parametrize("exchange", LISTED)
    def test_every_listed_book_stays_within_a_tenth(self, exchange):
        """None withers, none grows without end."""
        market = SimulatedMarket(exchange, 2, start_ns=START_NS)
        first = {symbol: market.level_counts(symbol) for symbol in market.symbols}
        for i in range(200):
            for symbol in market.symbols:
                market.step(symbol, START_NS + i * STEP_NS)
        for symbol, counts in first.items():
            for before, after in zip(counts, market.level_counts(symbol), strict=True):
                assert 0.9 * before <= after <= 1.06 * before + 4, symbol


class TestM6Deterministic:
    """M6: the same seed and steps, the same history."""

    @given(st.integers(0, 2**64), WAITS_NS)
    @settings(max_examples=20, deadline=None)
    def test_two_markets_of_one_seed_agree(self, seed, waits):
        """Changes, trades, numbers and books."""
        one, other = (SimulatedMarket("kraken", seed, ["ETH-USD"], levels_per_side=40, start_ns=START_NS) for _ in range(2))
        assert list(steps_of(one, "ETH-USD", waits)) == list(steps_of(other, "ETH-USD", waits))
        assert one.book("ETH-USD") == other.book("ETH-USD")

    def test_other_symbols_do_not_disturb(self):
        """A symbol's history is its own, whatever else is traded beside it."""
        alone = SimulatedMarket("kraken", 9, ["ETH-USD"], start_ns=START_NS)
        together = SimulatedMarket("kraken", 9, start_ns=START_NS)
        for i in range(100):
            together.step("BTC-USD", START_NS + i * STEP_NS)
            now_ns = START_NS + i * STEP_NS
            assert alone.step("ETH-USD", now_ns) == together.step("ETH-USD", now_ns)

    def test_another_seed_is_another_history(self):
        """Seeds matter."""
        books = [SimulatedMarket("kraken", seed, ["ETH-USD"], start_ns=START_NS).book("ETH-USD", 5) for seed in (1, 2)]
        assert books[0] != books[1]


class TestCorrelatedAcrossExchanges:
    """One hidden price: spreads between exchanges are crossed now and then, and not for long."""

    def test_spreads_cross_now_and_then(self):
        """Five minutes of BTC-USD on three exchanges: crossed sometimes, far from always; mids within a thousandth of one another."""
        markets = [SimulatedMarket(name, 11, ["BTC-USD"], start_ns=START_NS) for name in ("kraken", "coinbase", "binance-us")]
        crossings, crossed_steps, was_crossed = 0, 0, False
        for i in range(3000):
            now_ns = START_NS + i * 2 * STEP_NS
            tops = []
            for market in markets:
                market.step("BTC-USD", now_ns)
                unit = 10 ** market.instruments["BTC-USD"].price_decimals
                bids, asks = market.book("BTC-USD", 1)
                tops.append((bids[0][0] / unit, asks[0][0] / unit))
            is_crossed = max(bid for bid, _ in tops) > min(ask for _, ask in tops)
            crossings += is_crossed and not was_crossed
            crossed_steps += is_crossed
            was_crossed = is_crossed
            mids = [(bid + ask) / 2 for bid, ask in tops]
            assert max(mids) / min(mids) < 1.002
        assert crossings >= 5
        assert crossed_steps < 3000 // 3

    def test_the_hidden_price_is_a_function_of_time(self):
        """Asked in any order, from any process: the same answer; and it does move."""
        times = [START_NS + i * 10**9 for i in range(60)]
        forwards = [HiddenMid(4, "kraken", "BTC-USD").at(now_ns) for now_ns in times]
        mid = HiddenMid(4, "kraken", "BTC-USD")
        assert [mid.at(now_ns) for now_ns in reversed(times)] == forwards[::-1]
        assert len(set(forwards)) == 60
        assert 0.9 < max(forwards) / min(forwards) < 1.1

    def test_a_cross_rate_is_the_ratio_of_its_legs(self):
        """ETH-BTC is worth what ETH-USD over BTC-USD says."""
        shared = {symbol: HiddenMid(4, "kraken", symbol).shared(START_NS) for symbol in ("ETH-BTC", "ETH-USD", "BTC-USD")}
        assert shared["ETH-BTC"] == pytest.approx(shared["ETH-USD"] / shared["BTC-USD"])


class TestLadder:
    """One side of the true book, against a dict that is sorted on demand."""

    @given(st.booleans(), st.lists(st.tuples(st.integers(1, 30), st.integers(0, 3)), max_size=80))
    def test_a_ladder_behaves_like_a_dict(self, is_ask, puts):
        """Sizes before, counts, best and every depth."""
        ladder = SimulatedLadder(is_ask)
        model: dict[int, int] = {}
        for ticks, lots in puts:
            assert ladder.put(ticks, lots) == model.get(ticks, 0)
            model.pop(ticks, None)
            model.update({ticks: lots} if lots else {})
            best_first = sorted(model.items(), reverse=not is_ask)
            assert ladder.levels() == best_first
            assert [ladder.levels(depth) for depth in range(4)] == [best_first[:depth] for depth in range(4)]
            assert [ladder.at(rank) for rank in range(len(ladder))] == [ticks for ticks, _ in best_first]
            assert not model or ladder.best() == best_first[0][0]


class TestListings:
    """What is listed, and what is said of what is not."""

    def test_an_unknown_symbol_is_refused_with_near_matches(self):
        """The hint names what was probably meant."""
        with pytest.raises(UsageError, match="BTC-USDX") as refused:
            listings("kraken", ["BTC-USDX"])
        assert "BTC-USD" in refused.value.hint

    def test_an_unknown_exchange_is_refused(self):
        """With those that there are."""
        with pytest.raises(UsageError) as refused:
            SimulatedMarket("mtgox")
        assert "kraken" in refused.value.hint

    def test_symbols_come_in_the_order_asked_for_and_once(self):
        """All of them for none."""
        assert SimulatedMarket("kraken", symbols=["ETH-USD", "BTC-USD", "ETH-USD"]).symbols == ["ETH-USD", "BTC-USD"]
        assert SimulatedMarket("kraken").symbols == [row[0] for row in LISTED["kraken"]]


class TestM8NoDust:
    """M8: no level and no trade is smaller than the smallest order."""

    @given(SOME_SYMBOLS, st.integers(0, 2**64), st.integers(1, 60), WAITS_NS)
    @settings(max_examples=40, deadline=None)
    def test_no_level_or_trade_is_below_the_smallest_order(self, where, seed, levels, waits):
        exchange, symbol = where
        market = SimulatedMarket(exchange, seed, [symbol], levels_per_side=levels, start_ns=START_NS)
        least = max(1, market.instruments[symbol].min_size_lots)
        for step in steps_of(market, symbol, waits):
            bids, asks = market.book(symbol)
            assert min(lots for _, lots in [*bids, *asks]) >= least
            assert all(trade.size_lots >= least for trade in step.trades)

    @pytest.mark.parametrize("leaves_dust", [False, True])
    def test_a_market_that_leaves_dust_is_found(self, monkeypatch, leaves_dust):
        """The mutant's takers leave one lot where they wanted all."""
        if leaves_dust:
            monkeypatch.setattr(market_maker._Book, "_least", 1)
        market = SimulatedMarket("bitfinex", 1, ["BTC-USD"], levels_per_side=50, start_ns=START_NS)
        least, sizes = market.instruments["BTC-USD"].min_size_lots, list[int]()
        for step in steps_of(market, "BTC-USD", [STEP_NS] * 3000):
            sizes += [lots for _, lots, _ in step.changes if lots]
        assert (min(sizes) < least) is leaves_dust
