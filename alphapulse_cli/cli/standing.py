"""Notices on stderr about followed sets: which are replays, and collectors that were killed, stopped, hang, ended or are back."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from alphapulse_cli.cli import stderr

if TYPE_CHECKING:
    from alphapulse_cli.shm.directory import Directory

LOOK_AGAIN_NS = 1_000_000_000


class Standing:
    """Watcher of the followed sets: it looks once a second and reports each replay, and each change of a collector's state, once.

    With `only_replays` it reports nothing else: for outputs that other notices would spoil.
    """

    def __init__(self, directory: "Directory", *, only_replays: bool = False) -> None:
        self._directory = directory
        self._only_replays = only_replays
        self._known: set[str] = set()  # sets of which it is known whether they are replays
        self._given: dict[str, str] = {}  # set name -> the notice last given, "" for a live collector
        self._look_ns = 0

    def look(self, names: Sequence[str], now_ns: int) -> None:
        """Report changes among these sets, at most once a second. `now_ns` is CLOCK_MONOTONIC."""
        if now_ns < self._look_ns:
            return
        self._look_ns = now_ns + LOOK_AGAIN_NS
        for name in names:
            if name not in self._known:
                self._known.add(name)
                warn_of_replay(self._directory, name)
        if self._only_replays:
            return
        from alphapulse_cli.apps.revive import revival
        from alphapulse_cli.readers.status import StatusSource

        for one in StatusSource(self._directory, names).sample():
            needed = revival(self._directory, one)
            state = needed.state if needed else ""
            if state == self._given.get(one.name, ""):
                continue
            self._given[one.name] = state
            if needed:
                stderr.warning(state, f"{needed.do}: {needed.command}" if needed.command else needed.do)
            else:
                stderr.note(f"the {'replay' if one.replay else 'collector'} of {one.name} is back")


def warn_of_replay(directory: "Directory", name: str) -> None:
    """Warn where a replay writes that set: it is of the past."""
    from contextlib import suppress

    from alphapulse_cli.errors import SegmentError, StorageError
    from alphapulse_cli.readers.moments import replay_warning
    from alphapulse_cli.shm.directory import segment_name
    from alphapulse_cli.shm.layout import SegmentKind
    from alphapulse_cli.shm.segment import Segment

    with suppress(SegmentError, StorageError):
        ring = Segment.attach(directory, segment_name(SegmentKind.DELTAS, name))
        if ring.is_replay:
            stderr.warning(replay_warning(name, ring.now_ns()))
