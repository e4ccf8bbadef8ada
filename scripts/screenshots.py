"""The pictures of the live screen for README and docs: made, not drawn, so that they stay true.

    alphapulse demo --seed 7 (simulators and collectors, a process tree) ═══ segments ═══► the app, without a terminal ─► DIR/NAME.svg

    python scripts/screenshots.py [--out docs/images] [--seconds 30] [--seed 7] [--theme dark]

The market is the seed's; times and rates are the machine's own. Nothing is fetched, neither here nor by whoever looks at a picture:
the fonts are those of the system. The books of the picture are all LIVE, or there is none.
"""

import argparse
import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from alphapulse_cli.apps.sets import Wanted
from alphapulse_cli.tui import table
from alphapulse_cli.tui.app import AlphapulseApp
from alphapulse_cli.tui.feed import Feed
from alphapulse_cli.tui.picture import Picture
from alphapulse_cli.tui.state import State
from alphapulse_cli.wire.delta import BookState

ROOT = Path(__file__).resolve().parent.parent
EXCHANGES, SYMBOLS = ("binance-us", "coinbase", "kraken"), ("BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD")
COLUMNS, ROWS = 120, 36
FEWER_ROWS = {"overview": 18, "arbitrage": 24, "tape": 24}  # of screens that would be half empty, or that are lists
LIMIT_S = 120.0
LOOK_S = 0.05
MOST_BYTES = 200_000
# Keys that make a screen worth looking at; its memory is its own, so they are always the same.
PREPARE = {"books": "plus plus plus plus"}
FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
FONT = 'ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace'


def main() -> int:
    """Make them all; 1 and a line on stderr if that cannot be."""
    asked = _arguments()
    asked.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="alphapulse-screens-") as place:
        demo = _demo(place, asked.seed)
        try:
            pictures = asyncio.run(_taken(place, asked.seconds, asked.theme))
        except TimeoutError:
            print("error: the demo's books did not all become LIVE", file=sys.stderr)
            return 1
        finally:
            demo.send_signal(signal.SIGTERM)
            demo.wait(30)
    for name, picture in pictures.items():
        path = asked.out / f"{name}.svg"
        if len(picture.encode()) > MOST_BYTES:
            print(f"error: {path} would have {len(picture.encode()):,} bytes", file=sys.stderr)
            return 1
        path.write_text(picture, encoding="utf-8")
        print(path)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make the pictures of the live screen.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images", help="where to write them")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long all books are LIVE before the first picture")
    parser.add_argument("--seed", type=int, default=7, help="of the simulated market")
    parser.add_argument("--theme", default="dark")
    return parser.parse_args()


def _demo(place: str, seed: int) -> subprocess.Popen[bytes]:
    """Simulators and collectors, silent."""
    line = [sys.executable, "-P", "-m", "alphapulse_cli", "demo", "--plain", "--json", "--quiet"]
    line += ["--symbols", ",".join(SYMBOLS), "--seed", str(seed), "--shm-dir", place]
    return subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env={**os.environ})


async def _taken(place: str, seconds: float, theme: str) -> dict[str, str]:
    """Screen -> SVG. TimeoutError if the books do not become LIVE."""
    app = AlphapulseApp(lambda show, failed: Feed(place, Wanted(), show, failed), State(None), theme=theme)
    taken = {}
    async with app.run_test(size=(COLUMNS, ROWS)) as pilot:
        await _until(lambda: _all_live(app.picture))
        await asyncio.sleep(seconds)
        for tab in table.TABS:
            await pilot.resize_terminal(COLUMNS, FEWER_ROWS.get(tab.name, ROWS))
            await pilot.press(tab.key, *PREPARE.get(tab.name, "").split())
            await _newer(app)
            await _until(lambda: _all_live(app.picture))
            await pilot.pause()
            taken[tab.name] = without_fetching(app.export_screenshot(title="alphapulse"))
    return taken


def _all_live(picture: Picture | None) -> bool:
    books = picture.books if picture is not None else ()
    return len(books) == len(EXCHANGES) * len(SYMBOLS) and all(one.status.state is BookState.LIVE for one in books)


async def _newer(app: AlphapulseApp) -> None:
    """Until a picture was shown that was begun after now, and one more: what a screen asks the feed for is in it."""
    for _ in range(3):
        before = app.picture
        await _until(lambda: app.picture is not before)  # noqa: B023 awaited here


async def _until(reached) -> None:
    end = time.monotonic() + LIMIT_S
    while not reached():
        if time.monotonic() > end:
            raise TimeoutError
        await asyncio.sleep(LOOK_S)


def without_fetching(svg: str) -> str:
    """The picture with fonts of the system in place of the addresses of fonts."""
    return re.sub(r"font-family:\s*[^;}\n]+", f"font-family: {FONT}", FONT_FACE.sub("", svg))


if __name__ == "__main__":
    sys.exit(main())
