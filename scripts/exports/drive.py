"""Drives real tools over exports: scripts/exports.sh.

    simulated exchanges ─► captures ─► `export --to …` ─► check_*.py in the tool's environment ─► a line of JSON a check
                              └─► truth.py: the books at 1,000 instants ─────┘

To add a tool, write `check_<tool>.py`, beginning with constants that are read without importing it:

    LIBRARY, VERSION, PYTHON, TO = "hftbacktest", "2.4.4", "", "hftbacktest"     on PyPI; "" for this Python; the format
    ALSO = ("tardis-csv",)                                                       further formats that it loads

It is given the folder of the export and that of the truth, and compares by common.py.
"""

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from truth import write_truth

from alphapulse_cli.apps.export.hftbacktest import EXCH, LOCAL, TRADE

HERE = Path(__file__).resolve().parent
SECONDS, RATE, SEED = 40, 60, 7
RUN_S = 900
NAMES = ("LIBRARY", "VERSION", "PYTHON", "TO", "ALSO")
FEEDS = {  # with their faults; without one there is one snapshot, and hftbacktest's Tardis converter takes no more
    "kraken": "",
    "coinbase": "gap:0.001",
    "binance-us": "gap:0.001,disconnect:0.0005",
}
SYMBOLS = "BTC-USD,ETH-USD"
ALPHAPULSE = (sys.executable, "-P", "-m", "alphapulse_cli")


@dataclass(frozen=True)
class Tool:
    """One tool, as its file says it."""

    file: Path
    library: str
    version: str
    python: str
    formats: tuple[str, ...]


def tool_of(file):
    """Tool of a file's constants, without importing it."""
    said: dict[str, Any] = {}
    for statement in ast.parse(file.read_text()).body:
        if isinstance(statement, ast.Assign):
            target = statement.targets[0]
            names = [one.id for one in (target.elts if isinstance(target, ast.Tuple) else [target]) if isinstance(one, ast.Name)]
            if set(names) <= set(NAMES):
                value = ast.literal_eval(statement.value)
                said |= dict(zip(names, value, strict=True)) if isinstance(target, ast.Tuple) else {names[0]: value}
    return Tool(file, said["LIBRARY"], said["VERSION"], said["PYTHON"], (said["TO"], *said.get("ALSO", ())))


def interpreter(version):
    """Python of that version; this one for ""."""
    if not version:
        return sys.executable
    own = os.environ.get(f"PYTHON{version.replace('.', '')}")
    below = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions").glob(f"{version}*/bin/python"))
    for found in (own, *map(str, below), shutil.which(f"python{version}")):
        if found and subprocess.run([found, "-c", "import venv"], check=False, capture_output=True).returncode == 0:
            return found
    return sys.exit(f"error: no Python {version} here\nhint: PYTHON{version.replace('.', '')}=/path/to/it scripts/exports.sh")


def installed(tool, place):
    """Python of an environment with the tool in it; made unless it is there."""
    python = place / f"{tool.library}-{tool.version}" / "bin" / "python"
    if not python.exists():
        print(f"installing {tool.library} {tool.version}", file=sys.stderr)
        subprocess.run([interpreter(tool.python), "-m", "venv", python.parents[1]], check=True)
        done = subprocess.run([python, "-m", "pip", "install", "--quiet", f"{tool.library}=={tool.version}"], check=False)
        if done.returncode:
            shutil.rmtree(python.parents[1])
            sys.exit(f"error: {tool.library} {tool.version} cannot be installed")
    return python


def captured(folder):
    """Capture each simulated exchange for SECONDS; the folder."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as segments:
        settings = os.environ | {"ALPHAPULSE_SHM_DIR": segments}
        running = []
        for name, mischief in FEEDS.items():
            command = [*ALPHAPULSE, "sim", name, "--symbols", SYMBOLS, "--rate", str(RATE), "--seed", str(SEED), "--json"]
            command += ["--duration", f"{SECONDS + 30}s", *(["--mischief", mischief] if mischief else [])]
            sim = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=settings)
            running.append(sim)
            assert sim.stdout is not None
            said = json.loads(sim.stdout.readline())
            addresses = ["--url", said["websocket_url"], "--rest-url", said["rest_url"]]
            command = [*ALPHAPULSE, "capture", "run", folder, "--exchange", name, "--symbols", SYMBOLS, *addresses, "-q"]
            running.append(
                subprocess.Popen([*command, "--duration", f"{SECONDS}s"], env=settings, stdout=subprocess.DEVNULL, text=True)
            )
        print(f"capturing {', '.join(FEEDS)} for {SECONDS} s", file=sys.stderr)
        try:
            for process in running[1::2]:
                process.wait(SECONDS + 60)
        finally:
            for process in running:
                process.terminate()
                process.wait()
    return folder


def exported(place, to, folder):
    """Export the place; False where that fails."""
    command = [*ALPHAPULSE, "export", place, "--to", to, "--output", folder, "--force", "-q", "--json"]
    return subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode == 0


def checked(command):
    """Rows of a tool's checks; one that does not end by itself has failed."""
    with tempfile.TemporaryFile("w+") as out:
        try:
            code = subprocess.run(command, stdout=out, timeout=RUN_S, check=False).returncode
            ending = f"exit code {code}"
        except subprocess.TimeoutExpired:
            code, ending = -1, f"not within {RUN_S} s"
        out.seek(0)
        rows = [json.loads(line) for line in out if line.startswith('{"checked"')]
    has_failed = any(not row["ok"] for row in rows)
    # 1 without a check that failed is an error within the tool's file: checks behind it were not made
    is_whole = bool(rows) and code == int(has_failed)
    return rows if is_whole else [*rows, {"checked": "ends by itself", "ok": False, "detail": ending}]


def told(tool, to, row, failed):
    """Print a check."""
    print(f"{'ok  ' if row['ok'] else 'FAIL'} {tool} {to}: {row['checked']}: {row['detail']}", flush=True)
    return failed + (not row["ok"])


def same_rows(captures, scratch, exports):
    """Whether an export of the dataset that `record` makes of the captures has the same rows: a row of a check.

    Those of books and those of trades, each in order, by our time: a dataset does not know which of two frames of the same time was first.
    Markets with receive times that went back are left out for the same reason.
    """
    dataset, folder = scratch / "dataset", scratch / "of-the-dataset"
    shutil.rmtree(dataset, ignore_errors=True)
    subprocess.run([*ALPHAPULSE, "record", dataset, captures], check=True, stdout=subprocess.DEVNULL)
    is_done = exported(dataset, "hftbacktest", folder)
    markets = json.loads((exports / "export.json").read_text())["markets"]
    names = [one["file"] for one in markets if not one["cleaned"].get("receive_times_that_went_back")]
    different = [name for name in names if not is_done or not same_events(exports / name, folder / name)]
    detail = different or f"{len(names)} files of {len(markets)}"
    return {"checked": "from a dataset: the same rows", "ok": bool(is_done and names and not different), "detail": detail}


def same_events(one, other):
    """Whether two files have the same rows of books and of trades, whatever flags of the exchange's order they have."""
    found = []
    for path in (one, other):
        with np.load(path) as file:
            rows = file["data"]
        rows = rows[rows["ev"] & np.uint64(LOCAL) != 0].copy()
        rows["ev"] &= np.uint64(~EXCH & 0xFFFF_FFFF)
        is_trade = rows["ev"] & np.uint64(0xFF) == TRADE
        found.append((rows[is_trade], rows[~is_trade]))
    (trades, books), (others, other_books) = found
    # trades up to the time of the first book may count as before it, and are then left out
    first_ns = books["local_ts"][0] if len(books) else 0
    later, others_later = (rows[rows["local_ts"] > first_ns].tobytes() for rows in (trades, others))
    return books.tobytes() == other_books.tobytes() and later == others_later and bool(later)


def main():
    tools = [tool_of(file) for file in sorted(HERE.glob("check_*.py"))]
    parser = argparse.ArgumentParser(prog="scripts/exports.sh", description="Exports beside the tools that load them.")
    parser.add_argument("tool", nargs="*", choices=[[], *(tool.library for tool in tools)], help="all if not given")
    parser.add_argument("--captures", type=Path, help="captures to export, instead of simulated ones")
    parser.add_argument("--keep", type=Path, help="keep environments, captures and exports in this folder")
    given = parser.parse_args()
    failed = checks = 0
    with tempfile.TemporaryDirectory() as temporary:
        place = given.keep or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        wanted = [tool for tool in tools if not given.tool or tool.library in given.tool]
        pythons = {tool.library: installed(tool, place) for tool in wanted}
        captures = given.captures or place / "captures"
        if not given.captures and not captures.exists():
            captured(captures)
        truths = place / "truths"
        truths.mkdir(exist_ok=True)
        write_truth(captures, truths)
        for tool in wanted:
            for to in tool.formats:
                if not exported(captures, to, place / to):
                    return 1
                command = [pythons[tool.library], tool.file, place / to, truths]
                for row in checked(command):
                    failed, checks = told(f"{tool.library} {tool.version}", to, row, failed), checks + 1
        if any("hftbacktest" in tool.formats for tool in wanted):
            failed, checks = (
                told("alphapulse", "hftbacktest", same_rows(captures, place, place / "hftbacktest"), failed),
                checks + 1,
            )
    print(f"{checks - failed} of {checks} checks passed")
    return int(failed > 0 or not checks)


if __name__ == "__main__":
    sys.exit(main())
