"""The walk through two books, rules W1 to W5, against an oracle that tries every size. The mutants at the end must each be caught."""

from dataclasses import replace
from fractions import Fraction

import pytest
from flow.arbitrage.arbitrage_oracle import Case, Side, best, cases, outcome
from hypothesis import Phase, example, given, settings
from support.campaigns import size

from alphapulse_cli.flow.arbitrage import depth_walk
from alphapulse_cli.flow.arbitrage.depth_walk import End, net_of, walk
from alphapulse_cli.flow.arbitrage.exact import Exact
from alphapulse_cli.flow.arbitrage.terms import Leg, Terms

ASKS, BIDS = ((100, 5), (101, 5), (103, 9)), ((104, 4), (102, 3), (100, 9))


def run(case):
    asks, bids = case.books()
    return walk(asks, bids, case.terms())


def plain(asks=ASKS, bids=BIDS, **more):
    """Two books on whole numbers, no fees."""
    return Case(Side(tuple(asks)), Side(tuple(bids)), **more)


def with_sides(case, **more):
    """The same with both sides changed alike."""
    return replace(case, buy=replace(case.buy, **more), sell=replace(case.sell, **more))


def check_against_every_size(case):
    """The walk finds the oracle's size and its profit, and its own figures add up to that."""
    found, expected = run(case), best(case)
    assert (None if found is None else (found.size.fraction, found.net.fraction)) == expected
    if found is None:
        return
    net, paid, got = outcome(case, found.size.fraction)
    assert (found.paid.fraction, found.got.fraction) == (paid, got)
    assert found.gross - found.buy_fee - found.sell_fee - found.conversion_fee == found.net
    assert found.net_bps == Fraction(net) * 10_000 / found.spent.fraction
    assert sum(lots for *_, lots in found.fills) == found.size_lots


@settings(max_examples=size(150, 300), deadline=None)
@given(cases())
def test_no_size_earns_more(case):
    """Whatever the books, grids, fees, lots, minimums, caps and rates."""
    check_against_every_size(case)


class TestW1NothingUnlessTheTopsCrossNetOfFees:
    @pytest.mark.parametrize(
        ("asks", "bids"),
        [
            pytest.param(((100, 5),), (), id="no bids"),
            pytest.param((), ((100, 5),), id="no asks"),
            pytest.param((), (), id="empty"),
            pytest.param(((100, 5),), ((100, 5),), id="equal prices"),
            pytest.param(((101, 5),), ((100, 5),), id="apart"),
        ],
    )
    def test_there_is_nothing(self, asks, bids):
        assert run(plain(asks, bids)) is None

    def test_fees_of_exactly_the_spread_leave_nothing(self):
        """100 * 1.1 == 110; one tick more earns."""
        case = plain(((100, 5),), ((110, 5),))
        assert run(replace(case, buy=replace(case.buy, fee="0.1"))) is None
        assert run(replace(case, buy=replace(case.buy, fee="0.1"), sell=Side(((111, 5),)))).net == Exact(5)

    def test_both_fees_count(self):
        """100 * 1.05 = 105 < 110 alone, but 110 * 0.95 = 104.5."""
        case = plain(((100, 5),), ((110, 5),))
        assert run(replace(case, buy=replace(case.buy, fee="0.05"))) is not None
        assert run(replace(case, sell=replace(case.sell, fee="0.05"))) is not None
        assert run(with_sides(case, fee="0.05")) is None

    def test_nothing_more_is_read(self, monkeypatch):
        """Beyond the first look at each side."""
        looks = []
        real = depth_walk.levels

        def noted(*asked, **side):
            looks.append(side)
            return real(*asked, **side)

        monkeypatch.setattr(depth_walk, "levels", noted)
        assert run(plain([(101 + i, 5) for i in range(99)], [(100 - i, 5) for i in range(99)])) is None
        assert looks == [{"is_ask": True}, {"is_ask": False}]


class TestW2SizesThatBothExchangesAccept:
    @pytest.mark.parametrize(("lots", "size"), [((1, 1), 7), ((2, 1), 6), ((2, 3), 6), ((4, 3), 0), ((1, 5), 5)])
    def test_a_multiple_of_both_lots(self, lots, size):
        """Seven lots earn; with 4 and 3 the step is 12, and twelve lots lose."""
        case = plain(((100, 7), (200, 20)), ((105, 7), (50, 20)))
        found = run(replace(case, buy=replace(case.buy, lot=lots[0]), sell=replace(case.sell, lot=lots[1])))
        assert (found.size_lots if found else 0) == size

    def test_lots_of_different_grids_meet_on_the_finer_one(self):
        """0.5 here and 0.02 there: steps of 0.5."""
        buy = Side(((100, 17),), size_decimals=1, lot=5, rule_decimals=1)
        sell = Side(((105, 170),), size_decimals=2, lot=2, rule_decimals=2)
        assert run(Case(buy, sell)).size.text == "1.5"

    def test_rules_finer_than_the_book(self):
        """A book on whole lots, orders in hundredths: the walk is in hundredths."""
        found = run(plain(size="1.259", asks=((100, 5),), bids=((101, 5),)))
        assert found.size.text == "1"
        assert run(with_sides(plain(size="1.259"), lot=1, rule_decimals=2)).size.text == "1.25"

    def test_a_minimum_that_is_no_multiple_is_rounded_up(self):
        assert run(with_sides(plain(((100, 20),), ((101, 20),), size="13"), lot=4, minimum=10)).size_lots == 12
        assert run(with_sides(plain(((100, 20),), ((101, 20),), size="11"), lot=4, minimum=10)) is None


class TestW3TheSizeThatEarnsMost:
    def test_it_ends_where_the_next_lot_earns_nothing(self):
        """4 at 100→104, 1 at 100→102, 2 at 101→102; then 101 against 100 loses."""
        found = run(plain())
        assert (found.size_lots, found.net, found.end) == (7, Exact(4 * 4 + 2 + 2), End.NO_PROFIT)
        assert found.fills == ((100, 104, 4), (100, 102, 1), (101, 102, 2))

    def test_lots_that_earn_exactly_nothing_are_not_taken(self):
        assert run(plain(((100, 3), (105, 9)), ((105, 12),))).size_lots == 3

    def test_rounding_up_may_earn_more_than_rounding_down(self):
        """Steps of 10: nine lots earn 10 each and the tenth loses 1."""
        case = replace(plain(((100, 9), (111, 9)), ((110, 30),)), buy=Side(((100, 9), (111, 9)), lot=10))
        assert (run(case).size_lots, run(case).net) == (10, Exact(89))

    def test_or_less(self):
        """…and with steps of 8 the second eight would lose."""
        case = replace(plain(), buy=Side(((100, 9), (130, 9)), lot=8), sell=Side(((110, 30),)))
        assert (run(case).size_lots, run(case).net) == (8, Exact(80))

    def test_the_minimum_may_earn_though_its_last_lots_lose(self):
        case = with_sides(plain(((100, 9), (111, 9)), ((110, 30),)), minimum=12)
        assert (run(case).size_lots, run(case).net) == (12, Exact(87))

    def test_a_minimum_that_eats_the_profit_leaves_nothing(self):
        assert run(with_sides(plain(((100, 1), (111, 30)), ((110, 30),)), minimum=12)) is None

    def test_a_minimum_that_the_books_do_not_hold(self):
        assert run(with_sides(plain(((100, 9),), ((110, 30),)), minimum=10)) is None

    def test_partial_depth(self):
        """The last level is taken in part, and the walk says that the depth ended it."""
        found = run(plain(((100, 5),), ((110, 2), (109, 9))))
        assert (found.fills, found.end) == (((100, 110, 2), (100, 109, 3)), End.NO_DEPTH)


class TestW4Caps:
    def test_a_size(self):
        found = run(plain(size="4.9"))
        assert (found.size_lots, found.end) == (4, End.CAPPED)

    def test_a_notional_bounds_what_the_asks_cost_before_fees(self):
        """Five at 100 and one at 101 cost 601; 600 buys five."""
        assert run(plain(notional="601")).size_lots == 6
        assert run(plain(notional="600.99")).size_lots == 5
        assert run(with_sides(plain(notional="500"), fee="0.001")).size_lots == 5

    def test_a_cap_is_rounded_down_to_the_step(self):
        assert run(replace(plain(size="5"), buy=Side(ASKS, lot=3))).size_lots == 3

    def test_a_cap_below_the_minimum_leaves_nothing(self):
        assert run(with_sides(plain(size="3"), minimum=4)) is None

    @pytest.mark.parametrize(("top", "lots"), [("505", 5), ("504.99", 4), ("0", 0)])
    def test_a_buyer_exchanges_no_more_than_the_best_level_takes(self, top, lots):
        """Five at 100 and a fee of 1 % are 505 USDT."""
        case = plain(((100, 9),), ((110, 9),))
        found = run(replace(case, buy=replace(case.buy, fee="0.01", rate="1", rate_size=top)))
        assert (found.size_lots if found else 0) == lots

    @pytest.mark.parametrize(("top", "lots"), [("544.5", 5), ("544.4", 4)])
    def test_nor_does_a_seller(self, top, lots):
        """Five at 110 less 1 % are 544.50 USDT."""
        case = plain(((100, 9),), ((110, 9),))
        found = run(replace(case, sell=replace(case.sell, fee="0.01", rate="1", rate_size=top)))
        assert found.size_lots == lots


class TestW5BooksThatCrossTooDeep:
    def test_the_walk_is_given_up_and_says_so(self):
        rows = range(depth_walk.MOST_PIECES + 10)
        found = run(plain([(100 + row, 1) for row in rows], [(10**6 - row, 1) for row in rows]))
        assert (found.size_lots, found.end) == (depth_walk.MOST_PIECES, End.TOO_DEEP)


class TestRates:
    def test_a_profit_in_one_currency_may_be_none_in_the_other(self):
        """100 USDT against 101 USD at 1.02 USD the USDT."""
        case = plain(((100, 5),), ((101, 5),))
        assert run(case).net == Exact(5)
        assert run(replace(case, buy=replace(case.buy, rate="1.02"))) is None
        assert run(replace(case, buy=replace(case.buy, rate="0.99"))).net == Exact(10)

    def test_the_exchange_of_currencies_has_its_fee(self):
        case = plain(((100, 5),), ((101, 5),))
        found = run(replace(case, sell=replace(case.sell, rate="1", rate_fee="0.002")))
        assert (found.net, found.conversion_fee) == (Exact(399, 2), Exact(101, 2))


@pytest.mark.parametrize("count", [1, 7, 8, 9, 31, 32, 33, 75])
def test_levels_are_read_a_few_at_a_time_and_all_come(count):
    """All of them earn: each is taken, whatever the size of the looks."""
    asks, bids = [(100 + row, 3) for row in range(count)], [(500 - row, 2 + row % 2) for row in range(count)]
    found = run(plain(asks, bids))
    assert found.size_lots == sum(lots for *_, lots in found.fills) == min(sum(lots for _, lots in side) for side in (asks, bids))
    assert (found.asks, found.bids) == (tuple(asks[: len(found.asks)]), tuple(bids[: len(found.bids)]))
    assert found.end is End.NO_DEPTH


# ---- mutants ---------------------------------------------------------------------------------------------------------


FLOATS_DIFFER = Case(Side(((1920, 5),), price_decimals=2), Side(((192, 5),), price_decimals=1))  # 19.20 and 19.2: 192 * 0.1 is more
LITTLE_IS_EXCHANGED = Case(Side(((14, 2),)), Side(((18, 2),), rate="1", rate_size="33.3"))  # of the 36 that two lots bring


def prove():
    """The property, the same examples each time, without shrinking."""
    quick = settings(
        max_examples=300,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        report_multiple_bugs=False,
    )
    quick(example(LITTLE_IS_EXCHANGED)(example(FLOATS_DIFFER)(given(cases())(check_against_every_size))))()


def after_terms(monkeypatch, change):
    """Every Terms is changed once made."""
    real = Terms.__init__

    def init(self, *arguments):
        real(self, *arguments)
        change(self)

    monkeypatch.setattr(Terms, "__init__", init)


def forgets_the_sell_fee(monkeypatch):
    real = Leg.weight
    monkeypatch.setattr(Leg, "weight", lambda self, sign: real(self if sign > 0 else replace(self, fee=Exact(0)), sign))


def adds_the_sell_fee(monkeypatch):
    real = Leg.weight
    monkeypatch.setattr(Leg, "weight", lambda self, sign: real(self, 1))


def takes_one_currency_for_another(monkeypatch):
    real = Leg.weight
    monkeypatch.setattr(Leg, "weight", lambda self, sign: real(replace(self, rate=None), sign))


def ignores_the_lots(monkeypatch):
    after_terms(monkeypatch, lambda terms: setattr(terms, "step", 1))


def multiplies_the_lots(monkeypatch):
    """Instead of their least common multiple."""

    def change(terms):
        legs = [(leg.rules.lot or 1) * 10 ** (terms.size_decimals - leg.rules.size_decimals) for leg in (terms.buy, terms.sell)]
        terms.step = legs[0] * legs[1]

    after_terms(monkeypatch, change)


def ignores_the_minimum(monkeypatch):
    after_terms(monkeypatch, lambda terms: setattr(terms, "minimum", terms.step))


def ignores_the_size_cap(monkeypatch):
    after_terms(monkeypatch, lambda terms: setattr(terms, "most_lots", None))


def ignores_what_is_exchanged(monkeypatch):
    after_terms(monkeypatch, lambda terms: setattr(terms, "sell_budget", None))


def compares_floats(monkeypatch):
    """Prices times 1.1 or 0.9, as doubles: 19.8 is not 22 * 0.9, and what earns nothing seems to earn something."""

    def change(terms):
        buy, sell = float(terms.buy.weight(1).fraction), float(terms.sell.weight(-1).fraction)
        terms.buy_weight = buy / 10**terms.buy.price_decimals
        terms.sell_weight = sell / 10**terms.sell.price_decimals

    def net_of(fills, size, terms):
        earned = sum(lots * (bid * terms.sell_weight - ask * terms.buy_weight) for ask, bid, lots in cut(fills, size))
        return max(round(earned * 10 ** (terms.money_decimals - terms.size_decimals)), earned > 0)

    after_terms(monkeypatch, change)
    monkeypatch.setattr(depth_walk, "net_of", net_of)


def cut(fills, size):
    """The first `size` lots."""
    for ask, bid, lots in fills:
        yield ask, bid, min(lots, size)
        size -= min(lots, size)


def forgets_a_grid(monkeypatch):
    after_terms(monkeypatch, lambda terms: setattr(terms, "sell_factor", 1))


def never_rounds_up(monkeypatch):
    monkeypatch.setattr(Terms, "at_least", lambda self, lots: lots)


def rounds_up_always(monkeypatch):
    """Takes the multiple above the peak though the one below earns more."""
    monkeypatch.setattr(depth_walk, "_best", lambda fills, peak, above, terms: (above or peak, net_of(fills, above or peak, terms)))


def takes_the_best_level_only(monkeypatch):
    monkeypatch.setattr(depth_walk, "levels", lambda book, count, *, is_ask: book.asks(1) if is_ask else book.bids(1))


def counts_the_last_fill_whole(monkeypatch):
    real = depth_walk.net_of

    def net_of(fills, size, terms):
        return real(fills, size, terms) if size == sum(lots for *_, lots in fills) else real(fills, 10**9, terms)

    monkeypatch.setattr(depth_walk, "net_of", net_of)


MUTANTS = [
    forgets_the_sell_fee,
    adds_the_sell_fee,
    takes_one_currency_for_another,
    ignores_the_lots,
    multiplies_the_lots,
    ignores_the_minimum,
    ignores_the_size_cap,
    ignores_what_is_exchanged,
    compares_floats,
    forgets_a_grid,
    never_rounds_up,
    rounds_up_always,
    takes_the_best_level_only,
    counts_the_last_fill_whole,
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_property_catches(monkeypatch, mutant):
    """Else it proves nothing."""
    mutant(monkeypatch)
    with pytest.raises(AssertionError):
        prove()


def test_the_property_lets_the_real_walk_pass():
    """With the very same examples."""
    prove()
