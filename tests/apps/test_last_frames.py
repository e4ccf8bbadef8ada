"""Last frames of real collectors against simulators: what a parallel capture has of the span, or a plain reason why there is none."""

import os
import signal
import threading
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import orjson
import pytest
from support.app_parts import Sims, live_books, sample, wait_until

import alphapulse_cli as ap
from alphapulse_cli.apps.last_frames import last_frames, write_last
from alphapulse_cli.apps.revive import collect_command
from alphapulse_cli.edges import control
from alphapulse_cli.edges.capture import files
from alphapulse_cli.edges.capture.reader import CaptureFile
from alphapulse_cli.edges.capture.rows import Row
from alphapulse_cli.errors import AlphapulseError, NoSegment, NotASegment, StorageError, UsageError
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory

SYMBOLS = ("ETH-BTC", "DOGE-USD")
ELSEWHERE = (b"head", b"held", b"done")  # rows that are a file's own


@pytest.fixture
def sims():
    made = Sims()
    yield made
    made.close()


def begin(alphapulse, sims, *more, names=("kraken",)):
    for name in names:
        if name not in sims.served:
            sims.start(name)
    exchanges = [word for name in names for word in ("--exchange", name)]
    process = alphapulse.start("collect", *exchanges, "--symbols", ",".join(SYMBOLS), *more, **sims.environment())
    wait_until(lambda: sims.nudge() or len(live_books(alphapulse.shm_dir, *names)) == 2 * len(names), what="live books")
    return process


def end(process):
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err.decode()


def rows_of(place):
    found: list[Row] = []
    for path in files.capture_files([place]):
        with CaptureFile(path) as file:
            found += file.rows()
            assert not [one for one in file.damages if not one.at_end]
    return found


def shared(rows):
    """Rows without those of their own file."""
    return [row for row in rows if row.kind not in ELSEWHERE and b'"again":true' not in row.payload]


def asked(alphapulse, set_name, into):
    into.mkdir(exist_ok=True)
    with open_directory(str(alphapulse.shm_dir)) as directory:
        return last_frames(directory, set_name, into)


def test_they_are_the_rows_of_a_capture_of_the_same_time_and_play_to_the_same_books(alphapulse, sims, tmp_path):
    """Of two exchanges, of which one was disconnected meanwhile, early on and from checkpoints later."""
    names = ("kraken", "binance-us")
    captured = tmp_path / "captured"
    process = begin(alphapulse, sims, "--capture", str(captured), "--last-frames", "3s", names=names)
    early = asked(alphapulse, "kraken", tmp_path / "early")
    number = 0

    def later():
        nonlocal number
        sims.nudge()
        number += 1
        path = asked(alphapulse, "kraken", tmp_path / f"try-{number}")
        return path if [row.kind for row in rows_of(path)][2] == b"held" else None

    wait_until(later, what="a span that begins with checkpoints")
    sims.inject("disconnect", "kraken")
    wait_until(lambda: sims.nudge() or sample(alphapulse.shm_dir, "kraken")[0].totals["reconnects"], what="a reconnect")
    wait_until(lambda: sims.nudge() or len(live_books(alphapulse.shm_dir, *names)) == 4, what="live again")
    made = alphapulse("capture", "last", str(tmp_path / "now"), "--json")
    assert made.code == 0, made.stderr
    reported = {row["set"]: Path(row["file"]) for row in map(orjson.loads, made.stdout.splitlines())}
    end(process)
    assert set(reported) == set(names)
    assert alphapulse("capture", "check", str(tmp_path / "now")).code == 0
    for name, path in {**reported, "early": early}.items():
        assert path.stat().st_mode & 0o777 == 0o600
        set_name = "kraken" if name == "early" else name
        whole = shared([row for file in files.capture_files([captured], set_name) for row in rows_of(file)])
        last = shared(rows_of(path))
        place = whole.index(last[0])
        assert last == whole[place : place + len(last)]
        assert [row for row in last if row.kind == b"recv"]
    last_ns = shared(rows_of(reported["kraken"]))[-1].time_ns
    for symbol in SYMBOLS:
        books = [ap.at(place, "kraken", symbol, last_ns) for place in (tmp_path / "now", captured)]
        last, whole = ((book.bids.tolist(), book.asks.tolist(), book.version) for book in books)
        assert last == whole
        assert last[0]
    assert [path.name for path in alphapulse.shm_dir.iterdir() if path.name.startswith("last")] == []


def test_a_collector_without_them_says_so_and_its_command_keeps_the_flag(alphapulse, sims, tmp_path):
    process = begin(alphapulse, sims, "--last-frames", "off")
    found = alphapulse("capture", "last", str(tmp_path / "now"))
    assert (found.code, found.stdout) == (2, "")
    assert "error: this collector keeps no last frames\nhint: start it without --last-frames off" in found.stderr
    assert not (tmp_path / "now").exists()
    with open_directory(str(alphapulse.shm_dir)) as directory:
        assert " --last-frames off" in collect_command(directory, sample(alphapulse.shm_dir, "kraken")[0])
    end(process)


def test_of_a_killed_collector_there_are_none_and_the_next_one_removes_what_it_left(alphapulse, sims, tmp_path):
    process = begin(alphapulse, sims)
    with open_directory(str(alphapulse.shm_dir)) as directory:
        [left] = control.ask(directory, "kraken", control.LAST, [])
        assert (alphapulse.shm_dir / left).stat().st_size > 100
        process.kill()
        process.communicate(timeout=30)
        with pytest.raises(NoSegment, match="no collector of kraken is running"):
            last_frames(directory, "kraken", tmp_path)
    found = alphapulse("capture", "last", str(tmp_path / "now"), "--exchange", "kraken")
    assert found.code == 3
    assert "hint: what it kept went with it; `alphapulse collect --capture DIR` keeps all on disk" in found.stderr
    folder = alphapulse.shm_dir / left.split("/")[0]
    os.utime(folder, (1_000_000_000, 1_000_000_000))
    again = begin(alphapulse, sims)
    asked(alphapulse, "kraken", tmp_path / "again")
    assert not folder.exists()
    end(again)


def test_several_at_once_get_a_file_each(alphapulse, sims, tmp_path):
    process = begin(alphapulse, sims)
    found: list[Path] = []
    asking = [threading.Thread(target=lambda n=n: found.append(asked(alphapulse, "kraken", tmp_path / str(n)))) for n in range(6)]
    for one in asking:
        one.start()
    while any(one.is_alive() for one in asking):
        sims.nudge()
        for one in asking:
            one.join(0.05)
    assert len(found) == 6
    rows = sorted((shared(rows_of(path)) for path in found), key=len)
    for before, after in pairwise(rows):
        assert before == after[: len(before)]
    end(process)


def test_a_collector_that_ends_in_the_middle_gives_a_whole_file_or_a_plain_error(alphapulse, sims, tmp_path):
    process = begin(alphapulse, sims)
    results: list[Path | AlphapulseError] = []

    def ask_on():
        with open_directory(str(alphapulse.shm_dir)) as directory:
            while not results or isinstance(results[-1], Path):
                into = tmp_path / str(len(results))
                into.mkdir()
                try:
                    results.append(last_frames(directory, "kraken", into))
                except AlphapulseError as error:
                    results.append(error)

    asking = threading.Thread(target=ask_on)
    asking.start()
    wait_until(lambda: len(results) > 2, what="answers")
    end(process)
    asking.join(60)
    assert not asking.is_alive()
    *whole, last = results
    for path in whole:
        assert rows_of(path)[-1].kind == b"done"
    assert isinstance(last, NoSegment | StorageError)
    assert "collector" in str(last)
    assert last.hint


def test_a_replay_has_none(directory, tmp_path):
    with (
        Outlet(directory, "kraken", "kraken", ["BTC-USD"], 64, clock.monotonic_ns(), replay=True),
        pytest.raises(UsageError, match="kraken is a replay, which keeps no last frames"),
    ):
        last_frames(directory, "kraken", tmp_path)


class TestAnAnswerThatIsNotOurs:
    """The other side is a process of this user, but perhaps not of this version: nothing outside the directory is read or removed."""

    def answered(self, directory, into, answer):
        import asyncio

        async def scene():
            async def handle(_action, _words):
                return [answer]

            async with control.ControlServer(directory, "kraken", handle):
                return await asyncio.to_thread(last_frames, directory, "kraken", into)

        return asyncio.run(scene())

    @pytest.fixture
    def given(self, directory, tmp_path):
        """A file as a collector gives it, and the folder to which it is to go."""
        inner = directory.path / "last-1" / "x"
        inner.mkdir(mode=0o700, parents=True)
        inner.parent.chmod(0o700)
        path = inner / files.file_name("kraken", 10**18)
        path.write_bytes(b"capture")
        path.chmod(0o600)
        into = tmp_path / "into"
        into.mkdir()
        return path, into

    def test_one_that_is_is_moved(self, directory, given):
        path, into = given
        found = self.answered(directory, into, str(path.relative_to(directory.path)))
        assert (found.read_bytes(), found.stat().st_mode & 0o777, path.exists()) == (b"capture", 0o600, False)

    @pytest.mark.parametrize(
        "answer",
        [
            "",
            "/etc/passwd",
            "../x",
            "last-1/../x",
            "last-1/x/../../y",
            "last-1/x/other-20010909T014640.000Z.cap.zst",
            "a\x1b[2J",
            "last-1/x/",
        ],
    )
    def test_another_path_is_refused(self, directory, given, answer):
        path, into = given
        with pytest.raises(StorageError, match="was not understood"):
            self.answered(directory, into, answer)
        assert path.exists()
        assert not list(into.iterdir())

    def test_a_link_and_a_file_that_others_can_read_are_refused(self, directory, given, tmp_path):
        path, into = given
        answer = str(path.relative_to(directory.path))
        path.chmod(0o644)
        with pytest.raises(NotASegment, match="is open to others"):
            self.answered(directory, into, answer)
        path.unlink()
        (tmp_path / "secret").write_bytes(b"secret")
        path.symlink_to(tmp_path / "secret")
        with pytest.raises(NotASegment, match="is a link"):
            self.answered(directory, into, answer)
        assert not list(into.iterdir())

    def test_a_file_that_is_gone_and_a_target_that_is_there_are_told(self, directory, given):
        path, into = given
        answer = str(path.relative_to(directory.path))
        (into / path.name).write_bytes(b"mine")
        with pytest.raises(StorageError, match="is there already"):
            self.answered(directory, into, answer)
        assert (into / path.name).read_bytes() == b"mine"
        with pytest.raises(StorageError, match="no such folder"):
            self.answered(directory, into / "none", answer)
        path.unlink()
        (into / path.name).unlink()
        with pytest.raises(NoSegment, match="ended while it was asked"):
            self.answered(directory, into, answer)


def test_of_several_those_that_keep_none_are_left_out(alphapulse, sims, tmp_path):
    process, other = begin(alphapulse, sims), begin(alphapulse, sims, "--last-frames", "off", names=("okx",))
    found = alphapulse("capture", "last", str(tmp_path / "now"), "--json")
    assert (found.code, found.stderr) == (0, "okx: left out: this collector keeps no last frames\n")
    assert [row["set"] for row in map(orjson.loads, found.stdout.splitlines())] == ["kraken"]
    named = alphapulse("capture", "last", str(tmp_path / "named"), "--exchange", "kraken,okx")
    assert (named.code, (tmp_path / "named").exists()) == (2, False)
    end(process)
    end(other)


def test_a_failed_one_of_several_leaves_no_folder(directory, tmp_path):
    with pytest.raises(NoSegment):
        write_last(directory, ["kraken"], tmp_path / "made")
    with suppress(FileNotFoundError):
        assert list(tmp_path.glob("*made*")) == []
