"""Retry-After: seconds and dates, of any length, hostile text, and what a person reads of it."""

from datetime import UTC, datetime

import pytest

from alphapulse_cli.edges.exchange.retry_after import LONGEST_S, asked_pause_s, end_of

NOW = datetime(2026, 11, 27, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12", 12.0),
        (" 1.5 ", 1.5),
        ("0", 0.0),
        ("604800", 604_800.0),
        ("9" * 70, LONGEST_S),
        ("Fri, 27 Nov 2026 10:10:00 GMT", 600.0),
        ("Friday, 27-Nov-26 10:10:00 GMT", 600.0),
        ("Fri, 27 Nov 2026 09:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_S),
        ("", None),
        ("-5", None),
        ("1e9", None),
        ("nan", None),
        ("inf", None),
        ("1_0", None),
        ("\N{ARABIC-INDIC DIGIT ONE}", None),
        ("soon", None),
        ("Fri, 99 Nov 2026 10:10:00 GMT", None),
        ("x" * 100_000, None),
    ],
)
def test_what_is_asked_for(text, seconds):
    assert asked_pause_s({"Retry-After": text}, NOW) == seconds


def test_none_asks_for_nothing():
    assert asked_pause_s({"Date": "Fri, 27 Nov 2026 10:10:00 GMT"}, NOW) is None


def test_a_date_counts_from_the_answers_own_clock():
    """Ours may be wrong by hours; the difference of the two is what the exchange means."""
    headers = [("DATE", "Fri, 27 Nov 2026 15:00:00 GMT"), ("retry-after", "Fri, 27 Nov 2026 15:00:30 GMT")]
    assert asked_pause_s(headers, NOW) == 30.0


def test_an_unreadable_date_of_the_answer_is_as_none():
    headers = [("Date", "yesterday"), ("Retry-After", "Fri, 27 Nov 2026 10:00:30 GMT")]
    assert asked_pause_s(headers, NOW) == 30.0


@pytest.mark.parametrize(
    ("pause_s", "text"),
    [(600.0, "10:10:00Z (in 600 s)"), (172_800.0, "2026-11-29T10:00:00Z (in 172800 s)")],
)
def test_the_end_is_told_in_utc(pause_s, text):
    assert end_of(pause_s, NOW) == text


def test_the_longest_has_an_end_too():
    assert end_of(LONGEST_S, NOW).startswith("2036-")
