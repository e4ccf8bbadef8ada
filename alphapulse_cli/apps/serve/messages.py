"""Messages of the WebSocket protocol, version 1: what each says, as JSON, MessagePack and raw records; the requests of clients.

    Group, SourceTrade, snapshot, … ─► a dict ─► one whole WebSocket frame, made once for all clients of an encoding

`MESSAGES` and `REQUESTS` are the one definition of the fields: the JSON Schema and the tables of the reference derive from them, and
a test holds every message that is sent to it. Prices and sizes are exact decimal text; what is not known is null.

Rule for readers of other versions: fields may be added to a message, and messages may be added, within a version; a reader ignores
what it does not know. A field that goes, or changes its meaning, makes a greater `protocol`.
"""

import fnmatch
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum, unique
from functools import cache
from typing import Any

import orjson

from alphapulse_cli.apps.serve.source import Group, SourceTrade, State
from alphapulse_cli.book.book import Book
from alphapulse_cli.book.reconstruct import Reconstructor
from alphapulse_cli.edges.columns.extras import require
from alphapulse_cli.errors import UsageError
from alphapulse_cli.flow.groups import Polled
from alphapulse_cli.market.instrument import understood_id
from alphapulse_cli.readers.items import CHANGE, HEADER, Names, delta_groups, text
from alphapulse_cli.readers.moments import moment
from alphapulse_cli.wire import delta
from alphapulse_cli.wire.batch import Batch, name_bytes
from alphapulse_cli.wire.delta import RecordKind
from alphapulse_cli.wire.served import (
    PROTOCOL,
    RAW_GROUPS,
    RAW_HEADER,
    RAW_PLACES,
    RAW_REPLAY,
    RAW_SNAPSHOT,
    RAW_TRADES,
    subprotocol,
)

SIDE_LEVELS = 500  # of a side in one message of a snapshot: a millisecond of the loop, and far below the 1 MiB that clients take
PART_RECORDS = 256  # in one of a raw snapshot
MOST_DEPTH = 1000
MOST_TEXT = 64

TEXT_FRAME, BINARY_FRAME = 0x81, 0x82

Message = dict[str, Any]


@unique
class Encoding(StrEnum):
    """Encoding of messages, which a client chooses by the subprotocol; JSON where it names none."""

    JSON = "json"
    MSGPACK = "msgpack"
    RAW = "raw"

    @property
    def subprotocol(self) -> str:
        """Name of the WebSocket subprotocol."""
        return subprotocol(self.value)


@unique
class CloseCode(IntEnum):
    """Close codes that the server sends."""

    UNREADABLE = 1007
    POLICY = 1008
    TOO_LARGE = 1009
    FAILED = 1011
    RESTART = 1012
    TOO_SLOW = 1013


CLOSE_MEANINGS = {
    CloseCode.UNREADABLE: "a text message that is not UTF-8",
    CloseCode.POLICY: "a limit was passed, or the token is missing or wrong: the reason says which",
    CloseCode.TOO_LARGE: "a message larger than the limit",
    CloseCode.FAILED: "an error of the server's own, or no answer to its pings",
    CloseCode.RESTART: "the server stops: connect again and resume",
    CloseCode.TOO_SLOW: "the client reads too slowly: ask for less, or connect again and resume",
}


@unique
class Problem(StrEnum):
    """Code of an error message."""

    UNREADABLE = "unreadable"  # the message is no JSON object
    UNKNOWN_OP = "unknown_op"
    MISSING_FIELD = "missing_field"
    WRONG_FIELD = "wrong_field"
    UNAUTHORIZED = "unauthorized"
    LIMIT = "limit"
    TOO_SLOW = "too_slow"


# The table of fields, from which the schema and the reference are made: name -> (JSON Schema, meaning)

TEXT, INTEGER, COUNT, TRUTH = {"type": "string"}, {"type": "integer"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
DECIMAL = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}
STATES = [one.name for one in delta.BookState]
LEVELS = {"type": "array", "items": {"type": "array", "prefixItems": [DECIMAL, DECIMAL], "minItems": 2, "maxItems": 2}}
CHANGES = {
    "type": "array",
    "items": {"type": "array", "prefixItems": [{"enum": ["bid", "ask"]}, DECIMAL, DECIMAL], "minItems": 3, "maxItems": 3},
}


def _or_null(kind: Mapping[str, Any]) -> dict[str, Any]:
    return {"anyOf": [dict(kind), {"type": "null"}]}


Fields = dict[str, tuple[Mapping[str, Any], str]]

SET: Fields = {
    "set": (TEXT, "name of the set: its exchange's, or that given to `collect --as`"),
    "exchange": (TEXT, "name of the exchange"),
}
BOOK: Fields = {**SET, "symbol": (TEXT, "canonical symbol, BTC-USD")}
PLACE: Fields = {
    "epoch": (COUNT, "epoch of the writer; versions of two epochs have nothing to do with each other"),
    "version": (COUNT, "version of the book"),
}
TIME: Fields = {
    "time": (TEXT, "RFC 3339 with nanoseconds, Z: when the frame was received"),
    "timestamp_ns": (COUNT, "the same in ns since 1970; above 2^53: some languages need care"),
}
STANDING: Fields = {
    "state": ({"enum": STATES}, "state of the book; trade on LIVE only"),
    "reason": (TEXT, "reason of the state, NONE where there is none"),
    "trading_status": (_or_null(TEXT), "which orders the market takes; null where its writer does not tell"),
}
REPLAY: Fields = {"replay": ({"const": True}, "a replay writes the set: it is of the past; absent otherwise")}
ID: Fields = {"id": ({"type": ["string", "integer"]}, "the request's `id`; absent where it had none")}


@dataclass(frozen=True, slots=True)
class Shape:
    """Shape of a message: its meaning, the fields that it always has, and those that it may have."""

    meaning: str
    fields: Fields
    optional: Fields


def _shape(meaning: str, fields: Fields, optional: Fields | None = None) -> Shape:
    return Shape(meaning, fields, optional or {})


MESSAGES: dict[str, Shape] = {
    "welcome": _shape(
        "the first message",
        {
            "protocol": ({"const": PROTOCOL}, "version of this protocol"),
            "server": (TEXT, "name and version of the program"),
            "encoding": ({"enum": [one.value for one in Encoding]}, "encoding of what follows"),
            "channels": ({"type": "array", "items": TEXT}, "names of the channels"),
            "needs_auth": (TRUTH, "whether `auth` must come first, within 10 s"),
            "heartbeat_s": ({"type": "number"}, "seconds between heartbeats"),
            "limits": ({"type": "object", "additionalProperties": {"type": "number"}}, "limits of this client"),
        },
    ),
    "authorized": _shape("the token was right, or none is needed", {}, ID),
    "subscribed": _shape(
        "a subscription began",
        {
            "subscription": (COUNT, "its number, for `unsubscribe`"),
            "channel": (TEXT, "the channel"),
            "set": (TEXT, "pattern of sets or exchanges"),
            "symbol": (TEXT, "pattern of symbols"),
            "books": (COUNT, "number of books that match now; those that appear later are taken in too"),
        },
        {"hint": (TEXT, "sets or symbols that are there, where no book matches now; absent otherwise"), **ID},
    ),
    "unsubscribed": _shape("a subscription ended", {"subscription": (COUNT, "its number")}, ID),
    "pong": _shape("answer to `ping`", {"time_ns": (COUNT, "ns since 1970")}, ID),
    "error": _shape(
        "a request was refused, or the connection will be closed",
        {
            "code": ({"enum": [one.value for one in Problem]}, "what is wrong"),
            "message": (TEXT, "a sentence"),
            "field": (_or_null(TEXT), "the field that is wrong"),
            "hint": (_or_null(TEXT), "what helps"),
        },
        ID,
    ),
    "heartbeat": _shape("a sign of life, every `heartbeat_s`", {"time_ns": (COUNT, "ns since 1970")}),
    "snapshot": _shape(
        "deltas: the whole book, which replaces what the client has; `parts` messages of one version",
        {
            **BOOK,
            **PLACE,
            **TIME,
            **STANDING,
            "price_decimals": (COUNT, "decimals of prices"),
            "size_decimals": (COUNT, "decimals of sizes"),
            "book_hash": (TEXT, "hash of all levels, 16 hex digits"),
            "bid_levels": (COUNT, "number of bids, over all parts"),
            "ask_levels": (COUNT, "number of asks, over all parts"),
            "part": (COUNT, "number of this part, from 1"),
            "parts": (COUNT, "number of parts"),
            "bids": (LEVELS, "[price, size], best first, going on from part to part"),
            "asks": (LEVELS, "[price, size], best first, going on from part to part"),
        },
        REPLAY,
    ),
    "resumed": _shape(
        "deltas: the client's copy is continued; the groups behind it follow",
        {**BOOK, **PLACE, "groups": (COUNT, "number of groups that bring it up to date")},
    ),
    "not_resumed": _shape(
        "deltas: the client's copy cannot be continued; a snapshot follows",
        {**BOOK, "reason": ({"enum": ["epoch", "history"]}, "another writer's epoch, or groups that are no longer at hand")},
    ),
    "group": _shape(
        "deltas: one group of a book, all of it or nothing",
        {
            **BOOK,
            "kind": ({"enum": ["DELTA", "CHECK", "STATUS"]}, "DELTA changes the book; CHECK proves it; STATUS tells its state"),
            **PLACE,
            "prev_version": (COUNT, "version before it: the chain that a client checks"),
            **TIME,
            "feed_delay_us": (_or_null(INTEGER), "receive time minus the exchange's own; null where it gave none"),
            "price_decimals": (COUNT, "decimals of prices"),
            "size_decimals": (COUNT, "decimals of sizes"),
            "resynced": (TRUTH, "the difference that a resync found"),
            "changes": (CHANGES, "[side, price, size] each; size 0 removes the level"),
        },
        {
            "book_hash": (TEXT, "CHECK: hash of all levels, 16 hex digits"),
            "bid_levels": (COUNT, "CHECK: number of bids"),
            "ask_levels": (COUNT, "CHECK: number of asks"),
            "checksum": ({"enum": [one.name for one in delta.ChecksumState]}, "CHECK: the exchange's own checksum"),
            "state": ({"enum": STATES}, "CHECK, STATUS: state of the book"),
            "reason": (TEXT, "STATUS: its reason"),
            "trading_status": (_or_null(TEXT), "STATUS: which orders the market takes"),
            **REPLAY,
        },
    ),
    "trade": _shape(
        "trades: one trade",
        {
            **BOOK,
            "epoch": (COUNT, "epoch of the writer"),
            "sequence": (COUNT, "place in the set's ring: +1 a trade of the set, whatever its symbol"),
            **TIME,
            "exchange_ns": (_or_null(COUNT), "the exchange's time; null where it gave none"),
            "trade_id": (TEXT, "the exchange's id"),
            "side": ({"enum": ["buy", "sell", "unknown"]}, "the taker's side"),
            "price": (DECIMAL, "price"),
            "size": (DECIMAL, "size"),
            "price_decimals": (COUNT, "decimals of the price"),
            "size_decimals": (COUNT, "decimals of the size"),
            "history": (TRUTH, "from a subscription's snapshot: it happened before"),
        },
        REPLAY,
    ),
    "bbo": _shape(
        "bbo: best bid and ask, after each change of them or of the state",
        {
            **BOOK,
            **PLACE,
            **TIME,
            "bid": (_or_null(DECIMAL), "best bid; null where there is none, or the book is not LIVE"),
            "bid_size": (_or_null(DECIMAL), "its size"),
            "ask": (_or_null(DECIMAL), "best ask"),
            "ask_size": (_or_null(DECIMAL), "its size"),
            **STANDING,
        },
        REPLAY,
    ),
    "book": _shape(
        "book:N: the best N levels of each side, when they changed, ten times a second at most",
        {
            **BOOK,
            **PLACE,
            **TIME,
            "depth": (COUNT, "N"),
            "bids": (_or_null(LEVELS), "[price, size], best first; null where the book is not LIVE"),
            "asks": (_or_null(LEVELS), "[price, size], best first; null where the book is not LIVE"),
            **STANDING,
        },
        REPLAY,
    ),
    "stats": _shape(
        "stats: what the set's counters say of a book, once a second",
        {
            **BOOK,
            "time_ns": (COUNT, "ns since 1970, now"),
            "version": (COUNT, "version of the book"),
            "state": ({"enum": STATES}, "state of the book"),
            "reason": (TEXT, "its reason"),
            "trading_status": (_or_null(TEXT), "which orders the market takes"),
            "bid_levels": (COUNT, "number of bids"),
            "ask_levels": (COUNT, "number of asks"),
            "spread_bps": (_or_null({"type": "number"}), "spread in basis points of the mid"),
            "age_ms": (_or_null({"type": "number"}), "since its last change or confirmation"),
            "deltas_per_s": ({"type": "number"}, "records, of the last two seconds"),
            "trades_per_s": ({"type": "number"}, "of the last two seconds"),
            "feed_delay_us": (_or_null(INTEGER), "of the last message that told it"),
            "gaps": (COUNT, "since the collector began"),
            "resyncs": (COUNT, "since the collector began"),
            "checksum": ({"enum": [one.name for one in delta.ChecksumState]}, "the exchange's own checksum"),
        },
        REPLAY,
    ),
    "arbitrage": _shape(
        "arbitrage: an opportunity that an `arb watch` found, when it is born, changes or dies",
        {
            "opportunity": ({"type": "object"}, "the row of `alphapulse arb history --json`"),
        },
    ),
    "watching": _shape(
        "arbitrage: whether any `arb watch` runs on these rings; without one there are no opportunities to tell",
        {"watching": (TRUTH, "whether one runs")},
    ),
    "status": _shape(
        "status, and every channel of the book: its state changed; also that of a writer that died",
        {**BOOK, **PLACE, **STANDING, "time_ns": (COUNT, "ns since 1970, now")},
        REPLAY,
    ),
    "missed": _shape(
        "deltas, trades: records were overwritten before the server read them; books get a snapshot, trades are lost",
        {**SET, "ring": ({"enum": ["deltas", "trades"]}, "the ring"), "missed": (COUNT, "number of records, of all symbols")},
        REPLAY,
    ),
    "restarted": _shape(
        "deltas, trades: another writer writes the set; its books begin again with a snapshot each",
        {**SET, "ring": ({"enum": ["deltas", "trades"]}, "the ring"), "epoch": (COUNT, "its epoch")},
        REPLAY,
    ),
}

PATTERN = {"type": "string", "minLength": 1, "maxLength": MOST_TEXT}
REQUESTS: dict[str, Shape] = {
    "auth": _shape("give the token, where the handshake could not (a browser)", {"token": (TEXT, "the token")}, ID),
    "subscribe": _shape(
        "begin a subscription",
        {
            "channel": (
                {"type": "string", "pattern": r"^(deltas|trades|bbo|book:[1-9][0-9]{0,3}|stats|arbitrage|status)$"},
                f"deltas, trades, bbo, book:N (1 to {MOST_DEPTH}), stats, arbitrage or status",
            )
        },
        {
            "exchange": (PATTERN, "exchange or set, or a pattern with * and ?; all where it is absent"),
            "symbol": (PATTERN, "symbol in any notation, or a pattern with * and ?; all where it is absent"),
            "resume": (
                {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"set": TEXT, "symbol": TEXT, "epoch": COUNT, "version": COUNT},
                        "required": ["set", "symbol", "epoch", "version"],
                    },
                },
                "deltas: the copies that the client has, {set, symbol, epoch, version} each",
            ),
            **ID,
        },
    ),
    "unsubscribe": _shape("end a subscription", {"subscription": (COUNT, "its number")}, ID),
    "ping": _shape("ask for a `pong`", {}, ID),
}
CHANNELS = ("deltas", "trades", "bbo", "book:N", "stats", "arbitrage", "status")


def schema() -> Message:
    """JSON Schema of all messages and requests, draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:alphapulse:websocket:{PROTOCOL}",
        "title": f"alphapulse serve, WebSocket protocol {PROTOCOL}",
        "description": "Messages of the server by their `type`, requests of clients by their `op`. Further fields may be added.",
        "anyOf": [
            {"$ref": f"#/$defs/{of}.{name}"} for of, shapes in (("message", MESSAGES), ("request", REQUESTS)) for name in shapes
        ],
        "$defs": {
            **{f"message.{name}": _object("type", name, shape) for name, shape in MESSAGES.items()},
            **{f"request.{name}": _object("op", name, shape) for name, shape in REQUESTS.items()},
        },
    }


def _object(tag: str, name: str, shape: Shape) -> Message:
    properties = {field: {**kind, "description": meaning} for field, (kind, meaning) in {**shape.fields, **shape.optional}.items()}
    return {
        "type": "object",
        "description": shape.meaning,
        "properties": {tag: {"const": name}, **properties},
        "required": [tag, *shape.fields],
    }


# Frames


def frame(opcode: int, payload: bytes) -> bytes:
    """One whole WebSocket frame of a server, unmasked."""
    size = len(payload)
    if size < 126:
        return bytes((opcode, size)) + payload
    return struct.pack("!BBH" if size < 1 << 16 else "!BBQ", opcode, 126 if size < 1 << 16 else 127, size) + payload


def unframed(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Iterate over (first octet, payload) of whole frames of a server."""
    at = 0
    while at < len(data):
        size, begin = data[at + 1], at + 2
        if size == 126:
            size, begin = int.from_bytes(data[begin : begin + 2], "big"), begin + 2
        elif size == 127:
            size, begin = int.from_bytes(data[begin : begin + 8], "big"), begin + 8
        yield data[at], data[begin : begin + size]
        at = begin + size


def encoded(encoding: Encoding, message: Message) -> bytes:
    """Frame of a message; the raw encoding has JSON for all but groups, trades and snapshots."""
    if encoding is Encoding.MSGPACK:
        return frame(BINARY_FRAME, _packb()(message))
    return frame(TEXT_FRAME, orjson.dumps(message))


@cache
def _packb() -> Any:
    return require("msgpack", "serve", "the MessagePack encoding").packb


def _raw(
    kind: int, set_name: str, epoch: int, records: bytes, *, replay: bool, part: int = 1, parts: int = 1, place: int = 0
) -> bytes:
    head = RAW_HEADER.pack(kind, RAW_REPLAY if replay else 0, part, parts, place, epoch, set_name.encode("ascii"))
    return frame(BINARY_FRAME, head + records)


EVERY_NAME = Names(None)


def group_message(group: Group) -> Message:
    """Message of a group: the row of `tail deltas --json`, its type and its epoch."""
    polled = Polled(memoryview(group.records), len(group.records) // delta.DELTA_BYTES, 0, 0, restarted=False)
    (item,) = delta_groups(polled, group.set_name, EVERY_NAME, replay=group.replay)
    return {"type": "group", "epoch": group.epoch, **item.row()}


def group_frame(encoding: Encoding, group: Group) -> bytes:
    """Frame of a group."""
    if encoding is Encoding.RAW:
        return _raw(RAW_GROUPS, group.set_name, group.epoch, group.records, replay=group.replay)
    return encoded(encoding, group_message(group))


def trade_message(one: SourceTrade) -> Message:
    """Message of a trade: the row of `tail trades --json`, its type, epoch and sequence."""
    return {"type": "trade", "epoch": one.epoch, "sequence": one.sequence, **one.item.row()}


def trade_frame(encoding: Encoding, one: SourceTrade) -> bytes:
    """Frame of a trade."""
    if encoding is Encoding.RAW:
        place = one.sequence % RAW_PLACES
        return _raw(RAW_TRADES, one.item.set_name, one.epoch, one.record, replay=one.item.replay, place=place)
    return encoded(encoding, trade_message(one))


def mark(replay: bool) -> Message:
    """Mark of a replay's message; a live one has none."""
    return {"replay": True} if replay else {}


def names_of(state: State) -> Message:
    """Names of a book."""
    return {"set": state.set_name, "exchange": state.exchange, "symbol": state.symbol}


def standing_of(state: State) -> Message:
    """State of a book, its reason and its trading status."""
    trading = state.trading_status
    return {
        "state": state.state.name,
        "reason": state.reason.name,
        "trading_status": None if trading is None else trading.name,
    }


def levels_text(levels: Iterable[tuple[int, int]], book: Book) -> list[tuple[str, str]]:
    """(price, size) of levels in exact decimal text."""
    return _levels_text(levels, book.price_decimals, book.size_decimals)


def _levels_text(levels: Iterable[tuple[int, int]], prices: int, sizes: int) -> list[tuple[str, str]]:
    return [(text(ticks, prices), text(lots, sizes)) for ticks, lots in levels]


Levels = Sequence[tuple[int, int]]


class SnapshotParts:
    """A whole book as it was when this was made, encoded part by part: some thousand levels take the loop more than a turn.

    Behind the last raw part come a STATUS and a CHECK, which say what JSON has in the snapshot: state and hash.
    """

    def __init__(self, encoding: Encoding, state: State, replica: Reconstructor) -> None:
        book, version, timestamp_ns = replica.book, replica.version, replica.timestamp_ns
        self.encoding = encoding
        self._state, self._version, self._timestamp_ns = state, version, timestamp_ns
        self._bids, self._asks = book.bids(), book.asks()
        self._grid = book.price_decimals, book.size_decimals
        self._hash = book.book_hash
        self._words = replica.book_state, replica.reason, max(replica.trading_status, 0), replica.exchange_checksum
        self._part = 0
        records = -(-(len(self._bids) + len(self._asks)) // delta.MAX_CHANGES)
        of_side = max(len(self._bids), len(self._asks))
        self.count = max(-(-records // PART_RECORDS) if encoding is Encoding.RAW else -(-of_side // SIDE_LEVELS), 1)

    def next_frame(self) -> bytes | None:
        """Frame of the next part; None behind the last one."""
        if self._part == self.count:
            return None
        self._part += 1
        if self.encoding is Encoding.RAW and self._part == self.count:
            return self._raw_part() + self._raw_words()
        return self._raw_part() if self.encoding is Encoding.RAW else encoded(self.encoding, self._part_message())

    def _part_message(self) -> Message:
        at = (self._part - 1) * SIDE_LEVELS
        return {
            "type": "snapshot",
            **names_of(self._state),
            "epoch": self._state.epoch,
            "version": self._version,
            "time": moment(self._timestamp_ns, digits=9),
            "timestamp_ns": self._timestamp_ns,
            **standing_of(self._state),
            "price_decimals": self._grid[0],
            "size_decimals": self._grid[1],
            "book_hash": f"{self._hash:016x}",
            "bid_levels": len(self._bids),
            "ask_levels": len(self._asks),
            **mark(self._state.replay),
            "part": self._part,
            "parts": self.count,
            "bids": _levels_text(self._bids[at : at + SIDE_LEVELS], *self._grid),
            "asks": _levels_text(self._asks[at : at + SIDE_LEVELS], *self._grid),
        }

    def _raw_part(self) -> bytes:
        """Records that hold the levels as changes of one group, which leads from version 0 to the book's."""
        most = PART_RECORDS * delta.MAX_CHANGES
        begin, bids = (self._part - 1) * most, len(self._bids)
        changes = [CHANGE.pack(ticks, lots | delta.LEVEL_IS_NEW) for ticks, lots in self._bids[begin : begin + most]]
        changes += [
            CHANGE.pack(ticks, lots | delta.LEVEL_IS_NEW | delta.IS_ASK)
            for ticks, lots in self._asks[max(begin - bids, 0) : max(begin + most - bids, 0)]
        ]
        names = name_bytes(self._state.symbol), name_bytes(self._state.exchange)
        records = bytearray()
        cuts = range(0, len(changes) or 1, delta.MAX_CHANGES)
        for at in cuts:
            some = changes[at : at + delta.MAX_CHANGES]
            is_first, is_last = self._part == 1 and at == 0, self._part == self.count and at == cuts[-1]
            flags = (delta.FIRST if is_first else 0) | (delta.LAST if is_last else 0)
            records += HEADER.pack(self._timestamp_ns, *names, self._version, 0, len(some), flags, *self._grid, delta.NO_FEED_DELAY)
            records += b"".join(some).ljust(delta.DELTA_BYTES - delta.HEADER_BYTES, b"\0")
        state = self._state
        return _raw(
            RAW_SNAPSHOT, state.set_name, state.epoch, bytes(records), replay=state.replay, part=self._part, parts=self.count
        )

    def _raw_words(self) -> bytes:
        """Frames of a STATUS and a CHECK of the book as it is in the snapshot."""
        one, version, stamp = self._state, self._version, self._timestamp_ns
        state, reason, trading, checksum = self._words
        made = Batch(one.symbol, one.exchange, *self._grid)
        frames = b""
        for kind in (RecordKind.STATUS, RecordKind.CHECK):
            if kind is RecordKind.STATUS:
                made.status(stamp, version, state, reason, trading)
            else:
                made.check(stamp, version, self._hash, len(self._bids), len(self._asks), checksum, state)
            records = bytes(made.records[: delta.DELTA_BYTES])
            frames += _raw(RAW_GROUPS, one.set_name, one.epoch, records, replay=one.replay)
        return frames


# Requests


class Refused(Exception):
    """A request that is refused: the code, the field that is wrong, and a hint."""

    def __init__(self, code: Problem, message: str, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.code, self.field, self.hint = code, field, hint


@dataclass(frozen=True, slots=True)
class Subscribe:
    """A request for a channel of the books that match; `resume` holds (epoch, version) of the copies that the client has."""

    channel: str
    depth: int  # of book:N, else 0
    exchange: str
    symbol: str
    resume: Mapping[tuple[str, str], tuple[int, int]]

    def takes_set(self, set_name: str, exchange: str) -> bool:
        """Whether that set is among those asked for."""
        return fnmatch.fnmatchcase(set_name, self.exchange) or fnmatch.fnmatchcase(exchange, self.exchange)

    def matches(self, set_name: str, exchange: str, symbol: str) -> bool:
        """Whether that book is among those asked for."""
        return self.takes_set(set_name, exchange) and fnmatch.fnmatchcase(symbol.upper(), self.symbol)


EXAMPLE = 'send one object a message, as {"op":"subscribe","channel":"bbo"}'


def _written_as(encoding: Encoding, payload: str | bytes) -> str:
    return "MessagePack" if isinstance(payload, bytes) and encoding is Encoding.MSGPACK else "JSON"


def read_request(payload: str | bytes, encoding: Encoding) -> Message:
    """The object of a client's message: JSON text, or MessagePack in that encoding. Refused for anything else."""
    try:
        if isinstance(payload, bytes) and encoding is Encoding.MSGPACK:
            found = require("msgpack", "serve", "the MessagePack encoding").unpackb(payload, strict_map_key=False)
        else:
            found = orjson.loads(payload)
    except (ValueError, TypeError, RecursionError):
        raise Refused(Problem.UNREADABLE, f"the message is no {_written_as(encoding, payload)}", None, EXAMPLE) from None
    if not isinstance(found, dict):
        raise Refused(Problem.UNREADABLE, "the message is no object", None, EXAMPLE)
    return found


def request_id(request: Message) -> Message:
    """`id` of a request for its answer; {} without one. Refused for one that is no short text or integer."""
    if "id" not in request or request["id"] is None:
        return {}
    found = request["id"]
    if isinstance(found, bool) or not isinstance(found, str | int) or len(str(found)) > MOST_TEXT:
        raise Refused(
            Problem.WRONG_FIELD, f"id must be an integer or a text of at most {MOST_TEXT} characters", "id", 'write "id":1'
        )
    return {"id": found}


def subscription(request: Message) -> Subscribe:
    """Read a `subscribe`. Refused, with the field, for what is missing or wrong; unknown fields are ignored."""
    if "channel" not in request:
        raise Refused(Problem.MISSING_FIELD, "subscribe needs a channel", "channel", f"channels are: {', '.join(CHANNELS)}")
    channel, depth = _channel(request["channel"])
    return Subscribe(channel, depth, _pattern(request, "exchange").lower(), _symbol(request), _resume(request, channel))


def _channel(named: Any) -> tuple[str, int]:
    hint = f"channels are: {', '.join(CHANNELS)}"
    if isinstance(named, str) and (named == "book" or named.startswith("book:")):
        depth = named[5:]
        if not (depth.isascii() and depth.isdigit() and len(depth) <= 4 and 1 <= int(depth) <= MOST_DEPTH):
            raise Refused(Problem.WRONG_FIELD, f"book:N needs a number of levels, 1 to {MOST_DEPTH}", "channel", "write book:10")
        return "book", int(depth)
    if not isinstance(named, str) or named not in CHANNELS or ":" in named:
        raise Refused(Problem.WRONG_FIELD, f"unknown channel: {str(named)[:40]!r}", "channel", hint)
    return named, 0


PATTERNS = {"exchange": "write kraken, or leave it out for all", "symbol": "write BTC-USD, BTC-*, or leave it out for all"}
COPIES = 'write "resume":[{"set":"kraken","symbol":"BTC-USD","epoch":1795910217,"version":813}]'


def _pattern(request: Message, field: str) -> str:
    found = request.get(field)
    if found is None:
        return "*"
    if not isinstance(found, str) or not 0 < len(found) <= MOST_TEXT or not found.isprintable() or set(found) & set("[]"):
        raise Refused(
            Problem.WRONG_FIELD,
            f"{field} must be a name or a pattern with * and ?, at most {MOST_TEXT} characters",
            field,
            PATTERNS[field],
        )
    return found


def _symbol(request: Message) -> str:
    found = _pattern(request, "symbol")
    if "*" in found or "?" in found:
        return found.upper()
    try:
        return understood_id(found)[1].upper()
    except UsageError as error:
        raise Refused(Problem.WRONG_FIELD, str(error), "symbol", error.hint or None) from None


def _resume(request: Message, channel: str) -> dict[tuple[str, str], tuple[int, int]]:
    found = request.get("resume")
    if found is None:
        return {}
    if channel != "deltas":
        raise Refused(Problem.WRONG_FIELD, "only deltas can be resumed", "resume", "leave it out")
    if not isinstance(found, list):
        raise Refused(Problem.WRONG_FIELD, "resume must be a list of {set, symbol, epoch, version}", "resume", COPIES)
    made = {}
    for number, one in enumerate(found):
        if not isinstance(one, dict):
            raise Refused(
                Problem.WRONG_FIELD, "resume must be a list of {set, symbol, epoch, version}", f"resume[{number}]", COPIES
            )
        for field, kind in (("set", str), ("symbol", str), ("epoch", int), ("version", int)):
            value = one.get(field)
            if not isinstance(value, kind) or isinstance(value, bool) or (isinstance(value, int) and value < 0):
                what = "a name" if kind is str else "an integer, 0 or more"
                raise Refused(Problem.WRONG_FIELD, f"{field} must be {what}", f"resume[{number}].{field}", COPIES)
        made[one["set"], one["symbol"]] = one["epoch"], one["version"]
    return made
