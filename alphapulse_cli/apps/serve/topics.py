"""Topics: what is sent of one book on one channel, and the clients that get it. Each frame is made once for all clients of an encoding.

    batch ─► topic.take ─► settle ─► a client's `put`, the same bytes for all of an encoding ─► flush, one write a client

*Deltas* are a chain. A client is in it, or joins it: its copy is continued (`resume`), or it gets a snapshot of the server's replica,
which is encoded part by part between two turns of the loop, and then the groups behind it. A chain that breaks (a lap, a reset, another
writer) sends all its clients to the beginning. *Current values* (bbo, book:N, stats, status) have no chain: of a client that is behind
only the newest is kept.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from alphapulse_cli.apps.serve.clients import Client
from alphapulse_cli.apps.serve.messages import (
    Encoding,
    Message,
    SnapshotParts,
    encoded,
    group_frame,
    levels_text,
    mark,
    names_of,
    standing_of,
)
from alphapulse_cli.apps.serve.source import Group, Key, Source, State
from alphapulse_cli.apps.serve.state import ClientCounts
from alphapulse_cli.readers.items import text
from alphapulse_cli.readers.moments import moment
from alphapulse_cli.wire.delta import BookState, RecordKind

BOOK_EVERY_NS = 100_000_000  # between two messages of book:N
RESUMED_GROUPS = 2000  # most groups that continue a client's copy; beyond that a snapshot costs the loop less

Wish = tuple[int, int] | None  # (epoch, version) of the copy that a client has


class Topic:
    """One channel of one book; `members` are the clients by encoding, each with the number of its subscriptions that ask for it."""

    def __init__(self, key: Key, counts: ClientCounts) -> None:
        self.key = key
        self.members: dict[Encoding, dict[Client, int]] = {}
        self._counts = counts

    def add(self, client: Client) -> bool:
        """Add a subscription of that client; whether it is its first."""
        members = self.members.setdefault(client.encoding, {})
        members[client] = members.get(client, 0) + 1
        return members[client] == 1

    def remove(self, client: Client) -> None:
        """Remove one subscription of that client."""
        members = self.members.get(client.encoding, {})
        left = members.pop(client, 0) - 1
        if left > 0:
            members[client] = left
        elif not members:
            self.members.pop(client.encoding, None)

    @property
    def clients(self) -> Iterator[Client]:
        """Iterate over all clients."""
        for members in self.members.values():
            yield from members

    def send(self, make: Callable[[Encoding], bytes], count: int = 1) -> None:
        """Put a frame, made once an encoding, to all clients."""
        for encoding, members in self.members.items():
            made = make(encoding)
            for client in members:
                client.put(made)
            self._counts.messages_sent += count * len(members)


class Current(Topic, ABC):
    """A topic of which only the newest value counts. `frame` gives it; a client that is behind gets it once it has caught up."""

    def __init__(self, key: Key, counts: ClientCounts) -> None:
        super().__init__(key, counts)
        self._value: Any = None
        self._frames: dict[Encoding, bytes] = {}

    @abstractmethod
    def message(self) -> Message | None:
        """Message of the present value; None where nothing is known yet."""

    def frame(self, encoding: Encoding) -> bytes | None:
        """Frame of the newest value."""
        if encoding not in self._frames:
            message = self.message()
            if message is None:
                return None
            self._frames[encoding] = encoded(encoding, message)
        return self._frames[encoding]

    def show(self, client: Client) -> None:
        """Put the newest value to one client."""
        made = self.frame(client.encoding)
        if made is not None:
            client.put(made)
            self._counts.messages_sent += 1

    def changed(self) -> None:
        """Put the newest value to all clients that are not behind, and note it for the others."""
        self._frames.clear()
        for encoding, members in self.members.items():
            made = self.frame(encoding)
            if made is None:
                return
            for client in members:
                if client.is_behind:
                    self._counts.conflated += self in client.behind
                    client.behind.add(self)
                else:
                    client.put(made)
                    self._counts.messages_sent += 1


class BookTopic(Current):
    """Best `depth` levels of each side; depth 1 in the form of `bbo`, where `is_bbo`."""

    def __init__(self, key: Key, counts: ClientCounts, source: Source, depth: int, *, is_bbo: bool) -> None:
        super().__init__(key, counts)
        self.is_bbo = is_bbo
        self._source, self._depth = source, depth
        self.not_before_ns = 0

    def look(self, now_ns: int) -> bool:
        """Put the value to the clients if it changed; False if it is too early for that. `now_ns` is CLOCK_MONOTONIC."""
        if now_ns < self.not_before_ns:
            return False
        value = self._read()
        if value is not None and value != self._value:
            self._value = value
            self.not_before_ns = 0 if self.is_bbo else now_ns + BOOK_EVERY_NS
            self.changed()
        return True

    def _read(self) -> Any:
        state, replica = self._source.states.get(self.key), self._source.book(self.key)
        if state is None or replica is None:
            return None
        is_live = state.state is BookState.LIVE and self._source.is_whole(self.key)
        book = replica.book
        sides: Any = None
        if is_live:
            sides = (book.best_bid(), book.best_ask()) if self.is_bbo else (book.bids(self._depth), book.asks(self._depth))
        return state.epoch, sides, state.state, state.reason, state.trading_status, book.price_decimals, book.size_decimals

    def message(self) -> Message | None:
        """Message of the book as it is now."""
        state, replica = self._source.states.get(self.key), self._source.book(self.key)
        value = self._read()
        if state is None or replica is None or value is None:
            return None
        sides, book, stamp = value[1], replica.book, replica.timestamp_ns
        head = {
            **names_of(state),
            "epoch": state.epoch,
            "version": replica.version,
            "time": moment(stamp, digits=9),
            "timestamp_ns": stamp,
        }
        tail = {**standing_of(state), **mark(state.replay)}
        if self.is_bbo:
            prices, sizes = book.price_decimals, book.size_decimals
            bid, ask = sides or (None, None)
            return {
                "type": "bbo",
                **head,
                "bid": text(bid[0], prices) if bid else None,
                "bid_size": text(bid[1], sizes) if bid else None,
                "ask": text(ask[0], prices) if ask else None,
                "ask_size": text(ask[1], sizes) if ask else None,
                **tail,
            }
        return {
            "type": "book",
            **head,
            "depth": self._depth,
            "bids": levels_text(sides[0], book) if sides else None,
            "asks": levels_text(sides[1], book) if sides else None,
            **tail,
        }


class StatusTopic(Current):
    """State of a book."""

    def __init__(self, key: Key, counts: ClientCounts, source: Source) -> None:
        super().__init__(key, counts)
        self._source = source

    def forget(self) -> None:
        """Drop the frames of the former state: the new one was told to all."""
        self._frames.clear()

    def message(self) -> Message | None:
        """Message of the state as of the last look."""
        state = self._source.states.get(self.key)
        return None if state is None else status_message(state, self._source)


def status_message(state: State, source: Source) -> Message:
    """Message of a book's state."""
    replica = source.book((state.set_name, state.symbol))
    return {
        "type": "status",
        **names_of(state),
        "epoch": state.epoch,
        "version": state.version if replica is None else replica.version,
        **standing_of(state),
        "time_ns": state.noted_ns,
        **mark(state.replay),
    }


class StatsTopic(Current):
    """Figures of a book, as the set's counters have them; `value` is the message."""

    def __init__(self, key: Key, counts: ClientCounts) -> None:
        super().__init__(key, counts)
        self.value: Message | None = None

    def message(self) -> Message | None:
        """Message of the last sample."""
        return self.value


@dataclass(eq=False, slots=True)
class Joining:
    """A snapshot that is being encoded for some clients, and the frames of the groups that came since its version."""

    parts: SnapshotParts
    clients: list[Client]
    frames: list[bytes] = field(default_factory=list)
    behind: list[bytes] = field(default_factory=list)
    behind_bytes: int = 0
    behind_count: int = 0
    is_broken: bool = False


class DeltasTopic(Topic):
    """The chain of one book's groups. `version` is where the clients in it are, None where there are none."""

    def __init__(self, key: Key, counts: ClientCounts, source: Source) -> None:
        super().__init__(key, counts)
        self.waiting: dict[Client, Wish] = {}
        self.joinings: dict[Encoding, Joining] = {}
        self._source = source
        self._in_chain: dict[Encoding, dict[Client, None]] = {}
        self._version: int | None = None
        self._epoch = 0
        self._is_broken = False
        self._frames: dict[Encoding, list[bytes]] = {}

    def wait(self, client: Client, wish: Wish) -> None:
        """Note a client that is to join; `wish` is its copy that is to be continued."""
        self.waiting[client] = wish

    def remove(self, client: Client) -> None:
        """Remove one subscription of that client, and with its last one the client itself."""
        super().remove(client)
        if client not in self.members.get(client.encoding, ()):
            self.waiting.pop(client, None)
            self._in_chain.get(client.encoding, {}).pop(client, None)
            joining = self.joinings.get(client.encoding)
            if joining is not None and client in joining.clients:
                joining.clients.remove(client)
            self._forget_if_empty()

    def _forget_if_empty(self) -> None:
        if not any(self._in_chain.values()) and not self.joinings:
            self._version = None

    def take(self, group: Group) -> None:
        """Take one group, in the order of the ring."""
        if self._version is None or self._is_broken:
            return
        if group.epoch != self._epoch:
            self._is_broken = True
        elif group.kind == RecordKind.DELTA:
            if group.version > self._version:
                if group.prev_version == self._version:
                    self._version = group.version
                    self._emit(group)
                else:
                    self._is_broken = True
        elif group.version > self._version:  # a RESET, or a CHECK behind a group that is not there
            self._is_broken = True
        elif group.version == self._version and group.kind != RecordKind.RESET:
            self._emit(group)

    def _emit(self, group: Group) -> None:
        for encoding in {*self._in_chain, *self.joinings}:
            if self._in_chain.get(encoding) or encoding in self.joinings:
                self._frames.setdefault(encoding, []).append(group_frame(encoding, group))

    def break_chain(self) -> None:
        """Send all clients to the beginning at the next `settle`: another writer's book begins."""
        self._is_broken = self._version is not None

    def settle(self, most_bytes: int) -> list[Joining]:
        """Put the groups taken to all clients in the chain, and begin to let in those that wait; returns the joinings that begin."""
        for encoding, frames in self._frames.items():
            joined = frames[0] if len(frames) == 1 else b"".join(frames)
            members = self._in_chain.get(encoding, {})
            for client in members:
                client.put(joined)
            self._counts.messages_sent += len(frames) * len(members)
            joining = self.joinings.get(encoding)
            if joining is not None:
                joining.behind.append(joined)
                joining.behind_bytes += len(joined)
                joining.behind_count += len(frames)
                if joining.behind_bytes > most_bytes:  # it takes too long: another snapshot
                    self._abandon(encoding)
        self._frames.clear()
        if self._is_broken:
            self._is_broken = False
            for members in self._in_chain.values():
                self.waiting.update(dict.fromkeys(members))
                members.clear()
            for encoding in list(self.joinings):
                self._abandon(encoding)
            self._version = None
        return self._let_in() if self.waiting else []

    def _abandon(self, encoding: Encoding) -> None:
        joining = self.joinings.pop(encoding)
        joining.is_broken = True
        self.waiting.update(dict.fromkeys(joining.clients))
        self._forget_if_empty()

    def _let_in(self) -> list[Joining]:
        replica, state = self._source.book(self.key), self._source.states.get(self.key)
        epoch = self._source.epoch(self.key[0])
        if replica is None or state is None or epoch is None or state.epoch != epoch or not self._source.is_whole(self.key):
            return []
        if self._version is not None and self._version != replica.version:
            return []  # the replica was joined from an image that is ahead of the ring: the groups up to it come next
        begun: list[Joining] = []
        for client, wish in list(self.waiting.items()):
            if not client.takes_snapshot or (wish is not None and self._source.is_catching_up(self.key[0])):
                continue
            del self.waiting[client]
            self._version, self._epoch = replica.version, epoch
            if wish is not None and self._resumes(client, wish, state):
                self._in_chain.setdefault(client.encoding, {})[client] = None
                continue
            joining = self.joinings.get(client.encoding)
            if joining is None:
                parts = SnapshotParts(client.encoding, state, replica)
                joining = self.joinings[client.encoding] = Joining(parts, [])
                begun.append(joining)
            joining.clients.append(client)
        return begun

    def _resumes(self, client: Client, wish: tuple[int, int], state: State) -> bool:
        """Continue a client's copy, or tell it why not."""
        assert self._version is not None
        chain = self._source.since(self.key, *wish, self._version)
        if chain is None or len(chain) > RESUMED_GROUPS:
            reason = "epoch" if wish[0] != self._epoch else "history"
            client.put(encoded(client.encoding, {"type": "not_resumed", **names_of(state), "reason": reason}))
            self._counts.messages_sent += 1
            return False
        said = {"type": "resumed", **names_of(state), "epoch": wish[0], "version": wish[1], "groups": len(chain)}
        client.put_snapshot([encoded(client.encoding, said), *(group_frame(client.encoding, group) for group in chain)])
        self._counts.messages_sent += 1 + len(chain)
        self._counts.resumes += 1
        return True

    def encode_part(self, joining: Joining) -> bool:
        """Encode the next part of a snapshot; with the last one its clients are in the chain. Whether that was the last."""
        if joining.is_broken:
            return True
        made = joining.parts.next_frame()
        if made is not None:
            joining.frames.append(made)
            for client in joining.clients:
                client.prepare(made)
            return False
        encoding = joining.parts.encoding
        del self.joinings[encoding]
        for client in joining.clients:
            if client.takes_snapshot:
                client.put_snapshot(joining.frames)
                if joining.behind:
                    client.put(b"".join(joining.behind))
                self._in_chain.setdefault(encoding, {})[client] = None
                self._counts.snapshots += 1
                self._counts.messages_sent += len(joining.frames) + joining.behind_count
            elif not client.closing:
                self.waiting[client] = None
        self._forget_if_empty()
        return True
