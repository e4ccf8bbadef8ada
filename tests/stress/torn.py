"""Checked reads by the million: the product's ring and image between two processes, as fast as they go.

What record s holds follows from s, out of a table made beforehand, so that to check a whole poll is one comparison of bytes. Windows are
nanoseconds wide here; `ring_variants` and `image_variants` do the same slowly, with wide ones, and can be wrong on purpose.
"""

import random
import struct
import sys
from functools import partial

from stress import image_variants, ring_variants
from support.shm_processes import child, payload, ring_spec, tell
from support.strategies_book import Message, Writer

from alphapulse_cli.book.reconstruct import ColdReason, Reconstructor
from alphapulse_cli.errors import SegmentGone
from alphapulse_cli.shm import clock, image, layout
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.image import ImageReader, ImageWriter
from alphapulse_cli.shm.ring import RingReader, RingWriter
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.wire import delta

RECORD_BYTES = 256
PERIOD = 4093  # a prime: what a lap brings into a slot is never what was there
CAPACITIES = (2, 4, 16, 64, 256, 2048)
LEVELS = 16
FLAGS_AT = delta.offsets()["flags"]
MUTANT_NS, ROUNDS = 150_000_000, 120
MUTANT_CAPACITY = 16
LAGS = (0, MUTANT_CAPACITY - 1, MUTANT_CAPACITY // 2, MUTANT_CAPACITY, 1, MUTANT_CAPACITY - 4, 3 * MUTANT_CAPACITY)


def table(capacity):
    """Records 0 .. PERIOD, then those that a slice from near the end runs on into."""
    return b"".join(payload(s % PERIOD, RECORD_BYTES) for s in range(PERIOD + capacity))


def write_ring(path, capacity, duration_ns, seed):
    """In a child: groups of random size, at full speed and with short breaths, until the time is up; say how many records."""
    dice = random.Random(seed)
    with open_directory(path) as directory:
        segment = Segment.create(directory, ring_spec(capacity=capacity, record_bytes=RECORD_BYTES))
        segment.ready()
        records = memoryview(table(capacity))
        plan = [(dice.randint(1, max(capacity // 4, 1)), dice.choice((0, 0, 1, 10, 100))) for _ in range(997)]
        tell("ready")
        sys.stdin.readline()
        writer = RingWriter(segment)
        end = clock.monotonic_ns() + duration_ns
        while clock.monotonic_ns() < end:
            for count, breath in plan:
                start = writer.published % PERIOD * RECORD_BYTES
                writer.publish(records[start : start + count * RECORD_BYTES], count)
                for _ in range(breath):
                    pass
        segment.seal(writer.published)
        tell(writer.published)


def read_ring(path, capacity):
    """Read to the seal, at every lag from none past the capacity in turn; (got, missed, polls that brought a wrong byte)."""
    with open_directory(path) as directory:
        segment = Segment.attach(directory, "kraken_orderbook_deltas")
    reader, expected = RingReader(segment, 0), table(capacity)
    got = missed = torn = lag = 0
    while not reader.ended:
        lag = (lag + 1) % (capacity + 3)
        while reader.lag < lag and segment.sealed == layout.ALIVE:
            pass
        for _ in range(64):
            records, first, lost = reader.poll(capacity)
            start = first % PERIOD * RECORD_BYTES
            torn += bytes(records) != expected[start : start + len(records)]
            got += len(records) // RECORD_BYTES
            missed += lost
    return got, missed, torn


def set_levels(writer, version):
    level = struct.pack("<qq", version, version)
    bids, asks = image_variants.bid_count(version), image_variants.ask_count(version)
    writer.bids[: 16 * bids] = level * bids
    writer.asks[: 16 * asks] = level * asks


def write_image(path, duration_ns):
    """In a child: whole edits at full speed, a checkpoint now and then, until the time is up; say how many edits."""
    with open_directory(path) as directory:
        segment = Segment.create(directory, image.book_spec("kraken", "kraken", "BTC-USD", 1, LEVELS))
        writer = ImageWriter(segment)
        set_levels(writer, 0)
        image_variants.commit(writer, 0)
        segment.ready()
        tell("ready")
        sys.stdin.readline()
        end, version = clock.monotonic_ns() + duration_ns, 0
        while clock.monotonic_ns() < end:
            for _ in range(256):
                version += 1
                writer.begin()
                set_levels(writer, version)
                image_variants.commit(writer, version)
                for _ in range(version % 64):
                    pass
            writer.checkpoint()
        segment.retire()
        tell(version)


def read_image(path):
    """Copy until the writer retires; (copies, overtaken tries, torn copies), checkpoints among them."""
    with open_directory(path) as directory:
        segment = Segment.attach(directory, image_variants.NAME)
    reader = ImageReader(segment)
    copies = overtaken = torn = 0
    while segment.sealed == layout.ALIVE:
        for copy in (reader.copy(), reader.copy(), reader.copy_checkpoint()):
            if copy is None:
                overtaken += 1
            else:
                copies += 1
                torn += not image_variants.is_whole(copy)
    return copies, overtaken, torn


def ring_cell(path, capacity, duration_ns, seed):
    """(got, missed, torn, published) of one writer and one reader."""
    with child("stress.torn:write_ring", path, capacity, duration_ns, seed) as writer:
        writer.line()
        writer.say("go")
        return (*read_ring(path, capacity), writer.line())


def image_cell(path, duration_ns):
    with child("stress.torn:write_image", path, duration_ns) as writer:
        writer.line()
        writer.say("go")
        return (*read_image(path), writer.line())


def mutants(place, seed):
    """{mutant: what caught it, a count}, each between real processes and through the same checks as the product.

    When the processes meet is the machine's affair: a busy one may not run both at once for long. A mutant runs until it was caught, at
    most ROUNDS times; one that none of them caught is a failure.
    """
    found = {}
    for name in (*ring_variants.WRITER_MUTANTS, *ring_variants.READER_MUTANTS):
        found[f"ring: {name}"] = until_caught(place, f"ring {name}", partial(ring_mutant, name))
    for name in (*image_variants.WRITER_MUTANTS, *image_variants.READER_MUTANTS):
        found[f"image: {name}"] = until_caught(place, f"image {name}", partial(image_mutant, name))
    found["ring: two writers"] = until_caught(place, "two writers", two_writers)
    found["group without FIRST"] = noticed_without_first(seed)
    return found


def until_caught(place, name, round_of):
    """What the first round that caught it counted; 0 after ROUNDS in vain."""
    return next((caught for number in range(ROUNDS) if (caught := round_of(place(f"{name} {number}")))), 0)


def ring_mutant(name, path):
    """Wrong polls of one round; the mutant is the writer or the reader, the other is right."""
    is_writers = name in ring_variants.WRITER_MUTANTS
    with child("stress.ring_variants:write_ring", path, name if is_writers else "right", MUTANT_CAPACITY, MUTANT_NS) as writer:
        writer.line()
        writer.say("go")
        return ring_variants.read_ring(path, "right" if is_writers else name, LAGS)[2]


def image_mutant(name, path):
    """Wrong copies of one round."""
    is_writers = name in image_variants.WRITER_MUTANTS
    with child("stress.image_variants:write_image", path, name if is_writers else "", MUTANT_NS) as writer:
        writer.line()
        writer.say("go")
        return image_variants.read_image(path, "" if is_writers else name)[1]


def noticed_without_first(seed):
    """Of 100 groups of several records whose first has lost its FIRST: how many a replica noticed, its book as it was."""
    dice, caught = random.Random(seed), 0
    for _ in range(100):
        writer = Writer()
        writer.take(Message(is_snapshot=True, levels=[(100, 1, False)], depth=None))
        before = writer.pictures[-1]
        prices = dice.sample(range(1000, 9000), dice.randint(13, 60))
        writer.take(Message(is_snapshot=False, levels=[(price, 1, True) for price in prices], depth=None))
        writer.stream[256 * (before.position + 2) + FLAGS_AT] &= ~delta.FIRST  # behind another book's record and a CHECK
        replica = Reconstructor("kraken", "BTC-USD")
        before.load_into(replica)
        replica.apply(bytes(writer.stream), 0, len(writer.stream) // 256)
        caught += replica.why is ColdReason.GROUP_WITHOUT_FIRST and replica.book.book_hash == before.book_hash
    return caught


def write_beside(path, duration_ns):
    """In a child: a second writer of a ring that has one."""
    with open_directory(path) as directory:
        segment = Segment.attach(directory, "kraken_orderbook_deltas", writable=True)
        writer = RingWriter(segment)
        tell("ready")
        sys.stdin.readline()
        end = clock.monotonic_ns() + duration_ns
        while clock.monotonic_ns() < end:
            writer.publish(payload(writer.published), 1)
            ring_variants.rest()
        tell(writer.published)


def two_writers(path):
    """Polls with a wrong record that a reader got from a ring that two processes write."""
    with child("stress.ring_variants:write_ring", path, "", MUTANT_CAPACITY, MUTANT_NS) as first:
        first.line()
        with child("stress.torn:write_beside", path, MUTANT_NS) as second:
            second.line()
            first.say("go")
            second.say("go")
            with open_directory(path) as directory:
                segment = Segment.attach(directory, "kraken_orderbook_deltas")
            reader, torn = RingReader(segment, 0), 0
            while segment.sealed == layout.ALIVE:
                try:
                    records, start, _ = reader.poll(MUTANT_CAPACITY)
                except SegmentGone:  # fewer claimed than published: the one has overtaken the other
                    torn += 1
                    continue
                octets = bytes(records)
                torn += any(octets[64 * i : 64 * i + 64] != payload(start + i) for i in range(len(octets) // 64))
            return torn


def campaign(place, count, seed, say):
    """Until `count` records were read and checked; (what was counted, what failed)."""
    counted = dict.fromkeys(("records checked", "image copies checked", "torn", "got + missed is not published"), 0)
    dice, cell = random.Random(seed), 0
    duration_ns = 5_000_000_000 if count > 10_000_000 else 300_000_000
    while counted["records checked"] < count:
        capacity = CAPACITIES[cell % len(CAPACITIES)]
        if cell % len(CAPACITIES) == 0:
            copies, _, torn, edits = image_cell(place(f"image {cell}"), duration_ns)
            say(f"image: {copies:,} copies of {edits:,} edits, {torn} torn")
            counted["image copies checked"] += copies
            counted["torn"] += torn
        got, missed, torn, published = ring_cell(place(f"ring {cell}"), capacity, duration_ns, dice.getrandbits(32))
        say(f"ring of {capacity}: {got:,} got + {missed:,} missed of {published:,}, {torn} torn")
        counted["records checked"] += got
        counted["torn"] += torn
        counted["got + missed is not published"] += got + missed != published
        cell += 1
    caught = mutants(place, seed)
    for name, times in caught.items():
        say(f"mutant {name}: caught {times:,} times")
    failed = [f"{name}: {counted[name]}" for name in ("torn", "got + missed is not published") if counted[name]]
    counted["mutants"] = len(caught)
    return counted, failed + [f"mutant not caught: {name}" for name, times in caught.items() if not times]
