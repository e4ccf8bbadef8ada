"""Conformance kit: the checks that every exchange's package must pass, our own and plug-ins alike.

    for finding in conformance.check(exchanges.get("myexchange")):
        print(finding.mode, finding.check, finding.verdict.value, finding.detail)

Encoder and decoder are joined in memory (`line`), with the collector's own ingest behind the decoder, and one fault at a time is
put between them. Nothing is random but by the seed, nothing waits, no port is opened. A check either passes, fails with a sentence
for the package's author, or says why it does not apply to the feed.
"""

from collections.abc import Callable, Iterator, Sequence

from alphapulse_cli.apps.conformance import books, constants, frames, limits, silence, trades
from alphapulse_cli.apps.conformance.finding import CheckVerdict, DoesNotApply, Fault, Finding
from alphapulse_cli.apps.conformance.healing import MakeLine
from alphapulse_cli.apps.conformance.line import Line
from alphapulse_cli.errors import AlphapulseError
from alphapulse_cli.exchanges import Exchange
from alphapulse_cli.exchanges.protocol import Decoder
from alphapulse_cli.market.instrument import Instrument

__all__ = ["CHECKS", "CheckVerdict", "Finding", "check"]

Check = Callable[[MakeLine, int], str]

CHECKS: dict[str, Check] = {
    "metadata": lambda make, _: constants.metadata(make),
    "round trip": lambda make, _: books.round_trip(make),
    "both parsers": lambda make, _: frames.both_roads(make),
    "first snapshot": lambda make, _: frames.first_snapshots(make),
    "unknown frame": lambda make, _: frames.unknown_frame(make),
    "hostile bytes": frames.hostile_bytes,
    "refused frame": frames.refused_leaves_no_trace,
    "lost frame": lambda make, _: books.lost_frame(make),
    "doubled frame": lambda make, _: books.doubled_frame(make),
    "swapped frames": lambda make, _: books.swapped_frames(make),
    "wrong checksum": lambda make, _: books.wrong_checksum(make),
    "new connection": lambda make, _: books.new_connection(make),
    "resync": lambda make, _: books.resync_on_request(make),
    "quiet book": lambda make, _: books.quiet_book(make),
    "refused for now": lambda make, _: books.refused_for_now(make),
    "lost request": lambda make, _: books.lost_request(make),
    "mute connection": lambda make, _: silence.mute_connection(make),
    "dead trades": lambda make, _: trades.dead_trades(make),
    "limits": lambda make, _: limits.limits(make),
    "spent limit": lambda make, _: limits.spent_limit(make),
}


def check(
    exchange: Exchange,
    modes: Sequence[str] = (),
    *,
    seed: int = 1,
    decoder: Callable[[Sequence[Instrument], str], Decoder] | None = None,
) -> Iterator[Finding]:
    """Run all checks on these modes of the exchange, all modes for (). `decoder` (instruments, mode) replaces the exchange's."""
    name = exchange.facts.name
    yield _finding(name, "", "facts", lambda: constants.constants(exchange))
    for mode in modes or [mode.name for mode in exchange.facts.modes]:

        def make(mode: str = mode) -> Line:
            return Line(exchange, mode, seed=seed, decoder=(lambda given: decoder(given, mode)) if decoder else None)

        for title, run in CHECKS.items():
            yield _finding(name, mode, title, lambda run=run, make=make: run(make, seed))  # type: ignore[misc]


def _finding(name: str, mode: str, title: str, run: Callable[[], str]) -> Finding:
    try:
        return Finding(name, mode, title, CheckVerdict.PASSED, run())
    except DoesNotApply as reason:
        return Finding(name, mode, title, CheckVerdict.NOT_APPLICABLE, str(reason))
    except (Fault, AlphapulseError) as fault:
        return Finding(name, mode, title, CheckVerdict.FAILED, str(fault))
    except Exception as error:  # noqa: BLE001 - a package under test may raise anything, and the other checks go on
        return Finding(name, mode, title, CheckVerdict.FAILED, f"{type(error).__name__}: {error}")
