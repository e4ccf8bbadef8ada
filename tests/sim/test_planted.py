"""Planted opportunities against their rules, P1 to P4, and the markets that carry them against M1 and M7."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sim_parts import DictBook

from alphapulse_cli.errors import UsageError
from alphapulse_cli.sim.ladder import SimulatedLadder
from alphapulse_cli.sim.listings import LISTED
from alphapulse_cli.sim.market_maker import SimulatedMarket
from alphapulse_cli.sim.planted import PlantedSchedule, parse_plant, taker_fee

SECOND = 1_000_000_000
START_NS = 1_790_000_000 * SECOND
NAMES = ("kraken", "coinbase", "binance-us")
SEEDS = st.integers(0, 2**64)


def some(seed=1, names=NAMES, symbols=(), every_ns=10 * SECOND, count=40):
    return list(PlantedSchedule(seed, names, symbols, every_ns).planted(START_NS, START_NS + count * every_ns))


def fraction_net(plant, buy_fee, sell_fee):
    """Said again in whole numbers: net * 10**power, and the power."""
    buy, sell = plant.buy, plant.sell
    power = 40
    bought = buy.lots * buy.ticks * 10 ** (power - buy.instrument.price_decimals - buy.instrument.size_decimals)
    sold = sell.lots * sell.ticks * 10 ** (power - sell.instrument.price_decimals - sell.instrument.size_decimals)
    return (sold * (10_000 - sell_fee) - bought * (10_000 + buy_fee)) // 10_000, power


class TestP1AFunctionOfItsSeed:
    @given(SEEDS, st.permutations(NAMES))
    @settings(max_examples=20, deadline=None)
    def test_the_order_of_the_exchanges_does_not_matter(self, seed, names):
        assert some(seed, count=10) == some(seed, names, count=10)

    def test_another_seed_is_another_schedule(self):
        assert some(1) != some(2)

    @pytest.mark.parametrize("every_ns", [SECOND // 2, 10 * SECOND, 3600 * SECOND])
    def test_each_lies_inside_its_slot(self, every_ns):
        plants = some(3, every_ns=every_ns)
        assert [plant.number for plant in plants] == list(range(START_NS // every_ns, START_NS // every_ns + 40))[-len(plants) :]
        for plant in plants:
            assert plant.number * every_ns <= plant.begin_ns < plant.end_ns <= (plant.number + 1) * every_ns
            assert SECOND // 5 <= plant.life_ns <= 5 * SECOND

    def test_what_is_listed_is_what_is_there_at_its_time(self):
        schedule = PlantedSchedule(4, NAMES)
        for plant in schedule.planted(START_NS, START_NS + 300 * SECOND):
            assert schedule.at(plant.begin_ns) == schedule.at(plant.end_ns - 1) == plant
            assert schedule.at(plant.begin_ns - 1) is None
            assert schedule.at(plant.end_ns) is None

    def test_every_symbol_that_two_list_has_its_turn(self):
        assert {plant.symbol for plant in some(count=300)} == {row[0] for row in LISTED["kraken"]}


class TestP2AProfitForOnePairAlone:
    @given(SEEDS)
    @settings(max_examples=30, deadline=None)
    def test_the_outcome_is_exact_and_above_both_fees(self, seed):
        for plant in some(seed, count=20):
            fees = [int(Decimal(taker_fee(leg.instrument.exchange)) * 10_000) for leg in (plant.buy, plant.sell)]
            outcome = plant.outcome()
            net, power = fraction_net(plant, *fees)
            assert outcome.net == Decimal(net).scaleb(-power)
            assert outcome.gross > outcome.net > 0
            assert outcome.size == plant.size

    def test_the_fees_may_be_ones_own(self):
        (plant, *_) = some()
        assert plant.outcome("0", "0").net == plant.outcome("0", "0").gross == (plant.sell.price - plant.buy.price) * plant.size
        assert plant.outcome("0.5", "0.5").size == 0

    @pytest.mark.parametrize("names", [NAMES, tuple(LISTED)])
    def test_no_third_exchange_profits(self, names):
        """Every book of the symbol as it stands while it lasts, against every other, net of fees at the best prices."""
        for plant in some(7, names, count=12):
            schedule = PlantedSchedule(7, names)
            tops = {}
            for name in names:
                if plant.symbol not in {row[0] for row in LISTED[name]}:
                    continue
                market = SimulatedMarket(
                    name, 7, [plant.symbol], levels_per_side=400, start_ns=plant.begin_ns - SECOND, planted=schedule
                )
                for i in range(1, 24):
                    market.step(plant.symbol, plant.begin_ns - SECOND + i * SECOND // 20)
                bids, asks = market.book(plant.symbol, 1)
                unit = Decimal(10) ** market.instruments[plant.symbol].price_decimals
                tops[name] = (bids[0][0] / unit, asks[0][0] / unit)
            crossing = {
                (buy, sell)
                for buy, (_, ask) in tops.items()
                for sell, (bid, _) in tops.items()
                if bid * (1 - Decimal(taker_fee(sell))) > ask * (1 + Decimal(taker_fee(buy)))
            }
            assert crossing == {(plant.buy.instrument.exchange, plant.sell.instrument.exchange)}


class TestP3OneSize:
    @given(SEEDS)
    @settings(max_examples=30, deadline=None)
    def test_the_size_is_whole_lots_and_an_order_on_both_exchanges(self, seed):
        for plant in some(seed, tuple(LISTED), count=20):
            for leg in (plant.buy, plant.sell):
                instrument = leg.instrument
                assert Decimal(leg.lots).scaleb(-instrument.size_decimals) == plant.size
                assert leg.lots % instrument.lot_size_lots == 0
                assert leg.lots >= max(1, instrument.min_size_lots)
                assert leg.ticks % instrument.tick_size_ticks == 0


def carried(plant, name, levels, schedule, seed=1):
    market = SimulatedMarket(name, seed, [plant.symbol], levels_per_side=levels, start_ns=plant.begin_ns - SECOND, planted=schedule)
    for i in range(10):
        market.step(plant.symbol, plant.begin_ns - SECOND + i)
    return market


def moments(plant, steps):
    """So many before, during and after."""
    before = [plant.begin_ns - steps + i for i in range(steps)]
    during = [plant.begin_ns + i * (plant.life_ns - 1) // steps for i in range(steps + 1)]
    return [*before, *during, *(plant.end_ns + i * SECOND // 20 for i in range(steps))]


class TestM7TheMarketThatCarriesIt:
    """M7: its level is the best, the book is never crossed, nobody trades, and all comes back."""

    @given(SEEDS, st.integers(1, 300))
    @settings(max_examples=25, deadline=None)
    def test_the_changes_are_the_book_and_the_book_is_never_crossed(self, seed, levels):
        """M1, M4 and M7 at once, by somebody who sees the changes only."""
        schedule = PlantedSchedule(seed, NAMES)
        plant = next(schedule.planted(START_NS, START_NS + 20 * SECOND))
        for name in (plant.buy.instrument.exchange, plant.sell.instrument.exchange):
            market = carried(plant, name, levels, schedule, seed)
            book, sequence = DictBook(*map(dict, market.book(plant.symbol))), market.sequence(plant.symbol)
            leg = plant.leg(name)
            for now_ns in moments(plant, 8):
                step = market.step(plant.symbol, now_ns)
                sequence += len(step.changes)
                for change in step.changes:
                    book.put(*change)
                bids, asks = market.book(plant.symbol)
                assert book.levels() == (bids, asks)
                assert market.sequence(plant.symbol) == sequence
                assert bids[0][0] < asks[0][0]
                best = asks[0] if leg.is_ask else bids[0]
                assert (best == (leg.ticks, leg.lots)) is (plant.begin_ns <= now_ns < plant.end_ns)
                assert not (step.trades and plant.begin_ns <= now_ns < plant.end_ns)

    @pytest.mark.parametrize("clears", [True, False])
    def test_a_market_that_does_not_clear_the_way_is_found(self, monkeypatch, clears):
        """The mutant puts the level and leaves the other side where it is: crossed in itself."""
        if not clears:
            monkeypatch.setattr(SimulatedLadder, "better_than", lambda *_: [])
        schedule = PlantedSchedule(1, NAMES)
        plant = next(schedule.planted(START_NS, START_NS + 20 * SECOND))
        market = carried(plant, plant.buy.instrument.exchange, 500, schedule)
        market.step(plant.symbol, plant.begin_ns)
        bids, asks = market.book(plant.symbol, 1)
        assert (bids[0][0] < asks[0][0]) is clears

    def test_all_comes_back_as_it_was(self):
        """One look at its beginning and one just after its end, in which only sizes behind the best may have changed."""
        schedule = PlantedSchedule(5, NAMES)
        for plant in schedule.planted(START_NS, START_NS + 60 * SECOND):
            market = carried(plant, plant.buy.instrument.exchange, 800, schedule, 5)
            before = [{ticks for ticks, _ in side} for side in market.book(plant.symbol)]
            market.step(plant.symbol, plant.begin_ns)
            assert [{ticks for ticks, _ in side} for side in market.book(plant.symbol)] != before
            market._books[plant.symbol]._touched = {}
            market._books[plant.symbol]._bring_back()
            assert [{ticks for ticks, _ in side} for side in market.book(plant.symbol)] == before

    def test_it_is_due_until_it_has_been_looked_at(self):
        schedule = PlantedSchedule(6, NAMES)
        plant = next(schedule.planted(START_NS, START_NS + 20 * SECOND))
        market = carried(plant, plant.sell.instrument.exchange, 100, schedule, 6)
        assert market.due(plant.begin_ns - 1) == []
        assert market.due(plant.begin_ns) == [plant.symbol]
        market.step(plant.symbol, plant.begin_ns)
        assert market.due(plant.begin_ns) == []
        assert market.due(plant.end_ns) == [plant.symbol]

    def test_without_a_schedule_nothing_is_planted(self):
        market = SimulatedMarket("kraken", 1, ["BTC-USD"], levels_per_side=50, start_ns=START_NS)
        for i in range(400):
            market.step("BTC-USD", START_NS + i * SECOND // 20)
            assert market.due(START_NS + i * SECOND // 20) == ()
            assert market._books["BTC-USD"].leg is None


class TestP4TheHiddenPriceStandsStill:
    def test_the_price_stands_still_on_a_third_exchange_too(self):
        """The same steps at two times of its life are the same moment of the market there."""
        schedule = PlantedSchedule(8, NAMES)
        plant = next(schedule.planted(START_NS, START_NS + 20 * SECOND))
        (third,) = set(NAMES) - {plant.buy.instrument.exchange, plant.sell.instrument.exchange}
        books = []
        for into_ns in (0, plant.life_ns - 1):
            market = carried(plant, third, 200, schedule, 8)
            market.step(plant.symbol, plant.begin_ns + into_ns)
            books.append(market.book(plant.symbol))
        assert books[0] == books[1]


class TestWhatPlantSays:
    @pytest.mark.parametrize(
        ("text", "every_ns", "names"),
        [
            ("6/min", 10 * SECOND, ()),
            ("10s", 10 * SECOND, ()),
            ("0.5s", SECOND // 2, ()),
            ("1.5/min:kraken+binance-us", 40 * SECOND, ("kraken", "binance-us")),
        ],
    )
    def test_a_rate_or_interval_is_parsed(self, text, every_ns, names):
        plan = parse_plant(text)
        assert (plan.every_ns, tuple(plan.exchanges)) == (every_ns, names)

    @pytest.mark.parametrize("text", ["", "off"])
    def test_off_plants_nothing(self, text):
        assert parse_plant(text) is None

    @pytest.mark.parametrize(
        "text", ["often", "0/min", "0s", "0.1s", "1000/min", "9999s", "-1s", "1e3s", "6/min:ftx", "6/min:", "6/hour"]
    )
    def test_an_invalid_plant_is_refused_with_a_hint(self, text):
        with pytest.raises(UsageError) as refused:
            parse_plant(text)
        assert refused.value.hint

    @pytest.mark.parametrize(("names", "symbols"), [(["kraken"], ()), (["kraken", "binance"], ["BTC-USD"])])
    def test_no_pair_is_refused(self, names, symbols):
        with pytest.raises(UsageError, match="nothing to plant"):
            PlantedSchedule(1, names, symbols)
