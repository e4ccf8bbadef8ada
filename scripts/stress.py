"""The proof of the shared memory and of the numbers, as long as you like: campaigns that try to break what alphapulse promises.

    python scripts/stress.py                        all of them, bounded: a minute or two
    python scripts/stress.py torn --seed 7          one alone, from a seed that was printed
    python scripts/stress.py death --count 2000     one alone, at another size
    python scripts/stress.py --full                 all of them at full size: about an hour

    torn      records and image copies read between two processes at full speed and checked to the last byte, and mutants
    death     writers killed with SIGKILL at random moments, and their successors; a writer that is stopped and comes back
    stores    a writer killed before each of its stores, one after the other, at most so many times; and mutants
    hostile   mutated headers, images, cursors and wake pages; files that are no segments; limits of the system
    numbers   books against a dict, groups against what went in, decimal text against `decimal`
    roads     each feed's frames, whole and spoilt, on LIVE books: the fast road against the JSON road
    fuzz      decimal text made up to reach every branch of the parser, against `decimal` (guided by coverage where atheris is installed)

Run from a source tree, whose tests/stress the parts are, by a Python that has alphapulse and what its tests need; one that has not hands
over to .venv (or $ALPHAPULSE_VENV), which `scripts/test` makes. Each campaign says its seed
first and what it counted last; exit code 1 if anything failed. It leaves no files and no processes behind, ended by a signal either.
"""

import argparse
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NEEDED = ("alphapulse_cli", "numpy", "hypothesis", "pytest")
SIZES = {  # bounded, full
    "torn": (1_000_000, 1_000_000_000),
    "death": (200, 10_000),
    "stores": (200, 1_000_000),
    "hostile": (5_000, 100_000),
    "numbers": (200_000, 10_000_000),
    "roads": (20_000, 400_000),
    "fuzz": (50_000, 10_000_000),
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("campaigns", nargs="*", metavar="CAMPAIGN", help=f"of {', '.join(SIZES)}; all if none is named")
    parser.add_argument("--full", action="store_true", help="at full size")
    parser.add_argument("--seed", type=int, help="where the dice begin; drawn anew if not given")
    parser.add_argument("--count", type=int, help="how many, in place of the default size")
    parser.add_argument("--quiet", action="store_true", help="only what begins and ends a campaign")
    given = parser.parse_args()
    unknown = sorted(set(given.campaigns) - set(SIZES))
    if unknown:
        parser.error(f"no campaign {unknown[0]}: there are {', '.join(SIZES)}")
    return given


class Places:
    """Directories for segments, each new, in shared memory where there is any."""

    def __init__(self):
        shared = Path("/dev/shm")
        self.root = Path(
            tempfile.mkdtemp(prefix=f"alphapulse-stress-{os.getpid()}-", dir=shared if os.access(shared, os.W_OK) else None)
        )

    def __call__(self, name):
        """A directory of that name, as it may be written in a path."""
        path = self.root / re.sub(r"[^a-z0-9]+", "-", name.lower())
        path.mkdir(mode=0o700)
        return path


def run(name, count, seed, *, quiet):
    """One campaign; whether nothing failed."""
    campaign = import_module(f"stress.{name}").campaign
    print(f"{name}: seed {seed}, count {count:,}", flush=True)
    places, started = Places(), time.monotonic()
    try:
        counted, failed = campaign(
            places, count, seed, (lambda _: None) if quiet else (lambda line: print(f"  {line}", flush=True))
        )
    finally:
        shutil.rmtree(places.root, ignore_errors=True)
    figures = ", ".join(f"{figure:,} {what}" for what, figure in counted.items())
    print(f"{name}: {'FAILED' if failed else 'passed'} in {time.monotonic() - started:.0f} s: {figures}", flush=True)
    for line in failed[:20]:
        print(f"  {line}", flush=True)
    return not failed


def hand_over(missing):
    """Run again by the Python of the venv that `scripts/test` makes; where there is none, or it is that one, say what to do and end."""
    venv = Path(os.environ.get("ALPHAPULSE_VENV", ".venv"))
    python = (ROOT / venv / "bin" / "python").absolute()
    if python.exists() and Path(sys.prefix).resolve() != (ROOT / venv).resolve():
        print(f"{sys.executable} has no {missing}; {python} runs it", file=sys.stderr, flush=True)
        os.execv(python, [str(python), __file__, *sys.argv[1:]])
    print(f"error: {sys.executable} has no {missing}", file=sys.stderr)
    print("hint: scripts/test tests/stress makes .venv, which has it", file=sys.stderr)
    sys.exit(2)


def main():
    # This file's own folder is first in the path: there `stress` would be this file, not tests/stress.
    sys.path[:] = [str(ROOT / "tests"), *(place for place in sys.path if Path(place).resolve() != ROOT / "scripts")]
    given = arguments()
    for needed in NEEDED:
        if find_spec(needed) is None:
            hand_over(needed)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    from alphapulse_cli import build

    print(f"alphapulse: {build.core_mode()} core, Python {sys.version.split()[0]}, {os.cpu_count()} processors", flush=True)
    seed = secrets.randbits(32) if given.seed is None else given.seed
    passed = [
        run(name, given.count or SIZES[name][given.full], seed, quiet=given.quiet) for name in given.campaigns or tuple(SIZES)
    ]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
