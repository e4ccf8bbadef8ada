"""What leaves as a wheel or an sdist, and that the core is compiled wholly or not at all.

The builds run on a copy of the tree with one or two compiled modules (the rules do not depend on how many, the time does), by the
build backend as pip calls it. Cython translates for the build whose wheel is used; where the C compiler is to fail, a stand-in does.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("alphapulse_cli.shm.histogram", "alphapulse_cli.book.hashes")  # the smallest
COPIED = ("alphapulse_cli", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md")
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")

pytest.importorskip("setuptools")
pytest.importorskip("Cython")


def copy_tree(target):
    """The sources, without anything built, with only MODULES to compile."""
    target.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("*.so", "*.c", "__pycache__"))
        else:
            shutil.copy2(ROOT / name, target / name)
    facts = target / "alphapulse_cli" / "build.py"
    listed = "".join(f'    "{module}",\n' for module in MODULES)
    facts.write_text(
        re.sub(r"COMPILED_MODULES = \(\n.*?\)", f"COMPILED_MODULES = (\n{listed})", facts.read_text(), flags=re.DOTALL)
    )
    return target


def compiler_script(path, refuses=""):
    """The machine's C compiler, in a hurry (-O0); it fails for what matches `refuses`."""
    real = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    case = f'case "$*" in {refuses}) exit 1;; esac\n' if refuses else ""
    path.write_text(f'#!/bin/sh\n{case}exec {real} "$@" -O0 -g0\n')
    path.chmod(0o755)
    return str(path)


@pytest.fixture(scope="module")
def compiler(tmp_path_factory):
    """A working C compiler and Python's headers; where there are none only the interpreted ways can be tested."""
    if shutil.which((os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]) is None:
        pytest.skip("no C compiler here")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        pytest.skip("no Python.h here")
    return compiler_script(tmp_path_factory.mktemp("compiler") / "cc")


CYTHON = """
from pathlib import Path

def cythonize(extensions, build_dir, **_):
    for extension in extensions:
        source = Path(build_dir, extension.name + ".c")
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text("int translated;\\n")
        extension.sources = [str(source)]
    return extensions
"""


@pytest.fixture(scope="module")
def quick_cython(tmp_path_factory):
    """The environment in which Cython is a stand-in that translates everything to an empty C file: in no time, and the compiler has a file."""
    folder = tmp_path_factory.mktemp("cython")
    (folder / "Cython").mkdir()
    (folder / "Cython" / "__init__.py").write_text("")
    (folder / "Cython" / "Build.py").write_text(CYTHON)
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return copy_tree(tmp_path_factory.mktemp("package") / "tree")


def backend(tree, call, mode, **env):
    """Run one call of the build backend in the tree; the completed process, and the name of what was built."""
    out = tree.parent / f"out-{mode}-{len(list(tree.parent.iterdir()))}"
    out.mkdir()
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"from setuptools import build_meta; print('built:', build_meta.{call}({str(out)!r}))"],
        cwd=tree,
        env={**os.environ, "ALPHAPULSE_BUILD": mode, **env},
        capture_output=True,
        text=True,
        timeout=110,
    )
    name = re.search(r"^built: (\S+)$", done.stdout, re.MULTILINE)
    return done, out / name.group(1) if name else None


def built(tree, call, mode, **env):
    done, path = backend(tree, call, mode, **env)
    assert done.returncode == 0, done.stderr[-2000:]
    return path


def contents(wheel):
    with zipfile.ZipFile(wheel) as opened:
        return {name for name in opened.namelist() if name.startswith("alphapulse_cli/")}


def extensions_of(wheel):
    return sorted(name.removesuffix(SUFFIX).replace("/", ".") for name in contents(wheel) if name.endswith((".so", ".pyd")))


@pytest.fixture(scope="module")
def interpreted(tree):
    return built(tree, "build_wheel", "none")


@pytest.fixture(scope="module")
def compiled(tree, compiler):
    return built(tree, "build_wheel", "require", CC=compiler)


def kept(folder, suffixes):
    return {
        path.relative_to(folder.parent).as_posix()
        for path in folder.rglob("*")
        if path.suffix in suffixes or path.name == "py.typed"
    }


class TestWhatAWheelHolds:
    def test_every_source_every_pxd_and_the_marker_of_types_and_no_c(self, tree, interpreted):
        expected = kept(tree / "alphapulse_cli", {".py", ".pxd", ".tcss"})
        assert contents(interpreted) == expected
        assert "alphapulse_cli/py.typed" in expected
        assert "alphapulse_cli/native.pxd" in expected

    def test_the_compiled_one_holds_the_extensions_besides(self, compiled, interpreted):
        assert extensions_of(compiled) == sorted(MODULES)
        assert {name for name in contents(compiled) if not name.endswith(SUFFIX)} == contents(interpreted)

    def test_what_an_earlier_build_left_behind_is_not_packed(self, tree, interpreted):
        for stale in (tree / "build" / "lib").parent.glob("lib*"):
            (stale / "alphapulse_cli" / "gone.py").write_text("")
        assert contents(built(tree, "build_wheel", "none")) == contents(interpreted)


class TestAllOrNone:
    def test_auto_without_a_compiler_is_interpreted_and_leaves_no_extension(self, tree, interpreted, quick_cython):
        done, wheel = backend(tree, "build_wheel", "auto", CC="/bin/false", **quick_cython)
        assert done.returncode == 0, done.stderr
        assert contents(wheel) == contents(interpreted)
        assert re.search("running interpreted .*/bin/false", done.stderr), done.stderr

    def test_auto_where_one_module_fails_drops_the_others(self, tree, compiler, interpreted, quick_cython, tmp_path):
        """The trap: one failed module among compiled ones leaves an unimportable package."""
        fickle = compiler_script(tmp_path / "fickle-cc", refuses="*-c*hashes.c*")
        done, wheel = backend(tree, "build_wheel", "auto", CC=fickle, **quick_cython)
        assert done.returncode == 0, done.stderr
        assert contents(wheel) == contents(interpreted)
        assert re.search(f"running interpreted .*{re.escape(fickle)}", done.stderr), done.stderr

    def test_require_without_a_compiler_fails(self, tree, quick_cython):
        done, wheel = backend(tree, "build_wheel", "require", CC="/bin/false", **quick_cython)
        assert (done.returncode != 0, wheel) == (True, None)
        assert "/bin/false" in done.stderr, "the compiler, and not the translation"

    def test_another_mode_is_refused_by_name(self, tree):
        done, _ = backend(tree, "build_wheel", "maybe")
        assert done.returncode != 0
        assert "ALPHAPULSE_BUILD='maybe': must be require, auto or none" in done.stderr

    def test_a_failed_build_in_place_removes_what_an_older_one_left(self, quick_cython, tmp_path):
        """An .so of yesterday beside today's sources would be a mixture, and a lie."""
        tree = copy_tree(tmp_path / "tree")
        stale = tree / "alphapulse_cli" / "shm" / f"histogram{SUFFIX}"
        stale.write_bytes(b"")
        done = subprocess.run(
            [sys.executable, "-P", "setup.py", "-q", "build_ext", "--inplace"],
            cwd=tree,
            env={**os.environ, "ALPHAPULSE_BUILD": "auto", "CC": "/bin/false", **quick_cython},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert not stale.exists()


class TestTheSdist:
    def test_it_builds_again_from_itself(self, tree, interpreted, tmp_path):
        archive = built(tree, "build_sdist", "auto", CC="/bin/false")
        with tarfile.open(archive) as opened:
            names = opened.getnames()
            opened.extractall(tmp_path, filter="data")
        assert not [
            name
            for name in names
            if name.endswith(".so") or "/build/" in name or ("/alphapulse_cli/" in name and name.endswith(".c"))
        ]
        (unpacked,) = tmp_path.glob("alphapulse-*")
        assert contents(built(unpacked, "build_wheel", "none")) == contents(interpreted)

    def test_asking_for_metadata_compiles_nothing(self, tree):
        """Pip asks for it first; it must not cost a translation, nor need Cython."""
        metadata = built(tree, "prepare_metadata_for_build_wheel", "require", CC="/bin/false")
        assert (metadata / "METADATA").exists()


def installed_elsewhere(wheel, folder):
    """A new environment with the wheel alone in it; what it depends on is borrowed from the one that runs the tests."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    site = Path(
        subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True
        ).stdout.strip()
    )
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(site)
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return python


def asked(python, folder, *line):
    """What the environment's Python answers, in an empty folder and with nothing of ours in its environment."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    return subprocess.run([python, "-P", *line], capture_output=True, text=True, env=env, cwd=folder, timeout=60)


CORE_MODE = "import alphapulse_cli, alphapulse_cli.build as b; print(b.core_mode(), alphapulse_cli.__file__)"


class TestItRunsInAnEmptyEnvironment:
    @pytest.mark.parametrize("kind", ["interpreted", "compiled"])
    def test_outside_the_tree(self, kind, request, tmp_path):
        """The version, the mode and where it runs from, asked in an environment that never saw the tree."""
        python = installed_elsewhere(request.getfixturevalue(kind), tmp_path / "venv")
        mode, file = asked(python, tmp_path, "-c", CORE_MODE).stdout.split()
        assert mode == kind
        assert Path(file).is_relative_to(tmp_path / "venv")
        done = asked(python, tmp_path, "-m", "alphapulse_cli", "version")
        assert (done.returncode, done.stderr) == (0, "")
        assert f'"core":"{kind}"' in done.stdout

    def test_an_edited_source_beside_its_extension_is_an_error(self, compiled, tmp_path):
        """After an edit a stale .so still answers: the hash says so."""
        python = installed_elsewhere(compiled, tmp_path / "venv")
        (source,) = (tmp_path / "venv" / "lib").rglob("alphapulse_cli/shm/histogram.py")
        source.write_text(source.read_text() + "\n# edited\n")
        assert "compiled from other sources" in asked(python, tmp_path, "-c", CORE_MODE).stderr

    def test_a_removed_extension_is_a_mixture_and_an_error(self, compiled, tmp_path):
        python = installed_elsewhere(compiled, tmp_path / "venv")
        (extension,) = (tmp_path / "venv" / "lib").rglob(f"histogram{SUFFIX}")
        extension.unlink()
        assert "compiled in part only" in asked(python, tmp_path, "-c", CORE_MODE).stderr
