"""The past against the present: simulators with mischief, collectors that capture, two of them killed; then every promise of a capture.

    python scripts/past.py                              ten minutes
    python scripts/past.py --seconds 5 --instants 40    much as the tests run it

While it lasts, a follower notes books as they are. Afterwards the captures must give each noted book at its instant, level for level,
and two replays at full speed must give the same opportunities (`alphapulse arb watch`), record for record. Run by the Python that has
alphapulse installed. Exit code 1 if anything differs.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import alphapulse_cli as ap
from alphapulse_cli.apps.replay.timeline import recordings
from alphapulse_cli.apps.travel import Travel
from alphapulse_cli.edges.capture.files import capture_files
from alphapulse_cli.readers.api import Following

ALPHAPULSE = [sys.executable, "-P", "-m", "alphapulse_cli"]
EXCHANGES = ("kraken", "coinbase", "okx")
LIMIT_S = 60.0
LEAST_INSTANTS = 10
LOST_NS = 1_200_000_000  # a killed collector loses a second of its capture, and the row of its death is not in it


class Noted(NamedTuple):
    """Book as a live follower had it: what `reconstruct --at` must give for the time of its last frame."""

    exchange: str
    symbol: str
    time_ns: int
    version: int
    rows: list[tuple[str, str, str]]


def command(*words: str, **options: object) -> "subprocess.Popen[str]":
    """Start `alphapulse` with these words."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **options}
    return subprocess.Popen([*ALPHAPULSE, *words], text=True, **pipes)


@contextlib.contextmanager
def running(*words: str, **options: object) -> Iterator["subprocess.Popen[str]"]:
    """Command that is ended with the block."""
    process = command(*words, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=LIMIT_S)
        finally:
            process.kill()


def simulated(stack: contextlib.ExitStack, mischief: str, seed: int) -> dict[str, str]:
    """Addresses of the simulated exchanges, by name."""
    words = ["sim", *EXCHANGES, "--json", "--seed", str(seed), "--plant", "1s", *(["--mischief", mischief] if mischief else [])]
    process = stack.enter_context(running(*words, stderr=subprocess.DEVNULL))
    assert process.stdout is not None
    rows = [json.loads(process.stdout.readline()) for _ in EXCHANGES]
    return {row["exchange"]: row["websocket_url"] for row in rows}


def collector(name: str, url: str, folder: Path, shm_dir: Path) -> "subprocess.Popen[str]":
    """Collector of one exchange that captures into the folder."""
    words = ["collect", "--exchange", name, "--symbols", "BTC-USD,ETH-USD", "--url", url, "--shm-dir", str(shm_dir)]
    return command(
        *words, "--capture", str(folder / "captures"), stdout=subprocess.DEVNULL, stderr=(folder / f"{name}.err").open("a")
    )


def follow(seconds: float, kills: int, addresses: dict[str, str], folder: Path, shm_dir: Path, instants: int) -> list[Noted]:
    """Collect for some seconds and until enough books are noted, and kill collectors meanwhile."""
    dice = random.Random(7)
    processes = {name: collector(name, url, folder, shm_dir) for name, url in addresses.items()}
    noted: list[Noted] = []
    killed: list[tuple[str, int]] = []
    latest: dict[tuple[str, str], Noted] = {}
    try:
        with contextlib.closing(_following(shm_dir)) as updates:
            began = time.monotonic()
            deaths = [began + seconds * (turn + 1) / (kills + 1) for turn in range(kills)]
            while (now := time.monotonic()) < began + seconds or (len(noted) < 2 * instants and now < began + seconds + LIMIT_S):
                if deaths and now >= deaths[0]:
                    deaths.pop(0)
                    name = dice.choice(EXCHANGES)
                    killed.append((name, time.time_ns()))
                    os.kill(processes[name].pid, signal.SIGKILL)
                    processes[name].wait(LIMIT_S)
                    processes[name] = collector(name, addresses[name], folder, shm_dir)
                for update in updates.poll():
                    key = update.exchange, update.symbol
                    before = latest.get(key)
                    is_next = before is not None and update.version == before.version + 1 and before.time_ns < update.timestamp_ns
                    if before is not None and is_next:  # so that no later frame had the same time
                        noted.append(before)
                    if update.state.name == "LIVE" and dice.random() < 0.3:
                        latest[key] = Noted(*key, update.timestamp_ns, update.version, update.copy().rows())
                    else:
                        latest.pop(key, None)
                updates.wait(0.05)
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.wait(LIMIT_S)
    kept = [one for one in noted if not any(one.exchange == name and 0 <= died - one.time_ns < LOST_NS for name, died in killed)]
    return dice.sample(kept, min(instants, len(kept)))


def _following(shm_dir: Path) -> Following:
    end = time.monotonic() + LIMIT_S
    while True:
        try:
            return ap.follow(*EXCHANGES, shm_dir=str(shm_dir))
        except ap.SegmentError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def compare(folder: Path, noted: list[Noted]) -> tuple[int, int]:
    """Compare the noted books with those of the captures; the numbers that differ, and of which the instant had another version too.

    Frames that one read brings have one receive time: a book that another of them changed is not the instant's.
    """
    wrong = shared = 0
    for recording in recordings(capture_files([folder / "captures"])):
        ours = sorted((one for one in noted if one.exchange == recording.exchange), key=lambda one: one.time_ns)
        if not ours:
            continue
        with Travel(recording, (), ours[0].time_ns, lambda *_: None) as travel:
            for one in ours:
                books = [book.view(None) for book in travel.to(one.time_ns)]
                [book] = [book for book in books if book.symbol == one.symbol]
                rows = [("bid", *level[:2]) for level in book.bids] + [("ask", *level[:2]) for level in book.asks]
                if book.version != one.version:
                    shared += 1
                elif rows != one.rows:
                    wrong += 1
                    print(f"past: {one.exchange}:{one.symbol} at {one.time_ns}: {len(set(rows) ^ set(one.rows))} levels differ")
        for one in ours[:: max(len(ours) // 20, 1)]:  # from the checkpoint before it, too
            then = ap.at(folder / "captures", one.exchange, one.symbol, one.time_ns)
            wrong += then.version == one.version and then.rows() != one.rows
    return wrong, shared


def opportunities(folder: Path, turn: int) -> list[str]:
    """Events of `arb watch` beside a replay at full speed."""
    shm_dir = folder / f"replay-{turn}"
    words = ["replay", str(folder / "captures"), "--speed", "max", "--paused", "--shm-dir", str(shm_dir)]
    with command(*words) as playing:
        try:
            end = time.monotonic() + LIMIT_S
            while subprocess.run(
                [*ALPHAPULSE, "replay", "status", "--shm-dir", str(shm_dir)], capture_output=True, check=False
            ).returncode:
                if time.monotonic() > end or playing.poll() is not None:
                    raise RuntimeError(f"the replay does not begin: {playing.stdout.read() if playing.stdout else ''}")
                time.sleep(0.05)
            return _watched(shm_dir, playing)
        finally:
            playing.kill()


def _watched(shm_dir: Path, playing: "subprocess.Popen[str]") -> list[str]:
    words = ["arb", "watch", "--json", "--shm-dir", str(shm_dir), "--min-bps", "0"]
    with command(*words, stderr=subprocess.DEVNULL) as watching:
        try:
            end = time.monotonic() + LIMIT_S
            while len(list((shm_dir / "readers").glob("*"))) < len(
                EXCHANGES
            ):  # one of each set: it has to see all from the beginning
                if time.monotonic() > end:
                    raise RuntimeError("no reader attached to each set")
                time.sleep(0.05)
            subprocess.run([*ALPHAPULSE, "replay", "resume", "--shm-dir", str(shm_dir)], check=True, capture_output=True)
            playing.wait(10 * LIMIT_S)
            end = time.monotonic() + LIMIT_S
            while _is_behind(shm_dir):  # on a busy machine it reads on for seconds
                if time.monotonic() > end:
                    raise RuntimeError("arb watch does not read on")
                time.sleep(0.05)
            time.sleep(0.5)  # for the events of the last records
            watching.terminate()
            found, _ = watching.communicate(timeout=LIMIT_S)
        finally:
            watching.kill()
    return found.splitlines()


def _is_behind(shm_dir: Path) -> bool:
    """Whether a reader of these segments has records left to read."""
    words = [*ALPHAPULSE, "segments", "--json", "--shm-dir", str(shm_dir)]
    rows = [json.loads(line) for line in subprocess.run(words, capture_output=True, check=True, text=True).stdout.splitlines()]
    return any(reader["lag"] for row in rows for reader in row["readers"])


def main() -> int:
    """Run the campaign; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--instants", type=int, default=1_000)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--mischief", default="gap,checksum,disconnect:0.002,reorder,duplicate,garbage,unknown,offgrid")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        folder = Path(place)
        addresses = simulated(stack, given.mischief, given.seed)
        noted = follow(given.seconds, given.kills, addresses, folder, folder / "live", given.instants)
        stack.close()
        wrong, shared = compare(folder, noted)
        print(f"past: {len(noted)} noted books, {wrong} differ from the capture's; {shared} had no instant of their own")
        first, second = opportunities(folder, 1), opportunities(folder, 2)
        print(
            f"past: {len(first)} and {len(second)} events of arb watch beside two replays, {'equal' if first == second else 'NOT equal'}"
        )
        if not first:  # a short run may have none
            print("past: no opportunity was seen, so nothing is said about them")
        return int(
            bool(wrong)
            or first != second
            or (not first and given.seconds >= 30)
            or len(noted) - shared < min(LEAST_INSTANTS, given.instants)
        )


if __name__ == "__main__":
    sys.exit(main())
