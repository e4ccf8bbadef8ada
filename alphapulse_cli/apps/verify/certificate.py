"""Certificate of recordings: pure data, made of what they hold alone, and its JSON.

    Certificate ─► SetCertificate of each set ─► files, counts, gaps (Incident) ─► BookCertificate of each symbol ─► suspect spans

There is nothing of a host, a clock or a run in it: two machines give the same bytes. In JSON, members are sorted, numbers are integers, or texts
where they may be larger than 2^53, and moments are RFC 3339 texts with Z and nanoseconds; `…_ns` is a duration.

**Versions.** A reader skips members that it does not know, so new ones need no new version. `version` changes when a reader of today could
misread, and a reader refuses a version newer than its own.
"""

import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any

import orjson

from alphapulse_cli.apps.verify.incidents import Incident
from alphapulse_cli.apps.verify.suspects import Suspect
from alphapulse_cli.errors import UsageError
from alphapulse_cli.exchanges.protocol import BlindSpot
from alphapulse_cli.readers.moments import moment, parse

SCHEMA, VERSION = "alphapulse.certificate", 1
VERIFIED, CLEAN, BROKEN = "verified", "clean", "broken"  # verdicts
MOMENTS = {  # members that are moments: times since 1970 in ns, RFC 3339 in JSON
    name: name.removesuffix("_ns") for name in ("from_ns", "to_ns", "time_ns", "since_ns", "healed_ns", "begun_ns", "proved_ns")
}
NAMES = {**MOMENTS, "set_name": "set"}  # names of members in JSON, where they are others than the attributes'


@dataclass(frozen=True, slots=True)
class FileEvidence:
    """File of a capture, by its name without a folder."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a file that cannot be read, or a file of a run that is not there."""

    name: str
    what: str
    is_end: bool  # an incomplete block at the end, which a writer leaves that was killed or still writes: no fault of the recording


@dataclass(frozen=True, slots=True)
class FeedDelay:
    """Feed delay: receive time minus the exchange's. Quantiles are those of a histogram, right within 3.2 %."""

    count: int = 0
    p50_ns: int | None = None
    p90_ns: int | None = None
    p99_ns: int | None = None
    p999_ns: int | None = None
    most_ns: int | None = None
    below_zero: int = 0


@dataclass(frozen=True, slots=True)
class SuspectSpan:
    """Span of a book's time, from ≤ time < to, in which it is suspect, for all reasons in `flags`."""

    from_ns: int
    to_ns: int
    flags: Suspect


@dataclass(frozen=True, slots=True)
class FinalBook:
    """Book as the last row left it.

    `sha256` is of its levels as text: best bid, best ask, next bid and so on as PRICE:SIZE in shortest decimals, joined by ":", asks with a
    minus before their size; where one side ends the other goes on. `book_hash` is the hash of the record CHECK, of ticks and lots with these decimals.
    """

    state: str
    reason: str
    bids: int
    asks: int
    sha256: str
    book_hash: str
    price_decimals: int
    size_decimals: int


@dataclass(frozen=True, slots=True)
class BookCertificate:
    """Certificate of one book. Its time begins with its first snapshot; each nanosecond is in one part of `time`, and the parts add up to it.

    `verified` is proved by sequence or checksum outside its suspect spans, on `verified_levels` levels a side (None: all); what no proof
    covers is `clean`: nothing was seen. `broken`: `problems` say why.
    """

    symbol: str
    verdict: str
    verified_levels: int | None
    problems: tuple[str, ...]
    begun_ns: int  # when the recording first asked for it
    from_ns: int | None  # first snapshot; None where none came
    to_ns: int
    whole_ns: int
    valid_ns: int
    stale_ns: int  # of silence: nothing heard, or its connection lost
    crossed_ns: int
    time: Mapping[str, int]  # ns by the weightiest flag, "valid" for none
    counts: Mapping[str, int]
    proved_ns: int | None  # last message whose checksum matched, or REST answer that was compared
    final: FinalBook
    suspects: tuple[SuspectSpan, ...]
    suspects_left_out: int


@dataclass(frozen=True, slots=True)
class SetCertificate:
    """Certificate of the recording of one set."""

    set_name: str
    exchange: str
    mode: str
    depth: int
    channels: tuple[str, ...]
    source: str
    symbols: tuple[str, ...]
    validates: str
    proofs: tuple[str, ...]
    proof_depth: int
    blind_spots: tuple[BlindSpot, ...]
    from_ns: int
    to_ns: int
    runs: int
    connections: int
    rows: int
    counts: Mapping[str, int]
    duplicates: int  # frames equal to the one before on their connection, heartbeats aside
    clock_steps: int  # times at which the clock went back between two frames of a connection
    clock_step_ns: int  # largest of these steps
    rows_lost: int  # of which the recording itself says that they are missing
    feed_delay: FeedDelay
    files: tuple[FileEvidence, ...]
    damages: tuple[Damage, ...]
    problems: tuple[str, ...]
    gaps: tuple[Incident, ...]
    gaps_left_out: int
    books: tuple[BookCertificate, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing in it is broken."""
        return not self.problems and all(book.verdict != BROKEN for book in self.books)


@dataclass(frozen=True, slots=True)
class Certificate:
    """Certificate of recordings."""

    sets: tuple[SetCertificate, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing in it is broken."""
        return all(one.holds for one in self.sets)

    def to_json(self) -> bytes:
        """Write it as JSON: sorted members, indented, a line end behind it."""
        members = {"schema": SCHEMA, "version": VERSION, "holds": self.holds, **_members(self)}
        return orjson.dumps(members, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def read_certificate(data: bytes) -> Certificate:
    """Read the JSON of a certificate. UsageError for what is none, lacks a member, or is of a newer version."""
    try:
        given = orjson.loads(data)
    except orjson.JSONDecodeError:
        given = None
    if not isinstance(given, dict) or given.get("schema") != SCHEMA:
        raise UsageError("not a certificate", "certificates are made by `alphapulse verify --json`")
    version = given.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version > VERSION:
        raise UsageError(
            f"a certificate of version {str(version)[:20]}, and this alphapulse reads {VERSION}", "pip install -U alphapulse"
        )
    if given.get("kind") == "live":
        raise UsageError(
            "a certificate of running sets, for which no frames were seen", "jq reads it; `alphapulse verify live` makes it"
        )
    try:
        found = _value(Certificate, given)
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
        raise UsageError(f"a certificate that cannot be right: {str(error)[:100]}", "it was cut short or changed") from None
    assert isinstance(found, Certificate)
    return found


def _members(value: object) -> dict[str, Any]:
    assert is_dataclass(value)
    return {NAMES.get(one.name, one.name): _plain(one.name, getattr(value, one.name)) for one in fields(value)}


def _plain(name: str, value: Any) -> Any:
    """Value as JSON has it."""
    if name in MOMENTS and value is not None:
        return moment(value, digits=9)
    if isinstance(value, Suspect):
        return int(value)
    if isinstance(value, tuple | list):
        return [_members(each) if is_dataclass(each) else each for each in value]
    return _members(value) if is_dataclass(value) else value


def _value(kind: Any, given: Any, name: str = "") -> Any:
    """Value of a type out of JSON. KeyError, TypeError or ValueError for what does not fit."""
    if isinstance(kind, types.UnionType):
        [one] = [each for each in typing.get_args(kind) if each is not type(None)]
        return None if given is None else _value(one, given, name)
    if name in MOMENTS:
        return parse(given)
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (tuple, Sequence):
        return tuple(_value(parts[0], each) for each in _of(list, given, name))
    if origin is Mapping:
        return {str(key): _value(parts[1], each) for key, each in _of(dict, given, name).items()}
    if kind is Suspect:
        return Suspect(_of(int, given, name))
    if is_dataclass(kind):
        hints, members = typing.get_type_hints(kind), _of(dict, given, name)
        found = {}
        for one in fields(kind):
            key = NAMES.get(one.name, one.name)
            if key in members or (one.default is MISSING and one.default_factory is MISSING):
                found[one.name] = _value(hints[one.name], members[key], one.name)
        made: Any = kind
        return made(**found)
    return _of(kind, given, name)


def _of(kind: type, given: Any, name: str) -> Any:
    if not isinstance(given, kind) or (kind is int and isinstance(given, bool)):
        raise TypeError(f"{name or 'a member'} is no {kind.__name__}")
    return given
