"""Names and folders of a dataset's files, and the files of a dataset in order of time.

    DIR/deltas/exchange=kraken/day=20261128/kraken-<epoch>-<first ns>-<part>.parquet

`day` is that of the receive time in UTC, as an integer: DuckDB rounds nanoseconds near midnight into the next day where a day is made of
a time. There is no folder for a symbol: readers take INF for a number, T for a boolean and 00 for 0.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from alphapulse_cli.edges.columns.schema import TABLES

SUFFIX = ".parquet"
_PART = re.compile(r"(?P<set>.+)-(?P<epoch>\d+)-(?P<first>\d+)-(?P<part>\d+)\.parquet")


def day_of(time_ns: int) -> int:
    """Day of a time in UTC as YYYYMMDD; `time_ns` is ns since 1970."""
    return int(datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).strftime("%Y%m%d"))


def folder_of(dataset: Path, table: str, exchange: str, day: int) -> Path:
    """Folder of the files of a table, an exchange and a day."""
    return dataset / table / f"exchange={exchange}" / f"day={day}"


def file_name(set_name: str, epoch: int, first_ns: int, part: int) -> str:
    """Name of a file: its set, the epoch and the time of its first row, and a number that makes it unique."""
    return f"{set_name}-{epoch}-{first_ns}-{part}{SUFFIX}"


def first_ns_of(path: Path) -> int:
    """Time of a file's first row, from its name; 0 for a name that is not ours."""
    found = _PART.fullmatch(path.name)
    return int(found["first"]) if found else 0


def files_of(dataset: Path, table: str) -> Iterator[Path]:
    """Iterate over the complete files of a table, by exchange, day and time of the first row. KeyError for an unknown table."""
    assert table in TABLES
    yield from sorted(
        (dataset / table).glob(f"exchange=*/day=*/*{SUFFIX}"), key=lambda path: (path.parent, first_ns_of(path), path.name)
    )
