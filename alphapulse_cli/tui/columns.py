"""Columns that a user chose for a table, and their order, as names in a line of text.

"symbol exchange bid ask age" ─► these columns in this order; the last are left out first if the width is short. "": the default ones.
"""

from collections.abc import Sequence

from alphapulse_cli.tui.widgets.line_table import Column


def wrong(columns: Sequence[Column], text: str) -> str:
    """Reason why a line of names is wrong; "" if it is not."""
    names, known = text.split(), [column.name for column in columns]
    unknown = [name for name in names if name not in known]
    if unknown:
        return f"no such column: {unknown[0][:40]}; there are: {' '.join(known)}"
    twice = [name for name in names if names.count(name) > 1]
    return f"named twice: {twice[0]}" if twice else ""


def chosen(columns: Sequence[Column], text: str) -> list[Column]:
    """Chosen columns, ranked by their order; all columns with their own ranks if the line is empty or wrong."""
    names = text.split()
    if not names or wrong(columns, text):
        return list(columns)
    by_name = {column.name: column for column in columns}
    return [by_name[name]._replace(rank=rank) for rank, name in enumerate(names)]
