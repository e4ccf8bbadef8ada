"""What every screen looks like, kept: hand-made pictures at three sizes in two themes, compared cell by cell with tests/tui/snapshots.

A snapshot is the lines of the screen, then how each line is coloured: runs of `columns x style letter`, and what the letters mean.
When a difference is meant: `ALPHAPULSE_RENEW=1 pytest tests/tui/test_snapshots.py`, then look at what git shows.
"""

import difflib
import os
import re
from itertools import groupby
from pathlib import Path

import pytest
from support import tui_market
from support.tui_pictures import running_app

from alphapulse_cli.tui import tabs
from alphapulse_cli.tui.widgets.frame import StatusLine

FOLDER = Path(__file__).parent / "snapshots"
RENEW = os.environ.get("ALPHAPULSE_RENEW") == "1"
SIZES = ((80, 24), (120, 40), (300, 100))
THEMES = ("dark", "light")
MOST_BYTES = 60_000
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def snapshot(tui):
    """The screen as text."""
    letters: dict[str, str] = {}
    lines, colours = [], []
    for strip in tui.strips():
        cells = [(character, segment.style) for segment in strip for character in segment.text]
        lines.append("|" + "".join(character for character, _ in cells).rstrip())
        runs = [(str(style), len(list(run))) for style, run in groupby(cells, key=lambda cell: told(cell[1]))]
        colours.append(" ".join(f"{length}{letters.setdefault(style, letter(len(letters)))}" for style, length in runs))
    rows = [f"{'' if count == 1 else f'{count} x '}{row}" for row, count in counted(colours)]
    return "\n".join([*lines, "", *rows, "", *(f"{name} {style}" for style, name in letters.items()), ""])


def told(style):
    """A style in words: what of it a terminal shows."""
    if style is None:
        return "plain"
    marks = [name for name in ("bold", "dim", "italic", "underline", "reverse", "strike") if getattr(style, name)]
    front, back = (colour.name if colour is not None else "-" for colour in (style.color, style.bgcolor))
    return " ".join([*marks, front, "on", back])


def letter(number):
    return LETTERS[number] if number < len(LETTERS) else f"{LETTERS[number % len(LETTERS)]}{number // len(LETTERS)}"


def counted(rows):
    return [(row, len(list(same))) for row, same in groupby(rows)]


async def taken(name, size, theme, *more_themes, shown=tui_market.MARKET):
    """That screen with the hand-made market on it, once nothing moves any more; of more themes, one after the other."""
    async with running_app(size, theme=theme, screen=name, given=shown) as tui:
        found = []
        for each in (theme, *more_themes):
            tui.app.theme = each
            await tui.settle()
            for line in tui.screen.query(StatusLine):
                line.renew()
            await tui.settle()
            found.append(snapshot(tui))
        return found if more_themes else found[0]


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch):
    tui_market.stop_the_clock(monkeypatch)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", [tab.name for tab in tabs.TABS])
async def test_it_looks_as_it_did(name, size):
    for theme, now in zip(THEMES, await taken(name, size, *THEMES), strict=True):
        compare(FOLDER / f"{name}-{size[0]}x{size[1]}-{theme}.txt", now)


def compare(path, now):
    assert len(now.encode()) < MOST_BYTES
    if RENEW:
        path.parent.mkdir(exist_ok=True)
        path.write_text(now, encoding="utf-8")
    assert path.exists(), f"there is no {path.name}; make it: ALPHAPULSE_RENEW=1 pytest {Path(__file__).name}"
    before = path.read_text(encoding="utf-8")
    if now != before:
        changes = difflib.unified_diff(before.splitlines(), now.splitlines(), "kept", "now", n=1, lineterm="")
        shown = "\n".join(line[:300] for line in list(changes)[:60])
        pytest.fail(
            f"{path.name} looks different; if that is meant: ALPHAPULSE_RENEW=1 pytest {Path(__file__).name}\n{shown}",
            pytrace=False,
        )


async def test_a_snapshot_is_the_same_twice():
    """Whatever else decides what is drawn would show as failures that come and go."""
    assert await taken("books", (120, 40), "dark") == await taken("books", (120, 40), "dark")


async def test_one_cell_or_one_colour_more_is_another_snapshot():
    async def drawn(**more):
        return await taken("overview", (120, 40), "dark", shown=tui_market.changed(**more))

    assert await drawn() == await taken("overview", (120, 40), "dark")
    assert await drawn() != await drawn(bid="100.02")
    assert await drawn() != await drawn(state="STALE")


def test_nothing_is_kept_of_what_is_not_there_any_more():
    known = {f"{tab.name}-{width}x{height}-{theme}.txt" for tab in tabs.TABS for width, height in SIZES for theme in THEMES}
    assert {path.name for path in FOLDER.iterdir()} == known


async def test_every_colour_of_every_screen_is_a_true_one():
    """Textual's own look for other colours in each line is left out there (`get_line_filters`): there must be none, and nothing dim."""
    drawn: set[str] = set()

    async with running_app(size=(120, 40), theme="dark", screen="overview", given=tui_market.MARKET) as tui:
        for keys in (*(tab.key for tab in tabs.TABS), "slash", "x", "escape"):
            await tui.press(keys)
            drawn.update(told(segment.style) for strip in tui.strips() for segment in strip)
    true = re.compile(r"((bold|italic|underline|reverse) )*(#[0-9a-f]{6}|-) on (#[0-9a-f]{6}|-)")
    assert len(drawn) > 20
    assert not [style for style in drawn if not true.fullmatch(style)]
