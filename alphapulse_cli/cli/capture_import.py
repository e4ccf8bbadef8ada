"""Arguments and report of `alphapulse capture import`."""

from pathlib import Path

from alphapulse_cli.apps.capture.imports import Imported
from alphapulse_cli.cli import stderr
from alphapulse_cli.edges.capture import foreign
from alphapulse_cli.edges.capture.head import NAME
from alphapulse_cli.errors import UsageError
from alphapulse_cli.readers.moments import moment

FORMATS = ("cryptofeed", "tardis", "ndjson")
TIME_UNITS = (*foreign.UNITS, foreign.RFC3339)


def reader_of(form: str, time_field: str, time_unit: str) -> foreign.Reader:
    """Reader of a format's lines. UsageError for an unknown one, and for ndjson without the name of its time."""
    if form not in FORMATS:
        raise UsageError(f"unknown format: {form[:20]!r}", f"formats are: {', '.join(FORMATS)}")
    if time_unit not in TIME_UNITS:
        raise UsageError(f"unknown unit of time: {time_unit[:20]!r}", f"units are: {', '.join(TIME_UNITS)}")
    if form != "ndjson":
        if time_field:
            raise UsageError(f"--time-field is for ndjson, not for {form}", f"lines of {form} begin with their time")
        return foreign.cryptofeed if form == "cryptofeed" else foreign.tardis
    if not time_field:
        raise UsageError("ndjson without --time-field", "name the member with the time: --time-field ts --time-unit ms")
    return foreign.ndjson(time_field, time_unit)


def set_name(name: str) -> str:
    """Name of a set, or "". UsageError for one that a set cannot have."""
    if name and not NAME.fullmatch(name):
        raise UsageError(f"not a name of a set: {name[:40]!r}", "a-z, 0-9 and -, at most 16 characters, as in --as kraken-2")
    return name


def report(done: Imported, folder: Path) -> None:
    """Write what was imported on stderr."""
    for notice in done.notices:
        stderr.note(notice)
    extra = f", {done.snapshots} snapshots" if done.snapshots else ""
    left_out = f"; {done.left_out} lines without a book left out" if done.left_out else ""
    symbols = ", ".join(done.symbols[:8]) + (f" and {len(done.symbols) - 8} more" if len(done.symbols) > 8 else "")
    stderr.note(f"{done.exchange}, {done.mode}: {symbols}")
    stderr.note(f"{done.frames} frames{extra}, {moment(done.first_ns)} to {moment(done.last_ns)}, in {folder}{left_out}")
