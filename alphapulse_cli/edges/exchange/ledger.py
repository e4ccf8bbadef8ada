"""Ledger of an exchange's rate limits: one small file shared by all collectors of a machine, since exchanges count by address.

    limits/kraken          beside the segments; limits/kraken@18080 for an exchange on this machine, a simulator

    {"version": 1, "boot": "<hex>", "limits": {"connects": {"free_ns": …, "pause_until_ns": …}, "weight": …}}      padded to FILE_BYTES

An update takes the file's lock (flock, which the kernel releases when its holder dies), reads, alters one account, writes the whole
file in one call and unlocks: some 20 µs. A damaged file is reported and replaced. Times of another boot are meaningless, and
counting begins again. Each process remembers its own use, so that a lost file forgets only that of the others. While another
process holds the lock for longer than PATIENCE_S (it was stopped), or where the file cannot be made, a process counts alone, and
reports that once.

Version: a process keeps unknown keys, in the file and in an account, and writes them back. It neither reads nor replaces a file of
a *later* version: it counts alone.
"""

import fcntl
import os
import time
from collections.abc import Callable
from typing import Any, Self, TypeVar

import orjson

from alphapulse_cli.edges.exchange.rate_limit import Account
from alphapulse_cli.errors import SegmentError, StorageError
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import Directory
from alphapulse_cli.shm.identity import boot_id

FOLDER = "limits"
VERSION = 1
FILE_BYTES = 1024
PATIENCE_S, LOOK_S = 0.005, 0.0002  # limit and pause of waiting for the lock; the collector's event loop stands still meanwhile
LONGEST_USED_NS = 86_400 * 10**9  # times further ahead are damage: no limit is used up for longer, no pause is longer than the next
LONGEST_PAUSE_NS = 11 * 366 * 86_400 * 10**9
FORGOTTEN_AFTER_S = 3600.0  # age since its last change at which a simulator's file is removed

T = TypeVar("T")
Notice = Callable[[str], None]


class LaterVersion(Exception):
    """Raised for a file that was written by a later version of alphapulse."""


class Ledger:
    """Accounts of one exchange, shared with every process that opens the same file.

    `notice` gets each problem with the file once, as a line. `port` is that of an exchange on this machine.
    """

    def __init__(self, directory: Directory, exchange: str, notice: Notice, *, port: int | None = None) -> None:
        self.name = exchange if port is None else f"{exchange}@{port}"
        self._notice = notice
        self._own: dict[str, Account] = {}
        self._fd = -1
        self._warned: set[str] = set()
        self._folder: Directory | None = None
        try:
            self._folder = directory.subdirectory(FOLDER, create=True)
            self._sweep(self._folder)
        except (OSError, SegmentError, StorageError) as error:
            self._warn(f"limits are not shared with other collectors: {error}")

    def update(self, name: str, change: Callable[[Account], T]) -> T:
        """Alter an account, as `rate_limit.Accounts.update`.

        Blocks for at most PATIENCE_S; a problem with the file raises no error.
        """
        own = self._own.setdefault(name, Account())
        if not self._lock():
            return change(own)
        try:
            try:
                content = self._read()
            except LaterVersion:
                self._warn(
                    f"limits/{self.name} was written by a later version of alphapulse: limits are not shared with other collectors"
                )
                return change(own)
            row = content["limits"].setdefault(name, {})
            own.free_ns = max(own.free_ns, row.get("free_ns", 0))
            own.pause_until_ns = max(own.pause_until_ns, row.get("pause_until_ns", 0))
            result = change(own)
            row["free_ns"], row["pause_until_ns"] = own.free_ns, own.pause_until_ns
            self._write(content)
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        return result

    def close(self) -> None:
        """Close the file and its directory."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._folder is not None:
            self._folder.close()
            self._folder = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _lock(self) -> bool:
        """Open and lock the file; False where that is not possible within PATIENCE_S, which is reported."""
        give_up_at = time.monotonic() + PATIENCE_S
        try:
            while self._open():
                try:
                    fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() > give_up_at:
                        self._warn(
                            f"limits/{self.name} is locked by a process that is stopped: limits are not shared with other collectors"
                        )
                        return False
                    time.sleep(LOOK_S)
                    continue
                if os.fstat(self._fd).st_nlink:
                    return True
                os.close(self._fd)  # the file was removed: open the name again
                self._fd = -1
        except (OSError, SegmentError) as error:
            self._warn(f"limits are not shared with other collectors: {error}")
        return False

    def _open(self) -> bool:
        if self._fd < 0 and self._folder is not None:
            self._fd = self._folder.open_file(self.name, os.O_RDWR | os.O_CREAT)
        return self._fd >= 0

    def _read(self) -> dict[str, Any]:
        """Content of the file; an empty one for a new file, for one of another boot and, reported, for a damaged one.

        LaterVersion.
        """
        text = os.pread(self._fd, FILE_BYTES + 1, 0)
        empty: dict[str, Any] = {"version": VERSION, "boot": boot_id().hex(), "limits": {}}
        if not text:
            return empty
        try:
            content = orjson.loads(text)
            if type(content["version"]) is int and content["version"] > VERSION:
                raise LaterVersion
            _check(content, clock.monotonic_ns())
        except (ValueError, LookupError, TypeError, AttributeError):
            self._warn(f"limits/{self.name} was damaged: counting starts again")
            return empty
        return content if content["boot"] == empty["boot"] else empty

    def _write(self, content: dict[str, Any]) -> None:
        text = orjson.dumps(content)
        if len(text) > FILE_BYTES:  # unknown keys have no room: keep this process's accounts only
            rows = {name: {"free_ns": own.free_ns, "pause_until_ns": own.pause_until_ns} for name, own in self._own.items()}
            text = orjson.dumps({"version": VERSION, "boot": boot_id().hex(), "limits": rows})
        try:
            os.pwrite(self._fd, text.ljust(FILE_BYTES), 0)
            if os.fstat(self._fd).st_size != FILE_BYTES:
                os.ftruncate(self._fd, FILE_BYTES)
        except OSError as error:
            self._warn(f"limits are not shared with other collectors: {error.strerror}")

    def _warn(self, line: str) -> None:
        """Report each line once."""
        if line not in self._warned:
            self._warned.add(line)
            self._notice(line)

    def _sweep(self, folder: Directory) -> None:
        """Remove files of simulators that have not changed for FORGOTTEN_AFTER_S; files of exchanges stay."""
        for name in folder.names():
            if "@" in name and name != self.name:
                try:
                    age_s = time.time() - os.stat(name, dir_fd=folder.fd, follow_symlinks=False).st_mtime
                except OSError:
                    continue
                if age_s > FORGOTTEN_AFTER_S:
                    folder.unlink(name)


def _check(content: Any, now_ns: int) -> None:
    """Check the content of a file. ValueError, LookupError, TypeError or AttributeError for content that no process writes."""
    if content["version"] != VERSION or type(content["boot"]) is not str:
        raise ValueError("version or boot")
    for row in content["limits"].values():
        for key, longest_ns in (("free_ns", LONGEST_USED_NS), ("pause_until_ns", LONGEST_PAUSE_NS)):
            value = row.get(key, 0)
            if type(value) is not int or value < 0 or (content["boot"] == boot_id().hex() and value > now_ns + longest_ns):
                raise ValueError(key)
