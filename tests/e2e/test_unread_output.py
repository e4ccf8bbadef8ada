"""A standard output or error that nobody reads: what is lost is the lines, not the work, and not its end."""

import fcntl
import os
import signal
import subprocess
from pathlib import Path
from termios import FIONREAD

from support.e2e import Simulators, book_states, totals, wait_for, wait_until_live, writer_pid
from support.terminals import Terminal

from alphapulse_cli.readers.api import Book

SMALLEST_PIPE = 4096


def test_a_demo_nobody_reads_starts_a_killed_collector_again_and_ends_when_told(alphapulse):
    """The pipe holds two seconds' lines; both ends stay open, and nothing is taken from it."""
    demo = alphapulse.start("demo", "--symbols", "BTC-USD,ETH-USD", "--json")
    fcntl.fcntl(demo.stdout, fcntl.F_SETPIPE_SZ, SMALLEST_PIPE)
    wait_until_live(alphapulse.shm_dir, "kraken", ["BTC-USD"])
    full = []

    def stands_still():
        full.append(int.from_bytes(fcntl.ioctl(demo.stdout, FIONREAD, bytes(4)), "little"))
        return len(full) > 100 and full[-1] and full[-1] == full[-100]  # no line in two seconds, where there is one a second

    wait_for(stands_still, "a full pipe")
    first = writer_pid(alphapulse.shm_dir, "kraken")
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: writer_pid(alphapulse.shm_dir, "kraken") not in (first, 0), "another collector")
    demo.terminate()
    assert demo.wait(20) == 0


def test_a_terminal_that_is_not_read_holds_up_the_board_and_not_the_collector(alphapulse):
    """As after Ctrl-S, or over a line that hangs: the books stay LIVE, and SIGTERM still ends it."""
    simulated = Simulators(alphapulse, "kraken", symbols="BTC-USD", rate=500)
    command = [*alphapulse.command, "collect", "--exchange", "kraken", "--symbols", "BTC-USD"]
    env = alphapulse.environment(**simulated.environment)
    terminal = Terminal(command, 200, 60, env=env, cwd=alphapulse.directory)
    try:
        wait_until_live(alphapulse.shm_dir, "kraken", ["BTC-USD"])
        terminal.fill()
        assert terminal.is_full
        version = book_version(alphapulse)
        wait_for(lambda: book_version(alphapulse) > version + 500, "updates of a second, in which the board would be drawn again")
        assert book_states(alphapulse.shm_dir, "kraken", ["BTC-USD"]) == {"BTC-USD": "LIVE"}
        terminal.process.terminate()
        assert terminal.process.wait(20) == 0
    finally:
        terminal.close()


def book_version(alphapulse):
    return Book("kraken", "BTC-USD", shm_dir=str(alphapulse.shm_dir)).read(1).version


def test_a_collector_whose_talk_nobody_reads_collects_on_says_what_was_lost_and_ends(alphapulse):
    """Each second update of the exchange is told with -v, and the pipe holds few of them."""
    simulated = Simulators(alphapulse, "kraken", symbols="BTC-USD", rate=500, mischief="unknown:0.5")
    line = ["-v", "--exchange", "kraken", "--symbols", "BTC-USD", "--url", simulated.url("kraken")]
    collector = alphapulse.start("collect", *line)
    fcntl.fcntl(collector.stderr, fcntl.F_SETPIPE_SZ, SMALLEST_PIPE)
    wait_until_live(alphapulse.shm_dir, "kraken", ["BTC-USD"])

    def counted(label):
        return totals(alphapulse.shm_dir, "kraken")[label]

    told = counted("unrecognised")
    wait_for(lambda: counted("unrecognised") > told + 200, "more lines than a pipe holds")
    updates = counted("book_updates")
    wait_for(lambda: counted("book_updates") > updates + 50, "books that go on")

    heard = b""
    while b" lines were lost here, since nobody read them\n" not in heard:  # the first thing said after there is room again
        heard += collector.stderr.read(1 << 16)
    lost = int(heard.partition(b" lines were lost")[0].rpartition(b"warning: ")[2])
    assert lost > 100
    after = heard.partition(b"nobody read them\n")[2] or collector.stderr.read(1 << 16)
    assert b"unknown kind of message" in after

    told = counted("unrecognised")
    wait_for(lambda: counted("unrecognised") > told + 200, "a pipe that is full once more")
    collector.terminate()
    assert collector.wait(20) == 0


def test_a_full_disk_behind_its_standard_output_does_not_end_a_collector(alphapulse):
    """What it says of that it says once."""
    simulated = Simulators(alphapulse, "kraken", symbols="BTC-USD")
    line = [
        *alphapulse.command,
        "collect",
        "--exchange",
        "kraken",
        "--symbols",
        "BTC-USD",
        "--url",
        simulated.url("kraken"),
        "--json",
    ]
    with Path("/dev/full").open("wb") as full:
        collector = subprocess.Popen(
            line, stdout=full, stderr=subprocess.PIPE, env=alphapulse.environment(), cwd=alphapulse.directory
        )
    alphapulse.started.append(collector)
    assert (
        collector.stderr.readline()
        == b"warning: cannot write to standard output: No space left on device; its lines are lost, collecting continues\n"
    )
    updates = totals(alphapulse.shm_dir, "kraken")["book_updates"]
    wait_for(lambda: totals(alphapulse.shm_dir, "kraken")["book_updates"] > updates + 100, "two more lines' time")
    collector.terminate()
    assert (collector.wait(20), collector.stderr.read()) == (0, b"")
