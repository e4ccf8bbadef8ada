"""Words of an explanation: what was due, what came, and the verdict in a sentence or two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alphapulse_cli.apps.explain.evidence import NUMBERED, BookSeen, ChecksumSides, Evidence, FrameSeen, Kind

OF_SEQUENCES = {
    Kind.SEQUENCE_RESET: "the exchange's numbers went back, so what happened since is not told by them",
    Kind.UPDATE_BEFORE_SNAPSHOT: "an update came before any snapshot, so the book it belongs to is not known",
    Kind.IGNORED: "too many updates in a row are older than the book, so the book is ahead of its stream",
}
MS = 1_000_000
MOST_SAID = 300  # characters of what the collector said


@dataclass(frozen=True, slots=True)
class Facts:
    """Knowledge at the moment of the fault."""

    kind: Kind
    stood_at: int | None
    culprit: FrameSeen | None
    checksum: ChecksumSides | None
    book: BookSeen | None
    last_ns: int | None  # of the last frame before
    noticed_ns: int
    members: Mapping[str, Any]  # of a culprit that is no frame
    said: Sequence[str]


def lasting(ns: int) -> str:
    """Length of time for people: 0.213 ms, 213 ms, 1.234 s, 2 min 3 s, 5 h 12 min."""
    if ns < 10 * MS:
        return f"{ns / 1e6:.3f} ms"
    if ns < 1000 * MS:
        return f"{ns // MS} ms"
    if ns < 60_000 * MS:
        return f"{ns / 1e9:.3f} s"
    seconds = ns // 1_000_000_000
    return f"{seconds // 60} min {seconds % 60} s" if seconds < 3600 else f"{seconds // 3600} h {seconds % 3600 // 60} min"


def numbers_text(numbers: Mapping[str, int]) -> str:
    """Numbers of a frame: "U 12, u 15"."""
    return ", ".join(f"{name} {value}" for name, value in numbers.items())


def due_and_found(facts: Facts) -> tuple[str, str]:
    """Words for what was due, and for what came instead."""
    said = "; ".join(facts.said)[:MOST_SAID]
    numbers = dict(facts.culprit.numbers) if facts.culprit is not None else {}
    match facts.kind:
        case kind if kind in NUMBERED:
            due = "the message that follows the last one"
            if facts.stood_at is not None:
                due = f"the message that follows number {facts.stood_at}"
            follows = None if facts.culprit is None else facts.culprit.follows
            came = f"one that follows number {follows}: " if follows is not None else ""
            return due, came + numbers_text(numbers) if numbers else said
        case Kind.CHECKSUM if facts.checksum is not None:
            theirs = "unknown" if facts.checksum.theirs is None else facts.checksum.theirs
            return f"a book with the checksum {theirs}", f"ours has {facts.checksum.ours}"
        case Kind.CROSSED if facts.book is not None and facts.book.bids and facts.book.asks:
            bid, ask = facts.book.bids[0][0], facts.book.asks[0][0]
            how = "equal to" if bid == ask else "above"
            since = "" if facts.culprit is None else f", for {lasting(max(facts.noticed_ns - facts.culprit.time_ns, 0))}"
            return "a best bid below the best ask", f"the best bid {bid} {how} the best ask {ask}{since}"
        case Kind.DISCONNECT:
            return "an open connection", f"its end: {facts.members.get('reason') or 'no reason given'}"[:MOST_SAID]
        case Kind.RESTART:
            return "a collector that runs", "the end of its run"
        case Kind.SILENT | Kind.MUTE:
            quiet = "" if facts.last_ns is None else f" for {lasting(max(facts.noticed_ns - facts.last_ns, 0))}"
            what = "the feed" if facts.kind is Kind.SILENT else "the feed, or this book's part of it"
            return f"messages of {what}", said or f"nothing{quiet}"
        case Kind.LOST:
            rows, size, why = (facts.members.get(name) for name in ("rows", "bytes", "reason"))
            return "every row that was received", f"{rows} rows, {size} bytes were not captured: {why}"[:MOST_SAID]
        case Kind.UNREADABLE:
            return "a message of the exchange's protocol", said
        case _:
            return "a message that the book can take in", said


def verdict(one: Evidence) -> str:
    """The verdict: what happened, and what it meant for readers."""
    return f"{_cause(one)} {_outcome(one)}"


def _cause(one: Evidence) -> str:
    incident, expected = one.incident, one.expected
    name = f"{incident.set_name}:{incident.symbol}" if incident.symbol else incident.set_name
    match incident.kind:
        case Kind.SEQUENCE_RESET | Kind.UPDATE_BEFORE_SNAPSHOT | Kind.IGNORED:
            stood = "" if expected.stood_at is None else f" The book stood at number {expected.stood_at}."
            came = f" The message has {numbers_text(expected.came)}." if expected.came else ""
            return f"{name}: {OF_SEQUENCES[incident.kind]}.{stood}{came}"
        case Kind.SEQUENCE:
            if expected.stood_at is not None and expected.came:
                follows = "" if expected.follows is None else f"follows number {expected.follows} "
                told = f"({numbers_text(expected.came)})" if follows else f"has {numbers_text(expected.came)}"
                return (
                    f"The book of {name} stood at number {expected.stood_at}, and the next message {follows}{told}: "
                    "at least one message in between never came."
                )
            return f"A message of {name} does not follow the one before it: at least one in between never came."
        case Kind.CHECKSUM if one.checksum is not None:
            theirs = "another one" if one.checksum.theirs is None else one.checksum.theirs
            is_proved = one.checksum.healed is not None and one.checksum.healed == one.checksum.theirs
            proof = " The healed book has the announced one: ours was wrong, the exchange's was right." if is_proved else ""
            since = ""
            if one.checksum.matched_ns is not None:
                ago = lasting(max(one.noticed_ns - one.checksum.matched_ns, 0))
                since = f" They last agreed {ago} before: what was lost or wrong came in between."
            both = f"has the checksum {theirs}, ours has {one.checksum.ours}"
            return f"After this message the exchange's book of {name} {both}.{since}{proof}"
        case Kind.CROSSED:
            return f"In the book of {name} there was {expected.found}: no such market lasts, so a message was lost."
        case Kind.DISCONNECT:
            return f"The connection ended ({_reason(expected.found)}), and what {name} did from then on was not told."
        case Kind.SILENT:
            return f"The exchange sent nothing at all on this connection: {expected.found}."
        case Kind.RESTART:
            return f"The collector's run ended here, and the next one began later: what {name} did in between is not known."
        case Kind.QUIET:
            was = f"its stream was dead ({expected.found})"
            return f"Nothing had come of {name} for long, and what the exchange holds differs from our book: {was}."
        case Kind.MUTE:
            return f"Nothing more came of {name}, and the exchange did not answer for it: {expected.found}."
        case Kind.LOST:
            return f"The exchange is not at fault: the capture itself lacks rows here ({expected.found})."
        case Kind.UNREADABLE:
            return f"A message could not be read: {expected.found}."
        case _:
            return f"The book of {name} could not be kept: {expected.found}."


def _reason(found: str) -> str:
    return found.removeprefix("its end: ")


def _outcome(one: Evidence) -> str:
    if not one.incident.symbol:
        return "It cost no book: none that was good was taken out of use."
    state = one.readers.states[0].state if one.readers.states else "SYNCING"
    marked = f"The book was {state}"
    delay_ns = one.noticed_ns - one.fault_ns
    if delay_ns > MS:
        marked = f"{lasting(delay_ns)} later the book was {state}"
    if one.healed_ns is None:
        return f"{marked}, and it was not healed before the capture ends."
    heal_ns = one.healed_ns - one.noticed_ns
    if not heal_ns:
        return f"{marked} and healed by the same message."
    shown = (
        "readers were never told LIVE meanwhile"
        if not one.readers.live_records
        else f"{one.readers.live_records} records meanwhile called it LIVE, which must not happen"
    )
    return (
        f"{marked} at once and LIVE again {lasting(heal_ns)} later; {shown}."
        if delay_ns <= MS
        else (f"{marked}, and LIVE again {lasting(heal_ns)} after that; {shown}.")
    )
