"""The bounded store of arbitrage opportunities seen: one SQLite file that every watch writes and everyone reads.

    Event ─► Seen ─► StoreWriter, a thread: put() never waits ─► OpportunityStore (SQLite, WAL) ◄─ history, explain, the live screen

A row an opportunity, known by the segments' directory and its identifier: what was seen twice, by two watches, is one. Money is
decimal text. The file holds at most `most` opportunities (a tenth more before it is pruned, the oldest first); explanations are
compressed, and one of more than MOST_EXPLANATION_BYTES is kept without its levels. A watch that is killed loses what it did not
write yet, half a second's worth at most; what was written stays whole.
"""

import contextlib
import json
import os
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from alphapulse_cli.errors import StorageError, UsageError

SCHEMA = 1
MOST_OPPORTUNITIES, PRUNE_SHARE = 10_000, 10
MOST_EXPLANATION_BYTES = 1 << 16
MOST_PENDING = 4096
BUSY_S, RETRY_S, BATCH_PAUSE_S = 2.0, 1.0, 0.1
WAL_BYTES = 1 << 20
LEVELS = ("asks", "bids", "walk", "legs")  # the parts of an explanation that may be long


@dataclass(frozen=True, slots=True)
class Seen:
    """One opportunity as far as it was seen. Times are ns since 1970; sizes, nets and basis points decimal text."""

    id: str
    place: str  # the segments' directory
    kind: str  # "pair" or "triangle"
    symbol: str
    buy: str  # sets
    sell: str
    currency: str  # of the profit
    born_ns: int
    last_ns: int  # last known change, or its end
    closed_ns: int | None  # None: not known to be over
    why: str  # it closed
    is_from_start: bool  # it was there when its books became live: its true birth is unknown
    is_unwatched: bool  # it was lost sight of: its true end is unknown
    changes: int
    size: str
    net: str
    bps: str
    birth_size: str
    birth_net: str
    birth_bps: str
    peak_size: str
    peak_net: str
    peak_bps: str
    peak_ns: int
    explanation: Mapping[str, Any] = field(default_factory=dict)  # at birth; {} later


COLUMNS = tuple(one.name for one in fields(Seen))
_CREATE = f"""
CREATE TABLE IF NOT EXISTS opportunity (
    {", ".join(f"{name} {'BLOB' if name == 'explanation' else ''}" for name in COLUMNS)},
    PRIMARY KEY (place, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS opportunity_born ON opportunity (born_ns);
"""
_UPSERT = (
    f"INSERT INTO opportunity ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))}) ON CONFLICT (place, id) DO UPDATE SET "  # noqa: S608 our own names
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name not in ("place", "id", "explanation"))
    + ", explanation = CASE WHEN length(excluded.explanation) > 0 THEN excluded.explanation ELSE explanation END"
)
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM opportunity"  # noqa: S608 our own names


def default_path() -> Path:
    """$XDG_STATE_HOME/alphapulse/opportunities.sqlite, ~/.local/state without it."""
    base = os.environ.get("XDG_STATE_HOME", "")
    home = Path(base) if base and Path(base).is_absolute() else Path.home() / ".local" / "state"
    return home / "alphapulse" / "opportunities.sqlite"


class OpportunityStore:
    """The file, opened; made if it is not there and `create` says so. StorageError for one that cannot be used."""

    def __init__(self, path: Path, most: int = MOST_OPPORTUNITIES, *, create: bool = True) -> None:
        self.path = path
        self._most = most
        self._recorded = most  # since the last look at how many there are: the first record looks
        with self._explained():
            _make(path, create=create)
            self._file = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            try:
                self._open()
            except BaseException:
                self._file.close()
                raise

    def _open(self) -> None:
        (version,) = self._file.execute("PRAGMA user_version").fetchone()
        if version == SCHEMA:
            return
        (tables,) = self._file.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version or tables:
            raise StorageError(
                f"{self.path} is not a store of this version of alphapulse",
                f"move it away, or name another: --store; this is {SCHEMA}",
            )
        self._file.execute("PRAGMA auto_vacuum = INCREMENTAL")
        self._file.execute("PRAGMA journal_mode = WAL")
        self._file.executescript(f"BEGIN IMMEDIATE; {_CREATE} PRAGMA user_version = {SCHEMA}; COMMIT;")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"{self.path}: {error}", "name another file: --store; or move this one away") from None

    def record(self, seen: Sequence[Seen]) -> None:
        """All of them, or none; what is known already is brought up to date. StorageError."""
        rows = [_row(one) for one in seen]
        with self._explained():
            self._file.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
            self._file.execute("PRAGMA synchronous = NORMAL")
            self._file.execute("BEGIN IMMEDIATE")
            try:
                self._file.executemany(_UPSERT, rows)
                self._prune(len(rows))
            except BaseException:
                self._file.execute("ROLLBACK")
                raise
            self._file.execute("COMMIT")
            if self._recorded == 0:
                self._file.execute("PRAGMA incremental_vacuum")

    def _prune(self, recorded: int) -> None:
        """Now and then: the oldest leave."""
        self._recorded += recorded
        if self._recorded * PRUNE_SHARE < self._most:
            return
        self._recorded = 0
        (count,) = self._file.execute("SELECT count(*) FROM opportunity").fetchone()
        if count > self._most:
            self._file.execute(
                "DELETE FROM opportunity WHERE (place, id) IN (SELECT place, id FROM opportunity ORDER BY born_ns, id LIMIT ?)",
                (count - self._most,),
            )

    def rows(
        self, place: str | None = None, since_ns: int = 0, limit: int | None = None, symbols: Sequence[str] = ()
    ) -> list[Seen]:
        """The newest first, of one directory or all. StorageError."""
        where, values = ["born_ns >= ?"], [since_ns]  # type: tuple[list[str], list[Any]]
        if place is not None:
            where.append("place = ?")
            values.append(place)
        if symbols:
            where.append(f"symbol IN ({', '.join('?' * len(symbols))})")
            values += symbols
        return self._selected(where, values, -1 if limit is None else limit)

    def _selected(self, where: list[str], values: list[Any], limit: int) -> list[Seen]:
        with self._explained():
            found = self._file.execute(
                f"{_SELECT} WHERE {' AND '.join(where)} ORDER BY born_ns DESC, id LIMIT ?", [*values, limit]
            )  # values are bound
            return [_seen(row) for row in found]

    def find(self, prefix: str, place: str | None = None) -> Seen:
        """The one whose identifier begins so; "last" is the newest. UsageError for none, or several. StorageError."""
        if prefix == "last":
            found = self.rows(place, limit=1)
        else:
            where, values = ["substr(id, 1, ?) = ?"], [len(prefix), prefix.lower()]  # type: tuple[list[str], list[Any]]
            if place is not None:
                where.append("place = ?")
                values.append(place)
            found = self._selected(where, values, 6) if prefix else []
        exact = [one for one in found if one.id == prefix.lower()] or found
        if not exact:
            raise UsageError(f"no opportunity {prefix[:20]!r} was kept", "alphapulse arb history lists them")
        if len(exact) > 1:
            raise UsageError(f"several opportunities begin with {prefix[:20]!r}", ", ".join(one.id for one in exact))
        return exact[0]

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _make(path: Path, *, create: bool) -> None:
    """Ours alone, never through a link."""
    if create:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    os.close(os.open(path, flags, 0o600))


def _row(one: Seen) -> list[Any]:
    return [_packed(value) if name == "explanation" else value for name in COLUMNS for value in (getattr(one, name),)]


def _packed(explanation: Mapping[str, Any]) -> bytes:
    if not explanation:
        return b""
    text = json.dumps(explanation, separators=(",", ":"))
    if len(text) > MOST_EXPLANATION_BYTES:
        text = json.dumps({**{key: value for key, value in explanation.items() if key not in LEVELS}, "is_cut": True})
    return zlib.compress(text.encode())


def _seen(row: Sequence[Any]) -> Seen:
    values = dict(zip(COLUMNS, row, strict=True))
    packed = values["explanation"]
    values["explanation"] = json.loads(zlib.decompressobj().decompress(packed, 4 * MOST_EXPLANATION_BYTES)) if packed else {}
    values["is_from_start"], values["is_unwatched"] = bool(values["is_from_start"]), bool(values["is_unwatched"])
    return Seen(**values)


class StoreWriter:
    """Writes from a thread of its own; `put` never waits and never fails. `dropped` counts what found no room, `error` says what is wrong."""

    def __init__(self, path: Path, most: int = MOST_OPPORTUNITIES) -> None:
        self.dropped = 0
        self.error = ""
        self._path, self._most = path, most
        self._pending: dict[tuple[str, str], Seen] = {}  # by what they are known by: a flood of changes of one is one
        self._changed = threading.Condition()
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, name="opportunities", daemon=True)
        self._thread.start()

    def put(self, seen: Seen) -> None:
        """To be written soon."""
        key = seen.place, seen.id
        with self._changed:
            before = self._pending.get(key)
            if before is None and len(self._pending) >= MOST_PENDING:
                self.dropped += 1
                return
            if before is not None and not seen.explanation:
                seen = replace(seen, explanation=before.explanation)
            self._pending[key] = seen
            self._changed.notify()

    def _run(self) -> None:
        store: OpportunityStore | None = None
        while True:
            with self._changed:
                while not self._pending and not self._is_ending:
                    self._changed.wait()
                if not self._pending:
                    break
                batch, self._pending = self._pending, {}
            try:
                store = store or OpportunityStore(self._path, self._most)
                store.record(list(batch.values()))
                self.error = ""
            except StorageError as problem:
                self.error = str(problem)
                if self._put_back(batch):
                    break
            with self._changed:
                self._changed.wait_for(lambda: self._is_ending, RETRY_S if self.error else BATCH_PAUSE_S)
        if store is not None:
            store.close()

    def _put_back(self, batch: dict[tuple[str, str], Seen]) -> bool:
        """Nothing of it was written; whether it never will be."""
        with self._changed:
            self._pending = batch | self._pending
            while len(self._pending) > MOST_PENDING:
                self._pending.pop(next(iter(self._pending)))
                self.dropped += 1
            if self._is_ending:
                self.dropped += len(self._pending)
            return self._is_ending

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what is left; give up after the timeout."""
        with self._changed:
            self._is_ending = True
            self._changed.notify()
        self._thread.join(timeout_s)
