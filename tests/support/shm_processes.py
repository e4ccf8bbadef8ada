"""Real child processes for the tests of shared memory, and what runs in them.

`child("module:function", …)` runs that function in a new interpreter with this one's import path; it talks by lines on stdin and stdout.
"""

import json
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from alphapulse_cli.errors import AlphapulseError
from alphapulse_cli.flow.groups import GroupReader
from alphapulse_cli.shm import clock, image, layout
from alphapulse_cli.shm.cursor import Cursor
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.lease import Lease
from alphapulse_cli.shm.ring import RingReader, RingWriter
from alphapulse_cli.shm.segment import Segment, SegmentSpec
from alphapulse_cli.shm.wake import WakePage

_RUN = """
import importlib, json, sys
sys.path[:] = json.loads(sys.argv[1])
module, name = sys.argv[2].split(":")
getattr(importlib.import_module(module), name)(*json.loads(sys.argv[3]))
"""


class Child:
    """A running child: `line()` is what it says next, `say(text)` what it reads next."""

    def __init__(self, process):
        self.process = process
        self.pid = process.pid

    def line(self):
        text = self.process.stdout.readline()
        assert text, f"the child ended with {self.process.wait(10)} without a word"
        return json.loads(text)

    def say(self, text=""):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def kill(self):
        self.process.kill()
        self.process.wait(10)


@contextmanager
def child(function, *arguments):
    command = [
        sys.executable,
        "-P",
        "-c",
        _RUN,
        json.dumps(sys.path),
        function,
        json.dumps([str(a) if hasattr(a, "parts") else a for a in arguments]),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Child(process)
        finally:
            process.kill()


def tell(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def ring_spec(capacity=16, record_bytes=64, set_name="kraken", epoch=1, kind=SegmentKind.DELTAS, *, replay=False):
    return SegmentSpec(kind, set_name, "kraken", epoch, record_bytes, capacity, replay=replay)


def make_ring(path):
    """A ring in a process that beats once, says so and waits to be killed."""
    with open_directory(path) as directory:
        made = Segment.create(directory, ring_spec())
        made.ready()
        tell("ready")
        sys.stdin.read()


def payload(sequence, record_bytes=64):
    """What record `sequence` holds: each of its words depends on the sequence and on its own place."""
    word = (sequence + 1) * 0x9E37_79B9_7F4A_7C15
    return b"".join(((word + i) & layout.ALIVE).to_bytes(8, "little") for i in range(record_bytes // 8))


# What runs in children


def hold_a_lease(path, set_name):
    """Say the epoch, then hold the set until killed or told to go."""
    with open_directory(path) as directory, Lease.acquire(directory, set_name) as lease:
        tell(lease.epoch)
        sys.stdin.readline()


def collect_until_killed(path, records):
    """A collector in small: lease, ring, book half edited; says its epoch and waits for its death."""
    directory = open_directory(path)
    lease = Lease.acquire(directory, "kraken")
    ring = Segment.create(directory, ring_spec(epoch=lease.epoch))
    ring.ready()
    writer = RingWriter(ring)
    for sequence in range(records):
        writer.publish(payload(sequence), 1)
    book = Segment.create(directory, image.book_spec("kraken", "kraken", "BTC-USD", lease.epoch))
    book.ready()
    book_writer = image.ImageWriter(book)
    book_writer.commit(1, 2, 3, 0, 0, 4, 2, 0, 0, 2, 8)
    book_writer.begin()
    tell(lease.epoch)
    sys.stdin.readline()


def create_under_limit(path, limit, amount):
    """Create a segment under a resource limit; say what came of it and what lies in the directory then."""
    directory = open_directory(path)
    number = getattr(resource, limit)
    if limit == "RLIMIT_NOFILE":
        amount = len(list(Path("/proc/self/fd").iterdir())) - 1  # none left to open
    resource.setrlimit(number, (amount, resource.getrlimit(number)[1]))
    try:
        Segment.create(directory, ring_spec(capacity=1024, record_bytes=256)).ready()
        outcome = ["created", "", ""]
    except AlphapulseError as error:
        outcome = [type(error).__name__, str(error), error.hint]
    resource.setrlimit(number, (resource.getrlimit(number)[1],) * 2)
    tell([outcome, directory.names()])


def publish_when_told(path):
    """For each line read publish one record; counts how often the wake page made it wake somebody."""
    directory = open_directory(path)
    segment = Segment.attach(directory, "kraken_orderbook_deltas", writable=True)
    writer = RingWriter(segment, WakePage.open(directory, "kraken"))
    tell("ready")
    for _ in sys.stdin:
        writer.publish(payload(writer.published), 1)


def sleep_until_published(path):
    """Wait for one record as a reader does; say whether it came and how long each sleep was at most, in ns."""
    directory = open_directory(path)
    reader = RingReader(Segment.attach(directory, "kraken_orderbook_deltas"), "now")
    page = WakePage.open(directory, "kraken")
    tell("ready")
    naps = 0
    started = clock.monotonic_ns()
    while not page.wait(reader) and clock.monotonic_ns() - started < 20_000_000_000:
        naps += 1
    tell([reader.lag, naps])


def read_a_replay(path):
    """A reader of a replay's ring that polls as many records as it is told, says its position, and reads on until killed."""
    reader = GroupReader(open_directory(path), "kraken", SegmentKind.DELTAS, "oldest")
    tell(reader.position)
    for line in sys.stdin:
        reader.poll(clock.monotonic_ns(), int(line))
        tell(reader.position)


def hold_a_cursor(path):
    directory = open_directory(path)
    cursor = Cursor(directory, "kraken_orderbook_deltas", 1, "theirs")
    cursor.update(1, 0)
    tell("ready")
    sys.stdin.readline()
