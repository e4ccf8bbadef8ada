"""`alphapulse tail deltas|trades`: lines on a terminal, NDJSON for a pipe."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from alphapulse_cli.cli import options, render, stderr
from alphapulse_cli.errors import UsageError

if TYPE_CHECKING:
    from alphapulse_cli.flow.groups import Start

app = options.command_app(help="Follow the deltas or the trades of all sets as they are published.")


def _complete_fields(context: typer.Context, incomplete: str) -> list[str]:
    """Completions of the last field in a list, for deltas or for trades."""
    from alphapulse_cli.apps import tail_fields

    fields = tail_fields.DELTA_FIELDS if context.info_name == "deltas" else tail_fields.TRADE_FIELDS
    return options.complete_words(*fields, several=True)(incomplete)


From = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="WHEN",
        autocompletion=options.complete_words(*options.WHENCE),
        help="Where to begin: now, oldest (all that the rings hold), -10s (the last ten seconds), or a time: 2026-11-27T10:55:00Z.",
    ),
]
Fields = Annotated[
    str | None,
    typer.Option(
        "--fields",
        metavar="A,B,…",
        autocompletion=_complete_fields,
        show_default=False,
        help="Only these fields, as in time,symbol,price,size; all are listed above.",
    ),
]


@app.command()
def deltas(
    exchanges: options.Exchanges = None,
    symbols: options.Symbols = None,
    form: options.Format = None,
    fields: Fields = None,
    as_json: options.Json = False,
    local: options.Local = None,
    start: From = "now",
    count: options.Count = None,
    duration: options.Duration = None,
    wait_for: options.WaitFor = False,
    wait: options.Wait = None,
    shm_dir: options.ShmDir = None,
) -> None:
    """Follow every change of every book, in whole groups: a line a change on a terminal, a JSON object a group in a pipe.

    In JSON "changes" are [side, price, size]; size 0 removes the level. --count counts groups. Records that were overwritten before
    they could be read are reported as "missed". --exchange also takes the name of a set made with `collect --as`.

    Fields of --fields: time, timestamp_ns, set, exchange, symbol, kind, version, prev_version, feed_delay_us, resynced, replay,
    state, reason, side, price, size, what, bid, bid_size, ask, ask_size.

    What comes from `alphapulse replay` is announced as REPLAY, marked in each line, and has "replay": true in JSON.

    Example: alphapulse tail deltas --symbol BTC-USD --from -10s --json | head
    """
    asked = Asked(exchanges, symbols, start, count, duration, wait_for, wait, shm_dir)
    _follow("deltas", asked, render.chosen_format(form, as_json), fields, local=local)


@app.command()
def trades(
    exchanges: options.Exchanges = None,
    symbols: options.Symbols = None,
    form: options.Format = None,
    fields: Fields = None,
    as_json: options.Json = False,
    local: options.Local = None,
    start: From = "now",
    count: options.Count = None,
    duration: options.Duration = None,
    wait_for: options.WaitFor = False,
    wait: options.Wait = None,
    shm_dir: options.ShmDir = None,
) -> None:
    """Follow every trade: a line on a terminal, a JSON object in a pipe. The side is the taker's.

    Fields of --fields: time, timestamp_ns, set, exchange, symbol, side, price, size, trade_id, exchange_time, exchange_ns,
    feed_delay_us, history, replay.

    Example: alphapulse tail trades --exchange kraken --format csv | head
    """
    asked = Asked(exchanges, symbols, start, count, duration, wait_for, wait, shm_dir)
    _follow("trades", asked, render.chosen_format(form, as_json), fields, local=local)


@dataclass(frozen=True, slots=True)
class Asked:
    """Options that both commands share."""

    exchanges: list[str] | None
    symbols: list[str] | None
    start: str
    count: int | None
    duration: float | None
    wait_for: bool
    wait: str | None
    shm_dir: str | None


def _follow(what: str, asked: Asked, form: str, fields: str | None, *, local: bool | None) -> None:
    from alphapulse_cli.apps import tail_fields
    from alphapulse_cli.apps.tail import Tail
    from alphapulse_cli.cli import standing, tail_lines
    from alphapulse_cli.readers.selection import Wanted, until_there
    from alphapulse_cli.shm.directory import open_directory
    from alphapulse_cli.shm.layout import SegmentKind

    if local and form != "table":
        raise UsageError("--local is for tables", f"times in {form} are always in UTC")
    names = tail_fields.chosen(fields, what) if fields is not None else ()
    settings = options.settings()
    local = bool(settings.choose("local", local))
    begin, since_ns, ago_ns = _start(asked.start)
    wanted, how = Wanted.of(asked.exchanges, asked.symbols), settings.choose("wait", asked.wait)
    kind = SegmentKind.DELTAS if what == "deltas" else SegmentKind.TRADES
    with open_directory(settings.choose("shm_dir", asked.shm_dir) or None, create=asked.wait_for) as directory:
        watcher = standing.Standing(directory, wanted, replays=True)

        def attach() -> Tail:
            needs_quotes = tail_fields.needs_quotes(names)
            return Tail(directory, kind, wanted, begin, since_ns, how, quotes=needs_quotes, ago_ns=ago_ns, observe=watcher.look)

        attached, left_s = until_there(attach, stderr.note, asked.duration) if asked.wait_for else (attach(), asked.duration)
        with attached as tail:
            watcher.warn_of_replays(tail.sets)
            items = tail.items(asked.count, left_s)
            if form == "json":
                tail_lines.print_json(items, names)
            elif form == "csv":
                tail_lines.print_csv(items, names or (tail_fields.DELTAS_CSV if what == "deltas" else tail_fields.TRADES_CSV))
            elif names:
                tail_lines.print_fields(items, names, local=local)
            else:
                tail_lines.Lines(stderr.wants_colour(sys.stdout), local=local).print(items)


def _start(text: str) -> "tuple[Start, int, int | None]":
    """Start and limit of --from: "now" or "oldest", the earliest wanted time in ns since 1970 (0: none), or how long before now.

    UsageError for other texts.
    """
    from alphapulse_cli.readers import moments

    if text in ("now", "oldest"):
        return ("now" if text == "now" else "oldest"), 0, None
    if text[:1].isdigit():
        return "oldest", moments.parse(text), None
    if not text.startswith("-"):
        raise UsageError(
            f"unknown --from: {text[:40]!r}", "write --from now, --from oldest, --from -10s or --from 2026-11-27T10:55:00Z"
        )
    return "oldest", 0, int(options.parse_duration(text[1:]) * 1e9)
