"""Advice for a set that is not live: its collector's state, and the full command that fixes it.

    how the set stands, who holds its lock, what that process does ─► Revival: "the collector of kraken (pid 42) was killed",
                                                                      "start it again", alphapulse collect --exchange kraken …

The command contains the facts in the segments: the exchange, the symbols, the name of the set and its directory; and in the lock: the
capture. Other options of the collector (a mode, an address, a depth) are not recorded; they come again from the configuration.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from alphapulse_cli.apps.replay.steering import CONTROL_NAME
from alphapulse_cli.readers.status import SetStatus
from alphapulse_cli.shm.directory import SET_PATTERN, SYMBOL_PATTERN, Directory, usual_path
from alphapulse_cli.shm.identity import is_stopped, pid_namespace, process_is_alive
from alphapulse_cli.shm.lease import Holder, holder_of, note_of
from alphapulse_cli.shm.segment import Liveness

SYMBOLS_ROOM = 36  # characters of symbols behind one --symbols, so that it fits a narrow line
END_IT = "kill -9 {pid}"


class Revival(NamedTuple):
    """State of a collector and the advice for it; `command` is "" if none is to be typed."""

    state: str
    do: str = ""
    command: str = ""

    @property
    def sentence(self) -> str:
        """The state, the advice and the command as one sentence."""
        state = f"{self.state[:1].upper()}{self.state[1:]}"
        done = f"{state}. {self.do[:1].upper()}{self.do[1:]}" if self.do else state
        return f"{done}: {self.command}" if self.command else done


def revival(directory: Directory, status: SetStatus) -> Revival | None:
    """Advice for a set, from its status and its lock; None for a live one."""
    if status.liveness is Liveness.LIVE:
        return None
    name = status.name
    if status.replay:
        return _replay_over(directory, status)
    holder = holder_of(directory, name)
    if holder is not None and process_is_alive(holder.who):
        if status.liveness in (Liveness.REPLACED, Liveness.BUILDING) or holder.epoch != status.epoch:
            return Revival(
                f"the collector of {name} (pid {holder.who.pid}) is starting", "it is shown here once it has its first books"
            )
        if status.liveness is Liveness.SILENT:
            return _silent(directory, status, holder)
    state = {
        None: f"there are no segments of {name} any more",
        Liveness.SILENT: f"the collector of {name} (pid {status.pid}) was killed",
        Liveness.RETIRED: f"the collector of {name} has ended",
        Liveness.REPLACED: f"the next collector of {name} was killed as it started",
        Liveness.BUILDING: f"the collector of {name} was killed as it started",
        Liveness.GONE: f"the segments of {name} were cut short",
    }[status.liveness]
    return Revival(state, "start it again", collect_command(directory, status))


def _replay_over(directory: Directory, status: SetStatus) -> Revival:
    """Advice for a set that its replay does not play now, or no more; which recording it played is not in its segments."""
    running = holder_of(directory, CONTROL_NAME)
    if status.liveness is not Liveness.SILENT and running is not None and process_is_alive(running.who):
        state = f"the replay (pid {running.who.pid}) goes to another time, or its recording has nothing of the set at this one"
        return Revival(state, "the set is shown here once it has its books")
    if status.liveness is Liveness.SILENT and is_stopped(status.pid):
        return Revival(f"the replay of {status.name} (pid {status.pid}) is stopped", "let it go on", f"kill -CONT {status.pid}")
    over = "was killed or hangs" if status.liveness is Liveness.SILENT else "is over"
    return Revival(f"the replay of {status.name} {over}", "play it again: alphapulse replay FILE")


def _silent(directory: Directory, status: SetStatus, holder: Holder) -> Revival:
    """Advice for a set whose writer process exists and sends no heartbeat."""
    name, pid = status.name, holder.who.pid
    if holder.who.pid_namespace != pid_namespace():
        return Revival(f"the collector of {name} (pid {pid} of another container) was killed or hangs", "start its container again")
    if is_stopped(pid):
        return Revival(f"the collector of {name} (pid {pid}) is stopped", "let it go on", f"kill -CONT {pid}")
    state = f"the collector of {name} (pid {pid}) shows no sign of life"
    if is_supervised(pid):
        return Revival(state, "if it hangs, end it; its parent starts another", END_IT.format(pid=pid))
    command = collect_command(directory, status)
    return Revival(state, "if it hangs, end it and start it again", f"{END_IT.format(pid=pid)}; {command}")


def is_supervised(pid: int) -> bool:
    """Whether the process has a parent that restarts it; False if its command line cannot be read."""
    try:
        return b"--supervised" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def collect_command(directory: Directory, status: SetStatus) -> str:
    """Command line, for a shell, that starts the collector of that set again."""
    words = ["alphapulse", "collect", "--exchange", status.exchange if SET_PATTERN.fullmatch(status.exchange) else status.name]
    for some in _in_parts([book.symbol for book in status.books if SYMBOL_PATTERN.fullmatch(book.symbol)]):
        words += ["--symbols", some]
    if status.name != status.exchange:
        words += ["--as", status.name]
    words += map(shlex.quote, note_of(directory, status.name))
    if directory.path != usual_path():
        words += ["--shm-dir", shlex.quote(str(directory.path))]
    return " ".join(words)


def _in_parts(symbols: Sequence[str]) -> list[str]:
    """Symbols as lists with commas, each at most SYMBOLS_ROOM long unless one symbol is longer."""
    parts: list[str] = []
    for symbol in symbols:
        if parts and len(parts[-1]) + 1 + len(symbol) <= SYMBOLS_ROOM:
            parts[-1] += f",{symbol}"
        else:
            parts.append(symbol)
    return parts
