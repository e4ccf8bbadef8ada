"""Runner of `collect`: one exchange in this process, or a supervised process for each of several, with the board beside it."""

import asyncio
import contextlib
import sys
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from alphapulse_cli.apps.collect.collect import collect
from alphapulse_cli.apps.collect.plan import CollectPlan
from alphapulse_cli.apps.collect.supervise import COLLECTING, Child, supervise
from alphapulse_cli.cli import render, running, stderr
from alphapulse_cli.errors import ExitCode
from alphapulse_cli.readers.status import StatusSource
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.private import private_directory

HANGING_S = 5.0  # beyond the duration: children that have not ended by then are stopped


def run(plans: Sequence[CollectPlan], *, as_json: bool, supervised: bool) -> ExitCode:
    """Collect until a signal or the duration ends it. A supervised child prints its notices only: its parent shows the board."""
    with contextlib.ExitStack() as stack:
        capture = plans[0].capture
        if capture is not None and capture.is_all and plans[0].books_dir is None:
            alone = stack.enter_context(private_directory(plans[0].shm_dir, "capture"))
            plans = [replace(plan, books_dir=str(alone.path)) for plan in plans]
        return _run(plans, as_json=as_json, supervised=supervised)


def _run(plans: Sequence[CollectPlan], *, as_json: bool, supervised: bool) -> ExitCode:
    on_board = not supervised and not render.wants_json(as_json) and sys.stdout.isatty()
    notices = running.Notices(on_board=on_board)

    def work() -> Coroutine[Any, Any, ExitCode]:  # made where it is awaited: a refused start leaves no coroutine behind
        return _one(plans[0], notices, supervised=supervised) if len(plans) == 1 else _several(plans, notices)

    if supervised:
        return running.run(work(), supervised=True)

    async def with_board() -> ExitCode | None:
        with open_directory(plans[0].books_dir or plans[0].shm_dir, create=True) as directory:
            status = StatusSource(directory, [plan.name for plan in plans])
            command = "capture run" if plans[0].books_dir else "collect"
            title = f"alphapulse {command}: {', '.join(plan.name for plan in plans)}; Ctrl-C ends it"
            return await running.beside(work(), running.show(status.sample, notices, title, as_json=as_json))

    return running.run(with_board())


async def _one(plan: CollectPlan, notices: running.Notices, *, supervised: bool) -> ExitCode:
    name = "" if supervised else plan.name  # a parent puts the name before every line
    first = _report_to_parent if supervised else None
    await collect(plan, lambda level, message: notices.add(name, level, message), on_first_frame=first)
    return ExitCode.DONE


def _report_to_parent() -> None:
    """Tell the parent that the first frame has arrived: from now on it restarts this process if it fails."""
    with suppress(OSError, ValueError):
        print(COLLECTING.decode("ascii"), flush=True)


async def _several(plans: Sequence[CollectPlan], notices: running.Notices) -> ExitCode:
    children = [Child(plan.name, [*plan.to_argv(), "--supervised", *stderr.flags()]) for plan in plans]
    duration_s = plans[0].duration_s
    with suppress(TimeoutError):  # each child keeps to the duration by itself; one that hangs is not waited for
        async with asyncio.timeout(None if duration_s is None else duration_s + HANGING_S):
            return await supervise(children, lambda name, line: notices.add(name, "said", line), duration_s)
    return ExitCode.FAILED
