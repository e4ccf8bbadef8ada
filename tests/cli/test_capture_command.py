"""`alphapulse capture info|check|cat`: what a person or a script gets of captures, whole or not."""

import json
import os
import stat
from dataclasses import replace

import pytest
from support.small_captures import HEAD, T0, done, frame, opened, read, shut, write

from alphapulse_cli.apps.capture.check import check_runs
from alphapulse_cli.apps.capture.survey import Survey
from alphapulse_cli.edges.capture import files
from alphapulse_cli.edges.capture.index import index_bytes
from alphapulse_cli.edges.capture.reader import CaptureFile
from alphapulse_cli.edges.capture.rows import Row, row_bytes

LOST = Row(
    b"lost", T0 + 7_000_000, 0, b'{"rows":12,"bytes":400,"from_ns":%d,"to_ns":%d,"reason":"the disk is too slow"}' % (T0, T0 + 9)
)


def usual(folder, *more):
    """Folder with one file: a connection with five frames, closed in good order."""
    rows = [opened(0), *(frame(1 + n, f'{{"n":{n}}}') for n in range(5)), shut(8), *more, done(9)]
    return write(folder, rows)[0]


def rows_of(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def damaged(path, place):
    """The file with block number `place` in zeros."""
    with CaptureFile(path) as file:
        entry = file.entries()[place]
    data = path.read_bytes()
    path.write_bytes(data[: entry.offset] + bytes(entry.compressed_bytes) + data[entry.end :])


class TestInfo:
    def test_it_says_what_a_file_holds(self, quick, tmp_path):
        path = usual(tmp_path)
        result = quick("capture", "info", str(tmp_path), "--json")
        assert (result.code, result.stderr) == (0, "")
        [row] = rows_of(result)
        assert row["file"] == str(path)
        assert (row["exchange"], row["mode"], row["symbols"], row["source"]) == ("kraken", "v2", ["BTC-USD"], "live")
        assert (row["from"], row["to"]) == ("2025-11-28T10:00:00.000000000Z", "2025-11-28T10:00:00.009000000Z")
        assert row["rows_by_kind"] == {"head": 1, "open": 1, "recv": 5, "shut": 1, "done": 1}
        assert (row["frames"], row["frame_bytes"], row["bytes"]) == (5, 35, path.stat().st_size)
        assert row["connections"] == [
            {
                "connection": 1,
                "url": "ws://127.0.0.1:1/v2",
                "symbols": ["BTC/USD"],
                "open_before": False,
                "opens": ["2025-11-28T10:00:00.000000000Z"],
                "ends": [{"time": "2025-11-28T10:00:00.008000000Z", "reason": "closed"}],
                "frames": 5,
            }
        ]
        assert (row["state"], row["closed"], row["damage"], row["head_lost"]) == ("whole", "end", [], False)

    def test_info_as_a_table_and_csv(self, quick, tmp_path):
        usual(tmp_path)
        table = quick("capture", "info", str(tmp_path), "--format", "table").stdout
        assert "BTC-USD" in table
        assert "2025-11-28T10:00:00.000Z" in table
        assert "whole" in table
        head, line = quick("capture", "info", str(tmp_path), "--format", "csv").stdout.splitlines()
        assert head.startswith("file,exchange,mode")
        assert "BTC-USD" in line

    def test_losses_a_lost_head_and_a_torn_end_are_told(self, quick, tmp_path):
        path = usual(tmp_path, LOST, frame(8, "z"))
        damaged(path, 0)
        path.write_bytes(path.read_bytes()[:-3])
        [row] = rows_of(quick("capture", "info", str(path), "--json"))
        assert (row["head_lost"], row["exchange"], row["lost_rows"], row["frames"]) == (True, None, 12, 6)
        assert row["losses"][0]["reason"] == "the disk is too slow"
        assert row["state"] == "head lost, damaged, cut, 12 rows lost"
        assert [one["at_end"] for one in row["damage"]] == [False, True]

    @pytest.mark.parametrize("kind", [b"open", b"shut", b"memb", b"lost", b"mark", b"done", b"rest", b"fail", b"held"])
    def test_rows_whose_members_cannot_be_right_are_counted_and_no_more(self, quick, tmp_path, kind):
        wrong = (
            b"",
            b"x",
            b"5",
            b"[]",
            b"{}",
            b'{"added":5,"symbols":5,"rows":[],"from_ns":"x","to_ns":1e300,"reason":{},"url":5}',
        )
        usual(tmp_path, *(Row(kind, T0 + 8_000_000, 1, payload) for payload in wrong))
        for command in ("info", "check"):
            result = quick("capture", command, str(tmp_path), "--json")
            assert result.stderr == "" or result.stderr.endswith(" checks failed\n")
            assert result.code in (0, 4)
        [row] = rows_of(quick("capture", "info", str(tmp_path), "--json"))
        assert row["rows_by_kind"][kind.decode()] >= len(wrong)

    def test_a_file_that_is_not_closed_is_open(self, quick, tmp_path):
        write(tmp_path, [opened(0), frame(1, "x")])
        [row] = rows_of(quick("capture", "info", str(tmp_path), "--json"))
        assert (row["state"], row["closed"]) == ("open", None)


class TestWhatIsNoCapture:
    @pytest.mark.parametrize("command", ["info", "check", "cat"])
    def test_it_is_refused_with_the_reason(self, quick, tmp_path, command):
        (tmp_path / "notes.txt").write_bytes(b"some words\n" * 100)
        (tmp_path / "empty").write_bytes(b"")
        (tmp_path / "inside").mkdir()
        for name, words in (("notes.txt", "no capture"), ("empty", "empty" if command != "cat" else "no capture")):
            result = quick("capture", command, str(tmp_path / name))
            assert result.code == 2
            assert str(tmp_path / name) in result.stderr
            assert words in result.stderr
            assert "hint: captures are files that end in .cap.zst" in result.stderr
        assert "no such file" in quick("capture", command, str(tmp_path / "none")).stderr.lower()
        assert "no capture in this folder" in quick("capture", command, str(tmp_path / "inside")).stderr
        (tmp_path / "inside" / "deltas").mkdir()
        assert "it is a dataset: alphapulse sql" in quick("capture", command, str(tmp_path / "inside")).stderr

    @pytest.mark.parametrize("words", [["capture", "info"], ["capture", "check"], ["capture", "cat"], ["replay"]], ids=" ".join)
    def test_an_index_alone_is_refused(self, quick, tmp_path, words):
        index = files.index_path(usual(tmp_path))
        result = quick(*words, str(index))
        assert (result.code, result.stdout) == (2, "")
        assert f"{index} is the index of a capture" in result.stderr
        assert "hint: name its file" in result.stderr

    @pytest.mark.parametrize("words", [["capture", "info"], ["capture", "cat"], ["replay"]], ids=" ".join)
    def test_what_is_no_file_is_refused_and_not_waited_for(self, quick, tmp_path, words):
        os.mkfifo(tmp_path / "pipe.cap.zst")
        for place in (tmp_path / "pipe.cap.zst", "/dev/zero"):
            result = quick(*words, str(place))
            assert (result.code, result.stdout) == (2, "")
            assert f"cannot read {place}: not a file" in result.stderr
            assert "hint: captures are files" in result.stderr

    @pytest.mark.parametrize("command", ["info", "check", "cat"])
    def test_one_of_a_newer_version_is_refused(self, quick, tmp_path, command, monkeypatch):
        monkeypatch.setattr("alphapulse_cli.edges.capture.head.VERSION", 2)
        path = usual(tmp_path)
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path)
        result = quick("capture", command, str(path))
        assert result.code == 2
        assert "a capture of version 2, and this alphapulse reads 1" in result.stderr
        assert str(path) in result.stderr


class TestCheck:
    def test_a_whole_capture_holds(self, quick, tmp_path):
        usual(tmp_path)
        result = quick("capture", "check", str(tmp_path), "--json")
        assert (result.code, result.stderr) == (0, "")
        assert {row["check"]: row["verdict"] for row in rows_of(result)} == dict.fromkeys(
            ["head", "blocks", "end", "index"], "holds"
        )

    def test_what_does_not_hold_is_exit_code_4(self, quick, tmp_path):
        path = usual(tmp_path, LOST)
        damaged(path, 1)
        result = quick("capture", "check", str(path), "--json")
        assert result.code == 4
        assert "2 of" in result.stderr
        said = {row["check"]: (row["verdict"], row["detail"]) for row in rows_of(result)}
        assert said["blocks"][0] == said["losses"][0] == "fails"
        assert "no block of a capture" in said["blocks"][1]
        assert "12 rows are missing" in said["losses"][1]
        assert said["index"][0] == "holds", "it is right about the blocks that are left"

    def test_a_torn_end_fails_and_a_missing_one_is_noted(self, quick, tmp_path):
        path = usual(tmp_path)
        data = path.read_bytes()
        with CaptureFile(path) as file:
            last = file.entries()[-1]
        path.write_bytes(data[: last.offset])
        result = quick("capture", "check", str(path), "--json")
        assert result.code == 0
        assert ("end", "noted") in [(row["check"], row["verdict"]) for row in rows_of(result)]
        path.write_bytes(data[:-1])
        result = quick("capture", "check", str(path), "--json")
        assert result.code == 4
        assert ("end", "fails") in [(row["check"], row["verdict"]) for row in rows_of(result)]

    def test_a_wrong_index_fails_and_repair_writes_it_anew(self, quick, tmp_path):
        path = usual(tmp_path)
        index = files.index_path(path)
        right = index.read_bytes()
        with CaptureFile(path) as file:
            wrong = [entry._replace(last_ns=entry.last_ns + 1) for entry in file.entries()]
        index.write_bytes(index_bytes(wrong))
        before = path.read_bytes()
        assert quick("capture", "check", str(path)).code == 4
        result = quick("capture", "check", str(path), "--repair", "--json")
        assert result.code == 0
        assert ("index", "repaired") in [(row["check"], row["verdict"]) for row in rows_of(result)]
        assert index.read_bytes() == right
        assert path.read_bytes() == before
        assert stat.S_IMODE(index.stat().st_mode) == 0o600
        index.unlink()
        assert quick("capture", "check", str(path)).code == 0
        assert quick("capture", "check", str(path), "--repair").code == 0
        assert index.read_bytes() == right
        assert not list(tmp_path.glob("*.new"))

    def test_repair_leaves_the_index_of_a_file_that_is_being_written(self, quick, tmp_path):
        [path] = write(tmp_path, [opened(0), frame(1, "x")])
        files.index_path(path).unlink()
        result = quick("capture", "check", str(path), "--repair", "--json")
        assert "changed just now" in {row["check"]: row["detail"] for row in rows_of(result)}["index"]
        assert not files.index_path(path).exists()
        os.utime(path, (1, 1))
        assert quick("capture", "check", str(path), "--repair").code == 0
        assert files.index_path(path).exists()

    def test_repair_of_a_damaged_file_covers_what_is_before_the_damage(self, quick, tmp_path):
        path = usual(tmp_path)
        files.index_path(path).unlink()
        damaged(path, 2)
        before = [row.payload for row in _rows(path)]
        result = quick("capture", "check", str(path), "--repair", "--json")
        assert result.code == 4
        assert [row.payload for row in _rows(path)] == before

    def test_a_missing_file_of_a_run_is_named(self, quick, tmp_path):
        for number in (0, 1, 3):
            write(tmp_path, [frame(number * 10, "x")], HEAD.numbered(number))
        # the writer numbers its own files from 0
        paths = files.capture_files([tmp_path])
        for number, path in zip((0, 1, 3), paths, strict=True):
            _renumber(path, number)
        result = quick("capture", "check", str(tmp_path), "--json")
        assert result.code == 4
        [row] = [row for row in rows_of(result) if row["check"] == "files"]
        assert row["detail"] == "missing: file 2 of 0 to 3"
        _renumber(paths[2], 1)
        [row] = [row for row in rows_of(quick("capture", "check", str(tmp_path), "--json")) if row["check"] == "files"]
        assert row["detail"] == "more than once: file 1"
        _renumber(paths[2], 2)
        assert quick("capture", "check", str(tmp_path)).code == 0

    @pytest.mark.parametrize(
        ("numbers", "detail"),
        [
            ([2**62], f"missing: {', '.join(f'file {n}' for n in range(8))} and {2**62 - 8} more of 0 to {2**62}"),
            ([1, 2, 5, 20], "missing: file 0, file 3, file 4, file 6, file 7, file 8, file 9, file 10 and 9 more of 0 to 20"),
            ([0, 2], "missing: file 1 of 0 to 2"),
        ],
        ids=["a number that nobody wrote", "many", "one"],
    )
    def test_missing_files_are_counted_and_the_first_are_named(self, tmp_path, numbers, detail):
        """Not listed one by one: a head may state any number."""
        found = [Survey(tmp_path / "x.cap.zst", head=replace(HEAD, file_number=number)) for number in numbers]
        assert [each.detail for each in check_runs(found)] == [detail]

    def test_a_row_of_a_time_beyond_the_calendar_can_be_indexed(self, quick, tmp_path):
        path = usual(tmp_path, Row(b"recv", 10**19 - 1, 1, b"{}"))
        files.index_path(path).unlink()
        result = quick("capture", "check", str(tmp_path), "--repair", "--json")
        assert result.stderr == ""
        assert {row["verdict"] for row in rows_of(result)} == {"holds", "repaired"}
        assert {row["verdict"] for row in rows_of(quick("capture", "check", str(tmp_path), "--json"))} == {"holds"}

    def test_every_truncation_and_every_flipped_bit_is_seen(self, tmp_path):
        """Of a small capture: each length and one bit of each byte, with the index and without; never an exception, never silence."""
        from alphapulse_cli.apps.capture.check import Verdict, check_file
        from alphapulse_cli.apps.capture.survey import survey

        path = usual(tmp_path)
        data, index = path.read_bytes(), files.index_path(path)
        held = index.read_bytes()
        whole = _rows(path)
        with CaptureFile(path) as file:
            entries = file.entries()
        for keeps_index in (True, False):
            index.write_bytes(held) if keeps_index else index.unlink()
            for length in range(len(data)):
                path.write_bytes(data[:length])
                found = survey(path)
                fails = [each for each in check_file(found) if each.verdict is Verdict.FAILS]
                is_cut = length not in {0, *(entry.end for entry in entries)}
                assert bool(fails) is (is_cut or not length), length
                assert not found.closed
                assert found.row_count == sum(entry.row_count for entry in entries if entry.end <= length)
            for place in range(len(data)):
                path.write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
                found = survey(path)
                fails = [each for each in check_file(found) if each.verdict is Verdict.FAILS]
                assert fails or _rows(path) == whole, place  # a bit that zstd does not use


def _rows(path):
    with CaptureFile(path) as file:
        return list(file.rows())


def _renumber(path, number):
    """Write the file anew with another number in its head."""
    from alphapulse_cli.edges.capture.blocks import compress

    rows = [row for row in _rows(path) if row.kind != b"head"]
    head = row_bytes(b"head", rows[0].time_ns, 0, HEAD.numbered(number).to_payload())
    path.write_bytes(compress(head) + compress(b"".join(row_bytes(*row) for row in rows)))
    files.index_path(path).unlink(missing_ok=True)


class TestCat:
    HOSTILE = b'{"x":"\x1b[2J\xff\xe2\x80\xae"}'

    def folder(self, tmp_path):
        rows = [opened(0), frame(1, b'{"a":1}'), frame(2, self.HOSTILE, 2), frame(3, b"two\nlines"), shut(4), done(5)]
        write(tmp_path, rows)
        return str(tmp_path)

    def test_payloads_are_exact_in_a_pipe(self, alphapulse, tmp_path):
        process = alphapulse.start("capture", "cat", self.folder(tmp_path))
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert out == b'{"a":1}\n' + self.HOSTILE + b"\ntwo\nlines\n"

    def test_whole_rows_are_the_files_own(self, alphapulse, tmp_path):
        folder = self.folder(tmp_path)
        out, _ = alphapulse.start("capture", "cat", folder, "--rows").communicate(timeout=60)
        assert out == b"".join(row_bytes(*row) for row in read(tmp_path))

    def test_json_has_every_row_and_no_raw_control_character(self, quick, tmp_path):
        result = quick("capture", "cat", self.folder(tmp_path), "--json")
        rows = rows_of(result)
        assert [row["kind"] for row in rows] == ["head", "open", "recv", "recv", "recv", "shut", "done"]
        assert bytes.fromhex(rows[3]["payload_hex"]) == self.HOSTILE
        assert rows[4]["payload"] == "two\nlines"
        assert rows[2]["time"] == "2025-11-28T10:00:00.001000000Z"
        assert rows[2]["time_ns"] == T0 + 1_000_000
        assert "\x1b" not in result.stdout

    def test_it_selects_by_kind_connection_and_time(self, quick, tmp_path):
        folder = self.folder(tmp_path)

        def kinds(*arguments):
            return [(row["kind"], row["connection"]) for row in rows_of(quick("capture", "cat", folder, "--json", *arguments))]

        assert kinds("--kinds", "open,shut") == [("open", 1), ("shut", 1)]
        assert kinds("--connection", "2") == [("recv", 2)]
        span = "--from", "2025-11-28T10:00:00.002Z", "--to", "2025-11-28T11:00:00.004+01:00"
        assert kinds(*span) == [("recv", 2), ("recv", 1)]

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--from", "2025-11-28T10:00:00"], "a time without an offset"),
            (["--to", "yesterday"], "not a time"),
            (["--from", "2025-11-28T10:00:00Z", "--to", "2025-11-28T10:00:00Z"], "is not after --from"),
            (["--kinds", "recv,frames"], "unknown kind of rows: 'frames'"),
            (["--format", "xml"], "unknown format: 'xml'"),
            (["--connection", "-1"], "--connection"),
            (["--symbols", "BTC"], "BTC"),
            (["--symbols", "BTC-USD,DOGE-USD"], "DOGE-USD: not in the capture"),
            (["--symbols", "okx:BTC-USD"], "okx:BTC-USD: not in the capture"),
        ],
    )
    def test_wrong_values_are_refused(self, quick, tmp_path, arguments, words):
        result = quick("capture", "cat", self.folder(tmp_path), *arguments)
        assert result.code == 2
        assert words in result.stderr
        assert "hint:" in result.stderr or "--connection" in words or "format" in words

    def test_damage_is_told_and_the_rest_printed(self, quick, tmp_path):
        path = usual(tmp_path)
        damaged(path, 0)
        result = quick("capture", "cat", str(path))
        assert result.code == 0
        assert result.stdout.splitlines() == [f'{{"n":{n}}}' for n in range(5)]
        assert "warning" in result.stderr
        assert "are not readable" in result.stderr
