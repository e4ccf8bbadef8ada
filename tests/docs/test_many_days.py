"""The batch program of the page over 30 captures: each file's result is what one process gets of it, and a damaged file is one result."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import datasets
from support.traded import write_traded

import alphapulse_cli as ap
from alphapulse_cli.apps.bench.frames import STARTED_NS

HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to"
FILES, DAY_NS = 30, 86_400 * 10**9
SPEC = importlib.util.spec_from_file_location("many_days", HOW_TO / "many_days.py")
assert SPEC is not None
many_days = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(many_days)


@pytest.fixture(scope="module")
def captures(tmp_path_factory):
    """A capture of each of 30 days, of which the eighth is no capture, and the expected trades by name."""
    folder = tmp_path_factory.mktemp("captures")
    told = {}
    for day in range(FILES):
        before = set(folder.iterdir())
        trades = write_traded(folder, updates=20, seed=day, start_ns=STARTED_NS + day * DAY_NS)
        (made,) = [path for path in set(folder.iterdir()) - before if path.name.endswith(".cap.zst")]
        told[made.name] = trades
        if day == 7:
            made.write_bytes(b"nothing")
    return sorted(folder.glob("*.cap.zst")), told


def run(alphapulse, *words):
    done = subprocess.run(
        [sys.executable, "-P", HOW_TO / "many_days.py", *words], env=alphapulse.environment(), capture_output=True, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_pool_gives_one_result_a_file_in_order(alphapulse, captures):
    paths, told = captures
    results = run(alphapulse, "candles", *map(str, reversed(paths)), "--jobs", "2")
    assert [one["file"] for one in results] == [path.name for path in paths]
    assert len(results) == FILES
    for day, one in enumerate(results):
        if day == 7:
            assert one["error"].startswith("UsageError: ")
            continue
        expected = {each.trade_id for each in told[one["file"]] if each.exchange_ns >= STARTED_NS + day * DAY_NS}
        assert sum(row["count"] for row in one["result"]) == len(expected)


def test_a_certificate_is_a_few_plain_fields(captures):
    paths, _ = captures
    good, damaged = (many_days.attempted(many_days.proved, path) for path in (paths[0], paths[7]))
    assert good == {"file": paths[0].name, "result": {"holds": True, "gaps": []}}
    assert "error" in damaged
    with pytest.raises(ZeroDivisionError):
        many_days.attempted(lambda _: 1 // 0, paths[0])


def test_sums_are_exact_beyond_64_bits(tmp_path):
    rows = [datasets.trade(number, 2**62, 2**62) for number in range(3)]
    (path,) = datasets.write(tmp_path, "trades", rows)
    assert many_days.traded(path) == {"BTC-USD 1e-10": str(3 * 2**124)}


def test_its_functions_of_a_day(tmp_path, monkeypatch):
    page = (HOW_TO / "many-days.md").read_text()
    names: dict[str, Any] = {"ap": ap}
    for block in re.findall(r"^```python\n(def .*?)^```$", page, re.MULTILINE | re.DOTALL):
        exec(block, names)
    (tmp_path / "captures").mkdir()
    told = [write_traded(tmp_path / "captures", updates=20, seed=day, start_ns=STARTED_NS + day * DAY_NS) for day in range(2)]
    datasets.write(tmp_path / "dataset", "trades", [datasets.trade(number, 1, 1) for number in (0, 43_199, 43_200)])
    monkeypatch.chdir(tmp_path)
    counted: set[int] = set()  # history that was not counted the day before happened while nothing was captured, and counts
    for day, trades in enumerate(told):
        new = [each for each in trades if not each.is_history or (each.trade_id not in counted and each.exchange_ns >= STARTED_NS)]
        counted |= {each.trade_id for each in new}
        rows = names["candles_of"](f"2026-09-{21 + day}", f"2026-09-{22 + day}")
        assert sum(row["count"] for row in rows) == len(new) > 20
    assert names["trades_of"]("2026-11-27", "2026-11-28") == [("BTC-USD", 2)]
    assert names["trades_of"]("2026-11-28", "2026-11-29") == [("BTC-USD", 1)]


def test_the_page_names_what_the_program_has():
    page = (HOW_TO / "many-days.md").read_text()
    assert set(re.findall(r"many_days\.py (\w+)", page)) == set(many_days.FUNCTIONS)
    assert set(re.findall(r"--by (\w+)", page)) <= set(many_days.MAPS)
