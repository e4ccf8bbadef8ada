"""Books built again from the files of a dataset alone, compared with what its CHECKs and snapshots say.

rebuild(dataset)            over all parts
rebuild(dataset, part=3)    of one part, without those before it
"""

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import groupby

import pyarrow.parquet as pq

from alphapulse_cli.book.book import Book
from alphapulse_cli.edges.columns.places import files_of
from alphapulse_cli.wire.delta import IS_ASK, LEVEL_IS_NEW

SNAPSHOT, DELTA, EVENT = range(3)  # of equal sequences a snapshot's levels come before what tells of it


@dataclass
class Rebuilt:
    """What was found: CHECKs that agreed, what differed, chains that broke, snapshots taken, and the books at the end."""

    checks: int = 0
    snapshots: int = 0
    breaks: int = 0
    wrong: list[tuple[str, str, int]] = field(default_factory=list)  # (symbol, kind, version)
    books: dict[tuple[str, int], Book] = field(default_factory=dict)


def rows_of(dataset, table, part=None, set_name="*"):
    """All rows of a table, or those of one part."""
    ending = ".parquet" if part is None else f"-{part}.parquet"
    return [
        row
        for path in files_of(dataset, table)
        if path.name.endswith(ending) and (set_name == "*" or path.name.startswith(f"{set_name}-"))
        for row in pq.ParquetFile(path).read().to_pylist()
    ]


def rebuild(dataset, part=None, *, set_name="*", edit=lambda table, rows: rows):
    """Build the books of all symbols. `edit` may change the rows of a table before: a test's mutant."""
    events = defaultdict(list)
    for kind, table in ((SNAPSHOT, "snapshots"), (DELTA, "deltas"), (EVENT, "status")):
        for row in edit(table, rows_of(dataset, table, part, set_name)):
            if row["symbol"]:
                events[row["symbol"], row["epoch"]].append((row["sequence"], kind, row))
    found = Rebuilt()
    for key, of_book in sorted(events.items()):
        of_book.sort(key=lambda event: event[:2])
        _rebuild(key, of_book, found)
    return found


def _rebuild(key, events, found):
    book, version, levels, told = None, 0, [], 0
    for (_, kind), same in groupby(events, key=lambda event: event[:2]):
        for *_, row in same:
            if kind == SNAPSHOT:
                levels.append(row)
            elif kind == DELTA:
                if book is None or row["version"] <= told:
                    continue
                if row["version"] not in (version, version + 1):
                    found.breaks += 1
                    book = None
                    continue
                version = row["version"]
                change(book, row)
            elif row["kind"] == "snapshot":
                own = [
                    level for level in levels if level["timestamp_ns"] == row["timestamp_ns"]
                ]  # of a silent feed: one in each part
                levels = [level for level in levels if level["timestamp_ns"] != row["timestamp_ns"]]
                book, version = book_of(own), row["version"]
                told = version
                found.snapshots += 1
                compare(key[0], book, row, found)
            elif row["kind"] == "reset" and book is not None and row["version"] > version:
                book = None
            elif row["kind"] == "check" and book is not None and row["version"] == version:
                found.checks += 1
                compare(key[0], book, row, found)
    if book is not None:
        found.books[key] = book


def book_of(levels):
    book = Book(levels[0]["price_decimals"], levels[0]["size_decimals"]) if levels else Book(0, 0)
    for row in levels:
        change(book, row)
    return book


def change(book, row):
    book.reserve(1)
    flags = (IS_ASK if row["side"] == "ask" else 0) | (LEVEL_IS_NEW if row.get("is_new") else 0)
    book.set(row["price_ticks"], row["size_lots"] | flags)


def compare(symbol, book, row, found):
    if (f"{book.book_hash:016x}", book.bid_count, book.ask_count) != (row["book_hash"], row["bid_levels"], row["ask_levels"]):
        found.wrong.append((symbol, row["kind"], row["version"]))
