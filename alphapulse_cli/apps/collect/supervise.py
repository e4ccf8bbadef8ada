"""Supervisor of one process for each exchange: a process that dies is restarted, all are stopped together.

A child is the same command for one exchange, started afresh (never forked: a fork would share the writer's lock). Its standard
input is a pipe that only the supervisor holds: when the supervisor dies, in any way, the child reads the end of the pipe and stops
cleanly.
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
COLLECTING = b"collecting"  # line that a child writes on its standard output after its first frame
# Exit codes that a restart cannot mend: the user must change something. Any code counts so before the child has ever collected.
FINAL = frozenset({ExitCode.DONE, ExitCode.USAGE, ExitCode.NOTHING_TO_ATTACH, ExitCode.ALREADY_RUNNING, ExitCode.INTERRUPTED})


@dataclass(frozen=True, slots=True)
class Child:
    """One supervised command: the arguments of `alphapulse`, and the name for its messages."""

    name: str
    arguments: Sequence[str]


CODES = frozenset(ExitCode)

OnLine = Callable[[str, str], None]  # (name of the child, a line of its stderr, which the child has escaped)


async def supervise(
    children: Sequence[Child],
    on_line: OnLine,
    duration_s: float | None = None,
    *,
    together: bool = False,
    failed: Callable[[ExitCode], None] | None = None,
) -> ExitCode:
    """Run all children until they end, or stop them cleanly when cancelled. Returns the first exit code that is not 0, else DONE.

    A child gets the rest of `duration_s` seconds at its start. With `together`, the first child that fails for good ends all.
    `failed` is called with the exit code of each such child, at once.
    """
    ends_ns = None if duration_s is None else clock.monotonic_ns() + int(duration_s * 1e9)

    async def kept(child: Child) -> ExitCode:
        code = await _keep(child, on_line, ends_ns)
        if failed is not None and code is not ExitCode.DONE:
            failed(code)
        return code

    tasks = [asyncio.create_task(kept(child)) for child in children]
    try:
        left = set(tasks)
        while left:
            done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            if any(task.exception() or (together and task.result() is not ExitCode.DONE) for task in done):
                break
    finally:
        for task in tasks:  # once: a second cancel would interrupt the stopping and leave children behind
            task.cancel()
        await asyncio.wait(tasks)
    ended = [task.result() for task in tasks if not task.cancelled()]
    return next((code for code in ended if code is not ExitCode.DONE), ExitCode.DONE)


async def _keep(child: Child, on_line: OnLine, ends_ns: int | None) -> ExitCode:
    pause_s, has_collected = FIRST_PAUSE_S, False
    while True:
        started_ns = clock.monotonic_ns()
        left = [] if ends_ns is None else ["--duration", f"{max((ends_ns - started_ns) / 1e9, 0.001):.3f}s"]
        code, collected = await _run_once([*child.arguments, *left], child.name, on_line)
        has_collected = has_collected or collected
        if code in FINAL:
            return ExitCode(code)
        if not has_collected and code > 0:  # a child killed by a signal (code < 0) is restarted
            if ends_ns is None or clock.monotonic_ns() < ends_ns:
                on_line(child.name, f"ended with code {code} before it collected any data: it is not started again")
            return ExitCode(code) if code in CODES else ExitCode.FAILED
        if clock.monotonic_ns() - started_ns > STEADY_AFTER_NS:
            pause_s = FIRST_PAUSE_S
        if ends_ns is not None and clock.monotonic_ns() + pause_s * 1e9 >= ends_ns:
            return ExitCode.DONE if has_collected else ExitCode.FAILED
        on_line(child.name, f"ended with code {code}; starting it again in {pause_s:.0f} s")
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


async def _run_once(arguments: Sequence[str], name: str, on_line: OnLine) -> tuple[int, bool]:
    """Run a child once; returns its exit code (negative for a signal) and whether it collected data."""
    process = await spawn(arguments, stdout=asyncio.subprocess.PIPE)
    try:
        collected, _ = await asyncio.gather(_has_collected(process), relay(process, name, on_line))
        return await process.wait(), collected
    finally:
        await stop(process)


async def _has_collected(process: asyncio.subprocess.Process) -> bool:
    """Whether the child wrote COLLECTING before its standard output ended."""
    assert process.stdout is not None
    found = False
    with contextlib.suppress(ValueError):  # a line beyond the limit is not from our child code
        while line := await process.stdout.readline():
            found = found or line.strip() == COLLECTING
    return found


async def spawn(arguments: Sequence[str], stdout: int) -> asyncio.subprocess.Process:
    """Start `alphapulse` with these arguments in a process of its own, whose standard input is a pipe from this one."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # the installed package, not one in the current folder
        "-m",
        "alphapulse_cli",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
        limit=LINE_BYTES,
        start_new_session=True,  # Ctrl-C reaches the supervisor only, which stops the children
    )


async def relay(process: asyncio.subprocess.Process, name: str, on_line: OnLine) -> None:
    """Pass the lines of a process's stderr to `said` until it ends."""
    assert process.stderr is not None
    while True:
        try:
            line = await process.stderr.readline()
        except ValueError:  # a line beyond the limit: its buffered part is dropped
            continue
        if not line:
            return
        on_line(name, line.decode("utf-8", "replace").rstrip("\n"))


async def stop(process: asyncio.subprocess.Process) -> None:
    """Stop a process: SIGTERM, and SIGKILL if it does not end within STOP_TIMEOUT_S."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def until_parent_is_gone() -> None:
    """Wait, in a supervised child, for the end of standard input."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while await reader.read(1024):
            pass
    finally:
        transport.close()
