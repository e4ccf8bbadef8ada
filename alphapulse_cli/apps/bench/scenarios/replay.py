"""`replay`: time a frame of `replay --speed max`, from the capture's file to the published group, against `pipeline` with that frame.

Reading, decompression, rows, ticks and the player are in it. After each round the book is compared with the simulated market's own.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from alphapulse_cli.apps.bench import captures
from alphapulse_cli.apps.bench.frames import FEEDS, STARTED_NS, BenchFeed, Tape, tape
from alphapulse_cli.apps.bench.ground import Ground
from alphapulse_cli.apps.bench.report import Result, Samples
from alphapulse_cli.apps.bench.scenarios.pipeline import open_ingest
from alphapulse_cli.apps.replay.playback import Playback
from alphapulse_cli.apps.replay.player import Player
from alphapulse_cli.apps.replay.timeline import recordings
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.rows import MOST_TIME_NS
from alphapulse_cli.errors import IntegrityError
from alphapulse_cli.exchanges.protocol import BOOK
from alphapulse_cli.flow.ingest import Ingest
from alphapulse_cli.flow.outlet import Outlet

SET = "bench-replay"
PIPELINE = "`pipeline` with the same frame"
STEP_NS = 1_000_000  # between two frames
FEWEST = 3  # rounds


Timed = Callable[[Outlet, Path, Tape], float]  # ns for all updates of that capture, into that outlet


def measure(ground: Ground) -> Iterator[Result]:
    """Measure the lines of this scenario."""
    leaves_out = "The opening of the connection, making the segments, pacing; the clock, merging of several sets."
    yield from lines(ground, "replay", replayed, (PIPELINE, lambda outlet, _, made: _piped(outlet, made)), leaves_out)


def lines(
    ground: Ground,
    scenario: str,
    timed: Timed,
    reference: tuple[str, Timed],
    leaves_out: str,
    feeds: Sequence[BenchFeed] = FEEDS,
    updates: tuple[int, int] = (1_000, 15_000),
) -> Iterator[Result]:
    """Time `timed` and the reference, round by round, with a capture of each feed, of so many updates (quick, full); a line each."""
    for feed in feeds:
        ground.progress(f"{scenario}: {feed.case}")
        made = tape(feed, ground.several(*updates))
        folder = Path(ground.directory.path) / "captures"
        path = captures.write(folder, captures.head_of(made), captures.rows_of(made, step_ns=STEP_NS))
        samples = Samples(batch=len(made.updates))
        until = time.monotonic() + ground.budget_s
        while len(samples.work) < FEWEST or time.monotonic() < until:
            work, other = (_timed_round(ground, made, path, one) for one in (timed, reference[1]))
            samples.work.append(work)
            samples.reference.append(other)
            samples.ratios.append(work / other)
        for each in folder.iterdir():
            each.unlink()
        folder.rmdir()
        yield samples.result(scenario, feed.case, reference[0], leaves_out)


def _timed_round(ground: Ground, made: Tape, path: Path, timed: Timed) -> float:
    """Time of each update in ns."""
    symbols = [one.symbol for one in made.instruments]
    with ground.outlet(SET, made.exchange.facts.name, symbols) as outlet:
        return timed(outlet, path, made) / len(made.updates)


def replayed(
    outlet: Outlet,
    path: Path,
    made: Tape,
    player_of: Callable[[Head, Outlet], Player] | None = None,
    ends: Callable[[Playback], object] = lambda _: None,
) -> float:
    """Time in ns that playing all updates of a capture takes; by another player, and with an end of its own, where they are given."""

    def player(head: Head) -> Player:
        return player_of(head, outlet) if player_of is not None else Player(head, lambda _: outlet, lambda *_: None)

    playback = Playback(recordings([path]), (None, None), _damaged, player, keeps_ended=True)
    while playback.frames < len([heard for heard in made.opening if not heard.is_snapshot]):
        playback.play_one()
    begun = time.perf_counter_ns()
    while playback.play(MOST_TIME_NS):
        pass
    ends(playback)
    spent = time.perf_counter_ns() - begun
    [(keeper, _)] = [held for one in playback.players for held in one.books()]
    if made.market is not None:
        bids, asks = made.market.book(keeper.instrument.symbol, made.depth or None)
        if (keeper.book.bids(), keeper.book.asks()) != (list(bids), list(asks)):
            raise IntegrityError(f"replay, {outlet.exchange}: the book is not the market's")
    return float(spent)


def _piped(outlet: Outlet, made: Tape) -> float:
    """Nanoseconds of the same updates through ingest alone."""
    ingest = Ingest(made.exchange, made.receiver(), made.instruments, {BOOK}, outlet, lambda *_: None)
    open_ingest(ingest, made)
    receive, frames = ingest.receive, made.updates
    begun = time.perf_counter_ns()
    _feed(receive, frames)
    return float(time.perf_counter_ns() - begun)


def _feed(receive: Callable[[bytes, int], object], frames: Sequence[bytes]) -> None:
    for frame in frames:
        receive(frame, STARTED_NS)


def _damaged(path: Path, what: str) -> None:
    raise IntegrityError(f"{path}: {what}")
