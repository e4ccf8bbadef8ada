"""Checks of the machine, the installation and the collectors: a finding each, with a remedy where something is wrong.

A check is one function. A check that raises an error becomes a finding, too. Checks change nothing.
"""

import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, unique

from alphapulse_cli import build
from alphapulse_cli.apps.revive import revival
from alphapulse_cli.edges.config import layers
from alphapulse_cli.errors import AlphapulseError, NoSegment
from alphapulse_cli.market.choice import is_pattern, split_choice, top_count
from alphapulse_cli.readers.moments import REPLAY, replay_words
from alphapulse_cli.readers.status import SetStatus, StatusSource, capture_state, capture_words
from alphapulse_cli.shm import clock, cursor, layout, listing, memory
from alphapulse_cli.shm.counters import CaptureState
from alphapulse_cli.shm.directory import Directory, directory_path, open_directory
from alphapulse_cli.shm.image import FIRST_CAPACITY
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.segment import Liveness
from alphapulse_cli.wire.delta import DELTA_BYTES
from alphapulse_cli.wire.trade import TRADE_BYTES

OTHER_BYTES = 1 << 20  # counters, and books that outgrow their first file
DEFAULT_CONTAINER_SHM_BYTES = 64 << 20
ENOUGH_FILES = 1024
CLOCK_READS, LOOKS_AT_A_CLOCK = 50, 1000
COARSE_CLOCK_NS = 1_000_000
OLDEST_PYTHON = (3, 11)
EXTRAS = {"fast": ("picows", "a WebSocket library that takes less CPU"), "pandas": ("pandas", "to_pandas() of the Python readers")}


@unique
class CheckVerdict(Enum):
    """Verdict of a check."""

    OK = "ok"
    WARN = "warn"  # works, but not as well as it could, or something dead was left behind
    FAIL = "fail"  # something will not work


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of a check; `fix` is a command or an action, "" if none is needed."""

    check: str
    verdict: CheckVerdict
    found: str
    fix: str = ""


Check = Callable[[str | None], Iterator[Finding]]


def examine(shm_dir: str | None) -> Iterator[Finding]:
    """Run all checks and iterate over their findings, in the order in which a newcomer should read them."""
    for check in (python, core, clocks, files, directory, room, waiting, transports, sets, readers, settings, extras):
        try:
            yield from check(shm_dir)
        except (AlphapulseError, OSError, RuntimeError) as error:
            yield Finding(check.__name__, CheckVerdict.FAIL, str(error), getattr(error, "hint", ""))


def python(_: str | None) -> Iterator[Finding]:
    """Check the interpreter and the system."""
    found = f"{platform.python_implementation()} {platform.python_version()} on {platform.machine()}, {platform.system()} {platform.release()}"
    verdict = CheckVerdict.OK if sys.version_info >= OLDEST_PYTHON else CheckVerdict.FAIL
    yield Finding("python", verdict, found, "" if verdict is CheckVerdict.OK else "install Python 3.11 or newer")
    if sys.platform != "linux":
        yield Finding(
            "system",
            CheckVerdict.WARN,
            "not Linux: files are touched instead of fallocated, waiting polls instead of sleeping in futex",
        )


def core(_: str | None) -> Iterator[Finding]:
    """Check whether the core is compiled, and whether memory order between processes holds."""
    mode = build.core_mode()
    if mode == "compiled":
        yield Finding("core", CheckVerdict.OK, "compiled from the installed sources")
    else:
        fix = "install a C compiler, then: ALPHAPULSE_BUILD=require pip install --force-reinstall --no-deps alphapulse"
        yield Finding("core", CheckVerdict.WARN, "interpreted: exact, but several times slower", fix)
    if mode == "compiled" or memory.fences_are_sound():
        why = "C11 atomics" if mode == "compiled" else f"{platform.machine()} keeps stores and loads in order"
        yield Finding("memory order", CheckVerdict.OK, why)
    else:
        yield Finding(
            "memory order",
            CheckVerdict.FAIL,
            f"interpreted on {platform.machine()}: there are no fences",
            "install a C compiler and reinstall",
        )


def clocks(_: str | None) -> Iterator[Finding]:
    """Check that the monotonic clock moves in fine steps, and that the date is plausible."""
    finest = min((step for step in map(_clock_step, range(CLOCK_READS)) if step), default=0)
    if not finest:
        yield Finding("clock", CheckVerdict.FAIL, "the monotonic clock stands still", "heartbeats cannot be judged here")
    elif finest >= COARSE_CLOCK_NS:
        yield Finding("clock", CheckVerdict.WARN, f"monotonic steps of {finest} ns", "latencies will be coarse here")
    else:
        yield Finding("clock", CheckVerdict.OK, f"monotonic steps of {finest} ns")
    year = datetime.fromtimestamp(clock.realtime_ns() / 1e9, UTC).year
    if not 2024 <= year <= 2100:
        yield Finding(
            "date",
            CheckVerdict.FAIL,
            f"the clock says the year {year}",
            "set the clock: feed delays and receive times depend on it",
        )


def _clock_step(_: int) -> int:
    """Step of the monotonic clock in ns; 0 if it does not move within LOOKS_AT_A_CLOCK readings."""
    first = clock.monotonic_ns()
    for _look in range(LOOKS_AT_A_CLOCK):
        second = clock.monotonic_ns()
        if second != first:
            return second - first
    return 0


def files(_: str | None) -> Iterator[Finding]:
    """Check that enough files may be open for many segments."""
    import resource

    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = soft == resource.RLIM_INFINITY or soft >= ENOUGH_FILES
    text = "unlimited" if soft == resource.RLIM_INFINITY else str(soft)
    yield Finding(
        "open files", CheckVerdict.OK if enough else CheckVerdict.WARN, f"at most {text}", "" if enough else "ulimit -n 65536"
    )


def directory(shm_dir: str | None) -> Iterator[Finding]:
    """Check that the segments' directory exists or can be made, belongs to this user, is private, and is in memory."""
    path = directory_path(shm_dir)
    try:
        with open_directory(shm_dir):
            yield Finding("segments", CheckVerdict.OK, f"{path}, yours and closed to others")
    except NoSegment:
        if path.parent.is_dir() and os.access(path.parent, os.W_OK):
            yield Finding("segments", CheckVerdict.OK, f"{path} does not exist yet: the first collector makes it")
        else:
            yield Finding(
                "segments",
                CheckVerdict.FAIL,
                f"{path} cannot be made: {path.parent} does not exist or is not writable",
                "--shm-dir DIR",
            )
    if sys.platform == "linux" and not str(path.resolve()).startswith("/dev/shm/"):  # noqa: S108
        yield Finding("segments on", CheckVerdict.WARN, f"{path} may not be in memory", "use /dev/shm, or a tmpfs: --shm-dir DIR")


def room(shm_dir: str | None) -> Iterator[Finding]:
    """Check that there is room for the segments of another set."""
    path = directory_path(shm_dir)
    there = path if path.exists() else path.parent
    found = os.statvfs(there)
    free, total = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    text = f"{free >> 20} of {total >> 20} MiB free at {there}"
    needed, of_what = _room_needed()
    if free < needed:
        yield Finding(
            "room",
            CheckVerdict.FAIL,
            text,
            f"{of_what} takes about {needed >> 20} MiB: alphapulse segments --sweep, a larger /dev/shm, or smaller rings (ring_records)",
        )
    elif total <= DEFAULT_CONTAINER_SHM_BYTES:
        yield Finding(
            "room",
            CheckVerdict.WARN,
            f"{text}: a container's default",
            "enough for a few exchanges; more: docker run --shm-size=1g",
        )
    else:
        yield Finding("room", CheckVerdict.OK, text)


def _room_needed() -> tuple[int, str]:
    """Bytes that a set of the configured symbols takes, rounded up to MiB, and words for that set."""
    loaded = layers.load()
    choices = [split_choice(text)[1] for text in loaded.get("symbols")]
    symbols = sum(top_count(one) or 1 for one in choices)  # a pattern counts as one
    records = loaded.get("ring_records") or layout.ring_records(symbols)
    books = symbols * layout.file_bytes(SegmentKind.BOOK, layout.LEVEL_BYTES, FIRST_CAPACITY)
    needed = records * (DELTA_BYTES + TRADE_BYTES) + books + OTHER_BYTES
    return needed, f"a set of {'at least ' if any(map(is_pattern, choices)) else ''}{symbols} symbols"


def waiting(_: str | None) -> Iterator[Finding]:
    """Check whether a sleeping reader can be woken."""
    from alphapulse_cli.shm.wake import has_futex

    if has_futex():
        yield Finding("waiting", CheckVerdict.OK, "futex: a sleeping reader is woken by the next record")
    else:
        yield Finding(
            "waiting",
            CheckVerdict.WARN,
            "no futex here: sleeping readers look every millisecond",
            "use --wait spin where latency counts",
        )


def transports(_: str | None) -> Iterator[Finding]:
    """Report the WebSocket library that `collect` takes by default, and check its version."""
    from alphapulse_cli.edges.exchange import transport

    chosen, version = transport.choose(transport.AUTO), transport.picows_version()
    if version is not None and chosen != transport.PICOWS:
        yield Finding(
            "transport", CheckVerdict.WARN, f"{chosen}: picows {version} is too old", "pip install --upgrade 'alphapulse[fast]'"
        )
    else:
        yield Finding("transport", CheckVerdict.OK, f"{chosen} {version}" if chosen == transport.PICOWS else chosen)


def sets(shm_dir: str | None) -> Iterator[Finding]:
    """Check the sets: live, left over, or damaged."""
    with suppress(NoSegment), open_directory(shm_dir) as opened:
        now = clock.monotonic_ns()
        states: dict[str, set[Liveness]] = {}
        for found in listing.list_segments(opened):
            if found.segment is None:
                yield Finding(
                    "segment",
                    CheckVerdict.FAIL,
                    str(found.problem),
                    getattr(found.problem, "hint", "") or f"rm {opened.path / found.name}",
                )
            else:
                states.setdefault(found.segment.spec.set_name, set()).add(found.segment.liveness(now))
        statuses = {one.name: one for one in StatusSource(opened).sample()}
        for name, seen in sorted(states.items()):
            yield _set_finding(opened, statuses.get(name, SetStatus(name, name, None)), seen)


def _set_finding(opened: Directory, status: SetStatus, seen: set[Liveness]) -> Finding:
    name = status.name
    if status.liveness is Liveness.LIVE and capture_state(status.totals) > CaptureState.WRITING:
        text = f"live, but {capture_words(status.totals)}"
        return Finding(f"set {name}", CheckVerdict.WARN, text, "make room there, or --keep 50GiB; it goes on by itself")
    if status.replay and status.liveness is Liveness.LIVE:
        return Finding(f"set {name}", CheckVerdict.OK, f"{replay_words(status.recording_ns)}: played from a recording, not live")
    if status.liveness is Liveness.LIVE and seen <= {Liveness.LIVE, Liveness.RETIRED}:  # RETIRED: books that it has given up
        opened_count, count = status.totals["connections_open"], status.totals["connections"]
        if opened_count < count:
            text = f"live, with {opened_count} of {count} connections open"
            return Finding(
                f"set {name}", CheckVerdict.WARN, text, "it opens them again by itself; its messages say why it could not"
            )
        return Finding(f"set {name}", CheckVerdict.OK, f"live, {count} connections" if count > 1 else "live")
    needed = revival(opened, status)
    if Liveness.SILENT in seen and needed is not None:
        text = f"silent, no heartbeat for more than {layout.HEARTBEAT_LIMIT_NS / 1e9:.0f} s: {needed.state}"
        return Finding(f"set {name}", CheckVerdict.WARN, text, f"{needed.do}: {needed.command}" if needed.command else needed.do)
    words = ", ".join(sorted(one.value for one in seen))
    return Finding(
        f"set {name}",
        CheckVerdict.OK,
        f"{words}, {REPLAY}: readable until a replay starts again"
        if status.replay
        else f"{words}: readable until its collector starts again",
        "alphapulse segments --sweep removes it",
    )


def readers(shm_dir: str | None) -> Iterator[Finding]:
    """Check for readers that died and left their cursors."""
    with suppress(NoSegment), open_directory(shm_dir) as opened:
        seen = cursor.list_cursors(opened)
        dead = sum(not one.alive for one in seen)
        if dead:
            yield Finding("readers", CheckVerdict.WARN, f"{dead} dead of {len(seen)}", "alphapulse segments --sweep")
        elif seen:
            yield Finding("readers", CheckVerdict.OK, f"{len(seen)} reading")


def settings(_: str | None) -> Iterator[Finding]:
    """Check the configuration files."""
    loaded = layers.load()
    origins = sorted({value.origin for value in loaded if value.origin not in ("default", "flag")})
    yield Finding("configuration", CheckVerdict.OK, ", ".join(origins) if origins else "defaults only")


def extras(_: str | None) -> Iterator[Finding]:
    """Report the optional packages."""
    from importlib.util import find_spec

    for name, (module, purpose) in EXTRAS.items():
        if find_spec(module) is None:
            yield Finding(
                f"extra {name}", CheckVerdict.OK, f"not installed; it provides {purpose}", f"pip install 'alphapulse[{name}]'"
            )
        else:
            yield Finding(f"extra {name}", CheckVerdict.OK, "installed")
