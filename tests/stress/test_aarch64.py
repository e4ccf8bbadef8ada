"""On aarch64 the compiled core orders its loads and stores as the model asks: seen in the instructions that gcc makes of it."""

import ast
import re
import shutil
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path

import pytest

from alphapulse_cli.build import COMPILED_MODULES

ROOT = Path(__file__).resolve().parents[2]
GCC, OBJDUMP = "aarch64-linux-gnu-gcc", "aarch64-linux-gnu-objdump"
FLAGS = ("-O2", "-fno-strict-aliasing", "-march=armv8-a", "-mno-outline-atomics", "-c")


def directives():
    """What setup.py tells Cython."""
    found = re.search(r"^DIRECTIVES = (\{.*?\})", (ROOT / "setup.py").read_text(), re.DOTALL | re.MULTILINE)
    return ast.literal_eval(found.group(1))


@pytest.fixture(scope="module")
def listing(tmp_path_factory):
    """{function: its instructions} of a core module, cross-compiled; skipped where Debian's gcc-aarch64-linux-gnu or Cython is not."""
    if not shutil.which(GCC):
        pytest.skip(f"no {GCC} here: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross")
    pytest.importorskip("Cython")
    place = tmp_path_factory.mktemp("aarch64")
    shutil.copytree(ROOT / "alphapulse_cli", place / "alphapulse_cli", ignore=shutil.ignore_patterns("*.so", "__pycache__"))

    @cache
    def compiled(module):
        source = place / "alphapulse_cli" / "shm" / f"{module}.py"
        made = place / f"{module}.c"
        options = [part for name, value in directives().items() for part in ("-X", f"{name}={value}")]
        subprocess.run([sys.executable, "-P", "-m", "cython", *options, "-o", made, source], cwd=place, check=True)
        include = sysconfig.get_path("include")
        done = subprocess.run(
            [GCC, *FLAGS, "-I", include, "-o", place / f"{module}.o", made], cwd=place, capture_output=True, text=True
        )
        if "Python.h" in done.stderr or "pyconfig" in done.stderr:
            pytest.skip(f"Python's headers do not serve another processor here: {done.stderr.splitlines()[0]}")
        assert done.returncode == 0, done.stderr
        text = subprocess.run([OBJDUMP, "-d", place / f"{module}.o"], check=True, capture_output=True, text=True).stdout
        return dict(re.findall(r"^[0-9a-f]+ <(\w+)>:\n(.*?)(?=\n\n|\Z)", text, re.DOTALL | re.MULTILINE))

    return compiled


def ordered(listings, part):
    """The ordering instructions of the functions with that in their name, in the order of the object."""
    bodies = [body for name, body in listings.items() if re.search(part, name)]
    assert bodies, f"{part} is not among {sorted(listings)}"
    return re.findall(r"\t(ldar|stlr|dmb\s+\w+)\b", "\n".join(bodies))


def test_the_ring_publishes_with_barrier_and_store_release(listing):
    found = ordered(listing("ring"), r"RingWriter_publish|publish")
    assert "dmb\tish" in found
    assert "stlr" in found
    assert found.index("dmb\tish") < found.index("stlr")


def test_the_ring_reads_with_load_acquire_and_barrier(listing):
    found = ordered(listing("ring"), r"RingReader_(poll|published)|(poll|published)")
    assert "ldar" in found
    assert "dmb\tishld" in found


def test_the_image_is_under_the_same_orders(listing):
    found = ordered(listing("image"), r"image")
    assert {"dmb\tish", "stlr", "ldar", "dmb\tishld"} <= set(found)


@pytest.mark.parametrize(
    ("method", "instruction"),
    [("load_acquire", "ldar"), ("store_release", "stlr"), ("full_fence", "dmb\tish")],
)
def test_the_words_of_what_is_not_compiled_are_under_the_same_orders(listing, method, instruction):
    """Segments, cursors, counters and wake pages are plain Python everywhere; their shared words are not."""
    assert instruction in ordered(listing("mapping"), rf"Words_{method}$|Words_\d+{method}$")


def test_a_load_or_store_without_order_has_none(listing):
    """Else the test above could not fail."""
    assert not ordered(listing("mapping"), r"Words_(load|store)_relaxed$")


def test_nothing_that_is_interpreted_touches_shared_words_by_itself():
    """It would be a plain load or store of the interpreter's, without order."""
    for source in sorted((ROOT / "alphapulse_cli" / "shm").glob("*.py")):
        if f"alphapulse_cli.shm.{source.stem}" in COMPILED_MODULES or source.stem in ("memory", "sigbus"):
            continue
        text = source.read_text()
        assert not re.findall(r"\bmemory\.(?:load|store|acquire|release|full)_\w+|\bnative\.\w+|_words\[", text), source.name
