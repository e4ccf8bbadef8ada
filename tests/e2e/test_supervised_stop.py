"""Stopping several supervised processes: whoever is slow to stop is waited for, however quick the others are."""

import asyncio
import sys

from alphapulse_cli.apps.collect import supervise as module
from alphapulse_cli.apps.collect.supervise import Child, supervise

SLOW = "import signal,sys,time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), sys.exit(0)))"
READY = "import sys,time; print('ready', file=sys.stderr, flush=True); time.sleep(60)"


async def test_a_slow_child_is_gone_before_supervise_ends(monkeypatch):
    """One stops at once, one after half a second; cancelled, `supervise` has seen the end of both."""
    processes, said = [], []

    async def spawn(arguments, stdout):
        pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": stdout, "stderr": asyncio.subprocess.PIPE}
        processes.append(await asyncio.create_subprocess_exec(sys.executable, "-c", arguments[0], **pipes))
        return processes[-1]

    monkeypatch.setattr(module, "spawn", spawn)
    ready = asyncio.Event()

    def hear(name, line):
        said.append((name, line))
        if len(said) == 2:
            ready.set()

    children = [Child("quick", [READY]), Child("slow", [f"{SLOW}\n{READY}"])]
    supervising = asyncio.create_task(supervise(children, hear))
    await asyncio.wait_for(ready.wait(), 30)
    supervising.cancel()
    await asyncio.wait([supervising])
    assert supervising.cancelled()
    assert [process.returncode for process in processes if process.returncode is None] == []
