"""The page of the format of captures says what the code does."""

import re
from pathlib import Path

from alphapulse_cli.edges.capture import blocks, head, index
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.rows import Kind, Row, parse_rows

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "captures.md").read_text()


def test_the_row_of_the_example_is_one():
    line = next(line for line in PAGE.splitlines() if line.startswith("recv 17"))
    [row] = parse_rows(line.encode() + b"\n")
    assert row == Row(b"recv", 1764324000123456789, 1, b'{"channel":"heartbeat"}')


def test_every_kind_has_its_line():
    assert re.findall(r"^\| `(\w{4})` \|", PAGE, re.MULTILINE) == [kind.value.decode() for kind in Kind]


def test_the_head_has_these_members_and_this_version():
    import orjson

    written = orjson.loads(Head("kraken", "v2", 10, (), "kraken", "", 1).to_payload())
    told = next(line for line in PAGE.splitlines() if line.startswith("| `head` |"))
    assert all(f"`{name}`" in told for name in written)
    assert f"## The format, version {head.VERSION}\n" in PAGE


def test_sizes_are_the_codes():
    assert blocks.BLOCK_BYTES == 64 << 10
    assert blocks.MOST_BLOCK_BYTES == 128 << 20
    assert (len(index.MAGIC), index.ENTRY_BYTES, index.ENTRY.size) == (56, 56, 48)
    assert index.HOLDS_CHECKPOINTS == 1
