"""A replay of 2025 beside a live set, written by a process of its own: what stands on terminals and in pipes, and at its death."""

import json
import re

import pytest
from support.shm_processes import child
from support.terminals import Terminal

LINE = re.compile(r"^REPLAY  2025-02-19T21:2\d:\d\d\.\d{6}Z  kraken:BTC-USD ", re.MULTILINE)


@pytest.fixture
def playing(alphapulse):
    with child("support.reader_sets:play_until_killed", alphapulse.shm_dir, ["kraken"], ["coinbase"]) as process:
        assert process.line() == "playing"
        yield process


def test_on_a_terminal(alphapulse, playing):
    """`tail` announces the replay and marks its lines; `tui` says it on top, in the status line and in the rows, with small ages."""
    tail = Terminal([*alphapulse.command, "tail", "deltas"], 140, 30, env=alphapulse.environment(), cwd=alphapulse.directory)
    tui = Terminal([*alphapulse.command, "tui"], 140, 30, env=alphapulse.environment(), cwd=alphapulse.directory)
    try:
        tail.until(
            lambda text: LINE.search(text) and re.search(r"^\d\d:\d\d:\d\d\.\d{6}Z  coinbase:BTC-USD", text, re.MULTILINE),
            "both sets",
        )
        tui.until(lambda text: text.startswith(" REPLAY+LIVE ") and "REPLAY at 2025-02-19T21:2" in text, "the words of the frame")
        row = re.compile(r"BTC-USD +REPLAY kraken +\S LIVE .* (?:\d+ ms|\d\.\d s)$", re.MULTILINE)
        tui.until(row.search, "the replayed book, LIVE, a few seconds old at most")
        assert "REPLAY coinbase" not in tui.screen.text
        for key, words in (("3", "REPLAY"), ("4", "REPLAY kraken"), ("5", "REPLAY kraken"), ("2", "LIVE, REPLAY")):
            tui.press(key)
            tui.until(lambda text, words=words: words in "\n".join(text.splitlines()[1:-2]), f"the word on screen {key}")
    finally:
        tail.close()
        tui.close()


def test_in_pipes_and_at_its_death(alphapulse, playing):
    told = alphapulse("tail", "trades", "--exchange", "kraken", "--count", "1", "--json")
    assert json.loads(told.stdout)["replay"] is True
    assert "REPLAY at 2025-02-19T21:2" in told.stderr
    told = alphapulse("reconstruct", "--format", "table")
    assert re.search(r"kraken:BTC-USD  LIVE, REPLAY .* age \d{1,4} ms", told.stdout)
    assert not re.search(r"coinbase:BTC-USD .*REPLAY", told.stdout)
    told = alphapulse("arb", "watch", "--duration", "1s")
    assert (told.code, "kraken from a REPLAY cannot be compared with coinbase" in told.stderr) == (2, True)
    told = alphapulse("arb", "watch", "--exchange", "kraken", "--triangular", "--duration", "0.1s")
    assert "these opportunities are of the past, and are not kept" in told.stderr
    shown = alphapulse("segments", "--format", "table").stdout
    assert {"live, REPLAY" in line for line in shown.splitlines() if line.startswith("kraken")} == {True}
    assert not any("REPLAY" in line for line in shown.splitlines() if line.startswith("coinbase"))
    playing.kill()
    told = alphapulse("segments", "--format", "table")
    assert "the replay of kraken was killed or hangs" in told.stderr
    assert "collect --exchange coinbase" in told.stderr
    assert "collect --exchange kraken" not in told.stderr
