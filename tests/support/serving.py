"""A running `serve` in the loop of a test."""

import asyncio
from contextlib import asynccontextmanager

from alphapulse_cli.apps.serve.serve import Serving
from alphapulse_cli.apps.serve.state import ServePlan
from alphapulse_cli.readers.selection import Wanted
from support.stream_clients import cut_off_all


@asynccontextmanager
async def serving(directory, *, make_app=None, store=None, **plan):
    """A running server of everything in the directory; with `make_app` its REST side, too."""
    made = Serving(ServePlan(**{"port": 0, "http_port": 0, **plan}), directory, Wanted(), make_app=make_app, store=store)
    await made.start()
    running = asyncio.create_task(made.run())
    try:
        yield made
    except BaseException:
        await cut_off_all()  # those that failed no longer read: a stop would wait for their farewell
        raise
    finally:
        running.cancel()
        await asyncio.wait([running])
        await made.stop()
        await cut_off_all()
