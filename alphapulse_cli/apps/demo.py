"""Demo: a process of simulated exchanges, a collector process for each exchange, and a server of them where it is wanted.

    sim (one process, one hidden price) ══ loopback WebSocket + REST ══► collect, n times ══ shared memory ══► any readers

The sets have the exchanges' own names, so that all commands work on them as on real ones. Where a real collector of such a name
already runs, the lease refuses the demo's own; the real one is not disturbed.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson

from alphapulse_cli import exchanges
from alphapulse_cli.apps.collect.plan import CollectPlan, symbols_by_exchange
from alphapulse_cli.apps.collect.supervise import Child, OnLine, relay, spawn, stop, supervise
from alphapulse_cli.errors import AlphapulseError, ExitCode, UsageError
from alphapulse_cli.sim.listings import listings, rows_of, simulated

EXCHANGES = ("kraken", "coinbase", "binance-us")
SYMBOLS = ("BTC-USD", "ETH-USD", "SOL-USD")
READY_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """Settings of the demo."""

    exchanges: Sequence[str] = EXCHANGES
    symbols: Sequence[str] = SYMBOLS
    rate: float = 20.0
    seed: int = 1
    mischief: str = ""
    shm_dir: str = ""
    plant: str = "6/min"  # as `--plant` of `sim`
    transport: str = "auto"  # the WebSocket library of the collectors
    verbosity: Sequence[str] = ()  # -v or -q, for the children
    serve_ports: tuple[int, int] | None = None  # of `serve`, WebSocket and REST; None: it does not run

    def symbols_by_exchange(self) -> dict[str, list[str]]:
        """Symbols of each exchange: of `symbols` those that its simulator lists, or the same against USDT where it lists none.

        UsageError, with near names, for an exchange that has none of either, and for a symbol that no exchange lists.
        """
        found: dict[str, list[str]] = {}
        for name, wanted in symbols_by_exchange(self.symbols, self.exchanges).items():
            listed = {row[0] for row in rows_of(name)}
            ours = [symbol for symbol in wanted if symbol in listed]
            found[name] = ours or [f"{symbol}T" for symbol in wanted if f"{symbol}T" in listed]
            if not found[name]:
                listings(name, wanted)  # raises
        for symbol in (text.rpartition(":")[2] for text in self.symbols):
            if not any(symbol in ours or f"{symbol}T" in ours for ours in found.values()):
                listings(self.exchanges[0], [symbol])  # raises
        return found


def chosen_exchanges(names: Sequence[str]) -> list[str]:
    """Names of the exchanges to simulate, each once; "all" stands for every one that has a simulator.

    UsageError, with near names, for one that is unknown or has no simulator, and for none.
    """
    if not names:
        raise UsageError("no exchange to simulate", f"--exchanges NAME,…, or all; names are: {', '.join(simulated())}")
    found = dict.fromkeys(each for name in names for each in (simulated() if name == "all" else [name]))
    for name in found:
        exchanges.get(name)
        rows_of(name)
    return list(found)


async def demo(plan: DemoPlan, on_line: OnLine, failed: Callable[[ExitCode], None]) -> ExitCode:
    """Run the demo until cancelled; returns the exit code of the collectors.

    AlphapulseError if the simulators do not start, or end.

    `failed` is called at once with the exit code of a collector that cannot go on.
    """
    simulator = await _start_simulator(plan)
    try:
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                addresses = await _addresses(simulator, len(plan.exchanges))
        except TimeoutError:
            raise AlphapulseError(f"the simulators did not start within {READY_TIMEOUT_S:.0f} s") from None
        symbols = plan.symbols_by_exchange()
        collectors = [_collector(plan, name, symbols[name], *where) for name, where in addresses.items()]
        if plan.serve_ports is not None:
            collectors.append(_server(plan, list(addresses), plan.serve_ports))
        working = asyncio.create_task(supervise(collectors, on_line, together=True, failed=failed))
        talking = asyncio.create_task(relay(simulator, "sim", on_line))  # ends with the simulators
        try:
            await asyncio.wait({working, talking}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            raise AlphapulseError("the simulators ended unexpectedly", "their last messages are above")
        finally:
            for task in (working, talking):
                task.cancel()
            await asyncio.gather(working, talking, return_exceptions=True)
    finally:
        await stop(simulator)


async def _start_simulator(plan: DemoPlan) -> asyncio.subprocess.Process:
    symbols = ",".join(f"{name}:{symbol}" for name, ours in plan.symbols_by_exchange().items() for symbol in ours)
    options = ["--rate", f"{plan.rate:g}", "--seed", str(plan.seed), "--symbols", symbols, "--json", "--supervised"]
    if plan.mischief:
        options += ["--mischief", plan.mischief]
    options += ["--plant", plan.plant] if len(plan.exchanges) > 1 else []
    return await spawn(["sim", *plan.exchanges, *options, *plan.verbosity], stdout=asyncio.subprocess.PIPE)


async def _addresses(simulator: asyncio.subprocess.Process, count: int) -> dict[str, tuple[str, str]]:
    """WebSocket and REST addresses by exchange, which the simulator prints once it serves. AlphapulseError if it ends first."""
    assert simulator.stdout is not None
    assert simulator.stderr is not None
    found: dict[str, tuple[str, str]] = {}
    while len(found) < count:
        line = await simulator.stdout.readline()
        if not line:
            words = (await simulator.stderr.read()).decode("utf-8", "replace").strip()
            raise AlphapulseError(f"the simulators ended: {words or 'no reason given'}")
        row = orjson.loads(line)
        found[row["exchange"]] = (row["websocket_url"], row["rest_url"])
    return found


def _collector(plan: DemoPlan, name: str, symbols: Sequence[str], websocket_url: str, rest_url: str) -> Child:
    mode = exchanges.get(name).facts.mode().name  # as the simulators speak, whatever is configured for the real exchange
    one = CollectPlan(
        name,
        symbols,
        mode=mode,
        url=websocket_url,
        rest_url=rest_url,
        shm_dir=plan.shm_dir or None,
        transport=plan.transport,
        skip_unlisted=True,
    )
    return Child(name, [*one.to_argv(), "--supervised", *plan.verbosity])


def _server(plan: DemoPlan, names: Sequence[str], ports: tuple[int, int]) -> Child:
    where = ["--shm-dir", plan.shm_dir] if plan.shm_dir else []
    listened = ["--port", str(ports[0]), "--http-port", str(ports[1])]
    return Child(
        "serve", ["serve", "--exchange", ",".join(names), *listened, *where, "--wait-for", "--supervised", *plan.verbosity]
    )
