"""Survey of a recording beside its replay: the times at which the capture itself says that something is missing.

    `lost` rows and bytes that cannot be read ─┐
    `shut` of a connection until its `open`    ├─► (from, to), in the order of the files
    `mark` silent or mute until it is heard    │
    between two runs of the collector         ─┘

Gaps that only a decoder can see (a broken sequence, a wrong checksum) are not among them: the replay marks those as it plays them.
A block is searched as bytes for rows of these kinds, and read row by row only where there may be some.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from alphapulse_cli.apps.replay.timeline import DAMAGED, Recording, file_blocks
from alphapulse_cli.edges.capture.rows import BrokenRows, Kind, Row, parse_rows
from alphapulse_cli.edges.exchange.watchdog import SilenceVerdict

KINDS = (Kind.LOST, Kind.SHUT, Kind.OPEN, Kind.MARK)
QUIET = frozenset({SilenceVerdict.SILENT.value, SilenceVerdict.MUTE.value})
END_NS = 1_000_000_000  # a connection that was shut no longer than that before its run's last row was shut by the run's end

Found = list[tuple[int, int]]  # (from, to) in ns since 1970


def gaps(recording: Recording, to_ns: int | None = None) -> Iterator[tuple[int, Found]]:
    """Iterate over the blocks of a recording: the time that is reached, and what is missing up to there."""
    run = _Run()
    for number, path in enumerate(recording.files):
        is_new = bool(number) and recording.heads[number].run_ns != recording.heads[number - 1].run_ns
        if is_new:
            yield run.last_ns, run.ended()
        before_ns = run.last_ns
        for block in file_blocks(path, to_ns, lambda *_: None):
            if is_new:
                run, is_new = _Run(), False
                yield before_ns, [(before_ns, _time_ns(block))]
            yield run.last_ns, run.read(block)
    yield run.last_ns, run.ended()


class _Run:
    """One run of a collector: which of its connections are away, and since when."""

    def __init__(self) -> None:
        self.last_ns = 0
        self._away: dict[int, int] = {}  # by connection
        self._damaged_ns = 0  # time before bytes that could not be read, until the next block

    def read(self, block: bytes) -> Found:
        found: Found = []
        self.last_ns = max(self.last_ns, _time_ns(block))
        if self._damaged_ns:
            found.append((self._damaged_ns, self.last_ns))
            self._damaged_ns = 0
        if not any(block.startswith(kind) or b"\n" + kind + b" " in block for kind in KINDS):
            return found
        try:
            for row in parse_rows(block):
                self.last_ns = max(self.last_ns, row.time_ns)
                if row.kind in KINDS:
                    self._take(row, found)
        except BrokenRows:
            found.append((self.last_ns, self.last_ns))
        return found

    def ended(self) -> Found:
        """Return the gaps at the end of the run: connections that were shut and did not come back."""
        away, self._away = self._away, {}
        if self._damaged_ns:
            away[-1] = self._damaged_ns
        return [(since_ns, self.last_ns) for since_ns in away.values() if self.last_ns - since_ns > END_NS]

    def _take(self, row: Row, found: Found) -> None:
        kind, time_ns, connection, payload = row
        members = _members(payload)
        if kind == Kind.LOST:
            from_ns = members.get("from_ns")
            if members.get("reason") == DAMAGED:
                self._damaged_ns = time_ns
            else:
                found.append((from_ns if isinstance(from_ns, int) and 0 < from_ns <= time_ns else time_ns, time_ns))
        elif kind == Kind.SHUT or (kind == Kind.MARK and members.get("verdict") in QUIET):
            self._away.setdefault(connection, time_ns)
        elif (kind == Kind.OPEN and not members.get("again")) or members.get("verdict") == SilenceVerdict.HEARD.value:
            since_ns = self._away.pop(connection, None)
            if since_ns is not None:
                found.append((since_ns, max(since_ns, time_ns)))


def _members(payload: bytes) -> dict[str, Any]:
    try:
        members = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return {}
    return members if isinstance(members, dict) else {}


def _time_ns(block: bytes) -> int:
    """Time of the block's first row; 0 where it is none."""
    digits = block[5:24]
    return int(digits) if digits.isdigit() else 0
