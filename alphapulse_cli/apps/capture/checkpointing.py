"""Checkpoints in a capture that is made of others: its rows are played as they are written, and the books are put between them.

    rows ─► CheckpointedRun ─┬─► RunWriter ─► files
                             └─► Player ─► books ─► checkpoints, between two blocks, with a collector's share of the file ─► RunWriter

From them `reconstruct --at` and `replay --from` begin in the middle of a recording, as in a collector's capture. A run that has some
keeps those. What has none is said in a notice, and is read from its beginning.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from alphapulse_cli.apps.replay.player import Player
from alphapulse_cli.edges.capture.blocks import compress
from alphapulse_cli.edges.capture.checkpoints import MeasuredPace
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.index import HOLDS_CHECKPOINTS
from alphapulse_cli.edges.capture.reader import CaptureFile
from alphapulse_cli.edges.capture.rewriting import RunWriter
from alphapulse_cli.edges.capture.rows import Kind, Row, row_bytes
from alphapulse_cli.errors import AlphapulseError
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import Directory
from alphapulse_cli.shm.private import private_directory

RING_RECORDS = 1024  # nobody reads it
FILE_ROWS = bytes(Kind.HEAD), bytes(Kind.DONE), bytes(Kind.HELD)
Say = Callable[[str], None]
Runs = frozenset[tuple[str, int]]  # set and `run_ns`


class CheckpointedRun:
    """Writer of one run, as RunWriter is, that adds checkpoints. `say` is called once if there can be none (any more)."""

    def __init__(self, writer: RunWriter, directory: Directory, say: Say) -> None:
        self._writer, self._directory, self._say = writer, directory, say
        self._player: Player | None = None
        self._pace: MeasuredPace | None = None
        self._made = self._failed = 0

    @property
    def head(self) -> Head:
        """Head of the rows that are put in now."""
        return self._writer.head

    def put(self, row: Row) -> None:
        """Take in a row."""
        self._writer.put(row)
        if row.kind in FILE_ROWS:
            return
        with self._without_a_player_if_it_fails():
            if self._pace is None:
                self._pace = MeasuredPace(self._writer.totals, row.time_ns)
                self._player = Player(self.head, self._outlet, lambda *_: None)
            if self._player is not None:
                self._player.play(row)
        player, pace = self._player, self._pace
        if player is not None and pace is not None and self._writer.is_between_blocks and pace.is_due(player.now_ns):
            self._add(player, pace)

    def use_head(self, head: Head) -> None:
        """Let the rows from here on be of this head."""
        self._writer.use_head(head)
        if self._player is not None:
            self._player.play(Row(bytes(Kind.HEAD), self._player.now_ns, 0, head.to_payload()))

    def close(self, reason: str) -> None:
        """End the run."""
        self._writer.close(reason)
        if self._player is not None:
            self._tell_what_has_none(self._player)
        self._end()

    def _add(self, player: Player, pace: MeasuredPace) -> None:
        """Write checkpoints, if they can be made now and keep within their share of the file."""
        held = [Row(bytes(Kind.HELD), player.now_ns, number, payload) for number, payload in player.checkpoints()]
        if not held:
            self._failed += 1
            return
        instruments = player.instruments
        head = row_bytes(Kind.HEAD, player.now_ns, 0, replace(self.head, instruments=instruments).to_payload())
        if pace.fits(len(compress(b"".join([head, *(row_bytes(*row) for row in held)])))):
            self._made += 1
            self._writer.put_checkpoints(held, instruments)

    @contextlib.contextmanager
    def _without_a_player_if_it_fails(self) -> Iterator[None]:
        """Context in which what cannot be played, or finds no memory, costs the checkpoints and not the capture."""
        try:
            yield
        except AlphapulseError as error:
            self._tell(str(error))
            self._end()

    def _tell_what_has_none(self, player: Player) -> None:
        missing = ", ".join(player.missing)[:200]
        if missing and self._made:
            self._say(f"{self.head.set_name}: the capture has no metadata of {missing}: its books are not in the checkpoints")
        elif missing:
            self._tell(f"the capture has no metadata of {missing}")
        elif self._failed and not self._made:
            self._tell("its books were never all whole at a time" if player.is_resumable else "its decoder cannot go on from one")

    def _tell(self, why: str) -> None:
        more = "no more checkpoints" if self._made else "no checkpoints"
        self._say(
            f"{self.head.set_name}: {more}: {why}; `reconstruct --at` reads it from {'the last' if self._made else 'its beginning'}"
        )

    def _end(self) -> None:
        if self._player is not None:
            self._player.close()
            self._player = None

    def _outlet(self, symbols: Sequence[str]) -> Outlet:
        head = self.head
        return Outlet(self._directory, head.set_name, head.exchange, symbols, RING_RECORDS, clock.monotonic_ns(), is_hidden=True)


@dataclass(frozen=True, slots=True)
class Checkpointing:
    """Maker of the writers of runs; without a `directory` for their books they add no checkpoints."""

    directory: Directory | None
    say: Say
    has_some: Runs = frozenset()  # runs that have checkpoints of their own

    def writer(self, folder: Path, head: Head) -> "RunWriter | CheckpointedRun":
        """Make the writer of a run into a folder."""
        made = RunWriter(folder, head)
        if self.directory is None or (head.set_name, head.run_ns) in self.has_some:
            return made
        return CheckpointedRun(made, self.directory, self.say)


@contextlib.contextmanager
def checkpointing(wanted: bool, say: Say, has_some: Runs = frozenset()) -> Iterator[Checkpointing]:
    """Context in which captures are written with checkpoints, if they are `wanted`; books are kept in memory of this process alone."""
    with contextlib.ExitStack() as stack:
        directory: Directory | None = None
        if wanted:
            try:
                directory = stack.enter_context(private_directory(None, "capture"))
            except AlphapulseError as error:
                say(f"no checkpoints: {error}")
        yield Checkpointing(directory, say, has_some)


def with_checkpoints(paths: Sequence[Path]) -> Runs:
    """Runs of which a file has checkpoints."""
    found: set[tuple[str, int]] = set()
    for path in paths:
        with CaptureFile(path) as file:
            if any(entry.flags & HOLDS_CHECKPOINTS for entry in file.entries()):
                found.add((file.head.set_name, file.head.run_ns))
    return frozenset(found)
