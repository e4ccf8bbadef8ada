"""Report of a benchmark: one `Result` a line, one `Report` a run, and their JSON, documented in RESULT_FIELDS and HEAD_FIELDS.

    samples of the work and of its reference, taken by turns ─► Result (quantiles, ratio and its spread) ─► Report ─► JSON, table

A sample is the time of `batch` calls made together, divided by `batch`. The reference is measured in the same run, between the
samples of the work, so that other load on the machine affects both: *ratios* may be compared between runs, times only on a machine
of your own. Smaller is better in every line.
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
    """One key of the JSON, for the reference page and for readers of a saved run."""

    name: str
    type: str
    meaning: str


RESULT_FIELDS = (
    Field("scenario", "text", "file of `apps/bench/scenarios` that measured the line"),
    Field("case", "text", "name of the line within its scenario; both name it in `--compare`"),
    Field("unit", "text", "unit of the quantiles: ns, or bytes"),
    Field("count", "integer", "number of samples"),
    Field("batch", "integer", "number of calls that were timed together for one sample"),
    Field("p50", "number", "the median sample; smaller is better"),
    Field("p90", "number", "nine of ten samples are no larger"),
    Field("p99", "number", "99 of 100 are no larger"),
    Field("p99_9", "number", "999 of 1,000 are no larger"),
    Field("max", "number", "the largest sample"),
    Field("reference", "text", "name of the reference, measured between the samples in the same run"),
    Field("reference_p50", "number", "median of the reference, in the same unit"),
    Field("ratio", "number", "work over reference: the median of the rounds"),
    Field("ratio_low", "number", "a quarter of the rounds had a smaller ratio"),
    Field("ratio_high", "number", "a quarter of the rounds had a larger one"),
    Field("leaves_out", "text", "work that the number does not include"),
)
HEAD_FIELDS = (
    Field("schema", "integer", f"{SCHEMA}; grows when a key changes its meaning"),
    Field("alphapulse", "text", "version of alphapulse"),
    Field("core", "text", "compiled or interpreted"),
    Field("date", "text", "start of the run, UTC"),
    Field("quick", "boolean", "whether it was a `--quick` run: fewer samples of the same cases"),
    Field("python", "text", "implementation and version"),
    Field("machine", "text", "architecture and processor"),
    Field("cores", "integer", "number of cores that the process may use"),
    Field("system", "text", "operating system and release"),
    Field("load", "number", "load average of the machine over the minute before the run: other load lengthens every tail"),
    Field("results", "list", "one object a line, below"),
    Field("left_out", "list", "`scenario`, `case` and `reason` of lines that could not be measured here"),
    Field("comparison", "list", "with `--compare`: a verdict a line"),
    Field("targets", "list", "with `--targets`: a verdict a target"),
)


@dataclass(frozen=True, slots=True)
class Result:
    """One line; RESULT_FIELDS documents its fields."""

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
        """Name of the line, the same in every run: scenario and case."""
        return self.scenario, self.case


@dataclass(slots=True)
class Samples:
    """Samples of one line: of the work, of its reference, and the ratio of each round."""

    work: list[float] = field(default_factory=list)
    reference: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    batch: int = 1

    def result(self, scenario: str, case: str, reference: str, leaves_out: str, unit: str = "ns") -> Result:
        """Line made from these samples, of which there must be some."""
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
    """Nearest-rank quantile of sorted values, `fraction` from 0 to 1."""
    return ordered[max(0, math.ceil(fraction * len(ordered)) - 1)]


def significant(value: float) -> float:
    """Ratio rounded to four significant digits."""
    return float(f"{value:.4g}")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A line that could not be measured here, with the reason."""

    scenario: str
    case: str
    reason: str


@dataclass(slots=True)
class Report:
    """Report of a whole run."""

    head: dict[str, Any]
    results: list[Result] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """JSON object of the run."""
        return {**self.head, "results": [asdict(one) for one in self.results], "left_out": [asdict(one) for one in self.left_out]}

    @classmethod
    def from_json(cls, found: Any) -> "Report":
        """Parse an object of `to_json` to a run. ValueError for another object."""
        if not isinstance(found, Mapping) or found.get("schema") != SCHEMA:
            raise ValueError(f"no run of schema {SCHEMA}")
        head = {one.name: found[one.name] for one in HEAD_FIELDS if one.name in found and one.type != "list"}
        try:
            results = [Result(**{one.name: row[one.name] for one in RESULT_FIELDS}) for row in found["results"]]
            left_out = [LeftOut(row["scenario"], row["case"], row["reason"]) for row in found["left_out"]]
        except (KeyError, TypeError) as error:
            raise ValueError(f"a line without {error}") from None
        if not all(isinstance(value, int | float) for one in results for value in (one.ratio, one.ratio_low, one.ratio_high)):
            raise ValueError("a ratio that is not a number")
        return cls(head, results, left_out)


def new_report(*, quick: bool) -> Report:
    """Make an empty report with its head: the time, the versions and the machine."""
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
    """Model name of the processor, "" if the system does not report it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def save(path: Path, found: Mapping[str, Any]) -> None:
    """Write the JSON file atomically. OSError."""
    import orjson

    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def load(path: Path) -> Report:
    """Load a saved run. UsageError for a file that is not one."""
    import orjson

    try:
        return Report.from_json(orjson.loads(path.read_bytes()))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", "make one: alphapulse bench --save FILE") from None
    except ValueError as error:
        raise UsageError(f"{path} is not a saved benchmark: {error}", "make one: alphapulse bench --save FILE") from None
