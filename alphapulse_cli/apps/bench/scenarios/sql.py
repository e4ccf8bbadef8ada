"""`sql`: time of a query through `alphapulse sql` against DuckDB alone on the same files; and of opening a dataset.

Both queries must give the same rows: exact decimals here, integers there.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from alphapulse_cli.apps.bench import captures
from alphapulse_cli.apps.bench.frames import BenchFeed, tape
from alphapulse_cli.apps.bench.ground import Ground
from alphapulse_cli.apps.bench.report import Result, Samples
from alphapulse_cli.apps.bench.scenarios.record import dataset_of, lacks
from alphapulse_cli.errors import IntegrityError

KRAKEN = BenchFeed("kraken", "kraken", "")
QUERY, OPEN = "a query over all deltas", "open a dataset"
RAW = "DuckDB's own query of the integers in the same files"
EMPTY = "duckdb.connect and an empty view"
FEWEST = 5


def measure(ground: Ground) -> Iterator[Result]:
    """Measure the lines of this scenario."""
    if lacks(ground, "sql", [QUERY, OPEN], "duckdb"):
        return
    folder = Path(tempfile.mkdtemp(prefix="alphapulse-bench-"))
    try:
        ground.progress("sql: making the dataset")
        made = tape(KRAKEN, ground.several(2_000, 50_000))
        path = captures.write(folder / "captures", captures.head_of(made), captures.rows_of(made, step_ns=1_000_000))
        dataset_of(path, folder / "dataset")
        yield from _lines(ground, folder / "dataset")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _lines(ground: Ground, dataset: Path) -> Iterator[Result]:
    import duckdb

    from alphapulse_cli.apps.sql.session import Session
    from alphapulse_cli.apps.sql.views import literal

    files = ", ".join(
        literal(str(path)) for path in sorted(dataset.rglob("*.parquet")) if "deltas" in str(path.relative_to(dataset))
    )
    exact = "SELECT symbol, count(*) AS n, min(price) AS low, max(price) AS high FROM deltas GROUP BY symbol"
    plain = f"SELECT symbol, count(*) AS n, min(price_ticks) AS low, max(price_ticks) AS high FROM read_parquet([{files}]) GROUP BY symbol"  # noqa: S608
    with Session(dataset) as session, duckdb.connect(":memory:") as bare:
        bare.execute("SET enable_progress_bar = false")

        def ask() -> list[dict[str, Any]]:
            return [row for batch in session.ask(exact).batches() for row in batch]

        def raw() -> list[Any]:
            return list(bare.execute(plain).fetchall())

        [mine], [theirs] = ask(), raw()
        if (mine["symbol"], mine["n"]) != theirs[:2] or mine["high"] * theirs[2] != mine["low"] * theirs[3]:  # one unit for both
            raise IntegrityError("sql: the rows are not those of the files")
        yield _by_turns(ground, ask, raw).result("sql", QUERY, RAW, "Opening the dataset; printing the rows.")

    def opened() -> None:
        with Session(dataset):
            pass

    def connected() -> None:
        with duckdb.connect(":memory:") as one:
            one.execute("CREATE VIEW deltas AS SELECT 1 AS symbol")

    yield _by_turns(ground, opened, connected).result("sql", OPEN, EMPTY, "Importing duckdb.")


def _by_turns(ground: Ground, work: Callable[[], object], reference: Callable[[], object]) -> Samples:
    samples, until = Samples(), time.monotonic() + ground.budget_s
    while len(samples.work) < FEWEST or time.monotonic() < until:
        spent, other = _timed(work), _timed(reference)
        samples.work.append(spent)
        samples.reference.append(other)
        samples.ratios.append(spent / other)
    return samples


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter_ns()
    work()
    return float(time.perf_counter_ns() - begun)
