"""How `collect` ends and how it refuses to start: segments retired by every signal, one clean line for what cannot be."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import alphapulse_cli as ap
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.layout import State
from alphapulse_cli.shm.lease import Lease
from alphapulse_cli.shm.segment import Segment

LIMIT_S = 40.0
OWN_TERMINAL = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"


@pytest.fixture(scope="module")
def simulated(module_alphapulse):
    """The address of a simulated Kraken."""
    process = module_alphapulse.start("sim", "kraken", "--symbols", "BTC-USD", "--json")
    return json.loads(process.stdout.readline())["websocket_url"]


def line_of(url, *more):
    return ["collect", "--exchange", "kraken", "--symbols", "BTC-USD", "--url", url, *more]


def wait_until_live(shm_dir, process):
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        assert process.poll() is None, "it ended"
        try:
            if ap.Book("kraken", "BTC-USD", shm_dir=str(shm_dir)).read(1).state.name == "LIVE":
                return
        except ap.SegmentError:
            pass
        time.sleep(0.02)
    raise AssertionError("no LIVE book")


def states(shm_dir):
    with open_directory(shm_dir) as directory:
        return {name: Segment.attach(directory, name).state for name in directory.names() if "_" in name}


class TestSignals:
    @pytest.mark.parametrize(
        ("number", "code"), [(signal.SIGHUP, 0), (signal.SIGINT, 130), (signal.SIGTERM, 0), (signal.SIGQUIT, 130)]
    )
    def test_each_retires_the_segments(self, alphapulse, simulated, number, code):
        process = alphapulse.start(*line_of(simulated))
        wait_until_live(alphapulse.shm_dir, process)
        process.send_signal(number)
        _, said = process.communicate(timeout=LIMIT_S)
        assert (process.returncode, b"Traceback" in said, b"Warning" in said) == (code, False, False)
        assert set(states(alphapulse.shm_dir).values()) == {State.RETIRED}
        assert len(states(alphapulse.shm_dir)) == 4

    def test_a_kill_is_what_the_heartbeat_is_for(self, alphapulse, simulated):
        """The mutant of the test above: nobody retires anything."""
        process = alphapulse.start(*line_of(simulated))
        wait_until_live(alphapulse.shm_dir, process)
        process.kill()
        process.wait(LIMIT_S)
        assert set(states(alphapulse.shm_dir).values()) == {State.READY}

    def test_a_closed_terminal_does(self, alphapulse, simulated):
        """The board's terminal goes away under it: the kernel sends SIGHUP, and writing fails."""
        outer, inner = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-c", OWN_TERMINAL, *alphapulse.command, *line_of(simulated)],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env=alphapulse.environment(),
            start_new_session=True,
        )
        alphapulse.started.append(process)
        os.close(inner)
        wait_until_live(alphapulse.shm_dir, process)
        os.close(outer)
        assert process.wait(LIMIT_S) == 0
        assert set(states(alphapulse.shm_dir).values()) == {State.RETIRED}

    @pytest.mark.parametrize("more", [(), ("--supervised",)])
    def test_a_closed_stdin(self, alphapulse, simulated, more):
        """Of a supervised child it is the end; another does not read it."""
        line = [*alphapulse.command, *line_of(simulated, *more)]
        process = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=alphapulse.environment()
        )
        alphapulse.started.append(process)
        wait_until_live(alphapulse.shm_dir, process)
        process.stdin.close()
        process.stdin = None
        if not more:
            before = ap.Book("kraken", "BTC-USD", shm_dir=str(alphapulse.shm_dir)).read(1).version
            with ap.follow("kraken", shm_dir=str(alphapulse.shm_dir)) as following:
                assert next(update for update in following if update.version > before).state.name == "LIVE"
            process.terminate()
        assert process.wait(LIMIT_S) == 0
        assert set(states(alphapulse.shm_dir).values()) == {State.RETIRED}


class TestRefusedStarts:
    @pytest.fixture
    def refused(self, alphapulse):
        """Runs `collect` with all warnings shown; what it said is an error, perhaps a hint, nothing else."""

        def run(*line):
            done = alphapulse(*line, PYTHONWARNINGS="always", ALPHAPULSE_KRAKEN_REST_URL="http://127.0.0.1:9")
            assert [part.split(":")[0] for part in done.stderr.splitlines()] in (["error"], ["error", "hint"]), done.stderr
            assert done.stdout == ""
            return done

        return run

    def test_a_directory_that_may_not_be_used(self, refused, alphapulse):
        alphapulse.shm_dir.chmod(0o755)
        assert refused(*line_of("ws://127.0.0.1:9")).code == 1

    @pytest.mark.parametrize(
        ("name", "make", "hint"),
        [
            ("kraken.wake", lambda path: path.write_bytes(b"garbage"), "rm "),
            ("kraken.wake", lambda path: path.mkdir(), "rm -r "),
            ("kraken.wake", lambda path: path.symlink_to("/dev/null"), "rm "),
            ("kraken.lock", lambda path: path.mkdir(), "rm -r "),
            ("kraken.lock", lambda path: path.symlink_to("/dev/null"), "rm "),
        ],
    )
    def test_a_garbage_wake_page_or_lock_says_what_to_do(self, alphapulse, simulated, name, make, hint):
        path = alphapulse.shm_dir / name
        make(path)
        if path.is_file() and not path.is_symlink():
            path.chmod(0o600)
        done = alphapulse(*line_of(simulated), "--duration", "20s", PYTHONWARNINGS="always", timeout=LIMIT_S)
        assert done.code == 1, done.stderr
        assert f"hint: {hint}{path}\n" in done.stderr
        assert "Warning" not in done.stderr

    def test_garbage_in_a_lock_names_nobody_and_is_written_over(self, alphapulse, simulated):
        path = alphapulse.shm_dir / "kraken.lock"
        path.write_bytes(b"\xff\x00 garbage 1 2 3")
        path.chmod(0o600)
        process = alphapulse.start(*line_of(simulated))
        wait_until_live(alphapulse.shm_dir, process)
        process.terminate()
        assert process.wait(LIMIT_S) == 0

    def test_a_held_set_is_7(self, alphapulse, simulated):
        with open_directory(alphapulse.shm_dir) as directory, Lease.acquire(directory, "kraken"):
            done = alphapulse(*line_of(simulated), "--duration", "20s", PYTHONWARNINGS="always", timeout=LIMIT_S)
        assert done.code == 7
        assert "Warning" not in done.stderr

    @pytest.mark.parametrize("name", ["-x", "", "Kraken", "a/b", "..", "x" * 60])
    def test_names_of_sets_that_cannot_be(self, refused, name):
        done = refused(*line_of("ws://127.0.0.1:9"), f"--as={name}") if name else None
        assert done is None or done.code == 2

    def test_the_name_of_another_exchange_is_no_name_of_a_set(self, refused):
        done = refused(*line_of("ws://127.0.0.1:9"), "--as", "coinbase")
        assert (done.code, "hint: choose another name, as in --as kraken-2" in done.stderr) == (2, True)

    @pytest.mark.parametrize("plant", ["6/xx", "x", "-1/min", "0/min", "6"])
    def test_demo_with_a_wrong_rate_is_2_before_anything_starts(self, refused, plant):
        done = refused("demo", f"--plant={plant}")
        assert (done.code, "not a rate of planted opportunities" in done.stderr) == (2, True)

    def test_demo_with_unknown_mischief_is_2(self, refused):
        assert refused("demo", "--mischief", "gremlins").code == 2


class TestWhatIsSaid:
    def test_a_misspelt_variable_is_told_with_the_nearest(self, alphapulse):
        done = alphapulse("config", "show", ALPHAPULSE_SYMBOL="BTC-USD", ALPHAPULSE_KRAKEN_URI="x", ALPHAPULSE_QQ="1")
        assert done.code == 0
        assert done.stderr.splitlines() == [
            "warning: ALPHAPULSE_KRAKEN_URI sets nothing; did you mean ALPHAPULSE_KRAKEN_URL?",
            "warning: ALPHAPULSE_QQ sets nothing: there is no such key",
            "warning: ALPHAPULSE_SYMBOL sets nothing; did you mean ALPHAPULSE_SYMBOLS?",
        ]
        assert alphapulse("config", "show", "-q", ALPHAPULSE_SYMBOL="x").stderr == ""
        assert alphapulse("config", "show", ALPHAPULSE_BUILD="none", ALPHAPULSE_DEPTH="5").stderr == ""

    @pytest.mark.parametrize("flag", ["-v", "-q"])
    def test_v_and_q_reach_every_child(self, module_alphapulse, simulated, tmp_path, flag):
        environment = {"ALPHAPULSE_KRAKEN_URL": simulated, "ALPHAPULSE_SHM_DIR": str(tmp_path / "s")}
        line = ["collect", "--exchange", "kraken,coinbase", "--symbols", "kraken:BTC-USD,coinbase:BTC-USD", flag]
        process = module_alphapulse.start(*line, **environment, ALPHAPULSE_COINBASE_URL="ws://127.0.0.1:9")
        children = children_of(process.pid)
        process.terminate()
        process.communicate(timeout=LIMIT_S)
        assert all(flag in words for words in children)


def children_of(pid):
    """The command lines of both supervised children; waits for them."""
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        pids = " ".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")).split()
        found = [Path(f"/proc/{child}/cmdline").read_text().split("\0") for child in pids]
        supervised = [words for words in found if "--supervised" in words]
        if len(supervised) == 2:
            return supervised
        time.sleep(0.02)
    raise AssertionError("no children")
