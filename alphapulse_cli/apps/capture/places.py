"""Arguments that the tools have in common: files and folders, kinds of rows, spans of time."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from alphapulse_cli.apps.replay.timeline import OVER, lost_row
from alphapulse_cli.edges.capture.files import capture_files
from alphapulse_cli.edges.capture.rows import PREFIX_BYTES, BrokenRows, Kind, Row, parse_rows
from alphapulse_cli.errors import UsageError
from alphapulse_cli.readers import moments

KINDS = tuple(kind.value.decode() for kind in Kind)


@dataclass(frozen=True, slots=True)
class Span:
    """Span of time, from_ns ≤ time < to_ns, in ns since 1970; None is unbounded."""

    from_ns: int | None = None
    to_ns: int | None = None


def span_of(begin: str, end: str) -> Span:
    """Span between two RFC 3339 times, "" for none. UsageError for a time without an offset, and for an empty span."""
    from_ns = moments.parse(begin) if begin else None
    to_ns = moments.parse(end) if end else None
    if from_ns is not None and to_ns is not None and from_ns >= to_ns:
        raise UsageError(
            f"--to {end[:40]!r} is not after --from {begin[:40]!r}", "rows at --to are left out, rows at --from are in"
        )
    return Span(from_ns, to_ns)


def kinds_of(names: Iterable[str]) -> frozenset[bytes]:
    """Kinds of rows by their names. UsageError for a name that no row has."""
    chosen = list(names)
    for name in chosen:
        if name not in KINDS:
            raise UsageError(f"unknown kind of rows: {name[:20]!r}", f"kinds are: {', '.join(KINDS)}")
    return frozenset(name.encode() for name in chosen)


def files_of(places: Sequence[str]) -> list[Path]:
    """Files at these places, a folder's in order of time. UsageError where there is nothing to read."""
    return capture_files(map(Path, places))


def rows_in(blocks: Iterable[bytes]) -> Iterator[Row]:
    """Iterate over the rows of blocks; a `lost` row stands in the place of what is none. The marks of ended runs are left out."""
    last_ns = 0
    for block in blocks:
        place = 0
        try:
            for row in parse_rows(block):
                place += PREFIX_BYTES + len(row.payload) + 1
                if row.kind != OVER:
                    last_ns = row.time_ns
                    yield row
        except BrokenRows:
            yield next(parse_rows(lost_row(len(block) - place, last_ns)))
