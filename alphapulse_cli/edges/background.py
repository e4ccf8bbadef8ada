"""Blocking calls in daemon threads: a host, or a name server, that never answers holds up neither the event loop nor the process's end.

asyncio's own executor is waited for when a loop closes and again when the interpreter exits: one `getaddrinfo` that hangs for 30 s
would make a Ctrl-C take 30 s.

`run` is `asyncio.run` for where a process may have no descriptors left for a loop.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")
LOOP_DESCRIPTORS = 3  # the selector's, and a pair that wakes it


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """The coroutine's result, in a loop of its own. OSError where there are no descriptors for one: asyncio's half-made loop would print a trace."""
    try:
        with contextlib.ExitStack() as opened:
            for _ in range(LOOP_DESCRIPTORS):
                opened.callback(os.close, os.open(os.devnull, os.O_RDONLY))
    except OSError:
        work.close()
        raise
    return asyncio.run(work)


class DaemonThreads(ThreadPoolExecutor):
    """An executor of one daemon thread a call, none of which is ever waited for. For `loop.set_default_executor`."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run it in a thread of its own."""
        future: Future[Any] = Future()
        threading.Thread(target=_settle, args=(future, fn, args, kwargs), daemon=True, name="alphapulse-background").start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing to wait for."""


def _settle(future: Future[Any], call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
        try:
            result = call(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - it is raised where it is awaited
            future.set_exception(error)
        else:
            future.set_result(result)


async def call(function: Callable[..., Result], *args: Any) -> Result:
    """Its result, from a daemon thread; cancelled, the thread is left to its own end."""
    future = DaemonThreads(max_workers=1).submit(function, *args)
    result: Result = await asyncio.wrap_future(future)
    return result
