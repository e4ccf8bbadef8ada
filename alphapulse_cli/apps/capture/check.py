"""`capture check`: whether everything that a capture should hold is there and readable; a fresh index where one is wrong.

    blocks       each is decompressed, its checksum compared, every row parsed
    index        every entry is compared with the block that it describes
    files        those of one run are numbered from 0: a missing one is named
    losses       rows that the writer left out, and an end that was cut off

The data are never changed.
"""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, unique
from itertools import islice
from pathlib import Path

from alphapulse_cli.apps.capture.survey import Survey
from alphapulse_cli.edges.capture import files
from alphapulse_cli.edges.capture.index import Entry, index_bytes
from alphapulse_cli.errors import StorageError
from alphapulse_cli.readers.moments import moment

MOST_LISTED = 8  # files of a run that a finding names
WRITTEN_LATELY_S = 10.0  # a file without an end that changed since then is taken for one that is being written


@unique
class Verdict(Enum):
    """Verdict of one finding."""

    HOLDS = "holds"
    NOTED = "noted"  # nothing is missing
    FAILS = "fails"
    REPAIRED = "repaired"


@dataclass(frozen=True, slots=True)
class Finding:
    """Finding of a check: of which file, what was looked at, and the verdict with its detail."""

    file: str
    check: str
    verdict: Verdict
    detail: str


def check_file(found: Survey, *, repair: bool = False) -> Iterator[Finding]:
    """Iterate over the findings of one file. StorageError where a fresh index cannot be written."""
    name = str(found.path)
    for check, verdicts in (("head", _head(found)), ("blocks", _blocks(found)), ("losses", _losses(found)), ("end", _end(found))):
        for verdict, detail in verdicts:
            yield Finding(name, check, verdict, detail)
    verdict, detail = _index(found)
    if repair and verdict is not Verdict.HOLDS and found.entries:
        verdict, detail = _repaired(found, detail)
    yield Finding(name, "index", verdict, detail)


def check_runs(found: Iterable[Survey]) -> Iterator[Finding]:
    """Iterate over the findings about the numbering of files: those of one run in one folder, by their heads."""
    runs: dict[tuple[Path, str, int], list[Survey]] = {}
    for one in found:
        if one.head is not None:
            runs.setdefault((one.path.parent, one.head.set_name, one.head.run_ns), []).append(one)
    for (folder, set_name, run_ns), members in runs.items():
        numbers = sorted(one.head.file_number for one in members if one.head is not None)
        missing_count = numbers[-1] + 1 - len(set(numbers))
        doubled = sorted({number for number in numbers if numbers.count(number) > 1})
        run = f"{folder}: {set_name}, run of {moment(run_ns)}"
        if missing_count:
            missing = list(islice(_missing(numbers), MOST_LISTED))  # not all: a hostile head may state any number
            yield Finding(run, "files", Verdict.FAILS, f"missing: {_listed(missing, missing_count)} of 0 to {numbers[-1]}")
        if doubled:
            yield Finding(run, "files", Verdict.FAILS, f"more than once: {_listed(doubled[:MOST_LISTED], len(doubled))}")
        if not missing_count and not doubled and len(members) > 1:
            yield Finding(run, "files", Verdict.HOLDS, f"{len(members)} files, numbered without a hole")


def _missing(numbers: Sequence[int]) -> Iterator[int]:
    """Iterate over the numbers from 0 on that are not among these sorted ones, up to the last of them."""
    expected = 0
    for number in numbers:
        yield from range(expected, number)
        expected = number + 1


def _listed(numbers: Sequence[int], count: int) -> str:
    """Names of these first files of `count`, and how many more there are."""
    shown = ", ".join(f"file {number}" for number in numbers)
    return shown + (f" and {count - len(numbers)} more" if count > len(numbers) else "")


def _head(found: Survey) -> Iterator[tuple[Verdict, str]]:
    if found.head is not None:
        yield Verdict.HOLDS, f"{found.head.exchange}, mode {found.head.mode}, file {found.head.file_number} of its run"
    elif found.kinds:
        yield Verdict.FAILS, "the head of this file is lost; its other rows are readable"
    else:
        yield Verdict.FAILS, "an empty file" if not found.size else "nothing in this file is readable"


def _blocks(found: Survey) -> Iterator[tuple[Verdict, str]]:
    for damage in found.damages:
        if not damage.at_end:
            yield Verdict.FAILS, f"{damage.length} bytes at {damage.offset}: {damage.reason}"
    if all(damage.at_end for damage in found.damages) and found.entries:
        yield Verdict.HOLDS, f"{len(found.entries)} blocks, {found.row_count} rows"


def _losses(found: Survey) -> Iterator[tuple[Verdict, str]]:
    for loss in found.losses:
        span = f"{moment(loss.from_ns)} to {moment(loss.to_ns)}"
        yield Verdict.FAILS, f"{loss.rows or 'some'} rows are missing, {span}: {loss.reason}"


def _end(found: Survey) -> Iterator[tuple[Verdict, str]]:
    if found.cut_bytes:
        reason = next(damage.reason for damage in found.damages if damage.at_end)
        yield (
            Verdict.FAILS,
            f"the last {found.cut_bytes} bytes are no whole block ({reason}): its writer was killed, or writes it now",
        )
    elif found.closed:
        yield Verdict.HOLDS, f"closed in good order: {found.closed}"
    elif found.kinds:
        yield Verdict.NOTED, "not closed: its writer was killed, or writes it now"


def _index(found: Survey) -> tuple[Verdict, str]:
    if not found.has_index:
        return Verdict.NOTED, "there is none; the file is read without it, more slowly"
    blocks = {entry.offset: entry._replace(first_row=0) for entry in found.entries}
    lost = [(damage.offset, damage.offset + damage.length) for damage in found.damages if not damage.at_end]
    for entry in found.indexed:
        is_lost = any(start <= entry.offset and entry.end <= stop for start, stop in lost)
        if not is_lost and blocks.get(entry.offset) != entry._replace(first_row=0):
            return Verdict.FAILS, f"it does not describe the block at {entry.offset}"
    known = found.indexed[-1].end if found.indexed else 0
    unknown = sum(offset >= known for offset in blocks)
    if unknown:
        return Verdict.NOTED, f"it knows {len(found.indexed)} of {len(found.indexed) + unknown} blocks"
    return Verdict.HOLDS, f"{len(found.indexed)} entries"


def _repaired(found: Survey, detail: str) -> tuple[Verdict, str]:
    """Write a fresh index beside the file, unless the file is being written."""
    path = files.index_path(found.path)
    partial = path.with_name(path.name + ".new")
    entries = _up_to_damage(found.entries)
    try:
        if not found.closed and time.time() - found.path.stat().st_mtime < WRITTEN_LATELY_S:
            return Verdict.NOTED, f"{detail}; not written anew, since the file changed just now"
        with suppress(FileNotFoundError):
            partial.unlink()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        with os.fdopen(os.open(partial, flags, files.PRIVATE_FILE), "wb") as out:
            out.write(index_bytes(entries))
        partial.replace(path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from None
    return Verdict.REPAIRED, f"{detail}; written anew, {len(entries)} entries"


def _up_to_damage(entries: Sequence[Entry]) -> list[Entry]:
    """Entries as far as they follow one another: what is behind damage is found by a scan."""
    kept: list[Entry] = []
    end = 0
    for entry in entries:
        if entry.offset != end:
            break
        kept.append(entry)
        end = entry.end
    return kept
