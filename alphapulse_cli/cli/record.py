"""`alphapulse record`: a dataset of Parquet files, of live sets or of captures."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from alphapulse_cli.cli import options, render, stderr
from alphapulse_cli.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from alphapulse_cli.apps.record.plan import RecordPlan
    from alphapulse_cli.edges.columns.recorder import Recorder

LINES_EVERY_S, ROWS_EVERY_S = 5.0, 1.0
ENDED = "ended"  # state of a recording in its last row

app = options.command_app()


class Recording(Protocol):
    """A recording that runs: live, or of captures."""

    recorders: "dict[str, Recorder]"

    @property
    def groups(self) -> int:
        """Groups of deltas so far."""

    def close(self) -> None:
        """End it."""


@app.command()
def record(
    folder: Annotated[
        str, typer.Argument(metavar="DIR", help="Folder of the dataset; it is made if it is not there.", show_default=False)
    ],
    places: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CAPTURE]…", help="Captures to play, instead of what runs: files, or folders with them.", show_default=False
        ),
    ] = None,
    exchange: options.Exchanges = None,
    symbols: options.Symbols = None,
    begin: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="WHEN",
            autocompletion=options.complete_words("now", "oldest"),
            show_default=False,
            help="Where to begin: now, or oldest (all that the rings hold); of captures a time, 2026-11-27T10:55:00Z. Default: now.",
        ),
    ] = "",
    end: options.ToTime = "",
    roll: Annotated[
        str | None,
        typer.Option(
            "--roll",
            metavar="BOUNDS",
            show_default=False,
            autocompletion=options.complete_words("10m", "1h", "32MiB", "10m,32MiB"),
            help="When files end and the next begin: 10m, 32MiB, or both with a comma. Default: 10m,32MiB, and at midnight of UTC.",
        ),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            "--keep",
            metavar="BOUNDS",
            show_default=False,
            autocompletion=options.complete_words("7d", "50GiB", "7d,50GiB", "none"),
            help="Delete this set's oldest files beyond an age or a size: 7d, 50GiB, or both with a comma. Default: delete nothing.",
        ),
    ] = None,
    least_free: Annotated[
        str | None,
        typer.Option(
            "--least-free",
            metavar="BOUNDS",
            show_default=False,
            autocompletion=options.complete_words("5%,1GiB", "1GiB", "5%", "0"),
            help="Write nothing while less of the disk is free. Default: 5%,1GiB; 0: fill it.",
        ),
    ] = None,
    recover: Annotated[bool, typer.Option("--recover", help="Turn what a killed recording left into files, and end.")] = False,
    count: options.Count = None,
    duration: options.Duration = None,
    wait_for: options.WaitFor = False,
    wait: options.Wait = None,
    shm_dir: options.ShmDir = None,
    as_json: options.Json = False,
) -> None:
    """Record every change of every book, every trade, best prices and states, as Parquet files that DuckDB, polars and pandas read exactly.

    Without captures it reads what runs, a `replay` too, until Ctrl-C, SIGTERM, --count groups or --duration. Captures are played at full
    speed, and nothing of them is missed. Records that a live recording missed are counted in the table `status` and said at the end.

    Files are complete or not there. All but the last half second of a killed recording becomes files when the next one begins, or by
    --recover. Two recordings of one set into one folder: the second ends with 7.

    Tables, columns and rules: docs/reference/datasets.md. Needs the extra `record`: pip install 'alphapulse[record]'.

    Example: alphapulse record data --exchange kraken --roll 1h
    """
    from alphapulse_cli.edges.columns.extras import require

    plan = _plan(folder, exchange, symbols, roll, keep, least_free)
    captures = places or []
    _check(captures, begin, end, count=count, wait_for=wait_for, recover=recover)
    require("pyarrow", "record", "record")
    _refuse_captures(Path(folder))
    if recover:
        _recover(Path(folder))
        return
    if captures:
        code = _past(plan, captures, begin, end, exchange, symbols, as_json=as_json)
    else:
        code = _live(plan, begin, count, duration, wait_for, wait, shm_dir, as_json=as_json)
    raise typer.Exit(code)


def _plan(
    folder: str, exchange: list[str] | None, symbols: list[str] | None, roll: str | None, keep: str | None, least_free: str | None
) -> "RecordPlan":
    from alphapulse_cli.apps.record.plan import DEFAULT_ROLL, RecordPlan
    from alphapulse_cli.cli.collect_options import read_bounds
    from alphapulse_cli.edges.capture import keeping
    from alphapulse_cli.readers.selection import Wanted

    room = options.settings().choose("least_free", least_free)
    return RecordPlan(
        str(Path(folder).absolute()),
        Wanted.of(exchange, symbols),
        read_bounds("--roll", keeping.rotation, DEFAULT_ROLL if roll is None else roll, "10m,32MiB"),
        read_bounds("--keep", keeping.keep, keep or ("" if keep is None else " "), "7d,50GiB"),
        read_bounds("--least-free", keeping.least_free, room, "5%,1GiB"),
    )


def _check(captures: list[str], begin: str, end: str, *, count: int | None, wait_for: bool, recover: bool) -> None:
    from alphapulse_cli.apps.capture.places import span_of

    if recover and (captures or begin or end):
        raise UsageError("--recover goes without captures and times", "alphapulse record DIR --recover")
    if captures:
        span_of("" if begin in ("now", "oldest") else begin, end)
        if begin in ("now", "oldest"):
            raise UsageError(f"--from {begin} is of what runs, not of captures", "name a time: --from 2026-11-27T10:55:00Z")
        if wait_for or count is not None:
            raise UsageError("--wait-for and --count are of what runs, not of captures", "leave them out")
    elif begin not in ("", "now", "oldest") or end:
        raise UsageError("times are of captures, and none is named", "write --from now or --from oldest, or name captures")


def _refuse_captures(folder: Path) -> None:
    """UsageError for a folder of captures in the place of the dataset: the dataset was forgotten."""
    from alphapulse_cli.edges.columns.reading import CAPTURES

    if folder.is_dir() and any(path.name.endswith(CAPTURES) for path in folder.iterdir()):
        raise UsageError(f"{folder} is a folder of captures, not of a dataset", f"alphapulse record NEW-DIR {folder}")


def _recover(folder: Path) -> None:
    from alphapulse_cli.apps.record.plan import recover, recovered_line
    from alphapulse_cli.edges.columns.reading import require_dataset

    require_dataset(folder)
    done = recover(folder)
    for name, one in done.items():
        print(recovered_line(name, one))
    if not done:
        stderr.note(f"nothing was left to recover in {folder}")


def _live(
    plan: "RecordPlan",
    begin: str,
    count: int | None,
    duration: float | None,
    wait_for: bool,
    wait: str | None,
    shm_dir: str | None,
    *,
    as_json: bool,
) -> ExitCode:
    from alphapulse_cli.apps.record.live import LiveRecording
    from alphapulse_cli.cli import standing
    from alphapulse_cli.edges import process
    from alphapulse_cli.readers.selection import until_there
    from alphapulse_cli.shm.directory import open_directory

    settings = options.settings()
    how = settings.choose("wait", wait)
    with open_directory(settings.choose("shm_dir", shm_dir) or None, create=wait_for) as directory:
        watcher = standing.Standing(directory, plan.wanted, replays=True)

        def attach() -> LiveRecording:
            return LiveRecording(plan, directory, _report, "oldest" if begin == "oldest" else "now", how, watcher.look)

        recording, left_s = until_there(attach, stderr.note, duration) if wait_for else (attach(), duration)

        with process.stopping() as stopping:

            def goes_on() -> bool:
                return stopping.goes_on() and (count is None or recording.groups < count)

            _run(recording, recording.run(goes_on, left_s), as_json=as_json)
    return stopping.code or ExitCode.DONE


def _past(
    plan: "RecordPlan",
    captures: list[str],
    begin: str,
    end: str,
    exchange: list[str] | None,
    symbols: list[str] | None,
    *,
    as_json: bool,
) -> ExitCode:
    from alphapulse_cli.apps.capture.places import span_of
    from alphapulse_cli.apps.record.past import PastRecording
    from alphapulse_cli.apps.verify.verify import chosen
    from alphapulse_cli.edges import process

    span = span_of(begin, end)
    wanted = chosen([Path(place) for place in captures], exchange or (), symbols or ())
    recording = PastRecording(plan, wanted, _report, (span.from_ns, span.to_ns))
    with process.stopping() as stopping:
        _run(recording, recording.run(stopping.goes_on), as_json=as_json)
    if stopping.code is not None:
        stderr.warning("the captures were not recorded to their end")
    return stopping.code or ExitCode.DONE


def _run(recording: Recording, steps: Iterable[None], *, as_json: bool) -> None:
    """Run a recording to its end, with a line now and then, and close it whatever happens."""
    from alphapulse_cli.shm import clock

    shows_rows = render.wants_json(as_json)
    every_ns = int((ROWS_EVERY_S if shows_rows else LINES_EVERY_S) * 1e9)
    shown_ns = clock.monotonic_ns()
    try:
        for _ in steps:
            now_ns = clock.monotonic_ns()
            if now_ns - shown_ns >= every_ns:
                shown_ns = now_ns
                _show(recording, shows_rows=shows_rows)
    finally:
        recording.close()
    _show(recording, shows_rows=shows_rows, is_last=True)


def _show(recording: Recording, *, shows_rows: bool, is_last: bool = False) -> None:
    for name, recorder in sorted(recording.recorders.items()):
        if shows_rows:
            render.emit_json([_row(name, recorder, is_last=is_last)])
        else:
            print(_line(name, recorder, is_last=is_last), flush=True)


def _row(name: str, recorder: "Recorder", *, is_last: bool) -> Mapping[str, Any]:
    totals = recorder.totals
    return {
        "set": name,
        "exchange": recorder.exchange,
        "rows": dict(totals.rows),
        "missed": totals.missed,
        "rows_lost": totals.rows_lost,
        "files": totals.files,
        "file_bytes": totals.file_bytes,
        "open_bytes": recorder.stream_bytes,
        "state": ENDED if is_last and not totals.stopped else totals.state,
        "reason": totals.stopped,
    }


def _line(name: str, recorder: "Recorder", *, is_last: bool) -> str:
    totals = recorder.totals
    rows = totals.rows
    parts = [
        f"{rows['deltas']} changes",
        f"{rows['trades']} trades",
        f"{totals.files} files of {totals.file_bytes / 2**20:.1f} MiB",
    ]
    parts += [f"{totals.missed} records missed"] if totals.missed or is_last else []
    parts += [f"{totals.rows_lost} rows lost"] if totals.rows_lost else []
    parts += [f"not written: {totals.stopped}"] if totals.stopped else []
    return f"{name}: {', '.join(parts)}"


def _report(level: str, message: str) -> None:
    if level == "warning":
        stderr.warning(message)
    elif level == "said" or stderr.explains():
        stderr.note(message)
