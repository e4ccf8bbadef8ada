"""Notices on stderr about the collectors of followed sets: killed, stopped, hanging, ended (each with a command), or back."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from alphapulse_cli.cli import stderr

if TYPE_CHECKING:
    from alphapulse_cli.shm.directory import Directory

LOOK_AGAIN_NS = 1_000_000_000


class Standing:
    """Watcher of the followed sets: it looks once a second and reports each change of a collector's state once."""

    def __init__(self, directory: "Directory") -> None:
        self._directory = directory
        self._given: dict[str, str] = {}  # set name -> the notice last given, "" for a live collector
        self._look_ns = 0

    def look(self, names: Sequence[str], now_ns: int) -> None:
        """Report changes among these sets, at most once a second. `now_ns` is CLOCK_MONOTONIC."""
        if now_ns < self._look_ns:
            return
        from alphapulse_cli.apps.revive import revival
        from alphapulse_cli.readers.status import StatusSource

        self._look_ns = now_ns + LOOK_AGAIN_NS
        for one in StatusSource(self._directory, names).sample():
            needed = revival(self._directory, one)
            state = needed.state if needed else ""
            if state == self._given.get(one.name, ""):
                continue
            self._given[one.name] = state
            if needed:
                stderr.warning(state, f"{needed.do}: {needed.command}" if needed.command else needed.do)
            else:
                stderr.note(f"the collector of {one.name} is back")
