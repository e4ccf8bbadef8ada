"""A link of the `picows` library (extra `fast`): compiled, it calls us for each frame while the bytes lie in its read buffer.

    socket ─► picows's read buffer ─► on_ws_frame ─► on_frame                       the usual way, no task and no queue between
                                          └► frames held ─► a later turn ─► on_frame      more than shared.FRAMES_PER_TURN in one read

A frame's payload is copied out, once: the buffer is used again. The receive time is when the bytes came out of the kernel, one for all
frames of a read. While frames are held nothing more is read, so that what is held is never more than one read buffer; they keep their
receive times and their order, and the connection's end is told after the last of them. The first are held until `connect` has returned.

How one comes about is told in picows_connect.py.
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
NO_STATUS = 1005  # RFC 6455: what a farewell without a code counts as


class PicowsLink(WSListener):
    """One connection of it."""

    def __init__(self, on_frame: OnFrame) -> None:
        loop = asyncio.get_running_loop()
        self._loop, self._on_frame, self._realtime_ns = loop, on_frame, clock.realtime_ns
        self._end: asyncio.Future[str] = loop.create_future()
        self._why = ""  # why it ended, once it has
        self._read_ns = 0  # when the read that we are in the middle of came; 0 between two
        self._room = 0  # frames that this turn may still handle
        self._held: deque[tuple[bytes, int]] = deque()
        self._is_holding = True
        self._is_stopped = False  # nobody wants any more frames
        self._begun: bytearray | None = None  # a message of several frames, as far as it has come
        self._pongs: dict[bytes, asyncio.Future[bool]] = {}
        self._writable = asyncio.Event()
        self._writable.set()

    # What picows calls

    def on_ws_connected(self, connection: WSTransport) -> None:
        """Frames that came with the handshake are held until `begin`."""
        self._connection = connection
        connection.underlying_transport.pause_reading()

    def on_ws_frame(self, _: WSTransport, frame: WSFrame) -> None:
        """Every frame, control frames too; `frame` is valid only while this runs."""
        receive_ns = self._read_ns or self._realtime_ns()
        kind = frame.msg_type
        if kind is TEXT and frame.fin and not (self._begun is not None or frame.rsv1 or frame.rsv2 or frame.rsv3):
            if self._room:  # as `_take` does, a call less for nearly every frame
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
        """The socket is closed."""
        farewell = connection.close_handshake
        sent = farewell.sent if farewell is not None else None
        self._finish(closed_by_us(sent.code.value) if sent is not None else CUT)

    def pause_writing(self) -> None:
        """The other side reads slower than we send."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
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
        """Hand over what is held, and what comes, from the loop's next turn on."""
        self._loop.call_soon(self._continue)

    def _continue(self) -> None:
        """A turn's worth of the frames held; after the last of them, read on, or tell the end."""
        left, held = shared.FRAMES_PER_TURN, self._held
        while left and held:
            left -= 1
            self._handle(*held.popleft())
        if held:
            self._loop.call_soon(self._continue)
        elif not self._is_stopped:
            self._is_holding = False
            if self._why:
                self._tell_end()
            else:
                self._room = shared.FRAMES_PER_TURN
                self._connection.underlying_transport.resume_reading()

    def _on_rare(self, kind: WSMsgType, frame: WSFrame, receive_ns: int) -> None:
        """All but a whole text frame."""
        payload = frame.get_payload_as_bytes()
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._break_off(WSCloseCode.PROTOCOL_ERROR)  # an extension that nobody agreed on
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
        """A binary frame, or a piece of a text or binary one; whole, its time is its last piece's."""
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
        """What the other side sends is not to be borne."""
        self._connection.send_close(code)
        self._finish(closed_by_us(code.value))

    def _finish(self, why: str) -> None:
        """Nothing more comes; frames held are handled first."""
        if self._why:
            return
        self._why, self._room = why, 0
        for pong in self._pongs.values():
            if not pong.done():
                pong.set_result(False)
        self._writable.set()
        if self._is_stopped or not self._is_holding:
            self._tell_end()

    def _tell_end(self) -> None:
        if not self._end.done():
            self._end.set_result(self._why)

    def _stop(self) -> None:
        """From now on frames are dropped."""
        self._is_stopped = self._is_holding = True
        self._room = 0
        self._held.clear()

    # The link

    async def send(self, frame: bytes) -> None:
        """Send one text frame."""
        if not self._why:
            self._connection.send(TEXT, frame)
            await self._writable.wait()
        if self._why:
            raise ExchangeError(f"connection lost while sending: {self._why}")

    async def ping(self) -> None:
        """Ping and wait for the pong."""
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
        """Wait for the end."""
        return await asyncio.shield(self._end)

    async def close(self) -> None:
        """Close: a farewell, a second for the answer, then the socket is cut."""
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
                self._tell_end()
            if self._end.done():
                self._end.exception()  # it was told by `closed`


async def _until_gone(connection: WSTransport) -> None:
    with contextlib.suppress(WSError):  # what picows found wrong with the other side's frames is in the link's `_why`
        await connection.wait_disconnected()
