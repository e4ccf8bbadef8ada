"""Scorekeeper: what the books and connections of one set go through, added up in the rows of `shm/scores.py`.

    BookKeeper  ─► BookScore.changed         each change of a book's state: valid time, breaks, healings, halts
    Ingest      ─► ConnectionScore           each opening and end of a connection
    counters    ─► Scorekeeper.bring_up      about once a second: gaps, resyncs, checksums, messages, bytes

No message passes through here, so that ingest pays for nothing but the feed delay's second histogram. The clock (CLOCK_MONOTONIC, ns) is
handed in; `beat` tells that the loop runs, since a writer that hangs has no LIVE books.
"""

import contextlib
from collections.abc import Callable
from typing import Protocol

from alphapulse_cli.errors import StorageError
from alphapulse_cli.market.trading_status import TradingStatus
from alphapulse_cli.shm.block import CounterBlock
from alphapulse_cli.shm.counters import Counter, CountersWriter
from alphapulse_cli.shm.layout import HEARTBEAT_LIMIT_NS
from alphapulse_cli.shm.scores import RowKind, Score, ScoreRow, ScoresWriter
from alphapulse_cli.wire.delta import BookReason, BookState

EVERY_NS, BEAT_NS = 1_000_000_000, 100_000_000  # each book is brought up to date once a second, by beats of about 100 ms
COUNTED = (  # counters of a symbol that are scores as they are
    (Score.GAPS, Counter.GAPS),
    (Score.RESYNCS, Counter.RESYNCS),
    (Score.CHECKSUMS_OK, Counter.CHECKSUMS_OK),
    (Score.CHECKSUMS_BAD, Counter.CHECKSUMS_BAD),
)
COUNTED_OF_THE_SET = (
    (Score.GAPS, Counter.GAPS),  # those that name no symbol
    (Score.MESSAGES, Counter.FRAMES),
    (Score.BYTES, Counter.BYTES),
)
MESSAGES_OF_A_SYMBOL = (Counter.BOOK_UPDATES, Counter.UPDATES_IGNORED, Counter.TRADES)
AILING = (BookState.SYNCING, BookState.HALTED)

Now = Callable[[], int]


class ScoredConnection(Protocol):
    """Parts of a connection's Ingest that its score is made of."""

    @property
    def frame_count(self) -> int:
        """Frames received."""

    @property
    def byte_count(self) -> int:
        """Bytes of them."""

    @property
    def symbols(self) -> frozenset[str]:
        """Symbols that it carries."""


class Loop:
    """Clock of the writer, and the time of its last heartbeat."""

    def __init__(self, now: Now) -> None:
        self.now = now
        self.beaten_ns = now()


class BookScore:
    """Score of one book."""

    def __init__(self, row: ScoreRow, counters: CounterBlock, loop: "Loop") -> None:
        self.row, self._counters, self._loop = row, counters, loop
        self._counted_from = {score: row.get(score) - counters.get(counter) for score, counter in COUNTED}
        self._messages_from = row.get(Score.MESSAGES) - self._messages()
        self._at_ns = loop.now()  # up to which time is added up
        self._is_kept = self._is_live = self._is_restricted = False
        self._broke_ns = 0  # since when a book that was LIVE is not; 0: it is, or never was
        self._ails = False  # whether it has been SYNCING or HALTED since
        counters.feed_delay = row.feed_delay

    def changed(self, state: BookState, reason: BookReason, status: TradingStatus) -> None:
        """Take in the state, its reason and the trading status that readers are told now."""
        now_ns = self._loop.now()
        self.add_up(now_ns)
        was_live, self._is_live = self._is_live, state is BookState.LIVE
        self._is_kept = reason is not BookReason.RETIRED
        if not self._is_kept:
            self._broke_ns, self._ails = 0, False
        elif was_live and not self._is_live:
            self._broke_ns, self._ails = now_ns, False
            self.row.add(Score.BREAKS)
        self._ails = self._ails or state in AILING
        if self._is_live and self._broke_ns:
            if self._ails:
                self.row.healed(now_ns - self._broke_ns)
            self._broke_ns, self._ails = 0, False
        was_restricted, self._is_restricted = self._is_restricted, status is not TradingStatus.TRADING
        if self._is_restricted and not was_restricted:
            self.row.add(Score.HALTS)

    def add_up(self, now_ns: int) -> None:
        """Add up the time until now. A LIVE book is valid as long as readers take the heartbeat for fresh."""
        passed_ns = max(now_ns - self._at_ns, 0)
        fresh_ns = self._loop.beaten_ns + HEARTBEAT_LIMIT_NS - self._at_ns
        self._at_ns = max(now_ns, self._at_ns)
        if not self._is_kept:
            return
        self.row.add(Score.OBSERVED_NS, passed_ns)
        if self._is_live:
            self.row.add(Score.VALID_NS, max(min(passed_ns, fresh_ns), 0))
        if self._is_restricted:
            self.row.add(Score.RESTRICTED_NS, passed_ns)

    def bring_up(self, now_ns: int) -> None:
        """Bring the row up to date."""
        self.add_up(now_ns)
        for score, counter in COUNTED:
            self.row.set(score, self._counted_from[score] + self._counters.get(counter))
        self.row.set(Score.MESSAGES, self._messages_from + self._messages())
        if self._is_kept:
            self.row.seen(now_ns)

    def _messages(self) -> int:
        return sum(self._counters.get(counter) for counter in MESSAGES_OF_A_SYMBOL)


class ConnectionScore:
    """Score of one connection."""

    def __init__(self, row: ScoreRow, of_set: ScoreRow, connection: ScoredConnection, now: Now) -> None:
        self.row, self._of_set, self._connection, self._now = row, of_set, connection, now
        self._frames_from = row.get(Score.MESSAGES) - connection.frame_count
        self._bytes_from = row.get(Score.BYTES) - connection.byte_count
        self._at_ns = now()
        self._is_open = self._was_open = False

    def opened(self) -> None:
        """Note that the connection is made."""
        self.add_up(self._now())
        if self._was_open:
            self.row.add(Score.RECONNECTS)
            self._of_set.add(Score.RECONNECTS)
        self._is_open = self._was_open = True

    def closed(self) -> None:
        """Note that the connection has ended, or could not be made."""
        self.add_up(self._now())
        self._is_open = False

    def add_up(self, now_ns: int) -> None:
        """Add up the time until now."""
        passed_ns = max(now_ns - self._at_ns, 0)
        self._at_ns = max(now_ns, self._at_ns)
        self.row.add(Score.OBSERVED_NS, passed_ns)
        if self._is_open:
            self.row.add(Score.OPEN_NS, passed_ns)

    def bring_up(self, now_ns: int) -> None:
        """Bring the row up to date."""
        self.add_up(now_ns)
        self.row.set(Score.MESSAGES, self._frames_from + self._connection.frame_count)
        self.row.set(Score.BYTES, self._bytes_from + self._connection.byte_count)
        self.row.seen(now_ns)


class Scorekeeper:
    """Scorekeeper of one set, whose rows go on from those of the last writer. A symbol without room in the file has no score."""

    def __init__(self, file: ScoresWriter, counters: CountersWriter, now: Now) -> None:
        self.file, self._counters, self._loop = file, counters, Loop(now)
        self._own = counters.block()
        self._books: dict[str, BookScore] = {}
        self._connections: dict[ScoredConnection, ConnectionScore] = {}
        self._turns: list[BookScore] = []  # books that the next beats bring up to date
        self._at_ns = self._loop.beaten_ns
        self._from = {score: file.set_row.get(score) - self._own.get(counter) for score, counter in COUNTED_OF_THE_SET}

    def book(self, symbol: str) -> BookScore | None:
        """Score of a book, the same for the same symbol; None without room."""
        found = self._books.get(symbol)
        if found is None:
            with contextlib.suppress(StorageError):
                row = self.file.row(RowKind.SYMBOL, symbol, self._loop.now())
                found = self._books[symbol] = BookScore(row, self._counters.block(symbol), self._loop)
        return found

    def connection(self, number: int, connection: ScoredConnection) -> ConnectionScore | None:
        """Score of a connection, which tells it when it opens and ends; None without room."""
        for symbol in connection.symbols:
            book = self.book(symbol)
            if book is not None:
                book.row.on_connection(number)
        try:
            row = self.file.row(RowKind.CONNECTION, str(number), self._loop.now())
        except StorageError:
            return None
        row.on_connection(number)
        made = self._connections[connection] = ConnectionScore(row, self.file.set_row, connection, self._loop.now)
        return made

    def forget(self, connection: ScoredConnection) -> None:
        """End the score of a connection that was given up."""
        score = self._connections.pop(connection, None)
        if score is not None:
            score.bring_up(self._loop.now())

    def beat(self, monotonic_ns: int) -> None:
        """Note a heartbeat, about every 100 ms. StorageError where the file was cut short."""
        if monotonic_ns - self._loop.beaten_ns > HEARTBEAT_LIMIT_NS:  # readers took the set for dead
            for book in self._books.values():
                book.add_up(monotonic_ns)
        self._loop.beaten_ns = monotonic_ns
        self._bring_up_books(-(-len(self._books) * BEAT_NS // EVERY_NS), monotonic_ns)
        self._bring_up_set(monotonic_ns)

    def bring_up(self, monotonic_ns: int) -> None:
        """Bring all rows up to date. StorageError where the file was cut short."""
        self._turns = []
        self._bring_up_books(len(self._books), monotonic_ns)
        self._bring_up_set(monotonic_ns)

    def _bring_up_books(self, most: int, monotonic_ns: int) -> None:
        """Bring so many books up to date, each in its turn: no beat does the work for all of a large set."""
        for _ in range(most):
            if not self._turns:
                self._turns = list(self._books.values())
            if self._turns:
                self._turns.pop().bring_up(monotonic_ns)

    def _bring_up_set(self, monotonic_ns: int) -> None:
        row = self.file.set_row
        row.add(Score.OBSERVED_NS, max(monotonic_ns - self._at_ns, 0))
        self._at_ns = monotonic_ns
        for connection in self._connections.values():
            connection.bring_up(monotonic_ns)
        for score, counter in COUNTED_OF_THE_SET:
            row.set(score, self._from[score] + self._own.get(counter))
        row.seen(monotonic_ns)
        self.file.updated(monotonic_ns)

    def close(self) -> None:
        """Bring all rows up to date and end the file in good order. StorageError where it was cut short."""
        self.bring_up(self._loop.now())
        self.file.close()
