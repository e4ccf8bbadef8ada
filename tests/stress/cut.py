"""Files cut short under those who have them mapped: what each of them is doing, in a process of its own, and how it ended.

Each child begins, says "mapped", and goes on until its segment is gone; then it says the error's name and text. `guarded` false puts back
what SIGBUS does to any other process: the mutant, which must die.
"""

import signal
import time

from support.shm_processes import payload, ring_spec, tell

from alphapulse_cli.errors import AlphapulseError
from alphapulse_cli.readers.waiting import Waiting
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import Counter, CountersReader, CountersWriter, counters_spec
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.image import ImageReader, ImageWriter, book_spec
from alphapulse_cli.shm.mapping import Mapping
from alphapulse_cli.shm.ring import RingReader, RingWriter
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.shm.wake import WakePage

CAPACITY, RECORD_BYTES, LEVELS = 64, 256, 512
RING, BOOK, COUNTERS = "kraken_orderbook_deltas", "kraken_book_BTC-USD", "kraken_counters"
SIZES = (0, 2048, 4096)  # nothing is left; the header's own page is cut; the header is whole and the data gone
LIMIT_S = 30


def make(directory):
    """A ring that is full, an image with levels, counters, a wake page: ready, and nobody's."""
    ring = Segment.create(directory, ring_spec(CAPACITY, RECORD_BYTES))
    writer = RingWriter(ring)
    for sequence in range(CAPACITY):
        writer.publish(payload(sequence, RECORD_BYTES), 1)
    book = Segment.create(directory, book_spec("kraken", "kraken", "BTC-USD", 1, LEVELS))
    edit(ImageWriter(book), 1)
    counters = Segment.create(directory, counters_spec("kraken", "kraken", 1, 40))
    CountersWriter(counters).block().add(Counter.FRAMES, 7)
    for segment in (ring, book, counters):
        segment.ready()
    WakePage.open(directory, "kraken", create=True)


def edit(writer, version):
    """Every level is its version."""
    level = version.to_bytes(8, "little") * 2
    writer.begin()
    writer.bids[: 16 * LEVELS] = writer.asks[: 16 * LEVELS] = level * LEVELS
    writer.commit(version, 1, 1, LEVELS, LEVELS, version, 2, 0, 0, 2, 8)


def spin(directory):
    """Read the whole ring again and again."""
    reader = RingReader(Segment.attach(directory, RING), 0)
    yield
    while True:
        reader.seek(0)
        records, first, _ = reader.poll(CAPACITY)
        assert bytes(records) == b"".join(payload(s, RECORD_BYTES) for s in range(first, CAPACITY)), "a wrong record was believed"
        yield


def wait(directory, how):
    """Sit at the ring's end and wait for more."""
    reader, waiting = RingReader(Segment.attach(directory, RING)), Waiting(how, directory)
    yield
    while True:
        assert not waiting.wait({"kraken": reader}, 0.02)
        reader.poll(1)
        yield


def sleep(directory):
    return wait(directory, "wake")


def poll(directory):
    return wait(directory, "spin")


def copy(directory):
    """Copy the whole image again and again."""
    reader = ImageReader(Segment.attach(directory, BOOK))
    yield
    while True:
        found = reader.copy()
        if found is not None:
            level = found.version.to_bytes(8, "little") * 2
            assert (found.bids, found.asks) == (level * LEVELS,) * 2, "a wrong level was believed"
            assert found.version == found.book_hash > 0, "a book was believed that never was"
        yield


def count(directory):
    """Look at the counters again and again."""
    reader = CountersReader(Segment.attach(directory, COUNTERS))
    yield
    while True:
        assert reader.blocks()[""]["frames"] == 7
        reader.histograms()
        yield


def publish(directory):
    """Write the ring, and beat."""
    segment = Segment.attach(directory, RING, writable=True)
    writer = RingWriter(segment)
    yield
    while True:
        writer.publish(payload(writer.published, RECORD_BYTES), 1)
        segment.beat(clock.monotonic_ns())
        yield


def change(directory):
    """Write the image, and beat."""
    segment = Segment.attach(directory, BOOK, writable=True)
    writer, version = ImageWriter(segment), 1
    yield
    while True:
        version += 1
        edit(writer, version)
        writer.checkpoint()
        segment.beat(clock.monotonic_ns())
        yield


def beat(directory):
    """A writer to whom nothing happens."""
    segment = Segment.attach(directory, COUNTERS, writable=True)
    block = CountersWriter(segment).block()
    yield
    while True:
        block.add(Counter.FRAMES)
        segment.beat(clock.monotonic_ns())
        yield


READERS = {"spin": RING, "sleep": RING, "poll": RING, "copy": BOOK, "count": COUNTERS}
WRITERS = {"publish": RING, "change": BOOK, "beat": COUNTERS}


def live(path, doing, *, guarded):
    """In a child: do that until it fails, or for half a minute; say what came of it."""
    with open_directory(path) as directory:
        work = globals()[doing](directory)
        for _ in range(2):  # attached, and once around: nothing is mapped any more from here on (mapping puts the guard back)
            next(work)
        if not guarded:
            signal.signal(signal.SIGBUS, signal.SIG_DFL)
            Mapping.is_cut = lambda self: False  # nor may it look at the file's size in time
        tell("mapped")
        until = time.monotonic() + LIMIT_S
        try:
            while time.monotonic() < until:
                next(work)
        except AlphapulseError as error:
            tell([type(error).__name__, str(error), error.hint])
        else:
            tell(["nothing", f"nothing happened in {LIMIT_S} s", ""])


def live_guarded(path, doing):
    live(path, doing, guarded=True)


def live_unguarded(path, doing):
    live(path, doing, guarded=False)


def fault(path, before, after):
    """In a child: a fault that is none of ours, with faulthandler enabled before or after our guard, or not at all; it must be as ever."""
    import faulthandler
    import mmap
    import os
    import sys
    from pathlib import Path

    with open_directory(path) as directory:
        if before:
            faulthandler.enable(sys.stdout)
        Segment.attach(directory, RING)
        if after:
            faulthandler.enable(sys.stdout)
            Segment.attach(directory, RING)
        foreign = Path(path) / "foreign"
        foreign.write_bytes(bytes(8192))
        with foreign.open("r+b") as file:
            mapped = mmap.mmap(file.fileno(), 8192)
            os.truncate(foreign, 0)
        tell("mapped")
        mapped[5000]
        tell("alive")
