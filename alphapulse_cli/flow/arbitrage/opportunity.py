"""Opportunity, from birth to death, and the events reported of it: an Event is its state at a moment."""

from base64 import b32encode
from enum import StrEnum, unique
from hashlib import blake2b
from typing import NamedTuple

from alphapulse_cli.flow.arbitrage.candidate import Candidate, Finding, RejectReason
from alphapulse_cli.flow.arbitrage.market import Standing

ID_BYTES = 5  # eight characters


@unique
class EventKind(StrEnum):
    """Kind of an event."""

    OPENED = "opened"
    CHANGED = "changed"
    CLOSED = "closed"


class Opportunity:
    """Opportunity, from birth to death. The detector changes it; an Event holds its state at a moment."""

    __slots__ = (
        "_id",
        "_marks",
        "_turn",
        "birth",
        "born_ns",
        "candidate",
        "changes",
        "finding",
        "is_birth_seen",
        "last_ns",
        "note",
        "peak",
        "peak_ns",
        "pending",
        "reported_ns",
    )

    def __init__(
        self, candidate: Candidate, finding: Finding, now_ns: int, is_birth_seen: bool, former: "Opportunity | None"
    ) -> None:
        self.candidate = candidate
        self._marks = [market.mark() for market in candidate.markets]
        self._turn: int = former._turn + 1 if former is not None and former._marks == self._marks else 0  # noqa: SLF001 one of us
        self._id = ""
        self.born_ns = self.last_ns = self.peak_ns = self.reported_ns = now_ns
        self.is_birth_seen = is_birth_seen
        self.birth = self.peak = self.finding = finding
        self.note = candidate.note
        self.changes = 0
        self.pending = False

    @property
    def standings(self) -> tuple[Standing, ...]:
        """States of its books at birth."""
        return tuple(Standing(*mark) for mark in self._marks)

    @property
    def id(self) -> str:
        """Id of eight letters and digits, the same everywhere for the same birth.

        It is made of the books, their versions and their messages' receive times.
        """
        if not self._id:
            self._id = identify(self.candidate.kind, self.standings, self._turn)
        return self._id


class Event(NamedTuple):
    """Event of an opportunity, with its state then. `why` is the reason of a close; `last_ns` is the time of its last change."""

    kind: EventKind
    at_ns: int
    opportunity: Opportunity  # only its id, candidate, birth and standings are constant
    finding: Finding
    peak: Finding
    peak_ns: int
    last_ns: int
    changes: int
    note: str
    why: RejectReason | None = None


def identify(kind: str, standings: tuple[Standing, ...], turn: int) -> str:
    """Id of an opportunity; `turn` numbers opportunities opened by identical books."""
    identity = "|".join([kind, str(turn), *(f"{one.name}:{one.symbol}@{one.version}@{one.timestamp_ns}" for one in standings)])
    return b32encode(blake2b(identity.encode(), digest_size=ID_BYTES).digest()).decode().lower()
