"""The demo comes up, shows every exchange's books moving, and leaves no process behind, however it ends."""

import json
import os
import resource
import signal
import subprocess

from support.app_parts import live_books, processes_of, sample, wait_until

from alphapulse_cli.apps.demo import EXCHANGES, SYMBOLS
from alphapulse_cli.shm.segment import Liveness


def test_comes_up_shows_live_books_and_is_gone_afterwards(alphapulse):
    demo = alphapulse.start("demo", "--json", "--duration", "1h")
    wanted = {(exchange, symbol) for exchange in EXCHANGES for symbol in SYMBOLS}
    live: set[tuple[str, str]] = set()
    while live != wanted:
        row = json.loads(demo.stdout.readline())
        if row["state"] == "LIVE" and row["bid"] and row["ask"]:
            live.add((row["exchange"], row["symbol"]))
    demo.terminate()
    _, err = demo.communicate(timeout=60)
    assert (demo.returncode, err) == (0, b"")
    assert processes_of(alphapulse.shm_dir) == []
    assert {one.liveness for one in sample(alphapulse.shm_dir)} == {Liveness.RETIRED}


def test_without_room_it_ends_with_1_and_says_so(alphapulse):
    """The collectors' files may be a page long; each says what it lacked, and none is started again."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    command = [*alphapulse.command, "demo", "--json", "--symbols", "ETH-BTC"]
    env, where = alphapulse.environment(), alphapulse.directory
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=where, timeout=100, preexec_fn=limit)
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert "before it collected any data: it is not started again" in done.stderr
    assert processes_of(alphapulse.shm_dir) == []


def test_a_duration_ends_it(alphapulse):
    """However far it has come."""
    done = alphapulse("demo", "--duration", "500ms", "--json", timeout=100)
    assert (done.code, done.stderr) == (0, "")
    assert processes_of(alphapulse.shm_dir) == []


def test_killed_it_leaves_no_process_and_its_simulators_end_is_its_own(alphapulse):
    """Both in one run of it: the simulators are killed, and the demo says so and ends."""
    demo = alphapulse.start("demo", "--json", "--symbols", "ETH-BTC")
    wait_until(lambda: len(live_books(alphapulse.shm_dir)) == len(EXCHANGES), 100, what="live books")
    (simulator,) = [pid for pid in processes_of(alphapulse.shm_dir) if b"\0sim\0" in _command(pid)]
    os.kill(simulator, signal.SIGKILL)
    _, err = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert b"error: the simulators ended" in err
    wait_until(lambda: not processes_of(alphapulse.shm_dir), what="no process")


def test_killed_outright_its_children_end(alphapulse):
    demo = alphapulse.start("demo", "--json", "--symbols", "ETH-BTC")
    wait_until(lambda: len(live_books(alphapulse.shm_dir)) == len(EXCHANGES), 100, what="live books")
    demo.kill()
    wait_until(lambda: not processes_of(alphapulse.shm_dir), what="no process")


def _command(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123 - one line of a file of the kernel's
        return file.read()
