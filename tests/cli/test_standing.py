"""Notices about collectors on stderr: in a pipe, in a file, beside a pager and beside a live table of our own."""

import contextlib
import fcntl
import os
import shlex
import shutil
import termios

import pytest
from support.reader_sets import Writer, kept_alive, ladder
from support.terminals import Terminal

from alphapulse_cli.cli import standing, stderr
from alphapulse_cli.edges import process
from alphapulse_cli.readers import sets
from alphapulse_cli.readers.selection import Wanted

FOLLOWING = {
    "tail": ["tail", "deltas", "--duration", "0.1s"],
    "reconstruct --watch": ["reconstruct", "--watch", "--duration", "0.1s"],
    "arb watch": ["arb", "watch", "--no-keep", "--duration", "0.1s"],
}
ENDED = "warning: the collector of kraken has ended"


@pytest.fixture
def always_looking(monkeypatch):
    """A look for sets at each turn of the loop, instead of twice a second: however short a command is, it has looked."""
    monkeypatch.setattr(sets, "LOOK_EVERY_NS", 0)


@pytest.fixture
def ended(directory):
    """A set whose collector has ended, beside a live one."""
    with Writer(directory) as gone:
        gone.snapshot(ladder(4))
    with Writer(directory, set_name="second", exchange="coinbase") as live:
        live.snapshot(ladder(4))
        with kept_alive(live):
            yield live


@pytest.mark.usefixtures("always_looking")
@pytest.mark.parametrize("name", FOLLOWING)
@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_each_command_that_follows_sets_says_in_a_pipe_that_a_collector_has_ended(quick, ended, name, form):
    done = quick(*FOLLOWING[name], "--format", form)
    assert done.code == 0
    assert done.stderr.count(ENDED) == 1, done.stderr
    assert "hint: start it again: alphapulse collect --exchange kraken" in done.stderr
    assert ENDED not in done.stdout


@pytest.mark.usefixtures("always_looking")
@pytest.mark.parametrize("name", FOLLOWING)
def test_each_command_that_follows_sets_reports_an_exchange_not_collected_yet(quick, ended, name):
    done = quick(*FOLLOWING[name], "--exchange", "kraken,binance,second,krakn")
    assert "warning: binance is not collected yet; waiting for its collector\n" in done.stderr
    assert f"hint: start a collector: alphapulse collect --exchange binance --shm-dir {quick.shm_dir}\n" in done.stderr
    assert "warning: krakn is not collected yet; waiting for its collector\nhint: did you mean kraken?\n" in done.stderr
    assert "second is not collected" not in done.stderr


@pytest.mark.usefixtures("always_looking")
def test_quiet_leaves_the_notices_out(quick, ended):
    assert quick("-q", *FOLLOWING["tail"], "--exchange", "kraken,binance").stderr == ""


def test_a_set_that_comes_is_reported_and_one_that_ends_and_comes_back(directory, capsys):
    """The watcher alone, with a clock that is handed in: each change once, at most a look a second."""
    watcher = standing.Standing(directory, Wanted.of(["kraken", "coinbase"], None))
    second = standing.LOOK_AGAIN_NS
    with Writer(directory) as writer, kept_alive(writer):
        watcher.look(["kraken"], second)
        assert capsys.readouterr().err.splitlines()[0] == "warning: coinbase is not collected yet; waiting for its collector"
        with Writer(directory, set_name="coinbase", exchange="coinbase") as other:
            watcher.look(["kraken"], 2 * second - 1)
            assert capsys.readouterr().err == "", "within a second"
            with kept_alive(other):
                watcher.look(["kraken", "coinbase"], 2 * second)
                assert capsys.readouterr().err == "coinbase is collected now\n"
        for tick in (3, 4):
            watcher.look(["kraken", "coinbase"], tick * second)
        assert capsys.readouterr().err.count("warning: the collector of coinbase has ended") == 1
        with Writer(directory, set_name="coinbase", exchange="coinbase") as again, kept_alive(again):
            watcher.look(["kraken", "coinbase"], 5 * second)
            watcher.look(["kraken", "coinbase"], 6 * second)
        assert capsys.readouterr().err == "the collector of coinbase is back\n"


def kept(seen, text):
    """True, with the text added to what was seen."""
    seen.append(text)
    return True


@pytest.fixture
def at_shell(quick):
    """A shell in a terminal of its own, with job control if it is interactive; $A is the program."""
    with contextlib.ExitStack() as closing:

        def start(*words):
            env = quick.environment(A=shlex.join(quick.command), PS1="$ ", LESS="", TERM="xterm")
            terminal = Terminal(
                ["bash", "--norc", *words],
                100,
                20,
                env=env,
                cwd=quick.directory,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            )
            closing.callback(terminal.close)
            return terminal

        yield start


@pytest.mark.skipif(not shutil.which("less"), reason="less draws on the terminal")
class TestBesideAPager:
    def test_nothing_is_drawn_over_less_and_all_is_written_once_it_is_left(self, at_shell, ended):
        """Ctrl-C ends the command, which waits with the notice until q ends the pager."""
        terminal = at_shell("-c", "$A tail deltas --format table --from oldest | less; echo over")
        terminal.until(lambda text: "kraken:BTC-USD" in text, "data")
        seen = []

        def is_late(text):
            seen.append(text)
            return len(seen) > 30

        terminal.until(is_late, "three quiet seconds")
        terminal.press("\x03")
        terminal.until(lambda text: kept(seen, text) and "(END)" in text, "the pager's prompt")
        assert not [text for text in seen if "warning" in text or "hint" in text]
        terminal.press("q")
        terminal.until(lambda text: ENDED in text and "over" in text, "the notice, after the pager")

    def test_a_command_that_ends_before_its_pager_waits_with_what_it_has_to_say(self, at_shell, ended):
        terminal = at_shell("-c", "$A tail deltas --format table --from oldest --duration 2s | less; echo over")
        terminal.until(lambda text: "(END)" in text, "the end of the data, so that the command has closed its pipe")
        assert "warning" not in terminal.screen.text
        terminal.press("q")
        terminal.until(lambda text: ENDED in text and "over" in text, "the notice, after the pager")


class TestWithoutAPager:
    def test_without_a_pager_the_terminal_gets_the_notices_at_once(self, at_shell, ended):
        terminal = at_shell("-c", "$A tail deltas --format table | cat >data")
        terminal.until(lambda text: ENDED in text, "the notice")

    def test_without_a_pager_a_shell_at_its_prompt_gets_the_notices_at_once(self, at_shell, ended):
        """It reads keys one by one, as a pager does; a command in the background speaks nevertheless."""
        terminal = at_shell("-i")
        terminal.press("$A tail deltas >data &\n")
        terminal.until(lambda text: ENDED in text, "the notice")
        terminal.press("kill %1; wait; exit\n")  # a stopped job would keep the shell
        terminal.wait()


def test_a_live_table_of_our_own_is_followed_by_the_notices(quick, ended):
    """While it is drawn they wait; afterwards they stand below it."""
    command = [*quick.command, "reconstruct", "--watch", "--duration", "2s"]
    terminal = Terminal(command, 100, 60, env=quick.environment(), cwd=quick.directory)
    try:
        terminal.until(lambda text: ENDED in text, "the notice")
    finally:
        terminal.close()
    lines = terminal.screen.text.splitlines()
    assert all("kraken:BTC-USD" not in line for line in lines[next(at for at, line in enumerate(lines) if ENDED in line) :])


class TestLinesHeldBack:
    """`stderr` with a terminal that is said to be taken, and then free."""

    @pytest.fixture
    def taken(self, monkeypatch):
        state = {"taken": True}
        monkeypatch.setattr(stderr, "_is_terminal_taken", lambda: state["taken"])
        yield state
        stderr.reset()

    def test_are_written_in_order_before_the_next_line(self, taken, capsys):
        stderr.warning("one", "hint one")
        stderr.note("two")
        assert capsys.readouterr().err == ""
        taken["taken"] = False
        stderr.note("three")
        assert capsys.readouterr().err == "warning: one\nhint: hint one\ntwo\nthree\n"

    def test_lines_held_back_are_bounded_and_lost_ones_counted(self, taken, capsys):
        for number in range(stderr.MOST_HELD + 3):
            stderr.note(f"line {number}")
        taken["taken"] = False
        stderr.release()
        lines = capsys.readouterr().err.splitlines()
        assert lines[:2] == [
            "warning: the first 3 lines were lost here, since another program drew on the terminal",
            "line 3",
        ]
        assert len(lines) == 1 + stderr.MOST_HELD

    def test_lines_held_back_do_not_delay_an_error(self, taken, capsys):
        stderr.error("it failed")
        assert capsys.readouterr().err == "error: it failed\n"


def test_a_descriptor_that_is_no_terminal_is_drawn_on_by_nobody(tmp_path):
    with (tmp_path / "file").open("w") as file:
        assert not process.is_drawn_on(file.fileno())
    outer, inner = os.openpty()
    assert not process.is_drawn_on(inner), "it takes whole lines"
    os.close(outer)
    os.close(inner)
