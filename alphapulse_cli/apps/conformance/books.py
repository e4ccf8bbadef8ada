"""Checks of books and trades: exact while all goes well, never LIVE and wrong when frames are lost, healed afterwards."""

from collections.abc import Callable, Sequence
from itertools import count

from alphapulse_cli.apps.conformance.finding import DoesNotApply, Fault, require
from alphapulse_cli.apps.conformance.frames import book_events
from alphapulse_cli.apps.conformance.healing import MakeLine, heal, require_right, start_live, states
from alphapulse_cli.apps.conformance.line import Line
from alphapulse_cli.market.events import Snapshot
from alphapulse_cli.market.requests import Send

ROUND_TRIP_STEPS = 300
FAULTS = 6  # injections of each kind
CHECKSUM_WITHIN = 400  # steps in which an exchange with checksums sends one
FOUND_WITHIN = 40  # steps of the symbol in which a lost frame must have been noticed


def round_trip(make: MakeLine) -> str:
    """The books of the decoder equal the encoder's market after every step; trades arrive once, exact, by the taker's side."""
    with make() as line:
        start_live(line)
        first = {symbol: len(line.published_trades(symbol)) for symbol in line.symbols}
        known = {symbol: _last_trade_id(line, symbol) for symbol in line.symbols}
        for step in range(ROUND_TRIP_STEPS):
            line.step()
            require_right(line, f"after step {step + 1}")
            require(line.is_live(), f"after step {step + 1} of a faultless run a book is not LIVE: {states(line)}")
        line.pass_time(5)
        require_right(line, "at the end")
        trades = 0
        for symbol in line.symbols:
            made = [
                (trade.trade_id, trade.price_ticks, trade.size_lots, int(trade.side))
                for trade in line.market.recent_trades(symbol, 10**6)
                if int(trade.trade_id) > known[symbol]
            ]
            got = line.published_trades(symbol)[first[symbol] :]
            require(_same_trades(made, got), f"{symbol}: {_trades_difference(made, got)}")
            trades += len(made)
        require(trades, "no trade happened in the run: the market must be given a longer one")
        return f"{ROUND_TRIP_STEPS} steps of {len(line.symbols)} books, {trades} trades, {len(line.frames):,} frames"


def _last_trade_id(line: Line, symbol: str) -> int:
    past = line.market.recent_trades(symbol, 1)
    return int(past[-1].trade_id) if past else -1


def _same_trades(made: Sequence[tuple[str, int, int, int]], got: Sequence[tuple[str, int, int, int]]) -> bool:
    """Whether the trades are the same. Ids count where the exchange's are the market's own numbers."""
    if all(trade[0] in {one[0] for one in made} for trade in got):
        return list(made) == list(got)
    return [trade[1:] for trade in made] == [trade[1:] for trade in got]


def _trades_difference(made: Sequence[tuple[str, int, int, int]], got: Sequence[tuple[str, int, int, int]]) -> str:
    if len(made) != len(got):
        return f"{len(got)} trades arrived of {len(made)}"
    at = next((at for at, pair in enumerate(zip(made, got, strict=True)) if pair[0][1:] != pair[1][1:]), 0)
    return f"trade {at + 1} arrived as {got[at]} (id, ticks, lots, side: 0 buy, 1 sell), and was {made[at]}"


def lost_frame(make: MakeLine) -> str:
    """A book frame that does not arrive is noticed, and the book heals."""
    return _with_faults(make, "the lost frame", lambda _: [])


def doubled_frame(make: MakeLine) -> str:
    """A book frame that arrives twice leaves no wrong book that is LIVE."""
    return _with_faults(make, "the doubled frame", lambda frames: [*frames, *frames], must_notice=False)


def swapped_frames(make: MakeLine) -> str:
    """Two book frames of a symbol that arrive in the wrong order leave no wrong book that is LIVE."""
    held: list[bytes] = []

    def swap(frames: Sequence[bytes]) -> Sequence[bytes]:
        held.extend(frames)
        return []

    def late(frames: Sequence[bytes]) -> Sequence[bytes]:
        if not frames:
            return frames
        swapped, held[:] = [*frames, *held], []
        return swapped

    return _with_faults(make, "the swapped frames", swap, late, must_notice=False)


def _with_faults(
    make: MakeLine,
    what: str,
    fault: Callable[[Sequence[bytes]], Sequence[bytes]],
    then: Callable[[Sequence[bytes]], Sequence[bytes]] | None = None,
    *,
    must_notice: bool = True,
) -> str:
    with make() as line:
        if not line.facts.shows_loss:
            raise DoesNotApply(f"nothing in a frame of {line.facts.name} shows a loss; a crossed book and a new connection heal it")
        start_live(line)
        for number in range(FAULTS):
            symbol = line.symbols[number % len(line.symbols)]
            line.left_live.clear()
            _strike(line, symbol, fault)
            for at in range(FOUND_WITHIN):
                line.step(symbol, then if at == 0 or then is None else None)
            require(
                not must_notice or symbol in line.left_live,
                f"{symbol}: {what} was not noticed in {FOUND_WITHIN} steps: the book stayed LIVE",
            )
            require_right(line, f"{FOUND_WITHIN} steps after {what}")
            heal(line, what)
        return f"{FAULTS} times; " + ("each noticed, healed" if must_notice else "each harmless, or noticed and healed")


def _strike(line: Line, symbol: str, fault: Callable[[Sequence[bytes]], Sequence[bytes]]) -> None:
    """Make steps until one has frames that the fault could strike."""
    for _ in range(200):
        if line.step(symbol, lambda frames: fault(frames) if frames else frames):
            return
    raise Fault(f"the encoder made no book frame of {symbol} in 200 steps of its market")


def wrong_checksum(make: MakeLine) -> str:
    """A wrong checksum of the exchange is noticed, and the book heals."""
    with make() as line:
        if line.decoder.book_checksum is None:
            raise DoesNotApply("the exchange sends no checksums")
        start_live(line)
        for number in range(FAULTS):
            symbol = line.symbols[number % len(line.symbols)]
            line.left_live.clear()
            line.encoder.spoil_checksum = True
            for _ in range(CHECKSUM_WITHIN):
                line.step(symbol)
                if not line.encoder.spoil_checksum:
                    break
            else:
                raise DoesNotApply(f"the encoder sent no checksum in {CHECKSUM_WITHIN} steps of the market")
            require(symbol in line.left_live, f"{symbol}: a book with a wrong checksum stayed LIVE")
            heal(line, "a wrong checksum")
        return f"{FAULTS} times, each noticed, healed"


def new_connection(make: MakeLine) -> str:
    """On a new connection the decoder subscribes again, and its books are right."""
    with make() as line:
        start_live(line)
        for _ in range(3):
            line.step()
            line.reconnect()
            heal(line, "a new connection")
        return "3 connections"


def resync_on_request(make: MakeLine) -> str:
    """`resync` of a good book brings a fresh one."""
    if all(kind is Snapshot for kinds in book_events(make).values() for kind in kinds):
        raise DoesNotApply("every book frame is a snapshot: the next one is fresh")
    with make() as line:
        start_live(line)
        for symbol in line.symbols:
            before = len(line.requests)
            line.decoder.resync(line.keepers[symbol].instrument)
            line.carry_out()
            require(len(line.requests) > before, "`resync` queues no request")
            for _ in range(20):
                line.step()
            heal(line, "a resync")
        return f"{len(line.symbols)} books"


def refused_for_now(make: MakeLine) -> str:
    """A subscription refused by the rate limit is requested again."""
    return _with_a_send(make, lambda line, frame: line.encoder.refuse_for_now(frame, line.now_ns), "a refusal for now")


def lost_request(make: MakeLine) -> str:
    """A subscription that the exchange never answers is requested again."""
    return _with_a_send(make, lambda line, frame: (), "a request without an answer")  # noqa: ARG005


def _with_a_send(make: MakeLine, answer: Callable[[Line, bytes], Sequence[bytes]], what: str) -> str:
    """Run the opening once for each of its requests, with that request failing."""
    with make() as line:
        sends = [request for request in line.requests if isinstance(request, Send)]
    for number in range(len(sends)):
        line, sent = make(), count()

        def spoil(frame: bytes, line: Line = line, number: int = number, sent: "count[int]" = sent) -> Sequence[bytes] | None:
            return answer(line, frame) if next(sent) == number else None

        line.fault_of_sends = spoil
        with line:
            heal(line, f"{what} ({sends[number].frame[:100].decode(errors='replace')})")
    return f"each of the {len(sends)} requests of an opening"


def quiet_book(make: MakeLine) -> str:
    """`confirm` of a quiet book proves it, and it stays LIVE."""
    with make() as line:
        if not hasattr(line.decoder, "confirm"):
            raise DoesNotApply("the decoder has no `confirm`")
        start_live(line)
        for symbol in line.symbols:
            before = len(line.requests)
            line.left_live.clear()
            line.decoder.confirm(line.keepers[symbol].instrument)
            line.carry_out()
            require(len(line.requests) > before, "`confirm` queues no request")
            line.pass_time(20)
            for _ in range(20):
                line.step()
            require(not line.left_live, f"the check of a quiet book made {' '.join(sorted(line.left_live))} leave LIVE")
            require_right(line, "after the check of a quiet book")
        return f"{len(line.symbols)} books"
