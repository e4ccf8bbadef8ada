"""What stands on the terminal moves while the market does: on every screen, from its start, and after whatever may happen to it.

Looked at where it counts, in a pseudo-terminal behind a terminal emulator: the app's state is right also where nothing of it is drawn. One
process walks all screens and events. The watchdog of the screen says when rows stand still for over 2 s; here it must never speak, and with
repaints dropped (the mutants) it must, in words.
"""

import os
import re
import time

import pytest
from support.campaigns import size
from support.shm_processes import child
from support.terminals import Terminal

from alphapulse_cli.tui import tabs

EXCHANGES, SYMBOLS = ("kraken", "coinbase"), ("BTC-USD", "ETH-USD")
LARGE, SMALL = (120, 40), (100, 30)
LIMIT_S = 60.0
FRAME = 2  # status line and keys, at the bottom
A_BOOK = rf"\S+-USD +({'|'.join(EXCHANGES)})"
# Screen -> (the rows that must move: what tells one from another; how often each must change after an event).
# What is measured once a second need do so once: another event follows.
MOVING = {
    "overview": (A_BOOK, 4, 2),
    "books": (r"─ \d+\.\d+ ─ spread", 1, 2),
    "latency": (rf"({'|'.join(EXCHANGES)}) +\S+ → (received ≈|seen here)", 4, 1),
    "tape": (rf"\d\d:\d\d:\d\d\.\d+ +{A_BOOK}", 8, 2),
    "arbitrage": (A_BOOK, 4, 2),
    "rings": (rf"({'|'.join(EXCHANGES)}) +(deltas|trades)", 4, 1),
}
STOOD_STILL = re.compile(r"rows? stood still for \d+ s: drawn again")


class Frozen(AssertionError):
    """Rows that stand still."""


class Walk:
    """An app in a terminal, and what moves on it."""

    def __init__(self, terminal):
        self.terminal, self.name = terminal, ""

    def rows(self):
        """What stands in the rows that must move. Of the tape the place tells a row from another, of all others their names."""
        pattern, count, _ = MOVING[self.name]
        found = {}
        for y, line in enumerate(self.terminal.screen.lines[:-FRAME]):
            words = re.search(pattern, line)
            if words:
                found[(y if self.name == "tape" else words[0] if count > 1 else "")] = line
        return dict(list(found.items())[:count])

    def read(self):
        self.terminal.read()
        said = STOOD_STILL.search(self.terminal.screen.text)
        if said:
            raise Frozen(f"{self.name}: {said[0]}:\n{self.terminal.screen.text}")

    def moves(self, after, times=None):
        """Until each of them has changed that often."""
        _, count, usual = MOVING[self.name]
        times = usual if times is None else times
        changed: dict[str, int] = {}
        last: dict[str, str] = {}
        end = time.monotonic() + LIMIT_S
        while len(last) < count or min(changed[key] for key in last) < times:
            if time.monotonic() > end:
                raise Frozen(f"{self.name} after {after}: changed {changed}\n{self.terminal.screen.text}")
            self.read()
            before, last = last, self.rows()
            for key, line in last.items():
                changed[key] = changed.get(key, 0) + (key in before and before[key] != line)

    def until(self, pattern, *, there=True):
        self.terminal.until(lambda text: bool(re.search(pattern, text)) == there, pattern if there else f"end of {pattern}")

    def press(self, keys, pattern, *, there=True):
        self.terminal.press(keys)
        self.until(pattern, there=there)

    def start(self, tab):
        self.name = tab.name
        self.press(tab.key, MOVING[tab.name][0])

    # The events. Each ends with the screen as it was before.

    def resize(self):
        for columns, rows in (SMALL, LARGE):
            self.terminal.resize(columns, rows)
            self.terminal.until(lambda text, rows=rows: "Help" in text.split("\n")[rows - 1], "the new size")

    def filter_opened_and_closed(self):
        self.press("/", "filter: words")
        self.press("usd", "filter: usd")
        self.press("\x1b", "filter: ", there=False)

    def theme_changed(self):
        self.press("t", "theme: ")

    def help_opened_and_closed(self):
        self.press("?", "esc closes")
        self.press("\x1b", "esc closes", there=False)

    def palette_opened_and_closed(self):
        self.press("\x10", "Search for commands")
        self.press("\x1b", "Search for commands", there=False)

    def paused_and_gone_on(self):
        self.press("p", "PAUSED")
        self.press("p", "PAUSED", there=False)


EVENTS = (
    Walk.resize,
    Walk.filter_opened_and_closed,
    Walk.theme_changed,
    Walk.help_opened_and_closed,
    Walk.palette_opened_and_closed,
    Walk.paused_and_gone_on,
)


@pytest.fixture
def walk(alphapulse):
    made = []

    def start(**environment):
        env = alphapulse.environment(LANG="C.UTF-8", **environment)
        made.append(Terminal([*alphapulse.command, "tui"], *LARGE, env=env, cwd=alphapulse.directory))
        return Walk(made[-1])

    yield start
    for one in made:
        one.close()


@pytest.fixture
def market(shm_dir):
    with child("support.reader_sets:move_until_killed", str(shm_dir), EXCHANGES, SYMBOLS) as process:
        process.line()
        yield process


def events_of(number):
    """Events that strike a screen: in the suite every third one, so that each strikes every third screen; in a campaign all."""
    return size(EVENTS[number % 3 :: 3], EVENTS)


@pytest.mark.campaign
@pytest.mark.timeout(300)
def test_every_screen_moves_from_its_start_and_after_its_events(walk, market):
    walked = walk()
    moving = [tab for tab in tabs.TABS if tab.name in MOVING]  # the feeds have no rows here: only a real collector writes scores
    assert len(moving) == len(tabs.TABS) - 1
    for number, tab in enumerate(moving):
        walked.start(tab)
        walked.moves("its start", 2)
        for event in events_of(number):
            event(walked)
            walked.moves(event.__name__, 2 if event is Walk.resize else None)
    walked.terminal.press("q")
    assert walked.terminal.wait() == 0


# Broken screens: each drops repaints in its own way, planted in the process from outside.
MUTANTS = {
    "only what is asked for at first is drawn": "LineTable._draw_changed = lambda self: None",
    "a resize forgets what was drawn and asks for nothing": """
def on_resize(self):
    self._find_cursor()
    LineTable._draw_changed = lambda self: None
LineTable.on_resize = on_resize""",
    "one row of all is never drawn again": """
draw = LineTable.refresh
def refresh(self, *regions, **more):
    return draw(self, *(one for one in regions if one.y != 2), **more) if regions and any(one.y != 2 for one in regions) else self
LineTable.refresh = refresh""",
}
PLANT = """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "alphapulse_cli.tui.app":
            from alphapulse_cli.tui.widgets.line_table import LineTable
            exec({broken!r}, {{"LineTable": LineTable}})
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize("broken", MUTANTS.values(), ids=MUTANTS)
def test_a_screen_that_drops_repaints_is_caught_and_says_so_itself(walk, market, tmp_path, broken):
    (tmp_path / "sitecustomize.py").write_text(PLANT.format(broken=broken))
    walked = walk(PYTHONPATH=os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")])))
    walked.start(tabs.TABS[0])
    with pytest.raises(Frozen, match="stood still"):
        walked.moves("its start", 1000)
