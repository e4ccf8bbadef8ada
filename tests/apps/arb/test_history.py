"""What the opportunities say together, against a second telling of the rules that shares no line with the first."""

import json
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support.campaigns import size
from support.seen_opportunities import MS, closed, later, seen

from alphapulse_cli.apps.arb import history
from alphapulse_cli.apps.arb.history import by_pair, find, load, rows_of, survival
from alphapulse_cli.edges.opportunities.store import OpportunityStore
from alphapulse_cli.errors import UsageError

# Few draws for each: drawing is nearly all the time that these properties take.
MONEY = st.builds(
    lambda number, sign: f"{sign}{number // 100_000}.{number % 100_000}",
    st.integers(0, 10**9 - 1),
    st.sampled_from(["", "", "", "-"]),
) | st.just("5")
WORDS = list(product(["BTC-USD", "ETH-USD"], "ab", ["USD", "EUR"]))
ENDS = list(product([False, True], ["open", "closed", "unwatched"]))  # whether it was there from the start; how it ended
LIVES_NS = st.sampled_from([0, 1, 5 * MS - 1, 5 * MS, 5 * MS + 1, 50 * MS, 500 * MS]) | st.integers(0, 10**9)
AFTER = (0, 5, 50, 500)


@st.composite
def histories(draw):
    """Some that ended, some open, some from the start, some unwatched, of few pairs."""
    made = []
    for number in range(draw(st.integers(0, 12))):
        symbol, buy, currency = draw(st.sampled_from(WORDS))
        is_from_start, end = draw(st.sampled_from(ENDS))
        names = {"symbol": symbol, "buy": buy, "sell": "c", "currency": currency}
        one = seen(number, **names, peak_net=draw(MONEY), birth_net=draw(MONEY), is_from_start=is_from_start)
        life_ns = draw(LIVES_NS)
        made.append(later(one, life_ns) if end == "open" else closed(one, Fraction(life_ns, MS), is_unwatched=end == "unwatched"))
    return made


def check_survival(history):
    """One by one, asking of each what is known of it after t."""
    for found, after in zip(survival(history, AFTER), AFTER, strict=True):
        said = []
        for one in history:
            end = one.closed_ns if one.closed_ns is not None else one.last_ns
            if end - one.born_ns >= after * 1_000_000:
                said.append("alive")
            elif one.closed_ns is None or one.is_from_start or one.is_unwatched:
                said.append("unknown")
            else:
                said.append("gone")
        alive, gone = said.count("alive"), said.count("gone")
        assert (found.after_ms, found.alive, found.known, found.unknown) == (after, alive, alive + gone, said.count("unknown"))
        assert found.share == (None if alive + gone == 0 else round(alive / (alive + gone), 4))


def check_by_pair(history):
    """With Decimal, pair by pair."""
    found = by_pair(history)
    names = [(one.kind, one.symbol, one.buy, one.sell, one.currency) for one in found]
    assert len(set(names)) == len(names)
    assert set(names) == {(one.kind, one.symbol, one.buy, one.sell, one.currency) for one in history}
    with localcontext() as context:
        context.prec = 400
        for row, name in zip(found, names, strict=True):
            group = [one for one in history if (one.kind, one.symbol, one.buy, one.sell, one.currency) == name]
            assert row.count == len(group)
            assert row.open == len([one for one in group if one.closed_ns is None])
            assert Decimal(row.total_peak_net) == sum(Decimal(one.peak_net) for one in group)
            assert Decimal(row.total_birth_net) == sum(Decimal(one.birth_net) for one in group)
            assert Decimal(row.best_peak_net) == max(Decimal(one.peak_net) for one in group)
            known = [one for one in group if not (one.closed_ns is None or one.is_from_start or one.is_unwatched)]
            lives = sorted(one.closed_ns - one.born_ns for one in known)
            if lives:
                middle = (lives[(len(lives) - 1) // 2] + lives[len(lives) // 2]) / 2
                assert (row.median_life_ms, row.longest_life_ms) == (round(middle / 1e6, 3), round(lives[-1] / 1e6, 3))
            else:
                assert (row.median_life_ms, row.longest_life_ms) == (None, None)
        order = [(one.currency, -Decimal(one.total_peak_net)) for one in found]
        assert order == sorted(order)


@settings(max_examples=size(75, 150), deadline=None)
@given(histories())
def test_survival_is_as_the_rules_say(history):
    """Whatever was seen."""
    check_survival(history)


@settings(max_examples=size(75, 150), deadline=None)
@given(histories())
def test_sums_are_exact(history):
    """Whatever was seen."""
    check_by_pair(history)


class TestSurvival:
    def test_a_life_of_exactly_t_is_alive_after_t(self):
        (five,) = survival([closed(seen(1), 5)], [5])
        assert (five.known, five.alive, five.share) == (1, 1, 1.0)
        (six,) = survival([closed(seen(1), 5)], [6])
        assert (six.known, six.alive, six.share) == (1, 0, 0.0)

    @pytest.mark.parametrize(
        "cut",
        [
            pytest.param(closed(seen(1), 60, is_unwatched=True), id="unwatched"),
            pytest.param(closed(seen(1, is_from_start=True), 60), id="from the start"),
            pytest.param(later(seen(1), 60 * MS), id="open"),
        ],
    )
    def test_a_life_seen_in_part_counts_as_far_as_it_was_seen(self, cut):
        """Alive after 5 and 50 ms; of 500 it says nothing, and is not held against the others."""
        found = survival([cut, closed(seen(2), 600)])
        assert [(one.known, one.alive, one.unknown) for one in found] == [(2, 2, 0), (2, 2, 0), (1, 1, 1)]

    def test_of_none_there_is_no_share(self):
        assert [one.row() for one in survival([], [5])] == [{"after_ms": 5, "known": 0, "alive": 0, "unknown": 0, "share": None}]


class TestByPair:
    def test_the_largest_first_by_number_not_by_text(self):
        """…and euros are not dollars."""
        some = [
            seen(1, symbol="A-USD", peak_net="9"),
            seen(2, symbol="B-USD", peak_net="10.5"),
            seen(3, symbol="C-EUR", currency="EUR", peak_net="1"),
            seen(4, symbol="B-USD", peak_net="0.1"),
        ]
        assert [(one.symbol, one.total_peak_net, one.best_peak_net) for one in by_pair(some)] == [
            ("C-EUR", "1", "1"),
            ("B-USD", "10.6", "10.5"),
            ("A-USD", "9", "9"),
        ]

    def test_no_float_adds_up_money(self):
        """0.1 + 0.2, and what a float cannot tell from 10**20."""
        some = [
            seen(1, peak_net="0.1", birth_net="100000000000000000000"),
            seen(2, peak_net="0.2", birth_net="0.00000000000000000001"),
        ]
        (found,) = by_pair(some)
        assert (found.total_peak_net, found.total_birth_net) == ("0.3", "100000000000000000000.00000000000000000001")

    def test_both_ways_of_a_pair_are_two(self):
        assert len(by_pair([seen(1), seen(2, buy="coinbase", sell="kraken")])) == 2

    def test_losses_count(self):
        """A net below 0 never becomes an opportunity, but a sum must not mistake one."""
        assert by_pair([seen(1, peak_net="-0.5"), seen(2, peak_net="0.25")])[0].total_peak_net == "-0.25"

    def test_a_row_is_what_json_says(self):
        row = by_pair([closed(seen(1), 7.25)])[0].row()
        assert json.loads(json.dumps(row)) == row
        assert (row["total_peak_net"], row["median_life_ms"], row["open"]) == ("4.5", 7.25, 0)


class TestRows:
    def test_every_field_but_the_explanation(self):
        (row,) = rows_of([closed(seen(1), 7.0004)])
        assert json.loads(json.dumps(row)) == row
        assert row.items() >= {"id": "00000001", "net": "3.25", "life_ms": 7.0, "seen_ms": 7.0, "is_from_start": False}.items()
        assert "explanation" not in row

    @pytest.mark.parametrize(
        "cut", [later(seen(1), 3 * MS), closed(seen(1, is_from_start=True), 3), closed(seen(1), 3, is_unwatched=True)]
    )
    def test_a_life_that_was_seen_in_part_is_not_told_as_one(self, cut):
        (row,) = rows_of([cut])
        assert (row["life_ms"], row["seen_ms"]) == (None, 3.0)

    def test_money_is_text(self):
        (row,) = rows_of([seen(1)])
        assert not any(isinstance(value, float) for name, value in row.items() if not name.endswith("_ms"))


class TestFromTheStore:
    @pytest.fixture
    def path(self, tmp_path):
        with OpportunityStore(tmp_path / "o.sqlite") as store:
            store.record([seen(1), seen(2, symbol="ETH-USD"), seen(3, place="/b")])
        return tmp_path / "o.sqlite"

    def test_the_newest_first_without_explanations(self, path):
        assert [(one.id, one.explanation) for one in load(path)] == [("00000003", {}), ("00000002", {}), ("00000001", {})]
        assert [one.id for one in load(path, seen(1).place, limit=1, symbols=["BTC-USD"])] == ["00000001"]

    def test_one_with_its_explanation(self, path):
        assert find(path, "last", seen(1).place) == seen(2, symbol="ETH-USD")

    def test_without_a_store(self, tmp_path):
        for question in (lambda: load(tmp_path / "none"), lambda: find(tmp_path / "none", "last")):
            with pytest.raises(UsageError, match="no opportunities were kept yet"):
                question()
        assert not (tmp_path / "none").exists()


# ---- mutants ---------------------------------------------------------------------------------------------------------


def counts_the_unknown_as_gone(monkeypatch):
    monkeypatch.setattr(history, "is_life_known", lambda _: True)


def forgets_who_was_there_from_the_start(monkeypatch):
    monkeypatch.setattr(history, "is_life_known", lambda one: one.closed_ns is not None and not one.is_unwatched)


def takes_the_last_change_for_the_end(monkeypatch):
    monkeypatch.setattr(history, "seen_life_ns", lambda one: one.last_ns - one.born_ns + (one.closed_ns is None))


def counts_in_whole_milliseconds(monkeypatch):
    real = history.seen_life_ns
    monkeypatch.setattr(history, "seen_life_ns", lambda one: -(-real(one) // MS) * MS)


def adds_floats(monkeypatch):
    monkeypatch.setattr(history, "_sum", lambda texts: history.exact(f"{sum(map(float, texts)):.30f}"))


def prove():
    """Both properties of the same examples each time, without shrinking."""
    quick = settings(
        max_examples=300, deadline=None, derandomize=True, database=None, phases=[Phase.generate], report_multiple_bugs=False
    )

    def check(history):
        check_survival(history)
        check_by_pair(history)

    quick(given(histories())(check))()


MUTANTS = [
    counts_the_unknown_as_gone,
    forgets_who_was_there_from_the_start,
    takes_the_last_change_for_the_end,
    counts_in_whole_milliseconds,
    adds_floats,
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_properties_catch(monkeypatch, mutant):
    """Else they prove nothing."""
    mutant(monkeypatch)
    with pytest.raises(AssertionError):
        prove()


def test_the_properties_let_the_real_one_pass():
    """With the very same examples."""
    prove()
