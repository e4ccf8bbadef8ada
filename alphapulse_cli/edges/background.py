"""Blocking calls in daemon threads: a host or a name server that never answers delays neither the event loop nor the exit.

asyncio waits for its own executor when a loop closes, and the interpreter waits again at exit: with it one `getaddrinfo` that hangs
for 30 s would make a Ctrl-C take 30 s.

`run` is `asyncio.run` for a process that may have no descriptors left for a loop.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")
LOOP_DESCRIPTORS = 3  # of an event loop: the selector's, and a pair that wakes it


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run the coroutine in its own event loop and return its result. OSError if no descriptors are left for a loop.

    (asyncio itself would leave a half-made loop behind, which prints a traceback.)
    """
    try:
        with contextlib.ExitStack() as opened:
            for _ in range(LOOP_DESCRIPTORS):
                opened.callback(os.close, os.open(os.devnull, os.O_RDONLY))
    except OSError:
        work.close()
        raise
    return asyncio.run(work)


class DaemonThreads(ThreadPoolExecutor):
    """Executor with a daemon thread for each call, for `loop.set_default_executor`; no shutdown waits for the threads."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run `fn` in its own daemon thread."""
        future: Future[Any] = Future()
        threading.Thread(target=_settle, args=(future, fn, args, kwargs), daemon=True, name="alphapulse-background").start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Do nothing: daemon threads end with the process."""


def _settle(future: Future[Any], call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    with contextlib.suppress(RuntimeError):  # the loop has ended: the result is not awaited any more
        try:
            result = call(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - it is raised where it is awaited
            future.set_exception(error)
        else:
            future.set_result(result)


async def call(function: Callable[..., Result], *args: Any) -> Result:
    """Await the function's result from a daemon thread. Cancelling leaves the thread to its own end."""
    future = DaemonThreads(max_workers=1).submit(function, *args)
    result: Result = await asyncio.wrap_future(future)
    return result
