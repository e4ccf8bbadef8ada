"""scripts/coverage on a small tree: a folder after the other, what was measured is kept, and the whole is held to the floor.

Real are the script, the environment and coverage; pytest is a stand-in that runs the folder's files.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = """
def halved(number):
    if number % 2:
        return None
    return number // 2


def in_a_child():
    return 7


def never():
    return 8
"""
PYTEST = """#!{python}
import os, pathlib, runpy, sys
for argument in sys.argv[1:]:
    if pathlib.Path(argument).is_dir():
        print("ran", argument, flush=True)
        for path in sorted(pathlib.Path(argument).glob("test_*.py")):
            runpy.run_path(str(path))
"""
ONE = "from alphapulse_cli.sums import halved\nassert halved(4) == 2\n"
TWO = """
import os, subprocess, sys
from alphapulse_cli.sums import halved
assert halved(3) is None
subprocess.run([sys.executable, "-c", "from alphapulse_cli.sums import in_a_child; in_a_child()"], check=True, env={})
assert "FAIL" not in os.environ
"""
# Lines that a branch measure knows: 3 `def`, 4 of halved, 1 each of the others; 2 branches.
LINES_AND_BRANCHES = 3 + 3 + 1 + 1 + 2


@pytest.fixture
def tree(tmp_path):
    """A tree with a package of one module, two folders of tests, and an environment that has coverage and nothing to install."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        (tmp_path / name).write_text("")
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    for name, text in {"one/test_one.py": ONE, "two/test_two.py": TWO, "support/parts.py": "", "recordings/x.txt": ""}.items():
        (tmp_path / "tests" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tests" / name).write_text(text)
    place = tmp_path / ".venv-coverage"
    (place / "bin").mkdir(parents=True)
    (place / "pyvenv.cfg").write_text(f"home = {Path(sys.base_prefix, 'bin')}\ninclude-system-site-packages = false\n")
    python = place / "bin" / "python"
    python.symlink_to(Path(sys.executable).resolve())
    purelib = Path(sysconfig.get_path("purelib", vars={"base": str(place)}))
    purelib.mkdir(parents=True)
    (purelib / "a.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for folder in (tmp_path / "alphapulse_cli", purelib / "alphapulse_cli"):
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        (folder / "sums.py").write_text(PACKAGE)
    for name, text in {
        "pytest": PYTEST,
        "coverage": "#!{python}\nfrom coverage.cmdline import main\nraise SystemExit(main())\n",
    }.items():
        (place / "bin" / name).write_text(text.format(python=python))
        (place / "bin" / name).chmod(0o755)
    (place / "alphapulse-installed").write_text(f"{stamp(tmp_path)}\ndev\nfast\npandas\ntls\nrecord\nsql\nserve\n")
    return tmp_path


def run(tree, line, **env):
    own = {"PATH": os.environ["PATH"], "CC": "", **env}
    return subprocess.run(["bash", "-c", line], cwd=tree, env=own, capture_output=True, text=True, timeout=100)


def stamp(tree):
    line = "export ALPHAPULSE_BUILD=none ALPHAPULSE_VENV=.venv-coverage; source scripts/environment; source_stamp"
    return run(tree, line).stdout.strip()


def floor(tree, percent):
    path = tree / "pyproject.toml"
    text = re.sub(r"^fail_under = .*\n", "", path.read_text(), flags=re.MULTILINE)
    path.write_text(text.replace("[tool.coverage.report]\n", f"[tool.coverage.report]\nfail_under = {percent}\n"))
    (tree / ".venv-coverage" / "alphapulse-installed").write_text(f"{stamp(tree)}\ndev\nfast\npandas\ntls\nrecord\nsql\nserve\n")


def percent(done):
    [found] = re.findall(r"^TOTAL.* ([0-9.]+)%$", done.stdout, re.MULTILINE)
    return float(found)


def ran(done):
    return re.findall(r"^ran (\S+)$", done.stdout, re.MULTILINE)


WHOLE = round(100 * (LINES_AND_BRANCHES - 1) / LINES_AND_BRANCHES, 1)  # all but the line of `never`


def test_folder_by_folder_kept_and_held_to_the_floor(tree):
    floor(tree, 85)
    first = run(tree, "scripts/coverage tests/one")
    assert (first.returncode, ran(first)) == (0, ["tests/one"]), first.stdout + first.stderr
    assert "not measured yet, or failed: tests/two" in first.stderr
    assert percent(first) < 85, "a part is held to no floor"

    failed = run(tree, "scripts/coverage", FAIL="1")
    assert (failed.returncode, ran(failed)) == (1, ["tests/two"]), failed.stderr
    assert "tests/one: measured before" in failed.stderr

    whole = run(tree, "scripts/coverage")
    assert (whole.returncode, ran(whole)) == (0, ["tests/two"]), whole.stderr
    assert percent(whole) == WHOLE, "both branches, and what ran in a process without any environment"
    assert (tree / "build" / "coverage" / "html" / "index.html").exists()
    assert not list((tree / ".venv-coverage").rglob("alphapulse-coverage.pth"))

    floor(tree, 95)  # the source's stamp holds pyproject.toml: all is measured anew
    below = run(tree, "scripts/coverage")
    assert (below.returncode, ran(below)) == (2, ["tests/one", "tests/two"]), below.stderr
    assert "total of" in below.stdout + below.stderr


def test_a_part_is_measured_alone_and_nothing_is_kept(tree):
    done = run(tree, "scripts/coverage tests/one -k merge")
    assert (done.returncode, ran(done)) == (0, ["tests/one"]), done.stderr
    assert percent(done) < WHOLE
    assert not (tree / "build" / "coverage" / "one.passed").exists()
