"""`alphapulse feeds` in a real process: a table, JSON, CSV, and what is not there."""

import json

import pytest
from support.reader_sets import Writer

from alphapulse_cli.readers.feeds import MEANINGS
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.scores import RowKind, Score, ScoresWriter


@pytest.fixture
def scored(alphapulse):
    """A set with scores, live for a minute."""
    with open_directory(alphapulse.shm_dir, create=True) as directory, Writer(directory):
        made = ScoresWriter(directory, "kraken", "kraken", 1, clock.monotonic_ns())
        row = made.row(RowKind.SYMBOL, "BTC-USD", clock.monotonic_ns())
        row.set(Score.OBSERVED_NS, 60_000_000_000)
        row.set(Score.VALID_NS, 59_999_999_999)
        row.add(Score.GAPS, 4)
        row.healed(25_000_000)
        yield made


def told(done):
    return done.code, done.stdout, done.stderr


def test_json_has_every_member_and_one_card_a_line(alphapulse, scored):
    code, out, err = told(alphapulse("feeds", "--json"))
    assert (code, err) == (0, "")
    cards = [json.loads(line) for line in out.splitlines()]
    assert [(card["kind"], card["symbol"]) for card in cards] == [("exchange", ""), ("symbol", "BTC-USD")]
    assert all(list(card) == list(MEANINGS) for card in cards)
    assert {(card["gaps"], card["valid_percent"], card["healing_ms"]["p99"], card["version"]) for card in cards} == {
        (4, 99.9999, 25, 1)
    }
    assert cards[1]["bytes_per_s"] is None


def test_a_table_says_the_same(alphapulse, scored):
    code, out, _ = told(alphapulse("feeds", "--format", "table", "--window", "all", COLUMNS="200"))
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert [line[:3] for line in lines[1:]] == [
        ["kraken", name, window] for window in ("start", "hour", "day") for name in ("all", "BTC-USD")
    ]
    assert all("99.9999" in line for line in lines[1:])


def test_csv_and_a_part(alphapulse, scored):
    code, out, _ = told(alphapulse("feeds", "--format", "csv", "--part", "symbol"))
    head, row = out.splitlines()
    assert code == 0
    assert head.split(",")[:5] == ["version", "set", "exchange", "kind", "symbol"]
    assert row.startswith("1,kraken,kraken,symbol,BTC-USD,")


def test_nothing_there_is_said_with_a_hint(alphapulse, scored):
    for arguments, error, there in (
        (("--exchange", "coinbase"), "nothing of coinbase is collected", "kraken"),
        (("--symbol", "BTC-EUR"), "no book of BTC-EUR", "BTC-USD"),
    ):
        code, out, err = told(alphapulse("feeds", *arguments))
        assert (code, out) == (3, "")
        assert error in err
        assert f"\nhint: there are: {there}\n" in err
