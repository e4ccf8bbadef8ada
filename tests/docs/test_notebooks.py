"""The notebooks: their cells run on captures of simulated feeds, and what each shows was made by its own cells, somewhere without a name."""

import ast
import importlib.util
import inspect
import json
import re
import xml.etree.ElementTree as ET
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from support.captures import tape_rows, write_rows
from support.planted_captures import write_planted

from alphapulse_cli.apps.bench.frames import FEEDS

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
SETS = ("binance-us", "bitfinex", "bybit", "coinbase", "kraken", "okx")
each = pytest.mark.parametrize("name", NAMES)


def code_of(name):
    return [
        cell for cell in json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"
    ]


@contextmanager
def at_captures(folder):
    """As a notebook's kernel finds it: in the folder of the notebooks, which Python imports from."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CAPTURES", str(folder))
        patched.chdir(FOLDER)
        patched.syspath_prepend(str(FOLDER))
        yield


def run(name, folder):
    """What the last line of each code cell gives, in order, and the names that they leave."""
    with at_captures(folder):
        names: dict[str, object] = {}
        return [result(cell, names) for cell in code_of(name)], names


def result(cell, names):
    """Run a cell; the value of its last line where that is an expression."""
    tree = ast.parse("".join(cell["source"]))
    *before, last = tree.body
    if not isinstance(last, ast.Expr):
        before.append(last)
    exec(compile(ast.Module(before, []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if isinstance(last, ast.Expr) else None


def plots_of(shown):
    """Plots among what cells gave, each as its parsed SVG."""
    return [ET.fromstring(one._repr_svg_()) for one in shown if hasattr(one, "_repr_svg_")]


def lines_of(plot):
    return [line.get("points").split() for line in plot.iter("{http://www.w3.org/2000/svg}polyline")]


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    write_planted(folder)
    return folder


def test_those_of_the_issue_are_there():
    assert NAMES == [
        "backtest-of-the-example-strategy",
        "compare-feeds",
        "live-book-reconstruction",
        "microprice-and-imbalance",
        "survival-of-opportunities",
    ]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("captures")
    for feed in FEEDS:
        head, rows, _ = tape_rows(feed, 300)
        if feed.case == "okx":
            del rows[len(rows) // 2]  # a frame that never came
        if feed.case in SETS:
            write_rows(folder, replace(head, set_name=feed.case), rows)
    return run("compare-feeds", folder)[0]


class TestCompareFeeds:
    def test_each_feed_has_its_row_in_each_table(self, compared):
        tables = [table for table in compared if isinstance(table, pd.DataFrame | pd.Series)]
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


class TestLiveBookReconstruction:
    def test_every_replica_equals_the_book_of_its_instant(self, planted, capsys):
        shown, names = run("live-book-reconstruction", planted)
        assert len(names["equal"]) > 2
        assert all(names["equal"])
        assert "all equal: True" in capsys.readouterr().out
        mids, depth = plots_of(shown)
        assert [len(line) > 100 for line in lines_of(mids)] == [True, True]
        assert [len(line) > 10 for line in lines_of(depth)] == [True, True]
        states = next(one for one in shown if isinstance(one, pd.DataFrame))
        assert ("kraken:BTC-USD", "LIVE", "NONE") in states.index


class TestMicropriceAndImbalance:
    def test_the_next_move_is_that_to_the_next_other_mid(self, planted):
        shown, names = run("microprice-and-imbalance", planted)
        known = names["known"]
        for _, one in names["quotes"].groupby("set"):
            mids = one.mid2.tolist()
            expected = [next((later for later in mids[place:] if later != mid), None) for place, mid in enumerate(mids)]
            assert [None if pd.isna(mid) else int(mid) for mid in one.next2] == expected
        assert (known.move != 0).all()
        (plot,) = plots_of(shown)
        assert len(lines_of(plot)) == 2
        assert sum(names["table"].quotes) == len(known) > 100


@pytest.fixture(scope="module")
def survived(planted):
    return run("survival-of-opportunities", planted)


class TestSurvivalOfOpportunities:
    def test_its_curve_is_the_share_that_lived_longer(self, survived):
        shown, names = survived
        lives = names["seen"]
        assert len(lives) > 10
        assert lives.is_over.all()
        for ms in (1, 100, 220, 10_000):  # without any that outlived the capture it is the plain share
            assert names["share_after"](lives, ms) == pytest.approx((lives.ms > ms).mean())
        (plot,) = plots_of(shown)
        assert len(lines_of(plot)) == lives.way.nunique()

    def test_one_that_outlives_the_capture_counts_until_then(self, survived):
        _, names = survived
        rows = pd.DataFrame({"ms": [10.0, 20.0, 30.0, 40.0], "is_over": [True, False, True, True]})
        times, shares = names["survival"](rows)
        assert times == [0.0, 10.0, 30.0, 40.0]
        assert shares == pytest.approx([1.0, 0.75, 0.375, 0.0])


@pytest.fixture(scope="module")
def ran(planted):
    return run("backtest-of-the-example-strategy", planted)


class TestBacktest:
    def test_it_is_the_strategy_that_runs_live(self, ran):
        paper = ran[1]["Paper"]
        assert Path(inspect.getsourcefile(paper) or "").resolve() == FOLDER.parent / "how-to" / "arbitrage_strategy.py"
        assert issubclass(ran[1]["Kept"], paper)
        assert not {"take", "settle", "trade"} & set(vars(ran[1]["Kept"]))

    def test_latency_costs_trades(self, ran):
        shown, names = ran
        table = names["by_latency"]
        opened = len({event.opportunity.id for event in names["events"]})
        assert opened > 10
        assert (table[["traded", "lost", "no inventory"]].sum(axis=1) == opened).all()
        assert table.traded[0] == opened
        assert table.traded[2000] == 0
        assert list(table.traded) == sorted(table.traded, reverse=True)
        net, outcomes = plots_of(shown)
        assert len(lines_of(net)[0]) > 10
        assert len(lines_of(outcomes)) == 3

    def test_the_sum_is_exact(self, ran):
        names = ran[1]
        traded = [event for event in names["events"] if event.kind == "opened"]
        assert names["total"] == sum(event.finding.net.fraction for event in traded)


@each
class TestAsItStands:
    def test_what_it_shows_was_made_by_its_cells_in_order_and_names_no_machine(self, name):
        ran = code_of(name)
        assert [cell["execution_count"] for cell in ran] == list(range(1, len(ran) + 1))
        assert all(output["output_type"] != "error" for cell in ran for output in cell["outputs"])
        assert sum(bool(cell["outputs"]) for cell in ran) >= len(ran) - 1
        outputs = json.dumps([cell["outputs"] for cell in ran])
        assert "/tmp" not in outputs
        assert "/home" not in outputs

    def test_its_plots_are_there(self, name):
        shown = [output["data"] for cell in code_of(name) for output in cell["outputs"] if "data" in output]
        made = [ET.fromstring("".join(data["image/svg+xml"])) for data in shown if "image/svg+xml" in data]
        assert len(made) == sum("Plot(" in "".join(cell["source"]) for cell in code_of(name))
        assert all(lines_of(plot) for plot in made)

    def test_the_list_of_docs_has_it(self, name):
        assert f"(notebooks/{name}.ipynb)" in (FOLDER.parent / "README.md").read_text()


@pytest.fixture(scope="module")
def plots():
    spec = importlib.util.spec_from_file_location("plots", FOLDER / "plots.py")
    assert spec is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


class TestPlots:
    def test_a_long_line_keeps_its_first_and_last_point(self, plots):
        plot = plots.Plot("long").line("one", range(10_000), range(10_000))
        (line,) = lines_of(ET.fromstring(plot._repr_svg_()))
        assert len(line) <= plots.MOST_POINTS + 1
        assert (line[0], line[-1]) == ("70.0,254.0", "704.0,34.0")

    def test_a_step_holds_until_the_next(self, plots):
        (line,) = lines_of(ET.fromstring(plots.Plot("steps").line("one", [0, 1], [0, 1], steps=True)._repr_svg_()))
        assert line == ["70.0,254.0", "704.0,254.0", "704.0,34.0"]

    def test_names_are_escaped_and_nothing_is_drawn_of_nothing(self, plots):
        text = plots.Plot("<script>", "&").line("a<b", [], [])._repr_svg_()
        assert "<script>" not in text
        assert ET.fromstring(text) is not None

    @pytest.mark.parametrize(("low", "high"), [(0, 1), (63_000, 63_100), (-1, 1), (1e-9, 3e-9), (0, 2000)])
    def test_ticks_are_few_round_and_within(self, plots, low, high):
        ticks = plots._ticks(low, high)
        assert 3 <= len(ticks) <= 10
        assert all(low - 1e-12 <= tick <= high + 1e-12 for tick in ticks)

    def test_bars_begin_at_nothing(self, plots):
        first, second = lines_of(ET.fromstring(plots.Plot("bars").bars("one", [0, 1], [1, 2])._repr_svg_()))
        assert (first[0], second) == ("70.0,254.0", ["704.0,254.0", "704.0,34.0"])

    def test_a_shade_is_cut_to_the_plot(self, plots):
        (shade,) = re.findall(r'<polygon points="([^"]*)"', plots.Plot("x").line("one", [0, 10], [0, 1]).shade(5, 99)._repr_svg_())
        assert shade == "387.0,254.0 704.0,254.0 704.0,34.0 387.0,34.0"
