"""scripts/screenshots.py makes a picture of every screen, of a market that is alive, and nobody who looks at one fetches anything."""

import html
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from alphapulse_cli.tui import tabs

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "screenshots.py"
WORDS = {
    "overview": ["symbol", "BTC-USD", "kraken", "LIVE"],
    "books": ["BTC-USD", "coinbase", "LIVE", "bids"],
    "latency": ["kraken", "received", "p99"],
    "tape": ["price", "BTC-USD"],
    "arbitrage": ["BTC-USD"],
    "rings": ["kraken", "live"],
    "feeds": ["kraken", "BTC-USD", "valid %", "LIVE"],
}


def words_of(svg):
    return html.unescape(" ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))).replace("\xa0", " ")


@pytest.mark.timeout(300)
def test_it_makes_every_screen_from_a_living_market(alphapulse, tmp_path):
    command = [sys.executable, "-P", str(SCRIPT), "--out", str(tmp_path / "out"), "--seconds", "1"]
    done = subprocess.run(
        command, env=alphapulse.environment(), capture_output=True, text=True, timeout=280
    )  # some 20 s where nobody else works
    assert (done.returncode, done.stderr) == (0, "")
    made = {path.stem: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert sorted(made) == sorted(tab.name for tab in tabs.TABS)
    for name, svg in made.items():
        said = words_of(svg)
        assert all(word in said for word in WORDS[name]), f"{name}: {said}"
        assert not re.search(
            r"url\(|@import|href|https?://(?!www\.w3\.org/2000/svg|www\.textualize\.io)", svg.replace("url(#", "")
        ), name
        assert len(svg.encode()) < 200_000


def test_every_word_that_is_looked_for_was_waited_for(monkeypatch):
    """Else a picture could be taken before it has it: once in many runs no newest trade is of BTC-USD."""
    assert {name: set(words) - set(script(monkeypatch).SHOWN[name]) for name, words in WORDS.items()} == {
        key: set() for key in WORDS
    }


class Market:
    """An app whose newest trades are another symbol's for some pictures: what the script asks of the real one, no more."""

    def __init__(self, until):
        self.looks, self.until = 0, until

    @property
    def picture(self):
        self.looks += 1
        return object()

    def export_screenshot(self, title):
        newest = "BTC-USD" if self.looks > self.until else "ETH-USD"
        return f"<text>{title} price buy sell {newest}</text>"


def script(monkeypatch):
    spec = importlib.util.spec_from_file_location("screenshots", SCRIPT)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "_all_live", lambda _picture: True)
    monkeypatch.setattr(module, "LOOK_S", 0)
    return module


async def test_a_list_is_taken_once_it_shows_what_it_is_about_however_late(monkeypatch):
    module, market = script(monkeypatch), Market(until=50)
    tape = next(tab for tab in tabs.TABS if tab.name == "tape")
    assert "BTC-USD" in await module._worth_it(market, tape)
    assert market.looks > 50


async def test_without_it_there_is_no_picture_but_the_reason(monkeypatch):
    module = script(monkeypatch)
    monkeypatch.setattr(module, "LIMIT_S", 0.05)
    tape = next(tab for tab in tabs.TABS if tab.name == "tape")
    with pytest.raises(TimeoutError, match="Tape still does not show BTC-USD"):
        await module._worth_it(Market(until=10**9), tape)
