"""Exact decimals and taker fees."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphapulse_cli.errors import UsageError
from alphapulse_cli.flow.arbitrage.exact import Exact, parse, parse_fee, ratio_text, rounded, taker_fees

numbers = st.builds(Exact, st.integers(-(10**30), 10**30), st.integers(0, 30))


@given(numbers, numbers)
def test_arithmetic_is_that_of_fractions(one, other):
    """Sums, differences, products, and which is less."""
    assert (one + other).fraction == one.fraction + other.fraction
    assert (one - other).fraction == one.fraction - other.fraction
    assert (one * other).fraction == one.fraction * other.fraction
    assert (one < other, one == other) == (one.fraction < other.fraction, one.fraction == other.fraction)


@given(numbers)
def test_its_text_is_its_value(number):
    """To the last digit, and the shortest such text."""
    assert Fraction(number.text) == number.fraction
    assert "." not in number.text or number.text[-1] not in "0."


def test_equal_values_are_equal_and_hash_alike():
    assert len({Exact(10, 1), Exact(1), Exact(100, 2)}) == 1
    assert Exact(1) != 1


@given(numbers, st.integers(0, 40))
def test_units_on_another_grid_are_rounded_down(number, decimals):
    units = number.whole(decimals)
    assert Fraction(units, 10**decimals) <= number.fraction < Fraction(units + 1, 10**decimals)


@pytest.mark.parametrize(
    ("text", "fee"), [("0.0026", Exact(26, 4)), ("0", Exact(0)), ("2.6e-3", Exact(26, 4)), ("0.9999", Exact(9999, 4))]
)
def test_a_fee_is_a_fraction(text, fee):
    assert parse_fee(text) == fee


@pytest.mark.parametrize("text", ["", "1", "1.0", "26", "-0.001", "0,0026", "0.26%", "nan", " 0.1"])
def test_what_is_no_fee_is_refused(text):
    with pytest.raises(UsageError, match="taker fee"):
        parse_fee(text)


def test_what_is_no_number_is_named():
    with pytest.raises(UsageError, match="not a notional"):
        parse("many", "notional")


class TestFeesOfExchanges:
    def test_the_lowest_tier_of_the_facts_unless_overridden(self):
        fees = taker_fees(["kraken", "coinbase"], {"kraken": "0.0016", "binance": "0"})
        assert {name: fee.text for name, fee in fees.items()} == {"kraken": "0.0016", "coinbase": "0.012"}

    def test_an_unknown_exchange_must_be_told_its_fee(self):
        with pytest.raises(UsageError):
            taker_fees(["nowhere"], {})
        assert taker_fees(["nowhere"], {"nowhere": "0.001"}) == {"nowhere": Exact(1, 3)}

    def test_facts_that_are_silent_are_no_fee_of_0(self, monkeypatch):
        from types import SimpleNamespace

        from alphapulse_cli import exchanges

        monkeypatch.setattr(exchanges, "get", lambda name: SimpleNamespace(facts=SimpleNamespace(taker_fee="")))
        with pytest.raises(UsageError, match="not known"):
            taker_fees(["kraken"], {})


def test_what_no_decimal_can_say_is_rounded_for_showing():
    assert [rounded(Fraction(1, 3), 4), rounded(Fraction(-2, 3), 2), rounded(Fraction(5)), rounded(Fraction(1, 8), 2)] == [
        "0.3333",
        "-0.67",
        "5",
        "0.12",
    ]


@given(numbers, numbers.filter(lambda one: one.units > 0), st.integers(0, 12), st.sampled_from([1, 10_000]))
def test_a_ratio_is_rounded_as_its_fraction_is(part, of, digits, times):
    """Half to even, below 0 too."""
    assert ratio_text(part, of, digits, times) == rounded(part.fraction / of.fraction * times, digits)
