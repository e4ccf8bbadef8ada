"""Versions side by side: every version's readers, in Python and in C, read what every other version with the same major layout wrote.

tests/recordings/segments holds an older version's readers and a set that it wrote; the story of both is `support.layout_parts`, which
knows what is true. What must not pass unnoticed (a field that moved, another major) is tried at the end.
"""

import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from functools import cache
from pathlib import Path

import pytest
from support import layout_parts
from support.layout_checks import assert_same, assert_true, assert_true_book, lines_of, put_word, swap
from support.layout_parts import BEGINNING, DECIMALS, END, NAME, REST, RULES, Teller, everything

from alphapulse_cli.market.trading_status import TradingStatus
from alphapulse_cli.readers.api import Book, follow
from alphapulse_cli.shm import clock, layout
from alphapulse_cli.shm.block import BLOCK_HEAD_WORDS
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.identity import my_identity
from alphapulse_cli.shm.image import ImageReader
from alphapulse_cli.shm.layout import State
from alphapulse_cli.shm.segment import Segment

ROOT = Path(__file__).resolve().parents[2]
FROZEN = ROOT / "tests" / "recordings" / "segments"
VERSIONS = sorted(path.name for path in FROZEN.iterdir() if path.is_dir())
SAME_MAJOR = [version for version in VERSIONS if version.startswith(f"{layout.LAYOUT_MAJOR}.")]
LIMIT_S = 20

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="older versions run interpreted, which shares memory on x86-64 only"
)
with_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (cc) here")


def minor_of(version):
    return int(version.partition(".")[2])


def command_of(version, *words):
    """(command, environment) of the story with the readers of that version."""
    env = {**os.environ, "PYTHONPATH": str(FROZEN / version / "readers.zip"), "PYTHONDONTWRITEBYTECODE": "1"}
    return [sys.executable, "-P", layout_parts.__file__, *map(str, words)], env


@cache
def read_by(version, *directories):
    """Everything in each set, or why it is refused, by that version's readers."""
    command, env = command_of(version, "read", *directories)
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=LIMIT_S)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for one in found:
        assert one.keys() == {"refused"} or one["package"].startswith(str(FROZEN / version))
        assert one.keys() == {"refused"} or one["layout"] == [int(number) for number in version.split(".")]
    return dict(zip(directories, found, strict=True))


def unpack(version, folder):
    """The set that this version wrote, in the folder."""
    with zipfile.ZipFile(FROZEN / version / "set.zip") as archive:
        archive.extractall(folder)
    for path in folder.iterdir():
        path.chmod(0o600)  # readers refuse what others may write
    return folder


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A function: the program made of a source of the reader in C, as its first lines say. Equal sources are compiled once."""
    made = {}

    def of(source):
        text = source.read_bytes()
        if text not in made:
            made[text] = tmp_path_factory.mktemp("c") / "read_deltas"
            subprocess.run(["cc", "-std=c11", "-O2", "-o", made[text], source], check=True)
        return made[text]

    return of


def printed(program, folder):
    """(exit code, lines without trading status, stderr) of the reader in C, on the set in the folder."""
    path = folder / f"{NAME}_orderbook_deltas"
    for patience_s in ("0.05", "1", "10"):  # where it had no processor for so long it ended before its first look
        done = subprocess.run([program, path, patience_s], check=False, capture_output=True, text=True, timeout=LIMIT_S)
        if done.stdout or done.returncode:
            break
    return done.returncode, re.sub(r" trading \d+$", "", done.stdout, flags=re.MULTILINE).splitlines(), done.stderr


@pytest.fixture(scope="module")
def sets():
    """Folder of sets, a folder each: "1.0" and so on as that version wrote it, "today" as today's writer does.

    "replay" as a replay of today would. Made of today's: "major" with another major, and one for each name in MOVED with that field moved.
    """
    shared = Path("/dev/shm")
    root = Path(tempfile.mkdtemp(prefix="alphapulse-test-", dir=shared if os.access(shared, os.W_OK) else None))
    for name in ("today", *VERSIONS):
        (root / name).mkdir(mode=0o700)
    for version in VERSIONS:
        unpack(version, root / version)
    teller = Teller(str(root / "today"))
    teller.tell(BEGINNING)
    teller.tell(REST)
    teller.end()
    (root / "replay").mkdir(mode=0o700)
    teller = Teller(str(root / "replay"), replay=True)
    teller.tell(BEGINNING)
    teller.tell(REST)
    for name in ("major", *MOVED):
        shutil.copytree(root / "today", root / name)
    for path in (root / "major").glob(f"{NAME}_*"):
        put_word(path, layout.HEADER["layout_major"].offset, layout.LAYOUT_MAJOR + 1)
    for name, (segment, first, second, where) in MOVED.items():
        swap(root / name / f"{NAME}_{segment}", first, second, **where)
    yield root
    shutil.rmtree(root)


def readings(version, sets):
    """What that version's readers find in each set, by its folder's name."""
    return {path.name: found for path, found in read_by(version, *sorted(sets.iterdir())).items()}


class TestWhatIsFrozen:
    def test_todays_layout_is(self):
        """Else the next version could not be held to it: scripts/freeze_layout.py."""
        assert f"{layout.LAYOUT_MAJOR}.{layout.LAYOUT_MINOR}" in VERSIONS

    def test_each_folder_has_a_row(self):
        assert [version for version, _ in origins()] == VERSIONS

    @pytest.mark.parametrize("version", VERSIONS)
    def test_it_is_what_its_commit_has(self, version):
        """Byte for byte, where the history is at hand."""
        commit = dict(origins())[version]
        if subprocess.run(["git", "cat-file", "-e", f"{commit}^{{commit}}"], cwd=ROOT, check=False, capture_output=True).returncode:
            pytest.skip("not a clone with its whole history")
        command = ["git", "archive", commit, "alphapulse_cli", "docs/how-to/read_deltas.c"]
        packed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
        with zipfile.ZipFile(FROZEN / version / "readers.zip") as archive:
            frozen = {name: archive.read(name) for name in archive.namelist()}
        frozen["docs/how-to/read_deltas.c"] = (FROZEN / version / "read_deltas.c").read_bytes()
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            assert {name: archive.extractfile(name).read() for name in frozen} == frozen


def origins():
    """[(layout, commit)] of the README."""
    return re.findall(
        r"^\| `(\d+\.\d+)` \| `([0-9a-f]{40})` \| \d{4}-\d{2}-\d{2} \|", (FROZEN / "README.md").read_text(), re.MULTILINE
    )


@pytest.mark.parametrize("version", SAME_MAJOR)
class TestTodaysReadersOfAnOlderWriter:
    def test_they_read_all_of_it_exactly(self, version, sets):
        """Records field by field, images, counters: as that version's own readers do, and as the frames say."""
        found = everything(str(sets / version))
        assert_same(readings(version, sets)[version], found)
        assert_true(found)

    def test_what_it_does_not_tell_is_not_told(self, version, sets):
        """Order rules since 1.1, trading status since 1.2."""
        with open_directory(sets / version) as directory:
            rules = {symbol: ImageReader(Segment.attach(directory, f"{NAME}_book_{symbol}")).rules() for symbol in DECIMALS}
        with Book(NAME, "DOGE-USD", shm_dir=str(sets / version)) as book:
            trading = book.read().trading_status
        tells_rules, tells_status = minor_of(version) >= 1, minor_of(version) >= 2
        assert rules["DOGE-USD"] == ((*DECIMALS["DOGE-USD"], *RULES["DOGE-USD"]) if tells_rules else None)
        assert rules["BTC-USD"] == ((3, 8, 10, 100, 10_000) if tells_rules else None)  # it moved to a finer grid
        assert trading is (TradingStatus.TRADING if tells_status else None)

    def test_its_books_are_live_while_it_lives(self, version, shm_dir):
        """The set's writer is this process, as its header then says, with a heartbeat of now."""
        unpack(version, shm_dir)
        revive(shm_dir)
        with follow(NAME, shm_dir=str(shm_dir)) as updates:
            found = {update.symbol: update for update in updates.poll()}
            assert found.keys() == DECIMALS.keys()
            for symbol, update in found.items():
                assert update.state.name == "LIVE"
                assert update.is_tradable
                assert_true_book(symbol, layout_parts.levels_of(update.copy()))

    @with_compiler
    def test_the_reader_in_c_prints_all_of_it(self, version, sets, compiled):
        code, lines, _ = printed(compiled(ROOT / "docs" / "how-to" / "read_deltas.c"), sets / version)
        assert (code, lines) == (0, lines_of(everything(str(sets / version))["deltas"]))


def revive(shm_dir):
    """Make this process the writer of the set in the directory, with a heartbeat of now."""
    me = my_identity()
    words = {
        "writer_pid": me.pid,
        "writer_start": me.start_time,
        "pid_namespace": me.pid_namespace,
        "state": State.READY,
        "heartbeat_ns": clock.monotonic_ns(),
    }
    for path in shm_dir.glob(f"{NAME}_*"):
        page = bytearray(path.read_bytes())
        for name, value in words.items():
            at = layout.HEADER[name].offset
            page[at : at + 8] = value.to_bytes(8, "little")
        at = layout.HEADER["boot_id"].offset
        page[at : at + layout.ID_BYTES] = me.boot_id
        path.write_bytes(page)


@pytest.mark.parametrize("version", SAME_MAJOR)
class TestOlderReadersOfTodaysWriter:
    def test_they_read_all_of_it_exactly(self, version, sets):
        found = readings(version, sets)["today"]
        assert_same(found, everything(str(sets / "today")))
        assert_true(found)

    def test_they_follow_a_living_one(self, version, shm_dir, tmp_path):
        """From its images on, over a group of several records and a book that moves to a finer grid; its books are LIVE."""
        teller = Teller(shm_dir)
        teller.tell(BEGINNING)
        command, env = command_of(version, "follow", shm_dir, json.dumps(END))
        out = tmp_path / "out"
        with out.open("w") as sink:
            process = subprocess.Popen(command, env=env, stdout=sink)
        try:
            beat_until(teller, lambda: out.read_text().startswith("following\n") or process.poll() is not None)
            teller.tell(REST)
            beat_until(teller, lambda: process.poll() is not None)
        finally:
            process.kill()
            process.wait()
            teller.end()
        assert process.returncode == 0
        found = json.loads(out.read_text().partition("\n")[2])
        assert found.keys() == DECIMALS.keys()
        for symbol, book in found.items():
            assert book["state"] == "LIVE"
            assert_true_book(symbol, book)

    @with_compiler
    def test_the_reader_in_c_prints_all_of_it(self, version, sets, compiled):
        code, lines, _ = printed(compiled(FROZEN / version / "read_deltas.c"), sets / "today")
        assert (code, lines) == (0, lines_of(everything(str(sets / "today"))["deltas"]))


def beat_until(teller, condition):
    """Beat until it holds, `LIMIT_S` at most."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, "it never happened"
        teller.beat()
        time.sleep(0.02)


class TestAReplay:
    """Of the same frames: no reader that does not know replays may take it for live."""

    def test_todays_readers_read_all_of_it(self, sets):
        assert_true(everything(str(sets / "replay")))

    @pytest.mark.parametrize("version", [version for version in SAME_MAJOR if minor_of(version) >= 3])
    def test_later_readers_do_too(self, version, sets):
        assert_true(readings(version, sets)["replay"])

    @pytest.mark.parametrize("version", [version for version in SAME_MAJOR if minor_of(version) < 3])
    def test_older_readers_refuse_it(self, version, sets):
        refusal = readings(version, sets)["replay"]["refused"]
        assert refusal.startswith("WrongLayout: ")
        assert f"has layout {layout.REPLAY_MAJOR}, this version reads {layout.LAYOUT_MAJOR}" in refusal

    @with_compiler
    @pytest.mark.parametrize("version", [version for version in SAME_MAJOR if minor_of(version) < 3])
    def test_the_older_reader_in_c_refuses_it(self, version, sets, compiled):
        code, lines, complaint = printed(compiled(FROZEN / version / "read_deltas.c"), sets / "replay")
        assert (code, lines) == (3, [])
        assert "has another layout" in complaint


@pytest.mark.parametrize("version", SAME_MAJOR)
class TestAnotherMajor:
    def test_is_refused_by_older_readers(self, version, sets):
        refusal = readings(version, sets)["major"]["refused"]
        assert refusal.startswith("WrongLayout: ")
        assert f"has layout {layout.LAYOUT_MAJOR + 1}, this version reads {layout.LAYOUT_MAJOR}" in refusal

    @with_compiler
    def test_is_refused_by_the_older_reader_in_c(self, version, sets, compiled):
        code, lines, complaint = printed(compiled(FROZEN / version / "read_deltas.c"), sets / "major")
        assert (code, lines) == (3, [])
        assert "has another layout" in complaint


IMAGE = {field.name: field.offset for field in layout.IMAGE_FIELDS}
HEADER = {name: field.offset for name, field in layout.HEADER.items()}
DATA = layout.HEADER_BYTES
FIRST_COUNTER = DATA + 8 * BLOCK_HEAD_WORDS
MOVED = {
    "versions of a delta": ("orderbook_deltas", 40, 48, {"start": DATA, "stride": 256, "count": 19}),
    "price and size of a change": ("orderbook_deltas", 64, 72, {"start": DATA, "stride": 256, "count": 19}),
    "price and size of a trade": ("trades", 88, 96, {"start": DATA, "stride": 128, "count": 3}),
    "published": ("trades", HEADER["published"], HEADER["published"] + 8, {}),
    "bids and asks of an image": ("book_BTC-USD", IMAGE["bid_count"], IMAGE["ask_count"], {}),
    "the image's version": ("book_BTC-USD", IMAGE["version"], IMAGE["ring_position"], {}),
    "a counter": ("counters", FIRST_COUNTER, FIRST_COUNTER + 8, {}),
    "capacity": ("trades", HEADER["capacity"], HEADER["record_bytes"], {}),
}


@pytest.mark.parametrize("moved", MOVED)
def test_a_field_that_moved_does_not_pass(moved, sets):
    """A writer that moves a field and keeps the major: an older reader refuses, or the comparisons of this file fail."""
    found = readings(SAME_MAJOR[0], sets)[moved]
    if "refused" in found:
        return
    with pytest.raises(AssertionError):
        assert_same(found, everything(str(sets / "today")))
    with pytest.raises(AssertionError):
        assert_true(found)
