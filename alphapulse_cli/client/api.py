"""Public face of the client: `connect` for asyncio, `follow` without it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Generator
from contextlib import suppress
from types import TracebackType
from typing import Self

from alphapulse_cli.client.items import Item, RemoteBook
from alphapulse_cli.client.link import Link
from alphapulse_cli.client.session import Session, Wish
from alphapulse_cli.errors import UsageError

CHANNELS = ("deltas", "trades", "status")


def connect(url: str, *, token: str = "", tls: ssl.SSLContext | None = None) -> "Stream":
    """Connection to the server at `url`, ws:// or wss://; use it in an `async with`, which makes the first connection.

    `token` is what the server asks for, `tls` a context that trusts its certificate. ExchangeError where it cannot be reached,
    Refused where it will not have this client, UsageError for an address that is none.
    """
    return Stream(url, token=token, tls=tls)


class Stream:
    """Connection that heals itself, and the items that come by it. One loop reads it; `books` are the replicas by (set, symbol)."""

    def __init__(self, url: str, *, token: str = "", tls: ssl.SSLContext | None = None) -> None:
        self._session = Session()
        self._link = Link(url, self._session, token, tls)
        self._is_read = False

    @property
    def books(self) -> dict[tuple[str, str], RemoteBook]:
        """Replicas by (set, symbol): read them, they change with the next item."""
        return self._session.books

    def deltas(self, exchange: str = "*", symbol: str = "*") -> AsyncIterator[Item]:
        """Iterate over all that happens to the books of these names or patterns, without end."""
        return self.items(Wish("deltas", exchange, symbol))

    def trades(self, exchange: str = "*", symbol: str = "*") -> AsyncIterator[Item]:
        """Iterate over the trades of these names or patterns, as they happen from now on, without end."""
        return self.items(Wish("trades", exchange, symbol))

    async def items(self, *wishes: Wish) -> AsyncIterator[Item]:
        """Iterate over all that is wished, and all that was before. UsageError beside another such loop.

        It ends with ExchangeError where the server went back to an older epoch, Refused where it refuses a request or a token.
        """
        for one in wishes:
            if one.channel not in CHANNELS:
                raise UsageError(f"unknown channel: {str(one.channel)[:40]!r}", f"channels are: {', '.join(CHANNELS)}")
        if self._is_read:
            raise UsageError(
                "two loops cannot read one stream", 'wish for all in one: stream.items(Wish("deltas", …), Wish("trades", …))'
            )
        self._is_read = True
        try:
            await self._link.send(self._session.wish(*_with_status(wishes)))
            async for item in self._link.items():
                yield item
        finally:
            self._is_read = False

    async def close(self) -> None:
        """End the connection."""
        await self._link.close()

    async def __aenter__(self) -> Self:
        await self._link.connect()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()


def _with_status(wishes: tuple[Wish, ...]) -> list[Wish]:
    """The wishes, and before each for deltas the states of the same books: a writer that is dead says nothing by itself."""
    found: list[Wish] = []
    for one in wishes:
        if one.channel == "deltas":
            found.append(one._replace(channel="status"))
        found.append(one)
    return found


def follow(
    url: str, exchange: str = "*", symbol: str = "*", *, channel: str = "deltas", token: str = "", tls: ssl.SSLContext | None = None
) -> Generator[Item, None, None]:
    """Iterate over deltas or trades without asyncio: as `connect` and its `items`. The connection is closed with the iterator."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise UsageError("follow is for programs without asyncio", "async with client.connect(url) as stream: …")
    return _follow(Stream(url, token=token, tls=tls), Wish(channel, exchange, symbol))


def _follow(stream: Stream, wish: Wish) -> Generator[Item, None, None]:
    with asyncio.Runner() as runner:
        runner.run(stream.__aenter__())
        items = stream.items(wish)
        try:
            while True:
                yield runner.run(_next(items))
        finally:
            with suppress(Exception):
                runner.run(items.aclose())  # type: ignore[attr-defined]  # it is a generator
            runner.run(stream.close())


async def _next(items: AsyncIterator[Item]) -> Item:
    return await anext(items)
