"""`scripts/docs.py --man`: manual pages of the same help as docs/reference/commands.md."""

import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

from alphapulse_cli.cli import commands

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "docs.py"


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def pages(script):
    return script["manual_pages"]()


def plain(page):
    """The page's text as a person reads it, without its requests."""
    lines = [line.removeprefix("\\&") for line in page.splitlines() if not line.startswith(".")]
    return "\n".join(lines).replace("\\-", "-").replace("\\e", "\\")


def test_each_command_has_one(pages):
    names = {f"alphapulse-{name}.1" for name, entry in commands.available().items() if not entry.alias_of}
    assert set(pages) == names | {"alphapulse.1"}


def test_they_say_what_the_reference_says(script, pages):
    """Every line of every help, word for word."""
    helps = re.findall(r"^```text\n(.*?)^```$", script["made"]()["commands.md"], re.MULTILINE | re.DOTALL)
    assert len(helps) > len(pages)
    told = "\n".join(map(plain, pages.values()))
    assert [line for text in helps for line in text.strip().splitlines() if line not in told] == []


@pytest.mark.parametrize("text", [".TH forged", "'br", "a \\fBbold\\fR word", "-x"])
def test_no_text_is_a_request(script, text):
    assert plain(script["roff"](text)) == text
    assert not script["roff"](text).startswith((".", "'"))


def test_groff_finds_nothing_wrong_in_them(pages):
    if shutil.which("groff") is None:
        pytest.skip("no groff here")
    for name, page in pages.items():
        done = subprocess.run(["groff", "-man", "-Tutf8", "-Kutf8", "-ww"], input=page, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, ""), name
        assert "Usage: alphapulse" in re.sub(r"\x1b\[[0-9;]*m", "", done.stdout), name


def test_they_are_written_into_the_folder_that_is_named(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["docs.py", "--man", str(tmp_path / "man1")])
    assert script["main"]() == 0
    assert (tmp_path / "man1" / "alphapulse-tail.1").read_text().startswith(".TH ALPHAPULSE\\-TAIL 1")
    monkeypatch.setattr("sys.argv", ["docs.py", "--man"])
    with pytest.raises(SystemExit, match="hint: --man"):
        script["main"]()
