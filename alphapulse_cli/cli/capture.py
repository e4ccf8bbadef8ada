"""`alphapulse capture …`: what captures hold, whether it is whole, and new captures out of others."""

from typing import TYPE_CHECKING, Annotated

import typer

from alphapulse_cli.cli import capture_run, options, render, stderr
from alphapulse_cli.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from pathlib import Path

CAT_FORMATS = ("raw", "json")
app = options.command_app(help="Capture what exchanges send; look into captures, check them, and make new ones out of others.")
app.command("run")(capture_run.run)

INFO_COLUMNS = (
    render.Column("file", whole=True),
    render.Column("exchange"),
    render.Column("mode", rank=2),
    render.Column("symbols"),
    render.Column("from"),
    render.Column("to"),
    render.Column("frames", right=True),
    render.Column("rows", right=True, rank=3),
    render.Column("bytes", right=True),
    render.Column("ratio", right=True, rank=1),
    render.Column("connections", rank=4),
    render.Column("lost_rows", "rows lost", right=True, rank=5),
    render.Column("state"),
)
DIFF_COLUMNS = (
    render.Column("capture"),
    render.Column("frames", right=True),
    render.Column("from", rank=2),
    render.Column("to", rank=2),
    render.Column("only_here", "only here", right=True),
    render.Column("first", rank=1),
    render.Column("last", rank=1),
    render.Column("outside", right=True),
)
CHECK_COLUMNS = (render.Column("file"), render.Column("check"), render.Column("verdict"), render.Column("detail"))


def complete_kinds(incomplete: str) -> list[str]:
    """Completions of the last kind of row in a list."""
    from alphapulse_cli.apps.capture.places import KINDS

    return options.complete_words(*KINDS, several=True)(incomplete)


Places = Annotated[
    list[str], typer.Argument(metavar="FILE|DIR…", help="Files of captures, or folders with them.", show_default=False)
]
Kinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kinds",
        metavar="KIND",
        autocompletion=complete_kinds,
        show_default=False,
        help="Only these kinds of rows: head, open, recv, sent, rest, fail, mark, shut, lost, done. Repeat it, or separate with commas.",
    ),
]

NoCheckpoints = Annotated[
    bool,
    typer.Option(
        "--no-checkpoints",
        help="Make no checkpoints, for which the rows are played once: quicker to write, slower to look up in (`reconstruct --at`).",
    ),
]


@app.command()
def info(places: Places, form: options.Format = None, as_json: options.Json = False) -> None:
    """Show what captures hold, a row per file: exchange, symbols, span of time, frames, size, and whether it is whole.

    States: whole (and closed in good order), open (being written, or its writer was killed), cut (its last block is torn), damaged,
    head lost, rows lost (left out by its writer). JSON has more: rows by kind, every connection with its openings and ends, losses.

    Example: alphapulse capture info captures/ --json | jq .rows_by_kind
    """
    from alphapulse_cli.apps.capture.info import row_of
    from alphapulse_cli.apps.capture.places import files_of
    from alphapulse_cli.apps.capture.survey import survey
    from alphapulse_cli.cli.capture_progress import progress

    form = render.chosen_format(form, as_json)
    paths = files_of(places)
    with progress(paths, form) as advance:
        rows = [row_of(survey(path, advance)) for path in paths]
    if form == "table":
        rows = [
            row | {"from": _brief(row["from"]), "to": _brief(row["to"]), "connections": len(row["connections"])} for row in rows
        ]
        render.emit_table(rows, INFO_COLUMNS)
    elif form == "csv":
        render.emit_csv(rows)
    else:
        render.emit_json(rows)


def _brief(time: str | None) -> str | None:
    """RFC 3339 time with nanoseconds, cut to milliseconds."""
    return f"{time[:23]}Z" if time else None


@app.command()
def check(
    places: Places,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Write a fresh index for each file whose own is missing or wrong; the data stay as they are."
        ),
    ] = False,
    form: options.Format = None,
    as_json: options.Json = False,
) -> None:
    """Check that captures are whole: every block decompressed and compared with its checksum, every row parsed, every index compared.

    Missing files of a run, rows that were not written, damage and a torn end are named. Exit code 4 if something does not hold. A file
    that is being written is no failure, unless its last block is torn just now.

    Example: alphapulse capture check captures/
    """
    from alphapulse_cli.apps.capture.check import Verdict, check_file, check_runs
    from alphapulse_cli.apps.capture.places import files_of
    from alphapulse_cli.apps.capture.survey import survey
    from alphapulse_cli.cli.capture_progress import progress

    form = render.chosen_format(form, as_json)
    paths = files_of(places)
    with progress(paths, form) as advance:
        surveys = [survey(path, advance) for path in paths]
    findings = [finding for one in surveys for finding in check_file(one, repair=repair)] + list(check_runs(surveys))
    render.emit_rows(
        [{"file": each.file, "check": each.check, "verdict": each.verdict.value, "detail": each.detail} for each in findings],
        CHECK_COLUMNS,
        form,
    )
    failed = sum(each.verdict is Verdict.FAILS for each in findings)
    if failed:
        stderr.note(f"{failed} of {len(findings)} checks failed")
        raise typer.Exit(ExitCode.INTEGRITY)


def _cat_format(form: str | None) -> str | None:
    if form is not None and form not in CAT_FORMATS:
        raise UsageError(f"unknown format: {form[:20]!r}", f"formats are: {', '.join(CAT_FORMATS)}")
    return form


@app.command()
def cat(
    places: Places,
    begin: options.FromTime = "",
    end: options.ToTime = "",
    kinds: Kinds = None,
    symbols: options.Symbols = None,
    connection: Annotated[
        int | None,
        typer.Option("--connection", min=0, max=9999, metavar="N", show_default=False, help="Only rows of this connection."),
    ] = None,
    rows: Annotated[
        bool, typer.Option("--rows", help="Print whole rows, as stored in the file; otherwise their payloads only.")
    ] = False,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="HOW",
            callback=_cat_format,
            autocompletion=options.complete_words(*CAT_FORMATS),
            show_default=False,
            help="raw, or json: one JSON object per row. Default: raw.",
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Print the frames of captures (or other rows) in the order in which they were written: the exchange's own bytes, a line each.

    In a pipe or a file the bytes are exact; on a terminal what is not printable is escaped. Without --kinds, payloads are those of recv,
    whole rows those of every kind. A file whose head is lost, or that is damaged, is printed as far as it is readable.

    --symbols keeps the rows of these symbols, and those that are of no symbol: heartbeats, acks, losses, metadata. Rows of connections
    that carry none of them are left out. A frame's symbol is told by the names in it.

    Example: alphapulse capture cat captures/ --from 2026-11-27T08:00:00Z --to 2026-11-27T08:01:00Z | jq .channel
    """
    from alphapulse_cli.apps.capture.cat import Wanted, json_row, rows_of
    from alphapulse_cli.apps.capture.places import files_of, kinds_of, span_of
    from alphapulse_cli.cli import capture_lines

    if as_json and form == "raw":
        raise UsageError("--json and --format raw contradict each other", "use only one of them")
    wants_json = as_json or form == "json"
    chosen = kinds_of(options.split_lists(kinds)) if kinds else frozenset() if rows or wants_json else kinds_of(["recv"])
    wanted = Wanted(span_of(begin, end), chosen, connection, symbols or ())
    found = rows_of(files_of(places), wanted, capture_lines.warn_of_damage)
    if wants_json:
        render.emit_json(map(json_row, found))
    else:
        capture_lines.write(found, whole=rows)


@app.command("import")
def import_(
    form: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT",
            autocompletion=options.complete_words("cryptofeed", "tardis", "ndjson"),
            help="cryptofeed, tardis or ndjson.",
        ),
    ],
    places: Annotated[
        list[str], typer.Argument(metavar="FILE… DIR", help="Files of one feed, and the folder to make.", show_default=False)
    ],
    exchange: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            autocompletion=options.complete_exchange,
            show_default=False,
            help="Exchange; recognized by the frames if not given.",
        ),
    ] = "",
    mode: Annotated[
        str,
        typer.Option(
            metavar="MODE",
            autocompletion=options.complete_mode,
            show_default=False,
            help="Feed of the exchange; recognized by the frames if not given.",
        ),
    ] = "",
    depth: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            show_default=False,
            help="Levels per side of the subscription; recognized by the frames if not given.",
        ),
    ] = None,
    as_name: Annotated[
        str, typer.Option("--as", metavar="NAME", show_default=False, help="Name of the set; the exchange's if not given.")
    ] = "",
    time_field: Annotated[
        str,
        typer.Option(
            "--time-field",
            metavar="NAME",
            show_default=False,
            help="For ndjson: key of the time in each line; a.b for a nested key.",
        ),
    ] = "",
    time_unit: Annotated[
        str,
        typer.Option(
            "--time-unit",
            metavar="UNIT",
            autocompletion=options.complete_words("s", "ms", "us", "ns", "rfc3339"),
            show_default=False,
            help="For ndjson: s, ms, us or ns since 1970, or rfc3339. Default: ns.",
        ),
    ] = "ns",
    no_checkpoints: NoCheckpoints = False,
) -> None:
    """Make a capture of a recording of others: cryptofeed's raw files, Tardis's raw data, or NDJSON with a time in each line.

    Lines of cryptofeed are `<epoch seconds>: <frame>`, `<URL> <-> <time>` (a connection), `<URL> <- <time>: <text>` (sent) and `<URL> ->
    <time>: <body>` (an answer: metadata, or a snapshot of Binance); give the files of one feed together. Lines of tardis are `<time>
    <frame>`, an empty one is a lost connection. Lines of ndjson are the frames. Files may be compressed with gzip or zstd.

    The capture gets checkpoints, at most 15 % of it, from which `reconstruct --at` reads; a note says what cannot have them.
    Books of former protocols (Kraken v1, depths that Bybit had) are written as frames of today's, which a note says.

    Example: alphapulse capture import cryptofeed KRAKEN.ws.50.0 KRAKEN.0 captures/kraken-2021
    """
    from pathlib import Path

    from alphapulse_cli.apps.capture import imports
    from alphapulse_cli.cli import capture_import

    if len(places) < 2:
        raise UsageError("nothing to import", "name files, then the folder to make: capture import cryptofeed FILE… DIR")
    reader = capture_import.reader_of(form, time_field, time_unit)
    plan = imports.ImportPlan(
        form,
        reader,
        [Path(place) for place in places[:-1]],
        Path(places[-1]),
        exchange,
        mode,
        depth or 0,
        capture_import.set_name(as_name),
        with_checkpoints=not no_checkpoints,
    )
    capture_import.report(imports.run(plan), plan.folder)


@app.command()
def cut(
    places: Annotated[
        list[str], typer.Argument(metavar="FILE|DIR… DIR", help="Captures, and the folder to make.", show_default=False)
    ],
    begin: options.FromTime = "",
    end: options.ToTime = "",
    no_checkpoints: NoCheckpoints = False,
) -> None:
    """Make a capture of a span of others, which replays by itself.

    It begins where a replay of that span begins: with the last checkpoints before --from, or, without any, with the beginning of the
    collector's run. So its books at --from are exact, and its first rows are older than --from. Captures without checkpoints get some.

    Example: alphapulse capture cut captures/ ten-minutes/ --from 2026-11-27T08:00:00Z --to 2026-11-27T08:10:00Z
    """
    from alphapulse_cli.apps.capture.cut import cut as make
    from alphapulse_cli.apps.capture.places import files_of, span_of
    from alphapulse_cli.cli import capture_lines
    from alphapulse_cli.readers.moments import moment

    span = span_of(begin, end)
    sources, folder = _target(places, "cut")
    made = make(files_of(sources), folder, span, capture_lines.warn, stderr.note, checkpoints=not no_checkpoints)
    lead = f", {made.before} of them before --from, from {moment(made.first_ns)} on" if made.before else ""
    stderr.note(f"{made.rows} rows in {folder}{lead}")


@app.command()
def merge(
    places: Annotated[
        list[str], typer.Argument(metavar="FILE|DIR… DIR", help="Captures, and the folder to make.", show_default=False)
    ],
    no_checkpoints: NoCheckpoints = False,
) -> None:
    """Make one folder of several captures, each set in files of its own.

    Captures of a set one after the other are copied. Those of different symbols of one feed at the same time become one: rows by time,
    connections renumbered. Two of the same symbols at the same time are refused, since a book cannot be fed twice. Checkpoints are copied;
    captures without any get some, also a single one.

    Example: alphapulse capture merge monday/ tuesday/ both/
    """
    from alphapulse_cli.apps.capture.merge import merge as make
    from alphapulse_cli.apps.capture.places import files_of
    from alphapulse_cli.cli import capture_lines

    sources, folder = _target(places, "merge")
    for line in make(files_of(sources), folder, capture_lines.warn, stderr.note, checkpoints=not no_checkpoints):
        stderr.note(line)


LAST_COLUMNS = (render.Column("set"), render.Column("file", whole=True), render.Column("bytes", right=True))


@app.command()
def last(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Folder to make.", show_default=False)],
    names: options.Exchanges = None,
    set_name: Annotated[
        str,
        typer.Option(
            "--as", metavar="NAME", show_default=False, help="Name of the set, of a collector that was started with --as."
        ),
    ] = "",
    shm_dir: options.ShmDir = None,
    form: options.Format = None,
    as_json: options.Json = False,
) -> None:
    """Write the last frames that living collectors keep in memory as captures, a file each: what was received just now, and the books before.

    Each collector keeps about the last 30 s in 8 MiB at most (`collect --last-frames`). The books before are known from checkpoints,
    unless they are larger than three eighths of the bytes. Without --exchange all collectors that run are asked.

    Example: alphapulse capture last just-now/ && alphapulse capture cat just-now/
    """
    from pathlib import Path

    from alphapulse_cli import exchanges
    from alphapulse_cli.apps.last_frames import write_last
    from alphapulse_cli.edges import control
    from alphapulse_cli.errors import NoSegment
    from alphapulse_cli.shm.directory import check_set_name, open_directory

    form = render.chosen_format(form, as_json)
    if set_name and names:
        raise UsageError("--as and --exchange name one set each", "give one of the two")
    for name in names or ():
        exchanges.get(name)  # says which ones are near
    wanted = [check_set_name(one) for one in dict.fromkeys([set_name] if set_name else names or ())]
    with open_directory(options.settings().choose("shm_dir", shm_dir) or None) as directory:
        asked = wanted or control.controlled_sets(directory)
        if not asked:
            raise NoSegment("no collector is running", "alphapulse collect --exchange kraken")
        made = write_last(directory, asked, Path(folder), lambda name, text: stderr.note(f"{name}: {text}"), needs_all=bool(wanted))
    rows = [{"set": name, "file": str(path), "bytes": path.stat().st_size} for name, path in made.items()]
    render.emit_rows(rows, LAST_COLUMNS, form)


@app.command()
def diff(
    one: Annotated[str, typer.Argument(metavar="FILE|DIR", help="A capture.", show_default=False)],
    other: Annotated[
        str, typer.Argument(metavar="FILE|DIR", help="Capture to compare it with, of the same feed.", show_default=False)
    ],
    form: options.Format = None,
    as_json: options.Json = False,
) -> None:
    """Compare the frames of two captures of one feed: how many each has that the other has not, the first and the last of them.

    Frames are compared by content, times aside. `outside` counts those before the other's first frame or after its last. What differs by
    connection (acks, channel numbers, sequence numbers of a connection) differs here. Exit code 0 if they are equal, 1 if not.

    Example: alphapulse capture diff host-a/ host-b/
    """
    from alphapulse_cli.apps.capture.diff import diff as compare
    from alphapulse_cli.apps.capture.diff import row_of
    from alphapulse_cli.apps.capture.places import files_of
    from alphapulse_cli.cli import capture_lines

    form = render.chosen_format(form, as_json)
    sides = compare(files_of([one]), files_of([other]), capture_lines.warn)
    rows = [row_of(name, side) for name, side in zip((one, other), sides, strict=True)]
    render.emit_rows(rows, DIFF_COLUMNS, form)
    if any(side.missing for side in sides):
        raise typer.Exit(ExitCode.FAILED)


def _target(places: list[str], command: str) -> "tuple[list[str], Path]":
    """Captures, and the folder to make, which is the last of the places."""
    from pathlib import Path

    if len(places) < 2:
        raise UsageError(f"nothing to {command}", f"name captures, then the folder to make: capture {command} FILE|DIR… DIR")
    return places[:-1], Path(places[-1])
