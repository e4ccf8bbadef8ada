"""Listing of all segments of a directory, and removal of those whose writer is gone."""

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from alphapulse_cli.errors import NoSegment, SegmentError, StorageError
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.cursor import sweep_cursors
from alphapulse_cli.shm.directory import Directory, parse_segment_name
from alphapulse_cli.shm.identity import Identity, boot_id, pid_namespace, process_is_alive
from alphapulse_cli.shm.lease import open_lock, try_lock
from alphapulse_cli.shm.segment import Liveness, Segment

_TEMPORARY = re.compile(r"\.new-(\d{1,10})-(\d{1,20})-\d{1,20}")


class Found(NamedTuple):
    """File with a segment's name: the attached segment, or the error that prevented attaching."""

    name: str
    segment: Segment | None
    problem: SegmentError | StorageError | None


def list_segments(directory: Directory, set_name: str | None = None) -> Iterator[Found]:
    """All files of the directory (or of one set) with a segment's name, sorted; those removed meanwhile are left out."""
    for name in directory.names():
        parsed = parse_segment_name(name)
        if parsed is None or (set_name is not None and parsed[1] != set_name):
            continue
        try:
            yield Found(name, Segment.attach(directory, name), None)
        except NoSegment:
            continue
        except (SegmentError, StorageError) as error:
            yield Found(name, None, error)


def sweep(directory: Directory, held: str | None = None) -> list[str]:
    """Remove the files that no living writer or reader needs; the names removed.

    They are: segments that are not LIVE, of sets whose lock is free (`held` names the set whose lease the caller has); files that a
    dead writer never finished; cursors of dead readers. Damaged files are left alone, locks and wake pages always.
    """
    removed = [name for name in directory.names() if _is_abandoned(name)]
    for name in removed:
        directory.unlink(name)
    for set_name in sorted({parsed[1] for name in directory.names() if (parsed := parse_segment_name(name))}):
        if set_name == held:
            removed += _sweep_set(directory, set_name)
        else:
            removed += _sweep_unheld_set(directory, set_name)
    return removed + [f"readers/{name}" for name in sweep_cursors(directory)]


def _sweep_unheld_set(directory: Directory, set_name: str) -> list[str]:
    try:
        fd = open_lock(directory, set_name, create=True)
    except StorageError:
        return []
    try:
        return _sweep_set(directory, set_name) if try_lock(fd) else []
    finally:
        os.close(fd)


def _sweep_set(directory: Directory, set_name: str) -> list[str]:
    """Remove the segments of a set that are not LIVE. The caller holds the set's lock: no writer can appear meanwhile."""
    removed = []
    for name, segment, _ in list_segments(directory, set_name):
        if segment is None or segment.liveness(clock.monotonic_ns()) is Liveness.LIVE:
            continue
        # Readers that still map it must learn that the next file of this name is another one.
        Segment.attach(directory, name, writable=True).mark_replaced()
        directory.unlink(name)
        removed.append(name)
    return removed


def _is_abandoned(name: str) -> bool:
    """Whether the name is that of a new segment's temporary file whose writer is dead."""
    match = _TEMPORARY.fullmatch(name)
    return match is not None and not process_is_alive(Identity(boot_id(), int(match[1]), int(match[2]), pid_namespace()))
