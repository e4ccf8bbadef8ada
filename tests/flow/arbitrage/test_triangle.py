"""The round through three books, rules T1 to T5, against an oracle that tries every first order. The mutants at the end must each be caught."""

from dataclasses import replace
from fractions import Fraction
from itertools import product

import pytest
from flow.arbitrage.triangle_oracle import Case, Side, best, bound, cases, outcome, returned
from hypothesis import Phase, example, given, settings
from support.campaigns import size

from alphapulse_cli.flow.arbitrage import ladder, triangle
from alphapulse_cli.flow.arbitrage.exact import Exact
from alphapulse_cli.flow.arbitrage.ladder import LegLadder
from alphapulse_cli.flow.arbitrage.round_trip import marks_of
from alphapulse_cli.flow.arbitrage.routes import RouteStep, find_cycles
from alphapulse_cli.flow.arbitrage.triangle import CycleLeg, CycleTerms, End, walk_cycle


def run(case):
    return walk_cycle(case.books(), case.terms(), case.cap())


def tops(case):
    return tuple((min if side.is_buy else max)(ticks for ticks, _ in side.levels) for side in case.sides)


def check_against_every_size(case, *, every=None):
    """The net is what the oracle reckons for that size, no size earns more than the bound beyond it, and all figures add up."""
    found, back = run(case), returned(case)
    if back is None:
        assert found is None
        return
    assert case.terms().crosses(tops(case)) == (back > 1)
    assert case.terms().best_return(tops(case)) == back - 1
    most, _ = best(case, every=every)
    if found is None:
        assert most <= (bound(case) if back > 1 else 0)
        return
    assert back > 1
    legs = outcome(case, found.size.fraction)
    assert legs is not None
    assert [(leg.size.fraction, leg.paid.fraction, leg.got.fraction, leg.fee.fraction) for leg in found.legs] == legs
    assert found.net.fraction == legs[2][2] - legs[0][1] > 0
    assert most - bound(case) <= found.net.fraction
    if every is None:
        assert found.net.fraction <= most
    assert found.dust == (found.legs[0].got - found.legs[1].paid, found.legs[1].got - found.legs[2].paid)
    assert min(found.dust) >= Exact(0)
    assert found.net_bps == found.net.fraction * 10_000 / found.spent.fraction
    free = outcome(Case(tuple(replace(side, fee="0") for side in case.sides)), found.size.fraction)
    assert found.gross.fraction == free[2][2] - free[0][1] >= found.net.fraction
    for leg, terms in zip(found.legs, found.terms.legs, strict=True):
        assert Exact(sum(lots for _, lots in leg.fills), terms.decimals) == leg.size
        assert [ticks for ticks, _ in leg.fills] == [ticks for ticks, _ in leg.levels[: len(leg.fills)]]


@settings(max_examples=size(100, 200), deadline=None)
@given(cases())
def test_no_size_earns_more_than_the_bound_beyond(case):
    """Whatever the books, directions, grids, fees, lots, minimums and the cap."""
    check_against_every_size(case)


@pytest.mark.campaign
@settings(max_examples=size(20, 50), deadline=None)
@given(cases())
def test_with_lots_that_do_not_matter_no_size_earns_more(case):
    """Orders in billionths: the bound is billionths too."""
    fine = replace(case, sides=tuple(replace(side, lot=1, minimum=0, rule_decimals=9) for side in case.sides))
    check_against_every_size(fine, every=Fraction(1, 10))


def plain(*sides, **more):
    """Legs of (is_buy, levels) on whole numbers, no fees."""
    return Case(tuple(Side(is_buy, tuple(levels)) for is_buy, levels in sides), **more)


def with_side(case, index, **more):
    sides = list(case.sides)
    sides[index] = replace(sides[index], **more)
    return replace(case, sides=tuple(sides))


def loop(**more):
    """USD buys BTC at 100, BTC buys ETH at 2 ETH each (sell at 2), ETH sells at 51: 100 USD become 102."""
    return plain((True, ((100, 9),)), (False, ((2, 9),)), (False, ((51, 18),)), **more)


class TestT1NothingUnlessARoundAtTheBestPricesEarns:
    @pytest.mark.parametrize("empty", [0, 1, 2])
    def test_a_side_is_empty(self, empty):
        assert run(loop()) is not None
        assert run(with_side(loop(), empty, levels=())) is None

    def test_a_product_of_exactly_one(self):
        assert run(with_side(loop(), 2, levels=((50, 18),))) is None

    @pytest.mark.parametrize("leg", [0, 1, 2])
    def test_each_fee_counts(self, leg):
        fine = replace(loop(), sides=tuple(replace(side, rule_decimals=3) for side in loop().sides))
        assert run(with_side(fine, leg, fee="0.01")) is not None
        assert run(with_side(fine, leg, fee="0.02")) is None

    @pytest.mark.parametrize("sides", list(product([True, False], repeat=3)))
    def test_any_mix_of_buying_and_selling(self, sides):
        """Buys at 0.5 double and sells at 2 do: eightfold, exactly; one lot of the first leg's cost becomes eight of it."""
        legs = [Side(is_buy, ((5 if is_buy else 20, 1000),), price_decimals=1) for is_buy in sides]
        found = run(Case(tuple(legs)))
        assert found.net == found.spent * Exact(7)


class TestT2Orders:
    def test_all_that_there_is(self):
        found = run(loop())
        assert (found.size, found.spent, found.net, found.dust) == (Exact(9), Exact(900), Exact(18), (Exact(0), Exact(0)))
        assert found.end is End.NO_DEPTH

    def test_lots_that_force_dust(self):
        """Nine BTC pay for eight in lots of 4, and their sixteen ETH bring 816: less than nine cost, as much as eight."""
        found = run(with_side(loop(), 1, lot=4))
        assert (found.size, found.net) == (Exact(8), Exact(16))
        found = run(with_side(with_side(loop(), 2, levels=((60, 18),)), 2, lot=7))
        assert (found.size, found.legs[2].size, found.dust) == (Exact(7), Exact(14), (Exact(0), Exact(0)))

    @pytest.mark.parametrize(("leg", "minimum", "is_found"), [(0, 9, 1), (0, 10, 0), (1, 9, 1), (1, 10, 0), (2, 18, 1), (2, 19, 0)])
    def test_a_minimum_of_any_leg(self, leg, minimum, is_found):
        assert (run(with_side(loop(), leg, minimum=minimum)) is not None) == is_found

    def test_a_minimum_may_force_more_than_the_peak(self):
        """Four earn 2 each, the fifth loses 48."""
        case = with_side(loop(), 2, levels=((51, 8), (26, 9)))
        assert run(case).size == Exact(4)
        assert run(with_side(case, 1, minimum=5)) is None
        case = with_side(case, 2, levels=((51, 8), (49, 9)))
        assert run(with_side(case, 1, minimum=5)).net == Exact(6)


class TestT3TheSizeThatEarnsMost:
    def test_it_goes_on_level_by_level_while_it_earns(self):
        case = plain((True, ((100, 2), (101, 3), (103, 9))), (False, ((2, 9),)), (False, ((52, 6), (51, 20))))
        found = run(case)
        assert (found.size, found.net, found.end) == (Exact(5), Exact(6 * 52 + 4 * 51 - 503), End.NO_PROFIT)
        assert found.legs[0].fills == ((100, 2), (101, 3))

    def test_a_level_is_taken_in_part(self):
        """Seven ETH are wanted: four BTC bring eight, three bring six."""
        assert run(with_side(loop(), 2, levels=((51, 7),))).size == Exact(3)


class TestT4TheCap:
    @pytest.mark.parametrize(("cap", "size"), [("900", 9), ("899.99", 8), ("100", 1), ("99.99", 0), ("0", 0)])
    def test_what_the_first_leg_costs(self, cap, size):
        found = run(loop(most_spent=cap))
        assert (0 if found is None else found.size.units) == size

    def test_its_fee_is_in_it_and_the_walk_says_so(self):
        found = run(with_side(loop(most_spent="500"), 0, fee="0.001"))
        assert (found.size, found.end) == (Exact(4), End.CAPPED)


def test_t5_books_that_cross_too_deep(monkeypatch):
    """The walk is given up and says so."""
    rows = range(triangle.MOST_PIECES + 10)
    deep = with_side(loop(), 0, levels=tuple((100 + row, 1) for row in rows))
    found = run(with_side(with_side(deep, 1, levels=((2, 10**6),)), 2, levels=((10**6, 10**7),)))
    assert (found.size, found.end) == (Exact(triangle.MOST_PIECES), End.TOO_DEEP)


class TestCycles:
    def test_both_directions_of_a_triangle(self):
        routes = find_cycles(["ETH-USD", "BTC-USD", "ETH-BTC", "BTC-USD", "DOGE-USD", "nonsense"])
        assert [route.text for route in routes] == ["USD>BTC>ETH>USD", "USD>ETH>BTC>USD"]
        assert routes[0].steps == (RouteStep("BTC-USD", True), RouteStep("ETH-BTC", True), RouteStep("ETH-USD", False))
        assert routes[1].steps == (RouteStep("ETH-USD", True), RouteStep("ETH-BTC", False), RouteStep("BTC-USD", False))

    def test_home_is_the_first_that_people_count_in(self):
        assert {route.home for route in find_cycles(["BTC-EUR", "BTC-USDT", "USDT-EUR"])} == {"USDT"}
        assert {route.home for route in find_cycles(["C-B", "B-A", "C-A"])} == {"A"}

    def test_two_markets_of_the_same_two_currencies_are_two_ways(self):
        assert len(find_cycles(["A-B", "B-A", "B-C", "C-A"])) == 4

    def test_the_order_of_symbols_does_not_matter(self):
        symbols = ["BTC-USD", "ETH-USD", "ETH-BTC", "SOL-USD", "SOL-ETH", "SOL-BTC"]
        assert find_cycles(symbols) == find_cycles(symbols[::-1])
        assert len(find_cycles(symbols)) == 8


# ---- mutants ---------------------------------------------------------------------------------------------------------


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

    def check(case):
        check_against_every_size(case)

    for case in (FLOATS_DIFFER, loop(most_spent="500"), with_side(loop(), 2, minimum=19)):
        check = example(case)(check)
    quick(given(cases())(check))()


FLOATS_DIFFER = Case(  # 1 / 2.8 * 0.8 * 3.5 is 1, and as doubles more
    (Side(True, ((28, 9),), 1), Side(False, ((8, 9),), 1), Side(False, ((35, 90),), 1))
)


def changes_weights(monkeypatch, change):
    """Every ladder's weight is changed once made."""
    real = LegLadder.__init__

    def init(self, book, leg):
        real(self, book, leg)
        self.weight = change(leg, self.weight)

    monkeypatch.setattr(LegLadder, "__init__", init)


def forgets_the_fee_of_sales(monkeypatch):
    changes_weights(monkeypatch, lambda leg, weight: weight if leg.is_buy else 10**leg.fee.decimals)


def takes_the_fee_off_purchases(monkeypatch):
    changes_weights(monkeypatch, lambda leg, weight: (Exact(1) - leg.fee).on(leg.fee.decimals))


def takes_fees_off_nothing_when_comparing(monkeypatch):
    real = CycleTerms.__init__
    monkeypatch.setattr(CycleTerms, "__init__", lambda self, legs: real(self, tuple(replace(leg, fee=Exact(0)) for leg in legs)))


def counts_dust(monkeypatch):
    """As if the second leg could use all that the first brought."""
    monkeypatch.setattr(LegLadder, "rounded_down", lambda self, order: order)


def rounds_up(monkeypatch):
    monkeypatch.setattr(LegLadder, "rounded_down", lambda self, order: -(-order // self.step) * self.step)


def of_leg(monkeypatch, index, **more):
    """One leg's terms are other than they should be."""

    def terms(self):
        legs = [side.leg() for side in self.sides]
        legs[index] = replace(legs[index], **{name: change(legs) for name, change in more.items()})
        return CycleTerms(tuple(legs))

    monkeypatch.setattr(Case, "terms", terms)


def takes_the_fee_of_another_leg(monkeypatch):
    of_leg(monkeypatch, 0, fee=lambda legs: legs[1].fee)


def ignores_the_lot_of_the_third_leg(monkeypatch):
    of_leg(monkeypatch, 2, rules=lambda legs: legs[2].rules._replace(lot=1))


def ignores_the_minimum_of_the_third_leg(monkeypatch):
    of_leg(monkeypatch, 2, rules=lambda legs: legs[2].rules._replace(minimum=0))


def ignores_minimums(monkeypatch):
    monkeypatch.setattr(CycleLeg, "minimum", property(lambda self: self.step))


def ignores_the_cap(monkeypatch):
    monkeypatch.setattr(Case, "cap", lambda self: None)


def takes_the_best_level_only(monkeypatch):
    monkeypatch.setattr(ladder, "one_by_one", lambda book, *, is_ask: iter(book.asks(1) if is_ask else book.bids(1)))


def takes_the_other_side(monkeypatch):
    monkeypatch.setattr(ladder, "one_by_one", lambda book, *, is_ask: iter(book.bids() if is_ask else book.asks()))


def compares_floats(monkeypatch):
    def crosses(self, prices):
        back = 1.0
        for leg, ticks in zip(self.legs, prices, strict=True):
            rate = ticks / 10**leg.price_decimals * float(leg.weight.fraction)
            back = back / rate if leg.is_buy else back * rate
        return back > 1.0

    monkeypatch.setattr(CycleTerms, "crosses", crosses)


def tries_the_first_mark_only(monkeypatch):
    def first_mark_of(*arguments):
        marks, end = marks_of(*arguments)
        return marks[:1], end

    monkeypatch.setattr(triangle, "marks_of", first_mark_of)


MUTANTS = [
    forgets_the_fee_of_sales,
    takes_the_fee_off_purchases,
    takes_fees_off_nothing_when_comparing,
    counts_dust,
    rounds_up,
    takes_the_fee_of_another_leg,
    ignores_the_lot_of_the_third_leg,
    ignores_the_minimum_of_the_third_leg,
    ignores_minimums,
    ignores_the_cap,
    takes_the_best_level_only,
    takes_the_other_side,
    compares_floats,
    tries_the_first_mark_only,
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
