"""Latency screen: duration of each step for each set, with its distribution and its p50 and p99 of each second.

    stages, a reading a second ─► a row each: p50 … max, samples     worked out once a second
                                        └─► of the cursor's row: histogram and history
    how far behind this reader is ─► a gauge a set                   with every picture

Figures of a step that spans two machines' clocks are marked ≈: only their changes mean something.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from textual.widget import Widget

from alphapulse_cli.readers.moments import REPLAY
from alphapulse_cli.shm.histogram import QUANTILES
from alphapulse_cli.tui.alarms import LATENCY, Key
from alphapulse_cli.tui.feed.picture import Picture, SetPicture, Stage
from alphapulse_cli.tui.screens.detailed import DetailedScreen
from alphapulse_cli.tui.widgets.figures import duration
from alphapulse_cli.tui.widgets.gauge import gauge_line, is_live, liveness_word
from alphapulse_cli.tui.widgets.histogram import shape
from alphapulse_cli.tui.widgets.line_table import Cell, Column, Row
from alphapulse_cli.tui.widgets.lines import Lines
from alphapulse_cli.tui.widgets.stages import clock_words, stage_words, stages_lines

PERCENTILES = tuple(f"p{fraction * 100:g}" for fraction in QUANTILES)
SHAPE_AXIS, SHAPE_WIDTH, SHAPE_TITLE = (3.0, 10.0), 28, "1µs ·   ·   1ms ·   ·   1s  "
ALL_GAUGES = 18  # rows left to the plots where every set has its gauge, not only the cursor's set


class Figures(NamedTuple):
    """Figures of a stage in its row."""

    stage: Stage
    percentiles: dict[str, int | None]
    shape: str


def figures_of(stage: Stage) -> Figures:
    """Compute the figures of a stage."""
    held = stage.distribution
    found = {name: held.quantile(fraction) for name, fraction in zip(PERCENTILES, QUANTILES, strict=True)}
    return Figures(stage, found | {"max": held.largest if held.count else None}, shape(held, SHAPE_AXIS, SHAPE_WIDTH))


class LatencyScreen(DetailedScreen):
    """The Latency screen: one row for each stage of each set."""

    TITLE = "Latency"
    NAME = "latency"
    HELP = (
        "How long each step takes: from the exchange's own time to ours when a message arrived, from there to its records being "
        "published, and to their being seen here. p99 is the time that 99 of 100 stayed within; all figures are of the last two "
        "minutes.\n\n"
        "≈ marks a step between two machines' clocks: a wrong clock moves all its figures by the same amount, so only changes mean "
        "something, and samples below zero are counted apart.\n\n"
        "Below are the shape of the step under the cursor, on an axis where each mark is ten times the last, and its p50 and p99 of "
        "each second. The gauge is how full the ring is of records that this screen has not read yet. a sets an alarm on the step under "
        "the cursor, such as p99 > 50 (ms)."
    )
    COLUMNS = (
        Column("set", "set", 10, right=False, least=4),
        Column("stage", "stage", 21, right=False, least=10),
        *(Column(name, name, 7) for name in (*PERCENTILES, "max")),
        Column("samples", "samples", 9, 1),
        Column("shape", SHAPE_TITLE, SHAPE_WIDTH, 2, right=False),
        Column("clocks", "clocks", 36, 3, right=False),
        Column("state", "collector", 10, 3, right=False),
    )
    SCOPE, MARKED = LATENCY, "set"
    SORTS = ("set", "stage", *PERCENTILES, "max", "samples")
    LARGEST_FIRST = frozenset((*PERCENTILES, "max", "samples"))

    def __init__(self) -> None:
        super().__init__()
        self._figures: dict[tuple[str, str], Figures] = {}
        self._plots, self._gauges = Lines(id="plots"), Lines(id="gauges")

    def compose_details(self) -> Iterable[Widget]:
        """Two widgets: the plots of stages and the gauges of sets."""
        yield self._plots
        yield self._gauges

    def nothing(self, picture: Picture) -> str:
        """The sentence that the table shows without rows."""
        if self.filter and picture.sets:
            return "No set or stage has these words: esc ends the filter"
        return picture.advice or "Nothing is collected yet: alphapulse demo starts simulated exchanges"

    def source(self, picture: Picture) -> Any:
        """The stages with their sets' names; they are new objects once a second."""
        return [(one.status.name, one.status.liveness, one.stages) for one in picture.sets]

    def rows(self, picture: Picture, sorted_by: str, *, reverse: bool) -> list[Row]:
        """One row for each stage; a sentence for a set without measurements."""
        self._figures = {
            (one.status.name, stage.name): self._worked_out((one.status.name, stage.name), stage)
            for one in picture.sets
            for stage in one.stages
        }
        ranked: list[tuple[Any, Row]] = []
        for at, one in enumerate(picture.sets):
            if not one.stages and self.matches(one.status.name):
                ranked.append(((1, at, 0), _silent_row(one)))
            for number, stage in enumerate(one.stages):
                if self.matches(one.status.name, stage.name, stage_words(stage)):
                    figures = self._figures[one.status.name, stage.name]
                    place = (0, *_rank(figures, sorted_by, at, number, reverse=reverse))
                    ranked.append((place, _row(one, figures)))
        return [row for _, row in sorted(ranked, key=lambda pair: pair[0])]

    def _worked_out(self, key: tuple[str, str], stage: Stage) -> Figures:
        """Figures of the stage, computed again only when the stage is a new object: once a second."""
        held = self._figures.get(key)
        return held if held is not None and held.stage is stage else figures_of(stage)

    def alarm_key(self, key: Any) -> Key | None:
        """The alarm's key of a stage's row; None for a set without measurements."""
        return key if key[1] else None

    def show_details(self, picture: Picture, key: Any) -> None:
        """Draw the plots of the stage with that key, of others where there is room, and the gauges."""
        mine = [one for one in picture.sets if key is not None and one.status.name == key[0]]
        gauges = list(picture.sets) if self.details_height >= ALL_GAUGES + len(picture.sets) else mine
        self._gauges.styles.height = len(gauges)
        self._gauges.show(gauges, lambda width, _: [gauge_line(one, width) for one in gauges])
        stages = [(row.key[0], self._figures[row.key].stage) for row in self.table.rows if row.key in self._figures]
        at = next((at for at, (name, stage) in enumerate(stages) if (name, stage.name) == key), None)
        if self.is_large and at is not None:
            stages, at = [stages[at]], 0
        self._plots.show((stages, at), lambda width, height: stages_lines(stages, at, width, height))


def _rank(figures: Figures, sorted_by: str, at: int, number: int, *, reverse: bool) -> tuple[int, ...]:
    """Sort key of a row; rows without a figure are last."""
    sign = -1 if reverse else 1
    if sorted_by == "set":
        return sign * at, number
    if sorted_by == "stage":
        return sign * number, at
    value = figures.stage.distribution.count if sorted_by == "samples" else figures.percentiles.get(sorted_by)
    return (1, at, number) if value is None else (0, sign * value, at, number)


def _row(one: SetPicture, figures: Figures) -> Row:
    stage = figures.stage
    live = is_live(one)
    plain = "" if live else "quiet"
    cells: dict[str, Cell] = {name: (duration(value), plain) for name, value in figures.percentiles.items()}
    name = f"{REPLAY} {one.status.name}" if one.status.replay else one.status.name
    return Row(
        (one.status.name, stage.name),
        cells
        | {
            "set": (name if live else f"✕ {name}", plain and "dead"),
            "stage": (stage_words(stage), plain or ("waiting" if stage.is_relative else "")),
            "samples": (f"{stage.distribution.count:,}", "quiet"),
            "shape": (figures.shape, "quiet"),
            "clocks": (clock_words(stage), "waiting"),
            "state": (liveness_word(one), "live" if live else "dead"),
        },
    )


def _silent_row(one: SetPicture) -> Row:
    reason = "nothing is measured yet" if is_live(one) else f"{liveness_word(one)}: nothing was measured"
    return Row((one.status.name, ""), {"set": (one.status.name, "dead")}, (reason, "waiting" if is_live(one) else "dead"))
