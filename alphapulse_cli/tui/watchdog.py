"""The watchdog of what is drawn: it finds rows on the terminal that are not those that should stand there.

    every half second      some rows of the screen in front: made anew, compared with what was written to the terminal (`Drawn`)
    a row that differs     is looked at every time; if what stands there has not changed at LOOKS looks, over 2 s, it is old

A row that moves may differ at any look, since its picture is on its way; it does not stand still meanwhile. Looks are counted and not only
time, so that a process that got no processor for a while accuses nobody: each look lets everything that waits be drawn first.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from textual.screen import Screen
from textual.widget import Widget

from alphapulse_cli.shm import clock
from alphapulse_cli.tui.drawn import Drawn

LOOKS = 5
ROWS_A_LOOK = 16


class Watched:
    """Mark of a widget each of whose lines is made by `render_line`, which changes nothing and knows what should stand there now."""


class Suspect(NamedTuple):
    """A row that differs: what stands there, since when it was seen to, at how many looks."""

    stands: str
    since_ns: int
    looks: int


Place = tuple[Widget, int]


class Watchdog:
    """`look` every half second, while no other screen lies over this one."""

    def __init__(self) -> None:
        self._suspects: dict[Place, Suspect] = {}
        self._next = 0

    def look(self, screen: Screen[Any], drawn: Drawn) -> tuple[int, float]:
        """(rows that are old, how many seconds the oldest of them is old)."""
        now_ns = clock.monotonic_ns()
        places = [(widget, y) for widget in watched(screen) for y in range(widget.content_size.height)]
        suspects = {place: self._suspects[place] for place in places if place in self._suspects}
        self._suspects = {}
        for place in dict.fromkeys([*suspects, *self._some(places)]):
            stands = differs(screen, drawn, *place)
            if stands is not None:
                before = suspects.get(place)
                is_same = before is not None and before.stands == stands
                self._suspects[place] = (
                    before._replace(looks=before.looks + 1) if before and is_same else Suspect(stands, now_ns, 1)
                )
        old = [one for one in self._suspects.values() if one.looks >= LOOKS]
        return len(old), max(((now_ns - one.since_ns) / 1e9 for one in old), default=0.0)

    def _some(self, places: list[Place]) -> Iterable[Place]:
        """The next few of them: all get their turn."""
        begin = self._next if self._next < len(places) else 0
        self._next = begin + ROWS_A_LOOK
        return places[begin : self._next]


def watched(screen: Screen[Any]) -> list[Widget]:
    """The widgets of a screen that are seen and can be judged."""
    return [widget for widget in screen.query("*") if isinstance(widget, Watched) and widget.region]


def differs(screen: Screen[Any], drawn: Drawn, widget: Widget, y: int) -> str | None:
    """What stands in place of a widget's line; None if it is that line, or if another widget lies over it."""
    seen = widget.content_region.intersection(screen.region)
    at = widget.content_region.y + y
    if not seen.width or not seen.y <= at < seen.bottom or seen.x != widget.content_region.x:
        return None
    should = widget.render_line(y).crop(0, seen.width).text
    stands = drawn.text(seen.x, at, seen.width)
    if stands == should or any(screen.get_widget_at(x, at)[0] is not widget for x in (seen.x, seen.right - 1)):
        return None
    return stands
