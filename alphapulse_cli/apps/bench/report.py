"""What a benchmark says: one `Result` a line, one `Report` a run, and the JSON of both, as documented in `FIELDS`.

    samples of the work and of its reference, taken by turns ─► Result (quantiles, ratio and its spread) ─► Report ─► JSON, table

A sample is the time of `batch` calls made together, for one of them. The reference is measured in the same run, between the samples
of the work, so that what else the machine does at that moment falls on both: *ratios* may be compared between runs, times only on a
machine of one's own. Smaller is better in every line.
"""

import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from alphapulse_cli import __version__, build
from alphapulse_cli.errors import UsageError

SCHEMA = 1


class Field(NamedTuple):
    """One key of the JSON, for the reference page and for whoever reads a saved run."""

    name: str
    type: str
    meaning: str


RESULT_FIELDS = (
    Field("scenario", "text", "which file of `apps/bench/scenarios` measured it"),
    Field("case", "text", "what of it; with the scenario, the line's name in `--compare`"),
    Field("unit", "text", "of the quantiles: ns, or bytes"),
    Field("count", "integer", "how many samples"),
    Field("batch", "integer", "how many calls were timed together for one sample"),
    Field("p50", "number", "the median sample; smaller is better"),
    Field("p90", "number", "nine of ten samples are no larger"),
    Field("p99", "number", "99 of 100 are no larger"),
    Field("p99_9", "number", "999 of 1,000 are no larger"),
    Field("max", "number", "the largest"),
    Field("reference", "text", "what was measured between the samples, in the same run"),
    Field("reference_p50", "number", "its median, in the same unit"),
    Field("ratio", "number", "work over reference: the median of the rounds"),
    Field("ratio_low", "number", "a quarter of the rounds had a smaller ratio"),
    Field("ratio_high", "number", "a quarter of the rounds had a larger one"),
    Field("leaves_out", "text", "what is not in the number"),
)
HEAD_FIELDS = (
    Field("schema", "integer", f"{SCHEMA}; grows when a key changes its meaning"),
    Field("alphapulse", "text", "the version"),
    Field("core", "text", "compiled or interpreted"),
    Field("date", "text", "when the run began, UTC"),
    Field("quick", "boolean", "whether it was a `--quick` run: fewer samples of the same things"),
    Field("python", "text", "implementation and version"),
    Field("machine", "text", "architecture and processor"),
    Field("cores", "integer", "that this process may use"),
    Field("system", "text", "operating system and release"),
    Field("load", "number", "the machine's load average over a minute, before the run: what others did meanwhile is in every tail"),
    Field("results", "list", "one object a line, below"),
    Field("left_out", "list", "`scenario`, `case` and `reason` of what could not be measured here"),
    Field("comparison", "list", "with `--compare`: a verdict a line"),
    Field("targets", "list", "with `--targets`: a verdict a target"),
)


@dataclass(frozen=True, slots=True)
class Result:
    """One line; what its fields mean stands in RESULT_FIELDS."""

    scenario: str
    case: str
    unit: str
    count: int
    batch: int
    p50: float
    p90: float
    p99: float
    p99_9: float
    max: float
    reference: str
    reference_p50: float
    ratio: float
    ratio_low: float
    ratio_high: float
    leaves_out: str

    @property
    def name(self) -> tuple[str, str]:
        """What the line is known by in another run."""
        return self.scenario, self.case


@dataclass(slots=True)
class Samples:
    """What one line is made of: the work's samples, the reference's, and a ratio a round of both."""

    work: list[float] = field(default_factory=list)
    reference: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    batch: int = 1

    def result(self, scenario: str, case: str, reference: str, leaves_out: str, unit: str = "ns") -> Result:
        """The line. Samples there must be."""
        work, ratios = sorted(self.work), sorted(self.ratios)
        p50, p90, p99, p99_9, largest = (round(quantile(work, fraction), 2) for fraction in (0.5, 0.9, 0.99, 0.999, 1.0))
        low, ratio, high = (significant(quantile(ratios, fraction)) for fraction in (0.25, 0.5, 0.75))
        beside = round(quantile(sorted(self.reference), 0.5), 2)
        return Result(
            scenario,
            case,
            unit,
            len(work),
            self.batch,
            p50,
            p90,
            p99,
            p99_9,
            largest,
            reference,
            beside,
            ratio,
            low,
            high,
            leaves_out,
        )


def quantile(ordered: Sequence[float], fraction: float) -> float:
    """The nearest-rank quantile of sorted values."""
    return ordered[max(0, math.ceil(fraction * len(ordered)) - 1)]


def significant(value: float) -> float:
    """Four digits are more than any ratio is worth."""
    return float(f"{value:.4g}")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What could not be measured here, and why."""

    scenario: str
    case: str
    reason: str


@dataclass(slots=True)
class Report:
    """A whole run."""

    head: dict[str, Any]
    results: list[Result] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """One JSON object."""
        return {**self.head, "results": [asdict(one) for one in self.results], "left_out": [asdict(one) for one in self.left_out]}

    @classmethod
    def from_json(cls, found: Any) -> "Report":
        """The run that `to_json` told of. ValueError for anything else."""
        if not isinstance(found, Mapping) or found.get("schema") != SCHEMA:
            raise ValueError(f"no run of schema {SCHEMA}")
        head = {one.name: found[one.name] for one in HEAD_FIELDS if one.name in found and one.type != "list"}
        try:
            results = [Result(**{one.name: row[one.name] for one in RESULT_FIELDS}) for row in found["results"]]
            left_out = [LeftOut(row["scenario"], row["case"], row["reason"]) for row in found["left_out"]]
        except (KeyError, TypeError) as error:
            raise ValueError(f"a line without {error}") from None
        if not all(isinstance(value, int | float) for one in results for value in (one.ratio, one.ratio_low, one.ratio_high)):
            raise ValueError("a ratio that is no number")
        return cls(head, results, left_out)


def new_report(*, quick: bool) -> Report:
    """An empty one that says when, where and with what it is made."""
    return Report(
        {
            "schema": SCHEMA,
            "alphapulse": __version__,
            "core": build.core_mode(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "quick": quick,
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            "machine": f"{platform.machine()} {_processor()}".strip(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "system": f"{platform.system()} {platform.release()}",
            "load": round(os.getloadavg()[0], 2),
        }
    )


def _processor() -> str:
    """The processor's own name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def save(path: Path, found: Mapping[str, Any]) -> None:
    """Write the JSON, whole or not at all. OSError."""
    import orjson

    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def load(path: Path) -> Report:
    """A saved run. UsageError for a file that is none."""
    import orjson

    try:
        return Report.from_json(orjson.loads(path.read_bytes()))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", "make one: alphapulse bench --save FILE") from None
    except ValueError as error:
        raise UsageError(f"{path} is no saved benchmark: {error}", "make one: alphapulse bench --save FILE") from None
