"""Several exchanges at once: one process each, restarted when it dies, stopped together.

A child is the same command for one exchange, started afresh (never forked: a fork would share the writer's lock). It reads from a
pipe that only this process holds: when we die, however we die, it reads the end of it and stops cleanly.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from alphapulse_cli.errors import ExitCode
from alphapulse_cli.shm import clock

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
STEADY_AFTER_NS = 60_000_000_000
STOP_TIMEOUT_S = 10.0
LINE_BYTES = 1 << 16
# What a restart cannot heal: the person must change something.
FINAL = frozenset({ExitCode.DONE, ExitCode.USAGE, ExitCode.NOTHING_TO_ATTACH, ExitCode.ALREADY_RUNNING, ExitCode.INTERRUPTED})


@dataclass(frozen=True, slots=True)
class Child:
    """One supervised command: the arguments behind `alphapulse`, and the name it is spoken of by."""

    name: str
    arguments: Sequence[str]


Said = Callable[[str, str], None]  # (child, one line of what it said on stderr): already escaped by the child


async def supervise(children: Sequence[Child], said: Said) -> ExitCode:
    """Run all until they end or this is cancelled (then they are stopped cleanly). The first exit code that is not 0, else DONE."""
    tasks = [asyncio.create_task(_keep(child, said)) for child in children]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:  # once: a second cancel would break off their stopping, and leave children behind
            task.cancel()
        await asyncio.wait(tasks)
    return next((code for code in (task.result() for task in tasks) if code is not ExitCode.DONE), ExitCode.DONE)


async def _keep(child: Child, said: Said) -> ExitCode:
    pause_s = FIRST_PAUSE_S
    while True:
        started_ns = clock.monotonic_ns()
        code = await _run_once(child, said)
        if code in FINAL:
            return ExitCode(code)
        if clock.monotonic_ns() - started_ns > STEADY_AFTER_NS:
            pause_s = FIRST_PAUSE_S
        said(child.name, f"ended with code {code}; starting it again in {pause_s:.0f} s")
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


async def _run_once(child: Child, said: Said) -> int:
    process = await spawn(child.arguments, stdout=asyncio.subprocess.DEVNULL)
    try:
        await relay(process, child.name, said)
        return await process.wait()
    finally:
        await stop(process)


async def spawn(arguments: Sequence[str], stdout: int) -> asyncio.subprocess.Process:
    """`alphapulse` with these arguments, as a process of its own that knows when we are gone."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # the installed package, whatever lies in the current folder
        "-m",
        "alphapulse_cli",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
        limit=LINE_BYTES,
        start_new_session=True,  # Ctrl-C reaches us alone; we stop the children ourselves
    )


async def relay(process: asyncio.subprocess.Process, name: str, said: Said) -> None:
    """What it says on stderr, line by line, until it ends."""
    assert process.stderr is not None
    while True:
        try:
            line = await process.stderr.readline()
        except ValueError:  # a line beyond the limit: what was buffered of it is dropped
            continue
        if not line:
            return
        said(name, line.decode("utf-8", "replace").rstrip("\n"))


async def stop(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, and SIGKILL for one that does not end within ten seconds."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(asyncio.shield(process.wait()), STOP_TIMEOUT_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def until_parent_is_gone() -> None:
    """In a supervised child: returns when standard input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while await reader.read(1024):
            pass
    finally:
        transport.close()
