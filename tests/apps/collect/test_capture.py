"""Captures by real collectors, against simulators with mischief: complete byte for byte, through restarts, a kill, and a full disk."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path

import orjson
import pytest
from support.app_parts import Sims, live_books, sample, wait_until
from websockets.asyncio.server import ServerConnection

import alphapulse_cli as ap
from alphapulse_cli.apps.capture.info import row_of
from alphapulse_cli.apps.capture.survey import survey
from alphapulse_cli.apps.revive import collect_command
from alphapulse_cli.edges import control
from alphapulse_cli.edges.capture import files
from alphapulse_cli.edges.capture.reader import CaptureFile
from alphapulse_cli.shm.counters import CaptureState
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.sim.exchange import SimulatedExchange

SYMBOLS = ("ETH-BTC", "DOGE-USD")
MISCHIEF = {"kraken": ("checksum", "garbage", "disconnect"), "binance-us": ("gap", "duplicate", "disconnect")}


class Wire:
    """What the simulators sent and received, by connection, in order; and their REST answers."""

    def __init__(self, monkeypatch):
        self.sent: dict[ServerConnection, list[bytes]] = defaultdict(list)
        self.received: dict[ServerConnection, list[bytes]] = defaultdict(list)
        self.connections: list[ServerConnection] = []
        self.answers: list[tuple[str, int, bytes]] = []
        send, receive, get = ServerConnection.send, ServerConnection.recv, SimulatedExchange._get

        def note(connection):
            if connection not in self.connections:
                self.connections.append(connection)

        async def noted_send(connection, message, *more, **options):
            note(connection)
            self.sent[connection].append(message.encode() if isinstance(message, str) else bytes(message))
            await send(connection, message, *more, **options)

        async def noted_receive(connection, *more, **options):
            message = await receive(connection, *more, **options)
            self.received[connection].append(message.encode() if isinstance(message, str) else bytes(message))
            return message

        async def noted_get(exchange, path, query):
            answer = await get(exchange, path, query)
            self.answers.append((path, answer.status, answer.body))
            return answer

        monkeypatch.setattr(ServerConnection, "send", noted_send)
        monkeypatch.setattr(ServerConnection, "recv", noted_receive)
        monkeypatch.setattr(SimulatedExchange, "_get", noted_get)

    def of(self, sim):
        """Connections to that simulator, in the order in which they were made."""
        port = int(sim.websocket_url.split(":")[2].split("/")[0])
        return [one for one in self.connections if one.local_address[1] == port]


@pytest.fixture
def wire(monkeypatch):
    return Wire(monkeypatch)


@pytest.fixture
def sims():
    made = Sims()
    yield made
    made.close()


def end(process, number=signal.SIGTERM):
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out.decode(), err.decode()


def rows_of(folder, set_name):
    """Rows of a set's files, a file each; none may be damaged."""
    found = []
    for path in files.capture_files([folder], set_name):
        with CaptureFile(path) as file:
            found.append(list(file.rows()))
            assert [one for one in file.damages if not one.at_end] == []
    return found


def connections_in(rows):
    """(frames received, frames sent) of each connection that was made, in order. A file's first rows tell of those made before."""
    made: list[tuple[list[bytes], list[bytes]]] = []
    for row in rows:
        if row.kind == b"open" and "again" not in orjson.loads(row.payload):
            made.append(([], []))
        elif row.kind in (b"recv", b"sent"):
            made[-1][row.kind == b"sent"].append(row.payload)
    return made


def received_in(rows):
    return [row.payload for row in rows if row.kind == b"recv"]


class TestSeveralSetsInOneFolder:
    def test_are_complete_byte_for_byte_through_mischief_and_rotation(self, alphapulse, sims, wire):
        for name in MISCHIEF:
            sims.start(name)
        folder = alphapulse.directory / "captures"
        exchanges = [word for name in MISCHIEF for word in ("--exchange", name)]
        words = ["collect", *exchanges, "--symbols", ",".join(SYMBOLS), "--capture", str(folder), "--rotate", "2s"]
        process = alphapulse.start(*words, **sims.environment())
        wait_until(lambda: sims.nudge() or len(live_books(alphapulse.shm_dir, *MISCHIEF)) == 4, what="live books")
        for name, kinds in MISCHIEF.items():
            sim = sims.served[name]
            for kind in kinds:
                before, connections = sim.injection_counts[kind], len(wire.of(sim))
                sims.inject(kind, name)

                def struck(sim=sim, kind=kind, name=name, before=before):
                    sims.nudge()
                    if sim.connections and sim.injection_counts[kind] == before:
                        sims.inject(kind, name)
                    return sim.injection_counts[kind] > before

                wait_until(struck, what=f"{kind} of {name}")
                if kind == "disconnect":  # the books are LIVE until the collector has noticed it
                    wait_until(lambda sim=sim, n=connections: len(wire.of(sim)) > n, what=f"another connection to {name}")
            wait_until(lambda: sims.nudge() or len(live_books(alphapulse.shm_dir, *MISCHIEF)) == 4, what="live again")
        wait_until(
            lambda: sims.nudge() or all(len(list(folder.glob(f"{name}-*.cap.zst"))) > 2 for name in MISCHIEF), what="more files"
        )
        code, _, err = end(process)
        assert (code, "capture" in err) == (0, False), err
        assert (folder.stat().st_mode & 0o777, {path.stat().st_mode & 0o777 for path in folder.iterdir()}) == (0o700, {0o600})
        for name in MISCHIEF:
            rows = [row for file in rows_of(folder, name) for row in file]
            assert rows[-1].kind == b"done"
            made, truth = connections_in(rows), wire.of(sims.served[name])
            assert len(made) == len(truth) > 1, "the disconnect made another"
            for (received, sent), connection in zip(made, truth, strict=True):
                assert received == wire.sent[connection][: len(received)]
                assert len(wire.sent[connection]) - len(received) < 40, "in flight when the connection ended"
                assert wire.received[connection] == sent[: len(wire.received[connection])]
            told = [(status, body) for _, status, body in wire.answers]
            answers = [row.payload.partition(b"\n") for row in rows if row.kind == b"rest"]
            assert answers
            for line, _, body in answers:
                assert (orjson.loads(line)["status"], body) in told
        rows = [row for name in MISCHIEF for file in rows_of(folder, name) for row in file if row.kind == b"rest"]
        kept = Counter(row.payload.partition(b"\n")[2] for row in rows)
        assert not kept - Counter(body for *_, body in wire.answers)
        without = [path for path, _, body in wire.answers if body not in kept]
        # a snapshot that was on its way as its connection was cut, or as the collector ended, was never received
        assert set(without) <= {"/api/v3/depth"}
        assert len(without) <= 2 * len(SYMBOLS), "every REST answer"


class TestOneCollector:
    @pytest.fixture
    def folder(self, alphapulse):
        return alphapulse.directory / "captures"

    def begin(self, alphapulse, sims, *more, **env):
        where = sims.served.get("kraken") or sims.start("kraken")
        words = ["collect", "--exchange", "kraken", "--symbols", ",".join(SYMBOLS), *more]
        return alphapulse.start(*words, **sims.environment(), **env), where

    def until_live(self, alphapulse, sims):
        wait_until(lambda: sims.nudge() or len(live_books(alphapulse.shm_dir, "kraken")) == 2, what="live books")

    def totals(self, alphapulse):
        [status] = sample(alphapulse.shm_dir, "kraken")
        return status.totals

    def test_killed_it_loses_a_second_at_most_and_the_next_one_goes_on_beside_it(self, alphapulse, sims, folder):
        process, _ = self.begin(alphapulse, sims, "--capture", str(folder))
        self.until_live(alphapulse, sims)
        seen: list[tuple[float, int]] = []  # (time, frames that the collector has)
        stalled_s = 0.0  # the longest time in which the collector did not get to run
        until, before = time.monotonic() + 4.0, time.monotonic()
        while time.monotonic() < until:
            sims.move(2)
            [status] = sample(alphapulse.shm_dir, "kraken")
            now = time.monotonic()
            if seen and status.totals["frames"] == seen[-1][1]:
                stalled_s = max(stalled_s, now - before)
            else:
                before = now
            seen.append((now, status.totals["frames"]))
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        killed_s = time.monotonic()
        process.wait(30)
        with open_directory(str(alphapulse.shm_dir)) as directory:
            assert f" --capture {folder} " in collect_command(directory, sample(alphapulse.shm_dir, "kraken")[0])
        due = max(frames for at, frames in seen if at < killed_s - 1.0 - stalled_s)
        [rows] = rows_of(folder, "kraken")
        assert rows[-1].kind != b"done"
        assert len(received_in(rows)) >= due > 50
        again, _ = self.begin(alphapulse, sims, "--capture", str(folder))
        wait_until(lambda: sample(alphapulse.shm_dir, "kraken")[0].pid == again.pid, what="the next collector")
        self.until_live(alphapulse, sims)
        assert end(again)[0] == 0
        first, second = rows_of(folder, "kraken")
        assert first == rows
        heads = [orjson.loads(file[0].payload) for file in (first, second)]
        assert heads[0]["run_ns"] < heads[1]["run_ns"]
        assert [head["file"] for head in heads] == [0, 0]
        assert len(heads[1]["instruments"]) == 2

    def change(self, alphapulse, action, symbol):
        with open_directory(str(alphapulse.shm_dir)) as directory:
            assert control.ask(directory, "kraken", action, [symbol]) == [symbol]

    def test_symbols_that_come_and_go_meanwhile_are_in_it(self, alphapulse, sims, folder):
        """One that was added replays to the book that it had, one that was removed ends, and the file is whole."""
        sims.start("kraken", symbols=("ETH-BTC", "DOGE-USD", "BTC-USD", "SOL-USD"))
        process, _ = self.begin(alphapulse, sims, "--capture", str(folder))

        def book(symbol):
            with ap.Book("kraken", symbol, shm_dir=str(alphapulse.shm_dir)) as image:
                return image.read()

        def live(*symbols):
            wait_until(
                lambda: sims.nudge() or {one.symbol for one in live_books(alphapulse.shm_dir, "kraken")} == set(symbols),
                what=symbols,
            )
            versions = {symbol: book(symbol).version for symbol in symbols}
            wait_until(lambda: sims.nudge() or all(book(symbol).version > version for symbol, version in versions.items()))

        live(*SYMBOLS)
        assert alphapulse("collect", "add", "BTC-USD").code == 0
        self.change(alphapulse, "add", "SOL-USD")
        live(*SYMBOLS, "BTC-USD", "SOL-USD")
        last = {symbol: book(symbol) for symbol in ("SOL-USD", "DOGE-USD")}
        assert alphapulse("collect", "rm", "SOL-USD").code == 0  # has a connection of its own
        self.change(alphapulse, "rm", "DOGE-USD")  # shares one
        live("ETH-BTC", "BTC-USD")
        assert end(process)[0] == 0
        last |= {symbol: book(symbol) for symbol in ("ETH-BTC", "BTC-USD")}
        [rows] = rows_of(folder, "kraken")
        opened = [orjson.loads(row.payload)["symbols"] for row in rows if row.kind == b"open"]
        assert opened == [["ETH/BTC", "DOGE/USD"], ["BTC/USD"], ["SOL/USD"]]
        [shut] = [row for row in rows if row.kind == b"shut" and b"its symbols were removed" in row.payload]
        assert shut.connection == 3
        assert not [row for row in rows[rows.index(shut) :] if row.connection == 3 and row.kind == b"recv"]
        assert rows[-1].kind == b"done"
        assert alphapulse("capture", "check", str(folder)).code == 0
        [info] = [row_of(survey(path)) for path in files.capture_files([folder])]
        assert (info["state"], info["symbols"]) == ("whole", ["ETH-BTC", "DOGE-USD", "BTC-USD", "SOL-USD"])
        for symbol, noted in last.items():
            then = ap.at(folder, "kraken", symbol, noted.timestamp_ns)
            assert (then.rows(), then.version, then.state.name) == (noted.rows(), noted.version, "LIVE"), symbol

    def test_readers_see_what_is_captured(self, alphapulse, sims, folder):
        process, _ = self.begin(alphapulse, sims, "--capture", str(folder), "--json")
        self.until_live(alphapulse, sims)
        wait_until(lambda: sims.nudge() or self.totals(alphapulse)["capture_rows"] > 20, what="rows in the file")
        done = alphapulse("segments", "--format", "table")
        assert "writing: " in done.stdout
        assert done.stderr == ""
        rows = [json.loads(line) for line in alphapulse("segments", "--json").stdout.splitlines()]
        [counters] = [row for row in rows if row["kind"] == "counters"]
        assert (counters["capture"], counters["capture_rows_lost"]) == ("WRITING", 0)
        assert counters["capture_rows"] > 20
        code, out, _ = end(process)
        said = [json.loads(line) for line in out.splitlines()]
        assert code == 0
        assert {row["capture"] for row in said} == {"WRITING"}

    def test_a_folder_that_cannot_be_used_is_said_before_anything_is_asked(self, alphapulse, sims, wire, tmp_path):
        sims.start("kraken")
        (tmp_path / "file").write_text("x")
        words = ["--exchange", "kraken", "--duration", "5"]
        for command in (["collect", "--capture", str(tmp_path / "file" / "below")], ["capture", "run", str(tmp_path / "file")]):
            done = alphapulse(*command, *words, **sims.environment())
            assert done.code != 0
            assert done.stderr.startswith("error: cannot ")
            assert "Traceback" not in done.stderr
        assert wire.answers == []


class TestCaptureRun:
    def test_it_heals_and_captures_and_leaves_no_books(self, alphapulse, sims, wire):
        sims.start("kraken")
        folder = alphapulse.directory / "captures"
        words = ["capture", "run", "--exchange", "kraken", "--symbols", ",".join(SYMBOLS), str(folder), "--rotate", "1s"]
        process = alphapulse.start(*words, **sims.environment())

        def file_count(least):
            sims.nudge()
            return len(list(folder.glob("*.cap.zst"))) > least if folder.is_dir() else False

        wait_until(lambda: file_count(0), what="a file")
        assert alphapulse("segments").code == 3, "no reader finds a book"
        private = [path.name for path in alphapulse.shm_dir.iterdir() if path.name.startswith("capture-")]
        assert len(private) == 1
        sims.inject("disconnect", "kraken")
        wait_until(lambda: sims.nudge() or len(wire.of(sims.served["kraken"])) > 1, what="another connection")
        wait_until(lambda: file_count(2), what="more files")
        code, _, err = end(process)
        assert (code, "Traceback" in err) == (0, False)
        assert [path.name for path in alphapulse.shm_dir.iterdir() if path.name != "limits"] == []
        rows = [row for file in rows_of(folder, "kraken") for row in file]
        assert rows[-1].kind == b"done"
        made, truth = connections_in(rows), wire.of(sims.served["kraken"])
        assert len(made) == len(truth)
        for (received, _), connection in zip(made, truth, strict=True):
            assert received == wire.sent[connection][: len(received)]

    def test_what_a_killed_one_left_goes_with_the_next(self, alphapulse, sims):
        sims.start("kraken")
        words = ["capture", "run", "--exchange", "kraken", "--symbols", "ETH-BTC", "captures", "--duration", "0.5"]
        left = alphapulse.shm_dir / "capture-1"
        left.mkdir(0o700)
        (left / "kraken_counters").write_bytes(b"x")
        an_hour_ago = time.time() - 3600
        os.utime(left, (an_hour_ago, an_hour_ago))
        alphapulse(*words, **sims.environment())
        assert not left.exists()


def _mounts_here():
    """Whether this user may mount a small file system in a namespace of its own."""
    if shutil.which("unshare") is None:
        return False
    tried = ["unshare", "-Ur", "-m", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not _mounts_here(), reason="no user and mount namespaces here (`unshare -Ur -m`)")
def test_on_a_full_disk_the_books_stay_live_the_loss_is_marked_and_it_goes_on_when_there_is_room(alphapulse, sims):
    """A real small file system: what finds no room is counted and marked, and nobody waits."""
    sims.start("kraken")
    folder = alphapulse.directory / "small"
    folder.mkdir()
    quick = alphapulse.directory / "quick"
    quick.mkdir()
    (quick / "sitecustomize.py").write_text("from alphapulse_cli.edges.capture import rolling\nrolling.TRY_AGAIN_S = 0.5\n")
    path = os.pathsep.join(filter(None, [str(quick), os.environ.get("PYTHONPATH", "")]))
    script = f'mount -t tmpfs -o size=600k,mode=700 tmpfs "{folder}" && head -c 540k /dev/zero > "{folder}/filler" && exec "$@"'
    words = ["collect", "--exchange", "kraken", "--symbols", ",".join(SYMBOLS), "--capture", str(folder), "--least-free", "0"]
    process = subprocess.Popen(
        ["unshare", "-Ur", "-m", "sh", "-c", script, "sh", *alphapulse.command, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=alphapulse.directory,
        env=alphapulse.environment(**sims.environment(), PYTHONPATH=path),
        start_new_session=True,
    )
    inside = Path(f"/proc/{process.pid}/root{folder}")

    def totals():
        found = sample(alphapulse.shm_dir, "kraken")
        return found[0].totals if found and found[0].liveness else {}

    try:
        wait_until(lambda: sims.nudge() or len(live_books(alphapulse.shm_dir, "kraken")) == 2, what="live books")
        wait_until(lambda: sims.move(20) or totals().get("capture_state") == CaptureState.NO_ROOM, what="a full disk")
        lost = totals()["capture_rows_lost"]
        assert lost > 0
        shown = alphapulse("segments", "--format", "table")
        assert "warning: kraken: CAPTURE STOPPED: the disk is full" in shown.stderr
        assert "CAPTURE STOPPED" in alphapulse("doctor").stdout
        frames = totals()["frames"]
        wait_until(lambda: sims.move() or totals()["frames"] > frames + 20, what="frames while it is full")
        assert len(live_books(alphapulse.shm_dir, "kraken")) == 2, "the books are none the worse"
        (inside / "filler").unlink()
        wait_until(lambda: sims.move() or totals().get("capture_state") == CaptureState.WRITING, what="room again")
        rows_then = totals()["capture_rows"]
        wait_until(lambda: sims.move() or totals()["capture_rows"] > rows_then + 20, what="rows behind the loss")
        copied = alphapulse.directory / "copied"
        shutil.copytree(inside, copied)
        lost = totals()["capture_rows_lost"]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    said = err.decode()
    assert process.returncode == 0, said
    assert said.count("the capture is not written: no space left on device") == 1
    assert said.count("the capture is written again") == 1
    rows = [row for file in rows_of(copied, "kraken") for row in file]
    marks = [orjson.loads(row.payload) for row in rows if row.kind == b"lost"]
    assert sum(mark["rows"] for mark in marks) == lost
    assert {mark["reason"] for mark in marks} == {"no space left on device"}
    places = [place for place, row in enumerate(rows) if row.kind == b"lost"]
    assert any(row.kind == b"recv" for row in rows[places[-1] :]), "it goes on behind the mark"
