"""`verify`: time a frame of `alphapulse verify`, the certificate and the hash of the file included, against playing the same capture.

Both are checked as `replay` checks: the book is the simulated market's own. The certificate must find it whole.
"""

import time
from collections.abc import Iterator
from pathlib import Path

from alphapulse_cli.apps.bench import captures
from alphapulse_cli.apps.bench.frames import FEEDS, Tape, tape
from alphapulse_cli.apps.bench.ground import Ground
from alphapulse_cli.apps.bench.report import Result, Samples
from alphapulse_cli.apps.bench.scenarios.replay import FEWEST, STEP_NS, replayed, timed_round
from alphapulse_cli.apps.replay.playback import Playback
from alphapulse_cli.apps.replay.player import Player
from alphapulse_cli.apps.replay.timeline import recordings
from alphapulse_cli.apps.verify.audit import Audit, evidence
from alphapulse_cli.apps.verify.playing import EvidencePlayer
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.errors import IntegrityError
from alphapulse_cli.flow.outlet import Outlet

REPLAY = "`replay` of the same capture"


def measure(ground: Ground) -> Iterator[Result]:
    """Measure the lines of this scenario."""
    for feed in FEEDS:
        ground.progress(f"verify: {feed.case}")
        made = tape(feed, ground.several(1_000, 15_000))
        folder = Path(ground.directory.path) / "captures"
        path = captures.write(folder, captures.head_of(made), captures.rows_of(made, step_ns=STEP_NS))
        samples = Samples(batch=len(made.updates))
        until = time.monotonic() + ground.budget_s
        while len(samples.work) < FEWEST or time.monotonic() < until:
            work = timed_round(ground, made, lambda outlet: _verified(outlet, path, made))  # noqa: B023 called here
            reference = timed_round(ground, made, lambda outlet: replayed(outlet, path, made))  # noqa: B023
            samples.work.append(work)
            samples.reference.append(reference)
            samples.ratios.append(work / reference)
        for each in folder.iterdir():
            each.unlink()
        folder.rmdir()
        leaves_out = "The opening of the connection, making the segments. The hash of the final book is in it, once a capture."
        yield samples.result("verify", feed.case, REPLAY, leaves_out)


def _verified(outlet: Outlet, path: Path, made: Tape) -> float:
    """Time in ns of playing all updates of a capture for its certificate, and of making that."""
    [recording] = recordings([path])
    audit = Audit(recording)

    def player(head: Head, outlet: Outlet) -> Player:
        return EvidencePlayer(head, lambda _: outlet, lambda *_: None, (), audit)

    def ends(playback: Playback) -> None:
        certificate = audit.certificate([evidence(path)], playback.rows)
        if not certificate.holds or certificate.gaps:
            raise IntegrityError(f"verify, {outlet.exchange}: a whole capture is not found whole")

    return replayed(outlet, path, made, player, ends)
