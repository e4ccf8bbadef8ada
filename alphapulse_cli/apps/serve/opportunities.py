"""Opportunities for the channel `arbitrage`: what running `arb watch`es keep in the store, looked at twice a second in a thread.

    arb watch ─► store (SQLite) ─► look ─► messages: born, changed, died        watches/ ─► whether any watch runs

Where nobody watches that is said, and nothing is made up.
"""

from collections.abc import Iterator
from pathlib import Path

from alphapulse_cli.apps.arb.history import rows_of
from alphapulse_cli.apps.serve.messages import Message
from alphapulse_cli.edges import background
from alphapulse_cli.edges.opportunities.record import Seen
from alphapulse_cli.edges.opportunities.store import OpportunityStore
from alphapulse_cli.edges.opportunities.watch_counters import read_tallies
from alphapulse_cli.errors import AlphapulseError
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import Directory

EVERY_S = 0.5
SPAN_NS = 3_600_000_000_000  # opportunities born earlier are no news
MOST = 500


class Opportunities:
    """Watcher of the store for one directory of segments; `every_s` between looks."""

    every_s = EVERY_S

    def __init__(self, directory: Directory, store: Path | None) -> None:
        self._directory, self._store = directory, store
        self._is_watching: bool | None = None  # as told last
        self._known: dict[str, Seen] = {}
        self._is_first = True

    def present(self) -> list[Message]:
        """Messages for a client that has just asked: whether anybody watches, and the opportunities that are open."""
        watching = bool(read_tallies(self._directory))
        return [_watching(watching), *(_message(one) for one in self._known.values() if one.closed_ns is None and watching)]

    async def look(self) -> list[Message]:
        """Messages about what changed since the last look."""
        watching, rows = await background.call(self._read)
        return list(self._news(watching, rows))

    def _read(self) -> tuple[bool, list[Seen] | None]:
        """Whether any watch runs, and what the store has; None where it cannot be read."""
        watching = bool(read_tallies(self._directory))
        if self._store is None or not self._store.exists():
            return watching, []
        try:
            with OpportunityStore(self._store, create=False) as store:
                since_ns = clock.realtime_ns() - SPAN_NS
                return watching, store.rows(str(self._directory.path.resolve()), since_ns, MOST, is_explained=False)
        except AlphapulseError:  # it is being replaced, or is damaged: the next look finds out
            return watching, None

    def _news(self, watching: bool, rows: list[Seen] | None) -> Iterator[Message]:
        if watching is not self._is_watching:
            self._is_watching = watching
            yield _watching(watching)
        if rows is None:
            return
        for one in reversed(rows):
            before = self._known.get(one.id)
            is_news = before != one if not self._is_first else one.closed_ns is None and watching
            if is_news:
                yield _message(one)
        self._known = {one.id: one for one in rows}
        self._is_first = False


def _watching(watching: bool) -> Message:
    return {"type": "watching", "watching": watching}


def _message(one: Seen) -> Message:
    (row,) = rows_of([one])
    del row["place"]  # a path of this machine
    return {"type": "arbitrage", "opportunity": row}
