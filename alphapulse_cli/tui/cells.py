"""Texts of numbers in the cells of a table."""

from collections.abc import Iterable
from datetime import UTC, datetime

from alphapulse_cli.tui.widgets.line_table import Cell


def number(value: float | None, places: int) -> Cell:
    """Cell of a number with `places` decimals; "" for None."""
    return ("", "") if value is None else (f"{value:,.{places}f}", "")


def age(age_ms: float | None) -> str:
    """Text of an age in a unit that fits: 12 ms, 3.4 s, 5 min, 3 h; "" for None."""
    if age_ms is None:
        return ""
    seconds = max(age_ms, 0.0) / 1000
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"


def places(texts: Iterable[str]) -> int:
    """Greatest number of digits behind the point in these texts."""
    return max((len(text.partition(".")[2]) for text in texts), default=0)


def aligned(text: str, most: int) -> str:
    """Text padded with blanks to `most` digits behind the point, so that points are aligned; "" stays ""."""
    if not text or not most:
        return text
    behind = len(text.partition(".")[2])
    return text + " " * (most - behind + (0 if "." in text else 1))


def clock_text(time_ns: int) -> str:
    """Time of day in UTC, to the millisecond, of ns since 1970."""
    return f"{datetime.fromtimestamp(time_ns // 1_000_000_000, UTC):%H:%M:%S}.{time_ns // 1_000_000 % 1000:03d}"
