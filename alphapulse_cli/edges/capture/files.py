"""Files of captures: their names, those of a folder in order of time, and the room that a disk still has.

kraken-20261128T080000.000Z.cap.zst         rows in zstd blocks, readable with `zstd -dc`
kraken-20261128T080000.000Z.cap.idx         its index
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from alphapulse_cli.errors import StorageError, UsageError

SUFFIX, INDEX_SUFFIX = ".cap.zst", ".cap.idx"
FILE_NAME = re.compile(r"(?P<set>.+)-(?P<time>[0-9]{8}T[0-9]{6}\.[0-9]{3}Z)\.cap\.zst")
PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700


def file_name(set_name: str, time_ns: int) -> str:
    """Name of a file that begins at that time (ns since 1970)."""
    moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    return f"{set_name}-{moment:%Y%m%dT%H%M%S}.{time_ns // 1_000_000 % 1000:03d}Z{SUFFIX}"


def index_path(path: Path) -> Path:
    """Path of a capture file's index."""
    return path.with_name(path.name.removesuffix(SUFFIX) + INDEX_SUFFIX if path.name.endswith(SUFFIX) else path.name + INDEX_SUFFIX)


def set_of(path: Path) -> str | None:
    """Name of the set that a file's name states; None for another name."""
    found = FILE_NAME.fullmatch(path.name)
    return found["set"] if found else None


def begun_ns(path: Path) -> int:
    """Time in a file's name, to the millisecond, in ns since 1970; 0 for another name."""
    found = FILE_NAME.fullmatch(path.name)
    if found is None:
        return 0
    with contextlib.suppress(ValueError):
        moment = datetime.strptime(found["time"][:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        return int(moment.timestamp()) * 1_000_000_000 + int(found["time"][16:19]) * 1_000_000
    return 0


def mark_as_written(descriptor: int) -> None:
    """Lock a file for as long as this process has it open, so that no other one deletes it; where locks work."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_being_written(path: Path) -> bool:
    """Whether a process, this one perhaps, has the file open for writing. OSError if it cannot be opened."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def capture_files(places: Iterable[Path], set_name: str = "") -> list[Path]:
    """Files named, and those of the folders named (of one set, if it is given), a folder's in order of time.

    UsageError for a place that is not there or cannot be read, a folder without a capture, and where only indexes are named.
    """
    found: list[Path] = []
    named = list(places)
    for place in named:
        try:
            if not place.is_dir():
                place.stat()
                if not place.name.endswith(INDEX_SUFFIX):  # of `captures/*`
                    found.append(place)
                continue
            inside = [path for path in place.iterdir() if set_of(path) and set_name in ("", set_of(path))]
        except OSError as error:
            raise UsageError(
                f"cannot read {place}: {error.strerror}", f"name files that end in {SUFFIX}, or folders of them"
            ) from None
        if not inside:
            hint = f"files end in {SUFFIX}"
            if (place / "deltas").is_dir():  # what `record` writes
                hint = "it is a dataset: alphapulse sql, candles and export read it"
            raise UsageError(f"{place}: no capture in this folder" + (f" of {set_name}" if set_name else ""), hint)
        found += oldest_first(inside)
    if named and not found:
        raise UsageError(
            f"{named[0]} is the index of a capture, not the capture", f"name its file, which ends in {SUFFIX}, or the folder"
        )
    return list(dict.fromkeys(found))


def open_folder(folder: Path) -> Path:
    """Make the folder if it is not there, for its owner only. StorageError where that fails, or where it cannot be written to."""
    try:
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {folder}: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StorageError(f"cannot write in the folder {folder}: permission denied")
    return folder


@dataclass(frozen=True, slots=True)
class LeastFree:
    """Least room that a capture leaves on its disk: a share of the whole and a number of bytes, of which both must be free."""

    share: float = 0.05
    free_bytes: int = 1 << 30

    def missing(self, folder: Path) -> str:
        """Reason not to write to the folder now: too little is free; "" if there is room. OSError."""
        disk = os.statvfs(folder)
        free, whole = free_bytes(folder), disk.f_blocks * disk.f_frsize
        if free < self.free_bytes or free < self.share * whole:
            return f"{free / 2**20:.0f} MiB free of {whole / 2**20:.0f}"
        return ""


def free_bytes(folder: Path) -> int:
    """Bytes that this user may still write to the folder's disk. OSError."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def oldest_first(paths: Iterable[Path]) -> list[Path]:
    """Sort capture files by the times in their names."""
    return sorted(paths, key=lambda path: (found["time"], found["set"]) if (found := FILE_NAME.fullmatch(path.name)) else ("", ""))
