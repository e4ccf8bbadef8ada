"""`alphapulse export`: what it prints, its exit codes, and what it says of losses."""

import json

import pytest
from support.exports import capture

from alphapulse_cli.cli import app


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return capture(tmp_path_factory.mktemp("export") / "captures", 30)


@pytest.fixture
def run(capsys):
    def run(*arguments):
        code = app.main(["export", *map(str, arguments)])
        return int(code), *capsys.readouterr()

    return run


def test_a_line_a_market_and_the_folder(run, place, tmp_path):
    code, out, err = run(place, "--to", "hftbacktest", "--output", tmp_path / "out", "--format", "table")
    assert code == 0
    first, last = out.splitlines()
    assert first.startswith("kraken:BTC-USD  ")
    assert last == f"1 file and export.json in {tmp_path / 'out'}"
    assert "1 gap in the books" in err


def test_json_is_the_summary(run, place, tmp_path):
    code, out, _ = run(place, "--to", "csv", "-o", tmp_path / "out", "--json")
    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "out" / "export.json").read_text())


def test_a_torn_capture_is_told(run, place, tmp_path):
    (path,) = place.glob("*.cap.zst")
    torn = tmp_path / path.name
    torn.write_bytes(path.read_bytes()[:-100])
    code, _, err = run(torn, "--to", "csv", "-o", tmp_path / "out", "--json")
    assert code == 0
    assert f"warning: {torn.name}: " in err


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["--output", "out"], "no format is named", "--to is one of"),
        (["--to", "parket", "--output", "out"], "unknown format: 'parket'", "did you mean parquet?"),
        (["--to", "csv"], "no folder is named", "--output DIR"),
        (["--to", "csv", "--output", "out", "--from", "2001-01-01T00:00:00Z"], "is not in the capture", "it is from"),
    ],
)
def test_what_cannot_be_right(run, place, tmp_path, monkeypatch, arguments, message, hint):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(place, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert f"hint: {hint}" in err
    assert list(tmp_path.iterdir()) == []


def test_a_former_export_is_replaced_by_force_alone(run, place, tmp_path):
    arguments = (place, "--to", "csv", "-o", tmp_path / "out")
    assert run(*arguments)[0] == 0
    code, _, err = run(*arguments)
    assert (code, "hint: name another folder, or say --force" in err) == (2, True)
    assert run(*arguments, "--force")[0] == 0


def test_a_place_that_is_no_capture(run, tmp_path):
    code, _, err = run(tmp_path / "nothing", "--to", "csv", "-o", tmp_path / "out")
    assert code == 2
    assert "cannot read" in err
