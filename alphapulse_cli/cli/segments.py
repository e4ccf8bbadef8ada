"""`alphapulse segments`: what is in shared memory."""

from typing import Annotated, Any

import typer

from alphapulse_cli.cli import options, render, talk

app = options.command_app()

SEGMENTS = (
    render.Column("segment"),
    render.Column("writer"),
    render.Column("pid", right=True),
    render.Column("epoch", right=True),
    render.Column("size", right=True),
    render.Column("heartbeat_ms", "beat ms ago", right=True),
    render.Column("published", "records or version", right=True),
    render.Column("per_s", "a second", right=True),
    render.Column("state", "book"),
    render.Column("levels", right=True),
    render.Column("readers", right=True),
    render.Column("problem"),
)
READERS = (
    render.Column("pid", "reader", right=True),
    render.Column("label"),
    render.Column("segment", "reads"),
    render.Column("lag", right=True),
    render.Column("missed", right=True),
    render.Column("since_s", "seconds", right=True),
    render.Column("alive"),
)


@app.command()
def segments(
    sweep: Annotated[bool, typer.Option("--sweep", help="Remove what is dead: retired sets, dead readers' cursors.")] = False,
    as_json: options.Json = False,
    shm_dir: options.ShmDir = None,
) -> None:
    """Every segment: its size, who writes it and whether that lives, how fast it grows; and every reader with its lag in records.

    LIVE is what a heartbeat of the last two seconds says, whatever a dead writer claimed last. --sweep removes what no living process
    needs and says what that was.

    Example: alphapulse segments --sweep
    """
    from alphapulse_cli.apps.segments import describe, sweep_dead
    from alphapulse_cli.apps.sets import START_ONE
    from alphapulse_cli.errors import NoSegment
    from alphapulse_cli.shm.directory import open_directory

    settings = options.settings()
    with open_directory(settings.choose("shm_dir", shm_dir) or None) as directory:
        if sweep:
            removed = sweep_dead(directory)
            render.emit_rows(({"removed": name} for name in removed), (render.Column("removed"),), as_json)
            talk.note(f"{len(removed)} files removed" if removed else "nothing was dead")
            return
        found, readers = describe(directory)
        if not found and not readers:
            raise NoSegment(f"nothing is collected in {directory.path}", START_ONE)
        if render.wants_json(as_json):
            render.emit_json([*(one.row() for one in found), *(one.row() for one in readers)])
            return
        render.emit_table((_with_size(one.row()) for one in found), [c for c in SEGMENTS if c.name != "problem" or _any(found)])
        if readers:
            print()
            render.emit_table((one.row() for one in readers), READERS)


def _any(found: Any) -> bool:
    return any(one.problem for one in found)


def _with_size(row: dict[str, Any]) -> dict[str, Any]:
    octets = row["bytes"]
    return row | {"size": "" if octets is None else f"{octets / (1 << 20):.1f} MiB" if octets >= 1 << 20 else f"{octets >> 10} KiB"}
