"""`startup`: from the shell's Enter to the last line of help, in a new process each, against what nobody can save.

The bare interpreter is `python -c pass`; the two-command app is what typer itself costs before a line of ours has run.
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
    """The lines of this scenario."""
    lines = [
        ("--help", (*OURS, "--help"), TYPER, "a two-command typer app's --help"),
        ("tail --help", (*OURS, "tail", "--help"), TYPER, "a two-command typer app's --help"),
        ("a two-command typer app's --help", TYPER, BARE, "a bare interpreter"),
    ]
    for case, command, reference, named in lines:
        ground.say(f"startup: {case}")
        if _spent_ns(command) is None:
            ground.leave_out("startup", case, "the command is not there")
            continue
        samples = Samples()
        for _ in range(ground.several(4, 25)):
            spent, spent_by_reference = _spent_ns(command), _spent_ns(reference)
            if spent is None or spent_by_reference is None:
                continue
            samples.work.append(spent)
            samples.reference.append(spent_by_reference)
            samples.ratios.append(spent / spent_by_reference)
        yield samples.result("startup", case, named, LEFT_OUT)


def _spent_ns(command: Sequence[str]) -> float | None:
    """From fork to the end; None for a command that failed."""
    begun = time.perf_counter_ns()
    # Its output is read to the end: with nothing to read, waiting with a limit would look only every 50 ms.
    done = subprocess.run(  # noqa: S603 ourselves
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=LIMIT_S, check=False
    )
    return float(time.perf_counter_ns() - begun) if done.returncode == 0 else None
