"""Writers killed at random moments, one after another in one directory, and a reader that stays through all of it.

A writer is a fork of this process: no start-up of an interpreter stands between one death and the next. It does what a collector does
(lease, rings, image, groups: image first, ring after) and says in a file of its own, after each publish, how far it got. After its death
all it acknowledged must be there, nothing else may be believed, and the next one's books must reach the reader, who never attaches anew by himself.
"""

import mmap
import os
import random
import signal
import time
from contextlib import suppress

from support.strategies_book import book_hash, to_levels

from alphapulse_cli.book.book import Book
from alphapulse_cli.book.reconstruct import Reconstructor
from alphapulse_cli.errors import AlphapulseError
from alphapulse_cli.flow.follow import SetFollower
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.image import ImageReader
from alphapulse_cli.shm.layout import State
from alphapulse_cli.shm.ring import RingReader
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.wire.batch import Batch
from alphapulse_cli.wire.delta import BookState, RecordKind

RING, BOOK = "kraken_orderbook_deltas", "kraken_book_BTC-USD"
CAPACITY = 1024
LONGEST_LIFE_S = 0.03
RESTARTS = 500
INSTRUMENT = Instrument("kraken", "BTC-USD", "BTC/USD", 2, 8)


def write(path, seed, told, groups=1 << 62):
    """A collector in small: random groups of 1 to 40 levels until its death; told[0] its epoch, told[1] the records it was done with."""
    dice = random.Random(seed)
    outlet = Outlet(open_directory(path), "kraken", "kraken", ["BTC-USD"], CAPACITY, clock.monotonic_ns())
    image = outlet.open_image(INSTRUMENT)
    book, batch = Book(2, 8, image.bids, image.asks), Batch("BTC-USD", "kraken", 2, 8)
    told[1] = 0
    told[0] = outlet.epoch
    version = 0
    while version < groups:
        rows = [(dice.randint(1, 400), dice.randint(0, 3), dice.random() < 0.5) for _ in range(dice.randint(1, 40))]
        batch.clear()
        image.begin()
        if book.apply(to_levels(rows), batch):
            version += 1
        count = batch.finish(RecordKind.DELTA, version, version, version - 1) if batch.change_count else 0
        end = outlet.deltas.published + count
        image.commit(version, version, end, book.bid_count, book.ask_count, book.book_hash, BookState.LIVE, 0, 0, 2, 8)
        if count:
            outlet.deltas.publish(batch.records, count)
            told[1] = outlet.deltas.published
            outlet.deltas.publish(
                batch.records, batch.check(1, version, book.book_hash, book.bid_count, book.ask_count, 0, BookState.LIVE)
            )
            told[1] = outlet.deltas.published
        outlet.beat(clock.monotonic_ns())
    return outlet


def started(path, seed, told):
    """The pid of a forked writer."""
    told[0] = told[1] = 0
    pid = os.fork()
    if pid == 0:
        with suppress(BaseException):
            write(path, seed, told)
        os._exit(1)
    return pid


def ended(pid):
    """Kill it, and see that a signal was its end."""
    os.kill(pid, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def drained(follower):
    """Poll until nothing is left."""
    while follower.poll(clock.monotonic_ns()).record_count or follower.groups.reader.lag:
        pass


class Witness:
    """What one campaign counts, and what went wrong."""

    def __init__(self):
        self.counted = dict.fromkeys(
            (
                "kills",
                "before the set was taken",
                "in the middle of an edit",
                "acknowledged records",
                "CHECKs passed",
                "images proved",
                "successions",
                "clean restarts",
            ),
            0,
        )
        self.failed = []

    def look(self, directory, epoch, acknowledged):
        """After a death: the ring holds what was acknowledged, the image is whole or says that it never will be."""
        segment = Segment.attach(directory, RING)
        self.counted["acknowledged records"] += acknowledged
        if segment.epoch != epoch:
            self.failed.append(f"epoch {segment.epoch} has the name, {epoch} was told")
        if segment.published < acknowledged:
            self.failed.append(f"{acknowledged - segment.published} acknowledged records lost")
        self.replay(segment)
        image = ImageReader(Segment.attach(directory, BOOK))
        copy = image.copy()
        if copy is None:
            self.counted["in the middle of an edit"] += 1
        elif copy.book_hash != _hash(copy):
            self.failed.append(f"image of version {copy.version} is not what its hash says")
        else:
            self.counted["images proved"] += 1

    def replay(self, segment):
        """Every record that may be read belongs to a chain of groups; from the first one on they make a book that its CHECKs prove."""
        records, first, _ = RingReader(segment, "oldest").poll(CAPACITY)
        octets, version = bytes(records), None
        for at in range(0, len(octets), 256):
            found = int.from_bytes(octets[at + 40 : at + 48], "little")
            if version is not None and found not in (version, version + 1):
                self.failed.append(f"version {found} after {version}")
            version = found
        if first or not octets:
            return
        replica = Reconstructor("kraken", "BTC-USD")
        replica.load(0, 2, 8, BookState.LIVE, b"", b"")
        replica.apply(octets, 0, len(octets) // 256)
        self.counted["CHECKs passed"] += replica.checks_ok
        if replica.is_cold or replica.checks_bad:
            self.failed.append(f"a dead writer's records make no book: {replica.why.name}")


def _hash(copy):
    words = [memoryview(side).cast("q") for side in (copy.bids, copy.asks)]
    return book_hash(
        (side[i], side[i + 1], is_ask) for is_ask, side in zip((False, True), words, strict=True) for i in range(0, len(side), 2)
    )


def campaign(place, count, seed, say):
    """`count` deaths, clean restarts a twentieth of that; then a stopped writer that is replaced and comes back. (what was counted, what failed)."""
    dice, witness, told = random.Random(seed), Witness(), memoryview(mmap.mmap(-1, 4096)).cast("Q")
    path = place("death")
    with open_directory(path) as directory:
        write(path, seed, told, groups=20).close()
        follower = SetFollower(directory, "kraken", label="stress")
        for death in range(count):
            pid = started(path, dice.getrandbits(32), told)
            time.sleep(LONGEST_LIFE_S * dice.random() ** 2)
            if not ended(pid):
                witness.failed.append(f"writer {death} ended by itself")
            witness.counted["kills"] += 1
            epoch, acknowledged = told[0], told[1]
            if epoch:
                witness.look(directory, epoch, acknowledged)
            else:
                witness.counted["before the set was taken"] += 1
            if death % 10 == 9:
                succeed(path, directory, follower, dice.getrandbits(32), told, witness)
            if death % 1000 == 999:
                say(f"{death + 1:,} deaths, {len(witness.failed)} failures")
        for _ in range(min(max(count // 20, 5), RESTARTS)):
            succeed(path, directory, follower, dice.getrandbits(32), told, witness, "clean restarts")
        if follower.checks_bad:
            witness.failed.append(f"{follower.checks_bad} CHECKs failed")
        come_back(path, directory, told, dice, witness)
    return witness.counted, witness.failed


def succeed(path, directory, follower, seed, told, witness, kind="successions"):
    """A clean successor: it starts whatever was left, the reader's book is its image, and it retires."""
    outlet = write(path, seed, told, groups=30)
    drained(follower)
    drained(follower)
    copy, book = ImageReader(Segment.attach(directory, BOOK)).copy(), follower.books["BTC-USD"]
    if follower.groups.segment.epoch != outlet.epoch:
        witness.failed.append(f"the reader is on epoch {follower.groups.segment.epoch}, not {outlet.epoch}")
    elif book.is_cold or (book.version, book.book.book_hash) != (copy.version, copy.book_hash):
        witness.failed.append(f"the reader's book is version {book.version}, cold {book.is_cold}; the image's {copy.version}")
    outlet.close()
    if Segment.attach(directory, RING).state is not State.RETIRED:
        witness.failed.append("it was closed and is not RETIRED")
    witness.counted[kind] += 1
    left = [name for name in directory.names() if name.startswith(".new-")]
    if len(left) > 5 * witness.counted["kills"]:
        witness.failed.append(f"{len(left)} files left behind")


def come_back(path, directory, told, dice, witness):
    """SIGSTOP, its lock removed by hand, a replacement, SIGCONT: nothing that it goes on to store is seen under the name."""
    pid = started(path, dice.getrandbits(32), told)
    until = time.monotonic() + 10
    while told[1] < 100 and time.monotonic() < until:
        time.sleep(0.001)
    os.kill(pid, signal.SIGSTOP)
    try:
        with suppress(AlphapulseError):
            Outlet(directory, "kraken", "kraken", ["BTC-USD"], CAPACITY, clock.monotonic_ns())
            witness.failed.append("a second writer was let in beside a stopped one")
        directory.unlink("kraken.lock")
        former, fresh = Segment.attach(directory, RING), memoryview(mmap.mmap(-1, 4096)).cast("Q")
        outlet = write(path, 1, fresh, groups=30)
        names = (RING, BOOK)
        before = [bytes(Segment.attach(directory, name).memory) for name in names]
        reader, acknowledged = RingReader(former, former.sealed), told[1]
        os.kill(pid, signal.SIGCONT)
        while told[1] < acknowledged + 1000 and time.monotonic() < until:
            time.sleep(0.001)
        if told[1] < acknowledged + 1000:
            witness.failed.append("the stopped writer did not come back")
        if [bytes(Segment.attach(directory, name).memory) for name in names] != before:
            witness.failed.append("a store of the former writer is seen under the name")
        if reader.poll(CAPACITY)[0] or not reader.ended:
            witness.failed.append("a record past the seal was read")
        outlet.close()
    finally:
        ended(pid)
    witness.counted["comebacks"] = 1
