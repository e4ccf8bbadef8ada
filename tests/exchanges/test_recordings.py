"""tests/recordings: each slice is small, said to come from somewhere, and used."""

import re

import pytest
from support.recorded import SLICES

NAMES = sorted(path.name for path in SLICES.glob("*.txt"))
README = (SLICES / "README.md").read_text()


def test_each_slice_has_a_row_with_its_date_and_there_is_no_other():
    rows = re.findall(r"^\| `([\w.-]+)` \| .+ \| \d{4}-\d{2}-\d{2} \|$", README, re.MULTILINE)
    assert sorted(rows) == NAMES
    assert "Origin: " in README
    assert "Permission is hereby granted" in README


@pytest.mark.parametrize("name", NAMES)
def test_it_is_at_most_20_kb(name):
    assert 0 < (SLICES / name).stat().st_size <= 20_000


@pytest.mark.parametrize("name", NAMES)
def test_some_test_reads_it(name):
    assert any(f'"{name}"' in path.read_text() for path in SLICES.parent.rglob("test_*.py"))
