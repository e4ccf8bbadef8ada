"""Session of queries: a DuckDB connection that can read the files of one dataset, and do nothing else.

    with Session(Path("data")) as session:
        result = session.ask("SELECT symbol, count(*) FROM trades GROUP BY symbol")
        for rows in result.batches(): …

A query can do no harm: only one statement, and only a SELECT, is run (what DuckDB's own parser says that it is); the database
is in memory and has views alone; files other than the dataset's, the network and extensions are switched off, and the configuration is
locked. DuckDB works in a thread of its own, so that a signal ends a query at once: within DuckDB it would be lost.
"""

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from alphapulse_cli.apps.sql import mistakes, views
from alphapulse_cli.edges.columns.extras import require
from alphapulse_cli.edges.columns.reading import parts
from alphapulse_cli.edges.columns.schema import TABLES
from alphapulse_cli.errors import StorageError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 4096
LOOK_S = 0.1  # at which a waiting thread looks for signals
AGAIN_S = 0.01  # between interrupts of a query, one of which may come before it has begun
EXTRA = "sql"
PLAIN = re.compile(
    r"(?:BOOLEAN|VARCHAR|U?(?:TINY|SMALL|BIG|HUGE)INT|U?INTEGER|U?INT\d+|DOUBLE|FLOAT|DECIMAL\(\d+, ?\d+\))(?:\[\d*\])*",
    re.IGNORECASE,
)
HUGE = re.compile(r"U?(?:HUGEINT|INT128)", re.IGNORECASE)
NUMBER = re.compile(r"(?:U?(?:TINY|SMALL|BIG|HUGE)INT|U?INTEGER|U?INT\d+|DOUBLE|FLOAT|DECIMAL\(.*\))", re.IGNORECASE)
WHAT_IS_RUN = "a query is one SELECT (also WITH, FROM, VALUES, DESCRIBE, SUMMARIZE, SHOW TABLES); nothing is written"
Got = TypeVar("Got")


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """Column of a result: a name that no other has, and whether it is of numbers."""

    name: str
    is_number: bool


class Session:
    """Connection with the views and macros of a dataset. Use it in a `with`.

    UsageError without duckdb, and for a file of a greater version; NoSegment for a folder that is no dataset; StorageError.
    """

    def __init__(self, dataset: Path) -> None:
        duckdb = require("duckdb", EXTRA, "sql")
        require("pyarrow", EXTRA, "sql")
        found = {table: parts(dataset, table) for table in TABLES}
        self._error: type[Exception] = duckdb.Error
        self._statement_types, self._tokenize = duckdb.StatementType, duckdb.tokenize
        self._opened = contextlib.ExitStack()
        spill = self._opened.enter_context(tempfile.TemporaryDirectory(prefix="alphapulse-sql-"))
        self._connection: Any = duckdb.connect(
            ":memory:",
            config={
                "temp_directory": spill,  # by itself it would be `.tmp` where the user is
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "allow_community_extensions": "false",
                "python_enable_replacements": "false",  # a name of a table is no variable of ours
            },
        )
        self._opened.callback(self._connection.close)
        self._worker = ThreadPoolExecutor(1, "duckdb")
        self._opened.callback(self._worker.shutdown)
        *scalars, candles = views.macros(views.watches(part for of_table in found.values() for part in of_table))
        self._files = files = [path for of_table in found.values() for part in of_table for path in part.files]
        allowed = dict.fromkeys(name for path in files for name in (views.pattern(path), str(path.absolute())))
        for statement in (
            "SET enable_progress_bar = false",
            "SET TimeZone = 'UTC'",
            *scalars,
            *(views.view(table, of_table) for table, of_table in found.items()),
            candles,
            f"SET allowed_paths = [{', '.join(map(views.literal, allowed))}]",
            "SET enable_external_access = false",
            "SET lock_configuration = true",
        ):
            self.call(partial(self._connection.execute, statement), statement)

    def ask(self, query: str) -> "Result":
        """Bind a query. UsageError for what is no single SELECT, and for what DuckDB refuses, with the near names."""
        statements = self.call(lambda: self._connection.extract_statements(query), query)
        if not statements:
            raise UsageError("the query is empty", WHAT_IS_RUN)
        if len(statements) > 1:
            raise UsageError(f"{len(statements)} statements in one query", WHAT_IS_RUN)
        if statements[0].type != self._statement_types.SELECT:
            raise UsageError(f"{statements[0].type.name} is not run", WHAT_IS_RUN)
        return Result(self, query, self.call(lambda: self._connection.sql(self._without_its_end(query)), query))

    def _without_its_end(self, query: str) -> str:
        """The query without semicolons and remarks behind it: DuckDB puts it into another one."""
        data = query.encode()
        end = len(data)
        for at, kind in reversed(self._tokenize(query)):
            if kind.name != "comment" and data[at : at + 1] != b";":
                break
            end = at
        return data[:end].decode()

    def call(self, work: Callable[[], Got], query: str) -> Got:
        """Do something in DuckDB's thread. An error of DuckDB's becomes ours; an interrupt ends what it does."""
        try:
            future = self._worker.submit(work)
            while not wait((future,), LOOK_S).done:  # a signal that comes just before a wait without an end is not seen within it
                pass
            return future.result()
        except self._error as problem:
            gone = next((path for path in self._files if str(path.absolute()) in str(problem) and not path.exists()), None)
            if gone is not None:  # DuckDB then takes its name for that of a folder, to which it has no access
                raise StorageError(f"{gone}: no such file any more", "if --keep removed it meanwhile, ask again") from problem
            raise mistakes.told(problem, query) from problem
        except Exception:
            raise
        except BaseException:  # a signal
            behind = self._worker.submit(lambda: None)  # done once the thread is free, wherever the signal came
            while not wait((behind,), AGAIN_S).done:
                self._connection.interrupt()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._opened.close()


class Result:
    """Answer to a query. It is read once: by `batches` or by `arrow`."""

    def __init__(self, session: Session, query: str, relation: Any) -> None:
        self._session, self._query = session, query
        kinds = [str(kind) for kind in relation.types]
        self.columns = [
            ResultColumn(name, NUMBER.fullmatch(kind) is not None)
            for name, kind in zip(_unique(relation.columns), kinds, strict=True)
        ]
        self._kinds, self._relation = kinds, relation

    def batches(self) -> Iterator[list[dict[str, Any]]]:
        """Rows by their columns' names, some thousands at a time.

        Integers and Decimals are exact. Times, intervals and other types that Python would round are text, as DuckDB writes them.
        """
        chosen = [
            f"CAST(#{at} AS DECIMAL(38,0))"
            if HUGE.fullmatch(kind)
            else f"#{at}"
            if PLAIN.fullmatch(kind)
            else f"CAST(#{at} AS VARCHAR)"
            for at, kind in enumerate(self._kinds, start=1)
        ]
        huge = [column.name for column, kind in zip(self.columns, self._kinds, strict=True) if HUGE.fullmatch(kind)]
        for batch in self._read(chosen)[1]:
            rows = batch.to_pylist()
            for name in huge:
                for row in rows:
                    row[name] = None if row[name] is None else int(row[name])
            yield rows

    def arrow(self) -> "tuple[pa.Schema, Iterator[pa.RecordBatch]]":
        """Schema and record batches; integers of more than 64 bits are decimals of 38 digits, and an error where they have more."""
        return self._read(
            [f"CAST(#{at} AS DECIMAL(38,0))" if HUGE.fullmatch(kind) else f"#{at}" for at, kind in enumerate(self._kinds, start=1)]
        )

    def _read(self, chosen: list[str]) -> "tuple[pa.Schema, Iterator[pa.RecordBatch]]":
        """Schema and batches of these values, each batch computed in DuckDB's thread."""
        relation = self._project(chosen)
        reader = self._session.call(lambda: relation.to_arrow_reader(BATCH_ROWS), self._query)

        def batches() -> "Iterator[pa.RecordBatch]":
            while (batch := self._session.call(lambda: next(reader, None), self._query)) is not None:
                yield batch

        return reader.schema, batches()

    def _project(self, chosen: list[str]) -> Any:
        made = ", ".join(f"{value} AS {_quoted(column.name)}" for value, column in zip(chosen, self.columns, strict=True))
        return self._session.call(lambda: self._relation.project(made), self._query)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _unique(names: list[str]) -> list[str]:
    """Names with a number behind those that came before: price, price_2."""
    made: list[str] = []
    for name in names:
        number, unique = 2, name
        while unique in made:
            number, unique = number + 1, f"{name}_{number}"
        made.append(unique)
    return made
