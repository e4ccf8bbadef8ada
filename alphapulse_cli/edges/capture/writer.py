"""Writer of captures: rows become blocks of a file in a thread of its own, for which the collector never waits.

    event loop: put ─► block of rows ─► queue, bounded in bytes ─► thread: `rolling.RollingFiles`

A block is handed over at 64 KiB or a second after its first row, so that a killed process loses no more than that. What the queue
or the disk cannot take is left out: its rows are counted, and a `lost` row stands in the file where they would have been.
"""

import queue
import threading
from collections.abc import Sequence

import orjson

from alphapulse_cli.edges.capture.blocks import BLOCK_BYTES, BLOCK_S
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.index import HOLDS_CHECKPOINTS
from alphapulse_cli.edges.capture.packing import RowPacker
from alphapulse_cli.edges.capture.rolling import SWEEP_S, Loss, Preamble, RollingFiles, RowBlock, Totals
from alphapulse_cli.edges.capture.rows import Kind
from alphapulse_cli.shm import clock

MOST_QUEUED_BYTES = 32 << 20
HANDED_OVER_NS = int(
    0.6e9 * BLOCK_S
)  # age of the first row seen by `beat`: its tick, the nap and the write take a part of the second
NAP_S = 0.1  # pause of the thread behind its blocks: several at a time cost far less than as many wakes of a cold core
HURRY_BYTES = 1 << 20  # that wait end the pause
JOIN_S = 10.0  # longest wait for the last blocks when a capture ends


class CaptureWriter:
    """Writer of one set's capture, from one thread.

    `head` and `preamble` begin each file, as they were when the first row of its first block came; set them when they change.
    """

    def __init__(self, files: RollingFiles, head: Head, *, most_queued_bytes: int = MOST_QUEUED_BYTES) -> None:
        self.head = head
        self.preamble: Preamble = ()
        self._begin: tuple[Head, Preamble] = head, ()  # of the block that is being filled
        self._files, self._most_queued_bytes = files, most_queued_bytes
        self._rows = RowPacker(2 * BLOCK_BYTES)
        self._handed_bytes = 0  # by this thread
        self._taken_bytes = 0  # by the writer's thread
        self._seen_ns = 0  # monotonic time at which `beat` first saw the rows that wait
        self._loss: Loss | None = None  # of rows for which the queue had no room
        self._is_losing = False
        self._queue: queue.SimpleQueue[RowBlock | None] = queue.SimpleQueue()
        self._hurry = threading.Event()  # ends the thread's nap
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="capture", daemon=True)
        self._thread.start()

    @property
    def totals(self) -> Totals:
        """Figures since the start."""
        return self._files.totals

    def put(self, kind: bytes, time_ns: int, connection: int, payload: bytes) -> None:
        """Take in a row; returns at once, whatever the disk does."""
        rows = self._rows
        if not rows.row_count:
            self._begin = self.head, self.preamble
        if rows.put(kind, time_ns, connection, payload) >= BLOCK_BYTES:
            self._hand_over()

    def put_checkpoints(self, time_ns: int, checkpoints: Sequence[tuple[int, bytes]]) -> int:
        """Take in the checkpoints (connection, payload) of all open connections, as a block of their own behind all earlier rows.

        Returns their bytes, not yet compressed.
        """
        self._hand_over_waiting()
        self._begin = self.head, self.preamble
        size = self._rows.put(Kind.HEAD, time_ns, 0, self.head.to_payload())
        for connection, payload in checkpoints:
            size = self._rows.put(Kind.HELD, time_ns, connection, payload)
        self._hand_over(HOLDS_CHECKPOINTS)
        return size

    def beat(self, monotonic_ns: int) -> None:
        """Hand over rows that have waited long enough; called about every 100 ms."""
        if not self._rows.row_count:
            self._seen_ns = 0
        elif not self._seen_ns:
            self._seen_ns = monotonic_ns
        elif monotonic_ns - self._seen_ns >= HANDED_OVER_NS:
            self._hand_over()

    def close(self, reason: str, time_ns: int) -> None:
        """Write what is left and the `done` row, if there is a reason, and end the file; waits JOIN_S at most for a slow disk."""
        if self._is_closed:
            return
        self._is_closed = True
        if reason:
            self.put(Kind.DONE, time_ns, 0, orjson.dumps({"reason": reason}))
        self._hand_over_waiting()
        self._queue.put(None)
        self._hurry.set()
        self._thread.join(JOIN_S)

    def _hand_over_waiting(self) -> None:
        if self._rows.row_count:
            self._hand_over()

    def _hand_over(self, flags: int = 0) -> None:
        packer, self._seen_ns = self._rows, 0
        count, first_ns, last_ns = packer.row_count, packer.first_ns, packer.last_ns
        rows = packer.take()
        queued_bytes = self._handed_bytes - self._taken_bytes
        if queued_bytes and queued_bytes + len(rows) > self._most_queued_bytes and not self._is_closed:
            self._loss = Loss(count, len(rows), first_ns, last_ns, "the disk is too slow").and_another(self._loss)
            self.totals.rows_lost_queue += count
            if not self._is_losing:
                self._is_losing = True
                self._files.report("warning", "the disk is too slow for the capture: rows that it cannot take are counted as lost")
            return
        if self._is_losing and not queued_bytes:
            self._is_losing = False
            self._files.report("warning", "the disk keeps up with the capture again")
        if self._loss is not None:
            lost, self._loss = self._loss, None
            if flags:  # whose block begins with a head
                self._hand(RowBlock(lost.row(first_ns), 1, first_ns, first_ns, *self._begin))
            else:
                rows, count = lost.row(first_ns) + rows, count + 1
        self._hand(RowBlock(rows, count, first_ns, last_ns, *self._begin, flags))

    def _hand(self, block: RowBlock) -> None:
        self._handed_bytes += len(block.rows)
        self._queue.put(block)
        if self._handed_bytes - self._taken_bytes >= HURRY_BYTES:
            self._hurry.set()

    def _work(self) -> None:
        while True:
            try:
                block = self._queue.get(timeout=SWEEP_S)
            except queue.Empty:
                self._files.sweep(self.head.set_name, clock.monotonic_ns() / 1e9)
                continue
            if block is None:
                break
            self._files.write(block, is_last=self._is_closed)
            self._taken_bytes += len(block.rows)
            if self._queue.empty():
                self._hurry.wait(NAP_S)
                self._hurry.clear()
        self._files.close()
