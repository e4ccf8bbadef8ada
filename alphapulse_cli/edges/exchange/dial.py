"""TCP connections to a host with several addresses: the next address is tried while the first does not answer (RFC 8305).

    names ─► addresses, the families in turn ─► one attempt each, NEXT_AFTER_S apart, or at once after a failure ─► the first to answer

Where IPv6 is configured and loses packets, this costs a quarter of a second instead of the whole connection timeout.
"""

import asyncio
import os
import socket
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from typing import Any

from alphapulse_cli.edges import background

NEXT_AFTER_S = 0.25

Address = tuple[Any, Any, int, str, Any]  # an entry of `socket.getaddrinfo`


async def connected_socket(host: str, port: int) -> socket.socket:
    """Connect a non-blocking socket to the host. Raises the last address's OSError if none answers."""
    return await first_of(await background.call(_addresses, host, port))


def create_connection(address: tuple[str, int], timeout: float | None = None, source: object = None) -> socket.socket:  # noqa: ARG001
    """Connect a blocking socket with that timeout in seconds, for `http.client` in a thread. OSError if no address answers.

    It is `socket.create_connection` with the race of addresses.
    """

    async def race() -> socket.socket:
        async with asyncio.timeout(timeout):
            return await first_of(_addresses(*address))

    connected = background.run(race())
    connected.settimeout(timeout)
    return connected


def _addresses(host: str, port: int) -> list[Address]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def in_turn(addresses: Iterable[Address]) -> list[Address]:
    """Addresses with the families alternating, beginning with that of the first address; the order within a family stays."""
    by_family: dict[object, list[Address]] = {}
    for address in addresses:
        by_family.setdefault(address[0], []).append(address)
    return [each for each in chain.from_iterable(zip_longest(*by_family.values())) if each is not None]


async def first_of(addresses: Sequence[Address], next_after_s: float = NEXT_AFTER_S) -> socket.socket:
    """Connect to the first of these addresses that answers. OSError of the last one that failed if none does.

    A further address is tried every `next_after_s` seconds, or at once after a failure.
    """
    waiting, running = in_turn(addresses), set[asyncio.Task[socket.socket]]()
    failed: BaseException = OSError("the host has no address")
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.create_task(_connect(waiting.pop(0))))
            patience_s = next_after_s if waiting else None
            done, running = await asyncio.wait(running, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            connected = [attempt.result() for attempt in done if attempt.exception() is None]
            for surplus in connected[1:]:
                surplus.close()
            if connected:
                return connected[0]
            failed = next((error for attempt in done if (error := attempt.exception())), failed)
    finally:  # no await here: a cancellation would lose the socket that won
        for attempt in running:
            attempt.add_done_callback(_given_up)
            attempt.cancel()
    raise failed


def _given_up(attempt: asyncio.Task[socket.socket]) -> None:
    """Close the socket of a cancelled attempt that connected all the same."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


async def _connect(address: Address) -> socket.socket:
    family, kind, protocol, _, where = address
    made = socket.socket(family, kind, protocol)
    try:
        made.setblocking(False)
        await asyncio.get_running_loop().sock_connect(made, where)
    except OSError as error:
        made.close()
        if error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno)) from None  # asyncio's own message has the address as a Python tuple
    except BaseException:
        made.close()
        raise
    return made
