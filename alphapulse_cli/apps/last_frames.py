"""Last frames of living collectors: what each keeps in its memory of the last seconds, asked for over its control socket, as captures.

last_frames ─► control socket ─► the collector writes a file into its private folder ─► it is moved to where the caller wants it
"""

import os
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from alphapulse_cli.apps.collect.capturing import WITH_IT
from alphapulse_cli.edges import control
from alphapulse_cli.edges.capture import files
from alphapulse_cli.edges.capture.rewriting import new_folder
from alphapulse_cli.errors import AlphapulseError, NoSegment, SegmentError, StorageError, UsageError
from alphapulse_cli.shm.directory import Directory, segment_name
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.segment import Segment

ANSWER = re.compile(r"(last-[0-9]{1,10})/([A-Za-z0-9_]{1,40})/([^/]{1,100})")


def last_frames(directory: Directory, set_name: str, into: Path, remark: Callable[[str], None] = lambda _: None) -> Path:
    """Write what the collector of a set keeps now into the folder `into`, as a capture of one file, and return its path.

    It begins with checkpoints of the books, or with the set's first connection; `remark` is called with a sentence where it does not.
    UsageError for a replay, and for a collector that keeps none or has received nothing yet. NoSegment where no collector runs.
    StorageError where it gives no answer, or the file cannot be written.
    """
    if _is_replay(directory, set_name):
        raise UsageError(
            f"{set_name} is a replay, which keeps no last frames", "its recording has them all: alphapulse capture cat FILE|DIR"
        )
    absent = NoSegment(f"no collector of {set_name} is running", WITH_IT)
    answer, *remarks = control.ask(directory, set_name, control.LAST, [], absent=absent) or [""]
    path = _fetched(directory, set_name, answer, into)
    for text in remarks:
        remark(text)
    return path


def write_last(
    directory: Directory,
    set_names: Sequence[str],
    folder: Path,
    remark: Callable[[str, str], None] = lambda *_: None,
    *,
    needs_all: bool = True,
) -> dict[str, Path]:
    """Write what the collectors of these sets keep now into a new folder, a file each; their paths by set. Errors as `last_frames`.

    `remark` is called with a set's name and a sentence. Without `needs_all` a set that has none is left out with its error as a remark,
    as long as another has some.
    """
    found: dict[str, Path] = {}
    failed: AlphapulseError | None = None
    with new_folder(folder) as unfinished:
        for name in set_names:
            try:
                found[name] = last_frames(directory, name, unfinished, partial(remark, name))
            except AlphapulseError as error:
                if needs_all:
                    raise
                failed = failed or error
                remark(name, f"left out: {error}")
        if failed is not None and not found:
            raise failed
    return {name: folder / path.name for name, path in found.items()}


def _is_replay(directory: Directory, set_name: str) -> bool:
    with suppress(SegmentError, StorageError):
        return Segment.attach(directory, segment_name(SegmentKind.COUNTERS, set_name)).is_replay
    return False


def _fetched(directory: Directory, set_name: str, answer: str, into: Path) -> Path:
    """Move the file of an answer into a folder; it is nobody else's, and not followed out of the segments' directory."""
    found = ANSWER.fullmatch(answer)
    if found is None or files.set_of(Path(found[3])) != set_name:
        raise StorageError(f"an answer of the collector of {set_name} was not understood", "use the same alphapulse for both")
    target = into / found[3]
    try:
        with directory.subdirectory(found[1], create=False) as outer, outer.subdirectory(found[2], create=False) as inner:
            with os.fdopen(inner.open_file(found[3]), "rb") as source:
                made = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, files.PRIVATE_FILE)
                with os.fdopen(made, "wb") as sink:
                    shutil.copyfileobj(source, sink)
            inner.unlink(found[3])
    except FileExistsError:
        raise StorageError(f"{target} is there already", "name another folder") from None
    except NoSegment:
        raise _gone(set_name) from None
    except FileNotFoundError:
        if into.is_dir():
            raise _gone(set_name) from None
        raise StorageError(f"{into}: no such folder") from None
    except OSError as error:
        with suppress(OSError):
            target.unlink()
        raise StorageError(f"cannot write {target}: {error.strerror or error}", "free room there, or name another folder") from None
    return target


def _gone(set_name: str) -> NoSegment:
    return NoSegment(f"the collector of {set_name} ended while it was asked", WITH_IT)
