"""alphapulse and cryptofeed on the same simulated exchanges, struck by the same faults; how long the books of each were dark.

    simulated exchange ═ TLS ═┬═ alphapulse collect ─► segments ─► looked at ten times a second
                              └═ cryptofeed ─► a line for each callback

A book is dark where it brought nothing for a second (the market moves ten times a second); one of alphapulse's also while it does not say
LIVE. Faults strike every connection of an exchange at once, the same kinds for both. That cryptofeed shows a wrong book in the meantime
is not counted against it here. Binance is left out: cryptofeed names its streams in the address, which the simulator does not read.
"""

import argparse
import asyncio
import random
import ssl
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from chaos.sockets import EXCHANGES as ALL_EXCHANGES

from alphapulse_cli.errors import NoSegment, SegmentError
from alphapulse_cli.flow.follow import SetFollower
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.sim.exchange import SimulatedExchange
from alphapulse_cli.wire.delta import BookState

KINDS = {"kraken": ("gap", "checksum", "disconnect"), "coinbase": ("gap", "disconnect")}
EXCHANGES = {name: ALL_EXCHANGES[name] for name in KINDS}
QUIET_S, LOOK_S, START_S = 1.0, 0.1, 90.0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("place", type=Path, help="a directory with cert.pem, key.pem and venv")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--every", type=float, default=15.0, help="seconds from fault to fault on each exchange")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


async def tls_in_front(place, port):
    """A TLS server that hands everything on to that port, and what is on it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(place / "cert.pem", place / "key.pem")

    async def pump(reader, writer):
        with suppress(OSError):
            while octets := await reader.read(1 << 16):
                writer.write(octets)
                await writer.drain()
        writer.transport.abort()

    async def serve(reader, writer):
        try:
            behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(pump(reader, behind_writer), pump(behind_reader, writer))

    return await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)


class Peer:
    """cryptofeed on one exchange: when each book was last heard."""

    def __init__(self, process):
        self.process = process
        self.heard = {}
        self.reading = asyncio.create_task(self._read())

    async def _read(self):
        async for line in self.process.stdout:
            moment, symbol = line.decode().split()
            self.heard[symbol] = float(moment)

    def is_dark(self, now_s, count):
        """Not all of so many books were heard within the last second."""
        return len(self.heard) < count or any(now_s - moment > QUIET_S for moment in self.heard.values())


class Ours:
    """alphapulse on one exchange, as any reader of its segments sees it."""

    def __init__(self, follower):
        self.follower = follower
        self.versions = {}

    def is_dark(self, now_s, count):
        """Not all of so many books are LIVE and brought something within the last second."""
        self.follower.poll(clock.monotonic_ns())
        writer_lives = self.follower.groups.is_live(clock.monotonic_ns())
        for symbol, book in self.follower.books.items():
            if self.versions.get(symbol, (0, 0.0))[0] != book.version:
                self.versions[symbol] = book.version, now_s
        live = [one.book_state == BookState.LIVE for one in self.follower.books.values()]
        fresh = [now_s - moment <= QUIET_S for _, moment in self.versions.values()]
        return not (writer_lives and len(live) == count and all(live) and all(fresh))


async def main(given):
    place = given.place
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(open_directory(place / "segments", create=True))
        sims, peers = {}, {}
        for name, symbols in EXCHANGES.items():
            sim = await stack.enter_async_context(SimulatedExchange(name, seed=given.seed, rate=10.0, symbols=symbols))
            tls = await stack.enter_async_context(await tls_in_front(place, sim.port))
            port = tls.sockets[0].getsockname()[1]
            origin, path = f"wss://127.0.0.1:{port}", urlsplit(sim.websocket_url).path
            collect = [sys.executable, "-P", "-m", "alphapulse_cli", "collect", "--exchange", name, "--symbols", ",".join(symbols)]
            collect += ["--url", origin + path, "--rest-url", sim.rest_url, "--shm-dir", str(place / "segments")]
            other = [str(place / "venv/bin/python"), str(Path(__file__).with_name("cryptofeed_books.py")), name, origin]
            other += [f"http://127.0.0.1:{sim.port}", *symbols]
            process = await _start(stack, collect, place / f"{name}-alphapulse.log", None)
            del process
            peers[name] = Peer(await _start(stack, other, place / f"{name}-cryptofeed.log", asyncio.subprocess.PIPE))
            stack.callback(peers[name].reading.cancel)
            sims[name] = sim
        ours = await _attached(stack, directory)
        for who, readers in (("alphapulse", ours), ("cryptofeed", peers)):
            await _until(lambda readers=readers: not any(_dark(readers).values()), who, readers)
        return await _compare(given, sims, ours, peers)


def _dark(readers):
    now_s = clock.monotonic_ns() / 1e9
    return {name: reader.is_dark(now_s, len(EXCHANGES[name])) for name, reader in readers.items()}


async def _start(stack, command, log, stdout):
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=stdout or asyncio.subprocess.DEVNULL, stderr=file
        )

    async def stop():
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()

    stack.push_async_callback(stop)
    return process


async def _attached(stack, directory):
    found: dict[str, Ours] = {}

    def attach():
        for name in EXCHANGES.keys() - found.keys():
            with suppress(NoSegment, SegmentError):
                found[name] = Ours(SetFollower(directory, name))
                stack.callback(found[name].follower.close)
        return found.keys() == EXCHANGES.keys()

    await _until(attach, "alphapulse", {})
    return found


async def _until(holds, who, readers):
    end = clock.monotonic_ns() + START_S * 1e9
    while not holds():
        if clock.monotonic_ns() > end:
            dark = ", ".join(name for name, is_dark in _dark(readers).items() if is_dark) or "everything"
            raise TimeoutError(f"{who}: dark after {START_S:.0f} s: {dark}")
        await asyncio.sleep(LOOK_S)


async def _compare(given, sims, ours, peers):
    dice = random.Random(given.seed)
    started = clock.monotonic_ns() / 1e9
    due = {name: dice.uniform(0, given.every) for name in sims}
    dark = {(who, name): 0 for who in ("alphapulse", "cryptofeed") for name in sims}
    samples = faults = 0
    while (elapsed := clock.monotonic_ns() / 1e9 - started) < given.minutes * 60:
        for name, sim in sims.items():
            if elapsed >= due[name]:
                due[name] = elapsed + given.every
                sim.inject(dice.choice(KINDS[name]), dice.choice(EXCHANGES[name]))
                faults += 1
        await asyncio.sleep(LOOK_S)
        samples += 1
        for who, readers in (("alphapulse", ours), ("cryptofeed", peers)):
            for name, is_dark in _dark(readers).items():
                dark[who, name] += is_dark
    print(f"{elapsed:.0f} s, {faults} faults, {samples} looks; share of looks with a dark book:")
    worse = 0
    for name in sims:
        mine, theirs = (100 * dark[who, name] / samples for who in ("alphapulse", "cryptofeed"))
        worse += mine > theirs
        print(f"  {name:12} alphapulse {mine:6.2f} %   cryptofeed 3.0.1 {theirs:6.2f} %")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(arguments())))
