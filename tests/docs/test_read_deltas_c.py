"""The C program of docs/how-to, against a living set: it prints every whole group that a writer here published, and nothing else."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.shm import clock, layout
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.wire import delta
from alphapulse_cli.wire.batch import Batch
from alphapulse_cli.wire.delta import IS_ASK, LEVEL_IS_NEW, SIZE_MASK, RecordKind

SOURCE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "read_deltas.c"
CAPACITY = 256
LIMIT_S = 20.0

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (cc) here")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The program, compiled as its first lines say, and with every warning an error."""
    made = tmp_path_factory.mktemp("c") / "read_deltas"
    subprocess.run(["cc", "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-o", made, SOURCE], check=True)
    return made


def until(condition):
    """Wait for it, twenty seconds at most."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)


class Writer:
    """A collector of two books, without an exchange: `expected` is what a reader must print."""

    def __init__(self, shm_dir, capacity=CAPACITY, *, replay=False):
        symbols = ["BTC-USD", "DOGE-USD"]
        self.outlet = Outlet(open_directory(shm_dir), "kraken", "kraken", symbols, capacity, clock.monotonic_ns(), replay=replay)
        self.batches = {"BTC-USD": Batch("BTC-USD", "kraken", 2, 8), "DOGE-USD": Batch("DOGE-USD", "kraken", 0, 18)}
        self.versions = dict.fromkeys(self.batches, 0)
        self.expected = []

    def group(self, symbol, changes, *, resynced=False):
        """Publish these (ticks, lots, is_ask, is_new) as one group."""
        batch, version = self.batches[symbol], self.versions[symbol]
        batch.clear()
        told = []
        for ticks, lots, is_ask, is_new in changes:
            batch.append(ticks, lots | (IS_ASK if is_ask else 0) | (LEVEL_IS_NEW if is_new else 0))
            price, size = to_text(ticks, batch.price_decimals), to_text(lots, batch.size_decimals)
            told.append(f" {'ask' if is_ask else 'bid'} {price}{'+' if is_new else ' '}{size}")
        self._publish(batch, batch.finish(RecordKind.DELTA, clock.realtime_ns(), version + 1, version, 0, resynced))
        self.versions[symbol] = version + 1
        self.expected.append(f"{symbol} DELTA {version} {version + 1}{' resynced' * resynced}{''.join(told)}")

    def others(self, symbol):
        """A RESET, a CHECK and a STATUS."""
        batch, version = self.batches[symbol], self.versions[symbol]
        batch.clear()
        self._publish(batch, batch.finish(RecordKind.RESET, clock.realtime_ns(), version + 1, version))
        self._publish(batch, batch.check(clock.realtime_ns(), version + 1, 0xFEDC_0000_0000_0001, 3, 4, 1, 2))
        self._publish(batch, batch.status(clock.realtime_ns(), version + 1, 3, 5, 4))
        self.versions[symbol] = version + 1
        after = version + 1
        self.expected.append(f"{symbol} RESET {version} {after}")
        self.expected.append(f"{symbol} CHECK {after} {after} hash fedc000000000001")
        self.expected.append(f"{symbol} STATUS {after} {after} state 3 reason 5 trading 4")

    def _publish(self, batch, count):
        self.outlet.deltas.publish(batch.records, count)

    def few(self):
        """Groups of every shape that fits, half the ring at most."""
        self.others("BTC-USD")
        self.group("BTC-USD", [(12170601, 150000000, False, True)])
        self.group("DOGE-USD", [(0, 1, False, True), (10**18, SIZE_MASK, True, True), (-5, 0, True, False)])
        self.group("BTC-USD", [(n, 0, n % 2 == 0, False) for n in range(1, 14)], resynced=True)
        self.group("DOGE-USD", [(n, n, True, True) for n in range(1, 500)])


class Reading:
    """The program at work on a set."""

    def __init__(self, program, shm_dir, tmp_path, patience="60"):
        self.path = tmp_path / "out"
        with self.path.open("wb") as out:
            segment = shm_dir / "kraken_orderbook_deltas"
            self.process = subprocess.Popen([program, segment, patience], stdout=out, stderr=subprocess.PIPE, text=True)

    def lines(self):
        """The whole lines it has printed."""
        return self.path.read_text().split("\n")[:-1]

    def stop(self):
        """SIGSTOP, and it has stopped."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


def test_every_group_is_printed_once_and_whole(program, shm_dir, tmp_path):
    """Groups of 1 to 499 changes, with the largest sizes and negative ticks; and the ring is gone round several times."""
    writer = Writer(shm_dir)
    with writer.outlet, Reading(program, shm_dir, tmp_path) as reading:
        for _ in range(20):
            writer.few()
            until(lambda: len(reading.lines()) == len(writer.expected))
        assert reading.lines() == writer.expected


def test_a_late_reader_gets_all_that_is_still_there_and_groups_cut_by_its_reads_are_whole(program, shm_dir, tmp_path):
    """It copies 1,024 records at a time: groups lie across."""
    writer = Writer(shm_dir, 8192)
    with writer.outlet:
        for _ in range(100):
            writer.few()
        assert 4 * 1024 < writer.outlet.deltas.published < 8192
        with Reading(program, shm_dir, tmp_path) as reading:
            until(lambda: len(reading.lines()) == len(writer.expected))
            assert reading.lines() == writer.expected


def test_a_lap_is_told_and_no_torn_or_cut_group_is_printed(program, shm_dir, tmp_path):
    """The reader is stopped while the writer goes round: it says how many records it lost and goes on with a whole group."""
    writer = Writer(shm_dir)
    with writer.outlet, Reading(program, shm_dir, tmp_path) as reading:
        writer.few()
        until(lambda: len(reading.lines()) == len(writer.expected))
        before = list(writer.expected)
        reading.stop()
        for _ in range(30):
            writer.few()
        reading.go_on()
        until(lambda: reading.lines()[-1] == writer.expected[-1] and len(reading.lines()) > len(before))
        told = reading.lines()[len(before) :]
        lost = [line for line in told if line.startswith("LAPPED ")]
        kept = [line for line in told if not line.startswith("LAPPED ")]
        assert len(lost) == 1
        assert kept == writer.expected[-len(kept) :]
        assert int(lost[0].split()[1]) == writer.outlet.deltas.published - CAPACITY - records_of(before)


def records_of(lines):
    """How many records these groups took."""
    return sum(max(1, -(-len(re.findall(r" (?:ask|bid) ", line)) // delta.MAX_CHANGES)) for line in lines)


def test_a_restarted_writer_is_followed_and_nothing_of_either_is_lost(program, shm_dir, tmp_path):
    """The old ring is drained up to its seal, then the new one is read from its first record."""
    first = Writer(shm_dir)
    with Reading(program, shm_dir, tmp_path) as reading:
        with first.outlet:
            first.few()
            until(lambda: len(reading.lines()) == len(first.expected))
            reading.stop()
            first.group("BTC-USD", [(7, 7, False, True)])
        second = Writer(shm_dir)
        with second.outlet:
            second.few()
            reading.go_on()
            wanted = [*first.expected, "RESTARTED", *second.expected]
            until(lambda: len(reading.lines()) == len(wanted))
            assert reading.lines() == wanted


def test_a_replay_is_called_one_and_no_collector_follows_it(program, shm_dir, tmp_path):
    """The first line says REPLAY; the set that a collector makes in its place afterwards is another one, which is not read."""
    replay = Writer(shm_dir, replay=True)
    replay.few()
    with Reading(program, shm_dir, tmp_path) as reading:
        until(lambda: reading.lines() == ["REPLAY", *replay.expected])
        replay.outlet.close()
        collector = Writer(shm_dir)
        with collector.outlet:
            collector.few()
            told = reading.process.stderr.readline()  # when the last heartbeat of its ring is 2 s old
        assert "the writer is silent" in told
        assert reading.lines() == ["REPLAY", *replay.expected]


def test_it_ends_when_nothing_is_published_any_more(program, shm_dir, tmp_path):
    writer = Writer(shm_dir)
    with writer.outlet, Reading(program, shm_dir, tmp_path, "0.1") as reading:
        writer.few()
        assert reading.process.wait(LIMIT_S) == 0


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: os.truncate(path, layout.HEADER_BYTES + 256), "damaged or truncated"),
        (lambda path: os.truncate(path, 100), "no segment"),
        (lambda path: path.write_bytes(bytes(8192)), "no segment"),
        (lambda path: path.unlink(), "cannot be opened"),
        (lambda path: path.write_bytes((path.parent / "kraken_trades").read_bytes()), "no ring of deltas"),
    ],
    ids=["truncated", "shorter than a header", "zeros", "missing", "trades"],
)
def test_what_is_no_ring_of_deltas_is_refused(program, shm_dir, damage, words):
    with Writer(shm_dir).outlet:
        pass
    path = shm_dir / "kraken_orderbook_deltas"
    damage(path)
    done = subprocess.run([program, path, "1"], capture_output=True, text=True, timeout=LIMIT_S)
    assert (done.returncode, done.stdout) == (3, "")
    assert words in done.stderr


class TestTheProgramKnowsWhatTheCodeSays:
    """Its offsets are the layout's: it repeats them, so they are compared."""

    def test_offsets(self):
        source = SOURCE.read_text()
        names = {
            "MAGIC": "magic",
            "BYTE_ORDER_TAG": "byte_order",
            "LAYOUT_MAJOR": "layout_major",
            "HEADER_SIZE": "header_bytes",
            "RECORD_SIZE": "record_bytes",
            "CAPACITY": "capacity",
            "FILE_SIZE": "file_bytes",
            "KIND": "kind",
            "EPOCH": "epoch",
            "CLAIMED": "claimed",
            "PUBLISHED": "published",
            "SEALED": "sealed",
            "HEARTBEAT": "heartbeat_ns",
        }
        for said, name in names.items():
            assert re.search(rf"\b{said} = {layout.HEADER[name].offset}\b", source), said
        assert f"0x{layout.MAGIC:016x}u" in source
        assert f"LIVE_LAYOUT = {layout.LAYOUT_MAJOR}, REPLAY_LAYOUT = {layout.REPLAY_MAJOR} }}" in source

    def test_the_page_shows_how_it_is_compiled_and_names_it(self):
        page = (SOURCE.parent / "read-a-segment-from-another-language.md").read_text()
        assert "cc -std=c11 -O2 -o read_deltas read_deltas.c" in page
        assert "(read_deltas.c)" in page
