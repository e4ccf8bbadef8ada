"""Plots of these notebooks as SVG, without a library: lines, steps and bars over one pair of axes.

    Plot("Mid", "s", "USD").line("kraken", xs, ys).shade(3.0, 4.5)

What a notebook shows of it is the SVG. Of long lines at most MOST_POINTS are drawn; the first and the last are among them.
"""

from html import escape
from itertools import pairwise
from math import floor, isfinite, log10

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 300, 70, 46, 34
COLOURS = ("#0b5fa5", "#c8511b", "#2a8a4a", "#7a3fa0", "#8a6d1a")
MOST_POINTS = 600


class Plot:
    """Plot with a title and the names of its axes."""

    def __init__(self, title, x_name="", y_name=""):
        self.title, self.x_name, self.y_name = title, x_name, y_name
        self._lines = []  # (name, points, whether they are bars)
        self._shades = []

    def line(self, name, xs, ys, *, steps=False):
        """Add a line; with `steps` each y holds until the next x. Points that are no numbers are left out."""
        points = [(float(x), float(y)) for x, y in zip(xs, ys, strict=True) if isfinite(x) and isfinite(y)]
        stride = max(1, -(-len(points) // MOST_POINTS))
        kept = points[::stride] + ([points[-1]] if points and (len(points) - 1) % stride else [])
        if steps:
            kept = [point for before, after in pairwise(kept) for point in (before, (after[0], before[1]))] + kept[-1:]
        self._lines.append((name, kept, False))
        return self

    def bars(self, name, xs, ys):
        """Add bars from 0 to each y."""
        self._lines.append((name, [(float(x), float(y)) for x, y in zip(xs, ys, strict=True)], True))
        return self

    def shade(self, begin, end):
        """Shade a span of x."""
        self._shades.append((float(begin), float(end)))
        return self

    def _repr_svg_(self):
        points = [point for _, line, _ in self._lines for point in line] or [(0.0, 0.0)]
        has_bars = any(is_bars for *_, is_bars in self._lines)
        x_low, x_high = _span([x for x, _ in points])
        y_low, y_high = _span([y for _, y in points] + ([0.0] if has_bars else []))

        def at(x, y):
            across = LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - 16)
            return f"{across:.1f},{HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - BOTTOM - TOP):.1f}"

        made = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/><text x="{LEFT}" y="18" font-weight="bold">{escape(self.title)}</text>',
            f'<text x="{(LEFT + WIDTH) // 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(self.x_name)}</text>',
            f'<text x="14" y="{HEIGHT // 2}" text-anchor="middle" transform="rotate(-90 14 {HEIGHT // 2})">{escape(self.y_name)}</text>',
        ]
        for begin, end in self._shades:
            corners = " ".join(
                at(min(max(x, x_low), x_high), y) for x, y in ((begin, y_low), (end, y_low), (end, y_high), (begin, y_high))
            )
            made.append(f'<polygon points="{corners}" fill="#d9d9d9"/>')
        for tick in _ticks(y_low, y_high):
            x, y = at(x_low, tick).split(",")
            made.append(f'<line x1="{x}" y1="{y}" x2="{WIDTH - 16}" y2="{y}" stroke="#e4e4e4"/>')
            made.append(f'<text x="{LEFT - 6}" y="{float(y) + 4:.1f}" text-anchor="end">{tick:.10g}</text>')
        for tick in _ticks(x_low, x_high):
            x, y = at(tick, y_low).split(",")
            made.append(f'<text x="{x}" y="{float(y) + 16:.1f}" text-anchor="middle">{tick:.10g}</text>')
        for number, (name, line, is_bars) in enumerate(self._lines):
            colour = COLOURS[number % len(COLOURS)]
            if is_bars:
                for x, y in line:
                    made.append(f'<polyline points="{at(x, 0.0)} {at(x, y)}" stroke="{colour}" stroke-width="12" fill="none"/>')
            else:
                drawn = " ".join(at(x, y) for x, y in line)
                made.append(f'<polyline points="{drawn}" stroke="{colour}" stroke-width="1.4" fill="none"/>')
            made.append(f'<text x="{WIDTH - 20}" y="{18 + 14 * number}" text-anchor="end" fill="{colour}">{escape(name)}</text>')
        return "\n".join([*made, "</svg>"])


def _span(numbers):
    """Least and greatest of numbers, apart from each other."""
    low, high = min(numbers), max(numbers)
    return (low, high) if high > low else (low - 1, high + 1)


def _ticks(low, high):
    """Round numbers within a span, four to nine of them."""
    step = 10 ** floor(log10((high - low) / 4))
    step *= next(times for times in (1, 2, 5, 10) if (high - low) / (step * times) <= 9)
    first = floor(low / step) + (low % step > 0)
    return [round((first + number) * step, 12) for number in range(int((high - first * step) / step + 1e-9) + 1)]
