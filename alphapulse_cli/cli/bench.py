"""`alphapulse bench`: speed on this machine beside references of the same run, compared with targets and earlier runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alphapulse_cli.cli import options, render, stderr
from alphapulse_cli.edges.safe_text import safe

if TYPE_CHECKING:
    from alphapulse_cli.apps.bench.report import Report, Result

app = options.command_app()


def complete_scenario(incomplete: str) -> list[str]:
    """Completions of a scenario's name."""
    from alphapulse_cli.apps import bench

    return [name for name in bench.SCENARIOS if name.startswith(incomplete)]


@app.command()
def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SCENARIO]...",
            show_default=False,
            help="Scenarios to run; all if not given.",
            autocompletion=complete_scenario,
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", show_default=False, help="Take fewer samples of the same cases, in half a minute.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", show_default=False, help="Print one JSON object; the default in a pipe.")
    ] = False,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", show_default=False, help="Save the run as JSON, for --compare.")
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", show_default=False, help="Compare the ratios with those of a saved run; exit code 5 if one has grown."
        ),
    ] = None,
    fail_over: Annotated[
        float, typer.Option(metavar="FACTOR", help="Growth of a ratio that --compare tolerates, beyond the spread of both runs.")
    ] = 1.25,
    targets: Annotated[
        bool,
        typer.Option(
            "--targets", show_default=False, help="Compare the run with the targets of the design; exit code 5 if one is missed."
        ),
    ] = False,
    capture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", show_default=False, help="Recorded frames for decode and pipeline, instead of the built-in ones."
        ),
    ] = None,
    listing: Annotated[bool, typer.Option("--list", show_default=False, help="List the scenarios and what each measures.")] = False,
    shm_dir: options.ShmDir = None,
) -> None:
    """Measure the speed on this machine, each line beside a reference measured in the same run.

    Times are medians and percentiles. Only the ratios may be compared between machines or runs. A busy machine has longer tails;
    the head of the output shows its load.

    Example: alphapulse bench --quick; alphapulse bench pipeline --save before.json; alphapulse bench pipeline --compare before.json
    """
    from alphapulse_cli.apps import bench as benchmarks

    if listing:
        rows = [{"scenario": name, "measures": what} for name, what in benchmarks.SCENARIOS.items()]
        render.emit_rows(rows, [render.Column("scenario"), render.Column("measures")], render.chosen_format(None, as_json))
        return
    from alphapulse_cli.apps.bench import compare as comparing
    from alphapulse_cli.apps.bench import report as reporting
    from alphapulse_cli.apps.bench import targets as judging
    from alphapulse_cli.errors import ExitCode

    comparing.check_factor(fail_over)
    chosen = benchmarks.chosen(names or [])
    baseline = reporting.load(compare) if compare is not None else None
    folder = options.settings().choose("shm_dir", shm_dir) or None
    with _progress() as progress:
        report = benchmarks.run(chosen, quick=quick, capture=capture, shm_dir=folder, progress=progress)
    found: dict[str, Any] = report.to_json()
    compared = comparing.compare(baseline, report, fail_over, chosen) if baseline is not None else []
    judged = judging.judge(report.results, report.left_out) if targets else []
    if baseline is not None:
        found["comparison"] = comparing.rows(compared)
    if targets:
        found["targets"] = judging.rows(judged)
    if save is not None:
        reporting.save(save, found)
    if render.wants_json(as_json):
        render.emit_json([found])
    else:
        _print(report, found)
    slower, missed = comparing.slower(compared), judging.missed(judged)
    for line in slower:
        stderr.error(f"{line.scenario}, {line.case}: {line.grown} x the baseline's ratio")
    for target in missed:
        stderr.error(f"target missed: {target.what}; measured {target.value:g}")
    if slower or missed:
        raise typer.Exit(ExitCode.TARGET_MISSED)


@contextmanager
def _progress() -> Iterator[Callable[[int, int, str], None]]:
    """Progress bar on a stderr that is a terminal, nothing elsewhere.

    It draws when called: no thread of it disturbs the measurement.
    """
    import sys

    if not stderr.is_terminal(sys.stderr) or stderr.explains() or stderr.is_quiet():
        yield lambda *_: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    bar = Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}", markup=False),
        console=render.console(sys.stderr),
        auto_refresh=False,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=None)

        def show(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what, refresh=True)

        yield show


def _print(report: "Report", found: dict[str, Any]) -> None:
    """Print the head, a table a scenario with what its numbers leave out, the comparison and the targets."""
    for key, value in report.head.items():
        if key != "schema":
            print(f"{key:<12}{render.words(value)}")
    for scenario in dict.fromkeys(one.scenario for one in report.results):
        lines = [one for one in report.results if one.scenario == scenario]
        print(f"\n{scenario}")
        render.emit_table((_row(one) for one in lines), COLUMNS)
        for sentence, cases in _notes(lines).items():
            print(safe(f"  not in it ({cases}): {sentence}"))
    for left in report.left_out:
        print(safe(f"\nnot measured here: {left.scenario}, {left.case}: {left.reason}"))
    if "comparison" in found:
        print()
        render.emit_table(found["comparison"], COMPARED)
    if "targets" in found:
        print()
        render.emit_table((_judged(one) for one in found["targets"]), JUDGED)


def _judged(one: dict[str, Any]) -> dict[str, Any]:
    """Row of a target: the measured value, or the reason why there is none."""
    if one["value"] is None:
        return one | {"key": "", "measured": one["reason"]}
    return one | {"measured": f"{one['value']:g}" if one["key"] == "ratio" else human(one["value"], one["unit"])}


COLUMNS = [
    render.Column("case"),
    *(
        render.Column(name, title, right=True)
        for name, title in (("p50", "p50"), ("p90", "p90"), ("p99", "p99"), ("p99_9", "p99.9"), ("max", "max"))
    ),
    render.Column("count", "samples", right=True),
    render.Column("batch", "of calls", right=True),
    render.Column("ratio", right=True),
    render.Column("spread", "middle half", right=True),
    render.Column("reference", "of the reference"),
]
COMPARED = [
    render.Column("scenario"),
    render.Column("case"),
    *(render.Column(name, right=True) for name in ("then", "now", "grown")),
    render.Column("verdict"),
]
JUDGED = [
    render.Column("what", "target"),
    render.Column("key", "read from"),
    render.Column("measured", right=True),
    render.Column("outcome"),
]


def _row(one: "Result") -> dict[str, Any]:
    times = {name: human(getattr(one, name), one.unit) for name in ("p50", "p90", "p99", "p99_9", "max")}
    return {
        "case": one.case,
        **times,
        "count": one.count,
        "batch": one.batch,
        "ratio": f"{one.ratio:g}",
        "spread": f"{one.ratio_low:g}-{one.ratio_high:g}",
        "reference": f"{one.reference} ({human(one.reference_p50, one.unit)})",
    }


def human(value: float, unit: str) -> str:
    """Text of a value with its unit, three digits: 12.3 us, 4 ns, 1.2 ms, 120 bytes."""
    if unit != "ns":
        return f"{value:,.0f} {unit}"
    for size, name in ((1e9, "s"), (1e6, "ms"), (1e3, "us")):
        if value >= size:
            return f"{value / size:.3g} {name}"
    return f"{value:.3g} ns"


def _notes(lines: "list[Result]") -> dict[str, str]:
    """Sentences about what the numbers leave out, each with the cases that it holds for."""
    cases: dict[str, list[str]] = {}
    for one in lines:
        cases.setdefault(one.leaves_out, []).append(one.case)
    return {sentence: "; ".join(named) for sentence, named in cases.items()}
