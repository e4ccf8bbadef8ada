"""FastMM, a trading engine, beside a simulated Binance: a strategy in its dry run, which quotes on paper around its own book.

The starter project that it writes is taken as it is, with the hosts in its configuration redirected and with each move quoted at once. It needs every field of
`exchangeInfo` that it trades by, keeps the book itself, and says in its log what it did.
"""

import asyncio
import os
import re
import sys
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

from common import run, until

LIBRARY, VERSION = "fastmm-engine", "0.9.0"
RUNS = ("binance",)
ALSO = ("fastmm-engine-live==0.9.0", "numba")
SYMBOL = "BTC-USDT"
KEYS = {"FASTMM_BINANCE_API_KEY": "none", "FASTMM_BINANCE_API_SECRET": "none"}  # a dry run sends none
PLACE = re.compile(r"^.*?\w\.[ch]pp:\d+ ")  # of a line of its log: time, level, process, file and line
QUOTES = re.compile(r"dry run BTCUSDT: bid ([\d.]+) x \S+ ask ([\d.]+)")
HALF_SPREAD = Decimal("0.0015")  # of the starter project
ROUNDING = Decimal("0.02")  # its quotes are whole cents
DRY_RUN = (
    "-m",
    "fastmm",
    "run",
    "strategy:X",
    "--config",
    "live.toml",
    "--dry-run",
    "--no-journal",
    "--no-status",
    "--duration",
    "60s",
)


class Engine:
    """The running engine and the lines of its log."""

    def __init__(self, process):
        self.process, self.lines = process, []
        self.reading = asyncio.create_task(self._read())

    async def _read(self):
        while line := await self.process.stdout.readline():
            self.lines.append(line.decode("utf-8", "replace").rstrip())

    def said(self, words):
        """Text of the first line with these words, without its time, process and place; "" if there is none."""
        line = next((line for line in self.lines if words in line), "")
        return PLACE.sub("", line)

    def count(self, words):
        """How many lines have these words."""
        return sum(words in line for line in self.lines)

    def quotes(self):
        """Its latest bid and ask on paper."""
        found = [match.groups() for line in self.lines if (match := QUOTES.search(line))]
        return tuple(map(Decimal, found[-1])) if found else None


async def started(simulator, folder):
    """The engine, in the folder of a starter project."""
    made = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fastmm", "init", "x", cwd=folder, stdout=asyncio.subprocess.DEVNULL
    )
    await made.wait()
    project = Path(folder) / "x"
    config = (project / "live.toml").read_text()
    config = re.sub(r"^(min_requote_\w+|requote_ticks) = \d+", r"\1 = 0", config, flags=re.MULTILINE)
    config = re.sub(r"^(orders_per_sec|burst) = \d+", r"\1 = 1000", config, flags=re.MULTILINE)
    (project / "live.toml").write_text(
        re.sub(r'"((?:wss|https)://[^"]+)"', lambda found: f'"{simulator.redirected(found[1])}"', config)
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *DRY_RUN),
        cwd=project,
        env=os.environ | KEYS,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    return Engine(process)


async def main(simulator, report):
    with TemporaryDirectory() as folder:
        engine = await started(simulator, folder)
        live = await until(lambda: engine.said("md channel -> Live") or engine.process.returncode is not None, 60)
        report.check(
            "exchangeInfo: grid, limits, rate rules", engine.said("reference data loaded"), engine.said("reference data loaded")
        )
        streams = engine.said("md channel -> Live")
        report.check("streams", live and streams, streams or (engine.lines or ["nothing was said"])[-1][-120:])
        await until(engine.quotes, 30)
        await asyncio.to_thread(simulator.ask, "inject", kind="gap", symbol=SYMBOL)
        await asyncio.sleep(3)  # it hears of the loss with the next update, and fetches the book anew
        await quotes_of_the_true_book(simulator, report, engine, "its quotes are of the true book")
        await asyncio.to_thread(simulator.ask, "thaw")
        connected = engine.count("md channel -> Live")
        await asyncio.to_thread(simulator.ask, "inject", kind="disconnect", symbol=SYMBOL)
        again = await until(lambda: engine.count("md channel -> Live") > connected, 30)
        report.check("a lost connection is noticed", again, "it connects anew" if again else "nothing was said")
        await asyncio.sleep(3)
        await quotes_of_the_true_book(simulator, report, engine, "the quotes after a lost connection")
        engine.process.terminate()
        code = await asyncio.wait_for(engine.process.wait(), 30)
        await engine.reading
        final = engine.said("final: ")
        resyncs, books = re.search(r"resyncs=(\d+)", final), re.search(r"books=(\d+/\d+)", final)
        report.check("a lost update is noticed", resyncs and int(resyncs[1]) > 0, f"{resyncs and resyncs[1]} resyncs")
        report.check("ends in order", code == 0 and books and books[1] == "1/1", final[-120:])


async def quotes_of_the_true_book(simulator, report, engine, what):
    """It quotes around the middle of its book: that of the market, which stands still from now on."""
    await asyncio.to_thread(simulator.ask, "freeze")
    truth = simulator.truth(SYMBOL)
    middle = (Decimal(truth["bids"][0][0]) + Decimal(truth["asks"][0][0])) / 2
    wanted = middle * (1 - HALF_SPREAD), middle * (1 + HALF_SPREAD)

    def is_right():
        quotes = engine.quotes()
        return quotes and all(abs(one - other) <= ROUNDING for one, other in zip(quotes, wanted, strict=True))

    right = await until(is_right, 20)
    report.check(what, right, f"bid and ask {engine.quotes()}, middle {middle}")


run(main)
