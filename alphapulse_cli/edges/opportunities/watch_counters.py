"""Counters of the running `arb watch`es, readable by every process: a small file for each in the segments' directory.

    watches/<pid>-<start time>    JSON, replaced atomically about once a second; removed when the watch ends

A watch has no segments, and only a collector may write its own counters. A file whose process has ended (by boot, pid and start
time) is not read, and the next watch removes it.
"""

import os
from contextlib import suppress
from typing import Any, Self

import orjson

from alphapulse_cli.errors import NoSegment, StorageError
from alphapulse_cli.shm.directory import Directory
from alphapulse_cli.shm.identity import Identity, my_identity, process_is_alive

WATCHES = "watches"
EVERY_NS = 1_000_000_000
MOST_BYTES = 65_536


class Tally:
    """Counter file of this process's watch. A file that cannot be written is no error: the watch runs without."""

    def __init__(self, directory: Directory) -> None:
        who = my_identity()
        self._name = f"{who.pid}-{who.start_time}"
        self._who = [who.boot_id.hex(), who.pid, who.start_time, who.pid_namespace]
        self._written_ns = 0
        self._folder: Directory | None = None
        with suppress(StorageError):
            self._folder = directory.subdirectory(WATCHES, create=True)
            _sweep(self._folder)

    def is_due(self, monotonic_ns: int) -> bool:
        """Whether the file was last written a second ago or longer. `monotonic_ns` is CLOCK_MONOTONIC."""
        return monotonic_ns - self._written_ns >= EVERY_NS

    def write(self, counts: dict[str, Any], monotonic_ns: int) -> None:
        """Replace the file by these counts."""
        self._written_ns = monotonic_ns
        if self._folder is None:
            return
        beside = f".{self._name}"
        with suppress(OSError):
            fd = os.open(
                beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self._folder.fd
            )
            try:
                os.write(fd, orjson.dumps({"who": self._who, **counts}))
            finally:
                os.close(fd)
            os.replace(beside, self._name, src_dir_fd=self._folder.fd, dst_dir_fd=self._folder.fd)

    def close(self) -> None:
        """Remove the file."""
        if self._folder is not None:
            self._folder.unlink(self._name)
            self._folder.close()
            self._folder = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_tallies(directory: Directory) -> list[dict[str, Any]]:
    """Last counts of each running watch, sorted by pid; damaged files and those of ended processes are left out."""
    found = []
    with suppress(NoSegment), directory.subdirectory(WATCHES, create=False) as folder:
        for name in folder.names():
            counts = _read(folder, name)
            if counts is not None:
                found.append({"pid": counts.pop("who")[1], **counts})
    return sorted(found, key=lambda counts: counts["pid"])


def _read(folder: Directory, name: str) -> dict[str, Any] | None:
    """Counts in a file; None if it is damaged or its process has ended."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder.fd)
        try:
            counts = orjson.loads(os.read(fd, MOST_BYTES))
        finally:
            os.close(fd)
        boot, pid, start, namespace = counts["who"]
        if process_is_alive(Identity(bytes.fromhex(boot), pid, start, namespace)):
            return dict(counts)
    return None


def _sweep(folder: Directory) -> None:
    for name in folder.names():
        if _read(folder, name) is None:
            folder.unlink(name)
