"""The page on candles: its query gives what `ap.candles` gives of the same dataset, and its widths are those there are."""

import re
from pathlib import Path

import duckdb
import pytest
from support import datasets

import alphapulse_cli as ap
from alphapulse_cli.market.candles import MOST_EMPTY, MOST_IDS, WIDTHS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "make-candles.md").read_text()


@pytest.fixture
def dataset(tmp_path):
    rows = [
        datasets.trade(number, 100 + number * 7 % 13, 1 + number, exchange_ns=datasets.NOON_NS + number // 3 * 9_999_999_999)
        for number in range(90)
    ]
    again = [one | {"sequence": 1000 + place, "history": True} for place, one in enumerate(rows[:20])]
    datasets.write(tmp_path / "dataset", "trades", [*rows, *again])
    return tmp_path / "dataset"


def test_its_query_agrees(dataset):
    (query,) = re.findall(r"<!-- run: duckdb -->\n```sql\n(.*?)```", PAGE, re.DOTALL)
    rows = duckdb.sql(query.replace("'dataset/", f"'{dataset}/")).fetchall()
    ours = [one for one in ap.candles(dataset) if one.count]
    assert len(ours) > 3
    assert [row[:2] for row in rows] == [(one.symbol, one.begin_ns) for one in ours]
    assert [[f"{price:.2f}" for price in row[2:6]] for row in rows] == [[one.open, one.high, one.low, one.close] for one in ours]
    assert [row[6:] for row in rows] == [(one.volume_lots, one.notional_units, one.count) for one in ours]


def test_its_numbers_are_those_of_the_code():
    assert f"Widths are {', '.join(list(WIDTHS)[:-1])} and {list(WIDTHS)[-1]}" in PAGE
    assert f"{MOST_IDS:,} trades" in PAGE
    assert f"{MOST_EMPTY:,} of them" in PAGE
