"""Inner loop of a replay: plays the frames of a capture in order. Compiled, since its cost is per frame.

A block holds rows as `edges.capture.rows` describes them. `FramePlayer.run` takes the rows `recv` from a place on and stops at the
first that is another kind, is later than a time, or is no row: its caller knows what to do with that one.
"""

from alphapulse_cli import native
from alphapulse_cli.flow.ingest import Ingest

SOURCE_HASH = native.source_hash()

PREFIX_BYTES = 39
TIME, CONNECTION, LENGTH = 5, 25, 30  # offsets of a row's fields
R, E, C, V, LINE_END = 114, 101, 99, 118, 10
_PREFIX, _TIME, _CONNECTION, _LENGTH = PREFIX_BYTES, TIME, CONNECTION, LENGTH


class FramePlayer:
    """Player of frames into the ingests of their connections.

    `frames` counts them, `last_ns` is the latest time of one, `heard` collects their connections if it is a set. `has_requests` is
    set where a decoder may have something to request: `run` stops behind that frame.
    """

    def __init__(self, ingests: dict[int, Ingest]) -> None:
        self.ingests = ingests
        self.heard: set[int] | None = None
        self.frames = 0
        self.last_ns = 0
        self.has_requests = False

    def run(self, block: bytes, at: int, until_ns: int) -> int:
        """Play the frames from the offset `at` on whose times are at most `until_ns`; the offset of the first row not played."""
        octets, end = native.octets(block), len(block)
        self.has_requests = False
        while at + _PREFIX < end:
            if octets[at] != R or octets[at + 1] != E or octets[at + 2] != C or octets[at + 3] != V:
                break
            time_ns = native.number(octets, at + _TIME, at + _TIME + 19)
            length = native.number(octets, at + _LENGTH, at + _LENGTH + 8)
            connection = native.number(octets, at + _CONNECTION, at + _CONNECTION + 4)
            if time_ns > until_ns or length > end or connection > 9_999:
                break
            stop = at + _PREFIX + length
            if stop >= end or octets[stop] != LINE_END:
                break
            ingest = self.ingests.get(connection)
            if ingest is not None:
                self.has_requests = ingest.receive(block[at + _PREFIX : stop], time_ns)
                if self.heard is not None:
                    self.heard.add(connection)
            self.frames += 1
            if time_ns > self.last_ns:  # noqa: PLR1730 - a call of max costs the compiled core an object
                self.last_ns = time_ns
            at = stop + 1
            if self.has_requests:
                break
        return at
