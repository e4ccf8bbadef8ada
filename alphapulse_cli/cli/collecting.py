"""Runner of `collect`: one exchange in this process, or a supervised process for each of several, with the board beside it."""

import asyncio
import sys
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

from alphapulse_cli.apps.collect.collect import collect
from alphapulse_cli.apps.collect.plan import CollectPlan
from alphapulse_cli.apps.collect.supervise import COLLECTING, Child, supervise
from alphapulse_cli.cli import render, running, stderr
from alphapulse_cli.errors import ExitCode
from alphapulse_cli.readers.status import StatusSource
from alphapulse_cli.shm.directory import open_directory

HANGING_S = 5.0  # beyond the duration: children that have not ended by then are stopped


def run(plans: Sequence[CollectPlan], *, as_json: bool, supervised: bool) -> ExitCode:
    """Collect until a signal or the duration ends it. A supervised child prints its notices only: its parent shows the board."""
    on_board = not supervised and not render.wants_json(as_json) and sys.stdout.isatty()
    notices = running.Notices(on_board=on_board)

    def work() -> Coroutine[Any, Any, ExitCode]:  # made where it is awaited: a refused start leaves no coroutine behind
        return _one(plans[0], notices, supervised=supervised) if len(plans) == 1 else _several(plans, notices)

    if supervised:
        return running.run(work(), supervised=True)

    async def with_board() -> ExitCode | None:
        with open_directory(plans[0].shm_dir, create=True) as directory:
            status = StatusSource(directory, [plan.name for plan in plans])
            title = f"alphapulse collect: {', '.join(plan.name for plan in plans)}; Ctrl-C ends it"
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
