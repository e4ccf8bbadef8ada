"""WebSocket link over the `picows` library (extra `fast`), which is compiled and calls us for each frame in its read buffer.

    socket ─► picows's read buffer ─► on_ws_frame ─► on_frame                       the usual way, no task and no queue between
                                          └► frames held ─► a later turn ─► on_frame      more than shared.FRAMES_PER_TURN in one read

A frame's payload is copied once, since picows reuses the buffer. The receive time is when the bytes came out of the kernel, the
same for all frames of a read. While frames are held the socket is not read, so that at most one read buffer is held. Held frames
keep their order and receive times, and the connection's end is reported after the last of them. The first frames are held until
`connect` has returned.

`picows_connect` makes the connections.
"""

import asyncio
import contextlib
import os
from collections import deque

from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport

from alphapulse_cli.edges.exchange import link as shared
from alphapulse_cli.edges.exchange.link import CUT, OnFrame, closed_by_exchange, closed_by_us
from alphapulse_cli.errors import ExchangeError
from alphapulse_cli.shm import clock

TEXT, CONTINUATION = WSMsgType.TEXT, WSMsgType.CONTINUATION
NO_STATUS = 1005  # RFC 6455: the code of a close frame without one


class PicowsLink(WSListener):
    """WebSocket connection over picows: a listener, and a `Link`."""

    def __init__(self, on_frame: OnFrame) -> None:
        loop = asyncio.get_running_loop()
        self._loop, self._on_frame, self._realtime_ns = loop, on_frame, clock.realtime_ns
        self._end: asyncio.Future[str] = loop.create_future()
        self._why = ""  # reason of the end, once it has ended
        self._read_ns = 0  # receive time of the current read; 0 between two reads
        self._room = 0  # number of frames that this turn of the loop may still handle
        self._held: deque[tuple[bytes, int]] = deque()
        self._is_holding = True
        self._is_stopped = False  # frames are dropped from now on
        self._begun: bytearray | None = None  # received part of a message of several frames
        self._pongs: dict[bytes, asyncio.Future[bool]] = {}
        self._writable = asyncio.Event()
        self._writable.set()

    # Callbacks of picows

    def on_ws_connected(self, connection: WSTransport) -> None:
        """Pause reading: frames that came with the handshake are held until `begin`."""
        self._connection = connection
        connection.underlying_transport.pause_reading()

    def on_ws_frame(self, _: WSTransport, frame: WSFrame) -> None:
        """Take a data or control frame; `frame` is valid during this call only."""
        receive_ns = self._read_ns or self._realtime_ns()
        kind = frame.msg_type
        if kind is TEXT and frame.fin and not (self._begun is not None or frame.rsv1 or frame.rsv2 or frame.rsv3):
            if self._room:  # as `_take`, without its call, for nearly every frame
                self._room -= 1
                try:
                    self._on_frame(frame.get_payload_as_bytes(), receive_ns)
                except Exception as error:  # noqa: BLE001 - it is raised by `closed`
                    self._fail(error)
            else:
                self._take(frame.get_payload_as_bytes(), receive_ns)
        elif not self._why:
            self._on_rare(kind, frame, receive_ns)
        if frame.last_in_buffer:
            self._read_ns = 0
            if not (self._is_holding or self._why):
                self._room = shared.FRAMES_PER_TURN
        else:
            self._read_ns = receive_ns

    def on_ws_disconnected(self, connection: WSTransport) -> None:
        """Report the end of the connection: the socket is closed."""
        farewell = connection.close_handshake
        sent = farewell.sent if farewell is not None else None
        self._finish(closed_by_us(sent.code.value) if sent is not None else CUT)

    def pause_writing(self) -> None:
        """Make senders wait: the other side reads slower than we send."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Resume sending: the peer has caught up."""
        self._writable.set()

    # Frames

    def _take(self, payload: bytes, receive_ns: int) -> None:
        if self._room:
            self._room -= 1
            self._handle(payload, receive_ns)
        elif not (self._why or self._is_stopped):
            self._hold(payload, receive_ns)

    def _handle(self, payload: bytes, receive_ns: int) -> None:
        try:
            self._on_frame(payload, receive_ns)
        except Exception as error:  # noqa: BLE001 - it is raised by `closed`
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._stop()
        if not self._end.done():
            self._end.set_exception(error)

    def _hold(self, payload: bytes, receive_ns: int) -> None:
        self._held.append((payload, receive_ns))
        if not self._is_holding:
            self._is_holding = True
            self._connection.underlying_transport.pause_reading()
            self._loop.call_soon(self._continue)

    def begin(self) -> None:
        """Pass on the held frames, and then those that arrive, from the loop's next turn on."""
        self._loop.call_soon(self._continue)

    def _continue(self) -> None:
        """Handle at most FRAMES_PER_TURN held frames; after the last one resume reading, or report the end."""
        left, held = shared.FRAMES_PER_TURN, self._held
        while left and held:
            left -= 1
            self._handle(*held.popleft())
        if held:
            self._loop.call_soon(self._continue)
        elif not self._is_stopped:
            self._is_holding = False
            if self._why:
                self._signal_end()
            else:
                self._room = shared.FRAMES_PER_TURN
                self._connection.underlying_transport.resume_reading()

    def _on_rare(self, kind: WSMsgType, frame: WSFrame, receive_ns: int) -> None:
        """Handle a frame other than an unfragmented text frame."""
        payload = frame.get_payload_as_bytes()
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._break_off(WSCloseCode.PROTOCOL_ERROR)  # an extension that was not negotiated
        elif kind is WSMsgType.PING:
            self._connection.send_pong(payload)
        elif kind is WSMsgType.PONG:
            pong = self._pongs.pop(payload, None)
            if pong is not None and not pong.done():
                pong.set_result(True)
        elif kind is WSMsgType.CLOSE:
            code = int.from_bytes(payload[:2], "big") if payload else NO_STATUS
            self._finish(closed_by_exchange(code, payload[2:].decode("utf-8", "replace")))
            self._connection.send_close(WSCloseCode.OK)
        else:
            self._on_fragment(kind, payload, receive_ns, is_last=bool(frame.fin))

    def _on_fragment(self, kind: WSMsgType, payload: bytes, receive_ns: int, *, is_last: bool) -> None:
        """Take a binary frame, or a fragment of a text or binary message, whose receive time is that of its last fragment."""
        if (kind is CONTINUATION) is (self._begun is None):
            self._break_off(WSCloseCode.PROTOCOL_ERROR)
            return
        if self._begun is None and is_last:
            self._take(payload, receive_ns)
            return
        begun = self._begun = self._begun or bytearray()
        begun += payload
        if len(begun) > shared.MAX_FRAME_BYTES:
            self._break_off(WSCloseCode.MESSAGE_TOO_BIG)
        elif is_last:
            self._begun = None
            self._take(bytes(begun), receive_ns)

    # The end

    def _break_off(self, code: WSCloseCode) -> None:
        """Close the connection with `code` after a violation of the protocol or of our bounds."""
        self._connection.send_close(code)
        self._finish(closed_by_us(code.value))

    def _finish(self, why: str) -> None:
        """Record the end of the connection and its reason; held frames are handled before it is reported."""
        if self._why:
            return
        self._why, self._room = why, 0
        for pong in self._pongs.values():
            if not pong.done():
                pong.set_result(False)
        self._writable.set()
        if self._is_stopped or not self._is_holding:
            self._signal_end()

    def _signal_end(self) -> None:
        if not self._end.done():
            self._end.set_result(self._why)

    def _stop(self) -> None:
        """Drop held frames and all that arrive from now on."""
        self._is_stopped = self._is_holding = True
        self._room = 0
        self._held.clear()

    # The link

    async def send(self, frame: bytes) -> None:
        """Send one text frame. ExchangeError if the connection is lost."""
        if not self._why:
            self._connection.send(TEXT, frame)
            await self._writable.wait()
        if self._why:
            raise ExchangeError(f"connection lost while sending: {self._why}")

    async def ping(self) -> None:
        """Ping and wait for the pong. ExchangeError if the connection is lost."""
        token = os.urandom(4)
        pong = self._pongs[token] = self._loop.create_future()
        try:
            if not self._why:
                self._connection.send_ping(token)
            if self._why or not await pong:
                raise ExchangeError(f"connection lost: {self._why}")
        finally:
            self._pongs.pop(token, None)

    async def closed(self) -> str:
        """Wait for the end; returns its reason."""
        return await asyncio.shield(self._end)

    async def close(self) -> None:
        """Close: send a close frame, wait CLOSE_TIMEOUT_S for the answer, then close the socket."""
        self._stop()
        connection = self._connection
        try:
            if not connection.is_disconnected:
                connection.send_close(WSCloseCode.OK)
                connection.underlying_transport.resume_reading()
            async with asyncio.timeout(shared.CLOSE_TIMEOUT_S):
                await _until_gone(connection)
        except TimeoutError:
            pass
        finally:
            connection.disconnect(graceful=False)
            await _until_gone(connection)
            if self._why:
                self._signal_end()
            if self._end.done():
                self._end.exception()  # mark it as retrieved: `closed` raised it


async def _until_gone(connection: WSTransport) -> None:
    with contextlib.suppress(WSError):  # the link's `_why` has the reason
        await connection.wait_disconnected()
