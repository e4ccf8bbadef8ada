"""Compression of what clients get: permessage-deflate (RFC 7692), where the server allows it (`--compress`) and the client asks for it.

    put(frames) ─► taken apart ─► each message deflated once, whatever the number of clients ─► the same bytes for all of them

A message is compressed by itself (server_no_context_takeover), so one result serves every client of the same window, and no client
costs memory between two messages. What would not become smaller is sent as it is. What clients send is inflated by the library
websockets, message by message (client_no_context_takeover), and no further than the limit of a message.
"""

import zlib
from collections.abc import Sequence
from typing import Any

from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory

from alphapulse_cli.apps.serve.clients import Client
from alphapulse_cli.apps.serve.messages import frame, unframed

WINDOW_BITS = 13  # 8 KiB: a group or a part of a snapshot gains next to nothing from more
LEAST_BITS = 9  # that zlib makes
LEAST_BYTES = 64  # shorter messages are sent as they are
LEVEL, MEMORY = 1, 5
KEPT_BYTES = 8 << 20  # of frames and their compressed form, over all clients
COMPRESSED = 0x40  # RSV1
END = b"\x00\x00\xff\xff"  # of a message, left out (RFC 7692, 7.2.1)


def offered() -> list[ServerPerMessageDeflateFactory]:
    """Extensions that the handshake accepts."""
    return [ServerPerMessageDeflateFactory(True, True, WINDOW_BITS, WINDOW_BITS)]


class Deflation:
    """Compressed frames of one window, made once and shared by clients; KEPT_BYTES of them are kept."""

    def __init__(self, bits: int) -> None:
        self.made = 0  # messages compressed
        self._bits = bits
        self._kept: dict[bytes, bytes] = {}
        self._bytes = 0

    def deflated(self, data: bytes) -> bytes:
        """Whole frames of a server, with their messages compressed."""
        found = self._kept.get(data)
        if found is None:
            found = b"".join(self._frame(opcode, payload) for opcode, payload in unframed(data))
            if self._bytes > KEPT_BYTES:
                self._kept.clear()
                self._bytes = 0
            self._kept[data] = found
            self._bytes += len(data) + len(found)
        return found

    def _frame(self, opcode: int, payload: bytes) -> bytes:
        if len(payload) >= LEAST_BYTES:
            bits = min(self._bits, max(len(payload).bit_length(), LEAST_BITS))
            packer = zlib.compressobj(LEVEL, zlib.DEFLATED, -bits, MEMORY)
            packed = packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH)
            self.made += 1
            if len(packed) - len(END) < len(payload):
                return frame(opcode | COMPRESSED, packed[: -len(END)])
        return frame(opcode, payload)


class Deflations:
    """Deflation of each window that clients have agreed to."""

    def __init__(self) -> None:
        self._of_bits: dict[int, Deflation] = {}

    def of(self, extensions: Any) -> Deflation | None:
        """Deflation of a connection with these extensions; None for one that agreed to none."""
        for one in extensions:
            if isinstance(one, PerMessageDeflate):
                bits = one.local_max_window_bits
                return self._of_bits.setdefault(bits, Deflation(bits))
        return None


class DeflatedClient(Client):
    """A client that gets its messages compressed."""

    def __init__(self, deflation: Deflation, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._deflation = deflation

    def prepare(self, data: bytes) -> None:
        """Compress frames that will be written later, a part in each turn of the loop."""
        self._deflation.deflated(data)

    def put(self, data: bytes) -> None:
        """Add whole frames to what the next flush writes."""
        if not self.closing:
            super().put(self._deflation.deflated(data))

    def put_snapshot(self, frames: Sequence[bytes]) -> None:
        """Write a snapshot, whose bytes do not count as long as they are unread; only where `takes_snapshot`."""
        super().put_snapshot([self._deflation.deflated(part) for part in frames])
