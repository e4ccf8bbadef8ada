"""Real client libraries of others beside a simulator: what they load, hold and notice, and that these checks can fail.

    scripts/clients.sh --install-only --keep DIR ccxt python-kraken-sdk
    ALPHAPULSE_CLIENTS=DIR scripts/test -n 0 tests/clients

Each library runs in an environment of its own, in a process of its own, driven by its file in scripts/clients. Without
ALPHAPULSE_CLIENTS these tests are skipped: the libraries are no part of what the suite needs.
"""

import asyncio
import os
from importlib import import_module
from pathlib import Path

import pytest

from alphapulse_cli.exchanges.kraken.render import trade_json

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts" / "clients"
PLACE = os.environ.get("ALPHAPULSE_CLIENTS", "")

pytestmark = pytest.mark.skipif(
    not PLACE, reason="no client libraries: set ALPHAPULSE_CLIENTS to the folder that holds their environments"
)

FAULTS = ("a lost connection", "maintenance at the next handshake")
CHECKS = {  # of every library that is run here, beside those of its own
    *("book", "trades and their sides", "ticker", "candles", "REST book", "REST trades", "REST ticker", "REST candles"),
}


def noticed(*faults):
    """The checks of faults that a library must notice, and heal."""
    return {check for fault in (*FAULTS, *faults) for check in (f"{fault} is noticed", f"the book after {fault}")}


@pytest.fixture(scope="module")
def drive():
    """scripts/clients/drive.py as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        yield import_module("drive")


async def checked(drive, file, run, last=""):
    """Checks of one run, by what they check, as far as the one named `last`."""
    client = drive.client_of(SCRIPTS / file)
    python = Path(PLACE) / f"{client.library}-{client.version}" / "bin" / "python"
    assert python.exists(), f"no environment of {client.library} {client.version} in {PLACE}"
    row = await drive.run_one(client, run, python, last)
    return {each["checked"]: each for each in row["checks"]}


OF_KRAKEN = {
    "with_ccxt.py": {"markets", "streams", "a halted market is told, and its end", "an unknown symbol is refused"}
    | noticed("a dead connection"),
    "with_kraken_sdk.py": {
        *("streams", "its own checksums", "REST status and time", "REST assets and pairs", "a refused subscription is noticed"),
        *("an unknown pair's book is refused", "an unknown pair is refused"),
    }
    | noticed("a lost update", "a wrong checksum"),
}


async def test_kraken(drive):
    """Both at the same time, each with a simulator of its own: their faults take a while."""
    runs = await asyncio.gather(*(checked(drive, file, "kraken") for file in OF_KRAKEN))
    for (file, own), checks in zip(OF_KRAKEN.items(), runs, strict=True):
        assert [each for each in checks.values() if not each["ok"]] == [], file
        assert set(checks) == CHECKS | own, file


async def test_a_simulator_that_tells_the_makers_side_is_found_out(drive, monkeypatch):
    """The mutant beside the checks: only the sides of the trades are wrong, and only that is said."""
    swapped = {'"side":"buy"': '"side":"sell"', '"side":"sell"': '"side":"buy"'}

    def wrong(trade, now_ns):
        row = trade_json(trade, now_ns)
        side = next(each for each in swapped if each in row)
        return row.replace(side, swapped[side])

    monkeypatch.setattr("alphapulse_cli.exchanges.kraken.encoder.trade_json", wrong)
    checks = await checked(drive, "with_kraken_sdk.py", "kraken", last="candles")
    assert [name for name, each in checks.items() if not each["ok"]] == ["trades and their sides"]
    assert {"book", "ticker", "candles"} < set(checks)
