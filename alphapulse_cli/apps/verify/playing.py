"""Playing of one recording for its evidence: through the code that collects, into segments that nobody else sees.

Recording ─► Playback ─► EvidencePlayer of each run ─► Listener: its witnesses, and the beginning and end of each run
"""

import contextlib
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from alphapulse_cli.apps.replay.playback import Playback
from alphapulse_cli.apps.replay.player import MakeOutlet, Player
from alphapulse_cli.apps.replay.timeline import Damaged, Recording
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.rows import MOST_TIME_NS, Row
from alphapulse_cli.flow.ingest import Ingest, Notice
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.flow.witness import Witness
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import Directory, open_directory, usual_path

AT_ONCE_NS = 1_000_000_000  # of the recording, between two looks of the caller


class Listener(Protocol):
    """Listener to the runs of a recording."""

    def begins(self, player: "EvidencePlayer") -> None:
        """A run begins; none of its rows has been played."""

    def witness(self, connection: int) -> Witness:
        """Witness of a connection that is about to be made."""

    def row(self, row: Row) -> None:
        """A row that is no frame was played."""

    def ends(self, player: "EvidencePlayer") -> None:
        """A run ends; its books are as its last row left them."""


class EvidencePlayer(Player):
    """Player that tells a Listener of its run."""

    def __init__(self, head: Head, make_outlet: MakeOutlet, notice: Notice, only: Collection[str], listener: Listener) -> None:
        super().__init__(head, make_outlet, notice, only)
        self._listener, self._is_over = listener, False
        self.witness = listener.witness
        listener.begins(self)

    @property
    def row_ns(self) -> int:
        """Time of the last row that was played."""
        return self._row_ns

    @property
    def ingests(self) -> Mapping[int, Ingest]:
        """Ingests of all connections there have been, by number."""
        return self._ingests

    def play(self, row: Row) -> None:
        """Play one row, and tell of it."""
        super().play(row)
        self._listener.row(row)

    def finish(self) -> None:
        """End the run, and tell of it before the books are marked as retired."""
        if not self._is_over:
            self._is_over = True
            self._listener.ends(self)
        super().finish()


class Evidence:
    """One recording, played for a Listener, in steps; used in a `with`. `only` are the symbols wanted, empty for all."""

    def __init__(
        self,
        recording: Recording,
        listener: Listener,
        damaged: Damaged,
        only: Sequence[str] = (),
        span_ns: tuple[int | None, int | None] = (None, None),
    ) -> None:
        self._recording, self._listener, self._damaged = recording, listener, damaged
        self._only, self._span_ns = only, span_ns
        self._opened = contextlib.ExitStack()
        self._directory: Directory | None = None
        self._playback: Playback | None = None

    def __enter__(self) -> Self:
        parent = usual_path().parent
        path = self._opened.enter_context(tempfile.TemporaryDirectory(prefix="alphapulse-past-", dir=parent))
        self._directory = self._opened.enter_context(open_directory(Path(path) / "segments", create=True))
        self._playback = Playback([self._recording], self._span_ns, self._damaged, self._player)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._playback is not None:
            self._playback.close()
        self._opened.close()

    def play(self, until_ns: int = MOST_TIME_NS) -> bool:
        """Play some of the rows that are at most that late; False where there are none."""
        assert self._playback is not None, "used in a `with`"
        now_ns = self._playback.next_ns
        if now_ns is None or not self._playback.play(until_ns):
            return False
        limit_ns = min(until_ns, now_ns + AT_ONCE_NS)
        while self._playback.play(limit_ns):
            pass
        return True

    @property
    def rows(self) -> int:
        """Rows played so far."""
        return self._playback.rows if self._playback is not None else 0

    @property
    def now_ns(self) -> int:
        """Time of the recording that is reached."""
        return self._playback.now_ns if self._playback is not None else 0

    def _player(self, head: Head) -> EvidencePlayer:
        return EvidencePlayer(head, self._outlet, lambda *_: None, self._only, self._listener)

    def _outlet(self, symbols: Sequence[str]) -> Outlet:
        assert self._directory is not None
        one = self._recording
        return Outlet(self._directory, one.set_name, one.exchange, symbols, 0, clock.monotonic_ns(), is_hidden=True)
