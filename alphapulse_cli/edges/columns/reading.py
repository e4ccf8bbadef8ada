"""Parts of a dataset: its complete files, grouped by exchange, day, set and columns, each of a version that is understood.

    parts(dataset, "trades") ─► Part(exchange, day, set_name, names, files) …

Nothing but metadata is read here. Unfinished files have another suffix and are not seen. A file of a greater version, or one that is not
ours, is refused with its name: leaving it out would be a loss that nobody is told of.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alphapulse_cli.edges.columns.places import files_of
from alphapulse_cli.edges.columns.schema import TABLES, VERSION
from alphapulse_cli.errors import NoSegment, StorageError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

OPEN = ".open"  # a recorder's own folder, there before its first complete file
CAPTURES = (".cap.zst", ".cap.idx")
_PLACE = re.compile(r"exchange=(?P<exchange>.+)/day=(?P<day>\d+)")
PATH_COLUMNS = ("exchange", "day", "set_name")  # of each row, by its file


@dataclass(frozen=True, slots=True)
class Part:
    """Files of one table with the same exchange, day (YYYYMMDD), set and columns, in order of time."""

    exchange: str
    day: int
    set_name: str
    names: tuple[str, ...]  # of the columns, in the order of the files
    files: tuple[Path, ...]


def is_dataset(place: Path) -> bool:
    """Whether a folder is a dataset: it has a folder of one of its tables, or that of a recorder which has just begun."""
    return any((place / name).is_dir() for name in (*TABLES, OPEN))


def require_captures(places: Iterable[Path]) -> None:
    """Check that these places, which are no datasets, may be captures. UsageError for a folder that is neither, with what each looks like."""
    for place in places:
        try:
            is_neither = place.is_dir() and not any(path.name.endswith(CAPTURES) for path in place.iterdir())
        except OSError:  # the one that reads it tells it
            continue
        if is_neither:
            raise UsageError(
                f"{place}: no capture and no dataset in this folder",
                f"captures end in {CAPTURES[0]}; a dataset has folders named {', '.join(TABLES)}",
            )


def require_dataset(dataset: Path) -> None:
    """Check that a folder is a dataset, with or without files. NoSegment with a hint, if it is not."""
    if dataset.is_file():
        raise NoSegment(f"not a folder: {str(dataset)[:200]!r}", "name the folder that alphapulse record DIR writes")
    if not dataset.is_dir():
        raise NoSegment(f"no such folder: {str(dataset)[:200]!r}", "alphapulse record DIR writes a dataset")
    if is_dataset(dataset):
        return
    inside = next((above for above in dataset.resolve().parents if any((above / name).is_dir() for name in TABLES)), None)
    if inside is not None:
        hint = f"the dataset is the folder above its tables: {inside}"
    elif any(path.name.endswith(CAPTURES) for path in dataset.iterdir()):
        hint = "it is a capture: alphapulse record NEW-DIR CAPTURE makes a dataset of it"
    else:
        hint = f"a dataset has folders named {', '.join(TABLES)}; alphapulse record DIR writes one"
    raise NoSegment(f"not a dataset: {str(dataset)[:200]!r}", hint)


def parts(
    dataset: Path,
    table: str,
    exchanges: Collection[str] = (),
    is_day_wanted: Callable[[int], bool] = lambda _: True,
) -> list[Part]:
    """Parts of a table, in order of exchange, day and set: of all exchanges or those named (or sets of that name).

    NoSegment for a folder that is no dataset; UsageError for a file of a greater version or without one; StorageError for a damaged one.
    """
    require_dataset(dataset)
    found: dict[tuple[str, int, str, tuple[str, ...]], list[Path]] = {}
    for path in files_of(dataset, table):
        place = _PLACE.fullmatch(f"{path.parent.parent.name}/{path.parent.name}")
        if place is None or not is_day_wanted(int(place["day"])):
            continue
        if exchanges and place["exchange"] not in exchanges and not path.name.startswith(tuple(f"{name}-" for name in exchanges)):
            continue
        try:
            schema, metadata = _footer(path)
        except FileNotFoundError:  # a recorder's --keep removed it since it was listed
            continue
        set_name = _checked(path, table, metadata)
        if exchanges and place["exchange"] not in exchanges and set_name not in exchanges:
            continue
        found.setdefault((place["exchange"], int(place["day"]), set_name, tuple(schema.names)), []).append(path)
    return [Part(*key, tuple(files)) for key, files in sorted(found.items())]


@contextmanager
def opened(path: Path) -> Iterator["pq.ParquetFile"]:
    """Open a complete file for reading. Within it what cannot be read is a StorageError that names the file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield file
    except FileNotFoundError:
        raise StorageError(f"{path}: no such file any more", "if --keep removed it meanwhile, ask again") from None
    except (OSError, pa.ArrowException) as problem:
        raise _damaged(path, problem) from None


def symbols_of(path: Path) -> set[str]:
    """Symbols of a file's rows. StorageError for one that cannot be read."""
    with opened(path) as file:
        return {symbol for number in range(file.num_row_groups) for symbol in symbols_of_group(file, number)}


def symbols_of_group(file: "pq.ParquetFile", number: int) -> set[str]:
    """Symbols of a row group: one, by its statistics; where it has none they are read."""
    at = file.schema_arrow.names.index("symbol")
    statistics = file.metadata.row_group(number).column(at).statistics
    if statistics is not None and statistics.has_min_max and statistics.min == statistics.max:
        return {statistics.min}
    return set(file.read_row_group(number, columns=["symbol"]).column(0).to_pylist())


def _damaged(path: Path, problem: Exception) -> StorageError:
    """StorageError for a damaged file."""
    reason = str(problem).partition("\n")[0][:200]
    return StorageError(f"{path}: {reason}", "move the file away to read the others")


def _footer(path: Path) -> tuple["pa.Schema", dict[bytes, bytes]]:
    """Schema and metadata of a file. FileNotFoundError; StorageError for a damaged one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            return file.schema_arrow, file.metadata.metadata or {}
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as problem:
        raise _damaged(path, problem) from None


def _checked(path: Path, table: str, metadata: dict[bytes, bytes]) -> str:
    """Name of the set of a file whose metadata is this. UsageError for another version or another table."""
    version = metadata.get(b"alphapulse.dataset", b"").decode("utf-8", "backslashreplace")
    if not version.isdecimal():
        raise UsageError(f"{path}: not a file of a dataset, it names no version", "move it away: it was not written by alphapulse")
    if int(version) > VERSION:
        raise UsageError(
            f"{path}: version {version[:20]} of a dataset, known is {VERSION}",
            "read it with a newer alphapulse: pip install -U alphapulse",
        )
    of = metadata.get(b"alphapulse.table", b"").decode("utf-8", "backslashreplace")
    if of != table:
        raise UsageError(f"{path}: a file of the table {of[:40]!r} among those of {table!r}", "move it to the folder of its table")
    return metadata.get(b"alphapulse.set", b"").decode("utf-8", "backslashreplace")
