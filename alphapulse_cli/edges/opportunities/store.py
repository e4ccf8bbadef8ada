"""Bounded store of the arbitrage opportunities that were seen: one SQLite file, written by any number of `arb watch` processes.

    watch ─► edges.opportunities.writer ─► OpportunityStore.record ─► the file
    `arb history`, `arb explain` ─► OpportunityStore.rows, .find ◄───────┘

    $XDG_STATE_HOME/alphapulse/opportunities.sqlite (0600)        application_id: the format; user_version: its version
        seen (place, id) ─► profit at birth, at its peak, last; times; explanation: JSON, zlib

Committed rows survive the death of any process (WAL; only a power cut may lose the last batches). The file appears whole or not at
all: it is made under another name and then linked. It is opened through SQLite only, since closing any other descriptor of the file
would drop the locks of this process's other connections.

Bounds. Rows: at most 10 % more than `most`; a write that would leave more drops the oldest down to `most`. Bytes: likewise with 4
KiB a row (at least 1 MiB); freed pages are returned to the system (incremental vacuum). The WAL beside the file is cut to 4 MiB
whenever it starts again. An explanation is at most 64 KiB of JSON, compressed.
"""

import os
import sqlite3
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from alphapulse_cli.edges import paths
from alphapulse_cli.edges.opportunities.record import COLUMNS, INTEGERS, MOST_INTEGER, NULLABLE, Seen, packed, plain, unpacked
from alphapulse_cli.errors import StorageError, UsageError

MOST = 10_000
BYTES_PER_ROW, LEAST_BYTES = 4096, 1 << 20
WAL_BYTES = 4 << 20
BUSY_S = 5.0
SHOWN_CANDIDATES = 5
LAST = "last"

APPLICATION_ID, VERSION = 0x616C7068, 1  # "alph"
ELSEWHERE = "name another file: --store FILE"
DELETE = "delete it, or " + ELSEWHERE
_HINTS = {
    "SQLITE_FULL": "free room there, or " + ELSEWHERE,
    "SQLITE_BUSY": "another process holds it: try again",
    "SQLITE_PROTOCOL": "another process holds it: try again",
    "SQLITE_CANTOPEN": ELSEWHERE,
    "SQLITE_READONLY": ELSEWHERE,
    "SQLITE_IOERR": DELETE,
    "SQLITE_PERM": ELSEWHERE,
}
_BESIDE = ("", "-journal", "-wal", "-shm")

_SCHEMA = (
    "CREATE TABLE seen ("
    + ", ".join(
        f"{name} {'BLOB' if name == 'explanation' else 'INTEGER' if name in INTEGERS else 'TEXT'}{'' if name in NULLABLE else ' NOT NULL'}"
        for name in COLUMNS
    )
    + ", PRIMARY KEY (place, id))",
    "CREATE INDEX seen_by_birth ON seen (born_ns)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
)
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM seen WHERE (?1 IS NULL OR place = ?1)"  # noqa: S608 our own names
_NEWEST_FIRST = "ORDER BY born_ns DESC, rowid DESC"
_ROWS = f"{_SELECT} AND born_ns >= ?2 {_NEWEST_FIRST}"
_NEWEST = f"{_SELECT} {_NEWEST_FIRST} LIMIT 1"
_MATCHES = f"{_SELECT} AND substr(id, 1, length(?2)) = ?2 {_NEWEST_FIRST} LIMIT ?3"  # LIKE would expand wildcards
_UPSERT = (
    f"INSERT INTO seen ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))}) ON CONFLICT (place, id) DO UPDATE SET "  # noqa: S608
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name not in {"place", "id", "explanation"})
    + ", explanation = CASE WHEN length(excluded.explanation) THEN excluded.explanation ELSE explanation END"
)
_DROP_OLDEST = "DELETE FROM seen WHERE rowid IN (SELECT rowid FROM seen ORDER BY born_ns, rowid LIMIT ?)"
_VACUUM = "PRAGMA incremental_vacuum"  # one page a step; only `executescript` runs all steps
_SYMBOL, _BUY, _SELL, _ID = (COLUMNS.index(name) for name in ("symbol", "buy", "sell", "id"))

_making = threading.Lock()  # the temporary name is one a process


def default_path(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Path of the user's store: $XDG_STATE_HOME/alphapulse/opportunities.sqlite; None for a user without a home directory.

    ~/.local/state takes the variable's place where it is not set or not absolute (XDG Base Directory Specification).
    """
    directory = paths.user_directory(paths.STATE, environ)
    return None if directory is None else directory / "opportunities.sqlite"


class OpportunityStore:
    """Open store, for the thread that opened it. StorageError for an unusable file, UsageError if there is none and not `create`.

    `most` bounds the number of rows.
    """

    def __init__(self, path: Path, most: int = MOST, *, create: bool = True) -> None:
        assert most > 0
        self.path, self.most = path, most
        self._most_bytes = max(most * BYTES_PER_ROW, LEAST_BYTES)
        with _storage_errors(path):
            found = _identity(path)
            if found is None:
                if not create:
                    raise UsageError(
                        f"no opportunities were kept yet: there is no {path}", "`alphapulse arb watch` keeps those it sees"
                    )
                _make(path)
                found = _identity(path)
            self._identity = found
            self._connection = _connect(path)
            try:
                self._check()
            except BaseException:
                self._connection.close()
                raise

    def _check(self) -> None:
        """Check that the file is a store of this version and was not replaced. StorageError if not."""
        execute = self._connection.execute
        if execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise StorageError(f"{self.path} is not a store of opportunities", DELETE)
        version = execute("PRAGMA user_version").fetchone()[0]
        if version != VERSION:
            raise StorageError(f"{self.path} has version {version}; this alphapulse reads version {VERSION}", DELETE)
        self._check_same()
        execute(_NEWEST, (None,)).fetchone()
        execute("PRAGMA synchronous = NORMAL")
        execute(f"PRAGMA journal_size_limit = {WAL_BYTES}").fetchone()

    def _check_same(self) -> None:
        """Raise StorageError if the file was removed or replaced: SQLite would go on writing to the old file, which nobody reads."""
        if _identity(self.path) != self._identity:
            raise StorageError(f"{self.path} was removed or replaced", "it is opened again with the next write")

    def record(self, seen: Sequence[Seen]) -> None:
        """Write these opportunities, all or none; the last state of each is kept.

        ValueError for one that cannot be kept, StorageError.

        An empty explanation leaves the one that is there.
        """
        rows = [packed(one) for one in seen]
        with _storage_errors(self.path):
            self._check_same()
            with _transaction(self._connection):
                self._connection.executemany(_UPSERT, rows)
                is_pruned = self._prune()
            if is_pruned:
                self._connection.executescript(_VACUUM)

    def _prune(self) -> bool:
        """Drop the oldest rows beyond the bounds, within the transaction of the write; returns whether any were dropped."""
        execute = self._connection.execute
        count, is_pruned = self._count(), False
        if count > self.most + self.most // 10:
            execute(_DROP_OLDEST, (count - self.most,))
            is_pruned = True
        if self._used_bytes() > self._most_bytes + self._most_bytes // 10:
            while self._used_bytes() > self._most_bytes and (count := self._count()) > 1:
                execute(_DROP_OLDEST, (count // 10 or 1,))
            is_pruned = True
        return is_pruned

    def _count(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM seen").fetchone()[0])

    def _used_bytes(self) -> int:
        pages, free, size = (
            self._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def rows(
        self,
        place: str | None = None,
        since_ns: int = 0,
        limit: int | None = None,
        symbols: Sequence[str] = (),
        names: Sequence[str] = (),
        *,
        is_explained: bool = True,
    ) -> list[Seen]:
        """Opportunities born at `since_ns` (ns since 1970) or later, the newest first, at most `limit`.

        `place`, `symbols` and `names` (of sets bought from or sold to) restrict them. Explanations are {} unless `is_explained`.
        """
        wanted_symbols, wanted_names = frozenset(symbols), frozenset(names)
        bounds = (None if place is None else plain(place), min(max(since_ns, 0), MOST_INTEGER))
        with _storage_errors(self.path), closing(self._connection.execute(_ROWS, bounds)) as found:
            chosen = (
                row
                for row in found
                if not wanted_symbols or row[_SYMBOL] in wanted_symbols
                if not wanted_names or row[_BUY] in wanted_names or row[_SELL] in wanted_names
            )
            return [self._seen(row, is_explained=is_explained) for row in islice(chosen, limit)]

    def find(self, prefix: str, place: str | None = None) -> Seen:
        """Find the opportunity whose id begins with `prefix`, or the newest for "last". UsageError for none, or for several."""
        where = None if place is None else plain(place)
        with _storage_errors(self.path):
            if prefix == LAST:
                found = self._connection.execute(_NEWEST, (where,)).fetchall()
            elif prefix:
                found = self._connection.execute(_MATCHES, (where, plain(prefix), SHOWN_CANDIDATES + 1)).fetchall()
            else:
                found = []
        if len(found) == 1:
            return self._seen(found[0])
        if found:
            raise _ambiguous(prefix, [self._seen(row, is_explained=False) for row in found])
        what = "no opportunity was seen yet" if prefix == LAST else f"no opportunity {prefix[:40]!r} was seen"
        raise UsageError(what + ("" if place is None else f" in {place}"), "`alphapulse arb history` lists those that were")

    def _seen(self, row: Sequence[Any], *, is_explained: bool = True) -> Seen:
        """Opportunity of a row. StorageError for a row that `record` does not write."""
        try:
            return unpacked(row, is_explained=is_explained)
        except ValueError as error:
            raise StorageError(f"{self.path} is damaged: opportunity {str(row[_ID])[:40]!r}: {error}", DELETE) from None

    def close(self) -> None:
        """Close the connection to the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _ambiguous(prefix: str, found: Sequence[Seen]) -> UsageError:
    names = [f"{one.id} ({one.symbol}, {one.buy} to {one.sell}, {one.place})" for one in found[:SHOWN_CANDIDATES]]
    more = ", …" if len(found) > SHOWN_CANDIDATES else ""
    return UsageError(f"several opportunities begin with {prefix[:40]!r}", f"write more of the id: {', '.join(names)}{more}")


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file, None if there is none. StorageError for a link, a special file, or another user's file."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise StorageError(f"{path} is a link, or not a regular file", ELSEWHERE)
    if found.st_uid != os.geteuid():
        raise StorageError(f"{path} belongs to uid {found.st_uid}, not to you", ELSEWHERE)
    return found.st_dev, found.st_ino


def _connect(path: Path) -> sqlite3.Connection:
    """Connect to an existing file; transactions are explicit."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_S, isolation_level=None)


def _make(path: Path) -> None:
    """Make an empty store under a temporary name and link it to its name, unless another process was faster."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with _making:
        try:
            _remove(temporary)  # left by a process of our pid that was killed here
            fd = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.fchmod(fd, 0o600)  # despite the umask
            finally:
                os.close(fd)
            with closing(_connect(temporary)) as connection:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before anything is in it
                for statement in _SCHEMA:
                    connection.execute(statement)
                connection.execute("PRAGMA journal_mode = WAL").fetchone()  # remembered in the file
            with suppress(FileExistsError):
                os.link(temporary, path, follow_symlinks=False)
        finally:
            _remove(temporary)


def _remove(path: Path) -> None:
    for suffix in _BESIDE:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Transaction that takes the write lock at its start, so that it cannot fail between reading and writing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # SQLite may have rolled back on its own
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and the system into StorageErrors that name the file."""
    try:
        yield
    except UnicodeDecodeError as error:  # a damaged text, within SQLite's module
        raise StorageError(f"{path} is damaged: {error.reason}", DELETE) from None
    except sqlite3.ProgrammingError:  # a bug of alphapulse
        raise
    except sqlite3.Error as error:
        name = "_".join(getattr(error, "sqlite_errorname", "").split("_")[:2])
        if name in _HINTS:
            raise StorageError(f"{path}: {error}", _HINTS[name]) from None
        raise StorageError(f"{path} is damaged, or not a store of opportunities: {error}", DELETE) from None
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}", ELSEWHERE) from None
