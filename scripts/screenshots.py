"""The pictures of the live screen for README and docs: made, not drawn, so that they stay true.

    alphapulse demo --seed 7 (simulators and collectors, a process tree) ═══ segments ═══► the app, without a terminal ─► DIR/NAME.svg

    python scripts/screenshots.py [--out docs/images] [--seconds 30] [--seed 7] [--theme dark]

The market is the seed's; times and rates are the machine's own. Nothing is fetched, neither here nor by whoever looks at a picture:
the fonts are those of the system. The books of the picture are all LIVE, and it shows what it is about, or there is none: the newest rows of
a list are whatever the market has just done, so a picture is taken when they are worth it, not at a time.
"""

import argparse
import asyncio
import html
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.tui import tabs
from alphapulse_cli.tui.app import AlphapulseApp
from alphapulse_cli.tui.feed.feed import ScreenFeed
from alphapulse_cli.tui.feed.picture import Picture
from alphapulse_cli.tui.preferences import Preferences
from alphapulse_cli.wire.delta import BookState

ROOT = Path(__file__).resolve().parent.parent
EXCHANGES, SYMBOLS = ("binance-us", "coinbase", "kraken"), ("BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD")
COLUMNS, ROWS = 120, 36
FEWER_ROWS = {"tape": 24, "feeds": 24}  # a list: more of it says no more
LIMIT_S = 90.0  # for a picture worth taking
DEMO_S = 900.0  # no demo outlives a script that was killed by more than this
LOOK_S = 0.05
MOST_BYTES = 200_000
# Keys that make a screen worth looking at; its memory is its own, so they are always the same.
PREPARE = {"books": "plus plus plus plus"}
# What must stand on a picture for it to be worth taking.
SHOWN = {
    "overview": [*SYMBOLS, *EXCHANGES, "LIVE", "symbol", "total", "spread bps"],
    "books": [SYMBOLS[0], "coinbase", "LIVE", "bids"],
    "latency": [*EXCHANGES, "received", "p99"],
    "tape": [SYMBOLS[0], "price", "buy", "sell"],
    "arbitrage": [SYMBOLS[0]],
    "rings": [*EXCHANGES, "live"],
    "feeds": [*EXCHANGES, *SYMBOLS, "LIVE", "valid %"],
}
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
        except TimeoutError as problem:
            print(f"error: {problem}", file=sys.stderr)
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
    line += ["--symbols", ",".join(SYMBOLS), "--seed", str(seed), "--shm-dir", place, "--duration", f"{DEMO_S:g}"]
    return subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env={**os.environ})


async def _taken(place: str, seconds: float, theme: str) -> dict[str, str]:
    """Screen -> SVG. TimeoutError, with the reason, if there is none worth taking."""
    app = AlphapulseApp(lambda show, failed: ScreenFeed(place, Wanted(), show, failed), Preferences(None), theme=theme)
    taken = {}
    async with app.run_test(size=(COLUMNS, ROWS)) as pilot:
        await _until(lambda: _all_live(app.picture), "the demo's books did not all become LIVE")
        await asyncio.sleep(seconds)
        for tab in tabs.TABS:
            await pilot.resize_terminal(COLUMNS, FEWER_ROWS.get(tab.name, ROWS))
            await pilot.press(tab.key, *PREPARE.get(tab.name, "").split())
            taken[tab.name] = await _worth_it(app, tab)
    return taken


async def _worth_it(app: AlphapulseApp, tab: tabs.Tab) -> str:
    """The first picture of the screen in front that shows what it is about, every book LIVE."""
    await _newer(app)
    end = time.monotonic() + LIMIT_S
    while True:
        made = without_fetching(app.export_screenshot(title="alphapulse")) if _all_live(app.picture) else ""
        said = words_of(made)
        missing = [word for word in SHOWN[tab.name] if word not in said]
        if made and not missing:
            return made
        if time.monotonic() > end:
            reason = f"does not show {', '.join(missing)}" if made else "has books that are not LIVE"
            raise TimeoutError(f"after {LIMIT_S:.0f} s the screen {tab.title} still {reason}")
        await _newer(app, 1)


def words_of(svg: str) -> str:
    """What a reader of the picture reads."""
    return html.unescape(" ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))).replace("\xa0", " ")


def _all_live(picture: Picture | None) -> bool:
    books = picture.books if picture is not None else ()
    return len(books) == len(EXCHANGES) * len(SYMBOLS) and all(one.status.state is BookState.LIVE for one in books)


async def _newer(app: AlphapulseApp, pictures: int = 3) -> None:
    """Until a picture was shown that was begun after now, and one more: what a screen asks the feed for is in it."""
    for _ in range(pictures):
        before = app.picture
        await _until(lambda: app.picture is not before, "the feed makes no pictures any more")  # noqa: B023 awaited here


async def _until(reached: Callable[[], bool], otherwise: str) -> None:
    end = time.monotonic() + LIMIT_S
    while not reached():
        if time.monotonic() > end:
            raise TimeoutError(otherwise)
        await asyncio.sleep(LOOK_S)


def without_fetching(svg: str) -> str:
    """The picture with fonts of the system in place of the addresses of fonts."""
    return re.sub(r"font-family:\s*[^;}\n]+", f"font-family: {FONT}", FONT_FACE.sub("", svg))


if __name__ == "__main__":
    sys.exit(main())
