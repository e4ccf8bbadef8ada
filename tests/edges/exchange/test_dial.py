"""A host of several addresses: the first to answer wins, and one that swallows everything costs a quarter of a second."""

import asyncio
import contextlib
import gc
import socket
import threading
import time
from typing import Any

import pytest
from support.link_parts import raw, stays
from support.sim_parts import play

from alphapulse_cli.edges import background
from alphapulse_cli.edges.exchange import dial
from alphapulse_cli.edges.exchange.fetch import Fetcher

HOST = "exchange.example"
PATIENCE_S = 5.0  # less than any timeout of a connection: only a race ends within it


def v4(port):
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))


def v6(port):
    return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0))


@contextlib.contextmanager
def black_hole(family=socket.AF_INET):
    """The address of a listener whose queue is full: what asks for a connection is dropped, as on a route that leads nowhere."""
    with contextlib.ExitStack() as kept:
        hole = kept.enter_context(socket.socket(family))
        hole.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        hole.listen(0)
        for _ in range(8):
            one = kept.enter_context(socket.socket(family))
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.connect(hole.getsockname())
        yield (v4 if family == socket.AF_INET else v6)(hole.getsockname()[1])


@pytest.fixture
def has_addresses(monkeypatch):
    """Gives the host its addresses."""
    real = socket.getaddrinfo
    known: list[Any] = []

    def lookup(host, *rest, **more):
        return list(known) if host == HOST else real(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return known.extend


def refused():
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return v4(listening.getsockname()[1])


class TestTheRace:
    def test_the_families_take_turns(self):
        assert dial.in_turn([v6(1), v6(2), v6(3), v4(4)]) == [v6(1), v4(4), v6(2), v6(3)]
        assert dial.in_turn([]) == []

    async def test_a_silent_address_does_not_hold_up_the_next(self):
        with black_hole() as hole, socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            with await asyncio.wait_for(dial.first_of([hole, v4(port)]), PATIENCE_S) as connected:
                assert connected.getpeername()[1] == port

    async def test_a_refusal_lets_the_next_begin_at_once(self):
        """With no time between the attempts but the refusal's own."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            addresses = [refused(), v4(listening.getsockname()[1])]
            with await asyncio.wait_for(dial.first_of(addresses, next_after_s=1e6), PATIENCE_S) as connected:
                assert connected.getpeername() == listening.getsockname()

    async def test_the_last_ones_error_is_told_where_all_fail(self):
        with pytest.raises(ConnectionRefusedError, match="Connection refused"):
            await dial.first_of([refused(), refused()])

    async def test_no_address_is_an_error(self):
        with pytest.raises(OSError, match="no address"):
            await dial.first_of([])

    def test_given_up_it_leaves_no_socket_open(self):
        async def scene(hole):
            racing = asyncio.create_task(dial.first_of([hole, hole]))
            await asyncio.sleep(0)
            racing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await racing
            await asyncio.sleep(0)

        with black_hole() as hole:
            play(scene(hole))
        gc.collect()  # an open one would be a ResourceWarning, which fails the suite


class TestAHostWhoseFirstAddressSwallowsEverything:
    async def test_is_reached_by_both_transports(self, opener, has_addresses):
        with black_hole(socket.AF_INET6) as hole:
            async with raw(stays) as url:
                port = int(url.rpartition(":")[2].strip("/"))
                has_addresses([hole, v4(port)])
                link = await asyncio.wait_for(opener(f"ws://{HOST}:{port}/", lambda *_: None), PATIENCE_S)
                await link.close()

    async def test_is_reached_by_rest(self, has_addresses):
        def answer(listening):
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

        with black_hole(socket.AF_INET6) as hole, socket.create_server(("127.0.0.1", 0)) as listening:
            threading.Thread(target=answer, args=(listening,), daemon=True).start()
            port = listening.getsockname()[1]
            has_addresses([hole, v4(port)])
            fetcher = Fetcher(f"http://{HOST}:{port}")
            assert await asyncio.wait_for(fetcher.get("/x"), PATIENCE_S) == b"{}"


class TestBackground:
    async def test_gives_the_result_and_raises_the_error(self):
        assert await background.call(sum, [1, 2]) == 3
        with pytest.raises(ZeroDivisionError):
            await background.call(lambda: 1 // 0)

    def test_nobody_waits_for_a_thread_that_hangs(self):
        """Neither the loop's end nor the executor's: with asyncio's own executor this would take until `release` is set."""
        release = threading.Event()

        async def scene():
            loop = asyncio.get_running_loop()
            loop.set_default_executor(background.DaemonThreads())
            hung = loop.run_in_executor(None, release.wait, 30)
            await asyncio.sleep(0)
            hung.cancel()

        began = time.monotonic()
        asyncio.run(scene())
        assert time.monotonic() - began < 20
        release.set()
