"""Watchdog of the drawing: finds rows on the terminal that differ from what the widgets show now.

    every half second      some rows of the screen in front are made anew and compared with what was written to the terminal (`Drawn`)
    a row that differs     is looked at every time; if it has not changed at LOOKS looks, over 2 s, it is reported as old

A row that moves may differ at any look, since its picture is on its way; it does not stand still meanwhile. Looks are counted
rather than time, so that a process that got no processor for a while reports no row by mistake: between two looks everything that
waits is drawn.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from textual.geometry import Region
from textual.screen import Screen
from textual.widget import Widget

from alphapulse_cli.shm import clock
from alphapulse_cli.tui.drawn import Drawn

LOOKS = 5
ROWS_A_LOOK = 16


class Watched:
    """Interface of a widget that can tell the text of each of its lines now, without side effects."""

    def measure(self) -> None:
        """Read the widget's size again; call it before `should_stand`."""
        raise NotImplementedError

    def should_stand(self, y: int, width: int) -> str:
        """Text of line `y` as it should be on the terminal, cut to `width` cells."""
        raise NotImplementedError


class Suspect(NamedTuple):
    """A row that differs: its text on the terminal, when that was first found (monotonic ns), at how many looks."""

    stands: str
    since_ns: int
    looks: int


class Seen(NamedTuple):
    """A widget at one look: the region of its lines on the terminal, and the visible part of that region."""

    widget: Any  # a Watched
    content: Region
    part: Region


Place = tuple[Widget, int]


class Watchdog:
    """Finder of old rows. Call `look` every half second, while no other screen lies over this one."""

    def __init__(self) -> None:
        self._suspects: dict[Place, Suspect] = {}
        self._next = 0

    def look(self, screen: Screen[Any], drawn: Drawn) -> tuple[int, float]:
        """(number of old rows, age of the oldest one in seconds); (0, 0.0) if there are none."""
        now_ns = clock.monotonic_ns()
        seen = {one.widget: one for one in self._seen(screen)}
        places = [(one.widget, y) for one in seen.values() for y in range(one.content.height)]
        suspects = {place: self._suspects[place] for place in places if place in self._suspects}
        self._suspects = {}
        for place in dict.fromkeys([*suspects, *self._some(places)]):
            widget, y = place
            stands = differs(screen, drawn, seen[widget], y)
            if stands is not None:
                before = suspects.get(place)
                is_same = before is not None and before.stands == stands
                self._suspects[place] = (
                    before._replace(looks=before.looks + 1) if before and is_same else Suspect(stands, now_ns, 1)
                )
        old = [one for one in self._suspects.values() if one.looks >= LOOKS]
        return len(old), max(((now_ns - one.since_ns) / 1e9 for one in old), default=0.0)

    def _seen(self, screen: Screen[Any]) -> Iterable[Seen]:
        whole = screen.region
        for widget in watched(screen):
            content = widget.content_region
            yield Seen(widget, content, content.intersection(whole))

    def _some(self, places: list[Place]) -> Iterable[Place]:
        """The next ROWS_A_LOOK places; every place is reached in turn."""
        begin = self._next if self._next < len(places) else 0
        self._next = begin + ROWS_A_LOOK
        return places[begin : self._next]


def watched(screen: Screen[Any]) -> list[Widget]:
    """The screen's visible widgets that are `Watched`."""
    return [widget for widget in screen.walk_children(Widget) if isinstance(widget, Watched) and widget.region]


def differs(screen: Screen[Any], drawn: Drawn, seen: Seen, y: int) -> str | None:
    """The text on the terminal where a widget's line should be; None if it is right, out of sight or under another widget."""
    widget, content, part = seen
    at = content.y + y
    if not part.width or not part.y <= at < part.bottom or part.x != content.x:
        return None
    widget.measure()
    stands = drawn.text(part.x, at, part.width)
    if stands == widget.should_stand(y, part.width):
        return None
    return None if any(screen.get_widget_at(x, at)[0] is not widget for x in (part.x, part.right - 1)) else stands
