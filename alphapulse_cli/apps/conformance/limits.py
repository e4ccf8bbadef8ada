"""Checks of requests against the exchange's limits: symbols and bytes of a message, and messages in a time."""

from collections.abc import Sequence
from dataclasses import replace

from alphapulse_cli.apps.conformance.finding import require
from alphapulse_cli.apps.conformance.healing import MakeLine, heal
from alphapulse_cli.apps.conformance.line import CHANNELS, START_NS
from alphapulse_cli.edges.exchange.rate_limit import SLOW_NS, RateLimit
from alphapulse_cli.exchanges.subscriptions import MESSAGE_BYTES
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.requests import Send, SlowDown

REFUSING_NS = 5_000_000_000  # time for which every request is refused
LEFT = 12  # messages that the limit still allows then: the opening, its repetitions, and not many more


def limits(make: MakeLine) -> str:
    """Check that no request has more symbols than `subscribe_batch`, none exceeds MESSAGE_BYTES, and no symbol is missing."""
    with make() as line:
        facts, listed = line.exchange.facts, line.market.instruments[line.symbols[0]]
        base = listed.symbol.partition("-")[0]
        count = min(3 * facts.subscribe_batch + 1, 1000)
        many = [_renamed(listed, base, f"Q{number:03}X") for number in range(count)]
        decoder = line.exchange.decoder(many, CHANNELS, 0, line.mode)
        decoder.connected(START_NS)
        sends: list[bytes] = []
        for tick in range(20):
            sends += [request.frame for request in decoder.pending_requests() if isinstance(request, Send)]
            decoder.tick(START_NS + tick * 100_000_000)
        named = {instrument.native: 0 for instrument in many}
        most = 0
        for frame in sends:
            text = frame.decode().casefold()
            require(len(frame) <= MESSAGE_BYTES, f"a request of {len(frame):,} bytes: more than {MESSAGE_BYTES:,}")
            inside = [native for native in named if native.casefold() in text]
            most = max(most, len(inside))
            require(
                len(inside) <= facts.subscribe_batch,
                f"a request names {len(inside)} symbols: subscribe_batch is {facts.subscribe_batch}",
            )
            for native in inside:
                named[native] += 1
        forgotten = [native for native, times in named.items() if not times]
        require(not forgotten, f"{len(forgotten)} of {count} symbols are in no request: {' '.join(forgotten[:3])} …")
        return f"{count} symbols in {len(sends)} requests, at most {most} in one"


def _renamed(listed: Instrument, base: str, name: str) -> Instrument:
    native = listed.native.replace(base, name, 1) if base in listed.native else f"{name}{listed.native}"
    return replace(listed, symbol=listed.symbol.replace(base, name, 1), native=native)


def spent_limit(make: MakeLine) -> str:
    """With `sends` nearly spent, and every request refused for the rate for 5 s, all books are LIVE within 70 s all the same."""
    line = make()
    until_ns, sends = line.monotonic_ns + REFUSING_NS, line.exchange.facts.sends

    def refuse(frame: bytes) -> Sequence[bytes] | None:
        return line.encoder.refuse_for_now(frame, line.now_ns) if line.monotonic_ns < until_ns else None

    line.fault_of_sends, line.limit = refuse, RateLimit(sends)
    if sends.burst > LEFT:
        line.limit.reserve(line.monotonic_ns, sends.burst - LEFT)
    with line:
        heal(line, "refusals for the rate with a limit that is nearly spent")
        slowed, count = (sum(isinstance(request, kind) for request in line.requests) for kind in (SlowDown, Send))
        full_s = sends.burst / sends.per_second
        if full_s * 1e9 > SLOW_NS:
            require(
                not slowed,
                f"SlowDown spends the whole burst of `sends`, which takes {full_s:,.0f} s to come again: repeat the request after a "
                "pause, or replace the connection",
            )
            require(count <= LEFT, f"{count} messages where {LEFT} were left: repeat a refused request after pauses that grow")
        return f"{count} messages" + (f", slowed down {slowed} times" if slowed else "")
