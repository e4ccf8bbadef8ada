"""Which process is meant: a pid alone is not enough, since pids are recycled, machines reboot and containers number anew.

An `Identity` is (boot id, pid, start time, pid namespace). All four are written beside whatever a process owns, so that another
process can tell whether the owner still lives. macOS has no /proc: there the start time and the namespace are 0 and only the pid is asked.
"""

import os
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

NO_BOOT_ID = bytes(16)


class Identity(NamedTuple):
    """One process of one boot."""

    boot_id: bytes  # 16 octets
    pid: int
    start_time: int  # clock ticks since boot; 0 = not known
    pid_namespace: int  # inode; 0 = not known


def my_identity() -> Identity:
    """Of the calling process."""
    pid = os.getpid()
    return Identity(boot_id(), pid, (start_time(pid) or 0) if proc_is_ours() else 0, pid_namespace())


@cache
def boot_id() -> bytes:
    """16 octets that differ from boot to boot; zeros where the system gives none."""
    if sys.platform == "darwin":
        return _darwin_boot_id()
    try:
        return bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip().replace("-", ""))
    except (OSError, ValueError):
        return NO_BOOT_ID


def _darwin_boot_id() -> bytes:
    """kern.bootsessionuuid."""
    import ctypes

    text, size = ctypes.create_string_buffer(64), ctypes.c_size_t(64)
    if ctypes.CDLL(None).sysctlbyname(b"kern.bootsessionuuid", text, ctypes.byref(size), None, ctypes.c_size_t(0)):
        return NO_BOOT_ID
    return bytes.fromhex(text.value.decode("ascii").replace("-", ""))


def pid_namespace() -> int:
    """The inode that names this process's pid namespace; 0 where there is no /proc."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116 the link is followed on purpose, and Path adds nothing
    except OSError:
        return 0


def proc_is_ours() -> bool:
    """Whether /proc is there and numbers processes as we do: in a new pid namespace with the old /proc it does not."""
    try:
        return int(Path("/proc/self/stat").read_bytes().split(b" ", 1)[0]) == os.getpid()
    except (OSError, ValueError):
        return False


def start_time(pid: int) -> int | None:
    """Field 22 of /proc/<pid>/stat; None for no such process, or one that is dead and only awaited (a zombie)."""
    fields = _stat(pid)
    return None if len(fields) < 20 or fields[0] in (b"Z", b"X", b"x") else int(fields[19])


def is_stopped(pid: int) -> bool:
    """Whether that process is stopped (SIGSTOP, Ctrl-Z) or held by a debugger; false where there is no /proc."""
    return _stat(pid)[:1] in ([b"T"], [b"t"])


def _stat(pid: int) -> list[bytes]:
    """The fields of /proc/<pid>/stat from the third on, the state; none for no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return []
    return text[text.rfind(b")") + 2 :].split()  # the name before it may hold anything, brackets and blanks too


def process_is_alive(who: Identity) -> bool:
    """Whether that very process lives. One of another pid namespace cannot be judged from here and counts as alive.

    Where /proc cannot tell (none, or one that numbers processes for another namespace, or that hides those of others) the pid is asked alone.
    """
    if who.boot_id != boot_id():
        return False
    if who.pid_namespace != pid_namespace():
        return True
    if not 0 < who.pid < 1 << 31:
        return False
    if not who.start_time or not proc_is_ours() or not Path(f"/proc/{who.pid}").exists():
        return _answers_signals(who.pid)
    return start_time(who.pid) == who.start_time


def _answers_signals(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
