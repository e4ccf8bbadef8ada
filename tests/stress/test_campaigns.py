"""scripts/stress.py, each campaign alone and small: nothing fails, everything that is broken on purpose is caught."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from stress import torn
from support.campaigns import size

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "stress.py"


def left_by(pid):
    places = {Path("/dev/shm"), Path(tempfile.gettempdir())}
    return [left for place in places for left in place.glob(f"alphapulse-stress-{pid}-*")]


def stress(*arguments, **env):
    """How it ended; and its directories, named by its pid, are gone."""
    command = [sys.executable, "-P", str(SCRIPT), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **env}) as process:
        try:
            out, err = process.communicate(timeout=300)
        finally:
            process.kill()
    assert not left_by(process.pid)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


BOUNDED = {"torn": 1000, "death": 10, "stores": 10, "hostile": 500, "numbers": 5_000, "roads": 300, "fuzz": 3000}
WHOLE = {"torn": 10_000, "death": 50, "stores": 40, "hostile": 3000, "numbers": 30_000, "roads": 2000, "fuzz": 20_000}


@pytest.mark.campaign
@pytest.mark.parametrize(("campaign", "count"), size(BOUNDED, WHOLE).items())
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


def test_it_runs_as_its_documentation_says(tmp_path):
    """`python scripts/stress.py`, from any folder, without -P: this file's folder, where `stress` is itself, is then first in the path."""
    command = [sys.executable, str(SCRIPT), "fuzz", "--seed", "5", "--count", "2000", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fuzz: passed" in done.stdout


def test_a_python_without_alphapulse_is_told_what_to_do(tmp_path):
    """No traceback; where the venv is there, it runs in its place."""
    bare = [sys.executable, "-S", "-E", str(SCRIPT), "fuzz", "--seed", "5", "--count", "2000", "--quiet"]
    known = {**os.environ, "ALPHAPULSE_VENV": str(tmp_path / "none")}
    done = subprocess.run(bare, capture_output=True, text=True, env=known, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r"error: \S+ has no alphapulse_cli\nhint: scripts/test tests/stress makes .venv, which has it\n", done.stderr
    )
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    done = subprocess.run(
        bare, capture_output=True, text=True, env=known | {"ALPHAPULSE_VENV": str(tmp_path)}, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fuzz: passed" in done.stdout
    assert f"{python} runs it" in done.stderr


class TestMutantsAreMet:
    """`torn`: when two processes meet is chance, so a mutant runs until it was caught."""

    def test_the_round_that_catches_it_is_waited_for(self):
        rounds = iter([0, 0, 0, 7])
        places = []

        def place(name):
            places.append(name)
            return name

        assert torn.until_caught(place, "ring x", lambda path: next(rounds)) == 7
        assert places == ["ring x 0", "ring x 1", "ring x 2", "ring x 3"]

    def test_one_that_is_never_caught_is_a_failure(self, monkeypatch):
        monkeypatch.setattr(torn, "until_caught", lambda *_: 0)
        monkeypatch.setattr(torn, "image_cell", lambda *_: (1, 0, 0, 1))
        monkeypatch.setattr(torn, "ring_cell", lambda *_: (10, 0, 0, 10))
        _, failed = torn.campaign(lambda name: name, 1, 5, lambda _: None)
        assert "mutant not caught: ring: two writers" in failed


def test_an_unknown_campaign_is_named():
    done = stress("life")
    assert done.returncode == 2
    assert "no campaign life" in done.stderr


def test_ended_by_a_signal_it_leaves_nothing():
    command = [sys.executable, "-P", str(SCRIPT), "torn", "--count", "10000000"]  # the most with short cells
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            while "image:" not in process.stdout.readline():
                pass
            process.terminate()
            assert process.wait(30) == 128 + signal.SIGTERM
        finally:
            process.kill()
    assert not left_by(process.pid)
