"""The checks of scripts/exports/ can fail: the truth that they read is that of `ap.replay`, and a level that is wrong is told."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from support.exports import capture

import alphapulse_cli as ap

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts" / "exports"


@pytest.fixture
def script(monkeypatch):
    """A module of that folder, which is not on the path."""

    def load(name):
        monkeypatch.syspath_prepend(str(SCRIPTS))
        for one in ("common", "truth", "drive"):
            monkeypatch.delitem(sys.modules, one, raising=False)
        return importlib.import_module(name)

    return load


@pytest.fixture
def truth(script, tmp_path):
    """Truth of a capture, and its path."""
    place = capture(tmp_path / "captures", 30)
    (path,) = script("truth").write_truth(place, tmp_path).values()
    return script("common").Truth(path), place


def books(truth):
    return {ns: [truth.levels(number, side).tolist() for side in ("bids", "asks")] for number, ns in enumerate(truth.ns.tolist())}


def test_the_truth_is_that_of_replay(truth):
    found, place = truth
    last = [
        [list(level) for level in side]
        for update in ap.replay(place)
        if update.is_tradable
        for side in (update.book.bids(), update.book.asks())
    ]
    assert len(found.ns) > 40
    assert list(books(found).values())[-1] == last[-2:]


@pytest.mark.parametrize("what", ["nothing", "a lot more", "a level less", "a level more", "the other side", "no instants"])
def test_what_is_wrong_is_told(truth, script, capsys, what):
    (found, _), common = truth, script("common")
    wanted = books(found)

    def levels_at(ns, number):
        bids, asks = (np.array(side) for side in wanted[ns])
        if number == 7 and what == "a lot more":
            bids[3, 1] += 1
        elif number == 7 and what == "a level less":
            asks = asks[:-1]
        elif number == 7 and what == "a level more":
            asks = np.concatenate([asks, [[asks[-1, 0] + 1, 1]]])
        elif number == 7 and what == "the other side":
            bids, asks = asks, bids
        return bids, asks

    if what == "no instants":
        found.ns = found.ns[:0]
    report = common.Report()
    common.compared(report, "books", found, levels_at)
    row = json.loads(capsys.readouterr().out)
    assert row["ok"] is (what == "nothing")
    assert report.failed == (what != "nothing")


def test_tools_are_read_without_importing_them(script):
    drive = script("drive")
    tools = [drive.tool_of(file) for file in sorted(SCRIPTS.glob("check_*.py"))]
    assert {tool.library: tool.formats for tool in tools} == {
        "hftbacktest": ("hftbacktest", "tardis-csv"),
        "nautilus_trader": ("nautilus", "tardis-csv"),
    }
    assert all(tool.version for tool in tools)


def test_a_tool_that_does_not_end_well_has_failed(script):
    drive = script("drive")
    row = {"checked": "one", "ok": True, "detail": ""}
    fine = [sys.executable, "-c", f"print({json.dumps(json.dumps(row))})"]
    assert drive.checked(fine) == [row]
    assert [one["ok"] for one in drive.checked([sys.executable, "-c", f"print({json.dumps(json.dumps(row))}); exit(3)"])] == [
        True,
        False,
    ]
    assert [one["ok"] for one in drive.checked([sys.executable, "-c", "pass"])] == [False]
