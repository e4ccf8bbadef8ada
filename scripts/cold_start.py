"""Start-up hygiene: light commands import nothing heavy. Fails on what is imported, prints (and never judges) how long it takes.

Run by the Python that has alphapulse installed. `--modules-only` leaves the timings out. Each command's help is loaded in a process
of its own, forked before anything of a command was imported, and what `sys.modules` holds at its end is compared with the list of heavy
packages. The times are medians of a few runs beside a two-command typer app on the same machine, in the same minute: only their ratio
means anything.
"""

import json
import os
import statistics
import subprocess
import sys
import time

from alphapulse_cli.apps.bench.scenarios.startup import TWO_COMMANDS

HEAVY = (
    "websockets",
    "numpy",
    "pandas",
    "pyarrow",
    "duckdb",
    "textual",
    "pydantic",
    "asyncio",
    "ssl",
    "rich",
    "hypothesis",
    "multiprocessing",
    "http",
    "sqlite3",
    "alphapulse_cli.market.events",  # ours, for what comes with it: enums and dataclasses by the dozen
)
RUNS = 5

PROBE = """
import json, os, sys
from alphapulse_cli.cli.app import main
for arguments in json.loads(sys.argv[1]):
    if os.fork():
        os.wait()
        continue
    out, sys.stdout = sys.stdout, open(os.devnull, "w")
    code = main(arguments)
    modules = {name.partition(".")[0] for name in sys.modules} | {name for name in sys.modules if name.startswith("alphapulse_cli.")}
    print(json.dumps({"code": int(code), "modules": sorted(modules)}), file=out, flush=True)
    os._exit(0)
"""


def light_commands() -> list[list[str]]:
    """The help of everything, and what a prompt or a script asks often."""
    from alphapulse_cli.cli import commands
    from alphapulse_cli.cli.loading import load

    lines = [["--version"], ["--help"]]
    for name in commands.available():
        lines.append([name, "--help"])
        lines += [[name, child, "--help"] for child in getattr(load(name), "commands", {})]
    return lines


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("ALPHAPULSE_", "COV_"))}


def heavy_modules(lines: list[list[str]]) -> list[tuple[int, list[str]]]:
    """Each command's exit code, and which heavy packages it imported."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROBE, json.dumps(lines)],
        capture_output=True,
        check=True,
        text=True,
        env=clean_environment(),
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if len(answers) != len(lines):
        raise RuntimeError(f"{len(answers)} of {len(lines)} commands answered: {done.stderr}")
    return [(answer["code"], sorted(set(HEAVY) & set(answer["modules"]))) for answer in answers]


def median_ms(command: list[str]) -> float:
    times = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=clean_environment())
        times.append((time.perf_counter() - begun) * 1_000)
    return statistics.median(times)


def main() -> int:
    failed = False
    lines = light_commands()
    for arguments, (code, heavy) in zip(lines, heavy_modules(lines), strict=True):
        if code or heavy:
            failed = True
            print(f"alphapulse {' '.join(arguments)}: exit code {code}, imports {', '.join(heavy) or 'nothing heavy'}")
    if "--modules-only" not in sys.argv:
        base = median_ms([sys.executable, "-P", "-c", TWO_COMMANDS, "--help"])
        print(f"{base:6.0f} ms  a two-command typer app --help")
        for arguments in (["--version"], ["--help"], ["config", "--help"]):
            spent = median_ms([sys.executable, "-P", "-m", "alphapulse_cli", *arguments])
            print(f"{spent:6.0f} ms  alphapulse {' '.join(arguments)}  ({spent / base:.2f} x)")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
