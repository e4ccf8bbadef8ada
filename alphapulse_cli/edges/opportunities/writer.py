"""Writer of seen opportunities: a thread that writes them to the store, so that the watch never waits for the disk.

watch ─► StoreWriter.put ─► at most 4096 queued, each opportunity once ─► its thread ─► OpportunityStore.record ─► the file
"""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from alphapulse_cli.edges.opportunities.record import Seen
from alphapulse_cli.edges.opportunities.store import MOST, OpportunityStore
from alphapulse_cli.errors import StorageError

QUEUED, BATCH = 4096, 256
GATHER_S, RETRY_S = 0.05, 2.0  # from the first row of a batch to its writing; between attempts to write

_Queued = tuple[Seen, Mapping[str, Any]]  # its newest state, and the explanation of its birth


class StoreWriter:
    """Writer of a store in a thread of its own: `put` never waits for the disk.

    `error` is the last failure; the thread keeps trying.

    The queue holds the newest state of at most 4096 opportunities, each with the explanation of its birth: however often one
    changes, its birth and its end are written. `dropped` counts those that did not fit or could not be written before the end.
    """

    def __init__(self, path: Path, most: int = MOST) -> None:
        self.error: StorageError | None = None
        self.dropped = 0
        self._path, self._most = path, most
        self._queue: dict[tuple[str, str], _Queued] = {}
        self._lock = threading.Lock()  # never held while anything is written
        self._work, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="opportunities", daemon=True)
        self._thread.start()

    def put(self, seen: Seen) -> None:
        """Queue an opportunity to be written soon; it replaces a queued state of the same one."""
        key = seen.key
        with self._lock:
            queued = self._queue.get(key)
            if self._closing.is_set() or (queued is None and len(self._queue) >= QUEUED):
                self.dropped += 1
                return
            self._queue[key] = seen, queued[1] if queued is not None and not seen.explanation else seen.explanation
        if not self._work.is_set():
            self._work.set()

    def close(self, timeout: float = 2.0) -> None:
        """Write the queue for at most `timeout` seconds and stop; opportunities left in it are dropped."""
        with self._lock:
            self._closing.set()
        self._work.set()
        self._thread.join(timeout)
        with self._lock:
            self.dropped += len(self._queue)
            self._queue.clear()

    def _run(self) -> None:
        store: OpportunityStore | None = None
        while True:
            self._work.wait()
            self._closing.wait(GATHER_S)
            self._work.clear()
            is_last = self._closing.is_set()  # after the clearing: a close from here on wakes the next turn
            try:
                store = store or OpportunityStore(self._path, self._most)
                self._write(store)
            except StorageError as error:
                self.error = error
                if store is not None:
                    store.close()
                    store = None
                self._work.set()  # the queue is still to be written
                if not is_last:
                    self._closing.wait(RETRY_S)
            if is_last:
                break
        if store is not None:
            store.close()

    def _write(self, store: OpportunityStore) -> None:
        """Write the queue's current contents, a batch per transaction; states put during the write are left for the next turn."""
        with self._lock:
            waiting = iter(list(self._queue.values()))
        while batch := list(islice(waiting, BATCH)):
            whole = [one if one.explanation is birth else replace(one, explanation=birth) for one, birth in batch]
            try:
                store.record(whole)
            except ValueError:
                self._write_each(store, whole)
            self._forget(batch)

    def _write_each(self, store: OpportunityStore, batch: Iterable[Seen]) -> None:
        """Write the opportunities of a batch one by one, without the one that cannot be kept."""
        for one in batch:
            try:
                store.record([one])
            except ValueError as error:
                self.error = StorageError(str(error))
                with self._lock:
                    self.dropped += 1

    def _forget(self, batch: Iterable[_Queued]) -> None:
        with self._lock:
            for queued in batch:
                key = queued[0].key
                if self._queue.get(key) is queued:
                    del self._queue[key]
