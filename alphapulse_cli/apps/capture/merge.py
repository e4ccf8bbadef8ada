"""`capture merge`: several captures as one folder, a set's files never mixed with another's.

Runs of a set one after the other are copied as they are. Runs at the same time, of different symbols of one feed, become one: their
rows by time, their connections renumbered. Checkpoints are copied, and made for what has none. Two captures of the same symbols at the same time are refused: a book
cannot be fed twice.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pathlib import Path

import orjson

from alphapulse_cli.apps.capture.checkpointing import Checkpointing, Say, checkpointing, with_checkpoints
from alphapulse_cli.apps.capture.cut import copy_runs
from alphapulse_cli.apps.capture.places import rows_in
from alphapulse_cli.apps.replay.timeline import file_blocks
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.reader import CaptureFile
from alphapulse_cli.edges.capture.rewriting import new_folder
from alphapulse_cli.edges.capture.rows import MOST_CONNECTION, Kind, Row
from alphapulse_cli.errors import UsageError

Damaged = Callable[[Path, str], None]
LEFT_OUT = (bytes(Kind.HEAD), bytes(Kind.DONE), bytes(Kind.HELD))


@dataclass(slots=True)
class Run:
    """Run of one collector: its files by number, and the span of its rows."""

    head: Head
    files: dict[int, Path] = field(default_factory=dict)
    heads: list[Head] = field(default_factory=list)
    first_ns: int = 0
    last_ns: int = 0

    @property
    def natives(self) -> set[str]:
        """Names of the symbols of all of its files."""
        return {one.native for head in self.heads for one in head.instruments}

    def rows(self, damaged: Damaged) -> Iterator[Row]:
        """Iterate over the rows of all files."""
        for _, path in sorted(self.files.items()):
            yield from rows_in(file_blocks(path, None, damaged))


def merge(paths: Sequence[Path], folder: Path, damaged: Damaged, say: Say, *, checkpoints: bool = True) -> list[str]:
    """Write all captures into a new folder; a line of words for each set. UsageError where two cannot be one; StorageError.

    `say` is called with what can have no checkpoints; without `checkpoints` only those that there are are copied.
    """
    said: list[str] = []
    groups = [group for runs in _sets(paths).values() for group in _at_the_same_time(runs)]
    for group in groups:
        _check(group)
    with new_folder(folder) as partial, checkpointing(checkpoints, say, with_checkpoints(paths)) as writing:
        for group in groups:
            if len(group) == 1:
                copy_runs(partial, writing, group[0].rows(damaged), "merged")
            else:
                _join(partial, replace(writing, has_some=frozenset()), group, damaged)
            joined = f", {len(group)} captures at the same time made one" if len(group) > 1 else ""
            said.append(f"{group[0].head.set_name}: {sum(len(run.files) for run in group)} files{joined}")
    return said


def _sets(paths: Sequence[Path]) -> dict[str, list[Run]]:
    """Runs of all files by set, in order of time. UsageError for two files that are the same part of one run."""
    runs: dict[tuple[str, int], Run] = {}
    for path in paths:
        with CaptureFile(path) as file:
            head, entries = file.head, file.entries()
        run = runs.setdefault((head.set_name, head.run_ns), Run(head))
        if head.exchange != run.head.exchange:
            raise UsageError(f"the set {head.set_name} is of {run.head.exchange} and, in {path}, of {head.exchange}")
        if head.file_number in run.files:
            raise UsageError(f"{run.files[head.file_number]} and {path} are the same part of one capture", "give each once")
        run.files[head.file_number] = path
        run.heads.append(head)
        first, last = min(one.first_ns for one in entries), max(one.last_ns for one in entries)
        run.first_ns, run.last_ns = min(run.first_ns or first, first), max(run.last_ns, last)
    sets: dict[str, list[Run]] = {}
    for (name, _), run in sorted(runs.items()):
        sets.setdefault(name, []).append(run)
    return sets


def _at_the_same_time(runs: list[Run]) -> list[list[Run]]:
    """Groups of runs that overlap in time."""
    groups: list[list[Run]] = []
    for run in sorted(runs, key=lambda one: one.first_ns):
        if groups and run.first_ns <= max(one.last_ns for one in groups[-1]):
            groups[-1].append(run)
        else:
            groups.append([run])
    return groups


def _check(group: list[Run]) -> None:
    first = group[0]
    for number, run in enumerate(group):
        place = next(iter(run.files.values()))
        if (run.head.exchange, run.head.mode, run.head.depth) != (first.head.exchange, first.head.mode, first.head.depth):
            raise UsageError(
                f"{place}: another feed under the name {run.head.set_name} at the same time", "merge them into two folders"
            )
        for other in group[:number]:
            both = sorted(run.natives & other.natives)
            if both:
                raise UsageError(
                    f"{next(iter(other.files.values()))} and {place} have {', '.join(both)[:100]} at the same time",
                    "a book cannot be fed twice: `capture diff` tells which has more, `capture cut` makes one begin where the other ends",
                )


def _join(folder: Path, writing: Checkpointing, group: list[Run], damaged: Damaged) -> None:
    """Write several runs as one, rows by time."""
    instruments = {one.native: one for run in group for head in run.heads for one in head.instruments}
    channels = tuple(dict.fromkeys(channel for run in group for channel in run.head.channels))
    writer = writing.writer(folder, replace(group[0].head, instruments=tuple(instruments.values()), channels=channels))
    numbers: dict[tuple[int, int], int] = {}
    told = [_timed(number, _ended(run.rows(damaged))) for number, run in enumerate(group)]
    for _, number, row in heapq.merge(*told, key=itemgetter(0, 1)):
        if row.kind in LEFT_OUT:
            continue
        connection = row.connection and numbers.setdefault((number, row.connection), len(numbers) + 1)
        if connection > MOST_CONNECTION:
            raise UsageError(f"more than {MOST_CONNECTION} connections")
        writer.put(row._replace(connection=connection))
    writer.close("merged")


def _ended(rows: Iterator[Row]) -> Iterator[Row]:
    """Rows of a run, and rows `shut` of the connections that are open when it ends: the others go on without it."""
    opened: dict[int, None] = {}
    last_ns = 0
    for row in rows:
        last_ns = max(last_ns, row.time_ns)
        if row.kind == Kind.OPEN:
            opened[row.connection] = None
        elif row.kind == Kind.SHUT:
            opened.pop(row.connection, None)
        yield row
    for connection in opened:
        yield Row(bytes(Kind.SHUT), last_ns, connection, orjson.dumps({"reason": "its capture ends"}))


def _timed(number: int, rows: Iterator[Row]) -> Iterator[tuple[int, int, Row]]:
    """Rows with the time at which they are written: their own, but never before that of an earlier row."""
    reached_ns = 0
    for row in rows:
        reached_ns = max(reached_ns, row.time_ns)
        yield reached_ns, number, row
