"""The machine's ledger: one account for all processes, whatever becomes of them and of the file."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from alphapulse_cli.edges.exchange.ledger import FILE_BYTES, FORGOTTEN_AFTER_S, Ledger
from alphapulse_cli.edges.exchange.rate_limit import RateLimit
from alphapulse_cli.exchanges.protocol import Rate
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.identity import boot_id

RATE = Rate(20, 0.001)  # twenty at once, and then none for as long as a test may take
TAKER = """
import sys, time
from alphapulse_cli.edges.exchange import ledger as module
from alphapulse_cli.edges.exchange.ledger import Ledger
from alphapulse_cli.edges.exchange.rate_limit import RateLimit
from alphapulse_cli.exchanges.protocol import Rate
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory

module.PATIENCE_S = 20.0  # a busy machine may stop a holder for longer than the usual 5 ms, which then counts as stopped
with open_directory(sys.argv[1]) as directory, Ledger(directory, "kraken", print) as ledger:
    limit = RateLimit(Rate(20, 0.001), ledger, "connects")
    print("ready", flush=True)
    sys.stdin.readline()
    taken = 0
    while limit.reserve(clock.monotonic_ns()) == 0:
        taken += 1
    print(taken, flush=True)
"""
HOLDER = """
import fcntl, sys
from alphapulse_cli.edges.exchange.ledger import Ledger
from alphapulse_cli.shm.directory import open_directory

directory = open_directory(sys.argv[1])
ledger = Ledger(directory, "kraken", print)

def half_done(account):
    account.free_ns = 1 << 62
    print("holding", flush=True)
    sys.stdin.readline()

ledger.update("connects", half_done)
"""


@pytest.fixture
def told():
    return []


@pytest.fixture
def ledger(directory, told):
    with Ledger(directory, "kraken", told.append) as opened:
        yield opened


def run(program, directory):
    return subprocess.Popen(
        [sys.executable, "-P", "-c", program, str(directory.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def limit_of(ledger, rate=RATE):
    return RateLimit(rate, ledger, "connects")


def take_all(limit):
    """How many go at once."""
    taken = 0
    while limit.reserve(clock.monotonic_ns()) == 0:
        taken += 1
    return taken


def path_of(directory, name="kraken"):
    return directory.path / "limits" / name


class TestShared:
    def test_processes_take_together_what_one_may(self, directory):
        processes = [run(TAKER, directory) for _ in range(3)]
        try:
            for process in processes:
                assert process.stdout.readline() == "ready\n"
            for process in processes:
                process.stdin.write("\n")
                process.stdin.flush()
            taken = [int(process.stdout.readline()) for process in processes]
        finally:
            for process in processes:
                process.communicate(timeout=20)
        assert sum(taken) == 20

    def test_the_next_one_goes_on_where_the_last_left_off(self, directory, told):
        with Ledger(directory, "kraken", told.append) as first:
            assert [limit_of(first).reserve(clock.monotonic_ns()) for _ in range(15)] == [0] * 15
        with Ledger(directory, "kraken", told.append) as second:
            assert take_all(limit_of(second)) == 5
        assert told == []

    def test_a_pause_of_one_is_every_ones(self, directory, ledger, told):
        now = clock.monotonic_ns()
        limit_of(ledger).pause(now + 10**15)  # eleven days: a ban
        with Ledger(directory, "kraken", told.append) as other:
            assert limit_of(other).pause_left_s(now) == 10**6
            assert limit_of(other).reserve(now) == 10**6

    def test_exchanges_and_simulators_are_apart(self, directory, ledger, told):
        take_all(limit_of(ledger))
        for name, port in (("coinbase", None), ("kraken", 18080)):
            with Ledger(directory, name, told.append, port=port) as other:
                assert take_all(limit_of(other)) == 20

    def test_it_is_one_small_file_that_only_we_may_read(self, directory, ledger):
        take_all(limit_of(ledger))
        found = path_of(directory).stat()
        assert (found.st_size, found.st_mode & 0o777) == (FILE_BYTES, 0o600)
        said = json.loads(path_of(directory).read_text())
        assert (said["version"], said["boot"], list(said["limits"])) == (1, boot_id().hex(), ["connects"])


class TestWhoHoldsTheLock:
    def test_killed_with_it_the_others_go_on(self, directory, ledger, told):
        holder = run(HOLDER, directory)
        assert holder.stdout.readline() == "holding\n"
        with path_of(directory).open("rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.kill(holder.pid, signal.SIGKILL)
        holder.communicate(timeout=20)
        assert take_all(limit_of(ledger)) == 20, "what it had not written down was not taken"
        assert told == []

    def test_stopped_with_it_nobody_waits_long(self, directory, ledger, told):
        limit = limit_of(ledger)
        assert [limit.reserve(clock.monotonic_ns()) for _ in range(3)] == [0] * 3
        with path_of(directory).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert take_all(limit) == 17, "counted alone, with what it remembers"
        assert told == ["limits/kraken is locked by a process that is stopped: limits are not shared with other collectors"]
        with Ledger(directory, "kraken", told.append) as other:
            assert take_all(limit_of(other)) == 17, "what was taken meanwhile is not known yet"
        limit.reserve(clock.monotonic_ns())
        assert [limit.reserve(clock.monotonic_ns()) > 0, len(told)] == [True, 1]


class TestTheFile:
    @pytest.mark.parametrize(
        "damage",
        [
            b"\0" * FILE_BYTES,
            b"{",
            b"[]",
            b"{}",
            b'{"version":0,"boot":"","limits":{}}',
            b'{"version":"1","boot":"","limits":{}}',
            b'{"version":1,"boot":"","limits":[]}',
            b'{"version":1,"boot":"","limits":{"connects":5}}',
            b'{"version":1,"boot":"","limits":{"connects":{"free_ns":-1}}}',
            b'{"version":1,"boot":"","limits":{"connects":{"free_ns":1.5}}}',
            b'{"version":1,"boot":"BOOT","limits":{"connects":{"free_ns":9223372036854775807}}}',
            b"x" * (1 << 20),
        ],
    )
    def test_garbage_is_told_and_replaced(self, directory, ledger, told, damage):
        limit = limit_of(ledger)
        limit.reserve(clock.monotonic_ns())
        path_of(directory).write_bytes(damage.replace(b"BOOT", boot_id().hex().encode()))
        assert take_all(limit) == 19, "its own part it remembers"
        assert told == ["limits/kraken was damaged: counting starts again"]
        assert path_of(directory).stat().st_size == FILE_BYTES
        with Ledger(directory, "kraken", told.append) as other:
            assert take_all(limit_of(other)) == 0
        assert len(told) == 1

    def test_times_of_another_boot_mean_nothing(self, directory, ledger, told):
        far = {"free_ns": 1 << 60, "pause_until_ns": 1 << 60}
        limit_of(ledger).pause_left_s(0)
        path_of(directory).write_text(json.dumps({"version": 1, "boot": "00" * 16, "limits": {"connects": far}}))
        assert take_all(limit_of(ledger)) == 20
        assert told == []

    def test_a_later_versions_file_is_left_alone(self, directory, ledger, told):
        limit_of(ledger).pause_left_s(0)
        later = b'{"version":2,"whatever":[]}'
        path_of(directory).write_bytes(later)
        assert take_all(limit_of(ledger)) == 20
        assert path_of(directory).read_bytes() == later
        assert told == ["limits/kraken was written by a later version of alphapulse: limits are not shared with other collectors"]

    def test_what_another_put_there_besides_stays(self, directory, ledger, told):
        limit_of(ledger).pause_left_s(0)
        said = json.loads(path_of(directory).read_text())
        said["minor"], said["limits"]["connects"]["why"] = 7, "a later field"
        path_of(directory).write_text(json.dumps(said))
        limit_of(ledger).reserve(clock.monotonic_ns())
        found = json.loads(path_of(directory).read_text())
        assert (found["minor"], found["limits"]["connects"]["why"]) == (7, "a later field")
        assert told == []

    def test_it_never_grows(self, directory, ledger, told):
        limit_of(ledger).pause_left_s(0)
        said = json.loads(path_of(directory).read_text())
        said["more"] = ""
        said["more"] = "x" * (FILE_BYTES - len(json.dumps(said)))
        path_of(directory).write_text(json.dumps(said, separators=(",", ":")))
        assert path_of(directory).stat().st_size > FILE_BYTES - 20
        take_all(limit_of(ledger))
        assert path_of(directory).stat().st_size == FILE_BYTES
        with Ledger(directory, "kraken", told.append) as other:
            assert take_all(limit_of(other)) == 0
        assert told == []

    def test_removed_under_us_it_is_made_again(self, directory, ledger, told):
        limit = limit_of(ledger)
        limit.reserve(clock.monotonic_ns())
        path_of(directory).unlink()
        assert take_all(limit) == 19
        with Ledger(directory, "kraken", told.append) as other:
            assert take_all(limit_of(other)) == 0
        assert told == []

    def test_a_link_in_its_place_is_not_followed(self, directory, told, tmp_path):
        with Ledger(directory, "kraken", told.append) as ledger:
            (tmp_path / "elsewhere").write_text("precious")
            path_of(directory).symlink_to(tmp_path / "elsewhere")
            assert take_all(limit_of(ledger)) == 20
        assert (tmp_path / "elsewhere").read_text() == "precious"
        assert len(told) == 1
        assert "not shared" in told[0]

    def test_no_folder_to_be_had(self, directory, told):
        (directory.path / "limits").write_text("in the way")
        with Ledger(directory, "kraken", told.append) as ledger:
            assert take_all(limit_of(ledger)) == 20
        assert len(told) == 1

    def test_simulators_of_long_ago_are_swept(self, directory, told):
        for name, port in (("kraken", None), ("kraken", 1), ("kraken", 2)):
            with Ledger(directory, name, told.append, port=port) as ledger:
                limit_of(ledger).reserve(clock.monotonic_ns())
        long_ago = time.time() - 2 * FORGOTTEN_AFTER_S
        for name in ("kraken", "kraken@1"):
            os.utime(path_of(directory, name), (long_ago, long_ago))
        with Ledger(directory, "coinbase", told.append):
            assert sorted(path.name for path in path_of(directory, "").iterdir()) == ["kraken", "kraken@2"]
