"""`ring`: cost of publishing into the ring and of reading from it, from Python, in one process.

Publishing is one call of the compiled core a group; reading copies the records. The reference of single calls is a method of the
same core with two arguments that has no work to do: the difference is the ring's own cost.
"""

from collections.abc import Iterator

from alphapulse_cli.apps.bench.ground import RING_CAPACITY, SYMBOL, Ground
from alphapulse_cli.apps.bench.measure import Timed, by_turns, calls, memcpy_of
from alphapulse_cli.apps.bench.report import Result
from alphapulse_cli.book.book import Book
from alphapulse_cli.shm.ring import RingReader
from alphapulse_cli.wire.batch import Batch
from alphapulse_cli.wire.delta import DELTA_BYTES, MAX_CHANGES, RecordKind

GROUP_RECORDS, BATCH_RECORDS = 16, 1024
BARE = "a bare method call of the core, two arguments"


def bare_call() -> Timed:
    """Make a timer of a method with two arguments and no work: the size at a price in an empty book."""
    return calls("size_at(1, False)", size_at=Book(2, 8).size_at)


def measure(ground: Ground) -> Iterator[Result]:
    """Measure the lines of this scenario."""
    with ground.outlet("bench-ring") as outlet:
        writer, budget = outlet.deltas, ground.budget_s
        one, group = filled_batch(1), filled_batch(GROUP_RECORDS)
        samples = by_turns(calls("publish(records, 1)", publish=writer.publish, records=one.records), bare_call(), budget)
        yield samples.result("ring", "publish one record", BARE, "Filling the record, and the clock; nobody sleeps on the ring.")
        publish = calls("publish(records, 16)", publish=writer.publish, records=group.records)
        samples = by_turns(
            publish, memcpy_of(GROUP_RECORDS * DELTA_BYTES), budget, per_call=GROUP_RECORDS, per_reference=GROUP_RECORDS
        )
        yield samples.result(
            "ring",
            "publish a group of 16, a record",
            f"memcpy of {GROUP_RECORDS * DELTA_BYTES:,} bytes, a record",
            "Filling the records; a record is 256 bytes.",
        )
        while writer.published < RING_CAPACITY:
            writer.publish(one.records, 1)
        oldest = writer.published - RING_CAPACITY
        reader = RingReader(writer.segment, oldest)

        def rewind() -> None:
            reader.seek(oldest)

        samples = by_turns(calls("poll(1)", rewind, poll=reader.poll), bare_call(), budget, most_calls=RING_CAPACITY)
        yield samples.result("ring", "read one record", BARE, "Looking into the record; the ring is warm in the cache.")
        poll = calls(f"poll({BATCH_RECORDS})", rewind, poll=reader.poll)
        most = RING_CAPACITY // BATCH_RECORDS
        samples = by_turns(
            poll,
            memcpy_of(BATCH_RECORDS * DELTA_BYTES),
            budget,
            most_calls=most,
            per_call=BATCH_RECORDS,
            per_reference=BATCH_RECORDS,
        )
        yield samples.result(
            "ring",
            "read 1,024 at once, a record",
            f"memcpy of {BATCH_RECORDS * DELTA_BYTES:,} bytes, a record",
            "Looking into the records; the ring is warm.",
        )


def filled_batch(records: int) -> Batch:
    """Make a group that fills that number of records."""
    batch = Batch(SYMBOL, "bench", 2, 8)
    for i in range(records * MAX_CHANGES):
        batch.append(6_000_000 + i, 1_000 + i)
    made = batch.finish(RecordKind.DELTA, 1, 1, 0)
    assert made == records
    return batch
