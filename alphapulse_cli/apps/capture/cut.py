"""`capture cut`: a span of captures as a capture of its own.

A cut begins where a replay of that span begins: with the last checkpoints before --from, and where there are none, with the beginning
of the collector's run. So its books at --from are those that were, and its first rows may be older than --from. It ends before --to.
Captures without any checkpoints get some.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from alphapulse_cli.apps.capture.checkpointing import CheckpointedRun, Checkpointing, Say, checkpointing, with_checkpoints
from alphapulse_cli.apps.capture.places import Span, rows_in
from alphapulse_cli.apps.replay.timeline import Recording, recordings
from alphapulse_cli.edges.capture.head import parse_head
from alphapulse_cli.edges.capture.rewriting import RunWriter, new_folder
from alphapulse_cli.edges.capture.rows import Kind, Row
from alphapulse_cli.errors import UsageError
from alphapulse_cli.readers.moments import moment

Damaged = Callable[[Path, str], None]


@dataclass(slots=True)
class Cut:
    """Result of a cut: its rows, how many of them lie before --from, and the time of the first."""

    rows: int = 0
    before: int = 0
    first_ns: int = 0


def cut(paths: Sequence[Path], folder: Path, span: Span, damaged: Damaged, say: Say, *, checkpoints: bool = True) -> Cut:
    """Write the span of these captures into a new folder. UsageError where nothing lies in it; StorageError.

    `say` is called with what can have no checkpoints; without `checkpoints` only those that there are are copied.
    """
    made = Cut()
    found = recordings(paths)
    with new_folder(folder) as partial, checkpointing(checkpoints, say, with_checkpoints(paths)) as writing:
        for recording in found:
            copy_runs(partial, writing, _counted(rows_in(recording.blocks(span.from_ns, span.to_ns, damaged)), span, made), "cut")
        if made.rows == made.before:
            raise UsageError("nothing was captured in that time", _spans(found))
    return made


def copy_runs(folder: Path, writing: Checkpointing, rows: Iterator[Row], reason: str) -> None:
    """Write the rows of one set, each run into files of its own; the first row of each run is a head."""
    writer: RunWriter | CheckpointedRun | None = None
    for row in rows:
        if row.kind == Kind.HEAD:
            head = parse_head(row.payload)
            if writer is not None and writer.head.run_ns == head.run_ns:
                writer.use_head(head)
                continue
            if writer is not None:
                writer.close(reason)
            writer = writing.writer(folder, head)
        elif writer is not None:
            writer.put(row)
    if writer is not None:
        writer.close(reason)


def _counted(rows: Iterator[Row], span: Span, made: Cut) -> Iterator[Row]:
    for row in rows:
        if row.kind not in (bytes(Kind.HEAD), bytes(Kind.DONE)):
            made.rows += 1
            made.before += span.from_ns is not None and row.time_ns < span.from_ns
            made.first_ns = min(made.first_ns or row.time_ns, row.time_ns)
        yield row


def _spans(found: Sequence[Recording]) -> str:
    return "; ".join(f"{one.set_name} is from {moment(one.first_ns)} to {moment(one.last_ns)}" for one in found)[:400]
