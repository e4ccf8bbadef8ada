"""Widget that caches the strips of its lines: a strip is made again only when the line's content has changed.

    content of line y, width, theme ─► `render_line(y)` ─► Strip, with Textual's filters ─► kept until one of the three differs

For every update of the terminal Textual asks each widget near it for all its lines, and pads, styles and filters them one by one.
That costs more than making them, and here most lines have not changed.
"""

from collections.abc import Iterable
from typing import Any

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from alphapulse_cli.tui.watchdog import Watched


class ByLine(Watched, Widget):
    """A widget drawn line by line; define `shown_on` and `render_line`.

    Borders and paddings at the sides are drawn, others are not.
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._strips: dict[int, tuple[Any, Strip, Strip]] = {}  # line -> its content, its strip, and the strip with its sides
        self._room = Size(0, 0)
        self._ground: Style | None = None
        self._background: Color | None = None

    def shown_on(self, y: int) -> Any:
        """Content of line `y`, apart from width and theme: equal contents make equal strips."""
        raise NotImplementedError

    @property
    def room(self) -> Size:
        """Widget size at the last request for lines, which is cheaper than `size`."""
        return self._room

    def measure(self) -> None:
        """Read the widget's size again."""
        size = self.size
        if size != self._room:
            self._room = size
            self._strips.clear()

    def notify_style_update(self) -> None:
        """Drop cached styles: the theme has changed."""
        super().notify_style_update()
        self._strips.clear()
        self._ground = self._background = None

    @property
    def ground(self) -> Style:
        """Style of plain text and blanks; cached until the theme changes."""
        if self._ground is None:
            self._ground = self.rich_style
        return self._ground

    def should_stand(self, y: int, width: int) -> str:
        """Text of line `y` as it should be on the terminal now, cut to `width` cells; call `measure` first."""
        strip = self._held(y)[1]
        return strip.text if width >= self._room.width else strip.crop(0, width).text

    def render_lines(self, crop: Region) -> list[Strip]:
        """Strips of the lines in `crop`, at Textual's request for them."""
        self.measure()
        strips = [self._held(y)[2] for y in crop.line_range]
        begin, end = crop.column_span
        return strips if not begin and end >= self._width() else [strip.crop(begin, end) for strip in strips]

    def draw_lines(self, lines: Iterable[int]) -> None:
        """Ask Textual to draw these lines over their whole width."""
        begin, width = -self.styles.padding.left, self._width()  # from where the content begins, as Textual counts
        regions = [Region(begin, y, width, 1) for y in lines]
        if regions:
            self.refresh(*regions)

    def _width(self) -> int:
        return self._room.width + self.styles.padding.width

    def _held(self, y: int) -> tuple[Any, Strip, Strip]:
        shown = self.shown_on(y) if y < self._room.height else None
        held = self._strips.get(y)
        if held is None or held[0] != shown:
            held = self._strips[y] = shown, *self._drawn_anew(y)
        return held

    def _drawn_anew(self, y: int) -> tuple[Strip, Strip]:
        width, style = self._room.width, self.ground
        strip = self.render_line(y) if y < self._room.height else Strip.blank(width, style)
        if strip.cell_length != width:
            strip = strip.adjust_cell_length(width, style)
        padding = self.styles.padding
        sided = strip
        if padding.width:
            left, right = Segment(" " * padding.left, style), Segment(" " * padding.right, style)
            sided = Strip([one for one in (left, *strip, right) if one.text], width + padding.width)
        if self._background is None:
            self._background = self.background_colors[1]
        for one in self.get_line_filters():
            sided = sided.apply_filter(one, self._background)
        return strip, sided
