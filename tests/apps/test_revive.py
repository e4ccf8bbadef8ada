"""What became of a collector and what to type, of segments and a lock in each state that they can be left in."""

import os
import subprocess
import sys

import pytest
from support.reader_sets import Writer, ladder
from support.shm_processes import child

from alphapulse_cli.apps.revive import SYMBOLS_ROOM, collect_command, is_supervised, revival
from alphapulse_cli.edges.capture.keeping import CapturePlan
from alphapulse_cli.readers.status import BookStatus, SetStatus, StatusSource
from alphapulse_cli.shm.directory import Directory, usual_path
from alphapulse_cli.shm.identity import is_stopped
from alphapulse_cli.shm.lease import MAX_TEXT_BYTES, Lease
from alphapulse_cli.shm.segment import Liveness
from alphapulse_cli.wire.delta import BookReason, BookState

START = "alphapulse collect --exchange kraken --symbols BTC-USD"


def status(directory, name="kraken"):
    return StatusSource(directory, [name]).sample()[0]


def silent(directory, writer):
    """The status of that writer's set once its heart has stopped."""
    for segment in (writer.outlet.deltas.segment, writer.outlet.trades.segment, writer.outlet.counters.segment):
        segment.beat(1)
    return status(directory)


class TestWhatBecameOfIt:
    def test_a_live_one_needs_nothing(self, directory):
        with Writer(directory) as writer:
            writer.snapshot(ladder(10))
            assert revival(directory, status(directory)) is None

    def test_one_that_ended_and_one_that_is_not_there_any_more(self, directory):
        with Writer(directory) as writer:
            writer.snapshot(ladder(10))
        known = status(directory)
        told = revival(directory, known)
        assert (told.state, told.command) == ("the collector of kraken has ended", f"{START} --shm-dir {directory.path}")
        for name in directory.names():
            if name.startswith("kraken_"):
                directory.unlink(name)
        known.liveness = None
        assert revival(directory, known).sentence == (
            f"There are no segments of kraken any more. Start it again: {START} --shm-dir {directory.path}"
        )

    def test_one_whose_lock_nobody_holds_was_killed(self, directory):
        with Writer(directory) as writer:
            writer.snapshot(ladder(10))
            dead = silent(directory, writer)
            (directory.path / "kraken.lock").unlink()
            told = revival(directory, dead)
        assert (told.state, told.do) == (f"the collector of kraken (pid {os.getpid()}) was killed", "start it again")

    def test_one_whose_process_lives_is_ended_first(self, directory):
        with Writer(directory) as writer:
            writer.snapshot(ladder(10))
            told = revival(directory, silent(directory, writer))
        assert "shows no sign of life" in told.state
        assert told.command == f"kill -9 {os.getpid()}; {START} --shm-dir {directory.path}"

    @pytest.mark.parametrize(
        ("liveness", "said"),
        [
            (Liveness.REPLACED, "the next collector of kraken was killed as it started"),
            (Liveness.BUILDING, "the collector of kraken was killed as it started"),
            (Liveness.GONE, "the segments of kraken were cut short"),
        ],
    )
    def test_of_what_a_dead_one_left_half_done(self, directory, liveness, said):
        told = revival(directory, SetStatus("kraken", "kraken", liveness, 1, 1))
        assert (told.state, told.do) == (said, "start it again")

    @pytest.mark.parametrize("liveness", [Liveness.REPLACED, Liveness.BUILDING, Liveness.RETIRED, Liveness.SILENT])
    def test_one_that_is_about_to_take_the_set_over_is_waited_for(self, directory, liveness):
        """It holds the lock, with an epoch of its own; what stands there is its predecessor's."""
        with child("support.shm_processes:hold_a_lease", directory.path, "kraken") as holder:
            epoch = holder.line()
            told = revival(directory, SetStatus("kraken", "kraken", liveness, 1, epoch - 1))
        assert (told.state, told.command) == (f"the collector of kraken (pid {holder.pid}) is starting", "")

    def test_every_state_has_an_answer(self, directory):
        for liveness in (None, *Liveness):
            assert (revival(directory, SetStatus("kraken", "kraken", liveness, 1, 1)) is None) == (liveness is Liveness.LIVE)


class TestProcesses:
    def test_a_stopped_one_is_told_from_one_that_runs(self):
        with subprocess.Popen([sys.executable, "-c", "import os; os.kill(os.getpid(), 19)"]) as process:
            os.waitpid(process.pid, os.WUNTRACED)
            assert is_stopped(process.pid)
            process.kill()
        assert not is_stopped(os.getpid())
        assert not is_stopped(process.pid)

    def test_one_that_a_parent_keeps(self):
        command = [sys.executable, "-uc", "print(1); input()", "--supervised"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            assert is_supervised(process.pid)
            process.communicate(b"\n")
        assert not is_supervised(process.pid)
        assert not is_supervised(os.getpid())


class TestTheCommand:
    def test_names_what_is_not_as_usual_and_nothing_that_a_shell_would_take_apart(self, directory):
        books = [BookStatus("kraken", symbol, BookState.STALE, BookReason.SILENT) for symbol in ("BTC-USD", "$(rm x)-USD")]
        made = collect_command(Directory(usual_path(), -1), SetStatus("kraken", "kraken", None, books=books))
        assert made == START
        odd = Directory(directory.path / "a b", -1)
        made = collect_command(odd, SetStatus("mine", "kraken", None, books=books))
        assert made == f"{START} --as mine --shm-dir '{directory.path}/a b'"
        assert collect_command(odd, SetStatus("mine", "kra`ken", None)).startswith("alphapulse collect --exchange mine")

    def test_a_collector_that_captured_captures_again(self, directory, tmp_path):
        """Also where its options were not the usual ones; the next one that does not capture is started without."""
        known = SetStatus("kraken", "kraken", None)
        plan = CapturePlan(str(tmp_path / "a b"), keep="7d")
        with Lease.acquire(directory, "kraken") as lease:
            lease.note(plan.to_options())
        said = collect_command(directory, known)
        assert said == f"alphapulse collect --exchange kraken --capture '{tmp_path}/a b' --keep 7d --shm-dir {directory.path}"
        with (directory.path / "kraken.lock").open("r+b") as lock:  # a note that is none
            lock.seek(MAX_TEXT_BYTES)
            lock.write(b'["--capture","\\u001b[2J"]   ')
        assert "--capture" not in collect_command(directory, known)
        with Lease.acquire(directory, "kraken") as lease:
            lease.note(plan.to_options())
        with Lease.acquire(directory, "kraken"):
            assert "--capture" not in collect_command(directory, known)

    def test_many_symbols_are_lists_that_a_narrow_line_holds(self, directory):
        books = [BookStatus("kraken", f"C{number}-USD", BookState.STALE, BookReason.SILENT) for number in range(40)]
        words = collect_command(directory, SetStatus("kraken", "kraken", None, books=books)).split()
        lists = [words[at + 1] for at, word in enumerate(words) if word == "--symbols"]
        assert ",".join(lists) == ",".join(book.symbol for book in books)
        assert max(map(len, lists)) <= SYMBOLS_ROOM
