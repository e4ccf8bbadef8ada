"""`memory`: resident memory of a collector of three full-depth books, and its growth over an hour's messages.

    simulated Coinbase, as fast as it is read ──── loopback TCP ────► `alphapulse collect`, a process of its own
                                                                          ▲ /proc/PID/smaps_rollup, a sample every so many messages

An hour is measured in messages: those of an hour at the simulator's own pace, 20 a second and book. Resident memory is the kernel's
Rss, which includes the segments in shared memory and libraries that other processes share. Growth is measured in the process's own
memory, the kernel's Anonymous: segments have a fixed size, but their pages become resident at their first write, those of a ring of
trades only after many hours of a quiet market.
"""

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from alphapulse_cli.apps.bench.children import Gone, Lines, child
from alphapulse_cli.apps.bench.ground import RING_CAPACITY, Ground
from alphapulse_cli.apps.bench.report import Result, Samples
from alphapulse_cli.apps.bench.scenarios.startup import OURS, PYTHON
from alphapulse_cli.errors import AlphapulseError, IntegrityError
from alphapulse_cli.flow.follow import SetFollower
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import Counter, CountersReader
from alphapulse_cli.shm.directory import segment_name
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.segment import Segment

EXCHANGE, SYMBOLS, SET = "coinbase", ("BTC-USD", "ETH-USD", "XRP-USD"), "bench-memory"
LEVELS_A_SIDE = 24_000  # levels that the market is to have; cheap coins have no room for as many bids
LEAST_LEVELS = 45_000  # least average number of levels of the three books
HOUR_MESSAGES = 3600 * 20 * len(SYMBOLS)
WARM_MESSAGES = RING_CAPACITY + RING_CAPACITY // 8
SAMPLES, END_SAMPLES = 40, 8  # samples in all; the last END_SAMPLES are compared with the first
LIMIT_S, JOIN_S, LOOK_S = 240.0, 10.0, 0.01
SEED = 7
IDLE = f"""
import json, os, sys
import orjson, websockets.asyncio.client
import alphapulse_cli.apps.collect.collect, alphapulse_cli.cli.app, alphapulse_cli.cli.collect
from alphapulse_cli import exchanges
exchanges.get({EXCHANGE!r})
print(json.dumps({{"pid": os.getpid()}}), flush=True)
sys.stdin.read()
"""
BARE = "a process that imported the same and did nothing"
LEFT_OUT = "What the kernel keeps for sockets; pages of segments that nothing was written to yet."


def measure(ground: Ground) -> Iterator[Result]:
    """Measure the lines of this scenario."""
    warm, messages = ground.several(WARM_MESSAGES // 8, WARM_MESSAGES), ground.several(HOUR_MESSAGES // 60, HOUR_MESSAGES)
    with child("memory:idle") as bare:
        bare_bytes = float(resident_bytes(bare.hear()["pid"]))
    with child("memory:simulate", LEVELS_A_SIDE) as simulator:
        addresses = simulator.hear()
        arguments = ["collect", "--exchange", EXCHANGE, "--symbols", ",".join(SYMBOLS), "--as", SET, "--quiet"]
        arguments += ["--url", addresses["url"], "--rest-url", addresses["rest_url"], "--shm-dir", str(ground.directory.path)]
        with child("memory:collect", *arguments) as collector:
            pid = collector.hear()["pid"]
            resident, own = _sampled(ground, pid, warm, messages)
            peak = float(resident_bytes(pid, "VmHWM", "status"))
            _check_books(ground)
    yield Samples(resident, [bare_bytes], [one / bare_bytes for one in resident]).result(
        "memory", "three 45,000-level books, resident", BARE, LEFT_OUT, "bytes"
    )
    yield Samples([peak], [bare_bytes], [peak / bare_bytes]).result(
        "memory", "the same, at its highest", BARE, "Nothing: the snapshots' decoding is in it.", "bytes"
    )
    before, after = own[:END_SAMPLES], own[-END_SAMPLES:]
    begun = sorted(before)[END_SAMPLES // 2]
    yield Samples(after, before, [one / begun for one in after]).result(
        "memory",
        "its own memory after an hour's messages",
        "the same process before them",
        f"Segments. {messages:,} messages behind {warm:,}; an hour at 20 a second and book is {HOUR_MESSAGES:,}.",
        "bytes",
    )


def resident_bytes(pid: int, field: str = "Rss", table: str = "smaps_rollup") -> int:
    """Bytes in a line (in kB) of a process's table in /proc. Gone if there is no such process or line."""
    try:
        lines = Path(f"/proc/{pid}/{table}").read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise Gone(f"cannot see the memory of process {pid}: {error.strerror}") from None
    for line in lines:
        name, _, rest = line.partition(":")
        if name == field:
            return 1024 * int(rest.split()[0])
    raise Gone(f"the kernel does not tell {field} of a process")


def _sampled(ground: Ground, pid: int, warm: int, messages: int) -> tuple[list[float], list[float]]:
    """Sample the bytes of the collector's resident and own memory, SAMPLES times over `messages` after the first `warm`."""
    until = time.monotonic() + LIMIT_S
    resident: list[float] = []
    own: list[float] = []
    for i in range(SAMPLES):
        due = warm + messages * i // (SAMPLES - 1)
        while (seen := _frames(ground)) < due:
            if time.monotonic() > until:
                raise Gone(f"{seen:,} of {warm + messages:,} messages came within {LIMIT_S:.0f} s")
            time.sleep(LOOK_S)
        resident.append(float(resident_bytes(pid)))
        own.append(float(resident_bytes(pid, "Anonymous")))
        ground.progress(f"memory: {seen:,} of {warm + messages:,} messages, {resident[-1] / 1e6:.1f} MB")
    return resident, own


def _frames(ground: Ground) -> int:
    """Number of messages that the collector has received; 0 before it has segments."""
    try:
        segment = Segment.attach(ground.directory, segment_name(SegmentKind.COUNTERS, SET))
    except AlphapulseError:
        return 0
    try:
        return CountersReader(segment).total()[Counter.FRAMES.label]
    finally:
        segment.close()


def _check_books(ground: Ground) -> None:
    """Check that a reader that joins now gets all three books in full depth. IntegrityError if not."""
    follower, until = SetFollower(ground.directory, SET), time.monotonic() + JOIN_S
    try:
        while any(one.is_cold for one in follower.books.values()) and time.monotonic() < until:
            follower.poll(clock.monotonic_ns())
        counts = {symbol: one.book.bid_count + one.book.ask_count for symbol, one in follower.books.items() if not one.is_cold}
    finally:
        follower.close()
    if set(counts) != set(SYMBOLS) or sum(counts.values()) < LEAST_LEVELS * len(SYMBOLS):
        raise IntegrityError(f"memory: not three books of {LEAST_LEVELS} levels on average: {counts}")


# The other processes


def idle(_parent: Lines) -> None:
    """Become a process that imports the modules of a collector, reports its pid, and waits to be ended."""
    os.execv(sys.executable, [*PYTHON, "-c", IDLE])  # noqa: S606 ourselves


def simulate(parent: Lines, levels_a_side: int) -> None:
    """Serve a simulated exchange as fast as it is read, until killed."""
    asyncio.run(_simulate(parent, levels_a_side))


async def _simulate(parent: Lines, levels_a_side: int) -> None:
    from alphapulse_cli.sim.exchange import UNTHROTTLED, SimulatedExchange
    from alphapulse_cli.sim.market_maker import SimulatedMarket

    market = SimulatedMarket(EXCHANGE, SEED, SYMBOLS, levels_per_side=levels_a_side, start_ns=time.time_ns())
    async with SimulatedExchange(EXCHANGE, market, rate=UNTHROTTLED) as exchange:
        parent.send({"url": exchange.websocket_url, "rest_url": exchange.rest_url})
        await exchange.run_forever()


def collect(parent: Lines, *arguments: str) -> None:
    """Become the `alphapulse` command with these arguments, silent, until killed."""
    parent.send({"pid": os.getpid()})
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, parent.writing)  # its output is not read here, and a full pipe would stop it
    os.close(silence)
    os.execv(sys.executable, [*OURS, *arguments])  # noqa: S606 ourselves
