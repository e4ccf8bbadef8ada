"""`latency`: one-way latency from a publishing process to a reading process, for each way of waiting; and sustained rates.

    writer: stamp the record with the clock, publish        ═══ ring ═══►        reader: poll, look at the clock

CLOCK_MONOTONIC is one clock for all processes of a machine. *Paced* records come one by one, and the reader waits for each; *at
full speed* the writer never pauses. `poll` is the bare loop around `RingReader.poll`; spin, yield, sleep and wake are the ways of
waiting of `--wait` (`readers.waiting`).
"""

import time
from collections.abc import Iterator
from typing import Any

from alphapulse_cli.apps.bench.children import Lines, child
from alphapulse_cli.apps.bench.ground import Ground
from alphapulse_cli.apps.bench.measure import memcpy_of
from alphapulse_cli.apps.bench.report import Result, Samples, quantile
from alphapulse_cli.apps.bench.scenarios.ring import GROUP_RECORDS, filled_batch
from alphapulse_cli.readers.waiting import WAYS, idle_strategy
from alphapulse_cli.shm.directory import open_directory, segment_name
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.ring import RingReader, RingWriter
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.wire.delta import DELTA_BYTES

SET = "bench-latency"
BARE_POLL = "poll"
BUSY, IDLE = "a core is kept busy", "the reader sleeps in between"
PAUSE_NS = {BARE_POLL: 50_000, "spin": 50_000, "yield": 50_000, "sleep": 1_000_000, "wake": 1_000_000}
ROUND_TRIP = "a pipe round trip"
LEFT_OUT = "Decoding and the book; the stamp, two looks at the clock and Python's own loop are in it."
CAPACITY = 65_536  # records: enough for the delays of a busy machine
FASTEST_PER_S, SLOWEST_PER_S = 32_000_000, 20_000
SLOWER = 0.7
CHECK_EVERY = 4096  # empty polls between two looks at the limit
LIMIT_S = 20.0


def measure(ground: Ground) -> Iterator[Result]:
    """Measure the lines of this scenario."""
    with (
        ground.outlet(SET, capacity=CAPACITY) as outlet,
        child("latency:read", str(ground.directory.path), SET) as reader,
    ):
        writer = outlet.deltas
        for way in (BARE_POLL, *WAYS):
            ground.progress(f"latency: {way}, paced")
            pauses = ground.several(600 if PAUSE_NS[way] < 100_000 else 80, 4000 if PAUSE_NS[way] < 100_000 else 500)
            samples, missed = _latencies(reader, writer, way, PAUSE_NS[way], pauses, ground.several(4, 12))
            yield samples.result("latency", f"{way}, paced", ROUND_TRIP, _with_missed(LEFT_OUT, missed))
        ground.progress("latency: full speed")
        samples, missed = _latencies(reader, writer, BARE_POLL, 0, ground.several(20_000, 100_000), ground.several(3, 10))
        yield samples.result(
            "latency",
            f"{BARE_POLL}, full speed",
            ROUND_TRIP,
            _with_missed("Queueing is in it: one by one, without a pause.", missed),
        )
        for case, records in (
            ("sustained singly, a record", 1),
            (f"sustained in groups of {GROUP_RECORDS}, a record", GROUP_RECORDS),
        ):
            ground.progress(f"latency: {case}")
            found = _sustained(reader, writer, records, ground.several(300_000, 3_000_000), ground.several(3, 8))
            if found is None:
                ground.leave_out("latency", case, f"the reader missed records even at {SLOWEST_PER_S} a second")
            else:
                yield found.result(
                    "latency",
                    case,
                    f"memcpy of {DELTA_BYTES} bytes",
                    f"Looking into the records; the highest pace found at which none was missed, in a ring of {CAPACITY:,}.",
                )


def _with_missed(sentence: str, missed: int) -> str:
    return f"{sentence} {missed} were missed." if missed else sentence


def _latencies(reader: Lines, writer: RingWriter, way: str, pause_ns: int, count: int, rounds: int) -> tuple[Samples, int]:
    """Sample one-way latencies of `rounds` times `count` records, with pipe round trips between; count the missed ones."""
    samples, missed = Samples(), 0
    for _ in range(rounds):
        trips = _round_trips(reader, max(count // 20, 100))
        reader.send({"do": "listen", "way": way, "count": count})
        assert reader.hear() == "listening"
        _publish_stamped(writer, count, pause_ns)
        report = reader.hear()
        missed += report["missed"]
        samples.work += report["latencies"]
        samples.reference += trips
        median = quantile(sorted(report["latencies"]), 0.5)
        samples.ratios.append(median / quantile(sorted(trips), 0.5))
    return samples, missed


def _round_trips(reader: Lines, count: int) -> list[float]:
    reader.send({"do": "echo", "count": count})
    assert reader.hear() == "echoing"
    now, trips = time.monotonic_ns, []
    for _ in range(count):
        begun = now()
        reader.ping()
        trips.append(float(now() - begun))
    return trips


def _publish_stamped(writer: RingWriter, count: int, pause_ns: int) -> None:
    """Publish records, `pause_ns` apart, whose first word is the time just before their publication."""
    now, publish, records = time.monotonic_ns, writer.publish, filled_batch(1).records
    words = memoryview(records).cast("Q")
    due = now() + 1_000_000
    while now() < due:
        pass
    for _ in range(count):
        if pause_ns:
            due += pause_ns
            if pause_ns > 500_000:
                time.sleep(max(due - now(), 0) / 1e9)
            while now() < due:
                pass
        words[0] = now()
        publish(records, 1)


def _sustained(reader: Lines, writer: RingWriter, records: int, count: int, rounds: int) -> Samples | None:
    """Sample ns a record at the highest pace at which the reader missed no record; None if it missed some at every pace."""
    samples, memcpy = Samples(batch=count), memcpy_of(DELTA_BYTES)
    per_s = float(FASTEST_PER_S)
    for _ in range(rounds):
        while per_s >= SLOWEST_PER_S:
            some = int(min(count, max(per_s / 10, 2_000)))  # a tenth of a second
            spent_ns = _drained_ns(reader, writer, records, some, per_s)
            if spent_ns:
                copied_ns = memcpy(1000) / 1000
                samples.work.append(spent_ns / some)
                samples.reference.append(copied_ns)
                samples.ratios.append(spent_ns / some / copied_ns)
                break
            per_s *= SLOWER
        per_s /= SLOWER * SLOWER  # the next round may do better
    return samples if samples.work else None


def _drained_ns(reader: Lines, writer: RingWriter, records: int, count: int, per_s: float) -> int:
    """Time in ns from the first record's publication to the reading of the last one; 0 if the reader missed any."""
    reader.send({"do": "drain", "count": count})
    assert reader.hear() == "draining"
    now, publish, source = time.monotonic_ns, writer.publish, filled_batch(records).records
    burst = max(1, 256 // records)
    begun = due = now()
    for _ in range(0, count, burst * records):
        while now() < due:
            pass
        for _ in range(burst):
            publish(source, records)
        due += int(burst * records * 1e9 / per_s)
    report = reader.hear()
    return 0 if report["missed"] else report["ended_ns"] - begun


# The reader's process


def read(parent: Lines, path: str, set_name: str) -> None:
    """Main function of the reader: carry out the parent's commands until it has gone."""
    with open_directory(path) as directory:
        reader = RingReader(Segment.attach(directory, segment_name(SegmentKind.DELTAS, set_name)))
        ways = {way: idle_strategy(way, directory, set_name) for way in WAYS}
        while True:
            command = parent.hear(3600)
            reader.seek(reader.published())
            if command["do"] == "echo":
                parent.send("echoing")
                parent.echo(command["count"])
            elif command["do"] == "listen":
                parent.send("listening")
                parent.send(_listen(reader, ways.get(command["way"]), command["count"]))
            else:
                parent.send("draining")
                parent.send(_drain(reader, command["count"]))


def _listen(reader: RingReader, idle: Any, count: int) -> dict[str, Any]:
    """Latencies in ns of the next `count` records, without those that were missed."""
    poll, now = reader.poll, time.monotonic_ns
    latencies: list[int] = []
    until, seen, missed, empty = now() + int(LIMIT_S * 1e9), 0, 0, 0
    while seen < count:
        records, _, lost = poll(256)
        if records:
            at = now()
            stamps = records.cast("Q")[:: DELTA_BYTES // 8].tolist()
            latencies += [at - stamp for stamp in stamps]
            seen += len(stamps) + lost
            missed += lost
            continue
        seen, missed = seen + lost, missed + lost
        if idle is not None:
            idle.wait(reader, 0.01)
        empty += 1
        if empty % CHECK_EVERY == 0 and now() > until:
            break
    return {"latencies": latencies, "missed": missed}


def _drain(reader: RingReader, count: int) -> dict[str, int]:
    """Read `count` records as fast as they come; returns the time of the last one and the number missed."""
    poll, now = reader.poll, time.monotonic_ns
    until, seen, missed, empty = now() + int(LIMIT_S * 1e9), 0, 0, 0
    while seen < count:
        records, _, lost = poll(1024)
        seen += len(records) // DELTA_BYTES + lost
        missed += lost
        if not records:
            empty += 1
            if empty % CHECK_EVERY == 0 and now() > until:
                break
    return {"ended_ns": now(), "missed": missed}
