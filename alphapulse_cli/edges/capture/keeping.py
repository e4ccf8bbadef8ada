"""Keeping of captures: when a file ends, which files are deleted, and how much room is left to others. Texts of options, and their rules.

--rotate 1h,256MiB        --keep 7d,50GiB        --least-free 5%,1GiB        --last-frames 30s,8MiB
"""

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from alphapulse_cli.edges import quantities
from alphapulse_cli.edges.capture import files
from alphapulse_cli.edges.capture.blocks import BLOCK_BYTES
from alphapulse_cli.edges.capture.files import LeastFree

DEFAULT_ROTATE, DEFAULT_KEEP, DEFAULT_LEAST_FREE = "1h", "", "5%,1GiB"
LEAST_ROTATION_S = 1.0
DEFAULT_LAST = "30s,8MiB"
OFF = "off"
USUAL_LAST_S, USUAL_LAST_BYTES = 30.0, 8 << 20
LAST_SECONDS, LAST_BYTES = (1.0, 3600.0), (1 << 20, 256 << 20)  # least and most; checkpoints of a block must stay readable
NONE = "none"  # on a command line: neither what the configuration says


@dataclass(frozen=True, slots=True)
class CapturePlan:
    """Plan of a capture, in the words of its options, which were checked. `is_all` is a collection without books for readers."""

    folder: str
    rotate: str = DEFAULT_ROTATE
    keep: str = DEFAULT_KEEP
    least_free: str = DEFAULT_LEAST_FREE
    is_all: bool = False

    def to_options(self) -> list[str]:
        """Options of a command line that make this capture, wherever it is typed; those that are as usual are left out."""
        chosen = {"--rotate": self.rotate, "--keep": self.keep, "--least-free": self.least_free}
        usual = {"--rotate": DEFAULT_ROTATE, "--keep": DEFAULT_KEEP, "--least-free": DEFAULT_LEAST_FREE}
        changed = [word for name, text in chosen.items() if text != usual[name] for word in (name, text)]
        return ["--capture", str(Path(self.folder).absolute()), *changed]

    def to_argv(self) -> list[str]:
        """Words of a command line for this capture: the command, and the options of the capture."""
        command = ["capture", "run", self.folder] if self.is_all else ["collect", "--capture", self.folder]
        return [*command, "--rotate", self.rotate, "--keep", self.keep or NONE, "--least-free", self.least_free]


@dataclass(frozen=True, slots=True)
class Rotation:
    """Bounds of a file: it ends with the UTC span of `seconds` in which it began, or at about `most_bytes`; 0 = no bound."""

    seconds: float = 3600
    most_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Keep:
    """Bounds of a set's files in a folder: their age, and their bytes together; 0 = no bound."""

    seconds: float = 0.0
    most_bytes: int = 0

    def sweep(self, folder: Path, set_name: str, now_ns: int) -> list[Path]:
        """Delete whole files of the set that are beyond the bounds, the oldest first, with their indexes; returns their paths.

        A file that is being written stays, and so does one that cannot be deleted. OSError if the folder cannot be read.
        """
        if not (self.seconds or self.most_bytes):
            return []
        kept = _files(folder, set_name)
        held_bytes, gone = sum(file.held_bytes for file in kept), []
        for file in kept:
            is_old = bool(self.seconds) and now_ns - file.ended_ns > self.seconds * 1e9
            is_beyond = bool(self.most_bytes) and held_bytes > self.most_bytes
            if not (is_old or is_beyond):
                break
            if files.is_being_written(file.path):
                continue
            with contextlib.suppress(OSError):
                file.path.unlink()
                gone.append(file.path)
                held_bytes -= file.held_bytes
                files.index_path(file.path).unlink()
        return gone


class _File(NamedTuple):
    path: Path
    held_bytes: int  # with the index
    ended_ns: int


def _files(folder: Path, set_name: str) -> list[_File]:
    """Files of the set, the oldest first. A file ended when it was last written, or at the latest when the next one began."""
    found: list[_File] = []
    next_begins_ns = 1 << 63
    for path in reversed(files.oldest_first(path for path in folder.iterdir() if files.set_of(path) == set_name)):
        with contextlib.suppress(OSError):
            status = path.stat()
            index_bytes = 0
            with contextlib.suppress(OSError):
                index_bytes = files.index_path(path).stat().st_size
            found.append(_File(path, status.st_size + index_bytes, min(status.st_mtime_ns, next_begins_ns)))
            next_begins_ns = files.begun_ns(path)
    return found[::-1]


def rotation(text: str) -> Rotation:
    """Read "1h", "256MiB" or both with a comma. ValueError for other texts, also for less than a second or a block."""
    words = "expected a duration, a number of bytes, or both with a comma, as in 1h,256MiB"
    seconds, most_bytes = _two(text, quantities.duration_s, quantities.byte_count, words)
    if not (seconds or most_bytes):
        raise ValueError(f"{words}, got {text[:40]!r}")
    if (seconds and seconds < LEAST_ROTATION_S) or (most_bytes and most_bytes < BLOCK_BYTES):
        raise ValueError(f"expected at least 1s and {BLOCK_BYTES >> 10}KiB, got {text[:40]!r}")
    return Rotation(seconds or 0, int(most_bytes or 0))


def keep(text: str) -> Keep:
    """Read "7d", "50GiB", both with a comma, or "" or "none": nothing is ever deleted. ValueError for other texts."""
    if text == NONE:
        return Keep(0.0, 0)
    words = "expected an age, a number of bytes, or both with a comma, as in 7d,50GiB"
    seconds, most_bytes = _two(text, quantities.duration_s, quantities.byte_count, words)
    return Keep(seconds or 0.0, int(most_bytes or 0))


def least_free(text: str) -> LeastFree:
    """Read "5%", "1GiB", both with a comma, or "0": the disk may be filled. ValueError for other texts."""
    if text == "0":
        return LeastFree(0.0, 0)
    words = "expected a share, a number of bytes, both with a comma, as in 5%,1GiB, or 0"
    part, free_bytes = _two(text, quantities.share, quantities.byte_count, words)
    if part is None and free_bytes is None:
        raise ValueError(f"{words}, got {text[:40]!r}")
    return LeastFree(part or 0.0, int(free_bytes or 0))


@dataclass(frozen=True, slots=True)
class LastBounds:
    """Bounds of the last frames that a collector keeps in memory: about the last `seconds`, in `most_bytes` at most."""

    seconds: float = USUAL_LAST_S
    most_bytes: int = USUAL_LAST_BYTES


def last_frames(text: str) -> LastBounds | None:
    """Read "30s", "8MiB", both with a comma, or "off": None. ValueError for other texts."""
    if text == OFF:
        return None
    words = "expected a duration, a number of bytes, both with a comma, as in 30s,8MiB, or off"
    seconds, most_bytes = _two(text, quantities.duration_s, quantities.byte_count, words)
    if seconds is None and most_bytes is None:
        raise ValueError(f"{words}, got {text[:40]!r}")
    found = LastBounds(seconds or USUAL_LAST_S, int(most_bytes or USUAL_LAST_BYTES))
    if not LAST_SECONDS[0] <= found.seconds <= LAST_SECONDS[1] or not LAST_BYTES[0] <= found.most_bytes <= LAST_BYTES[1]:
        raise ValueError(f"expected 1s to 1h and 1MiB to 256MiB, got {text[:40]!r}")
    return found


def _two(text: str, first: Callable[[str], float], second: Callable[[str], int], words: str) -> tuple[float | None, int | None]:
    """Read parts with commas, each by the function that takes it, and none twice. ValueError, with the words."""
    found: list[float | None] = [None, None]
    for part in _parts(text):
        for place, read in enumerate((first, second)):
            with contextlib.suppress(ValueError):
                value = read(part)
                if found[place] is None:
                    found[place] = value
                    break
        else:
            raise ValueError(f"{words}, got {text[:40]!r}")
    return found[0], None if found[1] is None else int(found[1])


def _parts(text: str) -> Iterable[str]:
    return [part.strip() for part in text.split(",")] if text.strip() else []
