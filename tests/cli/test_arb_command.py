"""`arb` where it is used: in a pipe, on a terminal, until a signal ends it."""

import json
import signal
import subprocess
import threading

import pytest
from support.app_parts import wait_until
from support.reader_sets import Writer
from support.terminals import Terminal

from alphapulse_cli.cli import arb_board
from alphapulse_cli.cli.arb_board import brief, columns_for, life_text
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory

FEES = ("--fee", "kraken=0,coinbase=0")
APART = [(9_900, 10**8, False), (10_000, 10**8, True)]
WIDE = [(9_900, 10**8, False), (10_500, 10**8, True)]


class Market:
    """Two live books that cross and uncross, again and again, until it is closed."""

    def __init__(self, shm_dir):
        self._stop = threading.Event()
        self._shm_dir = shm_dir
        self.ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self.ready.wait(30)

    def _run(self):
        with (
            open_directory(self._shm_dir, create=True) as directory,
            Writer(directory) as kraken,
            Writer(directory, set_name="coinbase", exchange="coinbase") as coinbase,
        ):
            kraken.snapshot(APART)
            coinbase.snapshot(WIDE)
            self.ready.set()
            turn = 0
            while not self._stop.wait(0.02):
                turn += 1
                for one in (kraken, coinbase):
                    one.now_ns = clock.realtime_ns()
                    one.beat()
                kraken.update([(9_800, 10**8 + turn, False)])
                if turn % 10 in (0, 5):
                    coinbase.update([(10_100, 10**8 if turn % 10 else 0, False)])

    def close(self):
        self._stop.set()
        self._thread.join(10)


@pytest.fixture
def market(shm_dir):
    made = Market(shm_dir)
    yield made
    made.close()


def test_head_ends_it_quietly(alphapulse, market):
    line = f"{' '.join(alphapulse.command)} arb watch -q {' '.join(FEES)} | head -n 3; echo ${{PIPESTATUS[*]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=alphapulse.environment(), timeout=60)
    assert (done.stdout.splitlines()[-1], done.stderr) == ("0 0", "")
    assert len(done.stdout.splitlines()) == 4


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_signals_end_it_what_was_seen_is_kept_and_its_cursors_go(alphapulse, market, number, code):
    process = alphapulse.start("arb", "watch", *FEES)
    first = json.loads(process.stdout.readline())
    process.send_signal(number)
    assert process.wait(30) == code
    assert list((alphapulse.shm_dir / "readers").iterdir()) == []
    kept = [json.loads(line) for line in alphapulse("arb", "history", "-n", "1000").stdout.splitlines()]
    assert first["id"] in {row["id"] for row in kept}
    assert {row["why"] for row in kept} <= {"gone", "unwatched"}, "what was open is known to be unwatched"


def test_count_ends_it_when_that_many_are_over(alphapulse, market):
    rows = [json.loads(line) for line in alphapulse("arb", "watch", *FEES, "-n", "2").stdout.splitlines()]
    assert sorted(row["event"] for row in rows if row["event"] != "changed") == ["closed", "closed", "opened", "opened"]
    assert all(row["why"] == "gone" for row in rows if row["event"] == "closed")


def test_on_a_terminal_it_is_a_live_table_that_leaves_the_terminal_as_it_was(alphapulse, market):
    terminal = Terminal(
        [*alphapulse.command, "arb", "watch", *FEES], 120, 24, env=alphapulse.environment(), cwd=alphapulse.directory
    )
    try:
        terminal.until(lambda text: "» " in text and "BTC-USD" in text, "an open one")
        terminal.until(lambda text: "· " in text, "one that is over")
        assert "2 of 2 books live" in terminal.screen.text
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait() == 130
        assert terminal.is_as_before
    finally:
        terminal.close()


def test_explain_on_a_terminal_shows_every_sum(alphapulse, market):
    assert alphapulse("arb", "watch", *FEES, "-n", "1").code == 0
    terminal = Terminal(
        [*alphapulse.command, "arb", "explain", "last"], 140, 50, env=alphapulse.environment(), cwd=alphapulse.directory
    )
    try:
        assert terminal.wait() == 0
        for words in ("Asks of kraken:", "Bids of coinbase:", "The walk", "101 - 100", "net profit", "Closed"):
            assert words in terminal.screen.text, words
    finally:
        terminal.close()


def test_its_counters_are_there_for_everybody_while_it_runs(alphapulse, market):
    process = alphapulse.start("arb", "watch", *FEES)

    def counted():
        rows = [json.loads(line) for line in alphapulse("arb", "counters").stdout.splitlines()]
        return [row for row in rows if row["opened"] > 1]

    (row,) = wait_until(counted)
    assert (row["pid"], row["books"], row["books_live"], row["candidates"], row["missed"]) == (process.pid, 2, 2, 2, 0)
    process.terminate()
    assert process.wait(30) == 0
    assert alphapulse("arb", "counters").stdout == ""
    assert list((alphapulse.shm_dir / "watches").iterdir()) == []


def test_the_counters_of_a_killed_watch_are_not_shown(alphapulse, market):
    process = alphapulse.start("arb", "watch", *FEES)
    wait_until(lambda: alphapulse("arb", "counters").stdout)
    process.kill()
    process.wait()
    assert alphapulse("arb", "counters").stdout == ""
    (alphapulse.shm_dir / "watches" / "77-1").write_bytes(b'{"who": [1]}')
    alphapulse("arb", "watch", *FEES, "-n", "1")
    assert list((alphapulse.shm_dir / "watches").iterdir()) == []


class TestTheTablesWords:
    @pytest.mark.parametrize("width", [40, 80, 100, 130, 200])
    def test_columns_fit_or_only_the_dearest_are_left(self, width):
        kept = columns_for(width)
        assert sum(column.width + arb_board.GAP for column in kept) <= width or {column.rank for column in kept} == {0}
        assert {"symbol", "buy", "sell", "net"} <= {column.key for column in kept}

    @pytest.mark.parametrize(
        ("text", "shown"),
        [("0.02772706", "0.02772706"), ("13.3019449928304", "13.30194499"), ("123456789012.5", "123456789012"), ("7", "7")],
    )
    def test_long_numbers_are_cut_never_rounded(self, text, shown):
        assert brief(text) == shown

    @pytest.mark.parametrize(("ms", "shown"), [(0.4, "0 ms"), (999, "999 ms"), (1500, "1.5 s"), (125_000, "2:05")])
    def test_life_times_as_text(self, ms, shown):
        assert life_text(ms) == shown
        assert life_text(ms, exact=False) == f">{shown}"
