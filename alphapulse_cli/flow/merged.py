"""Merge of several sets' books, group by group, in the order in which their messages were received.

    ring of kraken   ─► groups ─┐
    ring of coinbase ─► groups ─┼─► by receive time ─► Step, Step, …   each after its group was applied to its book
    ring of …        ─► groups ─┘

The order holds within one poll. A set whose records become visible later than another's newer ones is not waited for: the steps'
time may go back between two polls. A book that was joined, lapped or restarted, or whose writer went silent, gives a step too.

Replayed sets are waited for: a group is held until the recording's clock has reached it in all of them, and a replay stores its
clock once all records up to then are published. The end of a set has its place there, too. A replay that is faster than the recording
waits in turn where books are joined and where a run ends (`apps.replay.room`). So the steps, and their order, are the same each time.
"""

from collections.abc import Iterator
from typing import NamedTuple

from alphapulse_cli.book.reconstruct import Reconstructor
from alphapulse_cli.flow.follow import SetFollower, states_of
from alphapulse_cli.flow.groups import POLL_RECORDS, Polled
from alphapulse_cli.wire import delta
from alphapulse_cli.wire.delta import BookReason, BookState

FLAGS_AT = delta.offsets()["flags"]
RECORD_BYTES, RECORD_WORDS = delta.DELTA_BYTES, delta.DELTA_BYTES // 8
FIRST, CHECK, KIND_BITS = delta.FIRST, int(delta.RecordKind.CHECK), delta.KIND_MASK
LIVE, LIVE_NUMBER, NO_REASON = BookState.LIVE, int(BookState.LIVE), BookReason.NONE
NO_DELAY = delta.NO_FEED_DELAY
Group = tuple[SetFollower, Polled, int, int]  # (set, records, first record, number of records)


class MergedStep(NamedTuple):
    """Change of a book, or of its state. `replica` is the live book: read it before the next step.

    `timestamp_ns` is the receive time of the message (CLOCK_REALTIME), 0 for a step without one (joined, silent, retired);
    `feed_delay_us` is that message's feed delay, None if unknown.
    """

    follower: SetFollower
    symbol: str
    replica: Reconstructor
    state: BookState
    reason: BookReason
    timestamp_ns: int
    feed_delay_us: int | None


class _Seen:
    """State of a set as of its last steps."""

    def __init__(self) -> None:
        self.books = 0
        self.is_alive = False
        self.is_doubted = True  # one of its books is cold, or not proved since a lap
        self.states: dict[str, tuple[object, ...]] = {}


class MergedFollowers:
    """Reader of several sets; `followers` may be added and removed between polls. `missed` counts records overwritten unread."""

    def __init__(self, followers: dict[str, SetFollower] | None = None) -> None:
        self.followers = {} if followers is None else followers
        self.missed = 0
        self.restarts = 0
        self._seen: dict[str, _Seen] = {}
        self._held: dict[str, bytes] = {}  # replayed set -> its records that the recording's clock has not reached

    def poll(self, monotonic_ns: int, limit: int = POLL_RECORDS) -> Iterator[MergedStep]:
        """Read new records and return their steps. Exhaust the iterator: the steps left in it are lost with their changes."""
        reached_ns = self._reached_ns(monotonic_ns)  # before the records: what is published later is of a later time
        fetched: list[tuple[SetFollower, Polled]] = []
        unsettled: list[SetFollower] = []
        ended: list[tuple[int, SetFollower]] = []
        for name, follower in self.followers.items():
            polled = follower.fetch(monotonic_ns, limit)
            held = self._held.pop(name, b"")
            if held and not polled.restarted:
                polled = _behind(held, polled)
            is_replay, last_ns = follower.groups.is_replay, 0
            if polled.record_count:
                fetched.append((follower, polled))
                last_ns = polled.records.cast("Q")[(polled.record_count - 1) * RECORD_WORDS]
                if is_replay and self._has_more(follower):
                    reached_ns = last_ns - 1 if reached_ns is None else min(reached_ns, last_ns - 1)
            seen = self._seen.get(name) or self._seen.setdefault(name, _Seen())
            is_alive, is_unsettled = follower.groups.is_live(monotonic_ns), polled.missed > 0 or polled.restarted
            if is_replay and not is_alive and seen.is_alive and not is_unsettled:
                ended.append((max(follower.groups.now_ns(), last_ns), follower))
                continue
            # What a replay has published holds, whatever became of it since; a collector's books hold only while it lives.
            is_alive = is_alive or (is_replay and polled.record_count > 0)
            if is_unsettled or is_alive is not seen.is_alive:
                seen.is_alive, seen.is_doubted = is_alive, True
                unsettled.append(follower)
                self.missed += polled.missed
                self.restarts += polled.restarted
        groups = groups_by_time(fetched)
        if reached_ns is not None:
            groups = self._up_to(reached_ns, groups)
            ended = [one for one in ended if one[0] <= reached_ns]  # the others have their turn later: they are still seen as alive
        return self._steps(groups, unsettled, ended, reached_ns, monotonic_ns)

    @property
    def is_holding(self) -> bool:
        """Whether groups are held until a replay's clock has reached them."""
        return bool(self._held)

    @staticmethod
    def _has_more(follower: SetFollower) -> bool:
        """Whether the ring holds records that were not read yet, of a time that is reached perhaps."""
        return follower.ring.lag > 0

    def _reached_ns(self, monotonic_ns: int) -> int | None:
        """Time of the recording that all living replays have reached; None without any."""
        replays = (one.groups for one in self.followers.values() if one.groups.is_replay)
        return min((groups.now_ns() for groups in replays if groups.is_live(monotonic_ns)), default=None)

    def _up_to(self, reached_ns: int, groups: list[Group]) -> list[Group]:
        """Groups up to that time; the others are kept for the next poll."""
        for place, (_, polled, start, _) in enumerate(groups):
            if polled.records.cast("Q")[start * RECORD_WORDS] > reached_ns:
                for follower, late, first, _ in groups[place:]:
                    self._held.setdefault(follower.set_name, bytes(late.records[first * RECORD_BYTES :]))
                return groups[:place]
        return groups

    def _steps(
        self,
        groups: list[Group],
        unsettled: list[SetFollower],
        ended: list[tuple[int, SetFollower]],
        reached_ns: int | None,
        monotonic_ns: int,
    ) -> Iterator[MergedStep]:
        """Steps of these groups; each of the replays `ended` ends behind the groups up to its time."""
        if unsettled:
            yield from self._standing(unsettled, monotonic_ns)
        ends = sorted(ended, key=lambda one: one[0], reverse=True)
        for follower, polled, start, count in groups:
            while ends and polled.records.cast("Q")[start * RECORD_WORDS] > ends[-1][0]:
                yield from self._end(ends.pop()[1], monotonic_ns)
            step = self._step(follower, polled, start, count)
            if step is not None:
                yield step
        for _, follower in reversed(ends):
            yield from self._end(follower, monotonic_ns)
        yield from self._joined(reached_ns, monotonic_ns)
        for name, follower in self.followers.items():
            follower.groups.acknowledge(len(self._held.get(name, b"")) // RECORD_BYTES)

    def _end(self, follower: SetFollower, monotonic_ns: int) -> Iterator[MergedStep]:
        seen = self._seen[follower.set_name]
        seen.is_alive, seen.is_doubted = False, True
        yield from self._standing([follower], monotonic_ns)

    def _step(self, follower: SetFollower, polled: Polled, start: int, count: int) -> MergedStep | None:
        """Apply a group; None if it changed no book, as a passed CHECK."""
        replica = follower.take(polled, start, count)
        if replica is None:
            return None
        symbol = replica.symbol
        if polled.records[start * RECORD_BYTES + FLAGS_AT] & KIND_BITS == CHECK and not replica.is_cold:
            return None
        seen = self._seen[follower.set_name]
        if not seen.is_alive:
            return None  # a step with all changes until then follows when the set is alive
        timestamp_ns, delay = replica.timestamp_ns, replica.feed_delay_us
        known_delay = None if delay == NO_DELAY else delay
        if replica.book_state == LIVE_NUMBER and follower.is_whole(symbol):
            reason = states_of(LIVE_NUMBER, replica.reason)[1] if replica.reason else NO_REASON
            return MergedStep(follower, symbol, replica, LIVE, reason, timestamp_ns, known_delay)
        if not follower.is_whole(symbol):
            seen.is_doubted = True
            return MergedStep(follower, symbol, replica, BookState.SYNCING, BookReason.STARTING, timestamp_ns, None)
        state, reason = states_of(replica.book_state, replica.reason)
        return MergedStep(follower, symbol, replica, state, reason, timestamp_ns, known_delay)

    def _joined(self, reached_ns: int | None, monotonic_ns: int) -> Iterator[MergedStep]:
        """Join cold books; steps of those that were joined or are whole again. Replayed books as of `reached_ns` at most."""
        for name, follower in self.followers.items():
            seen = self._seen[name]
            if seen.is_doubted or seen.books != len(follower.books):
                seen.books = len(follower.books)
                follower.join(reached_ns if follower.groups.is_replay else None)
                seen.is_doubted = not all(map(follower.is_whole, follower.books))
                yield from self._standing([follower], monotonic_ns)

    def _standing(self, followers: list[SetFollower], monotonic_ns: int) -> Iterator[MergedStep]:
        """Steps of the books of these sets whose state differs from that of the last step."""
        for follower in followers:
            seen = self._seen[follower.set_name]
            for symbol, replica in follower.books.items():
                state, reason = follower.state(symbol, monotonic_ns)
                current = (follower.groups.segment.epoch, replica.version, state, reason, replica.trading_status)
                if seen.states.get(symbol) != current:
                    seen.states[symbol] = current
                    yield MergedStep(follower, symbol, replica, state, reason, 0, None)


def _behind(held: bytes, polled: Polled) -> Polled:
    """Poll whose records come behind those held."""
    records = held + bytes(polled.records)
    return polled._replace(records=memoryview(records), record_count=len(records) // RECORD_BYTES)


def groups_by_time(fetched: list[tuple[SetFollower, Polled]]) -> list[Group]:
    """All groups as (set, records, first record, number of records), in the order of receive time.

    Ties keep the order of the sets. A single set's groups keep their order.
    """
    if len(fetched) == 1:
        ((follower, polled),) = fetched
        return [(follower, polled, start, count) for start, count in group_spans(polled)]
    merged: list[tuple[int, int, int, int]] = []
    for index, (_, polled) in enumerate(fetched):
        times = polled.records.cast("Q")
        latest = 0
        for start, count in group_spans(polled):
            latest = max(latest, times[start * RECORD_WORDS])  # keeps a set's own order, even if its clock was set back
            merged.append((latest, index, start, count))
    merged.sort()
    return [(*fetched[index], start, count) for _, index, start, count in merged]


def group_spans(polled: Polled) -> list[tuple[int, int]]:
    """All groups as (first record, number of records)."""
    if polled.record_count == 1:
        return [(0, 1)]
    flags = bytes(polled.records[FLAGS_AT::RECORD_BYTES])
    starts = [index for index, flag in enumerate(flags) if flag & FIRST or not index]
    return [(start, end - start) for start, end in zip(starts, [*starts[1:], len(flags)], strict=True)]
