"""Recorded frames of a real exchange, for `decode` and `pipeline`: `--capture FILE`, or the Coinbase recording in ALPHAPULSE_RECORDED.

A recording is lines of `<epoch seconds>: <raw frame>`; lines of another shape (what the client sent, REST answers) are passed over. The
feed is told by its frames. Feeds whose books begin with a REST snapshot are refused: its answer is not among the frames.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from alphapulse_cli import exchanges
from alphapulse_cli.apps.bench.frames import Heard, Tape
from alphapulse_cli.apps.bench.ground import Ground
from alphapulse_cli.errors import UsageError
from alphapulse_cli.exchanges.protocol import BOOK
from alphapulse_cli.market.instrument import Instrument

RECORDED = "ALPHAPULSE_RECORDED"  # a folder; the same variable that the tests know
COINBASE_FILE = "COINBASE.ws.28.0"
MOST_BYTES = 256 << 20  # what is read of a capture
STAMPED = re.compile(rb"[0-9]{9,11}(?:\.[0-9]+)?")
# what a frame must contain, the feed it is of, its snapshots' and updates' marks, and where the symbol stands
FEEDS = (
    (b'"channel":"l2_data"', "coinbase", "advanced", b'"snapshot"', b'"update"', re.compile(rb'"product_id":"([^"]{1,32})"')),
    (
        b'"type":"l2update"',
        "coinbase",
        "exchange",
        b'"type":"snapshot"',
        b'"type":"l2update"',
        re.compile(rb'"product_id":"([^"]{1,32})"'),
    ),
    (b'"channel":"book"', "kraken", "", b'"type":"snapshot"', b'"type":"update"', re.compile(rb'"symbol":"([^"]{1,32})"')),
)
NUMBER = re.compile(rb'[":\[,]([0-9]{1,30})(?:\.([0-9]{1,18}))?[",\]}]')


def captured(ground: Ground, scenario: str, most: int) -> Iterator[tuple[str, Tape]]:
    """The busiest symbol's tape of the recording, under the name of its line; nothing, and the reason told, where there is none."""
    path = ground.capture or _recording()
    if path is None:
        ground.leave_out(
            scenario, "recorded Coinbase", f"no recording: --capture FILE, or set {RECORDED} to the folder that holds it"
        )
        return
    case = f"capture {path.name}" if ground.capture else "recorded Coinbase"
    ground.say(f"{scenario}: {case}")
    yield case, read_tape(path, most)


def _recording() -> Path | None:
    named = os.environ.get(RECORDED)
    path = Path(named) / COINBASE_FILE if named else None
    return path if path is not None and path.is_file() else None


def read_tape(path: Path, most: int) -> Tape:
    """The busiest symbol's snapshot and its first `most` updates. UsageError for a file that holds no feed known here."""
    frames = _frames(path)
    for mark, name, mode, snapshot_mark, update_mark, symbol_of in FEEDS:
        if not any(mark in frame for frame in frames):
            continue
        by_symbol: dict[bytes, list[bytes]] = {}
        for frame in frames:
            found = symbol_of.search(frame)
            if found:
                by_symbol.setdefault(found[1], []).append(frame)
        native, own = max(by_symbol.items(), key=lambda item: sum(update_mark in frame for frame in item[1]))
        begins = next((i for i, frame in enumerate(own) if snapshot_mark in frame), None)
        updates = [frame for frame in own[(begins or 0) + 1 :] if update_mark in frame and mark in frame]
        if begins is None or not updates:
            break
        return _tape(name, mode, native.decode("ascii", "replace"), own[begins], updates[:most])
    raise UsageError(
        f"{path}: no book of a feed that can be replayed from its frames alone",
        "lines of `<epoch seconds>: <frame>`, of Coinbase (both feeds) or Kraken v2, from a snapshot on",
    )


def _frames(path: Path) -> list[bytes]:
    try:
        with path.open("rb") as source:
            lines = source.read(MOST_BYTES).splitlines()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    parts = (line.partition(b": ") for line in lines)
    return [frame for stamp, _, frame in parts if STAMPED.fullmatch(stamp)]


def _tape(name: str, mode: str, native: str, snapshot: bytes, updates: list[bytes]) -> Tape:
    """The grid is the finest that any number of it needs, as metadata would say."""
    exchange = exchanges.get(name)
    decimals = max((len(found[2]) for frame in [snapshot, *updates] for found in NUMBER.finditer(frame) if found[2]), default=0)
    instrument = Instrument(name, native.replace("/", "-"), native, decimals, decimals)
    return Tape(
        exchange,
        instrument,
        0,
        [Heard(snapshot)],
        updates,
        None,
        lambda: exchange.decoder([instrument], {BOOK}, exchange.facts.mode(mode).default_depth, mode),
    )
