"""Values of an explanation: the incident, and the evidence for it. Text of frames is hostile: print it only escaped."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum, unique
from typing import Any

from alphapulse_cli.market.events import GapReason
from alphapulse_cli.readers.moments import moment
from alphapulse_cli.wire.delta import BookReason

SCHEMA, VERSION = "alphapulse.evidence", 1
# What a collector says of a gap: its reason, and behind it the ids of the books.
GAP = re.compile(rf"gap \(({'|'.join(re.escape(reason.value) for reason in GapReason)})(?:, .*)?\): resyncing (.*)", re.DOTALL)


@unique
class Kind(Enum):
    """Kind of an incident; the value is its name in JSON, and in the certificates of `verify`, which has not the last two."""

    SEQUENCE = "sequence"
    SEQUENCE_RESET = "sequence_reset"
    UPDATE_BEFORE_SNAPSHOT = "update_before_snapshot"
    IGNORED = "ignored"
    QUIET = "quiet"
    CHECKSUM = "checksum"
    CROSSED = "crossed"
    DISCONNECT = "disconnected"
    UNREADABLE = "unreadable"
    LOST = "not_captured"
    RESTART = "restart"
    OFF_GRID = "off_grid"
    REFUSED = "refused"
    NO_ROOM = "no_room"
    SILENT = "silent"  # the book stands still, and is LIVE again with the next message
    MUTE = "mute"


TITLES = {
    Kind.SEQUENCE: "a message is missing: the sequence broke",
    Kind.SEQUENCE_RESET: "the exchange's numbers began anew",
    Kind.UPDATE_BEFORE_SNAPSHOT: "an update came before any snapshot",
    Kind.IGNORED: "the stream stays behind the book",
    Kind.QUIET: "the stream of a quiet book was dead",
    Kind.CHECKSUM: "the exchange's checksum and ours differ",
    Kind.CROSSED: "the book stayed crossed or locked",
    Kind.DISCONNECT: "the connection was lost",
    Kind.UNREADABLE: "a message could not be read",
    Kind.LOST: "the capture itself lacks rows",
    Kind.RESTART: "no collector ran",
    Kind.OFF_GRID: "a level fits no grid",
    Kind.REFUSED: "the exchange refused the subscription",
    Kind.NO_ROOM: "there was no room for the book",
    Kind.SILENT: "the feed fell silent",
    Kind.MUTE: "the feed, or this book's part of it, went mute",
}
OF_REASONS = {
    BookReason.SEQUENCE_GAP: Kind.SEQUENCE,
    BookReason.BAD_CHECKSUM: Kind.CHECKSUM,
    BookReason.UNVERIFIED: Kind.CHECKSUM,
    BookReason.CROSSED: Kind.CROSSED,
    BookReason.DISCONNECTED: Kind.DISCONNECT,
    BookReason.SILENT: Kind.SILENT,
    BookReason.MUTE: Kind.MUTE,
    BookReason.UNREADABLE: Kind.UNREADABLE,
    BookReason.OFF_GRID: Kind.OFF_GRID,
    BookReason.REFUSED: Kind.REFUSED,
    BookReason.NO_ROOM: Kind.NO_ROOM,
}
OF_GAPS = {reason: Kind(reason.name.lower()) for reason in GapReason}
NUMBERED = {Kind.SEQUENCE, Kind.SEQUENCE_RESET, Kind.UPDATE_BEFORE_SNAPSHOT, Kind.IGNORED}  # shown by the exchange's numbers


@dataclass(frozen=True, slots=True)
class Incident:
    """One moment at which books could no longer be trusted. `symbol` is the one explained, `symbols` are all that it took.

    `symbol` is empty where no book was affected.
    """

    kind: Kind
    set_name: str
    exchange: str
    connection: int  # 0: the whole set
    time_ns: int
    symbol: str
    symbols: Sequence[str] = ()
    said: Sequence[str] = ()  # warnings of the collector at that moment

    id: str = ""  # as `verify` names it
    since_ns: int | None = None  # time of the last message in the book: what was lost was lost after it


def told(text: str, symbol_id: str) -> Kind | None:
    """Kind of the gap of a book that a warning tells of; None for other warnings."""
    match = GAP.fullmatch(text)
    return OF_GAPS[GapReason(match[1])] if match and symbol_id in match[2].split() else None


@unique
class Place(Enum):
    """Place of a row in the story."""

    LAST = "last"  # in the book before the fault, where it is not among those before
    BEFORE = "before"
    CULPRIT = "culprit"
    AFTER = "after"
    HEALING = "healing"


@dataclass(frozen=True, slots=True)
class FrameSeen:
    """One row of the capture. `direction` is received, sent, rest or session; `text` is cut, `length` is of the whole."""

    place: Place
    time_ns: int
    direction: str
    kind: str
    length: int
    text: str
    is_cut: bool
    natives: Sequence[str] = ()
    numbers: Mapping[str, int] = field(default_factory=dict)  # by the exchange's names
    follows: int | None = None  # number at which a book must stand for it to be the next one


@dataclass(frozen=True, slots=True)
class Expected:
    """Comparison of what was due with what came.

    `stood_at` is the exchange's number of the last message in the book, `follows` the one after which the culprit comes: it is the
    next message where they are equal. None where there is no such number.
    """

    rule: str  # means by which the exchange lets a book be proved
    stood_at: int | None
    follows: int | None
    came: Mapping[str, int]
    due: str  # in words
    found: str  # in words


@dataclass(frozen=True, slots=True)
class ChecksumSides:
    """Both sides of a checksum that differed: the exchange's number, ours, and the text that ours covers."""

    theirs: int | None
    ours: int
    text: str
    matched_ns: int | None  # time of the last message that matched before; None where none is known
    healed: int | None = None  # checksum of the healed book, which is `theirs` where nothing moved meanwhile


@dataclass(frozen=True, slots=True)
class BookSeen:
    """Book at an instant: its best levels, (price, size), best first, as exact decimals."""

    time_ns: int
    version: int
    state: str
    bids: Sequence[tuple[str, str]]
    asks: Sequence[tuple[str, str]]
    bid_count: int
    ask_count: int


@dataclass(frozen=True, slots=True)
class LevelChange:
    """Level that differs between two books; an empty size is no such level."""

    side: str  # bid or ask
    price: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Asked:
    """Request to the exchange between the fault and its healing, or the answer to one."""

    time_ns: int
    what: str  # sent, answer, failed, opened
    text: str
    status: int | None = None


@dataclass(frozen=True, slots=True)
class StateSeen:
    """State that readers saw from `time_ns` on; `lasted_ns` is None for one that the capture does not see end."""

    time_ns: int
    state: str
    reason: str
    lasted_ns: int | None


@dataclass(frozen=True, slots=True)
class Readers:
    """View of the book's readers: its states, and the records in its ring between the fault and the healing."""

    states: Sequence[StateSeen]
    records: Mapping[str, int]  # by kind, between the two
    live_records: int  # of those, the ones that call the book LIVE: 0 in normal operation


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a capture says of one incident."""

    incident: Incident
    asked_for: str  # what the person asked for, and which incident was taken
    source: str  # live, or the format from which it was imported
    file: str  # name of the file with the fault
    frames: Sequence[FrameSeen]
    left_out: int  # frames of the connection between those after the fault and the healing one
    expected: Expected
    checksum: ChecksumSides | None
    book_before: BookSeen | None
    book_failed: BookSeen | None  # with the culprit in it, where it was applied
    book_after: BookSeen | None  # healed
    changes: Sequence[LevelChange]  # between the book as it stood and the healed one, the best levels first
    changed_count: int  # all of them
    asked: Sequence[Asked]
    fault_ns: int
    noticed_ns: int  # when the book was marked
    healed_ns: int | None
    readers: Readers
    verdict: str

    @property
    def heal_ns(self) -> int | None:
        """Time from the mark to the healing."""
        return None if self.healed_ns is None else self.healed_ns - self.noticed_ns

    def row(self) -> dict[str, Any]:
        """Members of the JSON object."""
        incident = self.incident
        told = asdict(self)
        del told["incident"]
        return {
            "schema": SCHEMA,
            "version": VERSION,
            "id": incident.id,
            "kind": incident.kind.value,
            "set": incident.set_name,
            "exchange": incident.exchange,
            "symbol": incident.symbol or None,
            "symbols": list(incident.symbols),
            "connection": incident.connection,
            "time": moment(incident.time_ns, digits=9),
            "time_ns": incident.time_ns,
            "since_ns": incident.since_ns,
            "heal_ns": self.heal_ns,
            "said": list(incident.said),
            **_plain(told),
        }


def _plain(value: Any) -> Any:
    """The value with the names of its enums as they are told."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
