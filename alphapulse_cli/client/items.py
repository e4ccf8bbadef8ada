"""Items that a client is handed: what happened to each book, each trade, and to the connection; and the books themselves.

    Began ─► Update … Update, Checked (proved by a CHECK of the writer) ─► StateChanged ─► …        one book
    Lost, Restarted, Broken                                                                        nothing is lost silently
    Connected, Disconnected                                                                        the connection

Prices are ticks and sizes lots, exact integers: `book.price_decimals` and `book.size_decimals` say what they stand for.
"""

from typing import Any, NamedTuple

from alphapulse_cli.book.book import Book
from alphapulse_cli.book.reconstruct import ColdReason, Reconstructor
from alphapulse_cli.flow.follow import states_of
from alphapulse_cli.market.trading_status import TradingStatus, allows_taking, trading_status
from alphapulse_cli.readers.items import CHANGE, LOTS, TradeItem
from alphapulse_cli.wire import delta
from alphapulse_cli.wire.delta import BookReason, BookState

__all__ = [
    "Began",
    "Broken",
    "Checked",
    "Connected",
    "Disconnected",
    "Item",
    "Lost",
    "RemoteBook",
    "Restarted",
    "StateChanged",
    "TradeItem",
    "Update",
]

Standing = tuple[BookState, BookReason]
COUNT_AT = delta.offsets()["change_count"]
# States that readers find out by themselves: no record of the writer tells them.
OF_READERS = frozenset(
    {
        (BookState.STALE, BookReason.SILENT),
        (BookState.STALE, BookReason.RETIRED),
        (BookState.SYNCING, BookReason.STARTING),
    }
)


class RemoteBook:
    """Replica of one book of a server, exact at `version` of the writer's `epoch`. The next item may change it: copy what you keep.

    `state` is LIVE only while the connection is there, its writer lives and says so, and the replica is whole.
    """

    def __init__(self, set_name: str, exchange: str, symbol: str) -> None:
        self.set_name, self.exchange, self.symbol = set_name, exchange, symbol
        self.epoch = 0
        self.replay = False
        self.replica = Reconstructor(exchange, symbol)
        self.lost_connection: BookReason | None = None  # why nothing is heard, None while something is
        self.is_waiting = True  # for a snapshot
        self.told: Standing | None = None  # the server's own word on the state
        self.shown: tuple[BookState, BookReason, TradingStatus | None] | None = None

    @property
    def book(self) -> Book:
        """The levels: `best_bid()`, `best_ask()`, `bids(n)`, `asks(n)` give (ticks, lots), best first."""
        return self.replica.book

    @property
    def version(self) -> int:
        """Version of the book; it grows by one with each update."""
        return self.replica.version

    @property
    def timestamp_ns(self) -> int:
        """Receive time of the last update, CLOCK_REALTIME of the machine that collects."""
        return self.replica.timestamp_ns

    @property
    def price_decimals(self) -> int:
        """Decimals of prices: price = ticks / 10**price_decimals."""
        return self.replica.book.price_decimals

    @property
    def size_decimals(self) -> int:
        """Decimals of sizes: size = lots / 10**size_decimals."""
        return self.replica.book.size_decimals

    @property
    def is_whole(self) -> bool:
        """Whether the replica equals its writer's book at `version`."""
        return not self.is_waiting and not self.replica.is_cold

    @property
    def standing(self) -> Standing:
        """State and reason, as every reader shows them."""
        if self.lost_connection is not None:
            return BookState.STALE, self.lost_connection
        if self.told is not None and self.told in OF_READERS and self.told[0] is BookState.STALE:
            return self.told
        if not self.is_whole:
            return BookState.SYNCING, BookReason.STARTING
        if self.told in OF_READERS and self.told is not None:
            return self.told
        return states_of(self.replica.book_state, self.replica.reason)

    @property
    def state(self) -> BookState:
        """State of the book; trade on LIVE only."""
        return self.standing[0]

    @property
    def reason(self) -> BookReason:
        """Reason of the state."""
        return self.standing[1]

    @property
    def trading_status(self) -> TradingStatus | None:
        """Which orders the market takes; None if its writer does not say."""
        return trading_status(self.replica.trading_status)

    @property
    def is_tradable(self) -> bool:
        """Whether the book is LIVE and the market accepts taking orders: trade on nothing else."""
        return self.state is BookState.LIVE and allows_taking(self.trading_status)

    def __repr__(self) -> str:
        return f"<RemoteBook {self.set_name} {self.symbol} version {self.version} {self.state.name}>"


class Connected(NamedTuple):
    """A connection was made. `server` is the name and version of the program there, `again` whether another was there before."""

    url: str
    server: str
    again: bool


class Disconnected(NamedTuple):
    """The connection ended, or could not be made again. `code` is the WebSocket close code (1006: none was sent).

    Another one is tried after `retry_s`.
    """

    code: int
    reason: str
    retry_s: float


class Began(NamedTuple):
    """A book begins, or begins again: a whole copy of it came."""

    book: RemoteBook
    version: int
    timestamp_ns: int


class Update(NamedTuple):
    """One update of a book, which `book` now holds. `changes` are (side, ticks, lots); 0 lots removed the level."""

    book: RemoteBook
    version: int
    prev_version: int
    timestamp_ns: int
    feed_delay_us: int | None
    records: bytearray

    @property
    def changes(self) -> list[tuple[str, int, int]]:
        """Changes in the order of the message."""
        found = []
        for at in range(0, len(self.records), delta.DELTA_BYTES):
            begin = at + delta.HEADER_BYTES
            count = min(self.records[at + COUNT_AT], delta.MAX_CHANGES)
            for ticks, word in CHANGE.iter_unpack(self.records[begin : begin + delta.CHANGE_BYTES * count]):
                found.append(("ask" if word & delta.IS_ASK else "bid", ticks, word & LOTS))
        return found


class Checked(NamedTuple):
    """The replica was compared with a CHECK of the writer, hash and numbers of levels, and is equal."""

    book: RemoteBook
    version: int
    timestamp_ns: int


class Broken(NamedTuple):
    """The replica differs from its writer's book (a CHECK says so, or a group is missing): it is copied anew."""

    book: RemoteBook
    why: ColdReason


class StateChanged(NamedTuple):
    """The state of a book changed, or its trading status."""

    book: RemoteBook
    state: BookState
    reason: BookReason
    trading_status: TradingStatus | None


class Lost(NamedTuple):
    """Records that never came: the server was lapped (`symbol` is ""), or a copy could not be continued after a reconnect.

    `missed` counts records of the set, or groups of the book; of `ring` "deltas" or "trades". Books begin again; trades are lost.
    """

    set_name: str
    exchange: str
    symbol: str
    ring: str
    missed: int
    replay: bool


class Restarted(NamedTuple):
    """Another writer writes the set: versions begin again, in the epoch `epoch`."""

    set_name: str
    exchange: str
    epoch: int
    replay: bool


Item = Began | Update | Checked | Broken | StateChanged | Lost | Restarted | Connected | Disconnected | TradeItem
AnyMessage = dict[str, Any]
