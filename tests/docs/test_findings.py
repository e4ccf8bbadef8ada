"""The folder findings/ is complete and each of its scripts can be run: what it finds is for whoever runs it, outside this suite."""

import ast
import os
import re
import subprocess
from pathlib import Path

import pytest

FINDINGS = Path(__file__).resolve().parents[2] / "findings"
SCRIPTS = sorted(FINDINGS.glob("*.sh"))


@pytest.fixture(params=SCRIPTS, ids=lambda path: path.stem)
def script(request):
    return request.param


def head_of(text):
    """The comment at the top, its words in one line."""
    lines = text.splitlines()
    return " ".join(" ".join(line.lstrip("# ") for line in lines[1 : lines.index("set -euo pipefail")]).split())


def test_the_table_names_every_script_and_no_other():
    rows = re.findall(r"^\| \[([\w-]+)\]\(([\w-]+)\.sh\) \|", (FINDINGS / "README.md").read_text(), re.MULTILINE)
    assert all(name == target for name, target in rows)
    assert sorted(name for name, _ in rows) == [path.stem for path in SCRIPTS]


def test_it_says_what_was_expected_seen_and_where(script):
    head = head_of(script.read_text())
    for word in ("Expected ", "Seen ", "Versions ", "Matters "):
        assert word in head, word
    assert re.search(r"seen 20\d\d-\d\d-\d\d", head)


def test_the_packages_are_pinned_and_named_in_the_head(script):
    text = script.read_text()
    command = re.search(r"-m pip install (.*)\n\} 2>", text).group(1)
    packages = [word for word in command.split() if not word.startswith("-")]
    assert packages
    for package in packages:
        name, version = package.split("==")
        assert f"{name} {version}" in head_of(text), package


def test_it_leaves_nothing_behind_and_is_a_script(script):
    text = script.read_text()
    assert "place=$(mktemp -d)\ntrap " in text
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script], capture_output=True).stderr == b""


def test_its_program_is_python_without_alphapulse(script):
    program = re.search(r"<<'PY'\n(.*)\nPY\n$", script.read_text(), re.DOTALL).group(1)
    tree = ast.parse(program)
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) for name in node.names}
    assert not any("alphapulse" in name for name in imported | {getattr(node, "module", None) or "" for node in ast.walk(tree)})
    assert "sys.exit(" in program.splitlines()[-1]
