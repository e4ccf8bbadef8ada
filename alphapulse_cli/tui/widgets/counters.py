"""Details of one segment and of its set: facts and readers of the segment, rates and counters of the set.

    kraken_orderbook_deltas: live, heartbeat 0.1 s ago, writer 4242, began 12 min ago
    ▕█▍       ▏ tui deltas (4242): 12 of 16,384 records behind, 0 missed
    kraken: 60 deltas/s, 15 trades/s, 75 frames/s, 17.0 KiB/s
    ! gaps            3     frames      5,449     groups     4,173

Counters of something that went wrong come first, then the others that are not 0. Where there is room each has its meaning beside
it.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from alphapulse_cli.apps.segments import ReaderRow, SegmentRow
from alphapulse_cli.readers.status import SetStatus
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.tui.widgets.figures import age, duration, since, size
from alphapulse_cli.tui.widgets.gauge import bar, pace
from alphapulse_cli.tui.widgets.lines import Line, in_width, joined

TROUBLE = frozenset(
    (
        Counter.GAPS,
        Counter.CHECKSUMS_BAD,
        Counter.DECODE_ERRORS,
        Counter.LEVELS_KEPT_OUT,
        Counter.TRADES_REFUSED,
        Counter.TRADES_MISSED,
        Counter.OFF_GRID,
        Counter.CROSSED,
        Counter.RECONNECTS,
        Counter.REFUSALS,
        Counter.FETCHES_FAILED,
    )
)
COUNTERS = tuple(counter for counter in Counter if counter.unit != "ns")  # moments are shown as their meaning
LABEL, VALUE, GAP = 15, 9, 2  # columns of a counter, without its meaning
WITH_MEANING = 58
BAR = 10


def detail_lines(row: SegmentRow, status: SetStatus | None, width: int, height: int) -> Sequence[Line]:
    """Lines about the segment, its readers and the set; at most `height` lines of `width` cells."""
    lines = [segment_line(row, width)]
    lines += [reader_line(reader, row.capacity) for reader in row.readers] if height > len(row.readers) + 4 else []
    if status is None or not status.totals:
        lines.append([(f" {row.set_name}: no counters can be read", "waiting")])
    else:
        lines.append(rates_line(status, width))
        lines += counter_lines(status.totals, width, height - len(lines))
    return [in_width(line, width) for line in lines[:height]]


def segment_line(row: SegmentRow, width: int) -> Line:
    """Facts of the file in words, the most important first."""
    name = f" {row.name} "
    if row.problem:
        return [(name, "title"), (f"damaged: {row.problem}", "dead")]
    facts = [
        row.state,
        f"heartbeat {age(row.heartbeat_age_s)} ago",
        f"writer {row.pid}",
        f"room for {row.capacity:,}",
        f"began {since(row.epoch)}",
    ]
    text = joined(facts, width - len(name))[len(row.state) :]
    return [(name, "title"), (row.state, "live" if row.state == "live" else "dead"), (text, "quiet")]


def reader_line(reader: ReaderRow, capacity: int) -> Line:
    """Line about one reader: how far behind it is."""
    who = f" {reader.label} ({reader.pid}{'' if reader.alive else ', dead'}): "
    if reader.lag is None or not capacity:
        return [(f"{who}reads a ring that was replaced", "waiting")]
    words, kind = pace(reader.lag / capacity)
    text = f"{words}, {reader.lag:,} of {capacity:,} behind, "
    missed = (f"{'! ' if reader.missed else ''}{reader.missed:,} missed", "waiting" if reader.missed else "quiet")
    return [(" ▕", "quiet"), (bar(reader.lag / capacity, BAR), kind), ("▏", "quiet"), (who, ""), (text, "quiet"), missed]


def rates_line(status: SetStatus, width: int) -> Line:
    """Rates of the set per second."""
    rates = (
        f"{status.deltas_per_s:,.0f} deltas/s",
        f"{status.trades_per_s:,.0f} trades/s",
        f"{status.frames_per_s:,.0f} frames/s",
        f"{size(int(status.bytes_per_s))}/s",
        "and since its writer began:",
    )
    name = f" {status.name} "
    return [(name, "title"), (joined(rates, width - len(name)), "quiet")]


def counter_lines(totals: dict[str, int], width: int, height: int) -> list[Line]:
    """Counters in columns, or with their meanings where there is room for all; the number of those left out is given."""
    ranked = sorted(COUNTERS, key=lambda one: (not (one in TROUBLE and totals.get(one.label)), not totals.get(one.label), one))
    if height >= len(ranked) and width >= WITH_MEANING:
        return [[*_runs(one, totals), (f"  {meaning(one)}", "quiet")] for one in ranked]
    across = max(width // (LABEL + VALUE + GAP + 2), 1)
    wide = width // across
    room = across * max(height, 0)
    lines = [_narrow(one, totals, wide) if across == 1 else [_runs(one, totals)] for one in ranked]
    ends = list(accumulate(len(each) for each in lines))
    count = len(lines) if ends[-1] <= room else bisect_right(ends, room - 1)
    cells = [cell for each in lines[:count] for cell in each]
    if count < len(lines) and room:
        cells.append([(f"  {len(lines) - count} more: enter", "quiet")])
    return [[run for cell in cells[at : at + across] for run in in_width(cell, wide)] for at in range(0, len(cells), across)]


def meaning(counter: Counter) -> str:
    """Meaning of the counter; the unit first, where the name does not give it."""
    return counter.meaning if counter.unit == "us" or counter.label.endswith(counter.unit) else f"{counter.unit} {counter.meaning}"


def _narrow(counter: Counter, totals: dict[str, int], width: int) -> list[Line]:
    """One counter on a line; its value on the next line if both are too wide for one."""
    sign, name, (value, kind) = _runs(counter, totals, min(width - 2, LABEL + VALUE))
    if len(sign[0]) + len(name[0]) + len(value) <= width:
        return [[sign, name, (value, kind)]]
    return [[sign, name], [(value.strip().rjust(width), kind)]]


def _runs(counter: Counter, totals: dict[str, int], width: int = LABEL + VALUE) -> Line:
    """Pieces of one counter: sign, name, value. A name longer than its column takes room from the value."""
    value = totals.get(counter.label, 0)
    text = f"{'-' * (value < 0)}{duration(abs(value) * 1000)}" if counter.unit == "us" else f"{value:,}"
    shown = f" {text}".rjust(width - len(counter.label))
    if value and counter in TROUBLE:
        return [("! ", "waiting"), (counter.label, "waiting"), (shown, "waiting")]
    kind = "" if value else "quiet"
    return [("  ", ""), (counter.label, kind), (shown, kind)]
