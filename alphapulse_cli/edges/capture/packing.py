"""Packer of a capture's rows into blocks: the part of a capture that every frame pays for; therefore compiled.

Rows are copied into one buffer that is used again, so that no frame lives longer than its decoding: the next one finds its memory.
"""

from alphapulse_cli import native
from alphapulse_cli.edges.capture.rows import MOST_PAYLOAD_BYTES, PREFIX_BYTES, too_long

SOURCE_HASH = native.source_hash()

TIME, CONNECTION, LENGTH = 5, 25, 30  # offsets of a row's fields
SPACE, LINE_END = 32, 10
_PREFIX, _TIME, _CONNECTION, _LENGTH, _MOST = PREFIX_BYTES, TIME, CONNECTION, LENGTH, MOST_PAYLOAD_BYTES


class RowPacker:
    """Rows of the block that is being filled: `row_count`, `row_bytes`, and the earliest and the latest of their times.

    `room` is the size in bytes of the buffer that is kept; a longer block has a larger one for as long as it lasts.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._buffer = bytearray(room)
        self.row_count = self.row_bytes = 0
        self.first_ns = self.last_ns = 0

    def put(self, kind: bytes, time_ns: int, connection: int, payload: bytes) -> int:
        """Add a row (`rows.row_bytes`) and return `row_bytes`. UsageError for a payload of more than MOST_PAYLOAD_BYTES."""
        length, at = len(payload), self.row_bytes
        if length > _MOST:
            raise too_long(length)
        end = at + _PREFIX + length + 1
        if end > len(self._buffer):
            self._buffer.extend(bytes(end - len(self._buffer)))
        octets = native.octets_of(self._buffer, end)
        native.move_octets(octets, at, native.octets_of(kind, 4), 0, 4)
        octets[at + 4] = octets[at + _TIME + 19] = octets[at + _CONNECTION + 4] = octets[at + _LENGTH + 8] = SPACE
        native.write_number(octets, at + _TIME, at + _TIME + 19, time_ns)
        native.write_number(octets, at + _CONNECTION, at + _CONNECTION + 4, connection)
        native.write_number(octets, at + _LENGTH, at + _LENGTH + 8, length)
        if length:
            native.move_octets(octets, at + _PREFIX, native.octets_of(payload, length), 0, length)
        octets[end - 1] = LINE_END
        if not self.row_count:
            self.first_ns = self.last_ns = time_ns
        elif time_ns > self.last_ns:
            self.last_ns = time_ns
        elif time_ns < self.first_ns:  # the clock was set back
            self.first_ns = time_ns
        self.row_count += 1
        self.row_bytes = end
        return end

    def take(self) -> bytes:
        """Return the rows, and begin anew."""
        rows = bytes(memoryview(self._buffer)[: self.row_bytes])
        self.row_count = self.row_bytes = 0
        if len(self._buffer) > self._room:
            self._buffer = bytearray(self._room)
        return rows
