"""`alphapulse sql`: a query over a dataset, as a table, JSON, CSV or Parquet."""

import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from alphapulse_cli.cli import options, render, stderr
from alphapulse_cli.errors import UsageError

if TYPE_CHECKING:
    from alphapulse_cli.apps.sql.session import Result

FORMATS = ("table", "json", "csv", "parquet")
MOST_ROWS = 1000  # of a table: it waits for its last row to know its widths

app = options.command_app()


def _format(form: str | None) -> str | None:
    if form is not None and form not in FORMATS:
        raise UsageError(f"unknown format: {form[:20]!r}", f"formats are: {', '.join(FORMATS)}")
    return form


@app.command()
def sql(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="One SELECT in DuckDB's SQL; - reads it from standard input.")],
    dataset: Annotated[
        Path, typer.Argument(metavar="[DIR]", show_default=False, help="Folder of the dataset. Default: the one you are in.")
    ] = Path(),
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="HOW",
            callback=_format,
            autocompletion=options.complete_words(*FORMATS),
            show_default=False,
            help="table, json, csv or parquet. Default: table on a terminal, json in a pipe.",
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Query a dataset that `alphapulse record` writes, with DuckDB (extra `sql`). Nothing is written, and no other file is read.

    Views: deltas, trades, bbo, status, snapshots, with exact decimals `price` and `size`; candles('1m') is a table of bars. Times are ns
    since 1970: rfc3339(timestamp_ns) is their exact text, ns('2026-11-27T08:00:00Z') the way back. Sums of price x size are exact in
    integers: sum(price_ticks::HUGEINT * size_lots), and decimal_text(units, decimals) writes them.

    Decimals are texts in JSON, without zeros at their end; CSV has all 18 places. A table ends after 1000 rows; Parquet goes to a file or a pipe.

    Example: alphapulse sql "SELECT symbol, count(*) AS trades FROM trades GROUP BY ALL" data
    """
    form = render.chosen_format(form, as_json, FORMATS)
    if form == "parquet" and stderr.is_terminal(sys.stdout):
        raise UsageError(
            "--format parquet is not for a terminal", "write it into a file: alphapulse sql … --format parquet > result.parquet"
        )
    text = sys.stdin.read() if query == "-" else query
    _require_query_first(query, dataset)

    from alphapulse_cli.apps.sql.session import Session

    with stderr.told_if_cut("the result is cut"), Session(dataset) as session:
        _show(session.ask(text), form)


def _require_query_first(query: str, dataset: Path) -> None:
    if " " not in query and query != "-" and Path(query).is_dir():
        raise UsageError(f"{query[:40]!r} is a folder, and not a query", 'the query comes first: alphapulse sql "SELECT …" DIR')


def _show(result: "Result", form: str) -> None:
    if form == "parquet":
        _write_parquet(result)
    elif form == "json":
        render.emit_json(_shortened(result))
    elif form == "csv":
        render.emit_csv(_rows(result), [column.name for column in result.columns])
    else:
        _show_table(result)


def _rows(result: "Result") -> Iterator[dict[str, Any] | None]:
    """Rows, and a None behind each batch: the output is flushed there."""
    for batch in result.batches():
        yield from batch
        yield None


def _shortened(result: "Result") -> Iterator[dict[str, Any] | None]:
    """Rows as `_rows` has them, their decimals without the zeros at the end: a price has 18 places in the file."""
    for row in _rows(result):
        yield row if row is None else {name: _short(value) for name, value in row.items()}


def _show_table(result: "Result") -> None:
    from alphapulse_cli.edges.safe_text import safe

    rows: list[dict[str, Any]] = []
    for batch in result.batches():
        rows += batch
        if len(rows) > MOST_ROWS:
            break
    columns = [
        render.Column(column.name, safe(column.name), right=column.is_number, whole=column.is_number) for column in result.columns
    ]
    shown = [{name: _short(value) for name, value in row.items()} for row in rows[:MOST_ROWS]]
    render.emit_table(shown, columns)
    if len(rows) > MOST_ROWS:
        stderr.note(f"the first {MOST_ROWS} rows are shown; --format json has all")


def _short(value: Any) -> Any:
    """Value without the zeros at the end of a decimal, or of those of a list; nothing else of it is changed."""
    if isinstance(value, list):
        return [_short(one) for one in value]
    if not isinstance(value, Decimal):
        return value
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _write_parquet(result: "Result") -> None:
    """Write the result as Parquet. Where its rows end with an error or a signal there is no footer: a cut file is readable by nobody."""
    import os

    import pyarrow.parquet as pq

    schema, batches = result.arrow()
    sys.stdout.flush()
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as file:
        out = _Sink(file)
        writer = pq.ParquetWriter(out, schema, compression="zstd")
        try:
            for batch in batches:
                writer.write_batch(batch)
            writer.close()
        except BaseException:
            writer.is_open = False
            raise
        out.finish()


class _Sink:
    """Sink of a Parquet writer that holds its last write back until `finish`: the writer ends its file after an error, too."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._held = file, b""

    def write(self, data: bytes) -> int:
        """Write what was held, and hold `data`."""
        before, self._held = self._held, bytes(data)
        self._file.write(before)
        return len(data)

    def finish(self) -> None:
        """Write the rest."""
        self._file.write(self._held)

    def flush(self) -> None:
        """Flush the file."""
        self._file.flush()

    def close(self) -> None:
        """Do nothing: the file is closed by who opened it."""

    def writable(self) -> bool:
        """True."""
        return True

    def readable(self) -> bool:
        """False."""
        return False

    def seekable(self) -> bool:
        """False."""
        return False
