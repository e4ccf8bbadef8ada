"""`alphapulse explain`: the page on a terminal and in a pipe, the JSON, and each way to be wrong."""

import json
import signal
import sys
import zlib

import pytest
from support.app_parts import Sims, live_books, wait_until
from support.captured_river import CapturedRiver
from support.flow_parts import listed
from support.terminals import Terminal

from alphapulse_cli.cli import explain_page, render

SYMBOLS = ("ETH-BTC", "DOGE-USD")
HOSTILE = b'{"garb\x1b[2J\x1b]0;owned\x07\xe2\x80\xaeage": [1\xff'


@pytest.fixture
def sims():
    made = Sims()
    yield made
    made.close()


@pytest.fixture
def captures(directory, tmp_path):
    """A folder with the capture of Kraken in which a message was lost, and a hostile frame came later."""
    river = CapturedRiver(directory, "kraken", [listed("kraken")]).begin()
    river.move(6)
    river.lose()
    river.lost_at = len(river.received())
    river.move(6)
    river.calm()
    river.hear(HOSTILE)
    river.ask()
    river.move(6)
    river.calm()
    river.save(tmp_path / "captures")
    river.folder = str(tmp_path / "captures")
    return river


def culprit_ns(river):
    return river.received()[river.lost_at].time_ns


class TestJson:
    def test_it_is_one_object_with_schema_and_version(self, quick, captures):
        done = quick("explain", str(culprit_ns(captures)), captures.folder, "--json")
        assert (done.code, done.stderr) == (0, "")
        [row] = map(json.loads, done.stdout.splitlines())
        assert (row["schema"], row["version"], row["kind"]) == ("alphapulse.evidence", 1, "checksum")
        assert (row["set"], row["symbol"], row["time_ns"]) == ("kraken", "BTC-USD", culprit_ns(captures))
        assert zlib.crc32(row["checksum"]["text"].encode()) == row["checksum"]["ours"] != row["checksum"]["theirs"]
        assert [frame["place"] for frame in row["frames"]].count("culprit") == 1
        assert row["heal_ns"] == row["healed_ns"] - row["noticed_ns"] > 0
        assert row["readers"]["live_records"] == 0

    def test_a_pipe_gets_json_and_a_page_where_it_is_wanted(self, quick, captures):
        assert quick("explain", "last", captures.folder).stdout.startswith("{")
        page = quick("explain", "last", captures.folder, "--format", "table").stdout
        assert page.splitlines()[0].endswith("a message could not be read")
        assert "\x1b" not in page

    def test_the_id_finds_it_again(self, quick, captures):
        [row] = map(json.loads, quick("explain", "last", captures.folder).stdout.splitlines())
        [again] = map(json.loads, quick("explain", row["id"], captures.folder).stdout.splitlines())
        assert {**again, "asked_for": row["asked_for"]} == row

    @pytest.mark.parametrize(("frames", "shown"), [((), (5, 3)), (("--frames", "2"), (2, 2)), (("--frames", "0"), (0, 0))])
    def test_as_many_frames_as_are_wanted(self, quick, captures, frames, shown):
        [row] = map(json.loads, quick("explain", str(culprit_ns(captures)), captures.folder, *frames).stdout.splitlines())
        places = [frame["place"] for frame in row["frames"]]
        assert (places.count("before"), places.count("after")) == shown

    def test_two_readings_give_the_same_bytes(self, quick, captures):
        assert quick("explain", "last", captures.folder).stdout == quick("explain", "last", captures.folder).stdout


class TestThePage:
    def test_hostile_text_is_shown_and_not_obeyed(self, quick, captures):
        page = quick("explain", "last", captures.folder, "--format", "table").stdout
        assert all(line.isprintable() for line in page.splitlines())
        assert r'{"garb\x1b[2J\x1b]0;owned\x07\u202eage": [1\xff' in page

    def test_the_same_escaped_in_json(self, quick, captures):
        out = quick("explain", "last", captures.folder, "--json").stdout
        assert out[:-1].isprintable()
        [culprit] = [frame for frame in json.loads(out)["frames"] if frame["place"] == "culprit"]
        assert culprit["text"].startswith('{"garb\x1b[2J')

    @pytest.mark.parametrize("width", [60, 80, 132])
    def test_no_line_is_wider_than_the_terminal(self, captures, quick, monkeypatch, width):
        kept = []
        monkeypatch.setattr(explain_page, "show", lambda evidence, paths: kept.append((evidence, paths)))
        for what in (str(culprit_ns(captures)), "last"):
            assert quick("explain", what, captures.folder, "--format", "table").code == 0
        for evidence, paths in kept:
            lines = [text for text, _ in explain_page.lines_of(evidence, paths, width)]
            assert [line for line in lines[:-1] if len(line) > width] == []
            assert lines[-1].lstrip().startswith("alphapulse capture cat ")

    def test_the_command_at_its_end_prints_the_culprit(self, quick, captures):
        import shlex

        page = quick("explain", str(culprit_ns(captures)), captures.folder, "--format", "table").stdout
        _, *words = shlex.split(page.splitlines()[-1])
        done = quick(*words)
        assert done.code == 0
        assert captures.received()[captures.lost_at].payload.decode() in done.stdout

    def test_in_a_terminal(self, alphapulse, captures):
        """Verdict, both checksums, the mark of the culprit, the lost level, what readers saw: all on one page of 80 columns."""
        command = [*alphapulse.command, "explain", str(culprit_ns(captures)), captures.folder]
        terminal = Terminal(command, 80, 160, env=alphapulse.environment(), cwd=alphapulse.directory)
        try:
            assert terminal.wait() == 0
            text = terminal.screen.text
        finally:
            terminal.close()
        for piece in ("Verdict", "theirs", "!!            +0  received", "+ bid  99.90  none -> 0.0009", "0 call the book LIVE"):
            assert piece in text
        assert text.index("Verdict") < text.index("!! ")

    def test_without_unicode(self, quick, captures):
        page = quick("explain", str(culprit_ns(captures)), captures.folder, "--format", "table").stdout
        assert page.isascii()


class TestLive:
    def test_a_collector_that_runs_is_asked_for_its_last_frames(self, alphapulse, sims):
        """A message is lost at the exchange's end; a moment later the page is there, without any capture."""
        sims.start("kraken")
        process = alphapulse.start("collect", "--exchange", "kraken", "--symbols", ",".join(SYMBOLS), **sims.environment())
        wait_until(lambda: sims.nudge() or len(live_books(alphapulse.shm_dir, "kraken")) == len(SYMBOLS), what="live books")
        none = alphapulse("explain", "last")
        assert (none.code, "nothing went wrong in the last frames" in none.stderr, "hint: collectors keep" in none.stderr) == (
            3,
            True,
            True,
        )
        sims.inject("checksum", "kraken")

        def explained():
            sims.nudge()
            done = alphapulse("explain", "last", "--json")
            return done.code == 0 and json.loads(done.stdout)

        row = wait_until(lambda: (found := explained()) and found["healed_ns"] and found, what="a healed gap")
        assert (row["kind"], row["set"], row["source"], row["readers"]["live_records"]) == ("checksum", "kraken", "live", 0)
        assert zlib.crc32(row["checksum"]["text"].encode()) == row["checksum"]["ours"]
        page = alphapulse("explain", row["id"], "live", "--exchange", "kraken", "--format", "table")
        assert page.stdout.startswith(f"{row['id']}  kraken:{row['symbol']}")
        assert page.stdout.splitlines()[-1].startswith(
            "  alphapulse capture last last-frames && alphapulse capture cat last-frames "
        )
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)

    def test_without_a_collector(self, quick):
        done = quick("explain", "last")
        assert (done.code, done.stdout) == (3, "")
        assert "hint: name a capture" in done.stderr

    def test_live_beside_a_capture(self, quick, captures):
        done = quick("explain", "last", captures.folder, "live")
        assert done.code == 2
        assert "./live" in done.stderr


class TestWrong:
    @pytest.mark.parametrize(
        ("what", "code", "message"),
        [
            ("2026-09-21T14:13:25", 2, "a time without an offset"),
            ("yesterday", 2, "not a time"),
            ("2020-01-01T00:00:00Z", 2, "is not in the capture"),
            ("2026-09-21T14:13:20.010Z", 3, "nothing went wrong in the capture up to then"),
            ("ABCDEFGH", 3, "no gap 'ABCDEFGH'"),
            ("\x1b[2J", 2, "not a time"),
        ],
    )
    def test_it_is_told_with_a_hint(self, quick, captures, what, code, message):
        done = quick("explain", what, captures.folder)
        assert (done.code, done.stdout) == (code, "")
        assert done.stderr.startswith("error: ")
        assert message in done.stderr
        assert "\nhint: " in done.stderr
        assert "\x1b" not in done.stderr

    @pytest.mark.parametrize("option", [("--exchange", "okx"), ("--symbol", "okx:BTC-USD"), ("--symbol", "ETH-USD")])
    def test_what_the_capture_does_not_hold(self, quick, captures, option):
        done = quick("explain", "last", captures.folder, *option)
        assert (done.code, done.stdout) == (3, "")
        assert "\nhint: " in done.stderr

    def test_a_file_that_is_not_there(self, quick, tmp_path):
        done = quick("explain", "last", str(tmp_path / "nothing"))
        assert (done.code, "hint: " in done.stderr) == (2, True)


def test_damage_is_told_once(quick, captures):
    """The capture is read more than once for a page."""
    from pathlib import Path

    [path] = Path(captures.folder).glob("*.zst")
    path.write_bytes(path.read_bytes()[:-20])
    done = quick("explain", "last", captures.folder)
    assert done.code == 0
    assert done.stderr.count("no whole block") == 1


def test_the_page_prints_what_its_lines_say(monkeypatch, capsys, quick, captures):
    """In a file no line is wrapped by the printer, and none gets a colour."""
    assert render.console(sys.stdout).width == 200
    page = quick("explain", "last", captures.folder, "--format", "table").stdout
    assert "\x1b" not in page
    assert max(map(len, page.splitlines()[:-1])) <= 200
