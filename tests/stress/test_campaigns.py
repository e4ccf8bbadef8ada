"""scripts/stress.py, each campaign alone and small: nothing fails, everything that is broken on purpose is caught."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "stress.py"


def left_by(pid):
    places = {Path("/dev/shm"), Path(tempfile.gettempdir())}
    return [left for place in places for left in place.glob(f"alphapulse-stress-{pid}-*")]


def stress(*arguments, **env):
    """How it ended; and its directories, named by its pid, are gone."""
    command = [sys.executable, "-P", SCRIPT, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **env}) as process:
        try:
            out, err = process.communicate(timeout=100)
        finally:
            process.kill()
    assert not left_by(process.pid)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@pytest.mark.parametrize(
    ("campaign", "count"),
    [("torn", 100_000), ("death", 50), ("stores", 40), ("hostile", 3000), ("numbers", 30_000), ("fuzz", 20_000)],
)
def test_nothing_fails_and_it_says_what_it_did(campaign, count):
    """Seed and count first, the outcome with its figures last."""
    done = stress(campaign, "--seed", "5", "--count", str(count))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{campaign}: seed 5, count {count:,}\n" in done.stdout
    assert re.search(rf"^{campaign}: passed in \d+ s: [\d,]+ ", done.stdout, re.MULTILINE)


def test_a_defect_is_found_and_its_exit_code_is_one(tmp_path):
    """A parser that is wrong about one number in a hundred, put in the product's place."""
    site = tmp_path / "sitecustomize.py"
    site.write_text(
        "from alphapulse_cli.market import ticks\n"
        "right = ticks.to_ticks\n"
        "ticks.to_ticks = lambda text, decimals: right(text, decimals) + (text[-1:] == '7' and len(text) == 5)\n"
    )
    path = os.pathsep.join([os.fspath(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = stress("numbers", "--seed", "5", "--count", "20000", PYTHONPATH=path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "numbers: FAILED" in done.stdout


def test_an_unknown_campaign_is_named():
    done = stress("life")
    assert done.returncode == 2
    assert "no campaign life" in done.stderr


def test_ended_by_a_signal_it_leaves_nothing():
    command = [sys.executable, "-P", SCRIPT, "torn", "--count", "1000000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            while "image:" not in process.stdout.readline():
                pass
            process.terminate()
            assert process.wait(30) == 128 + signal.SIGTERM
        finally:
            process.kill()
    assert not left_by(process.pid)
