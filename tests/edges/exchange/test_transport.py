"""Every way in which a connection cannot come about, or ends, is one clear error: never a traceback, never a wait without end."""

import asyncio
import contextlib
import gc
import re
import ssl

import pytest
from support.link_parts import raw, tcp
from support.sim_parts import until
from websockets.asyncio.server import serve

from alphapulse_cli.edges.exchange import link as shared
from alphapulse_cli.errors import ExchangeError, Refused, UsageError


def says(answer):
    async def handle(reader, writer):
        await reader.read(100)
        writer.write(answer)
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()

    return handle


async def says_nothing(reader, writer):
    with contextlib.suppress(OSError):
        await reader.read()
    writer.close()


@contextlib.asynccontextmanager
async def websocket(handle, **options):
    async with serve(handle, "127.0.0.1", 0, compression=None, max_size=None, **options) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@pytest.fixture
def opened(opener):
    """Opens a link whose frames are kept in a list."""

    async def opened(url, frames=None):
        return await opener(url, lambda frame, _: (frames if frames is not None else []).append(frame))

    return opened


@pytest.fixture(autouse=True)
def nothing_is_printed(capfd):
    """Whatever the other side does or says, neither library nor asyncio talks about it."""
    yield
    gc.collect()  # a future whose error nobody took would say so now
    assert capfd.readouterr() == ("", "")


class TestNoConnection:
    @pytest.mark.parametrize(
        "url",
        [
            "",
            "kraken",
            "http://127.0.0.1/",
            "ws://",
            "ws://127.0.0.1:99999/",
            "ws://[::1",
            "ws://" + "a" * 80 + ".example/",
            "ws://127.0.0.1:x/",
        ],
    )
    async def test_an_address_that_cannot_be_is_a_usage_error(self, opened, url):
        with pytest.raises(UsageError, match="not a WebSocket address"):
            await opened(url)

    async def test_nobody_there(self, opened):
        with pytest.raises(ExchangeError, match=r"cannot connect to ws://127.0.0.1:1/: connection refused"):
            await opened("ws://127.0.0.1:1/")

    @pytest.mark.parametrize(
        "answer",
        [
            b"",
            b"\x15\x03\x01\x00\x02\x02\x50",
            b"SSH-2.0-OpenSSH_9\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 banana\r\n\r\n",
            b"\0" * 70_000,
        ],
    )
    async def test_garbage_instead_of_a_handshake(self, opened, answer):
        async with tcp(says(answer)) as url:
            with pytest.raises(ExchangeError) as failed:
                await opened(url)
            assert "\n" not in str(failed.value)

    @pytest.mark.parametrize(("status", "error"), [(403, Refused), (451, Refused), (404, Refused), (503, ExchangeError)])
    async def test_an_http_error(self, opened, status, error):
        async with tcp(says(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())) as url:
            with pytest.raises(error, match=f"answers {status}") as failed:
                await opened(url)
            assert type(failed.value) is error

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ("retry-after: 20\r\n", 20.0),
            ("Date: Fri, 27 Nov 2026 10:00:00 GMT\r\nRetry-After: Sat, 28 Nov 2026 10:00:00 GMT\r\n", 86_400.0),
            ("Retry-After: soon\r\n", None),
            ("", None),
        ],
    )
    async def test_a_pause_that_the_exchange_asks_for_is_carried(self, opened, headers, seconds):
        async with tcp(says(f"HTTP/1.1 429 Slow\r\n{headers}Content-Length: 0\r\n\r\n".encode())) as url:
            with pytest.raises(ExchangeError, match="answers 429: too many connections") as failed:
                await opened(url)
            assert failed.value.retry_after_s == seconds
            assert seconds is None or re.search(rf"until .*Z \(in {seconds:.0f} s\)", str(failed.value))

    async def test_tls_where_there_is_none(self, opened):
        async with tcp(says(b"HTTP/1.1 400 No\r\n\r\n")) as url:
            with pytest.raises(ExchangeError, match="cannot connect"):
                await opened(url.replace("ws:", "wss:"))

    async def test_none_where_there_is_tls(self, opened):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server = await asyncio.start_server(says(b""), "127.0.0.1", 0, ssl=context)
        with pytest.raises(ExchangeError, match="cannot connect"):
            await opened(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        server.close()

    async def test_a_server_that_accepts_and_says_nothing(self, opener):
        async with tcp(says_nothing) as url:
            with pytest.raises(ExchangeError, match=r"no connection to .* within 0.2 s"):
                await opener(url, lambda *_: None, open_timeout_s=0.2)


class TestALink:
    async def test_hands_over_text_and_binary_frames_as_they_came(self, opened):
        async def handle(connection):
            await connection.send("ü")
            await connection.send(b"\xff\0")
            await connection.wait_closed()

        frames: list[bytes] = []
        async with websocket(handle) as url:
            link = await opened(url, frames)
            await until(lambda: len(frames) == 2)
            await link.close()
        assert frames == ["ü".encode(), b"\xff\0"]

    async def test_says_who_ended_it_and_why(self, opened):
        async def handle(connection):
            await connection.close(1008, "too \x1b[2J slow")

        async with websocket(handle) as url:
            link = await opened(url)
            assert await link.closed() == "closed by the exchange, code 1008 too \x1b[2J slow"
            for doing in (link.send(b"x"), link.ping()):
                with pytest.raises(ExchangeError, match="1008"):
                    await doing
            await link.close()

    async def test_says_when_it_was_cut(self, opened):
        async def handle(connection):
            connection.transport.abort()

        async with websocket(handle) as url:
            link = await opened(url)
            assert await link.closed() == "connection lost"
            await link.close()

    async def test_ends_at_a_frame_beyond_its_bound(self, opened, monkeypatch):
        async def handle(connection):
            with contextlib.suppress(Exception):
                await connection.send("x" * 20_001)
                await connection.wait_closed()

        monkeypatch.setattr(shared, "MAX_FRAME_BYTES", 20_000)
        async with websocket(handle) as url:
            link = await opened(url)
            assert "1009" in await link.closed()
            await link.close()

    async def test_waits_for_the_pong(self, opened):
        async with websocket(lambda connection: connection.wait_closed()) as url:
            link = await opened(url)
            await link.ping()
            await link.close()

    async def test_raises_what_its_owner_raised_about_a_frame(self, opener):
        async def handle(connection):
            await connection.send("x")
            await connection.wait_closed()

        def broken(*_):
            raise ZeroDivisionError

        async with websocket(handle) as url:
            link = await opener(url, broken)
            with pytest.raises(ZeroDivisionError):
                await link.closed()
            await link.close()

    async def test_closes_even_if_the_other_side_will_not(self, opened, monkeypatch):
        """It shakes hands and never says or hears a word again."""
        monkeypatch.setattr(shared, "CLOSE_TIMEOUT_S", 0.1)

        async def deaf(reader, writer):
            await reader.read()

        async with raw(deaf) as url:
            link = await opened(url)
            await asyncio.wait_for(link.close(), 10)
            assert await link.closed()
