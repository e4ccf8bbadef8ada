"""Death at every store: one writer's life, the same each time, killed before its first store, before its second, and so on to the last.

The stores are counted where they are made: in the interpreted core, the very source that is compiled elsewhere, each word that goes to a
mapped file is a step, and so is each system call that makes, names, locks or removes one. A copy of many words is as many steps.
After each death the rings must hold what an undisturbed life writes, byte for byte, up to what they say is published; the image must be
a book of that life, or say that it is none; and a successor's books must reach a reader who was there all the time.
"""

import mmap
import os
import signal

from stress.interpreted import Failed, lines, tell
from stress.steps import Steps, count_stores

EPOCH, DELTAS, TRADES = range(3)  # what a life tells of itself: its epoch, and the records it was done with
CAPACITY = 64
RINGS = {"kraken_orderbook_deltas": DELTAS, "kraken_trades": TRADES}
BOOK = "kraken_book_BTC-USD"
NOW_NS = 1_700_000_000_000_000_000
MUTANTS = ("published before the records", "an edit that is not marked", "no seal for the former ring")


def acts():
    """What a life does, a few groups of each kind: first snapshot, small and large updates, growth, CHECK, trades, checkpoint."""
    from support.reader_sets import ladder

    return (
        lambda writer: writer.snapshot(ladder(6)),
        lambda writer: writer.update([(1_000_000, 5, False)]),
        lambda writer: writer.update([(999_900 - i, 3, False) for i in range(14)]),
        lambda writer: writer.check(),
        lambda writer: writer.trades(("a", 1, 2, 0), ("b", 3, 4, 1)),
        lambda writer: writer.outlet.wake.request_checkpoint(0) and writer.outlet.serve_checkpoints(NOW_NS),
        lambda writer: writer.update([(1_000_001, 0, True), (999_890, 0, False), (1_000_050, 9, True)]),
        lambda writer: writer.beat(),
    )


def live(directory, told, after=lambda writer: None):
    """One whole life but for its end; `after` sees it after each act."""
    from support.reader_sets import Writer

    writer = Writer(directory, capacity=CAPACITY)
    writer.now_ns = NOW_NS
    told[EPOCH] = writer.outlet.epoch
    for act in acts():
        act(writer)
        told[DELTAS], told[TRADES] = writer.outlet.deltas.published, writer.outlet.trades.published
        after(writer)
    return writer


def break_it(mutant):
    """One rule of the writer's is not kept from here on."""
    from alphapulse_cli.shm import memory
    from alphapulse_cli.shm.image import ImageWriter
    from alphapulse_cli.shm.ring import RingWriter
    from alphapulse_cli.shm.segment import Segment

    publish = RingWriter.publish

    def publish_early(writer, records, count):
        memory.store_release(writer._words, writer._published_at, writer._published + count)
        return publish(writer, records, count)

    if mutant == "published before the records":
        RingWriter.publish = publish_early
    elif mutant == "an edit that is not marked":
        ImageWriter.begin = lambda self: None
    elif mutant == "no seal for the former ring":
        Segment.mark_replaced = lambda self: None


class Judge:
    """Looks at what each death left, beside what a life undisturbed writes."""

    def __init__(self, directory, told):
        from alphapulse_cli.flow.follow import SetFollower
        from alphapulse_cli.shm.segment import Segment

        self.directory, self.told = directory, told
        self.books: dict[int, tuple[list[tuple[int, int]], list[tuple[int, int]]]] = {0: ([], [])}
        self.counted = dict.fromkeys(("deaths", "in a takeover", "in an edit", "in a publish", "successions"), 0)
        self.failed = []
        live(directory, told, self._note).close()
        self.written = {name: bytes(Segment.attach(directory, name).memory)[4096:] for name in RINGS}
        self.follower = SetFollower(directory, "kraken", label="stress")

    def _note(self, writer):
        book = writer.book()
        self.books[writer.keepers["BTC-USD"].version] = book.bids(), book.asks()

    def look(self, *, killed):
        """After a death, or after a life that was over before it."""
        from alphapulse_cli.shm.image import ImageReader
        from alphapulse_cli.shm.ring import RingReader
        from alphapulse_cli.shm.segment import Segment

        self.counted["deaths"] += killed
        self.counted["in a takeover"] += not self.told[EPOCH]
        for name, place in RINGS.items():
            ring = Segment.attach(self.directory, name)
            if self.told[EPOCH] and (ring.epoch, ring.published >= self.told[place]) != (self.told[EPOCH], True):
                self.fail(f"{name}: epoch {ring.epoch} and {ring.published} records; told {list(self.told[:3])}")
            self.counted["in a publish"] += ring.claimed != ring.published
            octets, first, missed = RingReader(ring, 0).poll(CAPACITY)
            records = len(octets) // ring.spec.record_bytes
            if bytes(octets) != self.written[name][: len(octets)] or (first, missed) != (0, 0) or records != ring.published:
                self.fail(f"{name}: {records} of {ring.published} records, not those of this life")
        image = ImageReader(Segment.attach(self.directory, BOOK)).copy(2)
        self.counted["in an edit"] += image is None
        if image is not None:
            self.judge_book("the image", image.version, levels(image.bids)[::-1], levels(image.asks)[::-1])
        self.follow()

    def follow(self):
        """The reader who stays: its book is one of this life, or cold."""
        from alphapulse_cli.shm import clock

        for _ in range(3):
            self.follower.poll(clock.monotonic_ns())
        for book in self.follower.books.values():
            if not book.is_cold:
                self.judge_book("the reader's book", book.version, book.book.bids(), book.book.asks())
        if self.follower.checks_bad:
            self.fail(f"{self.follower.checks_bad} CHECKs failed")

    def judge_book(self, whose, version, bids, asks):
        if (bids, asks) != self.books.get(version):
            self.fail(f"{whose} at version {version} is none of this life")

    def succeed(self, *, retires):
        """A whole life after the death; the reader's book is its. Now and then it, too, ends without a word."""
        writer = live(self.directory, self.told)
        self.follow()
        book = self.follower.books["BTC-USD"]
        if self.follower.groups.segment.epoch != writer.outlet.epoch:
            self.fail(f"the reader is on epoch {self.follower.groups.segment.epoch}, not {writer.outlet.epoch}")
        elif book.is_cold or book.version != max(self.books):
            self.fail(f"the reader's book is at version {book.version} of {max(self.books)}, {book.why.name}")
        if retires:
            writer.close()
        else:
            writer.outlet._lease.release()
        self.counted["successions"] += 1

    def fail(self, what):
        self.failed.append(f"step {Steps.last}: {what}")


def levels(octets):
    words = memoryview(octets).cast("q")
    return [(words[i], words[i + 1]) for i in range(0, len(words), 2)]


def killed_at(step, path, told, mutant):
    """Whether a life in a child met that step and died there; false where it was over before."""
    from alphapulse_cli.shm.directory import open_directory

    told[EPOCH] = told[DELTAS] = told[TRADES] = 0
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            break_it(mutant)
            directory = open_directory(path)
            count_stores(step)
            live(directory, told).close()
            code = 0
        finally:
            os._exit(code)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    assert status == 0, f"a life ended with {status} before step {step}"
    return False


def interpreted(paths, count, seed):
    """The campaign, where the core is interpreted: say by lines of JSON how it goes, at last what was counted and what failed."""
    import random

    from alphapulse_cli import build
    from alphapulse_cli.flow import outlet
    from alphapulse_cli.shm.directory import open_directory

    assert build.core_mode() == "interpreted"
    outlet.FIRST_CAPACITY = 4  # type: ignore[attr-defined]  # the outlet's own name for it: so that a book of a few levels outgrows its image
    counted, failed = {}, []
    for path, mutant in zip(paths, ("", *MUTANTS), strict=True):
        told = memoryview(mmap.mmap(-1, 4096)).cast("Q")
        with open_directory(path) as directory:
            judge = Judge(directory, told)
            total = steps_of(path, told, mutant)
            judge.succeed(retires=False)
            stride = max(total // count, 1)
            Steps.last, over, lives = 1 + random.Random(seed).randrange(stride), 0, 0
            while over < 2:  # what the former one left makes a few steps more or less: two in a row must be over before theirs
                over = 0 if killed_at(Steps.last, path, told, mutant) else over + 1
                lives += 1
                judge.look(killed=not over)
                judge.succeed(retires=lives % 2 == 0)
                if mutant and judge.failed:
                    break
                if lives % 500 == 0:
                    tell(["say", f"{judge.counted['deaths']:,} deaths, {len(judge.failed)} failures"])
                Steps.last += stride
        if mutant:
            caught = judge.failed[0] if judge.failed else "not caught"
            tell(["say", f"mutant {mutant}: {caught}"])
            failed += [] if judge.failed else [f"mutant not caught: {mutant}"]
        else:
            counted = {"steps of a life": total, **judge.counted, "mutants": len(MUTANTS)}
            failed += judge.failed
    tell(["end", counted, failed])


def steps_of(path, told, mutant):
    """How many steps a life has in that directory: the last at which it can be killed."""
    most, least = 1, 0
    while killed_at(most, path, told, mutant):
        least, most = most, 2 * most
    while most - least > 1:
        middle = (least + most) // 2
        if killed_at(middle, path, told, mutant):
            least = middle
        else:
            most = middle
    return least


def campaign(place, count, seed, say):
    """At most `count` deaths, spread evenly over all steps; each mutant until it is caught. (what was counted, what failed)."""
    paths = [os.fspath(place(f"stores {number}")) for number in range(1 + len(MUTANTS))]
    try:
        for kind, *rest in lines("stress.stores:interpreted", paths, count, seed):
            if kind == "end":
                return rest
            say(*rest)
    except Failed as error:
        return {}, [str(error)]
    return {}, ["it ended without a word"]
