"""Session with a server over any number of connections: requests to send, frames received, replicas, and the items they make.

    begin() ─► requests: subscribe, with `resume` for the copies at hand        receive(payload) ─► items
    disconnected(), silent() ─► items: books are STALE, what they hold stays for the next connection

No sockets and no clock. The replicas are the project's own Reconstructors: exact integers, each group applied whole, its chain of
versions checked, each CHECK compared. A copy that breaks is given up and begun again.
"""

import fnmatch
from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

from alphapulse_cli.client.frames import Group, Key, Reader, SnapshotPart, TradeRecord
from alphapulse_cli.client.items import (
    AnyMessage,
    Began,
    Broken,
    Checked,
    Item,
    Lost,
    RemoteBook,
    Restarted,
    StateChanged,
    Update,
)
from alphapulse_cli.errors import DecodeError, ExchangeError, Refused
from alphapulse_cli.readers.items import Names, trade_items
from alphapulse_cli.wire import delta
from alphapulse_cli.wire.delta import BookReason, BookState, RecordKind
from alphapulse_cli.wire.served import PROTOCOL, RAW_PLACES

DELTA_KIND, CHECK_KIND, STATUS_KIND = int(RecordKind.DELTA), int(RecordKind.CHECK), int(RecordKind.STATUS)
COPY_BYTES = 110  # of one copy in a request, at most
REQUEST_BYTES = 16 << 10  # that a server takes, where it does not say
MOST_PARTS = 65_536
ALL_TRADES = Names(None)


class Wish(NamedTuple):
    """A channel (deltas, trades, status, stats) and the books that are wanted of it: names, or patterns with * and ?."""

    channel: str
    exchange: str = "*"
    symbol: str = "*"

    def takes(self, key: Key, exchange: str) -> bool:
        """Whether that book is wanted."""
        named = self.exchange.lower()
        takes_set = fnmatch.fnmatchcase(key[0], named) or fnmatch.fnmatchcase(exchange, named)
        return takes_set and fnmatch.fnmatchcase(key[1].upper(), self.symbol.upper())


class Session:
    """One client's session. `books` are the replicas; `subscribed` counts the answers to the requests of this connection."""

    def __init__(self, wishes: Iterable[Wish] = ()) -> None:
        self.books: dict[Key, RemoteBook] = {}
        self.server = ""
        self.subscribed = 0
        self.last_error = ""
        self.is_broken = False  # a copy broke: this connection is to be given up
        self._wishes: list[Wish] = list(wishes)
        self._reader = Reader()
        self._epochs: dict[str, tuple[int, str]] = {}
        self._parts: dict[Key, list[SnapshotPart]] = {}
        self._places: dict[str, tuple[int, int]] = {}
        self._is_after_gap: set[str] = set()  # sets of which trades may have passed unseen
        self._interrupted: dict[Key, int] = {}  # version at which a copy was cut off
        self._request_bytes = REQUEST_BYTES
        self._is_welcome = False

    def wish(self, *wishes: Wish) -> list[str]:
        """Add wishes; the requests to send now, none before the welcome."""
        new = [one for one in wishes if one not in self._wishes]
        self._wishes += new
        return [self._request(one) for one in new] if self._is_welcome else []

    # Connections

    def welcome(self, payload: str | bytes) -> list[str]:
        """Take the first message of a connection; the requests to send. Refused where the server cannot serve this client."""
        message = self._reader.read(payload)
        if not isinstance(message, dict) or message["type"] != "welcome":
            raise Refused("that server does not speak as `alphapulse serve` does", "name its WebSocket port: ws://HOST:8765")
        if message.get("protocol") != PROTOCOL or message.get("encoding") != "raw":
            raise Refused(
                f"that server speaks protocol {message.get('protocol')}, this client {PROTOCOL}", "use the same alphapulse"
            )
        if message.get("needs_auth"):
            raise Refused("the server wants a token", "give it: connect(url, token=…)")
        self.server = str(message.get("server", ""))[:60]
        limits = message.get("limits")
        most = limits.get("message_bytes") if isinstance(limits, dict) else None
        self._request_bytes = most if isinstance(most, int) and most > 0 else REQUEST_BYTES
        self._is_welcome, self.subscribed, self.last_error = True, 0, ""
        return [self._request(one) for one in self._wishes]

    def _request(self, wish: Wish) -> str:
        request: dict[str, Any] = {"op": "subscribe", "channel": wish.channel, "exchange": wish.exchange, "symbol": wish.symbol}
        if wish.channel == "deltas":
            most = max((self._request_bytes - 300) // COPY_BYTES, 0)
            copies = [
                {"set": key[0], "symbol": key[1], "epoch": book.epoch, "version": book.version}
                for key, book in self.books.items()
                if book.is_whole and wish.takes(key, book.exchange)
            ]
            if copies:
                request["resume"] = copies[:most]
        return orjson.dumps(request).decode()

    @property
    def wish_count(self) -> int:
        """Number of wishes."""
        return len(self._wishes)

    def disconnected(self) -> list[Item]:
        """End a connection: books are STALE until the next one continues them."""
        self._is_welcome = False
        self._parts.clear()
        self._is_after_gap = {*self._places}
        for key, book in self.books.items():
            book.told = None
            if book.is_whole:
                self._interrupted.setdefault(key, book.version)
        return self._unheard(BookReason.DISCONNECTED)

    def silent(self) -> list[Item]:
        """Note that nothing is heard: books are STALE until something is."""
        return self._unheard(BookReason.SILENT)

    def heard(self) -> list[Item]:
        """Note that something is heard again."""
        return self._unheard(None)

    def _unheard(self, reason: BookReason | None) -> list[Item]:
        items: list[Item] = []
        for book in self.books.values():
            if book.lost_connection is reason or (book.lost_connection is BookReason.DISCONNECTED):
                continue  # a connection that is lost is found again with `resumed`, or a snapshot
            book.lost_connection = reason
            self._show(book, items)
        return items

    def _show(self, book: RemoteBook, items: list[Item]) -> None:
        now = (*book.standing, book.trading_status)
        if now != book.shown:
            book.shown = now
            items.append(StateChanged(book, *now))

    # Frames

    def receive(self, payload: str | bytes) -> list[Item]:
        """Items of one message. DecodeError for what cannot be right, Refused where the server refused a request."""
        frame = self._reader.read(payload)
        items: list[Item] = []
        if isinstance(frame, Group):
            self._take_group(frame, items)
        elif isinstance(frame, TradeRecord):
            self._take_trade(frame, items)
        elif isinstance(frame, SnapshotPart):
            self._take_part(frame, items)
        elif frame is not None:
            self._take_message(frame, items)
        return items

    def _take_group(self, group: Group, items: list[Item]) -> None:
        book = self.books.get(group.key)
        if book is None or book.epoch != group.epoch or book.is_waiting:
            return  # of another book, or behind a loss: a snapshot comes
        replica = book.replica
        if group.kind == DELTA_KIND and group.version <= replica.version:
            return
        taken = replica.apply(group.records, 0, len(group.records) // delta.DELTA_BYTES)
        if replica.is_cold:
            self._give_up(book, items)
            return
        if not taken:
            return
        if group.kind == DELTA_KIND:
            delay = None if group.feed_delay_us == delta.NO_FEED_DELAY else group.feed_delay_us
            items.append(Update(book, group.version, group.prev_version, group.timestamp_ns, delay, group.records))
            return
        if group.kind == CHECK_KIND:
            items.append(Checked(book, group.version, group.timestamp_ns))
        self._show(book, items)

    def _give_up(self, book: RemoteBook, items: list[Item]) -> None:
        """Give up a copy that broke: it is begun anew."""
        items.append(Broken(book, book.replica.why))
        self.is_broken = True
        self._wait(book, items)
        self._interrupted.pop((book.set_name, book.symbol), None)  # it is told

    def _wait(self, book: RemoteBook, items: list[Item]) -> None:
        book.is_waiting = True
        self._show(book, items)

    def _take_trade(self, one: TradeRecord, items: list[Item]) -> None:
        name = one.key[0]
        self._meet(name, one.exchange, one.epoch, items, replay=one.replay)
        if one.epoch != self._epochs[name][0]:
            return
        if name in self._is_after_gap:
            self._is_after_gap.discard(name)
            epoch, place = self._places.get(name, (0, 0))
            missed = (one.place - place - 1) % RAW_PLACES
            if epoch == one.epoch and missed:
                items.append(Lost(name, one.exchange, "", "trades", missed, one.replay))
        self._places[name] = one.epoch, one.place
        items += trade_items(memoryview(one.record), name, ALL_TRADES, replay=one.replay)

    def _take_part(self, part: SnapshotPart, items: list[Item]) -> None:
        parts = self._parts.setdefault(part.key, [])
        if part.part == 1:
            parts.clear()
        parts.append(part)
        if len(parts) != part.part or part.parts > MOST_PARTS or part.version != parts[0].version:
            raise DecodeError("parts of a snapshot that do not belong together")
        if part.part < part.parts:
            return
        del self._parts[part.key]
        self._meet(part.key[0], part.exchange, part.epoch, items, replay=part.replay)
        if part.epoch != self._epochs[part.key[0]][0]:
            return
        self._begin(part, parts, items)

    def _begin(self, last: SnapshotPart, parts: list[SnapshotPart], items: list[Item]) -> None:
        book = self._book(last.key, last.exchange)
        replica = book.replica
        before = self._interrupted.pop(last.key, None)
        if before is not None and book.epoch == last.epoch and last.version > before:
            missed = last.version - before
            items.append(Lost(book.set_name, book.exchange, book.symbol, "deltas", missed, last.replay))
        bids = b"".join(reversed([level for part in parts for level in part.bids]))  # an image has the best last
        asks = b"".join(reversed([level for part in parts for level in part.asks]))
        known = book.told or (BookState.SYNCING, BookReason.STARTING)
        try:
            replica.load(
                last.version,
                last.price_decimals,
                last.size_decimals,
                int(known[0]),
                bids,
                asks,
                reason=int(known[1]),
                timestamp_ns=last.timestamp_ns,
            )
        except ValueError as error:
            raise DecodeError(f"a snapshot that cannot be right: {error}") from None
        book.epoch, book.replay, book.is_waiting, book.lost_connection = last.epoch, last.replay, False, None
        items.append(Began(book, last.version, last.timestamp_ns))
        self._show(book, items)

    def _book(self, key: Key, exchange: str) -> RemoteBook:
        book = self.books.get(key)
        if book is None:
            book = self.books[key] = RemoteBook(key[0], exchange, key[1])
        return book

    def _meet(self, name: str, exchange: str, epoch: int, items: list[Item], *, replay: bool) -> None:
        """Note the epoch of a set. A greater one is another writer's, whose books begin again; ExchangeError for a smaller one."""
        known = self._epochs.get(name)
        if known is not None and epoch == known[0]:
            return
        if known is not None and epoch < known[0]:
            raise ExchangeError(
                f"{name} is of an older epoch than before: {epoch}, not {known[0]}", "is that another server? begin again"
            )
        self._epochs[name] = epoch, exchange
        if known is None:
            return
        items.append(Restarted(name, exchange, epoch, replay))
        self._places.pop(name, None)
        for key, book in self.books.items():
            if key[0] == name:
                self._interrupted.pop(key, None)
                self._wait(book, items)

    def _take_message(self, message: AnyMessage, items: list[Item]) -> None:
        kind = message["type"]
        try:
            if kind == "status":
                self._take_status(message, items)
            elif kind == "missed":
                self._take_missed(message, items)
            elif kind == "restarted":
                self._meet(message["set"], message["exchange"], int(message["epoch"]), items, replay="replay" in message)
            elif kind == "resumed":
                self._take_resumed((message["set"], message["symbol"]), items)
            elif kind == "subscribed":
                self.subscribed += 1
            elif kind == "error":
                self._take_error(message)
        except (KeyError, TypeError, ValueError):
            raise DecodeError(f"a message of the type {kind[:20]} that cannot be right", orjson.dumps(message)) from None

    def _take_status(self, message: AnyMessage, items: list[Item]) -> None:
        book = self._book((message["set"], message["symbol"]), str(message["exchange"]))
        book.told = BookState[message["state"]], BookReason.__members__.get(message["reason"], BookReason.NONE)
        if book.lost_connection is BookReason.SILENT:
            book.lost_connection = None
        self._show(book, items)

    def _take_missed(self, message: AnyMessage, items: list[Item]) -> None:
        name, exchange, ring, missed = message["set"], message["exchange"], message["ring"], int(message["missed"])
        items.append(Lost(name, exchange, "", ring, missed, "replay" in message))
        if ring == "deltas":
            for key, book in self.books.items():
                if key[0] == name:
                    self._interrupted.pop(key, None)
                    self._wait(book, items)

    def _take_resumed(self, key: Key, items: list[Item]) -> None:
        self._interrupted.pop(key, None)
        book = self.books.get(key)
        if book is not None:
            book.lost_connection = None
            self._show(book, items)

    def _take_error(self, message: AnyMessage) -> None:
        code, words = str(message["code"]), str(message["message"])[:300]
        self.last_error = words
        if code != "too_slow":  # it closes the connection, and is continued
            raise Refused(f"the server refuses: {words}", str(message.get("hint") or "")[:300])
