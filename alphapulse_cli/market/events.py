"""Decoded exchange messages: the event values that a decoder returns and `flow` consumes.

Prices and sizes are exact integers (ticks, lots) on the instrument's grid. Times are nanoseconds since 1970 by the exchange's
clock, or None where the message carried none. The caller owns every event that it is given: decoders keep no reference to one they
returned.

Book events arrive by the ten thousand a second. They are therefore compiled classes, not dataclasses.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum, unique

from alphapulse_cli import native
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.levels import Levels
from alphapulse_cli.market.trading_status import TradingStatus

SOURCE_HASH = native.source_hash()

NO_TIME = -(1 << 63)


@unique
class Side(IntEnum):
    """Taker side of a trade; the numbers are those of the trade record."""

    BUY = 0  # the taker bought
    SELL = 1  # the taker sold
    UNKNOWN = 2


@unique
class GapReason(Enum):
    """Reason for which an instrument's book can no longer be trusted."""

    SEQUENCE = "sequence"  # an exchange's sequence number skipped
    CHECKSUM = "checksum"  # our book's checksum differs from the exchange's
    UPDATE_BEFORE_SNAPSHOT = "update before snapshot"
    UNREADABLE = "unreadable message"
    NOT_CAPTURED = "not captured"  # of a replay alone: the recording lacks rows
    DISCONNECTED = "disconnected"
    SEQUENCE_RESET = "sequence restarted"
    IGNORED = "updates ignored for too long"
    QUIET = "dead stream of a quiet book"
    CROSSED = "book crossed or locked"


class BookEvent:
    """Levels of one message for one instrument, on the grid that `instrument` has in this event.

    `checksum` is the exchange's checksum of the book after this message, None without one. `depth` is the number of levels to which
    each side is cut after the message is applied (Kraken), None for a book that is not cut.
    """

    def __init__(
        self,
        instrument: Instrument,
        levels: Levels,
        exchange_ns: int | None = None,
        checksum: int | None = None,
        depth: int | None = None,
    ) -> None:
        self.instrument = instrument
        self.levels = levels
        self.time_ns = NO_TIME if exchange_ns is None else exchange_ns  # a plain i64 for the compiled core: no None
        self.checksum = checksum
        self.depth = depth

    @property
    def exchange_ns(self) -> int | None:
        """Exchange's time of the message in nanoseconds since 1970; None where it gave none."""
        return None if self.time_ns == NO_TIME else self.time_ns

    def __repr__(self) -> str:
        fields = f"{self.instrument.id}, {self.levels!r}, {self.exchange_ns}, {self.checksum}, {self.depth}"
        return f"{type(self).__name__}({fields})"


class Snapshot(BookEvent):
    """Whole book of an instrument: it replaces every level held before."""


class Update(BookEvent):
    """New sizes of some levels. Sizes are absolute; size 0 removes the level."""


def update(instrument: Instrument, levels: Levels, time_ns: int, checksum: int | None, depth: int | None) -> Update:
    """Make an Update whose time is known (not NO_TIME): the compiled core's constructor, at a third of the cost of `Update(…)`."""
    made = Update.__new__(Update)
    made.instrument, made.levels, made.time_ns, made.checksum, made.depth = instrument, levels, time_ns, checksum, depth
    return made


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade. `trade_id` is the exchange's text; `history` marks a past trade that came with a subscription's snapshot.

    `instrument` names the grid of this trade, which may be finer than the book's. A trade whose price or size fits no record has
    both set to 0 and the reason in `refused`; it is counted and not published.
    """

    instrument: Instrument
    trade_id: str
    price_ticks: int
    size_lots: int
    side: Side
    exchange_ns: int | None
    history: bool = False
    refused: str = ""


@dataclass(frozen=True, slots=True)
class GapFound:
    """Loss of the books of these instruments, until each one's next Snapshot. The decoder has already requested what heals them."""

    instruments: Sequence[Instrument]
    reason: GapReason
    detail: str = ""
    expected: str = field(default="", compare=False)  # sequence number that was due, and those that came: evidence, "" if not known
    found: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Proof:
    """Levels that the best `depth` levels of each side must equal if no message was missed: the answer to `Decoder.confirm`."""

    instrument: Instrument
    levels: Levels
    depth: int


@dataclass(frozen=True, slots=True)
class OffGrid:
    """Refusal of a message whose numbers are finer than the instrument's grid; it needs at least these decimals.

    The receiver refines the grid, or declares it final (`Decoder.use_instrument`), and hands in the same frame again.
    """

    instrument: Instrument
    price_decimals: int
    size_decimals: int


@dataclass(frozen=True, slots=True)
class InstrumentsSeen:
    """Instrument metadata of the exchange, new or changed."""

    instruments: Sequence[Instrument]


@dataclass(frozen=True, slots=True)
class Subscribed:
    """Confirmation of a channel for these native symbols; empty where the channel has no symbols."""

    channel: str
    natives: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SubscriptionRefused:
    """Refusal of a subscription. `message` is the exchange's text: hostile, to be shown only escaped.

    The decoder subscribes again by itself: within a minute where `for_now` is set, else every ten minutes. A refusal `for_now`
    leaves the state of a LIVE book as it is.
    """

    channel: str
    native: str
    message: str
    for_now: bool = False


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Native symbols that were subscribed to and neither confirmed nor fed in time.

    Reported once, subscribed to again until they are.
    """

    channel: str
    natives: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SnapshotRefused:
    """Rejection of a fetched snapshot that does not fit the stream.

    Another is requested; no message was lost, so this is no gap.
    """

    instrument: Instrument
    detail: str


@dataclass(frozen=True, slots=True)
class UpdateIgnored:
    """Update left out because the book already contains it."""

    instrument: Instrument


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Sign of life of the exchange without other content."""

    exchange_ns: int | None = None


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """State of the whole exchange: its own word ("online", "maintenance") and what it means for orders on all its markets.

    `announcements` are lines about coming events, mainly maintenance. `status` and `announcements` are hostile text.
    """

    status: str
    trading_status: TradingStatus = TradingStatus.TRADING
    announcements: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ClosingSoon:
    """Announcement by the exchange that it will close this connection."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Unrecognised:
    """Well-formed message of an unknown type: counted and shown, never an error. `kind` is hostile text."""

    kind: str


@dataclass(frozen=True, slots=True)
class TradesMissed:
    """Gap in the exchange's trade ids: `count` trades between two received ones were lost upstream."""

    instrument: Instrument
    count: int = field(default=1)


@dataclass(frozen=True, slots=True)
class TradesRecovered:
    """Late arrival of `count` trades reported as missed before; each also leaves as a Trade with `history` set."""

    instrument: Instrument
    count: int = field(default=1)


Event = (
    Snapshot
    | Update
    | Trade
    | GapFound
    | Proof
    | OffGrid
    | InstrumentsSeen
    | Subscribed
    | SubscriptionRefused
    | Unanswered
    | SnapshotRefused
    | UpdateIgnored
    | Heartbeat
    | SystemStatus
    | ClosingSoon
    | Unrecognised
    | TradesMissed
    | TradesRecovered
)
