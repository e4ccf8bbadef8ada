"""Identity of a process across reboots and containers: a pid alone is recycled, and numbered anew in each boot and pid namespace.

An `Identity` is (boot id, pid, start time, pid namespace). All four are stored beside everything that a process owns, so that
another process can tell whether the owner is alive. macOS has no /proc: there start time and namespace are 0 and only the pid is
checked.
"""

import os
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

NO_BOOT_ID = bytes(16)


class Identity(NamedTuple):
    """Identity of one process of one boot."""

    boot_id: bytes  # 16 octets
    pid: int
    start_time: int  # clock ticks since boot; 0 = unknown
    pid_namespace: int  # inode; 0 = unknown


def my_identity() -> Identity:
    """Identity of the calling process."""
    pid = os.getpid()
    return Identity(boot_id(), pid, (start_time(pid) or 0) if proc_is_ours() else 0, pid_namespace())


@cache
def boot_id() -> bytes:
    """Id of this boot, 16 octets; zeros where the system gives none."""
    if sys.platform == "darwin":
        return _darwin_boot_id()
    try:
        return bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip().replace("-", ""))
    except (OSError, ValueError):
        return NO_BOOT_ID


def _darwin_boot_id() -> bytes:
    """Id of this boot on macOS: sysctl kern.bootsessionuuid."""
    import ctypes

    text, size = ctypes.create_string_buffer(64), ctypes.c_size_t(64)
    if ctypes.CDLL(None).sysctlbyname(b"kern.bootsessionuuid", text, ctypes.byref(size), None, ctypes.c_size_t(0)):
        return NO_BOOT_ID
    return bytes.fromhex(text.value.decode("ascii").replace("-", ""))


def pid_namespace() -> int:
    """Inode of this process's pid namespace; 0 if there is no /proc."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116 the link is followed on purpose, and Path adds nothing
    except OSError:
        return 0


def proc_is_ours() -> bool:
    """Whether /proc exists and numbers processes as this process's pid namespace does.

    An old /proc in a new pid namespace does not.
    """
    try:
        return int(Path("/proc/self/stat").read_bytes().split(b" ", 1)[0]) == os.getpid()
    except (OSError, ValueError):
        return False


def start_time(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot, field 22 of /proc/<pid>/stat; None for none such, or a zombie."""
    fields = _stat(pid)
    return None if len(fields) < 20 or fields[0] in (b"Z", b"X", b"x") else int(fields[19])


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped (SIGSTOP, Ctrl-Z) or held by a debugger; false if there is no /proc."""
    return _stat(pid)[:1] in ([b"T"], [b"t"])


def _stat(pid: int) -> list[bytes]:
    """Fields of /proc/<pid>/stat from the third (the state) on; empty if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return []
    return text[text.rfind(b")") + 2 :].split()  # the second field, the name, may itself contain brackets and blanks


def process_is_alive(who: Identity) -> bool:
    """Whether this very process is alive. A process of another pid namespace cannot be checked from here and counts as alive.

    Where /proc cannot tell (it is missing, numbers processes for another namespace, or hides those of other users), any process of
    that pid counts.
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
