"""The live screen in a real terminal on real collectors: simulators that speak the exchanges' protocols, a `collect` each, `alphapulse tui`.

What the screen does with segments that a test wrote by hand stands in tests/tui; here the world is whole.
"""

import os
import re
import signal
import sys
from pathlib import Path

import pytest
from support.e2e import Simulators, wait_for, wait_until_live, writer_pid
from support.terminals import Terminal

from alphapulse_cli.shm.directory import segment_name
from alphapulse_cli.shm.layout import SegmentKind

EXCHANGES, SYMBOLS = ("kraken", "binance-us"), ("BTC-USD", "ETH-USD")
LATER = "coinbase"
STORM = [(20, 5), (300, 100), (80, 24), (1, 1), (132, 10), (20, 60), (300, 6), (81, 25)]
HEADING = re.compile(r"^ alphapulse .*1 ")
IN_ITS_OWN = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"


@pytest.fixture(scope="module")
def simulators(module_alphapulse):
    return Simulators(module_alphapulse, *EXCHANGES, LATER, symbols=",".join(SYMBOLS), rate=10)


@pytest.fixture(scope="module")
def collect(module_alphapulse, simulators):
    """Start a collector of an exchange; returns once its books are LIVE."""

    def start(name):
        process = module_alphapulse.start(
            "collect", "--exchange", name, "--symbols", ",".join(SYMBOLS), "--quiet", **simulators.environment
        )
        wait_until_live(module_alphapulse.shm_dir, name, SYMBOLS)
        return process

    return start


@pytest.fixture(scope="module")
def collectors(collect):
    return {name: collect(name) for name in EXCHANGES}


@pytest.fixture
def terminal(module_alphapulse):
    made = []

    def start(*arguments, columns=120, rows=40, before=(), **environment):
        command = [*before, *module_alphapulse.command, *arguments]
        made.append(
            Terminal(
                command,
                columns,
                rows,
                env=module_alphapulse.environment(**environment),
                cwd=module_alphapulse.directory,
            )
        )
        return made[-1]

    yield start
    for one in made:
        one.close()


def line_of(text, set_name, symbol):
    """The line of the overview with that book, "" if there is none."""
    return next((line for line in text.splitlines() if set_name in line and symbol in line), "")


def is_live(text, set_name):
    return all("LIVE" in line_of(text, set_name, symbol) for symbol in SYMBOLS)


def all_live(text, sets=EXCHANGES):
    return all(is_live(text, name) for name in sets)


def is_whole(text):
    """One heading, on the first line; the keys on the last one."""
    lines = text.splitlines()
    headings = [number for number, line in enumerate(lines) if HEADING.match(line)]
    return headings == [0] and "Quit" in lines[-1]


def leftover_readers(shm_dir):
    readers = Path(shm_dir) / "readers"
    return sorted(readers.iterdir()) if readers.exists() else []


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


class TestADay:
    def test_storm_new_exchange_killed_collector_its_return_and_ctrl_c(self, terminal, collectors, collect, module_alphapulse):
        """One long test: each step begins where the last one ended."""
        screen = terminal("tui", "--screen", "overview")
        screen.until(all_live, "books of both exchanges")

        for key in "123456":
            screen.press(key)
            for columns, rows in STORM:
                screen.resize(columns, rows)
                screen.read(0)
        screen.press("1")
        screen.resize(120, 40)
        screen.until(lambda text: all_live(text) and is_whole(text), "the overview, whole, after the storm")

        collect(LATER)
        screen.until(lambda text: is_live(text, LATER), "the exchange that came later")

        collectors["kraken"].kill()
        screen.until(
            lambda text: "STALE" in line_of(text, "kraken", "BTC-USD") and "alphapulse collect --exchange kraken" in text,
            "the death of the collector, and what to do",
        )
        assert is_live(screen.screen.text, "binance-us"), "the others go on"
        collect("kraken")
        screen.until(
            lambda text: all_live(text, (*EXCHANGES, LATER)) and "Start it again" not in text, "the books after the restart"
        )

        screen.press("\x03")
        assert screen.wait() == 130
        assert screen.is_as_before
        assert leftover_readers(module_alphapulse.shm_dir) == []


class TestPoorTerminals:
    @pytest.mark.parametrize(
        "environment",
        [
            {"TERM": "xterm", "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
            {"TERM": "screen", "LC_ALL": "POSIX", "LANG": "", "NO_COLOR": "1"},
        ],
        ids=["xterm, ascii", "screen, POSIX"],
    )
    def test_every_screen_is_drawn_and_q_leaves_the_terminal_as_it_was(self, terminal, collectors, environment):
        screen = terminal("tui", "--screen", "overview", columns=80, rows=24, **environment)
        screen.until(lambda text: is_live(text, "binance-us"), "live books")
        for key in "234561":
            screen.press(key)
        screen.until(lambda text: is_live(text, "binance-us") and is_whole(text), "the overview")
        screen.press("q")
        assert screen.wait() == 0
        assert screen.is_as_before


class TestHowItEnds:
    def test_a_window_that_is_closed_ends_it_and_leaves_no_reader(self, terminal, collectors, module_alphapulse):
        before = leftover_readers(module_alphapulse.shm_dir)
        screen = terminal("tui", before=[sys.executable, "-P", "-c", IN_ITS_OWN])
        screen.until(lambda text: is_live(text, "binance-us"), "live books")
        assert leftover_readers(module_alphapulse.shm_dir) != before
        screen.hang_up()
        screen.process.wait(20)
        wait_for(lambda: leftover_readers(module_alphapulse.shm_dir) == before, "its cursors to be gone")

    def test_a_terminal_that_is_not_read_for_a_while_is_waited_for(self, terminal, collectors):
        """As over a bad line: the pipe is full, then it flows again; a key pressed meanwhile is not lost."""
        screen = terminal("tui", columns=300, rows=100)
        screen.until(lambda text: is_live(text, "binance-us"), "live books")

        def is_full():
            screen.press("t")  # another theme: everything is drawn anew
            return screen.is_full

        wait_for(is_full, "a full terminal", 10)
        screen.press("q")
        assert screen.wait() == 0
        assert screen.is_as_before

    def test_the_demo_takes_its_collectors_with_it(self, alphapulse):
        """Of its own: the segments of the module are not its."""
        screen = Terminal([*alphapulse.command, "demo"], 120, 40, env=alphapulse.environment(), cwd=alphapulse.directory)
        try:
            names = ("kraken", "coinbase", "binance-us")
            screen.until(lambda text: "LIVE" in text, "a live book")
            # One exchange may show all its books before another has its segments.
            rings = [alphapulse.shm_dir / segment_name(SegmentKind.DELTAS, name) for name in names]
            wait_for(lambda: all(ring.exists() for ring in rings), "the segments of each")
            pids = [writer_pid(alphapulse.shm_dir, name) for name in names]
            assert all(pids)
            os.kill(screen.process.pid, signal.SIGTERM)
            assert screen.wait() == 0
            assert screen.is_as_before
            wait_for(lambda: all(is_gone(pid) for pid in pids), "the collectors to be gone")
        finally:
            screen.close()
