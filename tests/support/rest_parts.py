"""The REST side of `serve` in this process, over sets that a test writes itself: requests go in as ASGI, without a socket."""

import asyncio
import contextlib
from decimal import Decimal

from alphapulse_cli.apps.serve.source import Source
from alphapulse_cli.apps.serve.state import ServePlan, ServeState
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.shm import clock


class Served:
    """Application over a directory. `poll` hands the listeners what is new; `get` asks, and waits for the answer."""

    def __init__(self, directory, wanted=None, **plan):
        import httpx

        from alphapulse_cli.apps.serve.rest import make_app

        self.source = Source(directory, wanted or Wanted())
        self.state = ServeState(directory, wanted or Wanted(), self.source, ServePlan(**plan), clock.realtime_ns())
        try:
            self.app = make_app(self.state)
        except BaseException:
            self.source.close()
            raise
        self.writers = []
        self.transport = httpx.ASGITransport(self.app)

    def poll(self):
        """Read all that the rings hold."""
        while batch := self.source.poll(clock.monotonic_ns()):
            self.source.tell(batch)

    def get(self, path, method="GET", **headers):
        """Response to a request; an underscore in a header's name is a dash. Its writers are alive at that moment, however slow the machine."""
        for writer in self.writers:
            writer.beat()
        return asyncio.run(self._get(method, path, {name.replace("_", "-"): value for name, value in headers.items()}))

    async def _get(self, method, path, headers):
        import httpx

        async with httpx.AsyncClient(transport=self.transport, base_url="http://here") as client:
            return await client.request(method, path, headers=headers)

    def row(self, path):
        """JSON of an answer that must be 200."""
        response = self.get(path)
        assert response.status_code == 200, response.text
        return response.json()

    def error(self, path, **headers):
        """Status, code, message and hint of an answer that must be an error."""
        response = self.get(path, **headers)
        error = response.json()["error"]
        return response.status_code, error["code"], error["message"], error["hint"]

    def close(self):
        self.source.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def levels_of(book, depth=None):
    """(bids, asks) of a collector's own book, best first, as an answer has them, by decimals and not by the code under test."""
    return tuple(
        [[scaled(ticks, book.price_decimals), scaled(lots, book.size_decimals)] for ticks, lots in side]
        for side in (book.bids(depth), book.asks(depth))
    )


def scaled(number, decimals):
    """Exact text of an integer of units of 10**-decimals."""
    return f"{Decimal(number).scaleb(-decimals):.{decimals}f}"


@contextlib.contextmanager
def served(directory, wanted=None, **plan):
    with Served(directory, wanted, **plan) as made:
        yield made
