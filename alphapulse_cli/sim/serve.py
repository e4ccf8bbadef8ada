"""Server of several simulated exchanges in one event loop, with shared hidden prices, for `alphapulse sim` and `demo`.

await run([SimSpec("kraken"), SimSpec("coinbase", port=9001)], seed=7, on_ready=lambda exchanges: ...)
"""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from alphapulse_cli.sim.exchange import DEFAULT_RATE, SimulatedExchange
from alphapulse_cli.sim.mischief import Scenario
from alphapulse_cli.sim.planted import PlantedSchedule


@dataclass(frozen=True, slots=True)
class SimSpec:
    """Settings of one simulated exchange, with the defaults of `SimulatedExchange`; () of symbols means all that it lists."""

    exchange: str
    symbols: Sequence[str] = ()
    port: int = 0
    host: str = "127.0.0.1"
    rate: float = DEFAULT_RATE
    burst: int = 1
    mode: str = ""
    mischief: Sequence[Scenario] = ()
    more: int = 0


OnReady = Callable[[Sequence[SimulatedExchange]], None]


async def run(
    simulations: Sequence[SimSpec],
    *,
    seed: int = 1,
    duration: float | None = None,
    on_ready: OnReady = lambda _: None,
    planted: PlantedSchedule | None = None,
    tls: ssl.SSLContext | None = None,
) -> Sequence[SimulatedExchange]:
    """Serve until cancelled or for `duration` seconds; `on_ready` is called with the exchanges once all ports are open.

    Returns the stopped exchanges, for their counts. UsageError as from `SimulatedExchange`.
    """
    simulated = [
        SimulatedExchange(
            spec.exchange,
            seed=seed,
            symbols=spec.symbols,
            host=spec.host,
            port=spec.port,
            rate=spec.rate,
            burst=spec.burst,
            mode=spec.mode,
            mischief=spec.mischief,
            planted=planted,
            more=spec.more,
            tls=tls,
        )
        for spec in simulations
    ]
    async with AsyncExitStack() as stack:
        for exchange in simulated:
            await stack.enter_async_context(exchange)
        on_ready(simulated)
        waiting = [asyncio.create_task(exchange.run_forever()) for exchange in simulated]
        try:
            done, _ = await asyncio.wait(waiting, timeout=duration, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)
    return simulated
