"""Comparison of two runs, by their ratios and the spread of these.

A line is slower if its ratio has grown by more than the factor *and* the middle halves of both runs' ratios do not overlap: a
difference within the spread is noise, whatever the medians are, and growth within the factor is tolerated.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from alphapulse_cli.apps.bench.report import Report, Result, significant
from alphapulse_cli.errors import UsageError

SAME, SLOWER, FASTER, NOISY, ONLY_THERE, ONLY_HERE = "same", "slower", "faster", "noisy", "not measured now", "new"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line of both runs; `grown` is the new ratio divided by the old one."""

    scenario: str
    case: str
    then: float | None
    now: float | None
    grown: float | None
    verdict: str


def check_factor(factor: float) -> float:
    """Check a factor and return it. UsageError for one that would fail an equal run."""
    if not factor > 1:
        raise UsageError(f"a factor of {factor:g} would fail a run that is no slower", "write --fail-over 1.25")
    return factor


def compare(then: Report, now: Report, factor: float, ran: Sequence[str]) -> list[Comparison]:
    """Compare every line of the scenarios that ran. UsageError for runs with different cores, whose ratios are not comparable."""
    if then.head.get("core") != now.head.get("core"):
        raise UsageError(
            f"the baseline is of the {then.head.get('core')} core, this run of the {now.head.get('core')} one",
            "make a baseline with the core that is to be compared: alphapulse bench --save FILE",
        )
    before = {one.name: one for one in then.results}
    here = {one.name for one in now.results}
    gone = [one for one in then.results if one.name not in here and one.scenario in ran]
    return [
        *(_compared(before.get(one.name), one, factor) for one in now.results),
        *(Comparison(one.scenario, one.case, one.ratio, None, None, ONLY_THERE) for one in gone),
    ]


def _compared(then: Result | None, now: Result, factor: float) -> Comparison:
    if then is None:
        return Comparison(now.scenario, now.case, None, now.ratio, None, ONLY_HERE)
    grown = now.ratio / then.ratio if then.ratio > 0 else float("inf")
    return Comparison(now.scenario, now.case, then.ratio, now.ratio, significant(grown), verdict_of(then, now, factor))


def verdict_of(then: Result, now: Result, factor: float) -> str:
    """Verdict of the module's rule, in both directions."""
    if now.ratio > factor * then.ratio:
        return SLOWER if now.ratio_low > then.ratio_high else NOISY
    if now.ratio * factor < then.ratio:
        return FASTER if now.ratio_high < then.ratio_low else NOISY
    return SAME


def slower(found: Sequence[Comparison]) -> list[Comparison]:
    """Lines that fail the run."""
    return [one for one in found if one.verdict == SLOWER]


def rows(found: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Rows by the keys of their JSON objects."""
    return [asdict(one) for one in found]
