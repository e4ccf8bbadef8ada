"""Clients of `serve` for tests: they read over real sockets, keep books as a user's program would, and hold every message to the schema.

The books are plain dicts and the hash is written here a second time: nothing of the server's own code decides whether a copy is right.
"""

import asyncio
import json
import struct
from collections import Counter
from functools import cache

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from alphapulse_cli.apps.serve.messages import schema

LIMIT_S = 30.0
VALIDATED, VALIDATED_BYTES = 20, 20_000  # messages of a type that a client holds to the schema: it costs milliseconds
RAW_HEAD = struct.Struct("<BBHHHQ32s")
RECORD_HEAD, CHANGE, CHECK = struct.Struct("<Q16s16sQQBBBBi"), struct.Struct("<qQ"), struct.Struct("<QII")
KINDS = {0: "DELTA", 2: "CHECK", 3: "STATUS"}
MASK = (1 << 64) - 1


@cache
def validator():
    import jsonschema

    return jsonschema.Draft202012Validator(schema())


def mixed(value):
    """splitmix64 of the reference page."""
    value = value + 0x9E37_79B9_7F4A_7C15 & MASK
    value = (value ^ value >> 30) * 0xBF58_476D_1CE4_E5B9 & MASK
    value = (value ^ value >> 27) * 0x94D0_49BB_1331_11EB & MASK
    return value ^ value >> 31


def mixed_level(side_and_ticks, lots):
    is_ask, ticks = side_and_ticks
    return mixed(mixed(2 * ticks + is_ask & MASK) + lots & MASK)


def units(text, decimals):
    whole, _, fraction = text.partition(".")
    assert len(fraction) == decimals, text
    return int(whole + fraction)


OPENED: "list[StreamClient]" = []


async def cut_off_all():
    """Cut off all clients of this loop, after a test that may have failed in their midst. Those of a loop that is over are forgotten."""
    loop = asyncio.get_running_loop()
    own = [client for client in OPENED if client._reading.get_loop() is loop]
    OPENED.clear()
    for client in own:
        client.websocket.transport.abort()
    await asyncio.gather(*(client.websocket.wait_closed() for client in own))
    await asyncio.gather(*(client._reading for client in own), return_exceptions=True)


class Copy:
    """A client's copy of one book."""

    def __init__(self):
        self.epoch = self.version = None
        self.levels = {}
        self.hash = 0
        self.parts = 0
        self.checks = 0
        self.groups = 0

    def set(self, side_and_ticks, lots):
        """Set one level; 0 removes it. The hash follows."""
        before = self.levels.pop(side_and_ticks, 0)
        if before:
            self.hash -= mixed_level(side_and_ticks, before)
        if lots:
            self.levels[side_and_ticks] = lots
            self.hash += mixed_level(side_and_ticks, lots)
        self.hash &= MASK

    def begin(self, message, levels):
        """A part of a snapshot."""
        if message["part"] == 1:
            self.levels, self.hash, self.parts, self.version = {}, 0, 0, None
        self.parts += 1
        assert self.parts == message["part"]
        for side_and_ticks, lots in levels.items():
            self.set(side_and_ticks, lots)
        if message["part"] == message["parts"]:
            self.epoch, self.version = message["epoch"], message["version"]
            if "book_hash" in message:
                assert f"{self.hash:016x}" == message["book_hash"]
                assert len(self.levels) == message["bid_levels"] + message["ask_levels"]

    def take(self, message, changes):
        """A group: the chain must hold, and a CHECK must prove the copy."""
        assert self.version is not None, "a group before the snapshot was whole"
        assert message["epoch"] == self.epoch
        self.groups += 1
        if message["kind"] == "DELTA":
            assert message["prev_version"] == self.version, f"the chain broke: {message['prev_version']} behind {self.version}"
            for is_ask, ticks, lots in changes:
                self.set((is_ask, ticks), lots)
            self.version = message["version"]
        else:
            assert message["version"] == self.version
        if message["kind"] == "CHECK":
            assert f"{self.hash:016x}" == message["book_hash"]
            self.checks += 1


class StreamClient:
    """One client. `messages` by type, `books` by (set, symbol); `until` waits for a condition of what came."""

    def __init__(self, websocket, encoding):
        self.websocket, self.encoding = websocket, encoding
        self.books = {}
        self.messages = []
        self.counts: Counter[str] = Counter()
        self.closed = None
        self.failure = None
        self._came = asyncio.Event()
        self._reading = asyncio.create_task(self._read())
        OPENED.append(self)

    @classmethod
    async def open(cls, port, encoding="", headers=None, path="/", **options):
        protocols = [Subprotocol(f"alphapulse.{encoding}.v1")] if encoding else None
        websocket = await connect(
            f"ws://127.0.0.1:{port}{path}",
            subprotocols=protocols,
            additional_headers=headers,
            compression=None,
            proxy=None,
            **options,
        )
        return cls(websocket, encoding or "json")

    async def _read(self):
        try:
            async for payload in self.websocket:
                self._take(payload)
                self._came.set()
        except ConnectionClosed:
            pass
        except BaseException as failure:
            self.failure = failure
            raise
        finally:
            self.closed = self.websocket.close_code, self.websocket.close_reason
            self._came.set()

    def _take(self, payload):
        if self.encoding == "raw" and isinstance(payload, bytes):
            self._take_raw(payload)
            return
        if self.encoding == "msgpack":
            import msgpack

            message = msgpack.unpackb(payload)
        else:
            assert isinstance(payload, str)
            message = json.loads(payload)
        if self.counts[message["type"]] < VALIDATED and len(payload) < VALIDATED_BYTES:
            found = next(validator().iter_errors(message), None)
            assert found is None, f"{message}: {found}"
        self._note(message)
        if message["type"] == "snapshot":
            grid = message["price_decimals"], message["size_decimals"]
            levels = {
                (is_ask, units(price, grid[0])): units(size, grid[1])
                for is_ask, side in ((0, "bids"), (1, "asks"))
                for price, size in message[side]
            }
            self._copy(message).begin(message, levels)
        elif message["type"] == "group":
            grid = message["price_decimals"], message["size_decimals"]
            changes = [
                (int(side == "ask"), units(price, grid[0]), units(size, grid[1])) for side, price, size in message["changes"]
            ]
            self._copy(message).take(message, changes)

    def _take_raw(self, payload):
        kind, flags, part, parts, place, epoch, name = RAW_HEAD.unpack_from(payload)
        assert kind == 2 or place == 0
        set_name, records = name.rstrip(b"\0").decode(), payload[RAW_HEAD.size :]
        if kind == 2:
            assert len(records) == 128
            self._note({"type": "trade", "set": set_name, "epoch": epoch, "place": place, "record": records})
            return
        assert len(records) % 256 == 0
        changes = []
        for at in range(0, len(records), 256):
            head = RECORD_HEAD.unpack_from(records, at)
            changes += [
                (word >> 63, ticks, word & (1 << 62) - 1)
                for ticks, word in CHANGE.iter_unpack(records[at + 64 : at + 64 + 16 * head[5]])
            ]
        message = {
            "type": {1: "group", 3: "snapshot"}[kind],
            "set": set_name,
            "exchange": head[2].rstrip(b"\0").decode(),
            "symbol": head[1].rstrip(b"\0").decode(),
            "epoch": epoch,
            "version": head[3],
            "prev_version": head[4],
            "timestamp_ns": head[0],
        } | ({"replay": True} if flags & 1 else {})
        if kind == 3:
            self._note(message | {"part": part, "parts": parts})
            self._copy(message).begin(
                message | {"part": part, "parts": parts}, {(is_ask, ticks): lots for is_ask, ticks, lots in changes}
            )
            return
        message["kind"] = KINDS[head[6] & 7]
        if message["kind"] == "CHECK":
            message["book_hash"] = f"{CHECK.unpack_from(records, 64)[0]:016x}"
        self._note(message)
        self._copy(message).take(message, changes)

    def _note(self, message):
        self.messages.append(message)
        self.counts[message["type"]] += 1

    def _copy(self, message):
        return self.books.setdefault((message["set"], message["symbol"]), Copy())

    def of(self, kind):
        """Messages of that type, in their order."""
        return [message for message in self.messages if message["type"] == kind]

    async def send(self, **request):
        if self.encoding == "msgpack":
            import msgpack

            await self.websocket.send(msgpack.packb(request))
        else:
            await self.websocket.send(json.dumps(request))

    async def ask(self, answer, **request):
        """Send a request, and wait for a further message of the type `answer`, which is returned."""
        before = self.counts[answer]
        await self.send(**request)
        await self.until(lambda: self.counts[answer] > before)
        return self.of(answer)[-1]

    async def subscribe(self, channel, **fields):
        return await self.ask("subscribed", op="subscribe", channel=channel, **fields)

    async def until(self, condition, limit_s=LIMIT_S):
        """Wait until what came meets the condition; the test fails where the connection ends, or the limit passes, before."""
        async with asyncio.timeout(limit_s):
            while not condition():
                assert self.failure is None, repr(self.failure)
                assert self.closed is None, f"closed: {self.closed}"
                self._came.clear()
                if not condition() and self.closed is None:
                    await self._came.wait()

    async def until_closed(self, limit_s=LIMIT_S):
        """(code, reason) of the end."""
        async with asyncio.timeout(limit_s):
            while self.closed is None:
                self._came.clear()
                await self._came.wait()
        assert self.failure is None, repr(self.failure)
        return self.closed

    async def close(self):
        await self.websocket.close()
        await asyncio.gather(self._reading, return_exceptions=True)
        assert self.failure is None, repr(self.failure)

    async def __aenter__(self):
        return self

    async def __aexit__(self, error, *_):
        if error is not None:  # it may no longer read: a farewell would be waited for
            self.websocket.transport.abort()
            await asyncio.gather(self._reading, return_exceptions=True)
        else:
            await self.close()
