"""The image's seqlock in plain steps with a rest in every window, and with one step wrong when asked; see ring_variants.py.

Each edit of version v sets every level to (v, v) and the number of levels to one that follows from v: any mixture shows.
"""

import struct
import sys

from stress.ring_variants import rest
from support.shm_processes import tell

from alphapulse_cli import native
from alphapulse_cli.shm import clock, layout
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.image import ImageReader, ImageWriter, book_spec
from alphapulse_cli.shm.segment import Segment

WRITER_MUTANTS = ("seq never odd", "seq even before the levels")
READER_MUTANTS = ("no re-check", "odd is accepted")
NAME = "kraken_book_BTC-USD"
LEVELS = 16


def bid_count(version):
    return version % LEVELS + 1


def ask_count(version):
    return LEVELS - version % LEVELS


def is_whole(copy):
    """Whether the copy is one moment of the book."""
    level = struct.pack("<qq", copy.version, copy.version)
    return (copy.bid_count, copy.ask_count, copy.book_hash) == (
        bid_count(copy.version),
        ask_count(copy.version),
        copy.version,
    ) and (
        copy.bids,
        copy.asks,
    ) == (level * copy.bid_count, level * copy.ask_count)


def set_levels(writer, version):
    level = struct.pack("<qq", version, version)
    writer.bids[: 16 * bid_count(version)] = level * bid_count(version)
    rest(1 + version % 3)
    writer.asks[: 16 * ask_count(version)] = level * ask_count(version)


def commit(writer, version):
    writer.commit(version, version, version, bid_count(version), ask_count(version), version, 2, 0, 0, 2, 8)


def edit(writer, words, version, variant):
    """One edit by the product's own calls, the steps of a mutant in the wrong order."""
    if variant == "seq never odd":
        set_levels(writer, version)
        before = words[layout.IMAGE_WORD]
        commit(writer, version)
        words[layout.IMAGE_WORD] = before + 2
    elif variant == "seq even before the levels":
        writer.begin()
        commit(writer, version)
        rest()
        set_levels(writer, version)
    else:
        writer.begin()
        set_levels(writer, version)
        commit(writer, version)


def write_image(path, variant, duration_ns):
    """In a child: edit until the time is up, a checkpoint now and then; say how many edits there were."""
    with open_directory(path) as directory:
        segment = Segment.create(directory, book_spec("kraken", "kraken", "BTC-USD", 1, LEVELS))
        writer = ImageWriter(segment)
        edit(writer, native.words(segment.memory), 1, "")
        segment.ready()
        tell("ready")
        sys.stdin.readline()
        end = clock.monotonic_ns() + duration_ns
        version = 1
        while clock.monotonic_ns() < end:
            version += 1
            edit(writer, native.words(segment.memory), version, variant)
            if version % 8 == 0:
                writer.checkpoint()
            rest(1 + version % 5)  # now too short for a slow copy, now long enough
        segment.retire()
        tell(version)


class VariantReader:
    """`ImageReader.copy` in plain steps, resting in the middle now and then; `mutant` names the step that is wrong."""

    def __init__(self, segment, mutant):
        self.segment = segment
        self.memory = segment.memory
        self.words = native.words(segment.memory)
        self.mutant = mutant
        self.tries = 0

    def copy(self):
        before = self.words[layout.IMAGE_WORD]
        if before % 2 and self.mutant != "odd is accepted":
            return None
        values = list(self.words[layout.IMAGE_WORD + 1 : layout.IMAGE_WORD + layout.IMAGE_WORD_COUNT])
        bids, asks = layout.HEADER_BYTES, layout.HEADER_BYTES + 16 * LEVELS
        bid_bytes = bytes(self.memory[bids : bids + 16 * values[3]])
        self.tries += 1
        rest(2 * (self.tries % 3))
        ask_bytes = bytes(self.memory[asks : asks + 16 * values[4]])
        if self.words[layout.IMAGE_WORD] != before and self.mutant != "no re-check":
            return None
        return layout.ImageCopy(before, *values, bid_bytes, ask_bytes)  # type: ignore[call-arg]  # as many as the layout has words


def read_image(path, variant):
    """Copy until the writer retires; (whole copies, torn copies, whole checkpoints, torn checkpoints, tries without a copy)."""
    with open_directory(path) as directory:
        segment = Segment.attach(directory, NAME)
    product = ImageReader(segment)
    reader = VariantReader(segment, variant) if variant else product
    found = {True: 0, False: 0}
    kept = {True: 0, False: 0}
    overtaken = 0
    while segment.sealed == layout.ALIVE:
        copy = reader.copy()
        if copy is None:
            overtaken += 1
        else:
            found[is_whole(copy)] += 1
        checkpoint = product.copy_checkpoint()
        if checkpoint is not None:
            kept[is_whole(checkpoint)] += 1
    return found[True], found[False], kept[True], kept[False], overtaken
