"""scripts/stress.py, each campaign alone and small: nothing fails, everything that is broken on purpose is caught."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "stress.py"


def stress(*arguments):
    return subprocess.run([sys.executable, "-P", SCRIPT, *arguments], capture_output=True, text=True, timeout=100)


@pytest.mark.parametrize(("campaign", "count"), [("torn", 100_000), ("death", 50), ("hostile", 3000), ("numbers", 50_000)])
def test_nothing_fails_and_it_says_what_it_did(campaign, count):
    """Seed and count first, the outcome with its figures last; no directory is left."""
    shared = Path("/dev/shm")
    before = set(shared.glob("alphapulse-stress-*"))
    done = stress(campaign, "--seed", "5", "--count", str(count))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{campaign}: seed 5, count {count:,}\n" in done.stdout
    assert re.search(rf"^{campaign}: passed in \d+ s: [\d,]+ ", done.stdout, re.MULTILINE)
    assert set(shared.glob("alphapulse-stress-*")) <= before


def test_a_defect_is_found_and_its_exit_code_is_one(tmp_path):
    """A parser that is wrong about one number in a hundred, put in the product's place."""
    site = tmp_path / "sitecustomize.py"
    site.write_text(
        "from alphapulse_cli.market import ticks\n"
        "right = ticks.to_ticks\n"
        "ticks.to_ticks = lambda text, decimals: right(text, decimals) + (text[-1:] == '7' and len(text) == 5)\n"
    )
    path = os.pathsep.join([os.fspath(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-P", SCRIPT, "numbers", "--seed", "5", "--count", "20000"],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "numbers: FAILED" in done.stdout


def test_an_unknown_campaign_is_named():
    done = stress("life")
    assert done.returncode == 2
    assert "no campaign life" in done.stderr
