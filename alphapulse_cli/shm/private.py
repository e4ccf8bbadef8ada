"""Private directories: segments and files for one process alone, which no reader is to find and which are removed when it ends.

They lie in the segments' directory, so that they use the same memory as collectors do. One that a killed process left behind is
removed by the next process that makes one. Other files are not touched.
"""

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import Directory, open_directory

OURS = re.compile(r"(?:bench|capture|last)-[0-9]{1,10}")
ABANDONED_AFTER_NS = 10_000_000_000


@contextlib.contextmanager
def private_directory(shm_dir: str | None, purpose: str) -> Iterator[Directory]:
    """Directory for this process alone; removed afterwards. `purpose` is "bench", "capture" or "last". StorageError."""
    with open_directory(shm_dir, create=True) as root:
        for name in root.names():
            if OURS.fullmatch(name) and _is_abandoned(root.path / name):
                shutil.rmtree(root.path / name, ignore_errors=True)
        directory = root.subdirectory(f"{purpose}-{os.getpid()}", create=True)
        try:
            fcntl.flock(directory.fd, fcntl.LOCK_EX)  # held while this process lives: a pid may be invisible in another container
            yield directory
        finally:
            shutil.rmtree(directory.path, ignore_errors=True)
            directory.close()


def _is_abandoned(path: Path) -> bool:
    """Whether the directory's lock is free, for longer than a process takes to make and lock one."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return clock.realtime_ns() - os.fstat(fd).st_mtime_ns > ABANDONED_AFTER_NS
    except OSError:
        return False
    finally:
        os.close(fd)
