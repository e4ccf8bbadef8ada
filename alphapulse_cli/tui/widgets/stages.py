"""Stages drawn, each with its shape and its seconds side by side: the one under the cursor, and its neighbours where there is room.

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
LEAST_WIDTH, LEAST_HEIGHT = 120, 15  # of a stage, where there are several

Named = tuple[str, Stage]  # of which set, and the stage


def stage_words(stage: Stage) -> str:
    """Exchange → received ≈."""
    name = stage.name.replace(" to ", " → ")
    return f"{name} {RELATIVE}" if stage.is_relative else name


def clock_words(stage: Stage) -> str:
    """What there is to say of the clocks, "" where one clock measured both ends."""
    below = stage.distribution.below_zero
    said = "relative: two clocks" if stage.is_relative else ""
    return ", ".join(part for part in (said, f"{below:,} below zero" if below else "") if part)


def words_line(named: Named, *, is_chosen: bool) -> Line:
    """Which stage it is, what is to be known of its clocks, how many samples."""
    name, stage = named
    clocks = clock_words(stage)
    return [
        (f"{'▸' if is_chosen else ' '}{name} {stage_words(stage)}", "title" if is_chosen else ""),
        (f" {'' if stage.is_relative else '! '}{clocks}" if clocks else "", "waiting"),
        (f"  {stage.distribution.count:,} samples in two minutes", "quiet"),
    ]


def stage_lines(named: Named, width: int, height: int, *, is_chosen: bool) -> list[Line]:
    """One stage in that much room."""
    stage, left = named[1], width // 2
    shape = histogram_lines(stage.distribution, left, height - 1)
    seconds = history_lines(stage.history, width - left, height - 1)
    return [in_width(words_line(named, is_chosen=is_chosen), width), *side_by_side([(shape, left), (seconds, width - left)])][
        :height
    ]


def stages_lines(stages: Sequence[Named], chosen: int | None, width: int, height: int) -> list[Line]:
    """The page of them that has the chosen one, in columns, row by row; nothing where none is chosen."""
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
