"""`arb history`: the opportunities that were seen, sums by pair, and how many were still there a little later."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alphapulse_cli.apps.arb.history import by_pair, load, rows_of, survival
from alphapulse_cli.cli import render
from alphapulse_cli.cli.arb_board import brief, life_text
from alphapulse_cli.errors import UsageError
from alphapulse_cli.readers.moments import moment

if TYPE_CHECKING:
    from alphapulse_cli.edges.opportunities.record import Seen

SHOWS = ("seen", "pairs", "survival")
COLUMNS = {
    "seen": ("id", "born", "symbol", "buy", "sell", "size", "net", "currency", "bps", "peak_net", "life", "ended"),
    "pairs": (
        "symbol",
        "buy",
        "sell",
        "currency",
        "count",
        "open",
        "total_peak_net",
        "best_peak_net",
        "median_life",
        "longest_life",
    ),
    "survival": ("after_ms", "known", "alive", "share", "unknown"),
}
TITLES = {"seen": "Seen, the newest first", "pairs": "By pair; each opportunity at its peak", "survival": "Still there after"}
LEFT = {"id", "born", "symbol", "buy", "sell", "currency", "ended"}


def show(
    path: Path,
    place: str | None,
    symbols: tuple[str, ...],
    since_s: float | None,
    count: int,
    what: str,
    after_ms: Sequence[int],
    form: str,
) -> None:
    """Print tables, all three unless `what` names one, or NDJSON or CSV of one. UsageError if there is no store.

    `since_s`: seconds back from now; `after_ms`: ages for survival, in milliseconds.
    """
    if what and what not in SHOWS:
        raise UsageError(f"unknown --show: {what[:20]!r}", f"choices are: {', '.join(SHOWS)}")
    since_ns = 0 if since_s is None else time.time_ns() - int(since_s * 1e9)
    found = load(path, place, since_ns, None, symbols)
    if form != "table":
        (render.emit_json if form == "json" else render.emit_csv)(_rows(found, what or "seen", count, after_ms))
        return
    for each in [what] if what else SHOWS:
        rows = [_worded(row) for row in _rows(found, each, count, after_ms)]
        sys.stdout.write(f"{TITLES[each]}{_of(each, len(found), count)}\n")
        columns = [render.Column(name, right=name not in LEFT) for name in COLUMNS[each]]
        render.emit_table(rows, columns)
        sys.stdout.write("\n")
        sys.stdout.flush()


def _of(each: str, total: int, count: int) -> str:
    return f": {count} of {total}" if each == "seen" and total > count else f": {total}" if each == "seen" else ""


def _rows(found: "Sequence[Seen]", what: str, count: int, after_ms: Sequence[int]) -> list[dict[str, Any]]:
    if what == "seen":
        return rows_of(found[:count])
    if what == "pairs":
        return [one.row() for one in by_pair(found)]
    return [one.row() for one in survival(found, after_ms)]


def _worded(row: dict[str, Any]) -> dict[str, Any]:
    """Row for a table: brief numbers, lives and shares as text."""
    made = dict(row)
    for name in ("size", "net", "peak_net", "total_peak_net", "best_peak_net"):
        if name in row:
            made[name] = brief(row[name])
    if "born_ns" in row:
        made["born"] = _born(row["born_ns"])
        made["life"] = life_text(row["seen_ms"], exact=row["life_ms"] is not None)
        made["ended"] = "not seen" if row["closed_ns"] is None else row["why"].replace("_", " ")
    if "share" in row:
        made["after_ms"] = f"{row['after_ms']} ms"
        made["share"] = None if row["share"] is None else f"{row['share']:.1%}"
    for name in ("median_life", "longest_life"):
        if row.get(f"{name}_ms") is not None:
            made[name] = life_text(row[f"{name}_ms"])
    return made


def _born(ns: int) -> str:
    """Time of day in UTC, or the date if it is not today's."""
    text, today = moment(ns), moment(time.time_ns())
    return f"{text[11:23]}Z" if text[:10] == today[:10] else text[:10]
