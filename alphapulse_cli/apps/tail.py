"""Follower of the rings of all wanted sets: every group of deltas or every trade, and the number of records missed.

    rings of all wanted sets ─► whole groups ─► DeltaGroup | TradeItem | Missed | Restarted, in each set's own order

Sets that appear while it runs are read from the oldest record of their ring. The order between two sets is that of arrival. No
record is lost silently: a lap is a `Missed` among the data.
"""

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from alphapulse_cli.flow.follow import SetFollower
from alphapulse_cli.flow.groups import GroupReader, Start
from alphapulse_cli.readers.items import DeltaGroup, Item, Missed, Names, Restarted, TradeItem, delta_groups, trade_items
from alphapulse_cli.readers.selection import Wanted, settled
from alphapulse_cli.readers.sets import LONGEST_WAIT_S, Observe, SetReaders
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import Directory
from alphapulse_cli.shm.layout import STATUS_SINCE_MINOR, SegmentKind


class Tail:
    """Follower of deltas or trades. NoSegment if a wanted set or symbol is not there, UsageError for an unknown way of waiting.

    Records before `since_ns` (ns since 1970), or received more than `ago_ns` before now (by the set's own clock: a replay's runs in its
    recording), are left out. With `quotes` books are kept, and each group has the best bid and ask
    after it. `observe` is called twice a second with the names of the sets that are followed.
    """

    def __init__(
        self,
        directory: Directory,
        kind: SegmentKind,
        wanted: Wanted,
        start: Start = "now",
        since_ns: int = 0,
        how: str = "wake",
        *,
        quotes: bool = False,
        ago_ns: int | None = None,
        observe: Observe | None = None,
    ) -> None:
        self._directory = directory
        self._kind = kind
        self._wanted = wanted = settled(directory, wanted, kind)
        self._quotes = quotes
        self._since_ns, self._ago_ns = since_ns, ago_ns
        self._before: dict[str, int] = {}  # set whose records are still older than wanted -> ns since 1970 of the first wanted
        self._names: dict[str, Names] = {}
        self._sets: SetReaders[GroupReader | SetFollower] = SetReaders(
            directory, wanted, self._attach, kind=kind, start=start, how=how, observe=observe
        )

    def _attach(self, name: str, exchange: str, start: Start) -> GroupReader | SetFollower:
        label = f"tail {'deltas' if self._kind is SegmentKind.DELTAS else 'trades'}"
        reader: GroupReader | SetFollower
        if self._quotes:
            reader = SetFollower(self._directory, name, start=start, label=label)
        else:
            reader = GroupReader(self._directory, name, self._kind, start, label)
        self._names[name] = Names(self._wanted.symbols_of(name, exchange))
        groups = reader.groups if isinstance(reader, SetFollower) else reader
        since_ns = self._since_ns if self._ago_ns is None else groups.now_ns() - self._ago_ns
        if since_ns > 0:
            self._before[name] = since_ns
        return reader

    @property
    def sets(self) -> list[str]:
        """Names of the sets that are read, sorted."""
        return sorted(self._sets.readers)

    def poll(self) -> list[Item]:
        """New items of all sets."""
        now_ns = clock.monotonic_ns()
        self._sets.look(now_ns)
        return self._read(now_ns)

    def _read(self, now_ns: int) -> list[Item]:
        return [item for name, reader in self._sets.readers.items() for item in self._items_of(name, reader, now_ns)]

    def _items_of(self, name: str, reader: GroupReader | SetFollower, now_ns: int) -> list[Item]:
        follower = reader if isinstance(reader, SetFollower) else None
        groups = reader.groups if isinstance(reader, SetFollower) else reader
        polled = groups.poll(now_ns) if follower is None else follower.fetch(now_ns)
        segment, items, is_replay = groups.segment, list[Item](), groups.is_replay
        if polled.restarted:
            items.append(Restarted(name, segment.spec.exchange, segment.epoch, is_replay))
        if polled.missed:
            items.append(Missed(name, segment.spec.exchange, polled.missed, is_replay))
        if polled.record_count:
            names = self._names[name]
            if self._kind is SegmentKind.TRADES:
                records: Iterator[DeltaGroup | TradeItem] = trade_items(polled.records, name, names, replay=is_replay)
            else:
                has_status = segment.layout_minor >= STATUS_SINCE_MINOR
                records = delta_groups(
                    polled, name, names, has_status=has_status, follower=follower, now_ns=now_ns, replay=is_replay
                )
            items += self._after(name, records) if name in self._before else records
        if follower is not None:
            follower.join()
            groups.acknowledge()
        return items

    def wait(self, timeout_s: float) -> bool:
        """Wait until there may be more; False after `timeout_s` or LONGEST_WAIT_S seconds."""
        return self._sets.wait(min(timeout_s, LONGEST_WAIT_S))

    def items(self, count: int | None = None, duration_s: float | None = None) -> Iterator[Item | None]:
        """Iterate over items, at most `count` groups or trades, for at most `duration_s` seconds; None means "no more for now"."""
        left = count
        for item in self._sets.items(self._read, duration_s):
            yield item
            if left is not None and isinstance(item, DeltaGroup | TradeItem):
                left -= 1
                if left == 0:
                    return

    def _after(self, name: str, items: Iterator[DeltaGroup | TradeItem]) -> Iterator[Item]:
        """Iterate over the items from the first one that is not older than wanted."""
        for item in items:
            if item.timestamp_ns >= self._before.get(name, 0):
                self._before.pop(name, None)
                yield item

    def close(self) -> None:
        """Remove the cursors."""
        self._sets.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
