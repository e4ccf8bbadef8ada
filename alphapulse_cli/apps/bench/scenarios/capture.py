"""`capture`: CPU of a collector that captures against one that does not, at 5,000 messages/s, and the size of what it writes.

Also that of a collector that keeps its last frames in memory, as they all do, against one that does not.

    sender: simulated Coinbase, 5 messages each millisecond ──── loopback TCP ────► collector ─► segments
                                                                                        └─► capture ─► files

A collector is a process of its own, and its CPU that of all its threads, so the compression is in it. The size is compared with one
zstd frame of the same frames, of the same level; checkpoints, which have a share of their own, are left out of it.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alphapulse_cli.apps.bench.children import Lines, child
from alphapulse_cli.apps.bench.ground import Ground
from alphapulse_cli.apps.bench.report import Result, Samples, quantile
from alphapulse_cli.apps.bench.scenarios.collect import PREPARED_S, collected
from alphapulse_cli.edges.capture.blocks import compress
from alphapulse_cli.edges.capture.files import capture_files
from alphapulse_cli.edges.capture.index import HOLDS_CHECKPOINTS
from alphapulse_cli.edges.capture.keeping import DEFAULT_LAST, OFF, CapturePlan
from alphapulse_cli.edges.capture.reader import CaptureFile
from alphapulse_cli.edges.capture.rows import Kind
from alphapulse_cli.edges.exchange.transport import PICOWS, WEBSOCKETS, choose
from alphapulse_cli.errors import IntegrityError, UsageError

A_SECOND = 5_000
SAMPLE_S = 0.1
WITHOUT, ONE_FRAME, FORGETFUL = "the same without a capture", "one zstd frame of the same frames", "the same with --last-frames off"
CAPTURE, USUAL, BARE = "with a capture", "without one", "without last frames"  # what is run in turn
LEAVES_OUT = "Nothing: receiving, books, segments and the compression are in it. A sample is a tenth of a second."


def measure(ground: Ground) -> Iterator[Result]:
    """Measure the lines of this scenario."""
    messages = ground.several(5_000, 25_000)
    cpu, size, last = Samples(), Samples(), Samples()
    try:
        transport = choose(PICOWS)
    except UsageError:
        transport = WEBSOCKETS
    with child("collect:send", messages, A_SECOND) as sender:
        ground.progress("capture: making the frames")
        port = sender.hear(PREPARED_S)["port"]
        for turn in range(ground.several(2, 6)):
            found = {}
            for kind in (BARE, USUAL, CAPTURE) if turn % 2 else (CAPTURE, USUAL, BARE):
                ground.progress(f"capture: {kind}")
                found[kind] = _run(ground, sender, port, messages, transport, kind)
            for samples, kind, other in ((cpu, CAPTURE, USUAL), (last, USUAL, BARE)):
                reference = quantile(sorted(found[other]["cpu"]), 0.5)
                samples.work += found[kind]["cpu"]
                samples.reference.append(reference)
                samples.ratios.append(quantile(sorted(found[kind]["cpu"]), 0.5) / reference)
            written, in_one = float(found[CAPTURE]["written"]), float(found[CAPTURE]["in_one"])
            size.work.append(written)
            size.reference.append(in_one)
            size.ratios.append(written / in_one)
    yield cpu.result("capture", "CPU a message", WITHOUT, f"{LEAVES_OUT} Over {transport}.")
    yield last.result("capture", "last frames, CPU a message", FORGETFUL, f"{LEAVES_OUT} Over {transport}.")
    yield size.result("capture", "size of the frames", ONE_FRAME, "Checkpoints and the index.", unit="bytes")


def _run(ground: Ground, sender: Lines, port: int, messages: int, transport: str, kind: str) -> dict[str, Any]:
    """Run one collector; returns its samples, and the sizes of its capture."""
    sender.send(1)
    sender.hear()
    path = str(ground.directory.path)
    with child("capture:receive", path, "bench-capture", port, messages, transport, kind) as running:
        report: dict[str, Any] = running.hear()
    for name in ground.directory.names():
        if name.startswith("bench-capture"):
            ground.directory.unlink(name)
    return report


def receive(parent: Lines, path: str, name: str, port: int, messages: int, transport: str, kind: str) -> None:
    """Main function of a collector's process."""
    folder = Path(tempfile.mkdtemp(prefix="alphapulse-bench-"))
    try:
        plan = CapturePlan(str(folder), least_free="0") if kind == CAPTURE else None
        kept = OFF if kind == BARE else DEFAULT_LAST
        report = asyncio.run(collected(path, name, port, messages, transport, plan, SAMPLE_S, kept))
        parent.send(report | (_sizes(folder, messages) if kind == CAPTURE else {}))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sizes(folder: Path, messages: int) -> dict[str, int]:
    """Bytes of a capture without its checkpoints, and of one frame that holds the same frames. IntegrityError if some are missing."""
    written, frames = 0, list[bytes]()
    for path in capture_files([folder]):
        with CaptureFile(path) as file:
            written += sum(entry.compressed_bytes for entry in file.entries() if not entry.flags & HOLDS_CHECKPOINTS)
            frames += [row.payload for row in file.rows() if row.kind == Kind.RECEIVED]
    if len(frames) < messages:
        raise IntegrityError(f"the capture has {len(frames)} of {messages} frames")
    return {"written": written, "in_one": len(compress(b"\n".join(frames)))}
