"""Drives real client libraries against the simulators, and keeps what they verified: scripts/clients.sh.

    with_*.py ─► an environment with the pinned library ─► for each of RUNS: a simulator, its control, the file in a process of its own
              ─► a line of JSON a check ─► docs/reference/clients.json ─► the page clients.md (scripts/docs.py)

To add a library, write `with_<library>.py`, beginning with constants that are read without importing it:

    LIBRARY, VERSION = "ccxt", "4.5.90"       # on PyPI
    RUNS = ("binance", "coinbase:exchange")   # exchanges, with a mode where it is not the default one
    PYTHON = "3.13"                           # optional: the Python that it needs
    TLS = True                                # optional: it insists on wss:// and https://
    ALSO = ("aiohttp",)                       # optional: packages that it needs and does not name

and checks by common.py. It is given the addresses by arguments, and trusts SSL_CERT_FILE. Hosts are redirected by the library's own
settings; nothing of the library is replaced. It ends by itself within RUN_S.
"""

import argparse
import ast
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import LAST
from control import Control

from alphapulse_cli.edges.server.throwaway_ca import throwaway_ca
from alphapulse_cli.sim.exchange import SimulatedExchange

HERE = Path(__file__).resolve().parent
SAVED = HERE.parents[1] / "docs" / "reference" / "clients.json"
PAGE = HERE.parents[1] / "docs" / "how-to" / "test-a-bot-against-the-simulators.md"
RUN_S = 240.0
RATE, SEED = 20.0, 7
TRUST = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")  # variables by which clients are told of an authority: of OpenSSL, of requests
NAMES = ("LIBRARY", "VERSION", "RUNS", "PYTHON", "TLS", "ALSO")


@dataclass(frozen=True)
class Client:
    """One library, as its file says it."""

    file: Path
    library: str
    version: str
    runs: tuple[str, ...]
    python: str = ""
    tls: bool = False
    also: tuple[str, ...] = ()


def client_of(file: Path) -> Client:
    """Client of a file's constants, without importing it."""
    said: dict[str, Any] = {}
    for statement in ast.parse(file.read_text()).body:
        if isinstance(statement, ast.Assign):
            target = statement.targets[0]
            names = [each.id for each in (target.elts if isinstance(target, ast.Tuple) else [target]) if isinstance(each, ast.Name)]
            if set(names) <= set(NAMES):
                value = ast.literal_eval(statement.value)
                said.update(zip(names, value, strict=True) if isinstance(target, ast.Tuple) else {names[0]: value})
    return Client(file, **{name.lower(): value for name, value in said.items()})


def interpreter(version: str) -> str:
    """Python of that version; this one for ""."""
    if not version:
        return sys.executable
    own = os.environ.get(f"PYTHON{version.replace('.', '')}")
    below = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions").glob(f"{version}*/bin/python"))
    for found in (own, *map(str, below), shutil.which(f"python{version}")):
        if found and subprocess.run([found, "-c", "import venv"], check=False, capture_output=True).returncode == 0:
            return found
    sys.exit(f"error: no Python {version} here\nhint: PYTHON{version.replace('.', '')}=/path/to/it scripts/clients.sh")


def installed(client: Client, place: Path) -> Path:
    """Python of an environment with the library in it; made unless it is there."""
    python = place / f"{client.library}-{client.version}" / "bin" / "python"
    if not python.exists():
        print(f"installing {client.library} {client.version}", file=sys.stderr)
        subprocess.run([interpreter(client.python), "-m", "venv", python.parents[1]], check=True)
        wanted = [f"{client.library}=={client.version}", *client.also]
        done = subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=False)
        if done.returncode:
            shutil.rmtree(python.parents[1])
            sys.exit(f"error: {client.library} {client.version} cannot be installed")
    return python


async def run_one(client: Client, run: str, python: Path, last: str = "") -> dict[str, Any]:
    """Run one library with one simulated exchange, as far as the check `last`: a row of the table, its checks in order."""
    name, _, mode = run.partition(":")
    async with AsyncExitStack() as stack:
        made = stack.enter_context(throwaway_ca()) if client.tls else None
        exchange = SimulatedExchange(name, seed=SEED, rate=RATE, mode=mode, tls=made.context if made else None)
        await stack.enter_async_context(exchange)
        control = await stack.enter_async_context(Control(exchange))
        addresses = (exchange.websocket_url, exchange.rest_url, control.url)
        said = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it; what was said in time counts
        process = await asyncio.create_subprocess_exec(
            python,
            str(client.file),
            run,
            *addresses,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=said,
            env=os.environ | {LAST: last} | (dict.fromkeys(TRUST, str(made.ca_file)) if made else {}),
        )
        code = ""
        try:
            async with asyncio.timeout(RUN_S):
                code = f"exit code {await process.wait()}"
        except TimeoutError:
            process.kill()
            await process.wait()
        said.seek(0)
        out = said.read().decode("utf-8", "replace")
    checks = [json.loads(line) for line in out.splitlines() if line.startswith('{"checked"')]
    # 1 without a check that failed is an error beside the checks: those behind it were not made
    if not checks or process.returncode != int(any(not check["ok"] for check in checks)):
        checks.append({"checked": "ends by itself", "ok": False, "detail": code or f"not within {RUN_S:.0f} s"})
    return {"library": client.library, "version": client.version, "exchange": run, "checks": checks}


def saved(rows: list[dict[str, Any]]) -> None:
    """Keep the rows of this run in place of the former ones of the same library and exchange, and write the page anew."""
    before = json.loads(SAVED.read_text()) if SAVED.exists() else []
    table = {(row["library"], row["exchange"]): row for row in [*before, *rows]}
    SAVED.write_text(json.dumps([table[key] for key in sorted(table)], indent=1) + "\n")
    subprocess.run([sys.executable, "-P", HERE.parent / "docs.py"], check=True)


async def main() -> int:
    clients = [client_of(file) for file in sorted(HERE.glob("with_*.py"))]
    parser = argparse.ArgumentParser(prog="scripts/clients.sh", description="The simulators beside real client libraries.")
    parser.add_argument(
        "library", nargs="*", choices=[[], *dict.fromkeys(client.library for client in clients)], help="all if not given"
    )
    parser.add_argument("--exchange", default="", help="only with this one, as the file names it")
    parser.add_argument("--keep", type=Path, help="keep the environments in this folder")
    parser.add_argument("--install-only", action="store_true", help="make the environments, and run nothing")
    parser.add_argument("--no-save", action="store_true", help="leave docs/reference/clients.json as it is")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = given.keep or Path(temporary)
        rows = []
        for client in clients:
            runs = [run for run in client.runs if given.exchange in ("", run)]
            if not runs or (given.library and client.library not in given.library):
                continue
            python = installed(client, place)
            for run in () if given.install_only else runs:
                row = await run_one(client, run, python)
                rows.append(row)
                for check in row["checks"]:
                    mark = "ok  " if check["ok"] else "FAIL"
                    print(f"{mark} {client.library} {client.version} {run}: {check['checked']}: {check['detail']}", flush=True)
        programs = 0 if given.install_only else programs_of_the_page(place, {row["library"] for row in rows})
    if given.install_only:
        return 0
    if not rows:
        sys.exit("error: no library has such a run")
    if not given.no_save:
        saved(rows)
    return programs or (0 if all(check["ok"] for row in rows for check in row["checks"]) else 1)


def programs_of_the_page(place: Path, libraries: set[str]) -> int:
    """Run the programs that "test a bot" shows of these libraries, by their test: its exit code, 0 if there are none."""
    shown = sorted(library for library in libraries if f"pip install {library}==" in PAGE.read_text())
    if not shown:
        return 0
    command = [str(HERE.parent / "test"), "-n", "0", "-q", "tests/docs/test_bot_programs.py", "-k", " or ".join(shown)]
    return subprocess.run(command, env=os.environ | {"ALPHAPULSE_CLIENTS": str(place.resolve())}, check=False).returncode


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
