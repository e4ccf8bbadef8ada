"""RFC 3339 times: exact to the nanosecond, strict about all else."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphapulse_cli.exchanges import timestamps
from alphapulse_cli.exchanges.timestamps import LAST_SECOND_NS, SECOND_NS, rfc3339_ns, rfc3339_text

BASE = "2026-08-12T19:27:47"
BASE_NS = int(datetime(2026, 8, 12, 19, 27, 47, tzinfo=UTC).timestamp()) * SECOND_NS
YEAR_1_NS = -62_135_596_800 * SECOND_NS
LAST_DAY = datetime(2262, 4, 1)  # noqa: DTZ001  # strategies want it naive
LAST_NS = LAST_SECOND_NS + SECOND_NS - 1


@pytest.mark.parametrize(
    ("rest", "offset_ns"),
    [
        ("Z", 0),
        (".6Z", 600_000_000),
        (".532655Z", 532_655_000),
        (".532655123Z", 532_655_123),
        (".000000001Z", 1),
        ("+00:00", 0),
        ("+02:00", -7200 * SECOND_NS),
        ("-05:30", 19_800 * SECOND_NS),
        (".5-00:01", 60_500_000_000),
    ],
)
def test_every_digit_and_offset_counts(rest, offset_ns):
    assert rfc3339_ns(BASE + rest) == BASE_NS + offset_ns


def test_the_epoch_is_zero_and_what_is_before_it_negative():
    assert rfc3339_ns("1970-01-01T00:00:00Z") == 0
    assert rfc3339_ns("1969-12-31T23:59:59.999999999Z") == -1
    assert rfc3339_ns("0001-01-01T00:00:00Z") == YEAR_1_NS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Z",
        BASE,
        BASE + ".Z",
        BASE + ".1234567890Z",
        BASE + ".1_0Z",
        BASE + ".+1Z",
        BASE + ". 1Z",
        BASE + ".\u0661Z",
        BASE + ",5Z",
        BASE + ".5z",
        BASE + ".5Z\n",
        BASE + ".5",
        BASE + "+24:00",
        BASE + "+2:00",
        BASE + "+0200",
        BASE + "Z+00:00",
        BASE.replace("T", " ") + "Z",
        BASE.replace("T", "t") + "Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-08-12T24:00:00Z",
        "2026-08-12T23:60:00Z",
        "2016-12-31T23:59:60Z",
        "2263-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "\u0662026-08-12T19:27:47Z",
        "2026-08-12 19:27:48.05 +0000 UTC m=+1234.56",
        " " + BASE + "Z",
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError):
        rfc3339_ns(text)


@pytest.mark.parametrize("value", [None, 7, 1.5, ["2026"], {"a": 1}, b"2026-08-12T19:27:47Z"])
def test_what_is_no_text_is_refused(value):
    with pytest.raises((TypeError, ValueError)):
        rfc3339_ns(value)


@given(st.integers(YEAR_1_NS, LAST_NS), st.integers(0, 9))
def test_text_and_nanoseconds_are_the_same_time(ns, digits):
    """Round trip; with fewer digits the text is cut, never rounded up."""
    assert rfc3339_ns(rfc3339_text(ns)) == ns
    unit_ns = 10 ** (9 - digits)
    assert rfc3339_ns(rfc3339_text(ns, digits)) == ns // unit_ns * unit_ns


@given(st.datetimes(max_value=LAST_DAY), st.integers(-1439, 1439))
def test_it_agrees_with_the_standard_library(moment, offset_minutes):
    sign, minutes = ("-" if offset_minutes < 0 else "+"), abs(offset_minutes)
    text = f"{moment.isoformat(timespec='microseconds')}{sign}{minutes // 60:02}:{minutes % 60:02}"
    since_epoch = moment - datetime(1970, 1, 1) - timedelta(minutes=offset_minutes)  # noqa: DTZ001
    assert rfc3339_ns(text) == since_epoch // timedelta(microseconds=1) * 1000


def slowly(text):
    """The slow road alone: what the quick one, where it is compiled, must agree with on every text."""
    try:
        return timestamps._second_ns(text[:19]) + timestamps._rest_ns(text[19:])
    except ValueError:
        return None


def as_it_is(text):
    try:
        return rfc3339_ns(text)
    except ValueError:
        return None


@given(st.integers(YEAR_1_NS, LAST_NS), st.integers(0, 9), st.data())
def test_a_time_with_some_characters_changed_is_what_the_slow_road_says(ns, digits, data):
    text = list(rfc3339_text(ns, digits))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at] = data.draw(st.sampled_from(["", *"0123456789-+:.TZtz /\n\0", "\u0661", "12", "\U0001d7ce"]))
    assert as_it_is("".join(text)) == slowly("".join(text))


def test_every_day_and_what_is_none_is_what_the_slow_road_says():
    for year in [1969, 1970, 1972, 1999, 2000, 2026, 2028, 2100, 2104, 2200, 2261, 2262]:
        for month in range(14):
            for day in range(33):
                text = f"{year}-{month:02}-{day:02}T23:59:59.123Z"
                assert as_it_is(text) == slowly(text), text
    for clock in ("24:00:00", "23:60:00", "23:59:60", "00:00:00", "99:99:99"):
        text = f"2026-08-12T{clock}Z"
        assert as_it_is(text) == slowly(text), text


class Text(str):
    """Text of a kind of its own."""

    __slots__ = ()


def test_text_of_a_derived_kind_is_text():
    assert rfc3339_ns(Text(BASE + ".5Z")) == BASE_NS + 500_000_000


@given(st.text(max_size=50))
def test_any_text_is_a_time_or_a_value_error(text):
    try:
        rfc3339_ns(text)
    except ValueError:
        return
    assert text.isascii()
