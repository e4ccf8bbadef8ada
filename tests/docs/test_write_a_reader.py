"""The reader of the page, as it stands there: at most 40 lines, and it follows a set that starts later and a restarted collector."""

import select
import subprocess
import sys
from pathlib import Path

from support.reader_sets import Writer, kept_alive

from alphapulse_cli.shm.directory import open_directory

HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to"
READER = HOW_TO / "best_quotes.py"
ROWS = [(9_900, 7, False), (10_000, 8, True)]


def line_of(process, limit_s=60.0):
    assert select.select([process.stdout], [], [], limit_s)[0], "nothing came"
    return process.stdout.readline().decode().strip()


def test_it_has_at_most_40_lines():
    assert len(READER.read_text().splitlines()) <= 40
    assert "best_quotes.py" in (HOW_TO / "write-a-reader.md").read_text()


def test_it_tells_of_every_set_whenever_it_starts(alphapulse, shm_dir):
    with open_directory(shm_dir, create=True) as directory:
        with Writer(directory) as first, kept_alive(first):
            first.snapshot(ROWS)
            process = subprocess.Popen(
                [sys.executable, "-P", READER], env=alphapulse.environment(), stdout=subprocess.PIPE, bufsize=0
            )
            alphapulse.started.append(process)
            assert line_of(process) == "kraken BTC-USD LIVE (9900, 7) (10000, 8)"
            with Writer(directory, set_name="coinbase", exchange="coinbase") as later, kept_alive(later):
                later.snapshot(ROWS)
                while (line := line_of(process)).startswith("coinbase BTC-USD S"):
                    pass  # SYNCING, until it has joined
                assert line == "coinbase BTC-USD LIVE (9900, 7) (10000, 8)"
        with Writer(directory) as successor, kept_alive(successor):
            successor.snapshot([(9_800, 5, False), (10_000, 8, True)])
            while "LIVE (9800, 5)" not in line_of(process):
                pass
            process.terminate()
