"""The tutorial, done: every marked block is run, in the page's order, against one demo; what it prints is what the page shows.

A block to run stands under `<!-- run: … -->`; the block behind it, `text` or `json`, is what the page says that it prints. Blocks run
on a terminal of their own, since tables are for terminals. Numbers differ from run to run, so lines are compared as *shapes*, each
number a #: those of a table or a book whole and in order, those of a live feed in any order, but none that the page does not show. JSON
objects are compared by keys, types and words ("heads": what is below a table's heads is about this machine).

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

from alphapulse_cli.apps.demo import EXCHANGES, SYMBOLS
from alphapulse_cli.errors import NoSegment
from alphapulse_cli.readers.api import Book
from alphapulse_cli.wire.delta import BookState

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
NUMBER = re.compile(r"-?[0-9][0-9.,]*[0-9]|[0-9]")
CHANCE = re.compile(rf"\b(?P<SET>{'|'.join(EXCHANGES)})\b|\b(?P<SIDE>bid|ask)\b|\b(?P<CHANGE>new|changed|removed)$", re.MULTILINE)
IN_ANY_ORDER = ("tail deltas", "tail trades")  # a live feed: what comes first is chance


def shape(line):
    """The line with each number a # and each run of spaces one: what it says without how much of it."""
    return " ".join(NUMBER.sub("#", re.sub(r"hash [0-9a-f]{16}", "hash #", line)).replace("MiB", "KiB").split())


def feed_shape(line):
    """The shape of a feed's line, whose exchange, side and kind of change are chance, too."""
    return shape(CHANCE.sub(lambda found: str(found.lastgroup), line))


def json_shape(line):
    """The object's keys in order, with the type of each value; the words of those that are words of ours."""
    said = {"kind", "restarted"}
    return tuple((key, value if key in said else type(value).__name__) for key, value in json.loads(line).items())


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
    with reader_of_the_page(demo, step):
        code, printed = demo.run(step.text, step.language)
    assert code == 0, printed
    compare(step, printed)


@contextlib.contextmanager
def reader_of_the_page(demo, step):
    """Where the page shows a reader in another terminal there is one, its cursor seen, while the block runs."""
    if "tail deltas" not in step.shown:
        yield
        return
    reading = demo.start("alphapulse tail deltas --exchange kraken", stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + LIMIT_S
        while not any((demo.shm_dir / "readers").iterdir()):
            assert time.monotonic() < end
            time.sleep(0.02)
        yield
    finally:
        reading.terminate()
        reading.wait(LIMIT_S)


def compare(step, printed):
    """AssertionError where the page shows something else than what was printed."""
    lines = [line for line in printed.splitlines() if line.strip()]
    shown = [line for line in step.shown.splitlines() if line.strip()]
    assert bool(lines) == bool(shown), printed
    if step.shown_as == "json":
        known = [json_shape(line) for line in shown]
        # a number that the exchange did not give is null in one line and a number in another
        either = {tuple((key, "int" if kind == "NoneType" else kind) for key, kind in one) for one in known}
        assert {
            tuple((key, "int" if kind == "NoneType" else kind) for key, kind in json_shape(line)) for line in lines
        } <= either, printed
    elif step.how == "heads":
        assert lines[0].split() == shown[0].split(), printed
    elif any(word in step.text for word in IN_ANY_ORDER):
        told = {feed_shape(line) for line in lines if " CHECK " not in line}  # one comes each second, among any lines
        assert told <= {feed_shape(line) for line in shown}, printed
    else:
        assert [shape(line) for line in lines] == [shape(line) for line in shown], printed


class TestTheComparison:
    """The mutants of the page: each must be noticed."""

    STEP = Step("sh", "sh", "alphapulse segments", "text", "set  state  size\na  live  516 KiB\nb  live  1.5 MiB\n")

    def test_other_numbers_are_the_same_page(self):
        compare(self.STEP, "set state size\na  live  4.0 MiB\nb live 24 KiB\n")

    @pytest.mark.parametrize(
        "printed",
        [
            "set  state  size\na  live  516 KiB\n",
            "set  state  size\nb  live  1.5 MiB\na  live  516 KiB\n",
            "set  state  size\na  dead  516 KiB\nb  live  1.5 MiB\n",
            "set  state  bytes\na  live  516 KiB\nb  live  1.5 MiB\n",
            "warning\nset  state  size\na  live  516 KiB\nb  live  1.5 MiB\n",
            "",
        ],
    )
    def test_a_line_less_more_changed_or_moved_is_seen(self, printed):
        with pytest.raises(AssertionError):
            compare(self.STEP, printed)

    def test_of_a_feed_a_line_the_page_does_not_show_is_seen(self):
        step = self.STEP._replace(text="alphapulse tail deltas", shown="10:00:00.1Z  v1  bid  1.0  2.0  new\n")
        compare(step, "11:00:00.123Z  v7  bid  3.14  2.0  new\n" * 3)
        for line in ("11:00:00.123  v7  bid  3.14  2.0  new\n", "11:00:00.1Z  v7  bid  3.14  2.0  moved\n"):
            with pytest.raises(AssertionError):
                compare(step, line)

    def test_of_an_object_keys_order_and_types_are_seen(self):
        step = self.STEP._replace(shown_as="json", shown='{"kind":"CHECK","n":1,"text":"a"}\n')
        compare(step, '{"kind":"CHECK","n":null,"text":"b"}\n')
        for line in (
            '{"kind":"RESET","n":1,"text":"a"}',
            '{"n":1,"kind":"CHECK","text":"a"}',
            '{"kind":"CHECK","n":"1","text":"a"}',
        ):
            with pytest.raises(AssertionError):
                compare(step, line)


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
