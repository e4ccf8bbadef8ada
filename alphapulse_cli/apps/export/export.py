"""`export`: places are captures or one dataset; their events go to the writer of a format, and a summary says what was written and lost.

ap.export("captures", to="hftbacktest", output="for-hftbacktest", symbols=["BTC-USD"])
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from alphapulse_cli import __version__
from alphapulse_cli.apps.export.from_captures import CaptureEvents
from alphapulse_cli.apps.export.from_dataset import DatasetEvents
from alphapulse_cli.apps.export.hftbacktest import HftBacktest
from alphapulse_cli.apps.export.nautilus import Nautilus
from alphapulse_cli.apps.export.output import Output
from alphapulse_cli.apps.export.stream import Event, Losses, Market, Tally
from alphapulse_cli.apps.export.tables import Tables
from alphapulse_cli.apps.export.tardis import Tardis
from alphapulse_cli.apps.export.writer import Writer
from alphapulse_cli.apps.past import Places
from alphapulse_cli.apps.verify.verify import chosen
from alphapulse_cli.edges.columns.reading import is_dataset, require_captures
from alphapulse_cli.errors import NoSegment, StorageError, UsageError
from alphapulse_cli.readers.moments import Time, moment, nanoseconds

WRITERS: dict[str, Callable[[Output], Writer]] = {
    "hftbacktest": HftBacktest,
    "nautilus": Nautilus,
    "tardis-csv": Tardis,
    "csv": lambda output: Tables(output, "csv"),
    "parquet": lambda output: Tables(output, "parquet"),
    "arrow": lambda output: Tables(output, "arrow"),
}
FORMATS = tuple(WRITERS)
PROGRESS_EVENTS = 10_000

Progress = Callable[[int, int], None]  # (events so far, time of the last)


class Source(Protocol):
    """Events, and what their source lacks."""

    losses: Losses

    def __iter__(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Exported:
    """Result of an export: its folder, its files, and the members of its export.json."""

    folder: Path
    files: tuple[str, ...]
    summary: dict[str, Any]

    @property
    def gaps(self) -> int:
        """Number of gaps, in all markets."""
        return sum(one["counts"].get("gaps", 0) for one in self.summary["markets"])

    @property
    def losses(self) -> dict[str, Any]:
        """Losses of the source itself."""
        found: dict[str, Any] = self.summary["losses"]
        return found


def export(
    places: Places,
    *,
    to: str,
    output: str | PathLike[str],
    exchanges: Collection[str] | None = None,
    symbols: Collection[str] | None = None,
    start: Time | None = None,
    end: Time | None = None,
    force: bool = False,
) -> Exported:
    """Export captures (files or folders) or a dataset into the folder `output`, as `to` says: one of FORMATS.

    From `start` on, before `end`. UsageError where a format, a time or a place cannot be right, and where the folder holds an export
    already, unless `force` replaces it; NoSegment where nothing of these exchanges and symbols is there; StorageError.
    """
    for name, given in (("exchanges", exchanges), ("symbols", symbols)):
        if isinstance(given, str):
            raise UsageError(f"{name} are a list, not a text: {given[:40]!r}", f"{name}=[{given[:40]!r}]")
    span = tuple(None if time is None else nanoseconds(time) for time in (start, end))
    paths = [Path(places)] if isinstance(places, str | PathLike) else [Path(place) for place in places]
    return export_to(paths, to, Path(output), exchanges or (), symbols or (), (span[0], span[1]), force=force)


def export_to(
    places: Sequence[Path],
    to: str,
    folder: Path,
    exchanges: Collection[str],
    symbols: Collection[str],
    span_ns: tuple[int | None, int | None] = (None, None),
    *,
    force: bool = False,
    progress: Progress = lambda _events, _now_ns: None,
) -> Exported:
    """Export as `export` does, with times in ns since 1970."""
    require_format(to)
    from_ns, until_ns = span_ns
    if from_ns is not None and until_ns is not None and from_ns >= until_ns:
        raise UsageError(
            f"the end, {moment(until_ns)}, is not after the beginning, {moment(from_ns)}", "what is at the end is left out"
        )
    if is_dataset(folder):
        raise UsageError(f"{folder} is a dataset", "name another folder for the files of the export")
    source = _source(places, exchanges, symbols, span_ns)
    tallies: dict[Market, Tally] = {}
    with Output(folder, force=force) as output, source as events:
        try:
            writer = WRITERS[to](output)
            _write(events, writer, tallies, progress)
            facts = writer.finish()
            if not any(tally.counts["snapshots"] or tally.counts["trades"] for tally in tallies.values()):
                raise NoSegment("there is nothing to export in that time", "leave out --from and --until to export all")
            summary = _summary(to, span_ns, tallies, facts, events.losses, output.names)
            output.finish(summary)
        except OSError as error:
            raise StorageError(
                f"cannot write in {folder}: {error.strerror or error}", "free room there, or name another folder"
            ) from None
    return Exported(folder, tuple(summary["files"]), summary)


def require_format(to: str) -> None:
    """Check the name of a format. UsageError with the nearest ones."""
    if to not in WRITERS:
        import difflib

        near = difflib.get_close_matches(to[:40], FORMATS, n=1, cutoff=0.5)
        raise UsageError(
            f"unknown format: {to[:20]!r}" if to else "no format is named",
            f"did you mean {near[0]}?" if near else f"--to is one of {', '.join(FORMATS)}",
        )


def _source(
    places: Sequence[Path], exchanges: Collection[str], symbols: Collection[str], span_ns: tuple[int | None, int | None]
) -> "AbstractContextManager[CaptureEvents | DatasetEvents]":
    if not places:
        raise UsageError("no capture and no dataset is named", "name files or folders")
    if any(is_dataset(place) for place in places):
        if len(places) > 1:
            raise UsageError("a dataset is exported alone", "name one dataset, or captures")
        return DatasetEvents(places[0], exchanges, symbols, span_ns)
    require_captures(places)
    found = chosen(places, exchanges, symbols)
    if not found:
        raise NoSegment("no capture there", "alphapulse capture info FILE shows what a capture holds")
    first, last = min(one.first_ns for one, _ in found), max(one.last_ns for one, _ in found)
    for time_ns in span_ns:
        if time_ns is not None and not first <= time_ns <= last:
            raise UsageError(f"{moment(time_ns)} is not in the capture", f"it is from {moment(first)} to {moment(last)}")
    return CaptureEvents(found, span_ns)


def _write(events: Iterable[Event], writer: Writer, tallies: dict[Market, Tally], progress: Progress) -> None:
    for number, event in enumerate(events):
        if event.market not in tallies:
            tallies[event.market] = Tally(event.market)
        tallies[event.market].take(event)
        writer.take(event)
        if not number % PROGRESS_EVENTS:
            progress(number, event.timestamp_ns)


def _summary(
    to: str,
    span_ns: tuple[int | None, int | None],
    tallies: dict[Market, Tally],
    facts: dict[Market, dict[str, Any]],
    losses: Losses,
    files: list[str],
) -> dict[str, Any]:
    """Members of export.json."""
    markets = [
        {
            "set": market.set_name,
            "exchange": market.exchange,
            "symbol": market.symbol,
            "from": moment(tally.first_ns, digits=9),
            "to": moment(tally.last_ns, digits=9),
            "price_decimals": tally.price_decimals,
            "size_decimals": tally.size_decimals,
            "counts": dict(sorted(tally.counts.items())),
            "gaps": tally.gaps,
            **facts.get(market, {}),
        }
        for market, tally in sorted(tallies.items())
    ]
    begin, end = (None if time_ns is None else moment(time_ns, digits=9) for time_ns in span_ns)
    return {
        "format": "alphapulse export",
        "version": 1,
        "writer": f"alphapulse {__version__}",
        "to": to,
        "from": begin,
        "until": end,
        "files": files,
        "markets": markets,
        "losses": losses.as_json(),
    }
