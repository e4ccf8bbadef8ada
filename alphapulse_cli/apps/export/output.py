"""Folder of an export: its files are written under temporary names and renamed together at the end, with export.json last.

An export that is interrupted leaves no file that a tool could take for a whole one. A former export in the folder is replaced only
where that is wanted, and then all its files go: a catalog's old files beside new ones would be loaded with them. While files are renamed a
list of the old and the new ones stands in the folder: whoever exports there after a crash in that moment finds what else to remove.
"""

import contextlib
import fcntl
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import orjson

from alphapulse_cli.errors import StorageError, UsageError, WriterAlive

SUMMARY = "export.json"
UNFINISHED = ".unfinished-export"
RENAMING = ".export-names"  # names of the files of this export and of the former one, while they are renamed
FORCE = "name another folder, or say --force (force=True) to replace the former export"


class Closable(Protocol):
    """File or reader that is closed when the export ends."""

    def close(self) -> None:
        """Close it; no effect the second time."""


Opened = TypeVar("Opened", bound=Closable)


class Output:
    """Folder into which an export is written, in a `with`. UsageError where something is there already and `force` was not said."""

    def __init__(self, folder: Path, *, force: bool = False) -> None:
        self.folder, self._force = folder, force
        self._scratch = folder / UNFINISHED
        self._names: dict[str, Path] = {}  # of finished files -> where they are until then
        self._lock = -1
        self._kept: list[Closable] = []

    def __enter__(self) -> Self:
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f"{self.folder} is a file", "--output names a folder, which is made if it is not there")
        if (self.folder / SUMMARY).exists() and not self._force:
            raise UsageError(f"{self.folder} holds an export already", FORCE)
        if (self.folder / RENAMING).exists() and not self._force:
            raise UsageError(f"{self.folder} holds a part of an export that was cut off", FORCE)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._lock)
                raise WriterAlive(f"another export writes to {self.folder}", "name another folder") from None
            shutil.rmtree(self._scratch, ignore_errors=True)  # of an export that was killed
            self._scratch.mkdir()
        except OSError as error:
            raise StorageError(f"cannot write in {self.folder}: {error.strerror}", "name a folder that may be written") from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for one in reversed(self._kept):  # of an export that failed: closed already where it is whole
            with contextlib.suppress(OSError, ValueError):
                one.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
        os.close(self._lock)

    def keep(self, one: Opened) -> Opened:
        """Close a file when the export ends, however it does; returns it."""
        self._kept.append(one)
        return one

    def path(self, name: str) -> Path:
        """Path at which to write what will be the file `name`, which may have folders. UsageError where that file is there, or would be outside."""
        if Path(name).is_absolute() or ".." in Path(name).parts:  # by a symbol of a dataset that others wrote
            raise UsageError(
                f"a file named {name[:100]!r} would be outside of {self.folder}", "choose the symbols: --symbol BTC-USD"
            )
        final = self.folder / name
        if final.exists() and not self._force:
            raise UsageError(f"{final} is there already", FORCE)
        assert name not in self._names, name
        self._names[name] = self._scratch / f"{len(self._names)}"
        return self._names[name]

    def _require_inside(self, name: str) -> None:
        if Path(name).is_absolute() or ".." in Path(name).parts:  # by a symbol of a dataset that others wrote
            raise UsageError(
                f"a file named {name[:100]!r} would be outside of {self.folder}", "choose the symbols: --symbol BTC-USD"
            )

    def scratch(self, name: str) -> Path:
        """Path of a file that goes when the export ends, or is given a name by `adopt`."""
        self._require_inside(name)
        return self._scratch / name

    def adopt(self, written: Path, name: str) -> None:
        """Let a file that was written at `scratch` be the file `name`. UsageError where that file is there."""
        written.replace(self.path(name))

    @property
    def names(self) -> list[str]:
        """Names of the files, sorted."""
        return sorted(self._names)

    def finish(self, summary: dict[str, Any]) -> None:
        """Give all files their names, remove those of a former export, and write the summary last."""
        for written in self._names.values():
            _sync(written)
        former = self._former()
        self._put(RENAMING, {"files": sorted(former | set(self._names))})
        (self.folder / SUMMARY).unlink(missing_ok=True)
        for name in former - set(self._names):
            (self.folder / name).unlink(missing_ok=True)
        for name, written in self._names.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            written.replace(self.folder / name)
        self._put(SUMMARY, summary)
        (self.folder / RENAMING).unlink()

    def _put(self, name: str, members: dict[str, Any]) -> None:
        """Write a JSON document into the folder, the whole or nothing of it."""
        written = self._scratch / name
        written.write_bytes(orjson.dumps(members, option=orjson.OPT_INDENT_2) + b"\n")
        _sync(written)
        written.replace(self.folder / name)

    def _former(self) -> set[str]:
        """Names of the files of a former export, as it listed them, and of one that was cut off: of those inside the folder alone."""
        found: set[str] = set()
        inside = self.folder.resolve()
        for listing in (SUMMARY, RENAMING):
            with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
                listed = orjson.loads((self.folder / listing).read_bytes())["files"]
                found |= {str(name) for name in listed if (inside / str(name)).resolve().is_relative_to(inside)}
        return found


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
