"""Ledger of an exchange's limits, one small file for all collectors of a machine: exchanges count connections and requests by address.

    limits/kraken          beside the segments; limits/kraken@18080 for an exchange on this machine, a simulator

    {"version": 1, "boot": "<hex>", "limits": {"connects": {"free_ns": …, "pause_until_ns": …}, "weight": …}}      padded to FILE_BYTES

A process takes the file's lock (flock, which the kernel frees when its holder dies, however it dies), reads, alters one account, writes the
whole file in one call and lets go: some 20 µs. A file that cannot be understood is told of and replaced; the times of another boot mean
nothing and begin anew. Each process remembers what it took itself, so that a lost file costs the others' part only. While another holds
the lock for longer than PATIENCE_S (it was stopped), or where there is no such file to be had, a process counts alone, and says so once.

Version: a reader leaves alone what it does not know, in the file and of an account, and writes it back; a file of a *later* version it neither
reads nor replaces: it counts alone.
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
PATIENCE_S, LOOK_S = 0.005, 0.0002  # for the lock; every event loop of the machine waits here
LONGEST_USED_NS = 86_400 * 10**9  # no limit is used up for longer than that, nor a pause longer than the next: it is garbage
LONGEST_PAUSE_NS = 11 * 366 * 86_400 * 10**9
FORGOTTEN_AFTER_S = 3600.0  # a simulator's file, not written for so long

T = TypeVar("T")
Tell = Callable[[str], None]


class LaterVersion(Exception):
    """The file was written by a later version of alphapulse."""


class Ledger:
    """Accounts of one exchange, shared with every process that opens the same file. `tell` gets a line where something is not as it should be."""

    def __init__(self, directory: Directory, exchange: str, tell: Tell, *, port: int | None = None) -> None:
        self.name = exchange if port is None else f"{exchange}@{port}"
        self._tell = tell
        self._own: dict[str, Account] = {}
        self._fd = -1
        self._told: set[str] = set()
        self._folder: Directory | None = None
        try:
            self._folder = directory.subdirectory(FOLDER, create=True)
            self._sweep(self._folder)
        except (OSError, SegmentError, StorageError) as error:
            self._say(f"limits are not shared with other collectors: {error}")

    def update(self, name: str, change: Callable[[Account], T]) -> T:
        """As `rate_limit.Accounts.update`. Blocks for PATIENCE_S at the longest; never raises for what is wrong with the file."""
        own = self._own.setdefault(name, Account())
        if not self._lock():
            return change(own)
        try:
            try:
                content = self._read()
            except LaterVersion:
                self._say(f"limits/{self.name} is of a later version of alphapulse: counting alone")
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
        """Give the file back."""
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
        """Whether the file is ours until it is unlocked."""
        give_up_at = time.monotonic() + PATIENCE_S
        try:
            while self._open():
                try:
                    fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() > give_up_at:
                        self._say(f"limits/{self.name} is held by a process that does not go on: counting alone")
                        return False
                    time.sleep(LOOK_S)
                    continue
                if os.fstat(self._fd).st_nlink:
                    return True
                os.close(self._fd)  # somebody removed it: there may be another by now
                self._fd = -1
        except (OSError, SegmentError) as error:
            self._say(f"limits are not shared with other collectors: {error}")
        return False

    def _open(self) -> bool:
        if self._fd < 0 and self._folder is not None:
            self._fd = self._folder.open_file(self.name, os.O_RDWR | os.O_CREAT)
        return self._fd >= 0

    def _read(self) -> dict[str, Any]:
        """What the file says, all of it; an empty one for none, for another boot's, and, told, for garbage. LaterVersion."""
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
            self._say(f"limits/{self.name} was damaged: it begins anew")
            return empty
        return content if content["boot"] == empty["boot"] else empty

    def _write(self, content: dict[str, Any]) -> None:
        text = orjson.dumps(content)
        if len(text) > FILE_BYTES:  # with all that others put there: no room for it
            rows = {name: {"free_ns": own.free_ns, "pause_until_ns": own.pause_until_ns} for name, own in self._own.items()}
            text = orjson.dumps({"version": VERSION, "boot": boot_id().hex(), "limits": rows})
        try:
            os.pwrite(self._fd, text.ljust(FILE_BYTES), 0)
            if os.fstat(self._fd).st_size != FILE_BYTES:
                os.ftruncate(self._fd, FILE_BYTES)
        except OSError as error:
            self._say(f"limits are not shared with other collectors: {error.strerror}")

    def _say(self, line: str) -> None:
        """Each line once."""
        if line not in self._told:
            self._told.add(line)
            self._tell(line)

    def _sweep(self, folder: Directory) -> None:
        """Remove what simulators of long ago left; an exchange's own file stays."""
        for name in folder.names():
            if "@" in name and name != self.name:
                try:
                    age_s = time.time() - os.stat(name, dir_fd=folder.fd, follow_symlinks=False).st_mtime
                except OSError:
                    continue
                if age_s > FORGOTTEN_AFTER_S:
                    folder.unlink(name)


def _check(content: Any, now_ns: int) -> None:
    """ValueError, LookupError, TypeError or AttributeError for what we would not have written."""
    if content["version"] != VERSION or type(content["boot"]) is not str:
        raise ValueError("version or boot")
    for row in content["limits"].values():
        for key, longest_ns in (("free_ns", LONGEST_USED_NS), ("pause_until_ns", LONGEST_PAUSE_NS)):
            value = row.get(key, 0)
            if type(value) is not int or value < 0 or (content["boot"] == boot_id().hex() and value > now_ns + longest_ns):
                raise ValueError(key)
