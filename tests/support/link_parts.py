"""The other side of a connection, byte by byte: a TCP server that shakes hands as a WebSocket does and then sends what a test wants.

async with raw(handle) as url:        # async def handle(reader, writer), called after the handshake
    …
"""

import asyncio
import contextlib

from websockets.utils import accept_key

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


@contextlib.asynccontextmanager
async def tcp(handle):
    """A plain TCP server; the ws:// address of it. Its connections end with it, also those that nobody in the test made.

    A program that still knocks at a port of an earlier test may be accepted in the last moment: its task then never begins.
    """
    running: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def kept(reader, writer):
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await handle(reader, writer)
        finally:
            writer.transport.abort() if writer.is_closing() else writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):  # cancelled, it would be an error to asyncio's streams
                await writer.wait_closed()

    def accepted(reader, writer):
        running[asyncio.get_running_loop().create_task(kept(reader, writer))] = writer

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        # Python 3.11 loses a connection that it has accepted where the server is closed before the task that takes it has begun
        asyncio.get_running_loop().remove_reader(server.sockets[0].fileno())
        for _ in range(5):
            await asyncio.sleep(0)
        server.close()
        for task in running:
            task.cancel()
        await asyncio.wait_for(asyncio.gather(*running, return_exceptions=True), 10)
        for writer in running.values():
            if not writer.is_closing():  # its task was cancelled before it began
                writer.close()
        await asyncio.sleep(0)  # the end of a transport is told in the loop's next turn


def switching(head):
    """The answer to an upgrade request."""
    key = next(line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + f"Sec-WebSocket-Accept: {accept_key(key.decode())}\r\n\r\n".encode()
    )


def raw(handle, behind=b""):
    """A TCP server that shakes hands; `behind` goes out in the same packet as its answer."""

    async def shake(reader, writer):
        writer.write(switching(await reader.readuntil(b"\r\n\r\n")) + behind)
        await handle(reader, writer)

    return tcp(shake)


async def stays(reader, writer):
    """Listens until the other side goes, or says farewell; its frames are short ones."""
    while True:
        first, second, *_ = await reader.readexactly(6)  # and the mask
        await reader.readexactly(second & 0x7F)
        if first & 0x0F == CLOSE:
            return


def sends(*pieces):
    """Sends these in one packet, then listens until the other side goes."""

    async def handle(reader, writer):
        writer.write(b"".join(pieces))
        await stays(reader, writer)

    return handle


def frame(payload, opcode=TEXT, *, fin=True, rsv=0, masked=False):
    """One frame as a server sends it; or as it must not."""
    size = len(payload)
    first, mask_bit = (0x80 if fin else 0) | rsv << 4 | opcode, 0x80 if masked else 0
    if size < 126:
        head = bytes((first, mask_bit | size))
    elif size < 1 << 16:
        head = bytes((first, mask_bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, mask_bit | 127)) + size.to_bytes(8, "big")
    return head + (b"\0\0\0\0" if masked else b"") + payload


def farewell(code, reason=b""):
    """A close frame."""
    return frame(code.to_bytes(2, "big") + reason, CLOSE)
