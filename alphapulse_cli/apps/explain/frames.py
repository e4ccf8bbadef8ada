"""Rows of a capture as evidence: where to begin to look for the frames before a fault, and each row in words."""

from collections.abc import Iterator
from typing import Any

import orjson

from alphapulse_cli.apps.explain.evidence import Asked, FrameSeen, Place
from alphapulse_cli.apps.replay.timeline import Recording
from alphapulse_cli.edges.capture.reader import CaptureFile
from alphapulse_cli.edges.capture.rows import BrokenRows, Kind, Row, parse_rows
from alphapulse_cli.exchanges.labels import label_of
from alphapulse_cli.exchanges.protocol import Decoder, FrameLabel

MOST_BLOCKS = 500  # read backwards in search of frames
CULPRIT_CHARACTERS, OTHER_CHARACTERS = 4000, 600
DIRECTIONS = {Kind.RECEIVED: "received", Kind.SENT: "sent", Kind.REST: "rest", Kind.FAILED: "rest"}


def begin_of(recording: Recording, connection: int, time_ns: int, count: int) -> int:
    """Time of the `count`th frame of a connection (0: of any) before `time_ns`, or of the earliest that is found."""
    found = time_ns
    for block in _blocks_before(recording, time_ns):
        try:
            listed = list(parse_rows(block))
        except BrokenRows:
            return found
        for row in reversed(listed):
            if row.kind == Kind.RECEIVED and row.time_ns <= time_ns and connection in (0, row.connection):
                found = min(found, row.time_ns)
                count -= 1
                if count < 0:
                    return found
    return found


def _blocks_before(recording: Recording, time_ns: int) -> Iterator[bytes]:
    """The last blocks with rows at or before a time, the latest first."""
    left = MOST_BLOCKS
    for path in reversed(recording.files):
        with CaptureFile(path) as file:
            entries = file.entries()
            for number in range(len(entries) - 1, -1, -1):
                if entries[number].first_ns > time_ns:
                    continue
                read = next(file.blocks(number), None)
                if read is not None:
                    yield read[1]
                left -= 1
                if not left:
                    return


def file_of(recording: Recording, time_ns: int) -> str:
    """Name of the file in which a row of that time stands."""
    name = recording.files[0].name
    for path in recording.files:
        with CaptureFile(path) as file:
            if min(entry.first_ns for entry in file.entries()) <= time_ns:
                name = path.name
    return name


def seen(row: Row, place: Place, decoder: Decoder | None) -> FrameSeen:
    """The row as evidence, with what its label says."""
    most = CULPRIT_CHARACTERS if place is Place.CULPRIT else OTHER_CHARACTERS
    text = row.payload[: 4 * most].decode("utf-8", "backslashreplace")
    is_frame = row.kind in (Kind.RECEIVED, Kind.REST)
    body = row.payload.partition(b"\n")[2] if row.kind == Kind.REST else row.payload
    label = label_of(decoder, body) if decoder is not None and is_frame else FrameLabel()
    return FrameSeen(
        place,
        row.time_ns,
        DIRECTIONS.get(Kind(row.kind), "session") if row.kind in set(Kind) else "session",
        row.kind.decode("ascii", "replace"),
        len(row.payload),
        text[:most],
        len(text) > most or len(row.payload) > 4 * most,
        tuple(label.natives),
        dict(label.numbers),
        label.follows,
    )


def asked(row: Row) -> Asked | None:
    """Request or REST answer that a row holds; None for other rows."""
    if row.kind == Kind.SENT:
        return Asked(row.time_ns, "sent", row.payload[:OTHER_CHARACTERS].decode("utf-8", "backslashreplace"))
    if row.kind in (Kind.REST, Kind.FAILED):
        members = members_of(row)
        what = "answer" if row.kind == Kind.REST else "failed"
        status = members.get("status")
        told = " ".join(str(members.get(name, "")) for name in ("request", "symbol", "path", "error") if members.get(name))
        return Asked(row.time_ns, what, told[:OTHER_CHARACTERS], status if type(status) is int else None)
    if row.kind == Kind.OPEN:
        return Asked(row.time_ns, "opened", str(members_of(row).get("url", ""))[:OTHER_CHARACTERS])
    return None


def members_of(row: Row) -> dict[str, Any]:
    """JSON members of a row that is no frame; none where it cannot be read."""
    try:
        members = orjson.loads(row.payload.partition(b"\n")[0])
    except orjson.JSONDecodeError:
        return {}
    return members if isinstance(members, dict) else {}
