"""What the live screen says to do is tried: read from its terminal, typed into a shell as it stands there, and the state ends.

Collectors of real processes end in each way there is: killed, stopped, hung, hung under a parent, ended in good order. A mute feed is said to
heal by itself, and does.
"""

import os
import re
import signal
import stat

import pytest
from support.e2e import Simulators, wait_for, wait_until_live, writer_pid
from support.terminals import Terminal

SYMBOLS = ("BTC-USD", "ETH-USD")
COMMAND = re.compile(r"(?:^|: )((?:alphapulse collect|kill -[A-Z0-9]+ [0-9]+).*)")
HANGS = """
import signal, time
signal.signal(signal.SIGUSR1, lambda *_: time.sleep(3600))
"""


class Desk:
    """A shell and the live screen, each in a terminal, with an `alphapulse` that is the one under test."""

    def __init__(self, alphapulse, simulators, folder, columns=80, rows=24):
        (folder / "sitecustomize.py").write_text(HANGS)
        script = folder / "bin" / "alphapulse"
        script.parent.mkdir()
        script.write_text(f'#!/bin/sh\nexec {" ".join(alphapulse.command)} "$@"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        env = alphapulse.environment(
            **simulators.environment,
            PATH=f"{script.parent}{os.pathsep}{os.environ['PATH']}",
            PYTHONPATH=os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")])),
            PS1="$ ",
        )
        self.shm_dir, self._env, self._folder, self._shells = alphapulse.shm_dir, env, alphapulse.directory, []
        self.screen = self._terminal([str(script), "tui", "--screen", "overview"], columns, rows)

    def _terminal(self, command, columns, rows):
        return Terminal(command, columns, rows, env=self._env, cwd=self._folder)

    def type(self, lines):
        """Into a shell of its own; what it starts runs on in there."""
        shell = Terminal(["sh", "-i"], 100, 30, env=self._env, cwd=self._folder)
        self._shells.append(shell)
        shell.until(lambda text: text.rstrip().endswith("$"), "a prompt")
        shell.press("\n".join([*lines, ""]))
        return shell

    def advice(self, words):
        """The lines of the command that the screen's last lines name, once they have those words too."""

        def lines():
            return [line.strip() for line in self.screen.screen.lines]

        seen = []

        def is_whole(text):
            """The same twice: what is read may end in the middle of what is drawn."""
            seen.append(commands(lines()) if words in text else [])
            return seen[-1] and seen[-1:] == seen[-2:-1]

        self.screen.until(is_whole, words)
        return seen[-1]

    def close(self):
        for terminal in (self.screen, *self._shells):
            terminal.close()


def commands(lines):
    """The lowest command on a screen, line by line as it stands there; at the end of a sentence, or in lines of its own."""
    for at in range(len(lines) - 1, -1, -1):
        found = COMMAND.search(lines[at])
        if found:
            end = at
            while lines[end].endswith("\\"):
                end += 1
            return [found[1], *lines[at + 1 : end + 1]]
    return []


@pytest.fixture
def desk(alphapulse, tmp_path):
    made = []

    def make(*names, **options):
        folder = tmp_path / "desk"
        folder.mkdir()
        made.append(Desk(alphapulse, Simulators(alphapulse, *names, rate=20, **options), folder))
        return made[-1]

    yield make
    for one in made:
        one.close()


def live_again(desk, name, before):
    """By another process, or by the same one where `before` is None; on the screen too."""
    wait_until_live(desk.shm_dir, name, SYMBOLS)
    if before is not None:
        wait_for(lambda: writer_pid(desk.shm_dir, name) != before, "another collector")
    desk.screen.until(lambda text: len(re.findall(r"\S+-USD +\S+ +● LIVE", text)) >= len(SYMBOLS), "live books")
    desk.screen.until(lambda text: "books live" in text.splitlines()[-2], "a status line without advice")


@pytest.mark.timeout(240)
def test_of_a_collector_that_was_killed_is_stopped_hangs_or_has_ended(desk):
    """Of a set with a name and a place of its own: each command has to say them."""
    at = desk("kraken")
    started = f"alphapulse collect --exchange kraken --symbols {','.join(SYMBOLS)} --as mine --shm-dir {at.shm_dir}"
    at.type([started])
    live_again(at, "mine", 0)

    pid = writer_pid(at.shm_dir, "mine")
    os.kill(pid, signal.SIGKILL)
    advised = at.advice("was killed")
    assert " ".join(" ".join(advised).replace("\\", "").split()) == started
    at.type(advised)
    live_again(at, "mine", pid)

    pid = writer_pid(at.shm_dir, "mine")
    os.kill(pid, signal.SIGSTOP)
    assert at.advice("is stopped") == [f"kill -CONT {pid}"]
    at.type(at.advice("is stopped"))
    live_again(at, "mine", None)
    assert writer_pid(at.shm_dir, "mine") == pid

    os.kill(pid, signal.SIGUSR1)
    advised = at.advice("shows no sign of life")
    assert advised[0].startswith(f"kill -9 {pid}; alphapulse collect")
    at.type(advised)
    live_again(at, "mine", pid)

    pid = writer_pid(at.shm_dir, "mine")
    os.kill(pid, signal.SIGTERM)
    at.type(at.advice("has ended"))
    live_again(at, "mine", pid)


@pytest.mark.timeout(120)
def test_of_one_that_hangs_under_a_parent(desk):
    """Its parent starts another: a second command would only be refused."""
    at = desk("kraken", "coinbase")
    at.type([f"alphapulse collect --exchange kraken --exchange coinbase --symbols {','.join(SYMBOLS)} --shm-dir {at.shm_dir}"])
    live_again(at, "kraken", 0)
    pid = writer_pid(at.shm_dir, "kraken")
    os.kill(pid, signal.SIGUSR1)
    advised = at.advice("its parent starts another")
    assert advised == [f"kill -9 {pid}"]
    at.type(advised)
    live_again(at, "kraken", pid)


@pytest.mark.timeout(120)
def test_of_a_feed_that_fell_mute_heals_by_itself(desk):
    at = desk("kraken", mischief="mute:0.01")
    at.type([f"alphapulse collect --exchange kraken --symbols {','.join(SYMBOLS)}"])
    at.screen.resize(120, 40)
    at.screen.until(
        lambda text: "STALE" in text and "asked again by itself" in " ".join(text.split()), "the mute feed, and what is done"
    )
    assert not commands([line.strip() for line in at.screen.screen.lines])
    at.screen.until(lambda text: "LIVE" in text and "STALE" not in text, "live books")
