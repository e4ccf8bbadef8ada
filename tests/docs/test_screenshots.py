"""scripts/screenshots.py makes a picture of every screen, of a market that is alive, and nobody who looks at one fetches anything."""

import html
import re
import subprocess
import sys
from pathlib import Path

from alphapulse_cli.tui import table

ROOT = Path(__file__).resolve().parents[2]
WORDS = {
    "overview": ["symbol", "BTC-USD", "kraken", "LIVE"],
    "books": ["BTC-USD", "coinbase", "LIVE", "bids"],
    "latency": ["kraken", "received", "p99"],
    "tape": ["price", "BTC-USD"],
    "arbitrage": ["BTC-USD"],
    "rings": ["kraken", "live"],
}


def words_of(svg):
    return html.unescape(" ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))).replace("\xa0", " ")


def test_it_makes_every_screen_from_a_living_market(alphapulse, tmp_path):
    command = [sys.executable, "-P", str(ROOT / "scripts" / "screenshots.py"), "--out", str(tmp_path / "out"), "--seconds", "1"]
    done = subprocess.run(command, env=alphapulse.environment(), capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    made = {path.stem: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert sorted(made) == sorted(tab.name for tab in table.TABS)
    for name, svg in made.items():
        said = words_of(svg)
        assert all(word in said for word in WORDS[name]), f"{name}: {said}"
        assert not re.search(
            r"url\(|@import|href|https?://(?!www\.w3\.org/2000/svg|www\.textualize\.io)", svg.replace("url(#", "")
        ), name
        assert len(svg.encode()) < 200_000
