"""Which columns of a table a user wants, and in which order: names in a line of text, remembered.

"symbol exchange bid ask age" ─► those columns in that order; where the width is short the last ones go first. "": the screen's own.
"""

from collections.abc import Sequence

from alphapulse_cli.tui.widgets.line_table import Column


def wrong(columns: Sequence[Column], text: str) -> str:
    """What is wrong with such a line, "" for nothing."""
    names, known = text.split(), [column.name for column in columns]
    unknown = [name for name in names if name not in known]
    if unknown:
        return f"no such column: {unknown[0][:40]}; there are: {' '.join(known)}"
    twice = [name for name in names if names.count(name) > 1]
    return f"named twice: {twice[0]}" if twice else ""


def chosen(columns: Sequence[Column], text: str) -> list[Column]:
    """The named ones, each of a rank of its own; all of them, with their own ranks, where the line is empty or wrong."""
    names = text.split()
    if not names or wrong(columns, text):
        return list(columns)
    by_name = {column.name: column for column in columns}
    return [by_name[name]._replace(rank=rank) for rank, name in enumerate(names)]
