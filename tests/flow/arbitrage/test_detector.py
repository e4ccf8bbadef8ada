"""Opportunities open, change and close as the books do: rules D1 to D4, and a property against the oracle with its mutants."""

from typing import Any

import pytest
from flow.arbitrage.arbitrage_oracle import Case, Side, best
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support.campaigns import size

from alphapulse_cli.book.book import Book
from alphapulse_cli.flow.arbitrage import candidate as candidates
from alphapulse_cli.flow.arbitrage.candidate import ArbitragePolicy, RejectReason
from alphapulse_cli.flow.arbitrage.cycle_candidate import Cycle
from alphapulse_cli.flow.arbitrage.depth_walk import walk
from alphapulse_cli.flow.arbitrage.detector import ArbitrageDetector
from alphapulse_cli.flow.arbitrage.exact import Exact, parse, parse_fee
from alphapulse_cli.flow.arbitrage.market import ArbitrageMarket
from alphapulse_cli.flow.arbitrage.opportunity import EventKind
from alphapulse_cli.flow.arbitrage.terms import Rules
from alphapulse_cli.market.levels import Levels
from alphapulse_cli.wire.delta import BookReason, BookState

MS = 1_000_000
FREE = parse_fee("0")


def book(bids=(), asks=(), price_decimals=0, size_decimals=0):
    """A book of these levels (ticks, lots)."""
    levels = Levels(price_decimals, size_decimals)
    for is_ask, rows in ((False, bids), (True, asks)):
        for ticks, lots in rows:
            levels.add(ticks, lots, is_ask)
    made = Book(price_decimals, size_decimals)
    made.load(levels)
    return made


class Floor:
    """A detector with markets of some exchanges, and a clock of its own in milliseconds."""

    def __init__(self, *ids, fees=None, **policy):
        self.detector = ArbitrageDetector(ArbitragePolicy(**policy))
        self.markets = {}
        for one in ids or ("a:X-USD", "b:X-USD"):
            name, symbol = one.split(":")
            self.markets[one] = self.detector.add(name, name, symbol, parse_fee((fees or {}).get(name, "0")))
        self.versions = dict.fromkeys(self.markets, 0)

    def set(self, one, at_ms, bids=(), asks=(), *, state=BookState.LIVE, delay_us=None, grid=(0, 0), reason=BookReason.NONE):
        """That book is so now; what happened by it."""
        self.versions[one] += 1
        return self.detector.update(
            self.markets[one], book(bids, asks, *grid), at_ms * MS, self.versions[one], delay_us, state, reason
        )

    def crossed(self, at_ms=1, ask=100, bid=110, lots=5):
        """Sells cheap at a, buys dear at b: the events of the second book's change."""
        self.set("a:X-USD", at_ms, asks=[(ask, lots)])
        return self.set("b:X-USD", at_ms + 1, bids=[(bid, lots)])


def kinds(events):
    return [(event.kind, event.at_ns // MS) for event in events]


class TestAnOpportunity:
    def test_is_born_changes_and_dies(self):
        floor = Floor(report_every_ns=0)
        (born,) = floor.crossed()
        (more,) = floor.set("b:X-USD", 3, bids=[(112, 5)])
        (less,) = floor.set("a:X-USD", 4, asks=[(100, 2)])
        (gone,) = floor.set("a:X-USD", 9, asks=[(112, 2)])
        assert kinds([born, more, less, gone]) == [
            (EventKind.OPENED, 2),
            (EventKind.CHANGED, 3),
            (EventKind.CHANGED, 4),
            (EventKind.CLOSED, 9),
        ]
        assert [event.finding.net for event in (born, more, less, gone)] == [Exact(50), Exact(60), Exact(24), Exact(24)]
        assert (gone.peak.net, gone.peak_ns, gone.changes, gone.why) == (Exact(60), 3 * MS, 2, RejectReason.GONE)
        assert {event.opportunity.id for event in (born, more, less, gone)} == {born.opportunity.id}
        assert (gone.opportunity.born_ns, gone.opportunity.birth.net) == (2 * MS, Exact(50))

    def test_what_changes_nothing_is_not_told(self):
        floor = Floor(report_every_ns=0)
        floor.crossed()
        assert floor.set("b:X-USD", 3, bids=[(110, 5), (50, 1)]) == []

    def test_both_ways_are_looked_at(self):
        floor = Floor()
        floor.set("b:X-USD", 1, asks=[(100, 5)])
        (born,) = floor.set("a:X-USD", 2, bids=[(101, 5)])
        assert (born.opportunity.candidate.buy.name, born.opportunity.candidate.sell.name) == ("b", "a")

    def test_it_is_known_by_the_same_name_wherever_it_is_found(self):
        one, other = Floor().crossed()[0], Floor().crossed()[0]
        assert one.opportunity.id == other.opportunity.id
        assert one.opportunity.id != Floor().crossed(at_ms=2)[0].opportunity.id
        assert len(one.opportunity.id) == 8
        assert one.opportunity.id.isalnum()

    def test_what_others_bring_meanwhile_does_not_matter(self):
        """A message of a third book, received later and read earlier: neither the moment nor the name is another."""
        floor = Floor("a:X-USD", "b:X-USD", "a:Y-USD")
        floor.set("a:Y-USD", 50)
        (event,) = floor.crossed()
        assert (event.at_ns, event.opportunity.id) == (2 * MS, Floor().crossed()[0].opportunity.id)

    def test_it_never_ends_before_its_last_change(self):
        """The bid's end was received before the ask that is known already."""
        floor = Floor()
        floor.set("b:X-USD", 1, bids=[(110, 5)])
        floor.set("a:X-USD", 9, asks=[(100, 5)])
        (event,) = floor.set("b:X-USD", 5)
        assert (event.kind, event.at_ns) == (EventKind.CLOSED, 9 * MS)

    def test_born_again_of_the_very_same_books_it_has_another_name(self):
        floor = Floor()
        (first,) = floor.crossed()
        market = floor.markets["b:X-USD"]
        floor.detector.withdraw(market, BookState.STALE, BookReason.SILENT, 2 * MS)
        (again,) = floor.detector.update(market, market.book, 2 * MS, market.version)
        assert again.kind is EventKind.OPENED
        assert again.opportunity.standings == first.opportunity.standings
        assert again.opportunity.id != first.opportunity.id

    def test_the_same_exchange_twice_is_no_pair(self):
        detector = ArbitrageDetector()
        for name in ("kraken", "kraken-2"):
            detector.add(name, "kraken", "BTC-USD", FREE)
        assert detector.candidates == []

    def test_finer_decimals_are_other_terms(self):
        floor = Floor(report_every_ns=0)
        floor.crossed()
        (event,) = floor.set("a:X-USD", 3, asks=[(1005, 50)], grid=(1, 1))
        assert event.finding.net == Exact(475, 1)

    def test_finish_tells_of_all_that_is_open(self):
        floor = Floor()
        floor.crossed()
        (event,) = floor.detector.finish(50 * MS)
        assert (event.kind, event.why, event.at_ns) == (EventKind.CLOSED, RejectReason.UNWATCHED, 50 * MS)
        assert floor.detector.open == {}


class TestD1OnlyWhatTheChangeTouches:
    def test_candidates_of_other_symbols_are_left_alone(self):
        floor = Floor("a:X-USD", "b:X-USD", "c:X-USD", "a:Y-USD", "b:Y-USD")
        before = floor.detector.looks
        floor.set("a:X-USD", 1, asks=[(100, 1)])
        assert floor.detector.looks - before == 4
        floor.set("a:Y-USD", 2, asks=[(100, 1)])
        assert floor.detector.looks - before == 6

    def test_nothing_is_walked_before_the_tops_cross(self, monkeypatch):
        walked = []

        def noted(*books):
            walked.append(books)
            return walk(*books)

        monkeypatch.setattr(candidates, "walk", noted)
        floor = Floor(fees={"a": "0.05", "b": "0.05"})
        floor.crossed()
        floor.crossed(at_ms=3, bid=110)
        assert walked == []
        floor.crossed(at_ms=5, bid=111)
        assert len(walked) == 1


class TestD2WhatMayNotBeBelieved:
    @pytest.mark.parametrize("state", [BookState.COLD, BookState.SYNCING, BookState.STALE, BookState.HALTED])
    def test_a_book_that_is_not_live(self, state):
        floor = Floor()
        floor.set("a:X-USD", 1, asks=[(100, 5)], state=state)
        assert floor.set("b:X-USD", 2, bids=[(110, 5)]) == []
        assert floor.detector.refused == {RejectReason.NOT_LIVE: 1}

    @pytest.mark.parametrize("trusted", [False, True])
    def test_a_live_book_that_its_checksums_refute_is_traded_only_where_that_was_asked_for(self, trusted):
        floor = Floor(trust_unverified=trusted)
        floor.set("a:X-USD", 1, asks=[(100, 5)], reason=BookReason.UNVERIFIED)
        events = floor.set("b:X-USD", 2, bids=[(110, 5)])
        assert kinds(events) == ([(EventKind.OPENED, 2)] if trusted else [])
        assert floor.detector.refused == ({} if trusted else {RejectReason.NOT_LIVE: 1})

    def test_a_book_that_stops_being_live_ends_it(self):
        floor = Floor()
        floor.crossed()
        (event,) = floor.detector.withdraw(floor.markets["b:X-USD"], BookState.STALE, BookReason.SILENT, 7 * MS)
        assert (event.kind, event.why) == (EventKind.CLOSED, RejectReason.NOT_LIVE)
        assert floor.detector.refused == {RejectReason.NOT_LIVE: 1}

    def test_one_occasion_counts_once(self):
        floor = Floor()
        floor.set("a:X-USD", 1, asks=[(100, 5)], state=BookState.STALE)
        for at_ms in range(2, 9):
            floor.set("b:X-USD", at_ms, bids=[(110 + at_ms, 5)])
        assert floor.detector.refused == {RejectReason.NOT_LIVE: 1}
        floor.set("b:X-USD", 10, bids=[(90, 5)])
        floor.set("b:X-USD", 11, bids=[(110, 5)])
        assert floor.detector.refused == {RejectReason.NOT_LIVE: 2}

    def test_an_old_book(self):
        floor = Floor(max_age_ns=100 * MS)
        floor.set("a:X-USD", 1, asks=[(100, 5)])
        assert floor.set("b:X-USD", 102, bids=[(110, 5)]) == []
        assert floor.detector.refused == {RejectReason.TOO_OLD: 1}
        assert [event.kind for event in floor.set("a:X-USD", 103, asks=[(100, 5)])] == [EventKind.OPENED]

    def test_growing_old_ends_it_at_that_very_moment(self):
        """Not when the next change of any book happens to come."""
        floor = Floor("a:X-USD", "b:X-USD", "a:Y-USD", max_age_ns=100 * MS)
        floor.crossed()
        (event,) = floor.set("a:Y-USD", 400)
        assert (event.kind, event.why, event.at_ns) == (EventKind.CLOSED, RejectReason.TOO_OLD, 101 * MS + 1)
        assert floor.detector.advance(500 * MS) == []

    def test_feeds_out_of_step(self):
        floor = Floor(max_skew_us=1000)
        floor.set("a:X-USD", 1, asks=[(100, 5)], delay_us=500)
        assert floor.set("b:X-USD", 2, bids=[(110, 5)], delay_us=1501) == []
        assert floor.detector.refused == {RejectReason.OUT_OF_STEP: 1}
        assert len(floor.set("b:X-USD", 3, bids=[(110, 5)], delay_us=-500)) == 1

    def test_a_feed_that_tells_no_time_cannot_be_out_of_step(self):
        floor = Floor(max_skew_us=0)
        floor.set("a:X-USD", 1, asks=[(100, 5)], delay_us=500)
        assert len(floor.set("b:X-USD", 2, bids=[(110, 5)])) == 1

    def test_a_book_crossed_in_itself(self):
        floor = Floor()
        floor.set("a:X-USD", 1, asks=[(100, 5)], bids=[(101, 1)])
        assert floor.set("b:X-USD", 2, bids=[(110, 5)]) == []
        assert floor.detector.refused == {RejectReason.CROSSED: 1}

    def test_a_size_that_nobody_accepts(self):
        floor = Floor()
        floor.detector.set_rules(floor.markets["a:X-USD"], Rules(1, 6, 0))
        assert floor.crossed() == []
        assert floor.detector.refused == {RejectReason.TOO_SMALL: 1}

    @pytest.mark.parametrize(
        ("limit", "value", "found"),
        [
            ("min_profit", "50", 1),
            ("min_profit", "50.01", 0),
            ("min_bps", "1000", 1),
            ("min_bps", "1000.01", 0),
        ],
    )
    def test_limits_of_the_person_who_asks(self, limit, value, found):
        """50 of 500 spent are 1,000 basis points."""
        floor = Floor(**{limit: parse(value)})
        assert len(floor.crossed()) == found
        assert floor.detector.refused == ({} if found else {RejectReason.BELOW_LIMITS: 1})

    def test_an_empty_book_ends_it(self):
        floor = Floor()
        floor.crossed()
        (event,) = floor.set("b:X-USD", 7)
        assert event.why is RejectReason.GONE


class TestD3HowOftenItIsTold:
    def test_changes_are_held_back_and_the_last_is_told(self):
        floor = Floor("a:X-USD", "b:X-USD", "a:Y-USD", report_every_ns=100 * MS)
        floor.crossed()
        for at_ms in range(3, 50):
            assert floor.set("b:X-USD", at_ms, bids=[(110 + at_ms, 5)]) == []
        (event,) = floor.set("a:Y-USD", 500)
        assert (event.kind, event.at_ns, event.last_ns, event.changes) == (EventKind.CHANGED, 102 * MS, 49 * MS, 47)
        assert event.finding.net == Exact(5 * 59)

    def test_births_and_deaths_are_not(self):
        floor = Floor(report_every_ns=10_000 * MS)
        told = []
        for at_ms in range(1, 100, 2):
            told += floor.crossed(at_ms, bid=110 if at_ms % 4 == 1 else 90)
        assert [event.kind for event in told] == [EventKind.OPENED, EventKind.CLOSED] * 25

    def test_a_death_tells_the_last_state_too(self):
        floor = Floor(report_every_ns=10_000 * MS)
        floor.crossed()
        floor.set("b:X-USD", 3, bids=[(120, 5)])
        (event,) = floor.set("b:X-USD", 4)
        assert (event.finding.net, event.peak.net, event.changes) == (Exact(100), Exact(100), 1)


class TestD4BirthsThatWereSeen:
    def test_between_two_books_that_were_live(self):
        floor = Floor()
        floor.set("a:X-USD", 1, asks=[(120, 5)])
        floor.set("b:X-USD", 2, bids=[(110, 5)])
        (event,) = floor.set("a:X-USD", 3, asks=[(100, 5)])
        assert event.opportunity.is_birth_seen

    def test_not_when_a_book_was_joined_just_now(self):
        assert not Floor().crossed()[0].opportunity.is_birth_seen


class TestCurrencies:
    MARKETS = ("a:X-USDT", "b:X-USD", "c:USDT-USD")

    def cross(self, floor):
        floor.set("a:X-USDT", 1, asks=[(100, 5)])
        return floor.set("b:X-USD", 2, bids=[(110, 5)])

    def test_two_currencies_are_not_compared(self):
        floor = Floor("a:X-USDT", "b:X-USD")
        assert self.cross(floor) == []
        assert floor.detector.not_compared() == [("X-USD", "X-USDT")]
        assert floor.detector.refused == {}

    def test_unless_one_is_taken_for_the_other(self):
        floor = Floor("a:X-USDT", "b:X-USD", treat_as_usd=True)
        (event,) = self.cross(floor)
        assert (event.finding.net, event.note, event.opportunity.candidate.currency) == (Exact(50), "USDT taken as USD", "USD")
        assert floor.detector.not_compared() == []

    def test_or_a_live_book_converts(self):
        """Five at 100 USDT, each bought for 1.01 USD: 505 for 550."""
        floor = Floor(*self.MARKETS)
        floor.set("c:USDT-USD", 0, bids=[(99, 9999)], asks=[(101, 9999)], grid=(2, 0))
        (event,) = self.cross(floor)
        assert (event.finding.net, event.opportunity.candidate.currency) == (Exact(45), "USD")
        assert event.note == "c:USDT-USD at 1.01"

    def test_with_its_own_fee(self):
        floor = Floor(*self.MARKETS, fees={"c": "0.01"})
        floor.set("c:USDT-USD", 0, asks=[(1, 9999)])
        assert self.cross(floor)[0].finding.net == Exact(45)

    def test_the_seller_is_converted_where_the_book_is_the_other_way_round(self):
        """550 USD of X sold bring 544.50 USDT at 0.99."""
        floor = Floor("a:X-USDT", "b:X-USD", "c:USD-USDT")
        floor.set("c:USD-USDT", 0, bids=[(99, 9999)], grid=(2, 0))
        (event,) = self.cross(floor)
        assert (event.finding.net, event.opportunity.candidate.currency) == (parse("44.5"), "USDT")

    def test_a_rate_that_changes_is_another_opportunity_of_the_same_name(self):
        floor = Floor(*self.MARKETS, report_every_ns=0)
        floor.set("c:USDT-USD", 0, asks=[(101, 9999)], grid=(2, 0))
        (born,) = self.cross(floor)
        (changed,) = floor.set("c:USDT-USD", 3, asks=[(102, 9999)], grid=(2, 0))
        assert (changed.finding.net, changed.opportunity) == (Exact(40), born.opportunity)
        (gone,) = floor.set("c:USDT-USD", 4, asks=[(111, 9999)], grid=(2, 0))
        assert gone.why is RejectReason.GONE

    def test_a_rate_that_is_not_live_is_none(self):
        floor = Floor(*self.MARKETS)
        floor.set("c:USDT-USD", 0, asks=[(1, 9999)])
        self.cross(floor)
        (event,) = floor.set("c:USDT-USD", 3, asks=[(1, 9999)], state=BookState.SYNCING)
        assert event.why is RejectReason.NO_RATE
        assert len(floor.set("c:USDT-USD", 4, asks=[(1, 9999)])) == 1

    def test_the_legs_own_exchange_converts_first(self):
        floor = Floor("a:X-USDT", "b:X-USD", "a:USDT-USD", "0:USDT-USD")
        for name in ("0", "a"):
            floor.set(f"{name}:USDT-USD", 0, asks=[(1, 9999)])
        assert self.cross(floor)[0].note == "a:USDT-USD at 1"

    def test_a_book_that_only_converts_is_not_traded(self):
        detector = ArbitrageDetector()
        for name in ("a", "b"):
            detector.add(name, name, "USDT-USD", FREE, is_traded=False)
        assert detector.candidates == []


class TestCycles:
    """100 USD buy one B, one B buys ten E, ten E bring 110 USD."""

    MARKETS = ("a:B-USD", "a:E-B", "a:E-USD")

    def turn(self, floor, price=11):
        floor.set("a:B-USD", 1, asks=[(100, 5)])
        floor.set("a:E-B", 2, asks=[(1, 50)], grid=(1, 0))
        return floor.set("a:E-USD", 3, bids=[(price, 30)])

    def test_are_looked_at_only_when_asked_for(self):
        assert self.turn(Floor(*self.MARKETS)) == []
        assert Floor(*self.MARKETS).detector.candidates == []

    def test_open_and_close_like_pairs(self):
        floor = Floor(*self.MARKETS, triangular=True)
        (born,) = self.turn(floor)
        candidate = born.opportunity.candidate
        assert (candidate.kind, candidate.symbol, candidate.currency) == ("triangle", "USD>B>E>USD", "USD")
        assert (born.finding.size, born.finding.net, born.finding.spent) == (Exact(3), Exact(30), Exact(300))
        (gone,) = floor.set("a:E-B", 4, asks=[(2, 50)], grid=(1, 0))
        assert (gone.kind, gone.why) == (EventKind.CLOSED, RejectReason.GONE)

    def test_nothing_where_the_prices_come_back_to_the_same(self):
        assert self.turn(Floor(*self.MARKETS, triangular=True), price=10) == []

    def test_every_legs_fee_counts(self):
        """1.1 less three times 4 % is less than 1."""
        assert self.turn(Floor(*self.MARKETS, triangular=True, fees={"a": "0.04"})) == []
        assert len(self.turn(Floor(*self.MARKETS, triangular=True, fees={"a": "0.03"}))) == 1

    def test_the_notional_caps_what_is_spent(self):
        (born,) = self.turn(Floor(*self.MARKETS, triangular=True, notional=parse("250")))
        assert (born.finding.spent, born.finding.net) == (Exact(200), Exact(20))

    @pytest.mark.parametrize("one", MARKETS)
    def test_a_leg_that_is_not_live_holds_it_back(self, one):
        floor = Floor(*self.MARKETS, triangular=True)
        self.turn(floor)
        (event,) = floor.detector.withdraw(floor.markets[one], BookState.STALE, BookReason.SILENT, 7 * MS)
        assert event.why is RejectReason.NOT_LIVE

    def test_two_exchanges_make_no_cycle_together(self):
        floor = Floor("a:B-USD", "b:E-B", "a:E-USD", triangular=True)
        assert {one.kind for one in floor.detector.candidates} == {"pair"}  # of E, for B is worth so many USD

    def test_terms_are_made_once_not_at_every_change(self):
        floor = Floor(*self.MARKETS, triangular=True)
        self.turn(floor)
        (cycle,) = (one for one in floor.detector.candidates if one.symbol == "USD>B>E>USD")
        assert isinstance(cycle, Cycle)
        terms = cycle.terms()
        floor.set("a:E-B", 5, asks=[(1, 40)], grid=(1, 0))
        assert cycle.terms() is terms


# ---- the property ----------------------------------------------------------------------------------------------------

NAMES = ("a", "b", "c")
FEES = {"a": "0", "b": "0.01", "c": "0.1"}
rows = st.lists(st.tuples(st.integers(15, 25), st.integers(1, 5)), max_size=3, unique_by=lambda row: row[0]).map(tuple)
changes = st.tuples(
    st.sampled_from(NAMES), rows, rows, st.integers(1, 40), st.sampled_from([BookState.LIVE] * 5 + [BookState.STALE])
)
MAX_AGE_MS = 60


def check_against_the_oracle(history):
    """After each change exactly those pairs are open that the oracle finds, each with its size and net; every birth and death is told."""
    floor = Floor(*(f"{name}:X-USD" for name in NAMES), fees=FEES, max_age_ns=MAX_AGE_MS * MS, report_every_ns=0)
    held: dict[str, Any] = {}
    told: dict[tuple[str, str], Any] = {}
    at_ms = 0
    for name, bids, drawn, wait_ms, state in history:
        at_ms += wait_ms
        asks = tuple(row for row in drawn if not bids or row[0] > max(bids)[0])
        held[name] = (bids, asks, at_ms, state)
        for event in floor.set(f"{name}:X-USD", at_ms, bids, asks, state=state):
            tell(told, event)
        assert told == expected(held, at_ms)


def tell(told, event):
    """What a listener knows who only hears events."""
    pair = event.opportunity.candidate.buy.name, event.opportunity.candidate.sell.name
    if event.kind is EventKind.CLOSED:
        del told[pair]
    else:
        assert (pair in told) is (event.kind is EventKind.CHANGED)
        told[pair] = event.finding.size.fraction, event.finding.net.fraction


def expected(held, now_ms):
    """The oracle's, for all that is live and young."""
    found = {}
    for buy, (_, asks, *fresh) in held.items():
        for sell, (bids, _, *as_fresh) in held.items():
            if buy == sell or any(state is not BookState.LIVE or now_ms - at > MAX_AGE_MS for at, state in (fresh, as_fresh)):
                continue
            result = best(Case(Side(asks, fee=FEES[buy]), Side(bids, fee=FEES[sell])))
            if result is not None:
                found[buy, sell] = result
    return found


histories = st.lists(changes, max_size=12)


@settings(max_examples=size(100, 200), deadline=None)
@given(histories)
def test_what_is_open_is_what_there_is(history):
    check_against_the_oracle(history)


def prove():
    """The property, the same examples each time, without shrinking."""
    quick = settings(
        max_examples=200, deadline=None, derandomize=True, database=None, phases=[Phase.generate], report_multiple_bugs=False
    )
    quick(given(histories)(check_against_the_oracle))()


def trusts_every_book(monkeypatch):
    monkeypatch.setattr(ArbitrageDetector, "_doubt", lambda self, candidate: None)


def forgets_that_books_age(monkeypatch):
    def advance(self, now_ns):
        self.now_ns = now_ns
        return []

    monkeypatch.setattr(ArbitrageDetector, "advance", advance)


def looks_at_the_buyers_changes_only(monkeypatch):
    real = ArbitrageDetector._pair_up

    def pair_up(self):
        real(self)
        for market in self.markets.values():
            self._of_market[market] = [one for one in self._of_market[market] if one.buy is market]

    monkeypatch.setattr(ArbitrageDetector, "_pair_up", pair_up)


def never_closes(monkeypatch):
    monkeypatch.setattr(ArbitrageDetector, "_close", lambda self, *_: None)


def keeps_the_first_size(monkeypatch):
    monkeypatch.setattr(ArbitrageDetector, "_change", lambda self, *_: None)


def forgets_the_fees(monkeypatch):
    real = ArbitrageMarket.__init__

    def init(self, name, exchange, symbol, fee, *rest):
        real(self, name, exchange, symbol, FREE, *rest)

    monkeypatch.setattr(ArbitrageMarket, "__init__", init)


def reopens_under_the_old_age(monkeypatch):
    """Compares with the age of the book that changed only."""
    real = ArbitrageDetector._doubt

    def doubt(self, candidate):
        why = real(self, candidate)
        return None if why is RejectReason.TOO_OLD else why

    monkeypatch.setattr(ArbitrageDetector, "_doubt", doubt)


MUTANTS = [
    trusts_every_book,
    forgets_that_books_age,
    looks_at_the_buyers_changes_only,
    never_closes,
    keeps_the_first_size,
    forgets_the_fees,
    reopens_under_the_old_age,
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_property_catches(monkeypatch, mutant):
    """Else it proves nothing."""
    mutant(monkeypatch)
    with pytest.raises((AssertionError, KeyError)):
        prove()


def test_the_property_lets_the_real_detector_pass():
    """With the very same examples."""
    prove()
