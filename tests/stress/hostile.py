"""Files as nobody would wish them: each is attached to and read without harm, or refused with one clear error, and nothing is left behind.

Any other exception is a failure, and so is a dead process. A mutation changes some bytes of a good file, most often those that mean something.
"""

import os
import random
from pathlib import Path

from stress import hostile_world
from support.shm_processes import child, payload, ring_spec

from alphapulse_cli.errors import AlphapulseError
from alphapulse_cli.shm import clock, layout
from alphapulse_cli.shm.cursor import CURSOR_FIELDS, Cursor, list_cursors
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.identity import Identity, boot_id, my_identity, pid_namespace, process_is_alive
from alphapulse_cli.shm.image import ImageReader, ImageWriter, book_spec
from alphapulse_cli.shm.ring import RingReader, RingWriter
from alphapulse_cli.shm.segment import Liveness, Segment
from alphapulse_cli.shm.wake import WAKE_BYTES, WakePage

EDGES = (0, 1, 2, 255, 4095, 4096, (1 << 31) - 1, 1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63, layout.ALIVE)
WORDS = sorted({*layout.WORD.values(), *(field.offset // 8 for field in (*layout.IMAGE_FIELDS, *layout.CHECKPOINT_FIELDS))})
RING, BOOK = "kraken_orderbook_deltas", "kraken_book_BTC-USD"


def good_files(directory):
    """{name: bytes} of a ring and a book with something in them, a cursor and a wake page."""
    ring = Segment.create(directory, ring_spec(capacity=8))
    ring.ready()
    for sequence in range(11):
        RingWriter(ring).publish(payload(sequence), 1)
    book = Segment.create(directory, book_spec("kraken", "kraken", "BTC-USD", 1, 8))
    book.ready()
    writer = ImageWriter(book)
    writer.begin()
    writer.bids[:32] = bytes(range(32))
    writer.commit(1, 2, 3, 2, 0, 4, 2, 0, 0, 2, 8)
    writer.checkpoint()
    WakePage.open(directory, "kraken", create=True)
    cursor = Cursor(directory, RING, 1, "tail")
    files = {name: (directory.path / name).read_bytes() for name in (RING, BOOK, "kraken.wake")}
    name = next((directory.path / "readers").iterdir()).name
    files[f"readers/{name}"] = (directory.path / "readers" / name).read_bytes()
    cursor.close()
    return files


def mutated(dice, good):
    """One to four changes: a word set to an edge or to anything, a byte turned; sometimes another size."""
    octets = bytearray(good)
    fields = WORDS if len(good) > layout.HEADER_BYTES else [offset // 8 for offset, _ in CURSOR_FIELDS.values()]
    for _ in range(dice.randint(1, 4)):
        if dice.random() < 0.7:
            at = 8 * dice.choice(fields)
            value = dice.choice(EDGES) if dice.random() < 0.7 else dice.getrandbits(64)
            octets[at : at + 8] = value.to_bytes(8, "little")
        else:
            octets[dice.randrange(len(octets))] ^= 1 << dice.randrange(8)
    if dice.random() < 0.1:
        del octets[dice.randrange(len(octets)) :]
    elif dice.random() < 0.02:
        octets += bytes(dice.choice((1, 8, 4096)))
    return bytes(octets)


def use(directory, name):
    """Do with the file what readers and the board do. AlphapulseError where it is refused."""
    if name.startswith("readers/"):
        list_cursors(directory)
        return
    if name.endswith(".wake"):
        page = WakePage.open(directory, "kraken")
        assert all(0 <= slot < WAKE_BYTES for slot in page.take_checkpoint_requests())
        return
    segment = Segment.attach(directory, name)
    segment.liveness(clock.monotonic_ns())
    if name == RING:
        for start in ("now", "oldest", 5):
            reader = RingReader(segment, start)
            for _ in range(3):
                records, _, missed = reader.poll(4)
                assert len(records) <= 4 * segment.spec.record_bytes
                assert missed >= 0
            assert reader.lag >= 0
    else:
        image = ImageReader(segment)
        for copy in (image.copy(2), image.copy_checkpoint(2), image.peek(2), image.top(1, 2)):
            assert copy is None or len(copy.bids) <= 16 * segment.spec.capacity
        image.writer_died_editing(clock.monotonic_ns())


class Judge:
    """Counts what was attached to and what was refused; anything else is a failure."""

    def __init__(self):
        self.counted = dict.fromkeys(("mutations", "taken for what they say", "refused", "other cases"), 0)
        self.failed = []

    def meet(self, what, function, *arguments):
        """Whether it was "taken" or "refused"."""
        try:
            function(*arguments)
        except AlphapulseError as error:
            if "\n" in str(error) or not str(error):
                self.failed.append(f"{what}: not one line: {error!r}")
            return "refused"
        except Exception as error:  # noqa: BLE001 that is what is looked for
            self.failed.append(f"{what}: {error!r}")
        return "taken"

    def expect(self, what, *, holds):
        self.counted["other cases"] += 1
        if not holds:
            self.failed.append(what)

    def refuses(self, what, function, *arguments):
        self.expect(f"{what} was not refused", holds=self.meet(what, function, *arguments) == "refused")


def campaign(place, count, seed, say):
    """`count` mutated files, then what is no mutation. (what was counted, what failed)."""
    dice, judge = random.Random(seed), Judge()
    with open_directory(place("hostile")) as directory:
        files = good_files(directory)
        names = sorted(files)
        for number in range(count):
            name = dice.choice(names)
            path = directory.path / name
            octets = mutated(dice, files[name])
            path.unlink(missing_ok=True)  # what is mapped is never cut short
            with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
                file.write(octets)
            outcome = judge.meet(f"mutation {number} of {name}", use, directory, name)
            judge.counted["mutations"] += 1
            judge.counted["taken for what they say" if outcome == "taken" else "refused"] += 1
            if number % 10_000 == 9_999:
                say(f"{number + 1:,} mutations, {len(judge.failed)} failures")
        left = set(directory.names()) - {RING, BOOK, "kraken.wake", "readers"}
        judge.expect(f"left behind: {sorted(left)}", holds=not left)
    with open_directory(place("other cases")) as directory:
        other_cases(directory, judge)
    limits(place, judge)
    hostile_world.meet(place, judge, say)
    return judge.counted, judge.failed


def other_cases(directory, judge):
    """Truncated before it is mapped, links, FIFOs, directories; writers that are not there any more, whatever still says so."""
    files = good_files(directory)
    path = directory.path / RING
    for size in (0, 8, 255, 4088, 4096, 4104, len(files[RING]) - 8, len(files[RING]) + 8):
        path.unlink(missing_ok=True)
        path.touch(0o600)
        os.truncate(path, size)
        with path.open("r+b") as file:
            file.write(files[RING][:size])
        judge.refuses(f"a ring of {size} bytes", use, directory, RING)
    for kind in ("link", "fifo", "directory", "open to others"):
        for name, function in ((RING, lambda: use(directory, RING)), ("kraken.wake", lambda: use(directory, "kraken.wake"))):
            made = directory.path / name
            made.rmdir() if made.is_dir() and not made.is_symlink() else made.unlink(missing_ok=True)
            target = directory.path / "target"
            target.write_bytes(files[name])
            if kind == "link":
                made.symlink_to(target)
            elif kind == "fifo":
                os.mkfifo(made, 0o600)
            elif kind == "directory":
                made.mkdir(0o700)
            else:
                made.write_bytes(files[name])
                made.chmod(0o644)
            judge.refuses(f"{kind} as {name}", function)
            made.rmdir() if kind == "directory" else made.unlink()
            target.unlink()
    me = my_identity()
    judge.expect("this process lives", holds=process_is_alive(me))
    judge.expect("a recycled pid is another process", holds=not process_is_alive(me._replace(start_time=me.start_time + 1)))
    judge.expect("nobody lives from another boot", holds=not process_is_alive(me._replace(boot_id=b"another boot ago")))
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet awaited: a zombie
    judge.expect("a zombie is dead", holds=not process_is_alive(Identity(boot_id(), pid, me.start_time, pid_namespace())))
    os.waitpid(pid, 0)
    fresh = Segment.create(directory, ring_spec(capacity=8, epoch=9))
    fresh.ready()
    fresh.beat(clock.monotonic_ns())
    start = layout.HEADER["boot_id"].offset
    fresh.memory[start : start + 16] = b"another boot ago"
    found = Segment.attach(directory, RING).liveness(clock.monotonic_ns())
    judge.expect("a segment of another boot is LIVE", holds=found is Liveness.SILENT)


def limits(place, judge):
    """No room and no descriptor left: an error each, no file."""
    for limit, amount in (("RLIMIT_FSIZE", 100_000), ("RLIMIT_FSIZE", 0), ("RLIMIT_NOFILE", 0)):
        path = place(f"limit {limit} {amount}")
        open_directory(path).close()
        with child("support.shm_processes:create_under_limit", path, limit, amount) as limited:
            outcome, left = limited.line()
        judge.expect(f"{limit} {amount}: {outcome}, left {left}", holds=outcome[0] == "StorageError" and not left)
    full = Path("/dev/full")
    judge.expect("/dev/full is no directory for segments", holds=judge.meet("/dev/full", open_directory, full) == "refused")
