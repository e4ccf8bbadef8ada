"""Captures of real collectors, one of them killed: each book that a follower noted is the capture's, and replays agree (scripts/past.py)."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.campaigns import size

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "past.py"
FAULTS = "gap:0.002,reorder:0.002,duplicate:0.002,offgrid:0.002,disconnect:0.0005"


@pytest.mark.campaign
@pytest.mark.timeout(size(300, 600))
def test_the_past_is_what_the_present_was(tmp_path):
    seconds, instants = size(("5", "40"), ("60", "600"))
    words = ["--seconds", seconds, "--instants", instants, "--kills", "1", "--mischief", FAULTS]
    done = subprocess.run([sys.executable, "-P", str(SCRIPT), *words], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 differ" in done.stdout
    assert "equal" in done.stdout
