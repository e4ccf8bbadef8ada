"""`alphapulse reconstruct` of a capture: its books at an instant or a version, or a series of them."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alphapulse_cli.cli import render, stderr
from alphapulse_cli.errors import NoSegment, UsageError

if TYPE_CHECKING:
    from alphapulse_cli.apps.reconstruct import View
    from alphapulse_cli.apps.replay.timeline import Recording
    from alphapulse_cli.apps.travel import BookThen


@dataclass(frozen=True, slots=True)
class Asked:
    """Options of `reconstruct` about the past, as they were typed."""

    places: Sequence[Path]
    at: str
    at_version: int | None
    at_sequence: int | None
    every_s: float | None
    start: str
    end: str
    fields: Sequence[str]
    symbols: Sequence[str]
    exchanges: Sequence[str]

    def symbols_of(self, recording: "Recording") -> list[str]:
        """Symbols wanted of a recording; empty for all."""
        parts = [text.rpartition(":") for text in self.symbols]
        return [symbol for exchange, _, symbol in parts if exchange in ("", recording.exchange)]


def show(
    asked: Asked, form: str, depth: tuple[int | None, int], refused: Sequence[str], print_views: "Callable[[list[View], str], None]"
) -> None:
    """Print the requested data; `depth` is the requested one, and the default of a table. UsageError for contradicting options."""
    from alphapulse_cli.apps.replay.timeline import recordings
    from alphapulse_cli.edges.capture.files import capture_files

    _check(asked, refused)
    found = [one for one in recordings(capture_files(asked.places)) if not asked.exchanges or one.exchange in asked.exchanges]
    named = {text.rpartition(":")[0] for text in asked.symbols}
    found = [one for one in found if not asked.symbols or named & {"", one.exchange}]
    if not found:
        raise NoSegment(f"no capture of {', '.join([*asked.exchanges, *asked.symbols])} there", "alphapulse capture info FILE")
    if asked.every_s is not None:
        _series(asked, found, form)
        return
    rows = []
    views = []
    levels = depth[0] or (depth[1] if form == "table" else None)
    for book in _books(asked, found):
        views.append(book.view(levels))
        rows.append(book.row(levels))
        if book.keeper.state.name != "LIVE":
            stderr.warning(f"{book.id} was not live then: {book.keeper.state.name} {book.keeper.reason.name}")
    if not rows:
        raise NoSegment("no book at that time in the capture", "alphapulse capture info FILE shows its span")
    if form == "json":
        render.emit_json(rows)
    else:
        print_views(views, form)
    if form == "table":
        out = render.console(sys.stdout)
        for row in rows:
            out.print(_evidence(row), markup=False, highlight=False, soft_wrap=True)


def _evidence(row: Mapping[str, Any]) -> str:
    """Line about a book of the past: its time and number, and what proved it."""
    sequence = "" if row["sequence"] is None else f"  sequence {row['sequence']}"
    proved = f"last matched at {row['proved_at']}" if row["proved_at"] else "no checksum or REST answer to compare it with"
    if row["checksum"] == "BAD":
        proved = f"its last checksum is wrong; {proved}"
    return f"{row['set']}:{row['symbol']}  at {row['at']}{sequence}  {proved}  validated by: {row['validated_by']}"


def _check(asked: Asked, refused: Sequence[str]) -> None:
    if not asked.places:
        raise UsageError("--at, --at-version, --at-sequence and --every need a capture", "alphapulse reconstruct --at TIME FILE")
    points = {"--at": asked.at, "--at-version": asked.at_version, "--at-sequence": asked.at_sequence, "--every": asked.every_s}
    kinds = [name for name, given in points.items() if given not in (None, "")]
    if len(kinds) != 1:
        raise UsageError(
            f"{' and '.join(kinds)} contradict each other" if kinds else "a capture has books of many times",
            "use only one of --at TIME, --at-version N, --at-sequence N, --every TIME",
        )
    if refused:
        raise UsageError(f"{refused[0]} is for live books, not for a capture", "leave it out")
    if (asked.end or asked.fields) and asked.every_s is None:
        raise UsageError("--to and --fields go with --every", "alphapulse reconstruct --every 1s FILE")
    if asked.start and asked.at:
        raise UsageError("--from is where a search begins, and --at needs none", "leave --from out")


def _books(asked: Asked, found: "Sequence[Recording]") -> "Iterator[BookThen]":
    from alphapulse_cli.apps.travel import Travel, book_at
    from alphapulse_cli.readers import moments

    if asked.at:
        time_ns = moments.parse(asked.at)
        first, last = min(one.first_ns for one in found), max(one.last_ns for one in found)
        if not first <= time_ns <= last:
            raise UsageError(
                f"{moments.moment(time_ns)} is not in the capture", f"it is from {moments.moment(first)} to {moments.moment(last)}"
            )
        for one in found:
            yield from book_at([one], asked.symbols_of(one), time_ns, _damaged)
        return
    if len(found) > 1:
        option = "--at-version" if asked.at_version is not None else "--at-sequence"
        raise UsageError(f"{option} is of one book, and the capture has several sets", "add --exchange and --symbol")
    [one] = found
    begin_ns = moments.parse(asked.start) if asked.start else one.first_ns
    with Travel(one, asked.symbols_of(one), begin_ns, _damaged) as travel:
        if asked.start:
            travel.to(begin_ns - 1)
        if asked.at_version is not None:
            yield from travel.to_version(asked.at_version)
        elif asked.at_sequence is not None:
            yield from travel.to_sequence(asked.at_sequence)


def _series(asked: Asked, found: "Sequence[Recording]", form: str) -> None:
    from alphapulse_cli.apps.travel import USUAL_FIELDS, series
    from alphapulse_cli.readers import moments

    assert asked.every_s is not None
    fields = list(asked.fields) or list(USUAL_FIELDS)
    first = moments.parse(asked.start) if asked.start else min(one.first_ns for one in found)
    last = moments.parse(asked.end) if asked.end else max(one.last_ns for one in found)
    if first > last:
        raise UsageError("--from is not before --to")

    def rows() -> Iterator[dict[str, Any]]:
        for one in found:
            yield from series(one, asked.symbols_of(one), (first, last), round(asked.every_s * 1e9), fields, _damaged)  # type: ignore[operator]

    columns = [render.Column("time", whole=True), render.Column("set"), render.Column("symbol"), render.Column("state")]
    render.emit_rows(rows(), [*columns, *(render.Column(name, right=True) for name in fields)], form)


def _damaged(path: Path, what: str) -> None:
    stderr.warning(f"{path}: {what}")
