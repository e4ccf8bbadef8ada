"""The notebook of six feeds: its cells run on captures of all of them, and what it shows was made by these cells, somewhere without a name."""

import ast
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from support.captures import tape_rows, write_rows

from alphapulse_cli.apps.bench.frames import FEEDS

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "compare-feeds.ipynb"
SETS = ("binance-us", "bitfinex", "bybit", "coinbase", "kraken", "okx")


@pytest.fixture(scope="module")
def cells():
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


@pytest.fixture(scope="module")
def shown(cells, tmp_path_factory):
    """What the last line of each code cell gives over captures of all feeds, in order."""
    folder = tmp_path_factory.mktemp("captures")
    for feed in FEEDS:
        head, rows, _ = tape_rows(feed, 300)
        if feed.case == "okx":
            del rows[len(rows) // 2]  # a frame that never came
        if feed.case in SETS:
            write_rows(folder, replace(head, set_name=feed.case), rows)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CAPTURES", str(folder))
        names: dict[str, object] = {}
        return [result(cell, names) for cell in cells if cell["cell_type"] == "code"]


def result(cell, names):
    """Run a cell; the value of its last line where that is an expression."""
    tree = ast.parse("".join(cell["source"]))
    *before, last = tree.body
    if not isinstance(last, ast.Expr):
        before.append(last)
    exec(compile(ast.Module(before, []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if isinstance(last, ast.Expr) else None


def test_each_feed_has_its_row_in_each_table(shown):
    tables = [table for table in shown if isinstance(table, pd.DataFrame | pd.Series)]
    assert len(tables) == 8
    proved, blind, gaps, _, valid, delays, spreads, lead = tables
    assert sorted(proved.index.get_level_values("set")) == list(SETS)
    verdicts = dict(zip(proved.index.get_level_values("set"), proved["verdict"], strict=True))
    assert verdicts == {**dict.fromkeys(SETS, "verified"), "okx": "broken"}  # no snapshot followed the lost frame
    assert set(blind.index) < set(SETS)
    assert list(gaps["set"]) == ["okx"]
    assert (valid <= 100).all(axis=None)
    for table in (delays, spreads, lead):
        assert sorted(table.index) == list(SETS)


def test_what_it_shows_was_made_by_its_cells_in_order_and_names_no_machine(cells):
    ran = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in ran] == list(range(1, len(ran) + 1))
    assert all(output["output_type"] != "error" for cell in ran for output in cell["outputs"])
    assert sum(bool(cell["outputs"]) for cell in ran) >= 9
    outputs = json.dumps([cell["outputs"] for cell in ran])
    assert "/tmp" not in outputs
    assert "/home" not in outputs
