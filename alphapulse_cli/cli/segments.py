"""`alphapulse segments`: the segments in shared memory, their writers and readers."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alphapulse_cli.cli import options, render, stderr
from alphapulse_cli.errors import NoSegment

if TYPE_CHECKING:
    from alphapulse_cli.apps.segments import SegmentRow
    from alphapulse_cli.shm.directory import Directory

app = options.command_app()

COLUMNS = (
    render.Column("set"),
    render.Column("holds"),
    render.Column("state"),
    render.Column("writer", right=True),
    render.Column("size", right=True, rank=3),
    render.Column("per_s", "records/s", right=True, rank=1),
    render.Column("book"),
    render.Column("trading"),
    render.Column("levels", right=True, rank=2),
    render.Column("readers", "readers (lag)"),
)


@app.command()
def segments(
    names: options.Exchanges = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Remove files that no living writer or reader needs, and list them.")
    ] = False,
    shm_dir: options.ShmDir = None,
    form: options.Format = None,
    as_json: options.Json = False,
) -> None:
    """List the segments in shared memory: the writer of each, its readers and how many records they lag, sizes and rates.

    States: live, silent (its writer was killed or hangs), retired (its writer closed it), replaced (by a newer file of that name);
    with REPLAY where `alphapulse replay` wrote it: what it holds is of the past ("replay" and "recording_ns" in JSON).

    Example: alphapulse segments --json | jq 'select(.state != "live")'
    """
    import time

    from alphapulse_cli.apps import segments as work
    from alphapulse_cli.shm.directory import open_directory

    form = render.chosen_format(form, as_json)
    chosen = options.settings().choose("shm_dir", shm_dir)
    with open_directory(chosen or None) as directory:
        if sweep:
            removed = [{"removed": name} for name in work.sweep(directory)]
            render.emit_rows(removed, [render.Column("removed")], form)
            return
        found = work.describe(directory, time.sleep)
        rows = [row for row in found if not names or row.set_name in names or row.exchange in names]
        if not rows:
            raise _nothing(directory, names, sorted({row.set_name for row in found}))
        if form == "json":
            render.emit_json(map(_json, rows))
        elif form == "csv":
            render.emit_csv(map(_json, rows))
        else:
            columns = (*COLUMNS, render.Column("capture")) if any(row.capture for row in rows) else COLUMNS
            render.emit_table(_table(rows), columns)
            for row in rows:
                if row.problem:
                    stderr.warning(row.problem)
            _warn_of_captures(directory, sorted({row.set_name for row in rows if row.capture and row.state == "live"}))
            _print_advice(directory, sorted({row.set_name for row in rows if row.exchange}))


def _print_advice(directory: "Directory", names: list[str]) -> None:
    """Warn on stderr about each set that is not live, with the command that fixes it."""
    from alphapulse_cli.apps.revive import revival
    from alphapulse_cli.readers.status import StatusSource

    for one in StatusSource(directory, names).sample():
        needed = revival(directory, one)
        if needed is not None:
            stderr.warning(needed.state, f"{needed.do}: {needed.command}" if needed.command else needed.do)


def _warn_of_captures(directory: "Directory", names: list[str]) -> None:
    """Warn on stderr about each capture that is stopped or has lost rows."""
    from alphapulse_cli.readers.status import StatusSource, capture_state, capture_words
    from alphapulse_cli.shm.counters import CaptureState

    for one in StatusSource(directory, names).sample():
        if capture_state(one.totals) > CaptureState.WRITING or one.totals.get("capture_rows_lost"):
            stderr.warning(f"{one.name}: {capture_words(one.totals)}")


def _nothing(directory: "Directory", names: list[str] | None, there: list[str]) -> NoSegment:
    if not there:
        return NoSegment(
            f"no segments in {directory.path}", "start a collector first: alphapulse collect --exchange kraken, or alphapulse demo"
        )
    return NoSegment(f"no segments of {', '.join(names or ())} in {directory.path}", f"there are: {', '.join(there)}")


def _json(row: "SegmentRow") -> dict[str, Any]:
    from dataclasses import asdict

    return {"segment": row.name, **{key: value for key, value in asdict(row).items() if key != "name"}}


def _table(rows: "list[SegmentRow]") -> Iterator[dict[str, Any]]:
    for row in rows:
        yield {
            "set": row.set_name,
            "holds": row.symbol or row.kind,
            "state": "unusable" if row.problem else f"{row.state}, REPLAY" if row.replay else row.state,
            "writer": row.pid or None,
            "size": _size(row.bytes),
            "per_s": None if row.records_per_s is None else f"{row.records_per_s:.0f}",
            "book": row.book_state,
            "trading": (row.trading_status or "").lower().replace("_", " "),
            "levels": row.levels,
            "capture": _capture(row),
            "readers": [
                f"{reader.label} {reader.pid} ({'dead' if not reader.alive else '?' if reader.lag is None else reader.lag})"
                + (f" missed {reader.missed}" if reader.missed else "")
                for reader in row.readers
            ],
        }


def _capture(row: "SegmentRow") -> str:
    if not row.capture:
        return ""
    lost = f", {row.capture_rows_lost} lost" if row.capture_rows_lost else ""
    return f"{row.capture.lower().replace('_', ' ')}: {row.capture_rows} rows, {_size(row.capture_bytes or 0)}{lost}"


def _size(octets: int) -> str:
    return f"{octets / (1 << 20):.1f} MiB" if octets >= 1 << 20 else f"{octets / 1024:.0f} KiB"
