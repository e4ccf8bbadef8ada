"""Recorded exchange messages: slices in tests/recordings, and whole recordings, which are no part of this repository.

Each kind of test runs on a slice. `ALPHAPULSE_RECORDED` names the folder of the whole recordings; a test that needs one that is not there is
skipped, with the reason.

Lines of a recording are `<epoch seconds>: <raw frame>`; `URL <-> time` opens a connection, `URL <- time: text` is what the client
sent, `URL -> time: body` is the answer to a REST request.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SLICES = REPOSITORY / "tests" / "recordings"


def recorded_folder() -> Path:
    """The folder of whole recordings, whether it exists or not."""
    named = os.environ.get("ALPHAPULSE_RECORDED")
    return Path(named) if named else REPOSITORY.parent / "shared" / "recorded"


def recorded_file(name: str) -> Path:
    """The slice or whole recording `name`; the calling test is skipped where it is absent."""
    if (SLICES / name).is_file():
        return SLICES / name
    path = recorded_folder() / name
    if not path.is_file():
        pytest.skip(f"no recording {name}: set ALPHAPULSE_RECORDED to the folder that holds it")
    return path


def recorded_frames(name: str) -> Iterator[tuple[int, bytes]]:
    """(receive_ns, raw frame) of all that the exchange sent over its WebSockets, in order."""
    with recorded_file(name).open("rb") as lines:
        for line in lines:
            stamp, separator, frame = line.rstrip(b"\r\n").partition(b": ")
            if separator and stamp.replace(b".", b"", 1).isdigit():
                seconds, _, fraction = stamp.partition(b".")
                yield int(seconds) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0")), frame


def recorded_answers(name: str) -> Iterator[tuple[str, bytes]]:
    """(URL, body) of all REST answers, in order."""
    with recorded_file(name).open("rb") as lines:
        for line in lines:
            url, arrow, rest = line.rstrip(b"\r\n").partition(b" -> ")
            if arrow and url.startswith(b"http"):
                yield url.decode("ascii"), rest.partition(b": ")[2]
