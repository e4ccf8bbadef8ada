"""`exchanges new`: the package that it writes, file by file. Installed and run it is in `scripts/try_new_exchange`, which CI runs."""

import tomllib

import pytest

from alphapulse_cli.apps import new_exchange
from alphapulse_cli.errors import StorageError, UsageError


def test_every_file_is_python_or_toml_under_the_new_names(tmp_path):
    written = new_exchange.write("moon-base", tmp_path)
    root = tmp_path / "alphapulse-moon-base"
    assert {path.relative_to(root).as_posix() for path in written} == {
        ".gitignore", "README.md", "pyproject.toml", "tests/test_conformance.py", "tests/test_rules.py",
        *(f"alphapulse_moon_base/{name}.py" for name in ("__init__", "decoder", "encoder", "facts", "instruments")),
    }  # fmt: skip
    for path in written:
        text = path.read_text()
        assert "exchanges.example" not in text
        assert "Example" not in text
        if path.suffix == ".py":
            compile(text, str(path), "exec")
    project = tomllib.loads((root / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["alphapulse.exchanges"] == {"moon-base": "alphapulse_moon_base"}
    assert 'NAME = "moon-base"' in (root / "alphapulse_moon_base" / "facts.py").read_text()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Moon", "not a name of an exchange: 'Moon'"),
        ("../moon", "not a name of an exchange: '../moon'"),
        ("a-name-that-is-too-long", "not a name of an exchange: 'a-name-that-is-too-long'"),
        ("class", "not a name of an exchange: 'class'"),
        ("moon-", "not a name of an exchange: 'moon-'"),
        ("", "not a name of an exchange: ''"),
        ("kraken", "there is an exchange 'kraken' already"),
        ("ftx", "there is an exchange 'ftx' already"),
    ],
)
def test_a_name_that_cannot_be_is_refused(tmp_path, name, reason):
    with pytest.raises(UsageError, match="exchange") as refused:
        new_exchange.write(name, tmp_path)
    assert str(refused.value) == reason
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path):
    new_exchange.write("moon", tmp_path)
    with pytest.raises(UsageError, match="is there already"):
        new_exchange.write("moon", tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        new_exchange.write("moon", tmp_path / "file")
