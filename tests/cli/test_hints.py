"""What comes next is said where a person looks: after a simulator's addresses, in a traceback, first in a line that may be cut."""

import subprocess
import sys

from terminals import Terminal

from alphapulse_cli.cli import board
from alphapulse_cli.readers.status import SetStatus
from alphapulse_cli.shm.segment import Liveness


def test_a_simulator_says_how_to_collect_from_it(quick):
    """The command beneath the addresses has what a collector needs to meet the same market."""
    command = [*quick.command, "sim", "kraken", "--symbols", "BTC-USD", "--duration", "0.1"]
    terminal = Terminal(command, 200, 10, env=quick.environment(), cwd=quick.directory)
    try:
        assert terminal.wait() == 0
        lines = terminal.screen.text.splitlines()
    finally:
        terminal.close()
    (address,) = [word for line in lines for word in line.split() if word.startswith("ws://") and line.startswith("kraken ")]
    assert f"to collect from it: alphapulse collect --exchange kraken --url {address} --symbols BTC-USD" in [
        line.strip() for line in lines
    ]


def test_a_traceback_of_pythons_own_shows_the_hint(quick):
    """`ap.follow` of what is not there, in a program that catches nothing."""
    program = "import alphapulse_cli as ap; ap.follow('krakn')"
    done = subprocess.run([sys.executable, "-c", program], env=quick.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    said = done.stderr.splitlines()
    assert said[-2].startswith("alphapulse_cli.errors.NoSegment: ")
    assert said[-1].startswith("hint: ")


def test_the_board_tells_faults_before_rates():
    """The end of the line is what a narrow terminal cuts."""
    totals = {"gaps": 3, "checksums_bad": 4, "resyncs": 5, "reconnects": 6}
    said = board.set_words(SetStatus("kraken", "kraken", Liveness.LIVE, totals=totals))
    assert said.index("3 gaps, 4 bad checksums, 5 resyncs, 6 reconnects") < said.index("messages/s")
