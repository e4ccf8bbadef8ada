"""The folder of an export: whole files or none, a former export is replaced only where that is said, and then as a whole."""

import itertools
import json
import os
from pathlib import Path

import pytest
from support.exports import capture

import alphapulse_cli as ap
from alphapulse_cli.apps.export import export as exporting
from alphapulse_cli.apps.export.export import FORMATS, export_to
from alphapulse_cli.apps.export.hftbacktest import HftBacktest
from alphapulse_cli.apps.export.output import RENAMING, SUMMARY, UNFINISHED, Output
from alphapulse_cli.cli.export import FORMATS as COMMAND_FORMATS
from alphapulse_cli.errors import NoSegment, StorageError, UsageError, WriterAlive


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return capture(tmp_path_factory.mktemp("export") / "captures", 30)


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_command_offers_what_there_is():
    assert COMMAND_FORMATS == FORMATS


@pytest.mark.parametrize("name", ["/tmp/evil", "a/../../evil", "../evil"])
def test_no_symbol_of_a_dataset_leads_out_of_the_folder(tmp_path, name):
    with Output(tmp_path / "out") as output:
        for path in (output.path, output.scratch):
            with pytest.raises(UsageError, match="would be outside"):
                path(name)


class TestWholeFilesOrNone:
    def test_an_error_in_the_middle_leaves_nothing(self, place, tmp_path, monkeypatch):
        def fails(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(HftBacktest, "finish", fails)
        with pytest.raises(StorageError, match="No space left on device"):
            export_to([place], "hftbacktest", tmp_path / "out", (), ())
        assert names(tmp_path / "out") == []

    def test_ctrl_c_leaves_nothing(self, place, tmp_path):
        def interrupted(*_):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            export_to([place], "csv", tmp_path / "out", (), (), progress=interrupted)
        assert names(tmp_path / "out") == []

    def test_what_a_killed_one_left_is_removed(self, place, tmp_path):
        (tmp_path / UNFINISHED).mkdir()
        (tmp_path / UNFINISHED / "0").write_text("half")
        export_to([place], "csv", tmp_path, (), ())
        assert names(tmp_path) == ["deltas.csv", SUMMARY, "snapshots.csv", "trades.csv"]
        assert not (tmp_path / UNFINISHED).exists()

    def test_two_at_the_same_time(self, tmp_path):
        with Output(tmp_path), pytest.raises(WriterAlive, match="another export"), Output(tmp_path):
            pass


class TestAFormerExport:
    def test_is_refused_with_a_hint(self, place, tmp_path):
        export_to([place], "csv", tmp_path / "out", (), ())
        before = (tmp_path / "out" / "deltas.csv").read_bytes()
        with pytest.raises(UsageError, match="holds an export already") as caught:
            export_to([place], "csv", tmp_path / "out", (), ())
        assert "--force" in caught.value.hint
        assert (tmp_path / "out" / "deltas.csv").read_bytes() == before

    def test_a_strange_file_of_that_name_is_refused_too(self, place, tmp_path):
        (tmp_path / "deltas.csv").write_text("mine")
        with pytest.raises(UsageError, match=r"deltas\.csv is there already"):
            export_to([place], "csv", tmp_path, (), ())
        assert names(tmp_path) == ["deltas.csv"]

    def test_force_replaces_all_its_files(self, place, tmp_path):
        export_to([place], "nautilus", tmp_path, (), ())
        (tmp_path / "mine.txt").write_text("mine")
        export_to([place], "csv", tmp_path, (), (), force=True)
        assert names(tmp_path) == ["deltas.csv", SUMMARY, "mine.txt", "snapshots.csv", "trades.csv"]

    def test_force_removes_nothing_outside(self, place, tmp_path):
        (tmp_path / "mine.txt").write_text("mine")
        folder = tmp_path / "out"
        folder.mkdir()
        (folder / SUMMARY).write_text(json.dumps({"files": ["../mine.txt", str(tmp_path / "mine.txt")]}))
        export_to([place], "csv", folder, (), (), force=True)
        assert (tmp_path / "mine.txt").read_text() == "mine"

    @pytest.mark.parametrize("after", range(5))
    def test_what_was_cut_off_among_the_renames_goes_with_the_next_one(self, place, tmp_path, monkeypatch, after):
        """Killed after any number of renames: old and new files are there, and no list in export.json."""
        folder = tmp_path / "out"
        export_to([place], "nautilus", folder, (), ())
        (folder / "mine.txt").write_text("mine")
        replace, count = Path.replace, itertools.count()

        def killed(self, target):
            if next(count) == after:
                raise KeyboardInterrupt
            return replace(self, target)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", killed)
            with pytest.raises(KeyboardInterrupt):
                export_to([place], "csv", folder, (), (), force=True)
        if after == 0:
            assert RENAMING not in names(folder)
            assert SUMMARY in names(folder)
        else:
            assert (RENAMING in names(folder), SUMMARY in names(folder)) == (True, False)
            with pytest.raises(UsageError, match="a part of an export that was cut off"):
                export_to([place], "arrow", folder, (), ())
        export_to([place], "arrow", folder, (), (), force=True)
        assert names(folder) == ["deltas.arrow", SUMMARY, "mine.txt", "snapshots.arrow", "trades.arrow"]

    def test_an_interrupted_force_leaves_the_former_one(self, place, tmp_path, monkeypatch):
        export_to([place], "csv", tmp_path, (), ())
        before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
        monkeypatch.setattr(exporting, "_summary", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            export_to([place], "csv", tmp_path, (), (), force=True)
        assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before


class TestWhatCannotBeRight:
    @pytest.mark.parametrize("force", [False, True])
    def test_a_dataset_for_a_folder(self, place, tmp_path, force):
        (tmp_path / "data" / "trades").mkdir(parents=True)
        with pytest.raises(UsageError, match="data is a dataset") as caught:
            export_to([place], "csv", tmp_path / "data", (), (), force=force)
        assert "another folder" in caught.value.hint
        assert names(tmp_path / "data") == []

    def test_a_file_for_a_folder(self, place, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(UsageError, match="is a file"):
            export_to([place], "csv", tmp_path / "file", (), ())

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_folder_that_may_not_be_written(self, place, tmp_path):
        tmp_path.chmod(0o500)
        with pytest.raises(StorageError, match="cannot write in"):
            export_to([place], "csv", tmp_path / "out", (), ())

    @pytest.mark.parametrize(("to", "hint"), [("hftbacktst", "hftbacktest"), ("", "--to is one of"), ("xml", "--to is one of")])
    def test_an_unknown_format(self, place, tmp_path, to, hint):
        with pytest.raises(UsageError) as caught:
            export_to([place], to, tmp_path / "out", (), ())
        assert hint in caught.value.hint
        assert not (tmp_path / "out").exists()

    def test_times_outside_the_capture_and_the_wrong_way_round(self, place, tmp_path):
        with pytest.raises(UsageError, match="is not in the capture"):
            ap.export(place, to="csv", output=tmp_path / "out", start=1)
        with pytest.raises(UsageError, match="is not after"):
            ap.export(place, to="csv", output=tmp_path / "out", start=2, end=1)
        with pytest.raises(UsageError, match="symbols are a list"):
            ap.export(place, to="csv", output=tmp_path / "out", symbols="BTC-USD")
        assert not (tmp_path / "out").exists()

    def test_a_symbol_that_is_not_there(self, place, tmp_path):
        with pytest.raises(NoSegment):
            ap.export(place, to="csv", output=tmp_path / "out", symbols=["ETH-USD"])

    def test_a_folder_that_holds_neither(self, tmp_path):
        for refused in (lambda: ap.export(tmp_path, to="csv", output=tmp_path / "out"), lambda: ap.candles(tmp_path)):
            with pytest.raises(UsageError, match="no capture and no dataset in this folder"):
                refused()
        assert names(tmp_path) == []

    def test_a_dataset_beside_a_capture(self, place, tmp_path):
        (tmp_path / "data" / "deltas").mkdir(parents=True)
        with pytest.raises(UsageError, match="a dataset is exported alone"):
            ap.export([tmp_path / "data", place], to="csv", output=tmp_path / "out")


class TestTheSummary:
    def test_it_tells_what_was_written_and_lost(self, place, tmp_path):
        (path,) = place.glob("*.cap.zst")
        torn = tmp_path / path.name
        torn.write_bytes(path.read_bytes()[:-100])
        made = ap.export(torn, to="csv", output=tmp_path / "out")
        told = json.loads((tmp_path / "out" / SUMMARY).read_text())
        assert told == json.loads(json.dumps(made.summary))
        assert list(made.files) == told["files"] == ["deltas.csv", "snapshots.csv", "trades.csv"]
        assert len(told["losses"]["damages"]) == 1
        (market,) = told["markets"]
        assert market["counts"]["changes"] == len((tmp_path / "out" / "deltas.csv").read_text().splitlines()) - 1
        assert made.gaps == market["counts"]["gaps"] == len(market["gaps"])
