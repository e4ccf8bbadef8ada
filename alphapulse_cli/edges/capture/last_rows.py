"""Rows that are kept in memory for a while, and what bounds their bytes: every frame of a collector comes through here; therefore compiled.

A row is kept as it came: its payload is the exchange's own bytes, of which no copy is made.
"""

from collections.abc import Callable

from alphapulse_cli import native

KeptRow = tuple[bytes, int, int, bytes]  # as a rows.Row, which takes longer to make

SOURCE_HASH = native.source_hash()

ROW_BYTES = 160  # of a row beside its payload: the row, its time, the payload's own header, and its place in a list
_ROW_BYTES = ROW_BYTES


class LastRows:
    """Rows of the present span, and the room that is left.

    `rows` is the span's list, `size` its bytes, `room` the bytes that are left to all. `make_room` is called behind a row for which there
    was none.
    """

    def __init__(self, room: int, make_room: Callable[[], None]) -> None:
        self.room = room
        self._make_room = make_room
        self.size = 0
        self.rows: list[KeptRow] = []
        self._old: list[KeptRow] = []  # to be freed
        self._old_size = 0

    def put(self, kind: bytes, time_ns: int, connection: int, payload: bytes) -> None:
        """Keep a row."""
        size = len(payload) + _ROW_BYTES
        self.rows.append((kind, time_ns, connection, payload))
        self.size += size
        self.room -= size
        if self._old_size:  # frees two at once: twice as fast as they come, and never thousands, which would hold up a frame
            self._old.pop()
            if self._old:
                self._old.pop()
            if not self._old:
                self._release()
        if self.room < 0:
            self._make_room()

    def begin(self, rows: list[KeptRow], size: int) -> None:
        """Let the rows from here on be of another span, which has these already."""
        self.rows, self.size = rows, size

    def free(self, rows: list[KeptRow], size: int) -> None:
        """Free the rows of an old span, of that many bytes, which nobody else has, two with each row to come."""
        self.free_at_once()
        self._old, self._old_size = rows, size
        if not rows:
            self._release()

    def free_at_once(self) -> None:
        """Free what is left of an old span."""
        if self._old_size:
            self._old = []
            self._release()

    def _release(self) -> None:
        self.room += self._old_size
        self._old_size = 0
