"""The segment directory: found or made, checked once on its open descriptor, and used through that descriptor only.

Every file is opened relative to that descriptor and never through a link, so that nobody can slip in another directory or file
between the check and the use. The directory must be ours with mode 0700 and each file ours with mode 0600; anything else is
refused. Names are matched against the patterns below before they reach the system: no hostile name becomes a path.
"""

import errno
import os
import re
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

from alphapulse_cli.errors import AlphapulseError, NoSegment, NotASegment, StorageError, UsageError
from alphapulse_cli.shm.layout import NAME_BYTES, SET_NAME_BYTES, SegmentKind

SET_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]*")
SYMBOL_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9.]*-[A-Za-z0-9.]+")
_NAME_PATTERN = re.compile(
    r"(?P<set>[a-z0-9-]{1,32})_(?:(?P<plain>orderbook_deltas|trades|counters)|book_(?P<symbol>[A-Za-z0-9][A-Za-z0-9.-]{0,15}))"
)
_SUFFIX = {SegmentKind.DELTAS: "orderbook_deltas", SegmentKind.TRADES: "trades", SegmentKind.COUNTERS: "counters"}
_KIND = {suffix: kind for kind, suffix in _SUFFIX.items()}
_OPEN = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # O_NONBLOCK: opening a FIFO in a file's place must not block
READERS = "readers"

_HINTS = {
    errno.ENOSPC: "free room there (alphapulse segments --sweep), or name another directory: --shm-dir DIR",
    errno.EDQUOT: "the quota is used up; name another directory: --shm-dir DIR",
    errno.EFBIG: "the file size limit is too low: ulimit -f unlimited",
    errno.EMFILE: "too many open files: ulimit -n 65536",
    errno.ENFILE: "the whole system has too many open files",
    errno.EACCES: "name a directory of your own: --shm-dir DIR",
    errno.EPERM: "name a directory of your own: --shm-dir DIR",
    errno.EROFS: "name a directory that can be written: --shm-dir DIR",
    errno.ENOENT: "make it first, or name another: --shm-dir DIR",
}


def storage_error(error: OSError, what: str) -> StorageError:
    """Turn an OSError into one line with a hint; `what` names the attempt: "create kraken_trades (2097152 bytes) in /dev/shm/…"."""
    return StorageError(f"cannot {what}: {error.strerror or error}", _HINTS.get(error.errno or 0, ""))


def check_set_name(name: str) -> str:
    """Return the name of a set itself, or raise UsageError."""
    if not SET_PATTERN.fullmatch(name) or len(name) > SET_NAME_BYTES:
        raise UsageError(
            f"not a name for a set of segments: {name[:40]!r}", f"use a-z, 0-9 and - (not first), at most {SET_NAME_BYTES} of them"
        )
    return name


def segment_name(kind: SegmentKind, set_name: str, symbol: str = "") -> str:
    """File name of a segment: kraken_orderbook_deltas, kraken_book_BTC-USD. UsageError for names that may not reach a path."""
    check_set_name(set_name)
    if kind is not SegmentKind.BOOK:
        return f"{set_name}_{_SUFFIX[kind]}"
    if not SYMBOL_PATTERN.fullmatch(symbol) or len(symbol) > NAME_BYTES:
        raise UsageError(f"not a symbol: {symbol[:40]!r}", "write BASE-QUOTE, as in BTC-USD")
    return f"{set_name}_book_{symbol}"


def parse_segment_name(name: str) -> tuple[SegmentKind, str, str] | None:
    """Split a segment's file name into (kind, set name, symbol); None for any other name."""
    match = _NAME_PATTERN.fullmatch(name)
    if match is None:
        return None
    return _KIND.get(match["plain"], SegmentKind.BOOK), match["set"], match["symbol"] or ""


def directory_path(override: str | Path | None = None) -> Path:
    """Path of the segments: `--shm-dir`, else ALPHAPULSE_SHM_DIR, else `usual_path()`.

    Where the chosen directory is a volume shared by several users (a tmpfs, an fsGroup mount), `alphapulse-<uid>` below it is used.
    """
    chosen = override or os.environ.get("ALPHAPULSE_SHM_DIR")
    if chosen:
        path = Path(chosen)
        return path / f"alphapulse-{os.geteuid()}" if is_volume(path) else path
    return usual_path()


def usual_path() -> Path:
    """Path of the segments where no directory is configured: /dev/shm/alphapulse-<uid>, or a folder in the temporary directory."""
    if sys.platform != "darwin" and Path("/dev/shm").is_dir():  # noqa: S108 the place that shared memory has on Linux
        return Path(f"/dev/shm/alphapulse-{os.geteuid()}")  # noqa: S108
    import tempfile

    return Path(tempfile.gettempdir()) / f"alphapulse_shm-{os.geteuid()}"


def is_volume(path: Path) -> bool:
    """Whether an existing directory is meant for several users.

    It is where it is not ours or is open to others, and also sticky like /tmp, setgid, or a mount.
    """
    try:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or (found.st_uid == os.geteuid() and not found.st_mode & 0o077):
            return False
        is_sticky = found.st_mode & stat.S_ISVTX and found.st_mode & stat.S_IWOTH
        return bool(is_sticky or found.st_mode & stat.S_ISGID or os.path.ismount(path))
    except OSError:
        return False


class Directory:
    """Open, checked directory through which all files are reached. Close it, or use it in a `with`."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.fd = fd

    def open_file(self, name: str, flags: int = os.O_RDONLY) -> int:
        """Open a regular file of alphapulse and return its descriptor; mode 0600 where it is created.

        OSError, or NotASegment for any other file.
        """
        try:
            fd = os.open(name, flags | _OPEN, 0o600, dir_fd=self.fd)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO):
                raise NotASegment(f"{self.path / name} is a link, or not a regular file") from None
            raise
        try:
            if flags & os.O_CREAT and flags & os.O_EXCL:
                os.fchmod(fd, 0o600)  # restores bits that the umask removed
            self._check_file(name, os.fstat(fd))
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _check_file(self, name: str, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise NotASegment(f"{self.path / name} is not a regular file")
        if found.st_uid != os.geteuid():
            raise NotASegment(f"{self.path / name} belongs to uid {found.st_uid}, not to you")
        if found.st_mode & 0o077:
            raise NotASegment(
                f"{self.path / name} is open to others (mode {found.st_mode & 0o7777:o})", f"chmod 600 {self.path / name}"
            )

    def names(self) -> list[str]:
        """Names in the directory, sorted."""
        return sorted(os.listdir(self.fd))  # noqa: PTH208 a descriptor, not a path

    def unlink(self, name: str) -> None:
        """Remove a file, if it exists."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.fd)

    def rename(self, old: str, new: str) -> None:
        """Rename a file, replacing any file of the new name."""
        os.rename(old, new, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def subdirectory(self, name: str, *, create: bool) -> "Directory":
        """Open a subdirectory with the same checks; `create` makes it where it is missing."""
        return Directory(self.path / name, _open_checked(self.path / name, name, self.fd, create=create))

    def close(self) -> None:
        """Close the descriptor; mapped files stay mapped."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def open_directory(override: str | Path | None = None, *, create: bool = False) -> Directory:
    """Open the segment directory.

    NoSegment where it is missing (and `create` is false), StorageError where it cannot be trusted.
    """
    path = directory_path(override)
    return Directory(path, _open_checked(path, str(path), None, create=create))


def _open_checked(path: Path, name: str, within: int | None, *, create: bool) -> int:
    try:
        if create:
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=within)
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=within)
    except OSError as error:
        raise _directory_error(error, path, create=create) from None
    try:
        _check_directory(path, os.fstat(fd))
    except BaseException:
        os.close(fd)
        raise
    return fd


def _directory_error(error: OSError, path: Path, *, create: bool) -> AlphapulseError:
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return StorageError(f"{path} is a link, or not a directory", "name a directory of your own: --shm-dir DIR")
    if error.errno == errno.ENOENT and not create:
        return NoSegment(f"no segments: {path} does not exist", "start a collector first: alphapulse collect --exchange kraken")
    return storage_error(error, f"use {path}")


def _check_directory(path: Path, found: os.stat_result) -> None:
    """StorageError unless the directory is ours and closed to others."""
    if found.st_uid != os.geteuid():
        raise StorageError(f"{path} belongs to uid {found.st_uid}, not to you", "name a directory of your own: --shm-dir DIR")
    if found.st_mode & 0o077:
        raise StorageError(
            f"{path} is open to others (mode {found.st_mode & 0o7777:o})",
            f"if it is for alphapulse alone: chmod 700 {path}; else name another: --shm-dir DIR",
        )
