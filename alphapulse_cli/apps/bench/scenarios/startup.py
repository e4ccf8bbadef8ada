"""`startup`: time of a command's help, each in a new process, against the unavoidable costs.

These are the bare interpreter (`python -c pass`) and a two-command typer app, the cost of typer before any line of alphapulse runs.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from alphapulse_cli.apps.bench.ground import Ground
from alphapulse_cli.apps.bench.report import Result, Samples

TWO_COMMANDS = """
import typer
app = typer.Typer(rich_markup_mode=None)
@app.command()
def one() -> None: "The first."
@app.command()
def two() -> None: "The second."
app()
"""
PYTHON = (sys.executable, "-P")
BARE = (*PYTHON, "-c", "pass")
TYPER = (*PYTHON, "-c", TWO_COMMANDS, "--help")
OURS = (*PYTHON, "-m", "alphapulse_cli")
LIMIT_S = 60
LEFT_OUT = "Shell and terminal; files are in the page cache and compiled to bytecode."


def measure(ground: Ground) -> Iterator[Result]:
    """Measure the lines of this scenario."""
    lines = [
        ("--help", (*OURS, "--help"), TYPER, "a two-command typer app's --help"),
        ("tail --help", (*OURS, "tail", "--help"), TYPER, "a two-command typer app's --help"),
        ("a two-command typer app's --help", TYPER, BARE, "a bare interpreter"),
    ]
    for case, command, reference, named in lines:
        ground.progress(f"startup: {case}")
        if _spent_ns(command) is None:
            ground.leave_out("startup", case, "the command is not there")
            continue
        samples = Samples()
        for _ in range(ground.several(3, 25)):
            spent, spent_by_reference = _spent_ns(command), _spent_ns(reference)
            if spent is None or spent_by_reference is None:
                continue
            samples.work.append(spent)
            samples.reference.append(spent_by_reference)
            samples.ratios.append(spent / spent_by_reference)
        yield samples.result("startup", case, named, LEFT_OUT)


def _spent_ns(command: Sequence[str]) -> float | None:
    """Time in ns from fork to the end of a command; None if it failed."""
    begun = time.perf_counter_ns()
    # The output is read to its end: without a pipe, waiting with a timeout would look only every 50 ms.
    done = subprocess.run(  # noqa: S603 ourselves
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=LIMIT_S, check=False
    )
    return float(time.perf_counter_ns() - begun) if done.returncode == 0 else None
