"""The tutorial, done: every marked block is run, in the page's order, against one demo; what it prints is what the page shows.

A block to run stands under `<!-- run: … -->`; the block behind it, `text` or `json`, is what the page says that it prints. Blocks run
on a terminal of their own, since tables are for terminals. Numbers differ from run to run: compared are a table's heads, a JSON
object's keys, and the words, none of which may be one that the page does not show ("heads": the rest is about this machine).

`scripts/demo` installs and then is `alphapulse demo`; here it is only the latter, and the segments are in a directory of the test's.
"""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from alphapulse_cli import exchanges
from alphapulse_cli.apps.api import Book
from alphapulse_cli.apps.demo import EXCHANGES, SYMBOLS
from alphapulse_cli.errors import NoSegment
from alphapulse_cli.shm.layout import State
from alphapulse_cli.shm.segment import Liveness
from alphapulse_cli.wire.delta import BookReason, BookState, Kind

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial" / "first-ten-minutes.md"
STEP = re.compile(r"^<!-- run: ([a-z]+) -->\n```(\w+)\n(.*?)^```$(?:\n+```(text|json)\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
LIMIT_S, COLUMNS = 40.0, 160
DEFAULT_DIRECTORY = "/dev/shm/alphapulse-$(id -u)"


class Step(NamedTuple):
    """One marked block: how it is run ("demo": in the background), its language and text, and what the page shows of its output."""

    how: str
    language: str
    text: str
    shown_as: str
    shown: str


STEPS = [Step(*found) for found in STEP.findall(PAGE.read_text())]
WORDS = re.compile(r"[A-Za-z][A-Za-z_-]{2,}")
KNOWN = {word for kinds in (BookState, BookReason, Kind, State, Liveness) for one in kinds for word in (one.name, one.name.lower())}
KNOWN |= {*exchanges.BUILT_IN, *SYMBOLS}


class Terminal:
    """Commands as somebody types them: on a terminal, with `alphapulse` and `python` of this installation first in the path."""

    def __init__(self, directory, command):
        self.directory = directory
        self.shm_dir = Path(tempfile.mkdtemp(prefix="alphapulse-test-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        programs = directory / "bin"
        programs.mkdir()
        for name, words in (("alphapulse", command), ("python", [sys.executable, "-P"])):
            (programs / name).write_text(f'#!/bin/sh\nexec {" ".join(words)} "$@"\n')
            (programs / name).chmod(0o755)
        kept = {name: os.environ[name] for name in ("PYTHONPATH", "TMPDIR") if name in os.environ}
        own = {"HOME": str(directory), "LANG": "C.UTF-8", "TERM": "xterm", "NO_COLOR": "1", "ALPHAPULSE_SHM_DIR": str(self.shm_dir)}
        self.environment = kept | own | {"PATH": f"{programs}:{os.environ['PATH']}"}

    def start(self, text, language="sh", stdout=None):
        """Begin it, in a session of its own."""
        text = text.replace("scripts/demo", "alphapulse demo").replace(DEFAULT_DIRECTORY, str(self.shm_dir))
        words = ["python", "-c", text] if language == "python" else ["bash", "-c", f"set -o pipefail\n{text}"]
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stdout,
            cwd=self.directory,
            env=self.environment,
            start_new_session=True,
            executable=shutil.which(words[0], path=self.environment["PATH"]),
        )

    def run(self, text, language):
        """(exit code, all that it printed)."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
        process = self.start(text, language, slave)
        os.close(slave)
        printed, end = b"", time.monotonic() + LIMIT_S
        try:
            while select.select([master], [], [], max(end - time.monotonic(), 0))[0]:
                try:
                    printed += os.read(master, 1 << 16)
                except OSError:  # a terminal whose other side is closed everywhere
                    return process.wait(LIMIT_S), printed.decode("utf-8", "replace").replace("\r\n", "\n")
            raise AssertionError(f"it does not end within {LIMIT_S} s; it printed: {printed[-2000:].decode('utf-8', 'replace')}")
        finally:
            end_session(process)
            os.close(master)


def end_session(process):
    """Nothing of it is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(LIMIT_S)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A terminal in which the tutorial's first block is running, and every book has become LIVE."""
    from conftest import Runner

    directory = tmp_path_factory.mktemp("tutorial")
    terminal = Terminal(directory, Runner(directory, directory).command)
    with (directory / "demo.out").open("wb") as out:
        running = terminal.start(next(step.text for step in STEPS if step.how == "demo"), stdout=out)
    try:
        yield terminal
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        try:
            running.wait(LIMIT_S)
        finally:
            end_session(running)
            shutil.rmtree(terminal.shm_dir, ignore_errors=True)


def all_live(shm_dir):
    """Whether every book of the demo is LIVE."""
    try:
        return all(
            Book(name, symbol, shm_dir=str(shm_dir)).read(1).state is BookState.LIVE for name in EXCHANGES for symbol in SYMBOLS
        )
    except NoSegment:
        return False


@pytest.mark.parametrize("step", [step for step in STEPS if step.how != "demo"], ids=lambda step: step.text.splitlines()[-1][:60])
def test_a_block_does_what_the_page_shows(demo, step):
    end = time.monotonic() + LIMIT_S
    while not all_live(demo.shm_dir):
        assert time.monotonic() < end, (demo.directory / "demo.out").read_text()[-2000:]
        time.sleep(0.05)
    code, printed = demo.run(step.text, step.language)
    assert code == 0, printed
    lines = [line for line in printed.splitlines() if line.strip()]
    shown = [line for line in step.shown.splitlines() if line.strip()]
    if step.shown_as == "json":
        keys = {tuple(json.loads(line)) for line in shown}
        assert {tuple(json.loads(line)) for line in lines} <= keys, printed
    elif step.how != "heads":
        # A CHECK comes each second and may be among any lines of `tail deltas`; its hash has letters of its own.
        told = "\n".join(line for line in lines if " CHECK " not in line)
        unknown = set(WORDS.findall(told)) - set(WORDS.findall(step.shown)) - KNOWN
        assert not unknown, f"the page does not show {sorted(unknown)}:\n{printed}"
    assert bool(lines) == bool(shown), printed
    if not re.search(r"[0-9]", shown[0]):  # a table's heads
        assert lines[0].split() == shown[0].split(), printed


def test_the_page_has_its_steps():
    """Ten minutes: the demo, and each reader that a newcomer meets."""
    assert [step.how for step in STEPS].count("demo") == 1
    done = " ".join(step.text for step in STEPS)
    for command in (
        "tail deltas",
        "tail trades --json | head",
        "reconstruct --symbol",
        "segments",
        "doctor",
        "--verify",
        "ap.follow",
    ):
        assert command in done, command


def test_no_block_is_forgotten():
    """What is not run is said so: every shell or Python block of the page stands under a mark."""
    page = PAGE.read_text()
    blocks = re.findall(r"^(?:<!-- (run|not run): [^\n]* -->\n)?```(?:sh|python)$", page, re.MULTILINE)
    assert all(blocks)
