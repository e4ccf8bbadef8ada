"""Table of the speed targets: the line of a run that each of them reads, and its bound.

A target on a ratio holds on any machine, one on nanoseconds on a machine of your own, one on bytes with the same libraries. Targets
that this benchmark does not measure are listed with the reason, and are neither met nor missed.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from alphapulse_cli.apps.bench.report import LeftOut, Result


class Outcome(StrEnum):
    """Outcome of a target."""

    MET = "met"
    MISSED = "missed"
    NOT_MEASURED = "not measured here"


@dataclass(frozen=True, slots=True)
class Target:
    """Target: `key` of the line (scenario, case) must be `at_most`.

    Without a scenario it is not measured, for the given `reason`.
    """

    what: str
    scenario: str = ""
    case: str = ""
    key: str = "ratio"
    at_most: float = 0.0
    reason: str = ""


PIPELINE = "recorded JSON message to published group"
COLLECT = "collect, socket included: at most the transport's own CPU + 2.2 x orjson.loads"
SERVE = "WebSocket broadcast to 100 clients, "
TARGETS = (
    Target(f"{PIPELINE}: at most 2.0 x orjson.loads", "pipeline", "recorded Coinbase", "ratio", 2.0),
    Target(f"{PIPELINE}: 5 and 12 x faster than cryptofeed", reason="cryptofeed is not part of this environment"),
    Target("publish one record: at most 2 x a bare compiled method call", "ring", "publish one record", "ratio", 2.0),
    Target("publish in groups of 16: at most 15 ns a record", "ring", "publish a group of 16, a record", "p50", 15.0),
    Target("one way to a spinning reader: p50 at most 1 us", "latency", "poll, paced", "p50", 1_000.0),
    Target("one way to a spinning reader: p99 at most 10 us", "latency", "poll, paced", "p99", 10_000.0),
    Target("sustained in groups: 5,000,000 records/s", "latency", "sustained in groups of 16, a record", "p50", 200.0),
    Target("sustained singly: 2,000,000 records/s", "latency", "sustained singly, a record", "p50", 500.0),
    Target("10 changes near the top, applied and published: at most 1 us", "book", "10 changes near the top", "p50", 1_000.0),
    Target("difference of two 45,827-level books: at most 100 us", "book", "difference of two books", "p50", 100_000.0),
    Target("attach and hold an exact 45,827-level book: at most 1 ms", "attach", "hold the exact book", "p50", 1_000_000.0),
    Target(f"{COLLECT} (websockets)", "collect", "websockets, CPU a message beyond the transport's", "ratio", 2.2),
    Target(f"{COLLECT} (picows)", "collect", "picows, CPU a message beyond the transport's", "ratio", 2.2),
    Target("collect --capture at 5,000 messages/s: at most 1.15 x collect's CPU", "capture", "CPU a message", "ratio", 1.15),
    Target(
        "collect at 5,000 messages/s: at most 1.05 x its CPU with --last-frames off",
        "capture",
        "last frames, CPU a message",
        "ratio",
        1.05,
    ),
    Target("a capture's frames: at most 1/0.95 of one zstd frame of all", "capture", "size of the frames", "ratio", 1 / 0.95),
    Target("replay --speed max, Kraken: at most 1.3 x the pipeline's time a frame", "replay", "kraken", "ratio", 1.3),
    Target("replay --speed max, Binance.US: at most 1.3 x the pipeline's time a frame", "replay", "binance-us", "ratio", 1.3),
    Target("verify, Kraken: at most 1.2 x replay --speed max of the same capture", "verify", "kraken", "ratio", 1.2),
    Target("verify, Binance.US: at most 1.2 x replay --speed max of the same capture", "verify", "binance-us", "ratio", 1.2),
    Target(
        "a 45,800-level book of any instant: at most 3 x reading what it is made of",
        "travel",
        "coinbase, 45,800 levels",
        "ratio",
        3.0,
    ),
    Target("a Kraken book of any instant: at most 3 x reading what it is made of", "travel", "kraken", "ratio", 3.0),
    Target(
        "collect: 100,000 messages/s over two collectors, picows",
        "collect",
        "picows, two collectors, time a message",
        "p50",
        10_000.0,
    ),
    Target(
        "a collector of three 45,000-level books: below 120 MB resident, at its highest",
        "memory",
        "the same, at its highest",
        "p50",
        120e6,
    ),
    Target(
        "flat over an hour's messages: its own memory grows by at most 2 %",
        "memory",
        "its own memory after an hour's messages",
        "ratio",
        1.02,
    ),
    Target("a book's change to its opportunity: p99 below 50 us", "arb", "change to event", "p99", 50_000.0),
    Target("a message to its printed opportunity, --wait spin: p99 below 1 ms", "arb", "ring to printed event, spin", "p99", 1e6),
    Target(
        f"{SERVE}300/s: at most 1.35 x raw writes' CPU", "serve", "300/s to 100 clients, CPU a delivered message", "ratio", 1.35
    ),
    Target(
        f"{SERVE}2,000/s: at most 1.1 x a raw joined loop's CPU",
        "serve",
        "2000/s to 100 clients, CPU a delivered message",
        "ratio",
        1.1,
    ),
    Target(f"{SERVE}200,000 deliveries/s", "serve", "2000/s to 100 clients, time a delivered message", "p50", 5_100.0),
    Target(f"{SERVE}ring to client: p99 at most 2 x a raw loop's", "serve", "ring to client, 100 clients", "ratio", 2.0),
    Target(f"{SERVE}ring to client: p99 below 1 ms", "serve", "ring to client, 100 clients", "p99", 1e6),
    Target("REST delta statistics: p99 at most 2 x a bare handler's", "serve", "REST delta-stats", "ratio", 2.0),
    Target("REST delta statistics: p99 below 1 ms", "serve", "REST delta-stats", "p99", 1e6),
    Target(
        "a scrape of 3 exchanges x 50 symbols: at most 10 ms of CPU",
        "serve",
        "scrape of 3 exchanges x 50 symbols, CPU",
        "p50",
        10e6,
    ),
    Target("alphapulse --help: at most 1.2 x a two-command typer app", "startup", "--help", "ratio", 1.2),
    Target("live screen, overview: less than 15 % of a core", "tui", "overview, CPU a second", "p50", 150e6),
    Target("live screen, books: less than 15 % of a core", "tui", "books, CPU a second", "p50", 150e6),
    Target("live screen, overview: less than 120 MB resident", "tui", "overview, resident", "max", 120e6),
    Target("live screen, books: less than 120 MB resident", "tui", "books, resident", "max", 120e6),
    Target("live screen, key to screen: p99 below 50 ms", "tui", "key to screen", "p99", 50e6),
    Target(
        "deltas against full books: below 1 % of the bytes (Coinbase, BTC-USD)", "pipeline", "coinbase: bandwidth", "ratio", 0.01
    ),
)


@dataclass(frozen=True, slots=True)
class TargetVerdict:
    """A target and its measured value, in `unit` ("" for a ratio); None and the reason if it was not measured."""

    what: str
    scenario: str
    case: str
    key: str
    unit: str
    at_most: float
    value: float | None
    outcome: Outcome
    reason: str


def judge(results: Sequence[Result], left_out: Sequence[LeftOut], targets: Sequence[Target] = TARGETS) -> list[TargetVerdict]:
    """Judge every target, in order."""
    measured = {one.name: one for one in results}
    reasons = {(one.scenario, one.case): one.reason for one in left_out}
    return [_judged(target, measured.get((target.scenario, target.case)), reasons) for target in targets]


def _judged(target: Target, found: Result | None, reasons: dict[tuple[str, str], str]) -> TargetVerdict:
    value = None if found is None else float(getattr(found, target.key))
    if value is None:
        outcome = Outcome.NOT_MEASURED
        reason = target.reason or reasons.get((target.scenario, target.case), f"`bench {target.scenario}` did not run")
    else:
        outcome, reason = Outcome.MET if value <= target.at_most else Outcome.MISSED, ""
    unit = "" if found is None or target.key == "ratio" else found.unit
    return TargetVerdict(target.what, target.scenario, target.case, target.key, unit, target.at_most, value, outcome, reason)


def missed(found: Sequence[TargetVerdict]) -> list[TargetVerdict]:
    """Targets that fail the run."""
    return [one for one in found if one.outcome is Outcome.MISSED]


def rows(found: Sequence[TargetVerdict]) -> list[dict[str, Any]]:
    """Rows by the keys of their JSON objects."""
    return [asdict(one) for one in found]
