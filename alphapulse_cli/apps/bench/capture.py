"""Recorded frames of a real exchange for `decode` and `pipeline`: `--capture FILE`, or the recording in ALPHAPULSE_RECORDED.

A recording has lines of `<epoch seconds>: <raw frame>`; other lines (frames of the client, REST answers) are skipped. The feed is
recognized by its frames. Feeds whose books begin with a REST snapshot are refused: the snapshot is not among the frames.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from alphapulse_cli import exchanges
from alphapulse_cli.apps.bench.frames import Heard, Tape
from alphapulse_cli.apps.bench.ground import Ground
from alphapulse_cli.edges.capture.feeds import FEEDS, Known, depth_of, on_their_grids
from alphapulse_cli.errors import UsageError
from alphapulse_cli.exchanges.protocol import BOOK
from alphapulse_cli.market.instrument import Instrument

RECORDED = "ALPHAPULSE_RECORDED"  # variable with a folder; the tests use it, too
COINBASE_FILE = "COINBASE.ws.28.0"
MOST_BYTES = 256 << 20  # read of a capture at most
MOST_SYMBOLS = 1_000
STAMPED = re.compile(rb"[0-9]{9,11}(?:\.[0-9]+)?")


def captured(ground: Ground, scenario: str, most: int) -> Iterator[tuple[str, Tape]]:
    """Iterate over the recording's tape with the name of its line; without a recording the line is left out, with the reason."""
    path = ground.capture or _recording()
    if path is None:
        ground.leave_out(
            scenario, "recorded Coinbase", f"no recording: --capture FILE, or set {RECORDED} to the folder that holds it"
        )
        return
    case = f"capture {path.name}" if ground.capture else "recorded Coinbase"
    ground.progress(f"{scenario}: {case}")
    yield case, read_tape(path, most)


def _recording() -> Path | None:
    named = os.environ.get(RECORDED)
    path = Path(named) / COINBASE_FILE if named else None
    return path if path is not None and path.is_file() else None


def read_tape(path: Path, most: int) -> Tape:
    """Read all books of a recording and its first `most` updates. UsageError for a file without a known feed."""
    frames = _frames(path)
    for feed in FEEDS:
        if any(feed.mark in frame for frame in frames):
            made = _tape(feed, frames, most)
            if made is not None:
                return made
    raise UsageError(
        f"{path}: no book of a feed that can be replayed from its frames alone",
        "lines of `<epoch seconds>: <frame>`, of Coinbase (both feeds), Kraken v2, OKX, Bybit or Bitfinex, from a snapshot on (Bitfinex: from the acks on)",
    )


def _frames(path: Path) -> list[bytes]:
    try:
        with path.open("rb") as source:
            lines = source.read(MOST_BYTES).splitlines()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    parts = (line.partition(b": ") for line in lines)
    return [frame for stamp, _, frame in parts if STAMPED.fullmatch(stamp)]


def _tape(feed: Known, frames: Sequence[bytes], most: int) -> Tape | None:
    """Tape of a feed: frames up to the last book's first snapshot are the opening, later updates are timed; None without a book."""
    first: dict[bytes, int] = {}
    for at, frame in enumerate(frames):
        if feed.snapshot_mark in frame and (found := feed.symbol.search(frame)) and len(first) < MOST_SYMBOLS:
            first.setdefault(found[1], at)
    begins = max(first.values(), default=0) + 1 + feed.snapshot_after
    kept = [frame for frame in frames[begins:] if feed.one_sequence or (feed.mark in frame and feed.snapshot_mark not in frame)]
    if not first or not kept:
        return None
    opening, updates = frames[min(first.values()) * (not feed.one_sequence) : begins], kept[:most]
    exchange = exchanges.get(feed.exchange)
    depth = depth_of(feed, exchange.facts.mode(feed.mode), frames[max(first.values())])
    if depth is None:
        return None
    natives = [native.decode("ascii", "replace") for native in first]
    coarse = [Instrument(feed.exchange, native.replace("/", "-"), native, 0, 0) for native in natives]
    instruments = on_their_grids(exchange.decoder(coarse, {BOOK}, depth, feed.mode), [*opening, *updates])
    heard = [Heard(frame) for frame in opening]
    return Tape(exchange, instruments, depth, heard, updates, None, lambda: exchange.decoder(instruments, {BOOK}, depth, feed.mode))
