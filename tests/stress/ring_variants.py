"""The ring's protocol once more, in plain steps with a rest in every window, and with one step wrong when asked.

A window of a few nanoseconds shows a broken protocol once in a million publishes. Here each party rests for a moment wherever it may be
overtaken: a protocol that is wrong is then wrong many times a second, and one that is right stays right.
"""

from support.shm_processes import payload, ring_spec

from alphapulse_cli import native
from alphapulse_cli.errors import SegmentGone
from alphapulse_cli.shm import clock, layout
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.ring import RingReader, RingWriter
from alphapulse_cli.shm.segment import Segment

REST_NS = 50_000
RECORD_BYTES = 64
WRITER_MUTANTS = ("no claim store", "publish before payload", "claim after payload")
READER_MUTANTS = ("no re-check", "claim read before the copy")


def rest(times=1):
    if times:
        clock.pause(times * REST_NS)


class VariantWriter:
    """`RingWriter.publish` in plain steps, resting in the middle of the payload; `mutant` names the step that is wrong."""

    def __init__(self, segment, mutant):
        self.words = native.words(segment.memory)
        self.memory = segment.memory
        self.capacity = segment.spec.capacity
        self.published = 0
        self.mutant = mutant

    def publish(self, records, count):
        after = self.published + count
        if self.mutant not in ("no claim store", "claim after payload"):
            self.words[layout.CLAIMED] = after
        if self.mutant == "publish before payload":
            self.words[layout.PUBLISHED] = after
            rest()
        for i in range(count):
            self.copy(records[i * RECORD_BYTES : (i + 1) * RECORD_BYTES], (self.published + i) % self.capacity)
        rest(2)
        if self.mutant == "claim after payload":
            self.words[layout.CLAIMED] = after
        self.words[layout.PUBLISHED] = after
        self.published = after

    def copy(self, record, slot):
        """Half a record, a rest, the other half."""
        start = layout.HEADER_BYTES + slot * RECORD_BYTES
        self.memory[start : start + 32] = record[:32]
        rest()
        self.memory[start + 32 : start + 64] = record[32:]


class VariantReader:
    """`RingReader.poll` in plain steps, every other time resting before and in the middle of the copy; `mutant` names the step that is wrong."""

    def __init__(self, segment, mutant):
        self.words = native.words(segment.memory)
        self.memory = segment.memory
        self.capacity = segment.spec.capacity
        self.position = 0
        self.slow = False
        self.mutant = mutant

    def published(self):
        return self.words[layout.PUBLISHED]

    def poll(self, limit):
        end = self.published()
        missed = max(end - self.capacity - self.position, 0)
        first = self.position + missed
        count = min(end - first, limit)
        claimed = self.words[layout.CLAIMED]
        self.slow = not self.slow
        rest(10 * self.slow)  # long enough for a group or two
        copied = b"".join(self.copy((first + i) % self.capacity) for i in range(count))
        if self.mutant != "claim read before the copy":
            claimed = self.words[layout.CLAIMED]
        if self.mutant == "no re-check":
            claimed = 0
        lost = min(max(claimed - self.capacity - first, 0), count)
        self.position = first + count
        return copied[lost * RECORD_BYTES :], first + lost, missed + lost

    def copy(self, slot):
        start = layout.HEADER_BYTES + slot * RECORD_BYTES
        half = bytes(self.memory[start : start + 32])
        if slot % 4 == 0:
            rest(self.slow)
        return half + bytes(self.memory[start + 32 : start + 64])


def open_writer(segment, variant):
    """The product's own writer for "", else a variant: "right" or a mutant."""
    return VariantWriter(segment, variant) if variant else RingWriter(segment)


def open_reader(segment, variant):
    """The product's own reader for "", else a variant: "right" or a mutant."""
    return VariantReader(segment, variant) if variant else RingReader(segment, 0)


def write_ring(path, variant, capacity, duration_ns):
    """In a child: publish groups of 1 to a quarter of the ring until the time is up; then seal, and say how many there were."""
    import sys

    from support.shm_processes import tell

    with open_directory(path) as directory:
        segment = Segment.create(directory, ring_spec(capacity=capacity, record_bytes=RECORD_BYTES))
        segment.ready()
        tell("ready")
        sys.stdin.readline()
        writer = open_writer(segment, variant)
        largest = max(capacity // 4, 1)
        end = clock.monotonic_ns() + duration_ns
        groups = 0
        while clock.monotonic_ns() < end:
            count = groups % largest + 1
            writer.publish(b"".join(payload(writer.published + i) for i in range(count)), count)
            groups += 1
        segment.seal(writer.published)
        tell(writer.published)


def read_ring(path, variant, lags):
    """Read until the seal, staying behind by each of `lags` in turn; say (got, missed, torn).

    A record that is not what was published under its sequence is torn. The reader is as patient as its lag says, then as quick as it can.
    """
    with open_directory(path) as directory:
        segment = Segment.attach(directory, "kraken_orderbook_deltas")
    reader = open_reader(segment, variant)
    got = missed = torn = polls = 0
    while reader.position < segment.sealed:
        lag = lags[polls % len(lags)]
        while segment.sealed == layout.ALIVE and reader.published() - reader.position < max(lag, 1):
            clock.pause(0)
        try:
            records, first, lost = reader.poll(segment.spec.capacity)
        except SegmentGone:  # fewer claimed than published: the product's reader itself says that this is no ring
            return got, missed, torn + 1
        octets = bytes(records)
        held = len(octets) // RECORD_BYTES
        torn += sum(octets[i * RECORD_BYTES : (i + 1) * RECORD_BYTES] != payload(first + i) for i in range(held))
        got, missed, polls = got + held, missed + lost, polls + 1
    return got, missed, torn


def read_ring_and_tell(path, variant, lags):
    """`read_ring` in a child."""
    from support.shm_processes import tell

    tell("ready")
    tell(read_ring(path, variant, lags))
