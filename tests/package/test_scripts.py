"""scripts/environment: what is installed is never stale, and what cannot work is said in a line."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tree(tmp_path):
    """A small tree with the scripts and an environment whose Python is this one; nothing is ever installed into it."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        (tmp_path / name).write_text("")
    (tmp_path / "alphapulse_cli").mkdir()
    (tmp_path / "alphapulse_cli" / "errors.py").write_text("")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    return tmp_path


def bash(tree, line, **env):
    own = {"PATH": os.environ["PATH"], **env}
    return subprocess.run(["bash", "-euo", "pipefail", "-c", line], cwd=tree, env=own, capture_output=True, text=True, timeout=60)


def stamp(tree, **env):
    done = bash(tree, "source scripts/environment; source_stamp", **env)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class TestWhatIsInstalledIsThisSource:
    def test_the_stamp_holds_while_nothing_changes(self, tree):
        assert stamp(tree) == stamp(tree)

    @pytest.mark.parametrize("name", ["errors.py", "new.py", "memory.pxd", "screen.tcss", "py.typed", "../pyproject.toml"])
    def test_any_edit_of_what_is_packed_changes_it(self, tree, name):
        before = stamp(tree)
        (tree / "alphapulse_cli" / name).write_text("edited")
        assert stamp(tree) != before

    def test_so_do_a_removed_file_and_another_mode(self, tree):
        before = stamp(tree)
        assert stamp(tree, ALPHAPULSE_BUILD="none") != before
        (tree / "alphapulse_cli" / "errors.py").unlink()
        assert stamp(tree) != before

    def test_what_running_leaves_behind_does_not(self, tree):
        before = stamp(tree)
        (tree / "alphapulse_cli" / "ring.so").write_text("")
        (tree / "alphapulse_cli" / "__pycache__").mkdir()
        assert stamp(tree) == before

    def test_nothing_is_done_when_nothing_is_to_do(self, tree):
        wanted = stamp(tree)
        (tree / ".venv" / "alphapulse-installed").write_text(f"{wanted}\ndev\npandas\n")
        line = "source scripts/environment; usable() { true; }; pip_install() { echo INSTALLED; }; prepare dev pandas"
        assert bash(tree, line).stdout == ""

    def test_the_demos_environment_only_lacks_what_tests_need(self, tree):
        """After scripts/demo, scripts/test compiles nothing again."""
        (tree / "pyproject.toml").write_text(
            '[build-system]\nrequires = ["b"]\n[project.optional-dependencies]\ndev = ["d1", "d2"]\n'
        )
        wanted = stamp(tree)
        (tree / ".venv" / "alphapulse-installed").write_text(f"{wanted}\n")
        line = "source scripts/environment; usable() { true; }; pip_install() { cat; }; prepare dev"
        assert bash(tree, line).stdout == "d1\nd2\n"
        assert (tree / ".venv" / "alphapulse-installed").read_text() == f"{wanted}\ndev\n"


class TestItIsNeverMute:
    """A first installation takes minutes: what is done is said, and that it goes on."""

    def test_it_says_that_it_goes_on_until_it_ends(self, tree):
        """The work ends when its words were seen: no time is waited for, nor is one expected."""
        work = 'in_sight bash -c "while ! grep -q work said; do sleep 0.01; done; cat"'
        line = f"source scripts/environment; (echo read | {work}) 2>said; cat said >&2"
        done = bash(tree, line, ALPHAPULSE_TICK="0.05")
        assert (done.returncode, done.stdout) == (0, "read\n")
        assert re.fullmatch(r"(  at work for \d+ s\n)+", done.stderr)

    def test_its_first_word_waits_for_no_round_number(self, tree):
        """A machine that was busy looks first after 3 s, then after 14: bash counts SECONDS on from what is assigned."""
        work = 'in_sight bash -c "while ! grep -q 14 said; do sleep 0.01; done"'
        sleep = "sleep() { command sleep 0.01; SECONDS=$(($(wc -l <said) ? started + 14 : started + 3)); }"
        line = f"source scripts/environment; {sleep}; {work} 2>said; cat said >&2"
        done = bash(tree, line)
        assert re.fullmatch(r"  at work for 3 s\n(  at work for 14 s\n)+", done.stderr) is not None, done.stderr

    def test_its_failure_is_the_works(self, tree):
        assert bash(tree, "source scripts/environment; in_sight bash -c 'exit 7'", ALPHAPULSE_TICK="0.01").returncode == 7

    def test_each_step_is_named(self, tree):
        done = bash(tree, "source scripts/environment; usable() { true; }; requirements() { :; }; pip_install() { :; }; prepare")
        assert [text.partition(":")[0] for text in done.stderr.splitlines()[1:3]] == ["1 of 2", "2 of 2"]


class TestWhatCannotWork:
    def test_a_python_that_is_not_there(self, tree):
        done = bash(tree, "scripts/test", PYTHON="no-such-python")
        assert done.returncode == 1
        assert "error: no no-such-python here\nhint: PYTHON=" in done.stderr

    def test_a_python_that_is_too_old(self, tree):
        old = tree / "old-python"
        old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.8.1 && exit 0\nexit 1\n')
        old.chmod(0o755)
        done = bash(tree, "source scripts/environment; make_venv", PYTHON=str(old))
        assert done.returncode == 1
        assert "alphapulse needs Python 3.11 or newer" in done.stderr
        assert "Python 3.8.1" in done.stderr

    @pytest.mark.parametrize("name", ["test", "demo", "check", "environment", "lowest", "coverage", "campaigns", "../.ci/run"])
    def test_the_scripts_are_well_formed(self, name):
        assert subprocess.run(["bash", "-n", ROOT / "scripts" / name], capture_output=True).stderr == b""
