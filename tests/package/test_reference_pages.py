"""docs/reference is what the code says; and a stale page is noticed."""

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "docs.py"


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(SCRIPT))


def test_the_pages_are_what_the_code_says(script):
    for name, text in script["made"]().items():
        assert (script["TARGET"] / name).read_text() == text, f"docs/reference/{name} is stale; run scripts/docs.py"


def test_each_command_has_its_section(script):
    from alphapulse_cli.cli import commands

    page = script["made"]()["commands.md"]
    for name, entry in commands.available().items():
        assert (f"\n## alphapulse {name}\n" in page) == (not entry.alias_of)


@pytest.mark.parametrize("spoil", ["edited", "missing", "left over"])
def test_check_fails_when_a_page_is_stale(script, tmp_path, monkeypatch, capsys, spoil):
    main = script["main"]
    monkeypatch.setitem(main.__globals__, "TARGET", tmp_path)
    monkeypatch.setattr("sys.argv", ["docs.py"])
    assert main() == 0
    monkeypatch.setattr("sys.argv", ["docs.py", "--check"])
    assert main() == 0
    capsys.readouterr()
    page = tmp_path / ("gone.md" if spoil == "left over" else "errors.md")
    if spoil == "missing":
        page.unlink()
    else:
        page.write_text("stale")
    assert main() == 1
    assert f"docs/reference/{page.name}" in capsys.readouterr().out
