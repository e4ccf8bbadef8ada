"""`capture info`: what a capture holds, a row per file."""

from typing import Any

from alphapulse_cli.apps.capture.survey import Connection, Survey
from alphapulse_cli.readers.moments import moment

DIGITS = 9  # of times: captures have nanoseconds


def row_of(found: Survey) -> dict[str, Any]:
    """Row of a file as plain values: for JSON as it is, for a table its first members."""
    head = found.head
    return {
        "file": str(found.path),
        "exchange": head.exchange if head else None,
        "mode": head.mode if head else None,
        "set": head.set_name if head else None,
        "depth": head.depth if head else None,
        "channels": list(head.channels) if head else [],
        "symbols": list(dict.fromkeys([*(one.symbol for one in head.instruments), *found.added])) if head else found.added,
        "source": head.source if head else None,
        "run": moment(head.run_ns, digits=DIGITS) if head else None,
        "number": head.file_number if head else None,
        "from": moment(found.first_ns, digits=DIGITS) if found.first_ns else None,
        "to": moment(found.last_ns, digits=DIGITS) if found.last_ns else None,
        "frames": found.kinds["recv"],
        "rows": found.row_count,
        "rows_by_kind": dict(found.kinds),
        "frame_bytes": found.frame_bytes,
        "bytes": found.size,
        "ratio": round(found.rows_bytes / found.size, 2) if found.size else None,
        "connections": [_connection(one) for _, one in sorted(found.connections.items())],
        "lost_rows": found.lost_rows,
        "losses": [
            {
                "rows": loss.rows,
                "from": moment(loss.from_ns, digits=DIGITS),
                "to": moment(loss.to_ns, digits=DIGITS),
                "reason": loss.reason,
            }
            for loss in found.losses
        ],
        "damage": [
            {"offset": each.offset, "bytes": each.length, "reason": each.reason, "at_end": each.at_end} for each in found.damages
        ],
        "head_lost": head is None,
        "closed": found.closed or None,
        "state": state_of(found),
    }


def state_of(found: Survey) -> str:
    """State of a file in a few words: whole, and closed in good order or not; or what is wrong with it."""
    said = []
    if found.head is None:
        said.append("head lost")
    if any(not damage.at_end for damage in found.damages):
        said.append("damaged")
    if found.cut_bytes:
        said.append("cut")
    if found.losses:
        said.append(f"{found.lost_rows or 'some'} rows lost")
    if not said and not found.closed:
        return "open"  # being written, or its writer was killed after a whole block
    return ", ".join(said) or "whole"


def _connection(one: Connection) -> dict[str, Any]:
    return {
        "connection": one.number,
        "url": one.url,
        "symbols": one.symbols,
        "open_before": one.again,
        "opens": [moment(at_ns, digits=DIGITS) for at_ns in one.opens],
        "ends": [{"time": moment(at_ns, digits=DIGITS), "reason": reason} for at_ns, reason in one.ends],
        "frames": one.frames,
    }
