"""Notices on stderr about followed sets: which are replays; collectors not there yet, killed, stopped, hanging, ended, back.

Each is given once, with the command that helps.
"""

import difflib
import shlex
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING

from alphapulse_cli import exchanges
from alphapulse_cli.apps.revive import Revival, revival
from alphapulse_cli.cli import stderr
from alphapulse_cli.errors import SegmentError, StorageError
from alphapulse_cli.readers.moments import replay_warning
from alphapulse_cli.readers.selection import find_sets
from alphapulse_cli.readers.status import StatusSource
from alphapulse_cli.shm.directory import segment_name, usual_path
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.segment import Liveness, Segment

if TYPE_CHECKING:
    from alphapulse_cli.readers.selection import Wanted
    from alphapulse_cli.shm.directory import Directory

LOOK_AGAIN_NS = 1_000_000_000


class Standing:
    """Watcher of the followed sets: it looks once a second and reports each change of a collector's state once.

    A live set costs one look at the header of its counters. With `replays` it warns of sets that a replay writes, too.
    """

    def __init__(self, directory: "Directory", wanted: "Wanted", *, replays: bool = False) -> None:
        self._directory = directory
        self._wanted = wanted
        self._replays = replays
        self._known: set[str] = set()  # sets of which it is known whether they are replays
        self._given: dict[str, str] = {}  # set name -> the notice last given; none for a live collector
        self._counters: dict[str, Segment] = {}
        self._absent: set[str] | None = None  # names that were requested and are not collected; None before the first look
        self._look_ns = 0

    def look(self, names: Collection[str], now_ns: int) -> None:
        """Report changes among the sets of these names, at most once a second. `now_ns` is CLOCK_MONOTONIC."""
        if now_ns < self._look_ns:
            return
        self._look_ns = now_ns + LOOK_AGAIN_NS
        if self._replays:
            self.warn_of_replays(names)
        for name in names:
            needed = self._revival(name, now_ns)
            if needed is None:
                if self._given.pop(name, ""):
                    stderr.note(f"the {'replay' if self._counters[name].is_replay else 'collector'} of {name} is back")
            elif needed.state != self._given.get(name):
                self._given[name] = needed.state
                stderr.warning(needed.state, f"{needed.do}: {needed.command}" if needed.command else needed.do)
        if self._absent is None or self._absent:
            self._look_for_absent()

    def warn_of_replays(self, names: Collection[str]) -> None:
        """Warn, once, of each of these sets that a replay writes: it is of the past."""
        for name in set(names) - self._known:
            self._known.add(name)
            with suppress(SegmentError, StorageError):
                ring = Segment.attach(self._directory, segment_name(SegmentKind.DELTAS, name))
                if ring.is_replay:
                    stderr.warning(replay_warning(name, ring.now_ns()))

    def _revival(self, name: str, now_ns: int) -> Revival | None:
        """Advice for a set; None for a live one."""
        held = self._counters.get(name)
        if held is None or held.liveness(now_ns) is not Liveness.LIVE:
            with suppress(SegmentError, StorageError):
                held = self._counters[name] = Segment.attach(self._directory, segment_name(SegmentKind.COUNTERS, name))
        if held is not None and held.liveness(now_ns) is Liveness.LIVE:
            return None
        (status,) = StatusSource(self._directory, [name]).sample()
        return revival(self._directory, status)

    def _look_for_absent(self) -> None:
        """Report names of --exchange that are not collected, and those that are since."""
        there = find_sets(self._directory, self._wanted)
        absent = {*self._wanted.exchanges, *self._wanted.sets} - {*there, *there.values()}
        for name in sorted(absent - (self._absent or set())):
            stderr.warning(f"{name} is not collected yet; waiting for its collector", self._start_command(name, there))
        for name in sorted((self._absent or set()) - absent):
            stderr.note(f"{name} is collected now")
        self._absent = absent

    def _start_command(self, name: str, there: Collection[str]) -> str:
        if name not in exchanges.names():
            near = difflib.get_close_matches(name, {*there, *exchanges.names()}, n=2)
            return f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(sorted(there))}"
        place = "" if self._directory.path == usual_path() else f" --shm-dir {shlex.quote(str(self._directory.path))}"
        return f"start a collector: alphapulse collect --exchange {name}{place}"
