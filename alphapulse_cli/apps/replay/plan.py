"""Plan of a replay: which captures, from when to when, how fast, and into which directory; checked before a file is written."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alphapulse_cli.apps.replay.timeline import Recording, symbols_in
from alphapulse_cli.errors import UsageError
from alphapulse_cli.market.instrument import near_symbols
from alphapulse_cli.readers import moments
from alphapulse_cli.shm import directory

MAX = 0.0  # speed: as fast as it goes
SPEED = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)x?", re.ASCII)
SLOWEST, FASTEST = 0.001, 100_000.0
SUFFIX = "-replay"  # of the usual directory


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """Plan of a replay. `speed` is a factor of the recording's own, or MAX; times are in ns since 1970."""

    places: Sequence[Path]  # files, and folders of files
    speed: float = 1.0
    from_ns: int | None = None
    to_ns: int | None = None
    symbols: Sequence[str] = ()  # empty: all
    shm_dir: str | None = None
    ring_capacity: int = 0
    paused: bool = False

    def symbols_of(self, exchange: str) -> list[str]:
        """Symbols of that exchange to play; empty for all, also where the plan has none of it: `played` leaves its sets out."""
        if not self.symbols:
            return []
        parts = [text.rpartition(":") for text in self.symbols]
        return [symbol for name, _, symbol in parts if name in ("", exchange)]


def parse_speed(text: str) -> float:
    """Factor of "1x", "10x", "0.5" or "max". UsageError for other texts."""
    if text == "max":
        return MAX
    found = SPEED.fullmatch(text.strip().lower())
    factor = float(found[1]) if found else 0.0
    if not SLOWEST <= factor <= FASTEST:
        raise UsageError(f"not a speed: {text[:40]!r}", "write 1x, 10x, 0.5x or max")
    return factor


def speed_text(speed: float) -> str:
    """Text of a speed, as it is typed."""
    return "max" if speed == MAX else f"{speed:g}x"


def replay_directory(chosen: str | None, usual: str | None) -> Path:
    """Directory of a replay's segments: the one chosen, else the usual one with the suffix `-replay`.

    UsageError for the usual one itself: readers there would take the past for the present.
    """
    live = directory.directory_path(usual or None)
    path = directory.directory_path(chosen) if chosen else live.with_name(live.name + SUFFIX)
    for taken in (live, directory.usual_path()):
        if path == taken or (path.exists() and taken.exists() and path.samefile(taken)):
            raise UsageError(
                f"a replay does not write to the directory of live books: {path}", f"leave --shm-dir out, for {live.name}{SUFFIX}"
            )
    return path


def played(plan: ReplayPlan, found: Sequence[Recording]) -> list[Recording]:
    """Recordings with any of the symbols of the plan, which `check_span` has found in them."""
    if not plan.symbols:
        return list(found)
    return [one for one in found if not _wanted(plan, one).isdisjoint(symbols_in([one], _wanted(plan, one)))]


def _wanted(plan: ReplayPlan, recording: Recording) -> set[str]:
    return set(plan.symbols_of(recording.exchange))


def check_span(plan: ReplayPlan, found: Sequence[Recording]) -> None:
    """Check that the times of the plan lie in the recordings, and that they have its symbols. UsageError."""
    first, last = min(one.first_ns for one in found), max(one.last_ns for one in found)
    span = f"it is from {moments.moment(first)} to {moments.moment(last)}"
    for name, given in (("--from", plan.from_ns), ("--to", plan.to_ns)):
        if given is not None and not first <= given <= last + 1_000_000_000:
            raise UsageError(f"{name} {moments.moment(given)} is not in the recording", span)
    if plan.from_ns is not None and plan.to_ns is not None and plan.from_ns >= plan.to_ns:
        raise UsageError("--from is not before --to", span)
    for symbol in plan.symbols:
        exchange, _, name = symbol.rpartition(":")
        known = symbols_in([one for one in found if exchange in ("", one.exchange)], [name])
        if not known:
            raise UsageError(
                f"{exchange} is not in the recording", f"it is of {', '.join(sorted({one.exchange for one in found}))}"
            )
        if name not in known:
            near = near_symbols(symbol, known)
            raise UsageError(
                f"{symbol} is not in the recording", f"did you mean {', '.join(near)}?" if near else ", ".join(known)[:200]
            )
