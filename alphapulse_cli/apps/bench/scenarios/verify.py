"""`verify`: time a frame of `alphapulse verify`, the certificate and the hash of the file included, against playing the same capture.

Both are checked as `replay` checks: the book is the simulated market's own. The certificate must find it whole.
"""

from collections.abc import Iterator
from pathlib import Path

from alphapulse_cli.apps.bench.frames import Tape
from alphapulse_cli.apps.bench.ground import Ground
from alphapulse_cli.apps.bench.report import Result
from alphapulse_cli.apps.bench.scenarios.replay import lines, replayed
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
    leaves_out = "The opening of the connection, making the segments. The hash of the final book is in it, once a capture."
    yield from lines(ground, "verify", _verified, (REPLAY, replayed), leaves_out)


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
