"""market/ticks.py: decimal text and JSON numbers to integers, exactly or not at all; the same in both core modes."""

import json
import math
import struct
import time
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.strategies_numbers import (
    DECIMALS,
    EXPONENTS,
    HOSTILE_TEXT,
    JSON,
    JSON_NUMBERS,
    PLAIN_DECIMALS,
    exact_value,
    needed_decimals,
)

from alphapulse_cli.market import scan, ticks
from alphapulse_cli.market.scan import MAX_TICKS
from alphapulse_cli.market.ticks import (
    FinerThanGrid,
    Malformed,
    NeedsRawText,
    NumberError,
    OffGridRow,
    decimals_of,
    number_to_ticks,
    price_and_size,
    to_text,
    to_ticks,
    trim_text,
)

NOT_NUMBERS = [
    "", ".", "1.", ".5", "-1", "-0", "+1", " 1", "1 ", "1\n", "\t1", "1_0", "1,5", "1.2.3", "1..2", "0x10", "1e", "e5", "1e+", "1e5.0", "1e 5",
    "1e401", "1e-401", "1e1000", "1E+1000000", "1e999999999999", "nan", "NaN", "inf", "Infinity", "-inf", "\uff11\uff12", "٣", "३.५", "²", "½", "1\x00",
    "1.0\u200b", "\ud800", "0" * 401, "1" * 401, "1." + "0" * 399, "9" * 100_000,
]  # fmt: skip


def outcome(parse, *arguments):
    """(ticks, None, None), or (None, the error's class, the decimals that it asks for)."""
    try:
        return parse(*arguments), None, None
    except NumberError as error:
        return None, type(error), getattr(error, "needed_decimals", None)


def check_exact(parse, text, decimals):
    """`parse` gives the ticks of `text`, or says exactly how many decimals they would need."""
    value = exact_value(text)
    found, error, needed = outcome(parse, text, decimals)
    if error is None:
        assert Fraction(found, 10**decimals) == value
    else:
        assert error is FinerThanGrid
        assert needed == needed_decimals(value) > decimals


def check_exact_all(parse, cases):
    for text, decimals in cases:
        check_exact(parse, text, decimals)


class TestTextToTicks:
    """design.md section 3: parsed from the exchange's own text once; exact or refused."""

    @pytest.mark.parametrize(
        ("text", "decimals", "expected"),
        [
            ("0", 0, 0),
            ("1", 0, 1),
            ("1", 2, 100),
            ("0.01", 2, 1),
            ("0.010", 2, 1),
            ("00.01", 2, 1),
            ("121706.01", 2, 12170601),
            ("1.00000000", 0, 1),
            ("7e-7", 7, 7),
            ("7E-7", 8, 70),
            ("1.5e3", 0, 1500),
            ("1.5e+03", 0, 1500),
            ("150e-2", 1, 15),
            ("0e-30", 0, 0),
            ("1e30", 0, 10**30),
            ("1e100", 0, 10**100),
            ("1" * 41, 0, int("1" * 41)),
            ("0e-400", 0, 0),
            ("9223372036854775807", 0, MAX_TICKS),
            ("9.223372036854775807", 18, MAX_TICKS),
            ("9223372036854775808", 0, 1 << 63),
            ("18446744073709551616", 0, 1 << 64),
            ("99999999999999999999", 18, (10**20 - 1) * 10**18),
            ("9" * 40, 18, (10**40 - 1) * 10**18),
            ("0." + "0" * 38, 18, 0),
            ("0" * 39 + "7", 18, 7 * 10**18),
        ],
    )
    def test_exact_ticks(self, text, decimals, expected):
        """Of any size: what does not fit a record is refused by those who write records."""
        assert to_ticks(text, decimals) == expected

    @pytest.mark.parametrize("text", NOT_NUMBERS)
    def test_what_is_no_plain_decimal_is_malformed(self, text):
        """ASCII digits, one point between digits, an exponent of at most 400, at most 400 characters."""
        for parse in (to_ticks, number_to_ticks):
            with pytest.raises(Malformed):
                parse(text, 8)

    @pytest.mark.parametrize(
        ("text", "decimals", "needed"),
        [
            ("0.001", 2, 3),
            ("0.0010", 2, 3),
            ("1e-3", 2, 3),
            ("10e-3", 1, 2),
            ("100e-3", 0, 1),
            ("1.50e-3", 2, 4),
            ("123.456000", 0, 3),
            ("1e-30", 18, 30),
            ("1e-324", 18, 324),
            ("0." + "0" * 60 + "1", 18, 61),
            ("0.0000000000000000001", 18, 19),
            ("1." + "0" * 37 + "1", 18, 38),
            ("1.0000000001e-30", 0, 40),
        ],
    )
    def test_finer_than_the_grid_says_how_many_decimals_are_needed(self, text, decimals, needed):
        """Trailing zeros and exponents counted away."""
        with pytest.raises(FinerThanGrid) as caught:
            to_ticks(text, decimals)
        assert caught.value.needed_decimals == needed
        assert not caught.value.is_size

    @given(st.one_of(PLAIN_DECIMALS, EXPONENTS), DECIMALS)
    @example("0.29", 5)
    def test_it_is_what_decimal_says(self, text, decimals):
        """Against decimal.Decimal, an independent parser."""
        check_exact(to_ticks, text, decimals)
        check_exact(number_to_ticks, text, decimals)

    @pytest.mark.parametrize(
        "mutant",
        [
            lambda text, decimals: round(float(text) * 10**decimals),
            lambda text, decimals: int(float(text) * 10**decimals),
            lambda text, decimals: int(Decimal(text).scaleb(decimals)),
            lambda text, decimals: int(text.replace(".", "")),
        ],
        ids=["rounded float", "truncated float", "truncated decimal", "no point"],
    )
    def test_the_judge_catches_wrong_parsers(self, mutant):
        """What others do fails the same check on one of four texts."""
        with pytest.raises(AssertionError):
            check_exact_all(mutant, [("0.29", 5), ("90071992547409.93", 2), ("0.015", 2), ("7", 3)])

    @given(HOSTILE_TEXT, st.integers(0, 40))
    def test_any_text_is_ticks_or_a_number_error(self, text, decimals):
        """Never another exception; and what is taken is ASCII and no longer than 400."""
        try:
            found = to_ticks(text, decimals)
        except NumberError:
            return
        assert found >= 0
        assert text.isascii()
        assert len(text) <= 400
        assert not set(text) - set("0123456789.eE+-")

    @given(HOSTILE_TEXT | PLAIN_DECIMALS, DECIMALS)
    def test_the_fast_road_answers_what_the_slow_one_would(self, text, decimals):
        """market.scan may give up (-1) but never differ."""
        found = scan.plain(text, decimals)
        if found != -1:
            assert found == ticks._exact(text, decimals) <= MAX_TICKS
        assert (
            outcome(to_ticks, text, decimals) == outcome(number_to_ticks, text, decimals) == outcome(ticks._exact, text, decimals)
        )


class TestJsonNumbers:
    """design.md section 3: t = round(x * 10^d) only if t / 10^d == x and |t| < 2^51, else the raw token."""

    @pytest.mark.parametrize(
        ("number", "decimals", "expected"),
        [
            (0, 2, 0),
            (0.0, 2, 0),
            (5, 2, 500),
            (0.29, 5, 29000),
            (1e-05, 5, 1),
            (121706.01, 2, 12170601),
            (2251799813685247.0, 0, (1 << 51) - 1),
            (1 << 70, 0, 1 << 70),
            (10**40 - 1, 18, (10**40 - 1) * 10**18),
            (9223372036854775807, 0, MAX_TICKS),
        ],
    )
    def test_a_number_that_proves_its_decimal(self, number, decimals, expected):
        """Integers are exact; a float below 2^51 ticks whose division gives it back is."""
        assert number_to_ticks(number, decimals) == expected

    @pytest.mark.parametrize(
        ("number", "decimals"), [(0.001, 2), (2251799813685248.0, 0), (1e16, 0), (1e300, 0), (5e-324, 18), (0.1, 18)]
    )
    def test_a_float_that_proves_nothing_needs_its_raw_text(self, number, decimals):
        """Finer than the grid, or too large to be sure of."""
        with pytest.raises(NeedsRawText):
            number_to_ticks(number, decimals)

    @pytest.mark.parametrize(
        "number", [True, False, None, -1, -0.5, -0.0, math.nan, math.inf, -math.inf, -(10**50), 10**400, [], {}, b"1", Decimal(1)]
    )
    def test_what_is_no_plain_number_is_malformed(self, number):
        """Booleans are no numbers; -0.0 has a sign; an integer may have 400 digits as text may."""
        with pytest.raises(Malformed):
            number_to_ticks(number, 2)

    @given(st.integers(0, (1 << 51) - 1), DECIMALS)
    def test_a_float_comes_back_as_the_decimal_that_it_was_written_as(self, value, decimals):
        """The double nearest to ticks / 10^d gives ticks, or asks for its text; from 15 digits down it never asks."""
        text = to_text(value, decimals)
        try:
            assert number_to_ticks(json.loads(text), decimals) == value
        except NeedsRawText:
            assert len(str(value)) > 15

    @given(JSON_NUMBERS, DECIMALS)
    def test_a_json_number_is_never_rounded(self, number, decimals):
        """What is taken of a float reads back as that very float."""
        try:
            found = number_to_ticks(number, decimals)
        except NumberError:
            return
        if isinstance(number, int):
            assert found == number * 10**decimals
        else:
            assert float(Decimal(to_text(found, decimals))) == number
            assert found < 1 << 51

    @given(JSON, st.integers(0, 40))
    def test_any_value_is_ticks_or_a_number_error(self, value, decimals):
        """Whatever a parser may hand over."""
        found, error, _ = outcome(number_to_ticks, value, decimals)
        assert error is not None or found >= 0

    def test_nesting_does_not_reach_the_message(self):
        """A value nested deeper than Python can print is Malformed, not a RecursionError."""
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        with pytest.raises(Malformed):
            number_to_ticks(deep, 2)


class TestPriceAndSize:
    """Both numbers of a trade or level at once, so that one answer says what both need."""

    def test_exact(self):
        """The usual."""
        assert price_and_size("30000.5", 0.25, 2, 8) == (3000050, 25000000)

    @pytest.mark.parametrize(
        ("price", "size", "is_size", "price_decimals", "size_decimals"),
        [
            ("1.001", "1", False, 3, 4),
            ("1", "0.00001", True, 2, 5),
            ("1.0001", "0.000010", False, 4, 5),
            ("1e-30", "1", False, 30, 4),
        ],
    )
    def test_off_grid_says_which_and_what_both_need(self, price, size, is_size, price_decimals, size_decimals):
        """Ready for an OffGrid event: never less than the grid now."""
        with pytest.raises(OffGridRow) as caught:
            price_and_size(price, size, 2, 4)
        off = caught.value
        assert (off.is_size, off.price_decimals, off.size_decimals) == (is_size, price_decimals, size_decimals)
        assert off.needed_decimals == (size_decimals if is_size else price_decimals)
        assert str(off).startswith("size" if is_size else "price")

    def test_what_is_malformed_outweighs_what_is_off_grid(self):
        """A frame with nonsense in it is not worth a finer grid."""
        with pytest.raises(Malformed):
            price_and_size("1.001", "x", 2, 4)


class TestTicksToText:
    """People see decimal text, never a float's tail."""

    @pytest.mark.parametrize(
        ("value", "decimals", "text", "short"),
        [
            (0, 0, "0", "0"),
            (0, 2, "0.00", "0"),
            (100, 0, "100", "100"),
            (5, 2, "0.05", "0.05"),
            (-5, 2, "-0.05", "-0.05"),
            (12170601, 2, "121706.01", "121706.01"),
            (50000000, 8, "0.50000000", "0.5"),
            (10**20, 18, "100.000000000000000000", "100"),
        ],
    )
    def test_exact_text(self, value, decimals, text, short):
        """`to_text` has all decimals, `trim_text` no zero too many."""
        assert to_text(value, decimals) == text
        assert trim_text(value, decimals) == short

    @given(st.integers(0, 1 << 63), DECIMALS)
    def test_there_and_back(self, value, decimals):
        """Text of ticks is the ticks again, trimmed or not."""
        assert to_ticks(to_text(value, decimals), decimals) == value
        assert to_ticks(trim_text(value, decimals), decimals) == value
        assert exact_value(to_text(value, decimals)) == Fraction(value, 10**decimals)


class TestDecimalsOf:
    """How exchanges say a grid: "0.01000000"."""

    @pytest.mark.parametrize(
        ("text", "decimals"),
        [("0.01000000", 2), ("1", 0), ("10", 0), ("0.00001", 5), ("1e-8", 8), ("0.5", 1), ("1.0", 0), ("1E-30", 30)],
    )
    def test_of_an_increment(self, text, decimals):
        """Trailing zeros say nothing."""
        assert decimals_of(text) == decimals

    @pytest.mark.parametrize("text", ["", "x", "-0.01", None, 0.01])
    def test_of_no_number(self, text):
        """Text only: a float's own digits are not the exchange's."""
        with pytest.raises(Malformed):
            decimals_of(text)


class TestNamedRegressions:
    """design.md section 9: each of these has hurt somebody."""

    def test_an_exponent_bomb_costs_nothing(self):
        """int(Decimal("1E+1000000")) takes 27 s; huge integers and endless digits are refused as cheaply."""
        huge = 10**1_000_000
        started = time.process_time()
        for bomb in (
            "1E+1000000",
            "1e-1000000",
            "1e999",
            "9" * 10_000_000,
            "0." + "0" * 10_000_000,
            huge,
            -huge,
            "1e" + "9" * 1_000_000,
        ):
            with pytest.raises(Malformed):
                number_to_ticks(bomb, 8)
        assert time.process_time() - started < 0.5

    def test_python_only_spellings_are_refused(self):
        """float("1_000") is 1000, int(" 1") is 1, int("٣") is 3."""
        assert float("1_000") == 1000
        for text in ("1_000", " 1", "1 ", "٣"):
            with pytest.raises(Malformed):
                to_ticks(text, 0)

    def test_a_price_that_f32_bends(self):
        """The ancestor's f32: 121,706.01 became 121,706.0078."""
        bent = struct.unpack("f", struct.pack("f", 121706.01))[0]
        assert round(bent, 4) == 121706.0078
        assert to_text(to_ticks("121706.01", 2), 2) == "121706.01"
        assert number_to_ticks(121706.01, 2) == 12170601

    def test_a_price_that_truncation_loses(self):
        """The ancestor's key: 0.29 * 100000 is 28999."""
        assert int(0.29 * 100000) == 28999
        assert to_ticks("0.29", 5) == number_to_ticks(0.29, 5) == 29000

    def test_small_prices_do_not_share_a_key(self):
        """With the ancestor's key every SHIB price is 0."""
        prices = [f"0.00000{n}" for n in range(800, 1000)]
        assert {int(float(price) * 100000) for price in prices} == {0}
        assert len({to_ticks(price, 8) for price in prices}) == len(prices)

    def test_neighbouring_cents_above_131_072(self):
        """In f32 they are one price; here they are two."""
        near = [struct.pack("f", price) for price in (131072.01, 131072.02)]
        assert near[0] == near[1]
        assert to_ticks("131072.02", 2) - to_ticks("131072.01", 2) == 1
