"""`alphapulse feeds`: how good each feed was, by exchange, connection and symbol."""

from collections.abc import Callable
from typing import Annotated

import typer

from alphapulse_cli.cli import options, render, stderr
from alphapulse_cli.errors import NoSegment, UsageError

app = options.command_app()

WINDOWS, PARTS = ("start", "hour", "day", "all"), ("exchange", "connection", "symbol", "all")
COLUMNS = (
    render.Column("set"),
    render.Column("feed"),
    render.Column("window", rank=9),
    render.Column("state", "now"),
    render.Column("valid", "valid %", right=True),
    render.Column("gaps", right=True),
    render.Column("resyncs", right=True),
    render.Column("healing", "healing p50 / p99", right=True, rank=2),
    render.Column("checksums", "checksums ok", right=True, rank=3),
    render.Column("delay", "feed delay p50 / p99 / p99.9", right=True, rank=1),
    render.Column("messages", "messages/s", right=True, rank=4),
    render.Column("bytes", "bytes/s", right=True, rank=6),
    render.Column("reconnects", right=True, rank=5),
    render.Column("open", "open %", right=True, rank=7),
    render.Column("halts", right=True, rank=8),
    render.Column("ran", right=True, rank=8),
)


def _checked(what: str, offered: tuple[str, ...]) -> Callable[[str], str]:
    def checked(word: str) -> str:
        if word not in offered:
            raise UsageError(f"unknown {what}: {word[:40]!r}", f"choose one of: {', '.join(offered)}")
        return word

    return checked


Window = Annotated[
    str,
    typer.Option(
        metavar="WINDOW",
        callback=_checked("window", WINDOWS),
        autocompletion=options.complete_words(*WINDOWS),
        help="Time to judge: since the collector's start, the last hour, the last day, or all of them.",
    ),
]
Part = Annotated[
    str,
    typer.Option(
        metavar="PART",
        callback=_checked("part", PARTS),
        autocompletion=options.complete_words(*PARTS),
        help="Only the cards of exchanges, of connections or of symbols.",
    ),
]


@app.command()
def feeds(
    names: options.Exchanges = None,
    symbols: options.Symbols = None,
    window: Window = "hour",
    part: Part = "all",
    shm_dir: options.ShmDir = None,
    form: options.Format = None,
    as_json: options.Json = False,
) -> None:
    """Show how good each feed was: the share of time in which its books were valid, gaps, healing, delays, reconnects.

    Each collector keeps the scores of its set in shared memory, for a day, also over restarts. docs/how-to/read-the-scorecards.md
    says what each figure means.

    Example: alphapulse feeds --window day --json | jq 'select(.kind == "symbol" and .valid_percent < 99.9)'
    """
    from alphapulse_cli.apps import feeds as work
    from alphapulse_cli.readers.selection import Wanted, settled
    from alphapulse_cli.shm.directory import open_directory

    form = render.chosen_format(form, as_json)
    chosen = options.settings().choose("shm_dir", shm_dir)
    with open_directory(chosen or None) as directory:
        wanted = Wanted.of(names, symbols)
        found, missing = work.look(directory, wanted, window, part)
        if not found:
            settled(directory, wanted)  # NoSegment names what there is, for a set or a symbol that is not
            raise NoSegment(
                missing[0] if missing else f"no scorecards of what was asked for in {directory.path}",
                "start a collector: alphapulse collect --exchange kraken; what is there: alphapulse segments",
            )
        for sentence in missing:
            stderr.warning(sentence)
        if form == "json":
            render.emit_json(card.to_dict() for card in found)
        elif form == "csv":
            render.emit_csv(card.to_dict() for card in found)
        else:
            shown = [column for column in COLUMNS if column.name != "window" or window == "all"]
            render.emit_table(map(work.row, work.in_table(found)), shown)
