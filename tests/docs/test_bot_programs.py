"""The programs of "test a bot", as they stand on the page: real libraries, in environments of their own, beside simulators.

    scripts/clients.sh --install-only --keep DIR ccxt cryptofeed coinbase-advanced-py
    ALPHAPULSE_CLIENTS=DIR scripts/test -n 0 tests/docs/test_bot_programs.py

A library without an environment there is left out, and says so: none is part of what the suite needs.
"""

import asyncio
import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from alphapulse_cli.edges.server.throwaway_ca import throwaway_ca
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.sim.exchange import SimulatedExchange
from alphapulse_cli.sim.market_maker import SimulatedMarket

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "test-a-bot-against-the-simulators.md").read_text()
PLACE = os.environ.get("ALPHAPULSE_CLIENTS", "")
LIMIT_S = 60.0
PROGRAMS = (("ccxt", "kraken", False), ("cryptofeed", "coinbase", True), ("coinbase-advanced-py", "coinbase", False))
WANTED = {"book": 30, "trade": 8}


def program_of(library):
    """(pinned version, the program) of the page's section that installs the library."""
    section = next(part for part in re.split(r"^## ", PAGE, flags=re.MULTILINE) if f"pip install {library}==" in part)
    (version,) = re.findall(rf"pip install {library}==(\S+)", section)
    (program,) = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return version, program


def environment_of(library):
    """Python of the library's environment."""
    python = Path(PLACE) / f"{library}-{program_of(library)[0]}" / "bin" / "python"
    if not PLACE or not python.exists():
        pytest.skip(
            f"no environment of {library}: scripts/clients.sh --install-only --keep DIR {library}, then ALPHAPULSE_CLIENTS=DIR"
        )
    return python


@pytest.mark.parametrize("library", [row[0] for row in PROGRAMS])
def test_the_page_names_the_versions_that_were_compared(library):
    """One pinned version of a library in the whole source."""
    version, program = program_of(library)
    files = [file.read_text() for file in (ROOT / "scripts" / "clients").glob("with_*.py")]
    pinned = [found for text in files for found in re.findall(rf'LIBRARY, VERSION = "{library}", "([^"]+)"', text)]
    assert set(pinned) <= {version}
    assert len(program.splitlines()) <= 50
    compile(program, library, "exec")


@pytest.mark.parametrize(("library", "name", "with_tls"), PROGRAMS)
async def test_a_program_keeps_the_book_and_tells_the_trades(library, name, with_tls, tmp_path):
    """Trades as they were, by the taker's side; a book that is never crossed, and at the end the simulator's best prices."""
    python = environment_of(library)
    with throwaway_ca() as made:
        market = SimulatedMarket(name, 7, ["BTC-USD"], levels_per_side=200)
        async with SimulatedExchange(name, market, rate=20, tls=made.context if with_tls else None) as exchange:
            file = tmp_path / "bot.py"
            file.write_text(program_of(library)[1])
            process = await asyncio.create_subprocess_exec(
                *(python, file, str(exchange.port)),
                cwd=tmp_path,
                env=os.environ | {"SSL_CERT_FILE": str(made.ca_file)},
                stdout=asyncio.subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            try:
                lines = await lines_of(process, exchange)
            finally:
                process.kill()
                await process.wait()
            assert trades_in(lines) <= true_trades(exchange)
            books = [(Decimal(line[1]), Decimal(line[2])) for line in lines if line[0] == "book"]
            assert all(bid < ask for bid, ask in books)
            assert books[-1] == best_of(exchange)
            assert "lost" not in {line[0] for line in lines}


async def lines_of(process, exchange):
    """What it prints until it has said enough; then the market stands still, until it tells the true best prices."""
    lines: list[list[str]] = []
    async with asyncio.timeout(LIMIT_S):
        while any(sum(line[0] == kind for line in lines) < count for kind, count in WANTED.items()):
            lines.append(await line_of(process))
        exchange.freeze()
        while lines[-1][0] != "book" or (Decimal(lines[-1][1]), Decimal(lines[-1][2])) != best_of(exchange):
            lines.append(await line_of(process))
    return lines


async def line_of(process):
    """Words of its next line; blank lines and what a library logs are passed over."""
    while True:
        line = await process.stdout.readline()
        assert line, "the program ended"
        if (words := line.decode().split()) and words[0] in (*WANTED, "lost"):
            return words


def best_of(exchange):
    (bid, *_), (ask, *_) = exchange.truth.book("BTC-USD", 1)
    decimals = exchange.truth.instruments["BTC-USD"].price_decimals
    return Decimal(to_text(bid[0], decimals)), Decimal(to_text(ask[0], decimals))


def trades_in(lines):
    return {(line[1], line[2], Decimal(line[3]), Decimal(line[4])) for line in lines if line[0] == "trade"}


def true_trades(exchange):
    instrument = exchange.truth.instruments["BTC-USD"]
    grid = instrument.price_decimals, instrument.size_decimals
    return {
        (
            each.trade_id,
            each.side.name.lower(),
            Decimal(to_text(each.price_ticks, grid[0])),
            Decimal(to_text(each.size_lots, grid[1])),
        )
        for each in exchange.truth.recent_trades("BTC-USD", 10**6)
    }


def test_the_program_that_compares_with_the_truth_runs():
    """It needs no library but alphapulse."""
    programs = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (program,) = [each for each in programs if "SimulatedExchange(" in each]
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    assert "point your bot at ws://127.0.0.1:" in done.stdout
    assert "Trade(" in done.stdout
