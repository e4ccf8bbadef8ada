"""What an exchange told us, decoded: the values that flow from a decoder to `flow`.

Prices and sizes are already exact integers on the instrument's grid; times are nanoseconds of the exchange's clock, or None
where it gave none. An event belongs to who received it: decoders keep no reference to one that they returned.

Book events come by the ten thousand a second, so they are among what is compiled, and no dataclasses.
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
    """The taker's side of a trade; the numbers are the trade record's."""

    BUY = 0  # the taker bought
    SELL = 1  # the taker sold
    UNKNOWN = 2


@unique
class GapReason(Enum):
    """Why an instrument's book can no longer be trusted."""

    SEQUENCE = "sequence"  # an exchange's sequence number skipped
    CHECKSUM = "checksum"  # our book's checksum is not the exchange's
    UPDATE_BEFORE_SNAPSHOT = "update before snapshot"
    UNREADABLE = "unreadable message"
    DISCONNECTED = "disconnected"
    SEQUENCE_RESET = "sequence began anew"
    IGNORED = "updates ignored for too long"
    QUIET = "stream of a quiet book had died"
    CROSSED = "crossed or locked in itself"


class BookEvent:
    """Levels of one message for one instrument; `levels` lie on the grid of `instrument` as it is in this event.

    `checksum` is the exchange's, of the book after this message; `depth` the number of levels to which each side is cut after applying
    (Kraken).
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
        self.time_ns = NO_TIME if exchange_ns is None else exchange_ns  # as the compiled core wants it
        self.checksum = checksum
        self.depth = depth

    @property
    def exchange_ns(self) -> int | None:
        """The exchange's time; None where it gave none."""
        return None if self.time_ns == NO_TIME else self.time_ns

    def __repr__(self) -> str:
        said = f"{self.instrument.id}, {self.levels!r}, {self.exchange_ns}, {self.checksum}, {self.depth}"
        return f"{type(self).__name__}({said})"


class Snapshot(BookEvent):
    """The whole book: what is not in it is not there."""


class Update(BookEvent):
    """New sizes of some levels, absolute; size 0 removes."""


def update(instrument: Instrument, levels: Levels, time_ns: int, checksum: int | None, depth: int | None) -> Update:
    """An Update of these, at a time that there is: what `Update(…)` makes, for the compiled core, in a third of its time."""
    made = Update.__new__(Update)
    made.instrument, made.levels, made.time_ns, made.checksum, made.depth = instrument, levels, time_ns, checksum, depth
    return made


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade. `trade_id` is the exchange's text; `history` marks one from a subscription's snapshot of the past.

    `instrument` may be on a finer grid than the book is: that of this trade. `refused` says why no record can hold its price or size;
    then both are 0, and it is counted and not published.
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
    """These instruments' books are wrong from here on, until a Snapshot. The decoder has already asked for what heals them."""

    instruments: Sequence[Instrument]
    reason: GapReason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """What the best `depth` levels a side must be now, if nothing was missed: the answer to `Decoder.confirm`."""

    instrument: Instrument
    levels: Levels
    depth: int


@dataclass(frozen=True, slots=True)
class OffGrid:
    """A level was finer than the instrument's grid; the message was not turned into an event. At least these decimals are needed.

    Who receives it makes the grid finer, or says that it is final (`Decoder.use_instrument`), and hands the same frame in again.
    """

    instrument: Instrument
    price_decimals: int
    size_decimals: int


@dataclass(frozen=True, slots=True)
class InstrumentsSeen:
    """The exchange's instrument metadata, new or changed."""

    instruments: Sequence[Instrument]


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The exchange confirmed a channel, for these of its own symbol names (none: the channel has no symbols)."""

    channel: str
    natives: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SubscriptionRefused:
    """The exchange refused. `message` is its text: hostile, show it only escaped.

    The decoder asks again by itself: `for_now` within a minute, else each ten minutes. A refusal for now says nothing of a LIVE book.
    """

    channel: str
    native: str
    message: str
    for_now: bool = False


@dataclass(frozen=True, slots=True)
class Unanswered:
    """These of the exchange's symbols were asked for and neither confirmed nor fed: told once, asked again until they are."""

    channel: str
    natives: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SnapshotRefused:
    """A fetched snapshot does not fit the stream, and another is asked for. Nothing was lost: no gap."""

    instrument: Instrument
    detail: str


@dataclass(frozen=True, slots=True)
class UpdateIgnored:
    """An update that the book contains already was left out."""

    instrument: Instrument


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The exchange lives, and has nothing else to say."""

    exchange_ns: int | None = None


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """The exchange's own state, in its own word ("online", "maintenance"), and what it means for orders on all its markets.

    `announcements` are lines about what is to come, maintenance above all. Word and lines are hostile text.
    """

    status: str
    trading_status: TradingStatus = TradingStatus.TRADING
    announcements: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ClosingSoon:
    """The exchange announced that it will close this connection."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Unrecognised:
    """A well-formed message of a kind that we do not know: counted and shown, never an error. `kind` is hostile text."""

    kind: str


@dataclass(frozen=True, slots=True)
class TradesMissed:
    """The exchange's trade ids skipped: `count` trades between two that we have were lost upstream."""

    instrument: Instrument
    count: int = field(default=1)


@dataclass(frozen=True, slots=True)
class TradesRecovered:
    """`count` trades that were told as missed came after all; each leaves as a Trade of the past besides."""

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
