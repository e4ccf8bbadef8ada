"""The live screen in real terminal multiplexers, looked at for a while: frozen rows, cut prices, wrong numbers.

    alphapulse demo --mischief … ═══ segments ═══╦═► alphapulse tui in tmux and in screen, at several sizes ─► what stands there, line by line
                                                 ╚═► the same books read from shared memory, before and after ─► what may stand there

    python scripts/watch_screen.py [--seconds 1800] [--in tmux:40x12,tmux:200x60,screen:80x24] [--out FOLDER]

Found is: a screen whose rows do not change for FROZEN_S although most books in shared memory did; a price on the Overview that its book did not
have around that moment; a figure cut without an ellipsis; the screen's own watchdog speaking. Each finding is printed with the capture it was
seen in; the last captures of every screen are kept in FOLDER. Exit code 1 where anything was found.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from alphapulse_cli.apps.tail import Tail
from alphapulse_cli.readers.items import DeltaGroup
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.layout import SegmentKind

MISCHIEF = "gap:0.002,checksum:0.001,stall:0.0005:4,disconnect:0.0005,mute:0.0002"
EXCHANGES, SYMBOLS = ("kraken", "coinbase", "binance-us"), ("BTC-USD", "ETH-USD", "SOL-USD")
SIZES = ("40x12", "80x24", "120x40", "200x60")
SCREENS, BOOKS, ARBITRAGE = "123456", "2", "5"
A_SCREEN_S = 6.0  # each is looked at before the next key
EVERY_S = 0.5
FROZEN_S = 4.0  # on a machine that others use too
AROUND_S = 6.0  # a price may be that old: a picture, the multiplexer, this script's own turn
LIMIT_S = 60.0
KEPT_PRICES = 5000
LEAST_NAME = 7  # of an exchange, in a narrow column
STOOD_STILL = re.compile(r"\d+ rows? stood still")
ROW = re.compile(r"^\s*!?(?P<symbol>[A-Z]+-USD|[A-Z]*…)\s+(?P<exchange>[a-z…-]+)\s+(?P<rest>.*)$")
PRICE = re.compile(r"[*»«\ufffd]?(\d+\.\d+)[*»«\ufffd]?$")
LIVE = ("●", "\ufffd LIVE")  # GNU screen copies no sign beyond Latin-1: there the narrowest form tells no state


class Tmux:
    """A session of a tmux server of its own."""

    def __init__(self, place: Path, command: list[str], size: tuple[int, int], env: dict[str, str]) -> None:
        self.name = f"tmux {size[0]}x{size[1]}"
        self._tmux = ["tmux", "-S", str(place / f"tmux-{size[0]}x{size[1]}"), "-f", "/dev/null"]
        shape = ["-x", str(size[0]), "-y", str(size[1])]
        subprocess.run([*self._tmux, "new-session", "-d", *shape, *command], env=env, check=True, timeout=20)

    def capture(self) -> str:
        """What stands there."""
        return subprocess.run([*self._tmux, "capture-pane", "-p"], capture_output=True, text=True, check=True, timeout=20).stdout

    def press(self, key: str) -> None:
        """A key."""
        subprocess.run([*self._tmux, "send-keys", key], check=True, timeout=20)

    def close(self) -> None:
        """And its server."""
        subprocess.run([*self._tmux, "kill-server"], check=False, timeout=20)


class GnuScreen:
    """A session of GNU screen. It has no size until a terminal is attached: one is, by `script` with a size of its own."""

    def __init__(self, place: Path, command: list[str], size: tuple[int, int], env: dict[str, str]) -> None:
        self.name = f"screen {size[0]}x{size[1]}"
        self._copy = place / f"screen-{size[0]}x{size[1]}"
        self._env = {**env, "SCREENDIR": str(place / "screens")}
        Path(self._env["SCREENDIR"]).mkdir(mode=0o700, exist_ok=True)
        self._session = f"watch{size[0]}x{size[1]}"
        start = ["screen", "-U", "-c", "/dev/null", "-S", self._session, *command]
        line = f"stty columns {size[0]} rows {size[1]}; exec {' '.join(start)}"
        self._process = subprocess.Popen(
            ["script", "-qfc", line, "/dev/null"], env=self._env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )

    def _tell(self, *words: str) -> None:
        subprocess.run(["screen", "-S", self._session, "-X", *words], env=self._env, check=False, timeout=20, capture_output=True)

    def capture(self) -> str:
        """What stands there; the copy is written by the session, a moment after it was asked for."""
        self._copy.unlink(missing_ok=True)
        self._tell("hardcopy", str(self._copy))
        end, before = time.monotonic() + 2, -1
        while time.monotonic() < end:
            size = self._copy.stat().st_size if self._copy.exists() else -1
            if size > 0 and size == before:
                break
            before = size
            time.sleep(0.02)
        return self._copy.read_text(encoding="utf-8", errors="replace") if self._copy.exists() else ""

    def press(self, key: str) -> None:
        """A key."""
        self._tell("stuff", key)

    def close(self) -> None:
        """The session, and what held it."""
        self._tell("quit")
        self._process.terminate()
        self._process.wait(10)


KINDS = {"tmux": Tmux, "screen": GnuScreen}


class Truth:
    """Every best price of every book over the last seconds, kept by a reader of its own that sees each change of each book."""

    def __init__(self, shm_dir: Path) -> None:
        self._directory = open_directory(str(shm_dir))
        self._seen: dict[tuple[str, str], dict[str, float]] = {}  # book -> price -> when it was last a best one
        self._last: dict[tuple[str, str], tuple[str, ...]] = {}
        self.versions: dict[tuple[str, str], int] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        with Tail(self._directory, SegmentKind.DELTAS, Wanted(), quotes=True) as tail:
            while not self._stopping.is_set():
                now = time.monotonic()
                for item in tail.poll():
                    if isinstance(item, DeltaGroup):
                        self._note((item.symbol, item.set_name), item, now)
                tail.wait(0.05)

    def _note(self, key: tuple[str, str], group: DeltaGroup, now: float) -> None:
        seen = self._seen.setdefault(key, {})
        seen |= dict.fromkeys(self._last.get(key, ()), now)  # it was the best one until now
        self._last[key] = tuple(price for price in (group.quote[0], group.quote[2]) if price)
        seen |= dict.fromkeys(self._last[key], now)
        self.versions[key] = group.version
        if len(seen) > KEPT_PRICES:
            self._seen[key] = {price: at for price, at in seen.items() if now - at < AROUND_S}

    def had(self, symbol: str, exchange: str, price: str) -> bool | None:
        """Whether that book had that price lately; None where it is not one book that was seen."""
        keys = [key for key in list(self._seen) if key[0] == symbol and key[1].startswith(exchange.rstrip("…"))]
        if len(keys) != 1:
            return None
        at = self._seen[keys[0]].get(price)
        return price in self._last[keys[0]] or (at is not None and time.monotonic() - at < AROUND_S)

    def stop(self) -> None:
        """No more."""
        self._stopping.set()
        self._thread.join(5)


class Watch:
    """One terminal: what stood there, since when, and what was found."""

    def __init__(self, terminal: Tmux | GnuScreen, truth: Truth, out: Path) -> None:
        self.terminal, self._truth, self._out = terminal, truth, out
        self._at, self._turned = 0, time.monotonic()
        self._body, self._since, self._versions = "", time.monotonic(), dict(truth.versions)
        self.prices = self.captures = 0

    def look(self) -> Iterator[str]:
        """Capture it, judge it, and turn to the next screen when it is time."""
        text = self.terminal.capture()
        self.captures += 1
        now, key = time.monotonic(), SCREENS[self._at]
        (self._out / f"{self.terminal.name.replace(' ', '-')}-{key}.txt").write_text(text, encoding="utf-8")
        if STOOD_STILL.search(text):
            yield f"{self.terminal.name} screen {key}: the watchdog spoke\n{text}"
        body = "\n".join(text.splitlines()[1:-2])
        if body != self._body:
            self._body, self._since, self._versions = body, now, dict(self._truth.versions)
        elif now - self._since > FROZEN_S and self._have_moved(key, body):
            yield f"{self.terminal.name} screen {key}: nothing has changed for {now - self._since:.1f} s\n{text}"
            self._since = now
        if key == "1":
            yield from self._judge_overview(text)
        if now - self._turned > A_SCREEN_S:
            self._at, self._turned, self._since = (self._at + 1) % len(SCREENS), now, now
            self.terminal.press(SCREENS[self._at])

    def _have_moved(self, key: str, body: str) -> bool:
        """Whether what is in sight did: a stalled feed is a picture that stands still, too. Of ladders only one may be in sight."""
        if key == ARBITRAGE and "no profit" not in body and "opportunity" not in body:
            return False  # every row is held back: there are no figures to move
        seen = {book: version for book, version in self._truth.versions.items() if book[1][:LEAST_NAME] in body}
        moved = [book for book, version in seen.items() if version != self._versions.get(book)]
        return bool(moved) and (len(moved) * 2 > len(seen) if key != BOOKS else len(moved) == len(seen))

    def _judge_overview(self, text: str) -> Iterator[str]:
        """Each price of a LIVE row is one its book had, or is cut where anybody sees it."""
        for line in text.splitlines():
            row = ROW.match(line)
            if row is None or not row["rest"].startswith(LIVE) or row["symbol"].endswith("…"):
                continue
            words = row["rest"].replace(" LIVE", "").split()
            prices = [found[1] for word in words[1:] if (found := PRICE.match(word))]
            for price in prices[1:3] if len(prices) > 4 else prices[:2]:  # where there is room a size stands before the bid
                had = self._truth.had(row["symbol"], row["exchange"], price)
                self.prices += had is not None
                if had is False:
                    yield f"{self.terminal.name}: {row['symbol']} of {row['exchange']} had no {price}\n{line}"


def main() -> int:
    """Watch; 1 where something was found."""
    asked = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended all the same
    out = Path(asked.out or tempfile.mkdtemp(prefix="alphapulse-watched-"))
    out.mkdir(parents=True, exist_ok=True)
    alphapulse = [sys.executable, "-P", "-m", "alphapulse_cli"]
    with tempfile.TemporaryDirectory(prefix="alphapulse-watch-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as place:
        home = Path(place)
        shm_dir = home / "segments"
        env = {
            "PATH": os.environ["PATH"],
            "HOME": place,
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "ALPHAPULSE_SHM_DIR": str(shm_dir),
        }
        demo = [*alphapulse, "demo", "--json", "--mischief", asked.mischief, "--duration", f"{asked.seconds + 120:.0f}s"]
        with subprocess.Popen(
            demo, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        ) as process:
            try:
                return watch(asked, home, shm_dir, [*alphapulse, "tui", "--screen", "overview"], env, out)
            finally:
                process.terminate()


def watch(asked: argparse.Namespace, home: Path, shm_dir: Path, command: list[str], env: dict[str, str], out: Path) -> int:
    """Until the time is over."""
    end = time.monotonic() + LIMIT_S
    while len(list(shm_dir.glob("*_book_*"))) < len(EXCHANGES) * len(SYMBOLS):
        if time.monotonic() > end:
            print("the demo's books did not come", file=sys.stderr)
            return 2
        time.sleep(0.2)
    truth = Truth(shm_dir)
    terminals: list[Tmux | GnuScreen] = []
    found = 0
    try:
        for kind, _, size in (one.partition(":") for one in asked.terminals.split(",")):
            width, _, height = size.partition("x")
            terminals.append((Tmux if kind == "tmux" else GnuScreen)(home, command, (int(width), int(height)), env))
        begun = time.monotonic()
        while not all("Overview" in one.capture() or "1" in one.capture() for one in terminals):
            time.sleep(0.5)
        watches = [Watch(one, truth, out) for one in terminals]
        while time.monotonic() - begun < asked.seconds:
            turn = time.monotonic()
            for one in watches:
                for finding in one.look():
                    found += 1
                    print(f"[{time.monotonic() - begun:6.1f} s] {finding}", flush=True)
            time.sleep(max(EVERY_S - (time.monotonic() - turn), 0))
        for one in watches:
            print(f"{one.terminal.name}: {one.captures} captures, {one.prices} prices compared")
    finally:
        truth.stop()
        for terminal in terminals:
            terminal.close()
    print(f"{found} findings; captures are in {out}")
    return 1 if found else 0


def arguments() -> argparse.Namespace:
    """How long, where, and how large."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1800.0)
    everywhere = ",".join(f"{kind}:{size}" for kind in KINDS if shutil.which(kind) for size in SIZES)
    parser.add_argument("--in", dest="terminals", default=everywhere, metavar="KIND:SIZE,…")
    parser.add_argument("--mischief", default=MISCHIEF)
    parser.add_argument("--out", default="")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
