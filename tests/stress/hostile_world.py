"""What is not in the bytes of a file: whose it is, whether its writer lives, whether there is room, whether it stays as long as it was.

Each case is judged like a mutation (`hostile.Judge`): taken or refused in one line, and nothing left. What needs root is said where we are not.
"""

import os
import resource
import subprocess
from contextlib import suppress

from stress import cut
from support.reader_sets import Writer, ladder
from support.shm_processes import child, ring_spec

from alphapulse_cli import build
from alphapulse_cli.errors import StorageError, WriterAlive
from alphapulse_cli.shm import clock, layout
from alphapulse_cli.shm.cursor import CURSOR_FIELDS, Cursor, list_cursors
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.identity import boot_id, my_identity
from alphapulse_cli.shm.lease import Lease, holder_of, open_lock
from alphapulse_cli.shm.listing import sweep
from alphapulse_cli.shm.segment import Liveness, Segment
from alphapulse_cli.shm.wake import WakePage

ANOTHER_BOOT = b"another boot ago"
SOMEBODY = 12345


def meet(place, judge, say):
    """All of them."""
    the_dead(place, judge)
    no_descriptor(place, judge)
    if os.geteuid() == 0:
        foreign(place, judge)
        no_room(place, judge, say)
    else:
        say("files of others and a full tmpfs are left out: only root can make them")
    if build.core_mode() == "compiled":
        cut_short(place, judge)
    else:
        say("files cut short are left out: that takes the compiled core")


def zombie():
    """The pid of a process that took the lock of `kraken` in the working directory, is dead, and is not awaited yet."""
    pid = os.fork()
    if pid == 0:
        with suppress(BaseException):
            directory = open_directory(".")
            lease = Lease.acquire(directory, "kraken")
            Segment.create(directory, ring_spec(epoch=lease.epoch)).ready()
            Segment.create(directory, ring_spec(epoch=lease.epoch))  # never finished
            cursor = Cursor(directory, cut.RING, lease.epoch, "tail")
            cursor.update(1, 0)
            os._exit(0)  # with all of it in hand
        os._exit(1)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


def the_dead(place, judge):
    """A zombie's lock is free and what it left can be swept; a recycled pid and another boot's are as dead."""
    path = place("the dead")
    with open_directory(path) as directory:
        before = os.open(".", os.O_RDONLY)
        os.chdir(path)
        try:
            pid = zombie()
        finally:
            os.fchdir(before)
            os.close(before)
        later = clock.monotonic_ns() + layout.HEARTBEAT_LIMIT_NS
        judge.expect("a zombie's segment is LIVE", holds=Segment.attach(directory, cut.RING).liveness(later) is Liveness.SILENT)
        judge.expect("a zombie's cursor is alive", holds=[one.alive for one in list_cursors(directory)] == [False])
        with Lease.acquire(directory, "kraken") as lease:
            judge.expect("the lock does not name its holder", holds=holder_of(directory, "kraken").epoch == lease.epoch)
            judge.refuses("a second writer", Lease.acquire, directory, "kraken")
        swept = sweep(directory)
        judge.expect(f"of a zombie only this was swept: {swept}", holds=any(name.startswith(f".new-{pid}-") for name in swept))
        judge.expect("a zombie's cursor was not swept", holds=not list_cursors(directory))
        os.waitpid(pid, 0)
        strangers(directory, judge)


def strangers(directory, judge):
    """What a process of our pid left: of a boot before this one, or before the pid was given anew. A living one of another container stays."""
    me, (at, _) = my_identity(), CURSOR_FIELDS["start_time"]
    for what, offset, octets, is_alive in (
        ("of a recycled pid", at, (me.start_time + 1).to_bytes(8, "little"), False),
        ("of another boot", CURSOR_FIELDS["boot_id"][0], ANOTHER_BOOT, False),
        ("of a pid that cannot be", CURSOR_FIELDS["pid"][0], (1 << 40).to_bytes(8, "little"), False),
        ("of another pid namespace", CURSOR_FIELDS["pid_namespace"][0], (1).to_bytes(8, "little"), True),
        ("of this very process", at, me.start_time.to_bytes(8, "little"), True),
    ):
        with Cursor(directory, cut.RING, 1, "tail") as cursor:
            cursor._memory[offset : offset + len(octets)] = octets
            judge.expect(f"a cursor {what}", holds=[one.alive for one in list_cursors(directory)] == [is_alive])
            sweep(directory)
            judge.expect(f"a cursor {what}, swept", holds=len(list_cursors(directory)) == is_alive)
    for what, name, stays in (
        ("recycled", f".new-{me.pid}-{me.start_time + 1}-0", False),
        ("living", f".new-{me.pid}-{me.start_time}-999", True),
    ):
        os.close(directory.open_file(name, os.O_CREAT | os.O_EXCL | os.O_RDWR))
        sweep(directory)
        judge.expect(f"an unfinished file of a {what} pid", holds=(name in directory.names()) is stays)
        directory.unlink(name)
    fd = open_lock(directory, "kraken", create=True)
    os.pwrite(fd, f"{me.pid} {me.start_time + 1} {boot_id().hex()} {me.pid_namespace} 7".encode().ljust(256), 0)
    with Lease.acquire(directory, "kraken") as lease:
        judge.expect("a lock that a recycled pid left", holds=lease.epoch > 7)
    os.close(fd)


def foreign(place, judge):
    """Files and a directory that belong to somebody else."""
    with open_directory(place("foreign")) as directory:
        cut.make(directory)
        for name, use in (
            (cut.RING, lambda: Segment.attach(directory, cut.RING)),
            (cut.BOOK, lambda: Segment.attach(directory, cut.BOOK, writable=True)),
            ("kraken.wake", lambda: WakePage.open(directory, "kraken", create=True)),
            ("kraken.lock", lambda: Lease.acquire(directory, "kraken")),
        ):
            os.close(os.open(directory.path / name, os.O_CREAT, 0o600))
            os.chown(directory.path / name, SOMEBODY, SOMEBODY)
            judge.refuses(f"{name} of somebody else", use)
        os.chown(directory.path, SOMEBODY, SOMEBODY)
        judge.refuses("a directory of somebody else", open_directory, directory.path)


def no_room(place, judge, say):
    """A tmpfs that fills up: a set that does not fit leaves nothing, one that does stays whole, a book that outgrows it stops alone."""
    path = place("full")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", os.fspath(path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        say("a full tmpfs is left out: this machine lets nobody mount")
        return
    try:
        with open_directory(path) as directory:
            judge.refuses("a set larger than its tmpfs", Writer, directory, ("BTC-USD",), "kraken", "kraken", 4096)
            left = [name for name in directory.names() if name not in ("kraken.lock", "kraken.wake")]
            judge.expect(f"left on a full tmpfs: {left}", holds=not left)
            with Writer(directory, capacity=256) as writer:
                writer.snapshot(ladder(40))
                writer.snapshot(ladder(20_000))
                halted = writer.keepers["BTC-USD"].state.name
                judge.expect(f"a book without room is {halted}", holds=halted == "HALTED")
                judge.expect("its segments go on", holds=Segment.attach(directory, cut.RING).is_live(clock.monotonic_ns()))
                left = [name for name in directory.names() if name.startswith(".new-")]
                judge.expect(f"left of a larger image: {left}", holds=not left)
    finally:
        subprocess.run(["umount", "-l", os.fspath(path)], check=True)


def no_descriptor(place, judge):
    """None left to open: an error for writer and reader, and what is mapped goes on."""
    with open_directory(place("no descriptor")) as directory:
        cut.make(directory)
        held, (soft, hard) = [], resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
        with suppress(OSError):
            while True:
                held.append(os.dup(directory.fd))
        try:
            for what, use in (
                ("attach", lambda: Segment.attach(directory, cut.RING)),
                ("create", lambda: Segment.create(directory, ring_spec())),
                ("the lock", lambda: Lease.acquire(directory, "coinbase")),
                ("the wake page", lambda: WakePage.open(directory, "kraken")),
            ):
                try:
                    use()
                    judge.expect(f"{what} without a descriptor", holds=False)
                except StorageError as error:
                    judge.expect(f"{what}: {error}", holds="Too many open files" in str(error) and "ulimit" in error.hint)
                except WriterAlive:
                    judge.expect(f"{what}: taken for a living writer", holds=False)
        finally:
            for fd in held:
                os.close(fd)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        left = [name for name in directory.names() if name.startswith(".new-")]
        judge.expect(f"left: {left}", holds=not left)


def cut_short(place, judge):
    """Cut under a reader and a writer of each kind; `tests/stress/test_cut_files.py` does it at every size."""
    for doing, name in (cut.READERS | cut.WRITERS).items():
        with open_directory(place(f"cut {doing}")) as directory:
            cut.make(directory)
            with child("stress.cut:live_guarded", directory.path, doing) as process:
                process.line()
                os.truncate(directory.path / name, 0)
                error, text, hint = process.line()
            expected = "StorageError" if doing in cut.WRITERS else "SegmentGone"
            judge.expect(f"{name} cut under {doing}: {error}: {text}", holds=error == expected and name in text and bool(hint))
