"""Real client libraries of others beside a simulator: what they load, hold and notice, and that these checks can fail.

    scripts/clients.sh --install-only --keep DIR ccxt python-kraken-sdk
    ALPHAPULSE_CLIENTS=DIR scripts/test -n 0 tests/clients

Each library runs in an environment of its own, in a process of its own, driven by its file in scripts/clients. Without
ALPHAPULSE_CLIENTS these tests are skipped: the libraries are no part of what the suite needs.
"""

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

CHECKS = {  # of every library that is run here, beside those of its own
    *("book", "trades and their sides", "ticker", "candles", "REST book", "REST trades", "REST ticker", "REST candles"),
    "and heals",
}


@pytest.fixture(scope="module")
def drive():
    """scripts/clients/drive.py as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        yield import_module("drive")


async def checked(drive, file, run):
    """Checks of one run, by what they check."""
    client = drive.client_of(SCRIPTS / file)
    python = Path(PLACE) / f"{client.library}-{client.version}" / "bin" / "python"
    assert python.exists(), f"no environment of {client.library} {client.version} in {PLACE}"
    row = await drive.run_one(client, run, python)
    return {each["checked"]: each for each in row["checks"]}


@pytest.mark.parametrize(
    ("file", "own"),
    [
        ("with_ccxt.py", {"markets", "streams", "a lost connection is noticed"}),
        (
            "with_kraken_sdk.py",
            {"streams", "its own checksums", "REST status and time", "REST assets and pairs", "a lost update is noticed"},
        ),
    ],
)
async def test_kraken(drive, file, own):
    checks = await checked(drive, file, "kraken")
    assert [each for each in checks.values() if not each["ok"]] == []
    assert set(checks) == CHECKS | own


async def test_a_simulator_that_tells_the_makers_side_is_found_out(drive, monkeypatch):
    """The mutant beside the checks: only the sides of the trades are wrong, and only that is said."""
    swapped = {'"side":"buy"': '"side":"sell"', '"side":"sell"': '"side":"buy"'}

    def wrong(trade, now_ns):
        row = trade_json(trade, now_ns)
        side = next(each for each in swapped if each in row)
        return row.replace(side, swapped[side])

    monkeypatch.setattr("alphapulse_cli.exchanges.kraken.encoder.trade_json", wrong)
    checks = await checked(drive, "with_kraken_sdk.py", "kraken")
    assert [name for name, each in checks.items() if not each["ok"]] == ["trades and their sides"]
