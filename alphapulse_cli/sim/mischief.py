"""Fault injection ("mischief"): named, seeded and logged faults, so that a test knows which faults its client must have noticed.

    "gap,checksum:0.01,stall:0.001:6,mute:ETH-USD"      kind[:SYMBOL][:probability per book update[:seconds]]

    market step ─► encoder ─► frames of one update ─► Mischief.mangle ─► frames as this connection sends them
                                                          └► Injection(at_ns, kind, connection, symbol), for the log

A fault applies to one book update of one connection. The true book never changes: a client must detect and repair its own copy.

Kinds that damage the frames of an update; snapshots, acknowledgements and heartbeats pass untouched:

  gap         the frame is not sent
  duplicate   the frame is sent twice
  reorder     the frame is sent after the next update of its symbol
  checksum    the frame's checksum is wrong; no effect on protocols without checksums
  offgrid     a price in the frame is two decimals finer than the grid, by a hundredth of a tick
  malformed   a price of a changed level is an object: valid JSON, not a book
  bomb        a price of a changed level is 1e-30
  oversize    a frame larger than any client should accept is sent before it
  garbage     an unparseable frame is sent before it
  unknown     a well-formed frame of an unknown type is sent before it
  flood       the market makes a burst of steps at once, all sent

Kinds that affect the connection:

  stall       nothing is sent for some seconds, then all queued frames
  drip        one frame each half second for some seconds, then all queued frames
  mute        no more frames are sent, pings are answered; with a symbol: no frames of its book and trades until the client
              resubscribes to the book
  half-open   nothing is sent or read any more, pings included; the TCP connection stays open
  disconnect  the connection is aborted without a close frame
  rst         the same with a TCP reset
  refuse      the client's next subscription is refused by the exchange's rate limit
  lost-ack    the client's next subscription is ignored

Kinds that affect the whole exchange:

  sequence-reset   sequence numbers restart, on the same connection
  old-snapshot     the next REST snapshot is the previous one
  late-snapshot    the next REST snapshot is sent some seconds after its creation
  ahead-snapshot   the next REST snapshot has a sequence number far ahead of the stream
  metadata         the minimum order size of the symbol doubles
  halted           the symbol's market takes no orders and is frozen for some seconds; announced as by the exchange
  handshake-401, -403, -418, -429, -503   the connection is aborted, and the next handshake gets this HTTP status; 418 and 429 with
                   a Retry-After
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from random import Random

from alphapulse_cli.errors import UsageError
from alphapulse_cli.exchanges.protocol import Change
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import NumberError, to_text, to_ticks

OF_FRAMES = ("gap", "duplicate", "reorder", "checksum", "offgrid", "malformed", "bomb", "oversize", "garbage", "unknown", "flood")
OF_CONNECTIONS = ("stall", "drip", "mute", "half-open", "disconnect", "rst", "refuse", "lost-ack")
HANDSHAKES = {f"handshake-{status}": status for status in (401, 403, 418, 429, 503)}
OF_EXCHANGES = ("sequence-reset", "old-snapshot", "late-snapshot", "ahead-snapshot", "metadata", "halted", *HANDSHAKES)
KINDS = (*OF_FRAMES, *OF_CONNECTIONS, *OF_EXCHANGES)
TIMED = frozenset({"stall", "drip", "late-snapshot", "halted", "handshake-418", "handshake-429"})
DEFAULT_PROBABILITY = 0.01
DEFAULT_STALL_S, MAX_STALL_S = 6.0, 3600.0
FLOOD_STEPS = 500
MAX_ARMED = 1000
OVERSIZE_BYTES = (64 << 20) + 1
GARBAGE_FRAME = b'{"garbage": [1, 2'
UNKNOWN_FRAME = b'{"type":"mystery","method":"mystery","stream":"mystery","e":"mystery","data":{"e":"mystery","E":1}}'
SYMBOL = re.compile(r"[A-Z0-9]+-[A-Z0-9]+")
NUMBER_TOKEN = re.compile(rb'(?:(?<=")|(?<=[\[,: ]))([0-9]+(?:\.[0-9]+)?)(?=["\],} ])')  # between quotes, or a JSON number


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of fault: its probability per book update, duration in seconds, and symbol."""

    kind: str
    probability: float = DEFAULT_PROBABILITY
    seconds: float = DEFAULT_STALL_S
    symbol: str = ""  # "": any symbol


@dataclass(frozen=True, slots=True)
class Injection:
    """Log entry of one injected fault: its time, its kind, the connection (numbered from 1), the symbol of the update."""

    at_ns: int
    kind: str
    connection: int
    symbol: str


def parse_mischief(text: str) -> list[Scenario]:
    """Parse scenarios, as in "gap,checksum:0.01"; [] for "". UsageError, with the nearest kinds, for other texts."""
    return [_parse_scenario(word.strip()) for word in text.split(",")] if text.strip() else []


def check_kind(kind: str) -> str:
    """Check a kind of mischief and return it. UsageError, with the nearest kinds, for an unknown one."""
    if kind not in KINDS:
        near = get_close_matches(kind, KINDS, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"kinds are: {', '.join(KINDS)}"
        raise UsageError(f"unknown mischief: {kind[:40]!r}", hint)
    return kind


def _parse_scenario(word: str) -> Scenario:
    kind, *numbers = word.split(":")
    check_kind(kind)
    symbol = numbers.pop(0) if numbers and SYMBOL.fullmatch(numbers[0]) else ""
    if len(numbers) > (2 if kind in TIMED else 1):
        raise UsageError(
            f"too many parts in mischief {word[:40]!r}", "write kind:probability, and for a stall kind:probability:seconds"
        )
    probability = _parse_number(word, numbers[0], 1.0) if numbers else DEFAULT_PROBABILITY
    seconds = _parse_number(word, numbers[1], MAX_STALL_S) if len(numbers) > 1 else DEFAULT_STALL_S
    return Scenario(kind, probability, seconds, symbol)


def _parse_number(word: str, text: str, bound: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0.0 <= number <= bound:
        raise UsageError(
            f"not a number of 0 to {bound:g} in {word[:40]!r}: {text[:20]!r}", "write it as in gap:0.01 or stall:0.001:6"
        )
    return number


class Mischief:
    """Fault injection of one connection: draws the fault of each update, and carries out those that alter frames."""

    def __init__(self, scenarios: Sequence[Scenario], seed: int) -> None:
        self._scenarios = scenarios
        self._random = Random(seed)  # noqa: S311 - mischief, not a secret
        self._armed: list[Scenario] = []
        self._held_back: dict[str, list[bytes]] = {}

    def arm(self, kind: str, symbol: str = "", seconds: float = DEFAULT_STALL_S) -> None:
        """Arm a fault of `kind` for the next update (of `symbol`, or of any). UsageError beyond MAX_ARMED."""
        if len(self._armed) == MAX_ARMED:
            raise UsageError(
                f"{MAX_ARMED} injected faults are pending already", "let the market step: each next book update takes one"
            )
        self._armed.append(Scenario(check_kind(kind), 1.0, seconds, symbol))

    def disarm(self) -> None:
        """Cancel armed faults that have not been injected yet."""
        self._armed.clear()

    def end(self) -> None:
        """Stop fault injection; a frame held back by `reorder` is sent with the next update of its symbol."""
        self.disarm()
        self._scenarios = ()

    def draw(self, symbol: str) -> Scenario | None:
        """Draw the fault of this update, at most one: the first armed one, else one drawn by probability; None for no fault."""
        for scenario in self._armed:
            if scenario.symbol in ("", symbol):
                return scenario
        for scenario in self._scenarios:
            if scenario.symbol in ("", symbol) and self._random.random() < scenario.probability:
                return scenario
        return None

    def spend(self, drawn: Scenario) -> None:
        """Disarm a scenario that was injected."""
        self._armed = [scenario for scenario in self._armed if scenario is not drawn]

    def mangle(
        self, kind: str, frames: Sequence[bytes], symbol: str, changes: Sequence[Change], instrument: Instrument
    ) -> list[bytes]:
        """Apply the fault `kind` to the frames of one update; "" and kinds of the connection leave them unchanged."""
        before = self._held_back.pop(symbol, []) if frames else []
        if kind == "gap":
            mangled = list(frames[:-1])
        elif kind == "duplicate":
            mangled = [*frames, *frames[-1:]]
        elif kind == "reorder":
            self._held_back[symbol] = list(frames)
            mangled = []
        elif kind == "offgrid":
            mangled = _off_grid(frames, changes, instrument)
        elif kind in ("malformed", "bomb"):
            mangled = _renumbered(frames, changes, instrument, b"{}" if kind == "malformed" else b"1e-30")
        elif kind == "oversize":
            mangled = [b" " * OVERSIZE_BYTES, *frames]
        elif kind == "garbage":
            mangled = [GARBAGE_FRAME, *frames]
        elif kind == "unknown":
            mangled = [UNKNOWN_FRAME, *frames]
        else:
            mangled = list(frames)
        return mangled + before


def _off_grid(frames: Sequence[bytes], changes: Sequence[Change], instrument: Instrument) -> list[bytes]:
    """Frames with the first price of a changed level made a hundredth of a tick larger."""
    found = _first_price(frames, changes, instrument)
    if found is None:
        return list(frames)
    _, match = found
    ticks = to_ticks(match[1].decode(), instrument.price_decimals)
    return _replaced(frames, found, to_text(100 * ticks + 1, instrument.price_decimals + 2).encode())


def _renumbered(frames: Sequence[bytes], changes: Sequence[Change], instrument: Instrument, number: bytes) -> list[bytes]:
    """Frames with the first price of a changed (not removed) level replaced by `number`."""
    kept_levels = [change for change in changes if change[1]]  # a removal at an impossible price would have no effect
    found = _first_price(frames, kept_levels, instrument)
    return list(frames) if found is None else _replaced(frames, found, number)


def _replaced(frames: Sequence[bytes], found: tuple[int, re.Match[bytes]], number: bytes) -> list[bytes]:
    i, match = found
    return [*frames[:i], frames[i][: match.start(1)] + number + frames[i][match.end(1) :], *frames[i + 1 :]]


def _first_price(frames: Sequence[bytes], changes: Sequence[Change], instrument: Instrument) -> tuple[int, re.Match[bytes]] | None:
    """Index of the frame, and match in it, of the first price of a changed level; None if there is none."""
    wanted = {ticks for ticks, _, _ in changes}
    for i, frame in enumerate(frames):
        for match in NUMBER_TOKEN.finditer(frame):
            try:
                ticks = to_ticks(match[1].decode(), instrument.price_decimals)
            except NumberError:
                continue
            if ticks in wanted:
                return i, match
    return None
