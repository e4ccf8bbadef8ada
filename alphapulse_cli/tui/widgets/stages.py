"""Plots of stages, histogram and history side by side: the stage under the cursor, and others where there is room.

▸ kraken exchange → received ≈ relative: two clocks  5,249 samples in two minutes
    551 ┤      ▃█▅                       1.20 ms ┤    █
        │    ▁▆███▄▂       ▁                 p99 │▂▁▁▂█▁▁▂ ▁▁▂
"""

from collections.abc import Sequence

from alphapulse_cli.tui.feed.picture import Stage
from alphapulse_cli.tui.widgets.histogram import histogram_lines
from alphapulse_cli.tui.widgets.history import history_lines
from alphapulse_cli.tui.widgets.lines import Line, in_width, side_by_side

RELATIVE = "≈"
LEAST_WIDTH, LEAST_HEIGHT = 120, 15  # least size of a stage's plots, where there are several

Named = tuple[str, Stage]  # (set's name, stage)


def stage_words(stage: Stage) -> str:
    """Name of a stage with an arrow: "exchange → received ≈"."""
    name = stage.name.replace(" to ", " → ")
    return f"{name} {RELATIVE}" if stage.is_relative else name


def clock_words(stage: Stage) -> str:
    """Text about the clocks; "" where one clock measured both ends and no sample is below zero."""
    below = stage.distribution.below_zero
    note = "relative: two clocks" if stage.is_relative else ""
    return ", ".join(part for part in (note, f"{below:,} below zero" if below else "") if part)


def words_line(named: Named, *, is_chosen: bool) -> Line:
    """Heading of a stage: its name, a remark on its clocks, its number of samples."""
    name, stage = named
    clocks = clock_words(stage)
    return [
        (f"{'▸' if is_chosen else ' '}{name} {stage_words(stage)}", "title" if is_chosen else ""),
        (f" {'' if stage.is_relative else '! '}{clocks}" if clocks else "", "waiting"),
        (f"  {stage.distribution.count:,} samples in two minutes", "quiet"),
    ]


def stage_lines(named: Named, width: int, height: int, *, is_chosen: bool) -> list[Line]:
    """Lines of one stage: heading, histogram and history; at most `height`."""
    stage, left = named[1], width // 2
    shape = histogram_lines(stage.distribution, left, height - 1)
    seconds = history_lines(stage.history, width - left, height - 1)
    return [in_width(words_line(named, is_chosen=is_chosen), width), *side_by_side([(shape, left), (seconds, width - left)])][
        :height
    ]


def stages_lines(stages: Sequence[Named], chosen: int | None, width: int, height: int) -> list[Line]:
    """Lines of the page with the chosen stage, in columns, row by row; no lines where none is chosen."""
    if chosen is None or height < 1:
        return []
    across, down = max(width // LEAST_WIDTH, 1), max(height // LEAST_HEIGHT, 1)
    page = chosen - chosen % (across * down)
    shown = range(page, min(page + across * down, len(stages)))
    across = min(across, len(shown))
    tall = height // -(-len(shown) // across)
    lines: list[Line] = []
    for first in range(page, shown.stop, across):
        row = [
            (stage_lines(stages[at], width // across, tall, is_chosen=at == chosen), width // across)
            for at in shown
            if first <= at < first + across
        ]
        lines += side_by_side(row)
        lines += [[]] * (-len(lines) % tall)
    return lines
