"""Light commands import nothing heavy: `scripts/cold_start.py` finds none, and finds one where there is one."""

import runpy
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "cold_start.py"


def test_no_help_imports_a_heavy_module(alphapulse):
    done = subprocess.run(
        [sys.executable, "-P", str(SCRIPT), "--modules-only"],
        capture_output=True,
        text=True,
        env=alphapulse.environment(),
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_heavy_import_is_detected(monkeypatch):
    """A command that prints a table imports rich, and is told so."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    script = runpy.run_path(str(SCRIPT))
    probe = script["PROBE"].replace("code = main", "import rich.table; code = main")
    script["heavy_modules"].__globals__["PROBE"] = probe
    [(code, heavy)] = script["heavy_modules"]([["--version"]])
    assert (code, "rich" in heavy) == (0, True)


def test_an_import_of_our_events_is_detected():
    """Once the log imported them, for the time of day: a third of every command's start."""
    script = runpy.run_path(str(SCRIPT))
    script["heavy_modules"].__globals__["PROBE"] = script["PROBE"].replace(
        "code = main", "import alphapulse_cli.readers.moments; code = main"
    )
    assert script["heavy_modules"]([["--version"]]) == [(0, ["alphapulse_cli.market.events"])]


def test_importing_the_package_imports_none_of_it():
    line = "import sys, alphapulse_cli; print([name for name in sys.modules if name.startswith('alphapulse_cli.')])"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
