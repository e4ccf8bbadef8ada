"""A file that is cut short under those who have it mapped: each goes on, is told so in one line, and believed nothing that was wrong.

Only the compiled core can do that; interpreted, the first touch of a missing page is the end (SIGBUS), and what is shown here is that
a reader who waits notices before it touches.
"""

import os
import signal
import sys

import pytest
from stress import cut
from support.app_parts import Sims, live_books, wait_until
from support.shm_processes import child

from alphapulse_cli import build
from alphapulse_cli.errors import ExitCode, SegmentError, SegmentGone, StorageError
from alphapulse_cli.readers.api import Book
from alphapulse_cli.readers.status import StatusSource
from alphapulse_cli.readers.waiting import WAYS, Waiting
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.ring import RingReader
from alphapulse_cli.shm.segment import Liveness, Segment

compiled = pytest.mark.skipif(
    build.core_mode() == "interpreted", reason="plain Python cannot handle a fault in the middle of an access"
)


@pytest.fixture
def files(directory):
    cut.make(directory)
    return directory


def outcome(directory, function, doing, name, size):
    """What the child says after its file was cut; None if it died, and of what."""
    with child(f"stress.cut:{function}", directory.path, doing) as process:
        assert process.line() == "mapped"
        os.truncate(directory.path / name, size)
        text = process.process.stdout.readline()
        return text, process.process.wait(10)


@compiled
@pytest.mark.parametrize("size", cut.SIZES)
@pytest.mark.parametrize(("doing", "name"), (cut.READERS | cut.WRITERS).items())
def test_it_lives_and_says_one_line(files, doing, name, size):
    text, code = outcome(files, "live_guarded", doing, name, size)
    error = "StorageError" if doing in cut.WRITERS else "SegmentGone"
    assert (code, text[:20].split('"')[1]) == (0, error), text
    assert f"{name} was cut short" in text
    assert "\\n" not in text


@compiled
@pytest.mark.parametrize(("doing", "name"), (cut.READERS | cut.WRITERS).items())
def test_without_the_guard_it_dies(files, doing, name):
    """Else the test above would show nothing."""
    text, code = outcome(files, "live_unguarded", doing, name, 0)
    assert (code, text) == (-signal.SIGBUS, "")


@compiled
@pytest.mark.parametrize(("before", "after"), [(False, False), (True, False), (False, True), (True, True)])
def test_a_fault_of_others_is_as_ever(files, before, after):
    """It kills, and faulthandler tells where, once, whichever of the two came first."""
    with child("stress.cut:fault", files.path, before, after) as process:
        assert process.line() == "mapped"
        rest = process.process.stdout.read()
        assert process.process.wait(10) == -signal.SIGBUS
    assert rest.count("Fatal Python error: Bus error") == (before or after)
    assert "alive" not in rest


@compiled
def test_a_sent_sigbus_is_not_taken_for_a_fault(files):
    with child("stress.cut:live_guarded", files.path, "poll") as process:
        assert process.line() == "mapped"
        os.kill(process.pid, signal.SIGBUS)
        assert process.process.wait(10) == -signal.SIGBUS


@compiled
def test_other_mappings_are_untouched_and_it_can_be_attached_anew(files):
    """In this very process."""
    ring, book = Segment.attach(files, cut.RING), Segment.attach(files, cut.BOOK)
    os.truncate(files.path / cut.RING, 0)
    with pytest.raises(SegmentGone, match=f"{cut.RING} was cut short"):
        RingReader(ring, 0).poll(1)
    assert ring.liveness(clock.monotonic_ns()) is Liveness.GONE
    assert bytes(ring.memory) == bytes(len(ring.memory))
    assert book.liveness(clock.monotonic_ns()) is Liveness.LIVE
    (files.path / cut.RING).unlink()
    (files.path / cut.BOOK).unlink()
    cut.make(files)
    assert Segment.attach(files, cut.RING).is_live(clock.monotonic_ns())


class TestWithoutTouching:
    """Both modes: the size of the file tells, where the header is still whole."""

    @pytest.mark.parametrize("way", WAYS)
    def test_a_reader_that_waits_notices(self, files, way):
        reader = RingReader(Segment.attach(files, cut.RING))
        waiting = Waiting(way, files)
        assert not waiting.wait({"kraken": reader}, 0.001)
        os.truncate(files.path / cut.RING, 4096)
        with pytest.raises(SegmentGone, match=f"{cut.RING} was cut short"):
            waiting.wait({"kraken": reader}, 0.001)

    @pytest.mark.skipif(sys.platform != "linux", reason="Linux tells without a descriptor")
    def test_with_and_without_a_descriptor_the_answer_is_the_same(self, files):
        """A mapping of Python 3.13 has none."""
        ring = Segment.attach(files, cut.RING)
        assert not ring.memory._lacks_its_last_page()
        os.truncate(files.path / cut.RING, 4096)
        assert ring.memory._lacks_its_last_page()
        assert ring.memory.is_cut()

    def test_a_reader_of_several_notices(self, files):
        readers = {name: RingReader(Segment.attach(files, cut.RING)) for name in ("kraken", "coinbase")}
        waiting = Waiting("sleep", files)
        assert not waiting.wait(readers, 0.001)
        os.truncate(files.path / cut.RING, 4096)
        with pytest.raises(SegmentGone):
            waiting.wait(readers, 0.001)

    def test_a_writer_notices_when_it_beats(self, files):
        segment = Segment.attach(files, cut.BOOK, writable=True)
        segment.beat(clock.monotonic_ns())
        os.truncate(files.path / cut.BOOK, 4096)
        with pytest.raises(StorageError, match=f"{cut.BOOK} was cut short"):
            segment.beat(clock.monotonic_ns())


@pytest.fixture
def sims():
    made = Sims()
    yield made
    made.close()


@compiled
class TestCommands:
    """As a person meets it: a collector at work on a simulated exchange, and a tail of what it publishes."""

    @pytest.fixture
    def collector(self, alphapulse, sims):
        sims.start("kraken")
        options = ("collect", "--exchange", "kraken", "--symbols", "ETH-BTC,DOGE-USD")
        process = alphapulse.start(*options, **sims.environment())

        def both_live():
            sims.move()
            return len(live_books(alphapulse.shm_dir)) == 2

        wait_until(both_live, what="two live books")
        return process

    def ended(self, sims, process):
        """(exit code, stderr), the exchange moving meanwhile."""

        def over():
            sims.move()
            return process.poll() is not None

        wait_until(over, what="its end")
        return process.returncode, process.communicate()[1].decode()

    @pytest.mark.parametrize("name", [cut.RING, "kraken_book_ETH-BTC", cut.COUNTERS])
    @pytest.mark.parametrize("size", cut.SIZES)
    def test_collect_says_it_and_ends_with_1(self, collector, sims, shm_dir, name, size):
        os.truncate(shm_dir / name, size)
        code, err = self.ended(sims, collector)
        assert (code, err.count("error:"), "Traceback" in err) == (ExitCode.FAILED, 1, False), err
        assert f"{name} was cut short while it was written" in err

    @pytest.mark.parametrize("way", ["wake", "spin"])
    def test_tail_says_it_and_ends_with_3(self, alphapulse, collector, sims, shm_dir, way):
        process = alphapulse.start("tail", "deltas", "--from", "oldest", "--json", "--wait", way)
        assert process.stdout.readline()
        os.truncate(shm_dir / cut.RING, 0)
        code, err = self.ended(sims, process)
        assert (code, err.count("error:"), "Traceback" in err) == (ExitCode.NOTHING_TO_ATTACH, 1, False), err
        assert f"{cut.RING} was cut short, or damaged, while it was read" in err

    def test_without_its_wake_page_all_goes_on(self, alphapulse, collector, sims, shm_dir):
        """A sleeper then wakes by itself, after 5 ms at most."""
        process = alphapulse.start("tail", "deltas", "--json", "--count", "1000")
        os.truncate(shm_dir / "kraken.wake", 0)
        wait_until(lambda: sims.move() or process.stdout.readline(), what="a line")
        assert len(live_books(shm_dir)) == 2
        assert (process.poll(), collector.poll()) == (None, None)


@compiled
class TestProgrammes:
    """As a program meets it: an error, and the next collector's book once there is one."""

    def test_a_book_is_gone_and_comes_back(self, files):
        book = Book("kraken", "BTC-USD", shm_dir=str(files.path))
        assert book.read().version == 1
        os.truncate(files.path / cut.BOOK, 4096)
        with pytest.raises(SegmentError, match=cut.BOOK):
            book.read()
        (files.path / cut.BOOK).unlink()
        cut.make(files)
        assert book.read().version == 1

    def test_a_status_of_counters_that_are_gone_is_that_of_no_set(self, files):
        source = StatusSource(files)
        assert source.sample()[0].liveness is Liveness.LIVE
        os.truncate(files.path / cut.COUNTERS, 4096)
        assert source.sample()[0].liveness is None
