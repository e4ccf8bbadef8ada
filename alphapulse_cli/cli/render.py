r"""Printer of data on stdout: tables at a terminal, one JSON object per line in a pipe, or the format of --format.

    rows (mappings of plain values) ─► emit_rows ─┬─► table   on a terminal, or asked for: a finite list, aligned
                                                  ├─► json    in a pipe, or asked for: NDJSON, flushed when the source pauses
                                                  └─► csv     a header, a line a row; lists and mappings as JSON in their cell

Decimals are strings in JSON. Hostile text is always escaped: through `safe` in tables and CSV, as \uXXXX in JSON, where a parser
gets the original text back. A closed pipe raises BrokenPipeError, on which `main` ends without a message.
"""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import IO, TYPE_CHECKING, Any

from alphapulse_cli.cli.stderr import is_terminal, note, wants_colour
from alphapulse_cli.edges.safe_text import safe
from alphapulse_cli.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table; JSON has the row's keys as they are."""

    name: str  # the row's key
    title: str = ""  # "" = the key with spaces
    right: bool = False  # aligned to the right, as numbers
    rank: int = 0  # above 0: left out of a table that is too wide for the terminal, the highest first; JSON and CSV have it
    whole: bool = False  # cells are never wrapped: a command to copy, an address, a number
    below: str = ""  # key whose value precedes each cell in lines below the table, where the column is left out


def wants_json(flag: bool) -> bool:
    """Whether a command without --format prints JSON: with --json, or where stdout is not a terminal."""
    return flag or not is_terminal(sys.stdout)


def chosen_format(form: str | None, as_json: bool = False, offered: Sequence[str] = ("table", "json", "csv")) -> str:
    """Choose the format: by --format or --json, else the configured one if offered, else table on a terminal, json in a pipe.

    UsageError if --format and --json contradict each other.
    """
    from alphapulse_cli.cli import options

    if as_json and form not in (None, "json"):
        raise UsageError(f"--json and --format {form} contradict each other", "use only one of them")
    if as_json or form:
        return form or "json"
    configured = str(options.settings().get("format"))
    return configured if configured in offered else "table" if is_terminal(sys.stdout) else "json"


def emit_rows(rows: Iterable[Row | None], columns: Sequence[Column], form: str, narrow: Callable[[Row], str] | None = None) -> None:
    """Print the rows in that format. A table waits for the last row, so it is not for an endless source.

    A None among the rows means "no more for now": the output is flushed. `narrow`: as for `emit_table`.
    """
    if form == "json":
        emit_json(rows)
    elif form == "csv":
        emit_csv(rows, [column.name for column in columns])
    else:
        emit_table((row for row in rows if row is not None), columns, narrow)


def emit_csv(rows: Iterable[Row | None], names: Sequence[str] = (), *, headed: bool = False) -> None:
    """Print CSV: a header and a line a row, with the keys `names`, or those of the first row; flushed at each None and at the end.

    With `headed` the header has been written already.
    """
    out, eager = sys.stdout, is_terminal(sys.stdout)
    written = csv.writer(out, lineterminator="\n")
    names = list(names)
    if names and not headed:
        written.writerow(map(safe, names))
    for row in rows:
        if row is not None:
            if not names:
                names = list(row)
                written.writerow(map(safe, names))
            written.writerow([_csv_cell(row.get(name)) for name in names])
        if row is None or eager:
            out.flush()
    out.flush()


def _csv_cell(value: Any) -> str:
    """Text of one CSV cell; None becomes an empty cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple | Mapping):
        return json_line({"": value})[4:-2].decode()
    if isinstance(value, Enum | Decimal | bytes):
        value = _plain(value)
    return safe(value)


def emit_json(rows: Iterable[Row | None]) -> None:
    """Print one JSON object per line; flushed at each None, after each row on a terminal, and at the end."""
    out, eager = _binary(sys.stdout), is_terminal(sys.stdout)
    for row in rows:
        if row is not None:
            out.write(json_line(row))
        if row is None or eager:
            out.flush()
    out.flush()


def emit_table(rows: Iterable[Row], columns: Sequence[Column], narrow: Callable[[Row], str] | None = None) -> None:
    """Print a table of a finite list of rows. A terminal too narrow for it gets fewer columns, by rank, and a note on stderr.

    Where even the unranked columns do not fit, each row becomes the sentence that `narrow` makes of it, if it is given.
    """
    from rich.table import Table

    from alphapulse_cli.cli import fitting

    out = console(sys.stdout)
    told = list(rows)
    titles = [column.title or column.name.replace("_", " ") for column in columns]
    cells = [[cell(row.get(column.name)) for row in told] for column in columns]
    measures = [
        fitting.measure(
            title, [text.plain for text in texts], column.right or column.whole, column.rank if is_terminal(sys.stdout) else 0
        )
        for column, title, texts in zip(columns, titles, cells, strict=True)
    ]
    widths = fitting.fit(measures, out.width)
    if widths is None and narrow is not None:
        for row in told:
            out.print("\n".join(fitting.wrapped(safe(narrow(row)), out.width)), markup=False, highlight=False)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    shown = [at for at in range(len(columns)) if widths is None or widths[at]]
    for at in shown:
        table.add_column(
            titles[at],
            justify="right" if columns[at].right else "left",
            overflow="fold",
            width=None if widths is None else widths[at],
        )
    for texts in zip(*(cells[at] for at in shown), strict=True):
        table.add_row(*texts)
    out.print(table)
    left_out = [at for at in range(len(columns)) if at not in shown]
    for at in left_out:
        if columns[at].below:
            for row in told:
                if row.get(columns[at].name):
                    out.print(f"{words(row.get(columns[at].below))}: {words(row[columns[at].name])}", soft_wrap=True)
    if unsaid := [titles[at] for at in left_out if not columns[at].below]:
        note(f"no room in {out.width} columns for: {', '.join(unsaid)}; --format json has all")


def cell(value: Any) -> "Text":
    """Text of a value for a table: "-" for None, yes and no, lists with commas; always safe to print."""
    from rich.text import Text

    return Text(words(value))


def words(value: Any) -> str:
    """Text of a value as in `cell`, as a plain string."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(words(part) for part in value) if value else "-"
    return safe(value)


def json_line(row: Row) -> bytes:
    r"""Encode the row as one line of JSON, newline included; unprintable characters as \uXXXX, decimals as strings."""
    import orjson

    try:
        line = orjson.dumps(row, default=_plain)
    except TypeError:  # a lone surrogate or a number beyond 64 bits: only json encodes these
        line = json.dumps(row, default=_plain, separators=(",", ":")).encode()
    if line.isascii() and b"\x7f" not in line:  # orjson escapes the characters below space
        return line + b"\n"
    text = line.decode()
    if not text.isprintable():
        text = "".join(character if character.isprintable() else _json_escape(character) for character in text)
    return text.encode() + b"\n"


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, Enum):
        return value.name
    raise TypeError(f"no JSON for {type(value).__name__}")


def console(stream: IO[str]) -> "Console":
    """Make a rich console with our colour policy that interprets no markup, emoji names or highlighting in data."""
    from rich.console import Console

    coloured, terminal = wants_colour(stream), is_terminal(stream)
    return Console(
        file=stream,
        force_terminal=terminal,
        color_system=("auto" if terminal else "standard") if coloured else None,
        no_color=not coloured,
        markup=False,
        emoji=False,
        highlight=False,
        width=None if terminal else 200,  # in a file or a pipe, wrapping would only break lines
    )


def _binary(stream: IO[str]) -> IO[bytes]:
    """Binary buffer of a text stream, after its pending text was flushed."""
    stream.flush()
    return stream.buffer  # type: ignore[attr-defined, no-any-return]
