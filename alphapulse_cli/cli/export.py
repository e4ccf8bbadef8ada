"""`alphapulse export`: captures and datasets in the files that other tools load."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from alphapulse_cli.cli import options, render, stderr
from alphapulse_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alphapulse_cli.apps.export.export import Exported

FORMATS = ("hftbacktest", "nautilus", "tardis-csv", "csv", "parquet", "arrow")

app = options.command_app()


@app.command()
def export(
    places: Annotated[
        list[str],
        typer.Argument(
            metavar="PLACE…", help="Captures (files, or folders with them), or the folder of one dataset.", show_default=False
        ),
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORMAT",
            autocompletion=options.complete_words(*FORMATS),
            show_default=False,
            help=f"For what: {', '.join(FORMATS[:-1])} or {FORMATS[-1]}.",
        ),
    ] = "",
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="DIR", show_default=False, help="Folder of the files; it is made if it is not there."
        ),
    ] = "",
    exchange: options.Exchanges = None,
    symbols: options.Symbols = None,
    start: options.FromTime = "",
    end: Annotated[
        str,
        typer.Option(
            "--until",
            metavar="TIME",
            autocompletion=options.complete_moment,
            show_default=False,
            help="Up to this time of the recording, which is left out.",
        ),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace a former export in the folder.")] = False,
    form: options.FormatWithoutRows = None,
    as_json: options.Json = False,
) -> None:
    """Export captures or a dataset to the files that another tool loads.

    Every market begins with its whole book, and has it again after each gap. Files get their names when all are whole; export.json beside
    them says what each holds, what was cleaned for the tool, each gap, and what the source itself lacks.

    hftbacktest: an .npz of events a market, prices as floats, tick and lot size in export.json. nautilus: a catalog of deltas and trades,
    at most 16 decimals. tardis-csv: incremental_book_L2 and trades, times in us. csv, parquet, arrow: the tables deltas, trades and snapshots,
    which lose nothing. Limits of each: docs/how-to/export.md.

    Example: alphapulse export captures/ --to hftbacktest --symbol BTC-USD --output for-hftbacktest
    """
    form = render.chosen_format(form, as_json, ("table", "json"))

    from pathlib import Path

    from alphapulse_cli.apps.export.export import export_to, require_format
    from alphapulse_cli.readers import moments

    require_format(to)
    span_ns = (moments.parse(start) if start else None, moments.parse(end) if end else None)
    if not output:
        raise UsageError("no folder is named", "--output DIR, which is made if it is not there")
    with stderr.told_if_cut("the export was not finished"):
        made = export_to([Path(place) for place in places], to, Path(output), exchange or (), symbols or (), span_ns, force=force)
    if form == "json":
        render.emit_json([made.summary])
    else:
        out = render.console(sys.stdout)
        for line in lines(made):
            out.print(line, markup=False, highlight=False, soft_wrap=True)
    for line in missing(made):
        stderr.warning(line)


def lines(made: "Exported") -> "Iterator[str]":
    """Lines of an export in words: a market each, then the folder."""
    from alphapulse_cli.edges.safe_text import safe

    for one in made.summary["markets"]:
        counts = one["counts"]
        parts = [f"{counts.get(name, 0)} {name}" for name in ("groups", "changes", "snapshots", "trades", "gaps")]
        parts += [f"{name.replace('_', ' ')}: {number}" for name, number in one.get("cleaned", {}).items() if number]
        yield safe(f"{one['set']}:{one['symbol']}  {', '.join(parts)}")
    count = len(made.files)
    yield safe(f"{count} file{'' if count == 1 else 's'} and export.json in {made.folder}")


def missing(made: "Exported") -> "Iterator[str]":
    """Lines about what the source lacks."""
    losses = made.losses
    yield from losses["damages"]
    if losses["rows_lost"]:
        yield f"{losses['rows_lost']} rows were left out when it was captured"
    for name, number in losses["trades_missed"].items():
        yield f"{name}: {number} trades were missed, by the exchange's own numbers"
    for name, number in losses["records_missed"].items():
        yield f"{name}: {number} records were missed by the recorder"
    if made.gaps:
        yield f"{made.gaps} gap{'' if made.gaps == 1 else 's'} in the books, each with a snapshot behind it where they healed: export.json lists them"
