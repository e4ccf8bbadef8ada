"""Witness of one connection: is told what happens to its books, for `verify` and `explain`; a collector has none.

    Ingest, BookKeeper ─► Witness     only what is rare: a gap, a change of state, a checksum that failed, the best prices crossing

Of every frame it costs one look at whether there is a witness. Times are those of the frames (CLOCK_REALTIME), as they are handed in.
"""

from collections.abc import Mapping
from typing import Protocol

from alphapulse_cli.market.events import GapFound
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.wire.delta import BookReason, BookState


class WitnessedBook(Protocol):
    """What a witness may know of a book: parts of its BookKeeper."""

    @property
    def instrument(self) -> Instrument:
        """Instrument on its present grid."""

    @property
    def state(self) -> BookState:
        """Present state."""

    @property
    def reason(self) -> BookReason:
        """Reason of the state."""

    @property
    def version(self) -> int:
        """Present version."""

    @property
    def heard_ns(self) -> int:
        """Receive time of the last message that was applied, one with a wrong checksum aside; 0 for none."""


class WitnessedConnection(Protocol):
    """What a witness may know of a connection: parts of its Ingest."""

    @property
    def keepers(self) -> Mapping[str, WitnessedBook]:
        """Books by native symbol."""

    @property
    def heard_ns(self) -> int:
        """Receive time of the last frame; 0 for none."""


class Witness:
    """Witness that ignores everything: a base for those that do not. No method may change what it is shown."""

    def attached(self, ingest: WitnessedConnection) -> None:
        """Begin of the connection's ingest, whose books are all COLD."""

    def gap(self, gap: GapFound, receive_ns: int) -> None:
        """A gap was found, and counted once for each of its instruments; the states of its books change behind this."""

    def changed(self, keeper: WitnessedBook, receive_ns: int) -> None:
        """The state, its reason or the trading status of a book is another one."""

    def crossed(self, keeper: WitnessedBook, is_crossed: bool, receive_ns: int) -> None:
        """The best bid has come to be at or above the best ask, or is below it again."""

    def mismatched(self, keeper: WitnessedBook, theirs: int, ours: int, receive_ns: int) -> None:
        """The exchange's checksum differs from that of the book; the state of the book changes behind this."""

    def unreadable(self, what: str, receive_ns: int) -> None:
        """A frame was not understood and dropped. `what` is hostile text."""

    def repeated(self, receive_ns: int) -> None:
        """A frame equals the one before it on its connection, and is no heartbeat."""

    def stepped(self, before_ns: int, receive_ns: int) -> None:
        """The clock has gone back between two frames of the connection."""
