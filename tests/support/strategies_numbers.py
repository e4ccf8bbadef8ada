"""Hypothesis strategies for numbers as exchanges write them, for hostile ones, and an independent judge of what is right."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import strategies as st

DIGITS = st.text("0123456789", min_size=1, max_size=22)


def fits(text):
    return len(text) <= 40


PLAIN_DECIMALS = st.one_of(
    DIGITS,
    st.builds("{}.{}".format, DIGITS, DIGITS),
    st.builds("{}.{}".format, st.integers(0, 200_000), st.text("0123456789", min_size=1, max_size=10)),
).filter(fits)
EXPONENTS = st.builds("{}{}{}".format, PLAIN_DECIMALS, st.sampled_from("eE"), st.integers(-30, 30)).filter(fits)
DECIMALS = st.integers(0, 18)

HOSTILE_TEXT = st.one_of(
    st.text(max_size=60),
    st.text("0123456789.eE+-_ ", max_size=45),
    st.text("0123456789.٣३３²½", max_size=12),
    st.sampled_from(
        ["nan", "NaN", "inf", "Infinity", "-1", "+1", "1_0", " 1", "1 ", "1\n", "", ".", "1.", ".5", "0x10", "1e", "1e+", "\ud800"]
    ),
)
JSON_NUMBERS = st.one_of(
    st.integers(),
    st.integers(0, 1 << 70),
    st.floats(),
    st.floats(0, 1e16),
    st.builds(lambda ticks, decimals: ticks / 10**decimals, st.integers(0, 1 << 53), DECIMALS),
)
SCALARS = st.one_of(st.none(), st.booleans(), JSON_NUMBERS, HOSTILE_TEXT, PLAIN_DECIMALS, EXPONENTS, st.binary(max_size=8))
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4), max_leaves=6
)


def exact_value(text):
    """The rational that decimal text says, by `decimal`, not by us."""
    return Fraction(Decimal(text))


def needed_decimals(value):
    """The fewest decimals that hold the rational `value`, which is a decimal fraction."""
    decimals = 0
    while (value * 10**decimals).denominator != 1:
        decimals += 1
    return decimals
