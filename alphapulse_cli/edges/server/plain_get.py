"""Server's end of a connection that may begin with a GET that has a body: client libraries send `{}` with it, and no server minds.

    bytes ─► head complete? ─► GET without Upgrade and with Content-Length: that line is cut out, the body is ignored ─► websockets

websockets refuses a request with a body without an answer. Every GET is answered with `Connection: close`, so nothing that follows
its head can be another request.
"""

from typing import Any

from websockets.asyncio.server import ServerConnection

END = b"\r\n\r\n"
MOST_HEAD_BYTES = 64 << 10  # more is handed on as it is: websockets refuses it by its own limits


class PlainGetConnection(ServerConnection):
    """Connection of the WebSocket server that accepts a GET with a body, and ignores the body."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head: bytearray | None = bytearray()  # None: handed on
        self._ignores = False  # what follows the head of a GET with a body

    def data_received(self, data: bytes) -> None:
        """Take bytes of the client: its request's head is held back until it is complete."""
        if self._ignores:
            return
        if self._head is not None:
            self._head += data
            end = self._head.find(END)
            if end < 0 and len(self._head) < MOST_HEAD_BYTES:
                return
            data, self._head = bytes(self._head), None
            head = without_body(data[: end + len(END)]) if end >= 0 else None
            if head is not None:
                self._ignores, data = True, head
        super().data_received(data)


def without_body(head: bytes) -> bytes | None:
    """Head of a GET without its Content-Length; None for a handshake, another method, or a request without a body."""
    lines = head.split(b"\r\n")
    names = [line.partition(b":")[0].strip().lower() for line in lines[1:]]
    if not lines[0].startswith(b"GET ") or b"upgrade" in names or b"content-length" not in names:
        return None
    kept = [line for line, name in zip(lines[1:], names, strict=True) if name != b"content-length"]
    return b"\r\n".join([lines[0], *kept])
