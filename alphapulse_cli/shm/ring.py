"""Ring: one process writes records, any number of processes read them, and no reader can slow or break the writer.

**The writer's promise.** To publish k records after n, the writer

    1. stores claimed = n + k               "from now on slots of n .. n+k may be half written"
    2. release fence                        no byte of the records may be seen before 1
    3. copies the records                   record s lies in slot s mod capacity
    4. store-releases published = n + k     a reader that sees this sees the records

**The reader's side**, whole; a reader in any language can be written from it:

    position = published                            # "now"; or max(0, claimed - capacity) for "oldest"
    forever:
        end = min(load-acquire published, sealed)   # sealed is 2^64-1 while the ring has no end
        if end <= position:                         # nothing new: over when position >= sealed, else wait
            …
        if position < end - capacity:               # lapped: those records are gone
            missed += end - capacity - position;  position = end - capacity
        copy records position .. min(end, position + limit) out of the ring
        acquire fence
        first_safe = load claimed - capacity        # *after* the copy: the writer overwrote the records below it meanwhile
        if first_safe > position:                   # the copies of records below first_safe may be torn: drop them
            missed += …;  return only those from first_safe on
        if claimed < end:                           # impossible in a whole file: it was cut short. Trust none of the copy
            give up
        position = after the last one copied

So for every reader got + missed == published - start, and no torn record is ever returned. A lap is not an error: the reader is
told how many records it missed and reads the book image. A *publish* stores two words, however many records it brings: a
2,000-level snapshot costs the same handshake as one level.

A reader trusts nothing that it reads here: slots are masked and counts bounded by `limit` and the capacity, even if the header is
damaged. The meaning of the records and the bounds of groups are not known here: `poll` may cut a group.
"""

from typing import Any, Literal

from alphapulse_cli import native
from alphapulse_cli.shm import layout, memory
from alphapulse_cli.shm.segment import Segment

SOURCE_HASH = native.source_hash()

_EMPTY = memoryview(b"")
_NO_REQUEST = bytes(8)


class RingWriter:
    """Single writer of a ring. `wake` is the set's wake page; each publish checks it (one load) for sleeping readers."""

    def __init__(self, segment: Segment, wake: Any = None) -> None:
        assert segment.writable
        spec = segment.spec
        self.segment = segment
        self.record_bytes = spec.record_bytes
        self.capacity = spec.capacity
        self._memory = segment.memory
        self._words = native.words(segment.memory)
        self._octets = native.octets(segment.memory)
        self._claimed, self._published_at, self._data = layout.CLAIMED, layout.PUBLISHED, layout.HEADER_BYTES
        self._sealed_at, self._state_at = layout.SEALED, layout.STATE
        self._wake = wake
        self._requests = bytearray(_NO_REQUEST) if wake is None else wake.memory
        self._request_words = native.words(self._requests)
        self._request = 0 if wake is None else wake.request_word(spec.kind)
        self._published = segment.published
        self.after_reset = 0  # sequence behind the last RESET: until its image is read, readers have no book

    @property
    def published(self) -> int:
        """Sequence of the next record."""
        return self._published

    def publish(self, records: Any, count: int) -> int:
        """Publish the first `count` records of the buffer at once; the sequence of the first.

        ValueError unless 1 <= count <= capacity.
        StorageError where the file was cut short: these records, and any published since that moment, are lost.
        """
        if count < 1 or count > self.capacity:
            raise ValueError(f"cannot publish {count} records at once: the ring takes 1..{self.capacity}")
        size = self.record_bytes
        source = native.octets_of(records, count * size)
        first = self._published
        after = first + count
        memory.store_relaxed(self._words, self._claimed, after)
        memory.release_fence()
        slot = first & (self.capacity - 1)
        head = self.capacity - slot
        if head >= count:
            native.move_octets(self._octets, self._data + slot * size, source, 0, count * size)
        else:
            native.move_octets(self._octets, self._data + slot * size, source, 0, head * size)
            native.move_octets(self._octets, self._data, source, head * size, (count - head) * size)
        memory.store_release(self._words, self._published_at, after)
        self._published = after
        if memory.load_relaxed(self._words, self._sealed_at) == 0 and memory.load_relaxed(self._words, self._state_at) == 0:
            raise self.segment.lost()  # the mapping was replaced by zeros (see `Segment.is_gone`)
        if memory.load_relaxed(self._request_words, self._request) != 0:
            self._wake.wake(self)
        return first


class RingReader:
    """Reader of a ring, with its own position.

    `start` is "now" (the next record), "oldest" (the oldest still kept), or a sequence.
    """

    def __init__(self, segment: Segment, start: Literal["now", "oldest"] | int = "now") -> None:
        spec = segment.spec
        self.segment = segment
        self.record_bytes = spec.record_bytes
        self.capacity = spec.capacity
        self.missed = 0
        self._memory = segment.memory
        self._words = native.words(segment.memory)
        self._octets = native.octets(segment.memory)
        self._claimed, self._published_at, self._data = layout.CLAIMED, layout.PUBLISHED, layout.HEADER_BYTES
        self._sealed_at, self._state_at = layout.SEALED, layout.STATE
        self._room = 0
        if start == "now":
            first = segment.published
        elif start == "oldest":
            first = min(max(segment.claimed - spec.capacity, 0), segment.published)
        else:
            first = start
        if not 0 <= first <= native.MASK64:
            raise ValueError(f"a sequence must be 0..2^64-1, not {first}")
        self._position = first

    @property
    def position(self) -> int:
        """Sequence of the next record that `poll` may return."""
        return self._position

    def published(self) -> int:
        """Number of records published so far, at most the sealed end; cheap enough to poll."""
        end = memory.load_acquire(self._words, self._published_at)
        sealed = memory.load_acquire(self._words, self._sealed_at)
        return min(end, sealed)

    @property
    def lag(self) -> int:
        """Records published and not yet read."""
        end = self.published()
        return end - self._position if end > self._position else 0

    @property
    def ended(self) -> bool:
        """Whether the ring has ended and all of it was read; then attach again for the successor."""
        sealed = memory.load_acquire(self._words, self._sealed_at)
        return sealed != native.MASK64 and self._position >= sealed

    def seek(self, sequence: int) -> None:
        """Continue from the record of this sequence; ValueError unless it is a u64."""
        if not 0 <= sequence <= native.MASK64:
            raise ValueError(f"a sequence must be 0..2^64-1, not {sequence}")
        self._position = sequence

    def poll(self, limit: int) -> Any:
        """Return (records, first sequence, missed): at most `limit` records, as a memoryview that is valid until the next poll.

        `missed` counts the records lost before `first`; without records to return the view is empty. ValueError for a limit below
        1, SegmentGone where the file was cut short.
        """
        if limit < 1:
            raise ValueError(f"the limit must be at least 1 record, not {limit}")
        end = self.published()
        position, capacity, wanted = self._position, self.capacity, limit
        if end <= position:
            if end == 0 and self._is_zeroed():
                raise self.segment.gone()
            return _EMPTY, position, 0
        missed = 0
        if end - position > capacity:
            missed = end - capacity - position
            position = end - capacity
        count = min(end - position, wanted)
        self._copy(position, count)
        memory.acquire_fence()
        claimed = memory.load_relaxed(self._words, self._claimed)
        if claimed < end:
            raise self.segment.gone()
        lost = 0
        if claimed > capacity and claimed - capacity > position:
            lost = min(claimed - capacity - position, count)
        self._position = position + count
        self.missed = (self.missed + missed + lost) & native.MASK64  # a damaged header may say anything
        if lost == count:
            return _EMPTY, self._position, missed + lost
        size = self.record_bytes
        return self._view[lost * size : count * size], position + lost, missed + lost

    def _is_zeroed(self) -> bool:
        """Whether the mapping was replaced by zeros (see `Segment.is_gone`)."""
        sealed = memory.load_acquire(self._words, self._sealed_at)
        state = memory.load_acquire(self._words, self._state_at)
        return sealed == 0 and state == 0

    def _copy(self, position: int, count: int) -> None:
        """Copy `count` records (at most the capacity) from `position` on into our own memory."""
        size = self.record_bytes
        if count > self._room:
            self._scratch = bytearray(count * size)  # never resized: the caller may still hold a view of the old one
            self._view = memoryview(self._scratch)
            self._target = native.octets(self._scratch)
            self._room = count
        slot = position & (self.capacity - 1)
        head = self.capacity - slot
        if head >= count:
            native.move_octets(self._target, 0, self._octets, self._data + slot * size, count * size)
        else:
            native.move_octets(self._target, 0, self._octets, self._data + slot * size, head * size)
            native.move_octets(self._target, head * size, self._octets, self._data, (count - head) * size)
