"""Playback of recordings: the reels of all sets, merged by time, into their players. It has no clock and no segments of its own.

Reel of kraken   ─┐
Reel of coinbase ─┴─► play(until) ─► Player of the set: one for each run of its collector
"""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from alphapulse_cli.apps.replay.player import Player
from alphapulse_cli.apps.replay.timeline import OVER, Damaged, Recording, Reel
from alphapulse_cli.edges.capture.head import Head, parse_head
from alphapulse_cli.edges.capture.rows import MOST_TIME_NS, Kind

MakePlayer = Callable[[Head], Player]


class Playback:
    """Playback of `recordings` from a time on, before another. `make_player` makes the player of a run from its head.

    With `keeps_ended` the players of runs that are over stay, for their books to be read, until the next run of their set. The end
    of a run, and each further file of it, is played once `may_end` agrees: until then nothing is.
    """

    def __init__(
        self,
        recordings: Sequence[Recording],
        span_ns: tuple[int | None, int | None],
        damaged: Damaged,
        make_player: MakePlayer,
        *,
        keeps_ended: bool = False,
        may_end: Callable[[Player], bool] = lambda _: True,
    ) -> None:
        self._make_player, self._keeps_ended, self._may_end = make_player, keeps_ended, may_end
        self._reels = [Reel(one.set_name, one.blocks(*span_ns, damaged), _of(damaged, one.files[0])) for one in recordings]
        self._players: dict[int, Player] = {}  # by number of the reel
        self.rows = self.frames = 0  # played so far
        self.now_ns = 0  # of the recording: the latest time played
        for number, reel in enumerate(self._reels):
            if reel.next_kind == Kind.HEAD:  # so that all sets are there from the beginning
                self._one(number)

    @property
    def players(self) -> Collection[Player]:
        """Players of the runs that are played now."""
        return self._players.values()

    @property
    def next_ns(self) -> int | None:
        """Time of the next row; None behind the last."""
        return min((reel.time_ns for reel in self._reels if reel.time_ns is not None), default=None)

    def play(self, until_ns: int) -> bool:
        """Play some of the rows that are at most that late, in one set, not more than a block; whether there were any."""
        number, limit_ns = self._first(until_ns)
        if number is None:
            return False
        reel, player = self._reels[number], self._players.get(number)
        frames = player.play_frames(reel, limit_ns) if player is not None else 0
        if frames:
            assert player is not None
            self.rows += frames
            self.frames += frames
            self.now_ns = player.now_ns
        else:
            self._one(number)
        return True

    def play_one(self) -> bool:
        """Play the next row of all; whether it was a frame. False behind the last row, too."""
        number, _ = self._first(MOST_TIME_NS)
        return number is not None and self._one(number)

    def advance(self, time_ns: int) -> None:
        """Let the clocks of all players pass to that time, before which all rows have been played."""
        for player in self._players.values():
            player.advance(time_ns)
        self.now_ns = max(self.now_ns, time_ns)

    def close(self) -> None:
        """End all runs."""
        for player in self._players.values():
            player.close()
        self._players.clear()

    def _first(self, until_ns: int) -> tuple[int | None, int]:
        """Number of the reel with the next row, and the time up to which its rows come before those of the others."""
        due = [(reel.time_ns, number) for number, reel in enumerate(self._reels) if reel.time_ns is not None]
        if not due:
            return None, 0
        first_ns, found = min(due)
        if first_ns > until_ns:
            return None, 0
        limits = (time_ns if number > found else time_ns - 1 for time_ns, number in due if number != found)
        return found, min(until_ns, *limits, until_ns)

    def _one(self, number: int) -> bool:
        player = self._players.get(number)
        if player is not None and self._reels[number].next_kind in (Kind.HEAD, OVER) and not self._may_end(player):
            return False
        row = self._reels[number].next_row()
        if row.kind == Kind.HEAD:
            head = parse_head(row.payload)
            if player is None or player.head.run_ns != head.run_ns:
                if player is not None:
                    player.close()
                self._players[number] = self._make_player(head)
                return False
        if player is None:
            return False
        if row.kind == OVER:
            if self._keeps_ended:
                player.finish()
            else:
                player.close()
                del self._players[number]
            return False
        player.play(row)
        self.now_ns = player.now_ns
        self.rows += 1
        is_frame = row.kind == Kind.RECEIVED
        self.frames += is_frame
        return is_frame


def _of(damaged: Damaged, path: Path) -> Callable[[str], None]:
    return lambda what: damaged(path, what)
