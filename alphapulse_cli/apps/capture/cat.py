"""`capture cat`: payloads or whole rows of captures, in the order in which they were written."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from alphapulse_cli.apps.capture.attribution import Attribution
from alphapulse_cli.apps.capture.places import Span
from alphapulse_cli.edges.capture.blocks import Damage
from alphapulse_cli.edges.capture.reader import CaptureFile
from alphapulse_cli.edges.capture.rows import Row
from alphapulse_cli.readers.moments import moment


class Wanted(NamedTuple):
    """Rows that are wanted. Empty kinds and symbols are all of them; a connection of None is any."""

    span: Span = Span()
    kinds: frozenset[bytes] = frozenset()
    connection: int | None = None
    symbols: Sequence[str] = ()


def rows_of(paths: Sequence[Path], wanted: Wanted, on_damage: Callable[[Path, Damage], None]) -> Iterator[Row]:
    """Iterate over the wanted rows of several files, one after another; a file whose head is lost is read all the same.

    UsageError for a file of which nothing is readable, or that a newer version wrote, and for a symbol that none has.
    """
    attribution = Attribution(paths, wanted.symbols) if wanted.symbols else None
    for path in paths:
        with CaptureFile(path) as file:
            if file.head_if_left() is None and next(file.rows(), None) is None:
                file.head  # noqa: B018 - the error that says so
            if attribution is not None:
                attribution.begin(file.head_if_left())
            for row in _of_symbols(file, wanted.span, attribution):
                if (not wanted.kinds or row.kind in wanted.kinds) and wanted.connection in (None, row.connection):
                    yield row
            for damage in file.damages:
                on_damage(path, damage)


def _of_symbols(file: CaptureFile, span: Span, attribution: Attribution | None) -> Iterator[Row]:
    """Rows of a span that are of the symbols; connections are told before it, so that all rows up to its end are read for symbols."""
    if attribution is None:
        yield from file.rows(span.from_ns, span.to_ns)
        return
    for row in file.rows(None, span.to_ns):
        if attribution.takes(row) and (span.from_ns is None or row.time_ns >= span.from_ns):
            yield row


def json_row(row: Row) -> dict[str, Any]:
    """Row for JSON. A payload that is not UTF-8 stands as hexadecimal digits in `payload_hex`."""
    said: dict[str, Any] = {
        "kind": row.kind.decode("ascii", "replace"),
        "time": moment(row.time_ns, digits=9),
        "time_ns": row.time_ns,
        "connection": row.connection,
    }
    try:
        said["payload"] = row.payload.decode()
    except UnicodeDecodeError:
        said["payload_hex"] = row.payload.hex()
    return said
