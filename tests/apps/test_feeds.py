"""Scorecards as rows of text, and the sets that have none."""

import pytest
from support.reader_sets import Writer
from support.scorecards import HOUR_NS, a_market, card, perfect

from alphapulse_cli.apps import feeds
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.scores import RowKind, ScoresWriter


@pytest.fixture
def directory(shm_dir):
    with open_directory(shm_dir, create=True) as opened:
        yield opened


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "-"),
        (100.0, "100"),
        (99.9999, "99.9999"),
        (99.99, "99.9900"),
        (99.9899, "99.98"),
        (99.9, "99.90"),
        (99.8999, "99.8"),
        (0.0, "0.0"),
        (7.25, "7.2"),
    ],
)
def test_a_share_has_the_digits_that_tell_it_from_100_and_is_never_rounded_up(share, text):
    assert feeds.percent(share) == text


def test_every_share_of_four_decimals_is_written_without_a_floats_tail():
    for tenthousandths in range(990_000, 1_000_000, 7):
        text = feeds.percent(tenthousandths / 10_000)
        digits = len(text.partition(".")[2])
        assert int(text.replace(".", "")) == tenthousandths // 10 ** (4 - digits)


@pytest.mark.parametrize(("us", "text"), [(None, "-"), (0, "0 us"), (999, "999 us"), (12_345, "12.3 ms"), (3_400_000, "3.4 s")])
def test_delays(us, text):
    assert feeds.microseconds(us) == text


@pytest.mark.parametrize(("ns", "text"), [(3_400_000_000, "3.4 s"), (HOUR_NS // 5, "12 min"), (5 * HOUR_NS, "5.0 h")])
def test_durations(ns, text):
    assert feeds.seconds(ns) == text


def test_a_row_says_what_is_known_and_what_is_not():
    row = feeds.row(card())
    assert row["healing"] == "31 ms / 480 ms"
    assert row["delay"] == "800 us / 12.0 ms / 400.0 ms"
    assert (row["valid"], row["checksums"], row["bytes"], row["feed"]) == ("99.97", "100/100", "18.6 KiB", "all")
    nothing = feeds.row(perfect())
    assert (nothing["valid"], nothing["healing"], nothing["checksums"]) == ("100", "-", "-")
    of_symbol = feeds.row(card("symbol", "BTC-USD", 1))
    assert (of_symbol["bytes"], of_symbol["reconnects"], of_symbol["open"]) == ("", "", "")


def test_a_collector_that_has_ended_has_no_state():
    assert feeds.state(card(live=False, books_live=1)) == "stopped"
    assert feeds.state(card(trading_status="CANCEL_ONLY")) == "1/1 LIVE, cancel only"


def test_the_only_connection_of_a_set_is_left_out_of_a_table():
    assert [(one.set, one.connection) for one in feeds.in_table(a_market()) if one.kind == "connection"] == [
        ("kraken", 1),
        ("kraken", 2),
    ]


class TestLook:
    def test_at_all_windows_and_one_part(self, directory):
        with Writer(directory):
            made = ScoresWriter(directory, "kraken", "kraken", 1, clock.monotonic_ns())
            made.row(RowKind.SYMBOL, "BTC-USD", clock.monotonic_ns())
            found, missing = feeds.look(directory, Wanted(), "all", "symbol")
            assert [(one.window, one.symbol) for one in found] == [(window, "BTC-USD") for window in ("start", "hour", "day")]
            assert missing == []
            assert feeds.look(directory, Wanted.of(None, ["ETH-USD"]), "hour")[0] == []

    def test_a_set_without_scores_and_a_replay_are_named(self, directory):
        with Writer(directory), Writer(directory, set_name="past", exchange="kraken", replay=True):
            ScoresWriter(directory, "past", "kraken", 1, clock.monotonic_ns())  # whatever lies there
            found, missing = feeds.look(directory, Wanted(), "hour")
            assert found == []
            assert missing[0].startswith("kraken has no scorecard")
            assert missing[1].startswith("REPLAY: past is played from a recording")
