"""What a number looks like in a cell of a table: units that fit, nothing where there is nothing."""

from collections.abc import Iterable
from datetime import UTC, datetime

from alphapulse_cli.tui.widgets.line_table import Cell


def number(value: float | None, places: int) -> Cell:
    """A number, "" where there is none."""
    return ("", "") if value is None else (f"{value:,.{places}f}", "")


def age(age_ms: float | None) -> str:
    """In a unit that fits: 12 ms, 3.4 s, 5 min, 3 h."""
    if age_ms is None:
        return ""
    seconds = max(age_ms, 0.0) / 1000
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"


def places(texts: Iterable[str]) -> int:
    """The most digits behind the point in any of them."""
    return max((len(text.partition(".")[2]) for text in texts), default=0)


def aligned(text: str, most: int) -> str:
    """With blanks where digits up to that place are missing, so that points stand under each other; "" stays that."""
    if not text or not most:
        return text
    behind = len(text.partition(".")[2])
    return text + " " * (most - behind + (0 if "." in text else 1))


def clock_text(time_ns: int) -> str:
    """The time of day in UTC, to the millisecond."""
    return f"{datetime.fromtimestamp(time_ns // 1_000_000_000, UTC):%H:%M:%S}.{time_ns // 1_000_000 % 1000:03d}"
