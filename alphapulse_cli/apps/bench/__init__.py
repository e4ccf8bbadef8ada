"""Repeatable benchmarks: one scenario a file, each line with a reference measured in the same run.

    SCENARIOS ─► run(names, …) ─► scenario.measure(ground) ─► Result, Result, … ─► Report ─► table or JSON, compare, targets

A scenario times the product's own code, never a copy of it, and proves where possible that the timed work was correct. It works in
a directory of its own, bounds its time and its memory, and leaves no process behind.
"""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

from alphapulse_cli.apps.bench.ground import Ground
from alphapulse_cli.apps.bench.report import Report, new_report
from alphapulse_cli.errors import UsageError
from alphapulse_cli.shm.private import private_directory

SCENARIOS = {  # module of `scenarios` -> the thing it measures, in the order of the data
    "decode": "an exchange's frame to exact events, per exchange",
    "book": "changes, snapshots and differences of a 45,827-level book",
    "ring": "publishing into the ring and reading out of it, one process",
    "latency": "one way between two processes, for each way of waiting; sustained rates",
    "pipeline": "raw JSON bytes to the published group, per exchange",
    "capture": "what a collector at 5,000 messages/s costs with a capture against without; the capture's size",
    "replay": "a capture's file to the published group, at the highest speed, per exchange",
    "verify": "a capture's certificate, against playing it, per exchange",
    "record": "recording a capture as Parquet, against playing it",
    "export": "exporting a capture to other tools' files, against playing it",
    "sql": "a query of a dataset against DuckDB alone on the same files",
    "candles": "a trade into its exact candle, against floats",
    "travel": "to the exact book of an instant in a capture, short and long",
    "collect": "the same with the socket: CPU and time a message",
    "memory": "resident memory of a collector of three full-depth books, before and after an hour's messages",
    "arb": "a book's change to the opportunity it makes, in process and to a printed line, at 20,000 deltas/s",
    "serve": "what a message to 100 network clients costs the server and how late it comes; REST; a scrape",
    "attach": "from nothing to an exact 45,827-level book",
    "startup": "the commands' start against a bare interpreter and a typer app",
    "tui": "the live screen at 20,000 deltas/s over three exchanges: CPU, memory, key to screen",
}

Progress = Callable[[int, int, str], None]  # scenarios done, scenarios in all, name of the present measurement


def chosen(names: Sequence[str]) -> list[str]:
    """The named scenarios, each once; all for (). UsageError, with near matches, for an unknown name."""
    for name in names:
        if name not in SCENARIOS:
            import difflib

            near = difflib.get_close_matches(name.lower(), SCENARIOS, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"scenarios are: {', '.join(SCENARIOS)}"
            raise UsageError(f"no such scenario: {name[:40]!r}", hint)
    return list(dict.fromkeys(names or SCENARIOS))


def run(names: Sequence[str], *, quick: bool, capture: Path | None, shm_dir: str | None, progress: Progress) -> Report:
    """Run the scenarios, one after another. IntegrityError if timed work turns out wrong."""
    report = new_report(quick=quick)
    with private_directory(shm_dir, "bench") as directory:
        ground = Ground(directory, quick, capture, report.left_out)
        for done, name in enumerate(names):

            def show(what: str, done: int = done) -> None:
                progress(done, len(names), what)

            ground.progress = show
            show(name)
            for result in importlib.import_module(f"alphapulse_cli.apps.bench.scenarios.{name}").measure(ground):
                report.results.append(result)
                show(f"{result.scenario}: {result.case}")
        progress(len(names), len(names), "")
    return report
