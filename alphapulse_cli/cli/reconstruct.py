"""`alphapulse reconstruct`: books rebuilt in this process, shown once, watched or proved exact."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alphapulse_cli.cli import options, render, stderr
from alphapulse_cli.edges.safe_text import safe
from alphapulse_cli.errors import ExitCode, UsageError
from alphapulse_cli.market.trading_status import remark

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from alphapulse_cli.apps.reconstruct import Books, View
    from alphapulse_cli.readers.selection import Wanted
    from alphapulse_cli.shm.directory import Directory

app = options.command_app()

PAST_FIELDS = ("bid", "ask", "mid", "spread", "spread_bps", "bid_size", "ask_size", "imbalance")
TABLE_DEPTH, VERIFY_S, REFRESH_S = 10, 10.0, 0.2
COLUMNS = (
    *(render.Column(name) for name in ("set", "symbol", "state")),
    render.Column("levels", right=True, rank=3),
    *(render.Column(name, right=True) for name in ("checks_ok", "checks_bad")),
    render.Column("image", rank=1),
    render.Column("checksums_ok", right=True, rank=4),
    render.Column("checksums_bad", right=True),
    render.Column("gaps", right=True),
    render.Column("laps", right=True, rank=2),
    render.Column("verdict"),
    render.Column("why"),
)


@app.command()
def reconstruct(
    places: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE...]", show_default=False, help="Captures, and folders of them, for --at and --every."),
    ] = None,
    symbols: options.Symbols = None,
    exchanges: options.Exchanges = None,
    depth: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", show_default=False, help="Levels per side. Default: 10 in a table, all otherwise."),
    ] = None,
    form: options.Format = None,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", help="Keep running: refresh on a terminal, one object per change in a pipe. Includes sets that start later."
        ),
    ] = False,
    prove: Annotated[
        bool,
        typer.Option(
            "--verify", help="Prove that every replica equals the writer's book and its image, for --duration (default 10s)."
        ),
    ] = False,
    at: Annotated[
        str,
        typer.Option(
            "--at",
            metavar="TIME",
            autocompletion=options.complete_moment,
            show_default=False,
            help="Show the books of a capture at this time, as in 2026-11-27T08:00:00.123Z.",
        ),
    ] = "",
    at_version: Annotated[
        int | None,
        typer.Option(
            "--at-version", min=1, metavar="N", show_default=False, help="Show the book of a capture when it had this version."
        ),
    ] = None,
    at_sequence: Annotated[
        int | None,
        typer.Option(
            "--at-sequence",
            min=0,
            metavar="N",
            show_default=False,
            help="Show the book of a capture when it had taken in the exchange's message of this number.",
        ),
    ] = None,
    every: Annotated[
        float | None,
        typer.Option(
            "--every",
            metavar="TIME",
            parser=options.parse_duration,
            show_default=False,
            help="Print a line of --fields for each book of a capture, this far apart: 1s, 100ms.",
        ),
    ] = None,
    start: options.FromTime = "",
    end: options.ToTime = "",
    fields: Annotated[
        list[str] | None,
        typer.Option(
            "--fields",
            metavar="NAMES",
            autocompletion=options.complete_words(*PAST_FIELDS, several=True),
            show_default=False,
            help="Fields of --every. Default: bid,ask,mid,spread,imbalance.",
        ),
    ] = None,
    count: options.Count = None,
    duration: options.Duration = None,
    as_json: options.Json = False,
    wait_for: options.WaitFor = False,
    wait: options.Wait = None,
    shm_dir: options.ShmDir = None,
) -> None:
    """Show the full book of a symbol on all exchanges, rebuilt in this process from image and deltas, or from a capture.

    A book that is not LIVE is shown with its state, and a warning on stderr. Exit codes of --verify: 0 if every book matched at
    least one CHECK and equals its image, 4 if any book differed, 1 if a book could not be proved.

    With a capture it is the book of the past: --at an instant, --at-version a version, --at-sequence an exchange's number, or a
    series --every so often. The search for a version or a number begins at --from.

    Example: alphapulse reconstruct --symbol BTC-USD --depth 10

    Example: alphapulse reconstruct --at 2026-11-27T08:00:00Z captures
    """
    if places or at or at_version is not None or at_sequence is not None or every is not None:
        from alphapulse_cli.cli import past

        refused = [name for name, given in (("--watch", watch), ("--verify", prove), ("--wait-for", wait_for)) if given]
        asked = past.Asked(
            places or [],
            at,
            at_version,
            at_sequence,
            every,
            start,
            end,
            options.split_lists(fields or ()),
            symbols or [],
            exchanges or [],
        )
        past.show(asked, render.chosen_format(form, as_json), (depth, TABLE_DEPTH), refused, print_views)
        return
    if start or end or fields:
        raise UsageError("--from, --to and --fields go with --every and a capture", "alphapulse reconstruct --every 1s FILE")
    from alphapulse_cli.apps.reconstruct import Books
    from alphapulse_cli.cli import standing
    from alphapulse_cli.readers.selection import Wanted, until_there
    from alphapulse_cli.shm.directory import open_directory

    form = render.chosen_format(form, as_json)
    wanted = Wanted.of(exchanges, symbols)
    settings = options.settings()
    how = settings.choose("wait", wait)
    with open_directory(settings.choose("shm_dir", shm_dir) or None, create=wait_for) as directory:
        if wait_for:
            there, duration = until_there(lambda: Books(directory, wanted, how), stderr.note, duration)
            there.close()
        if prove:
            if watch or count is not None or depth is not None:
                stderr.warning("--verify proves whole books for --duration and ends; it ignores --watch, --depth and --count")
            stderr.note(f"proving every book for {VERIFY_S if duration is None else duration:g} s")
            raise typer.Exit(_verify(directory, wanted, VERIFY_S if duration is None else duration, form, how))
        books = Books(directory, wanted, how, observe=standing.Standing(directory, wanted).look if watch else None)
        try:
            _show(books, form, depth, watch, count, duration)
        finally:
            books.close()


def _show(books: "Books", form: str, depth: int | None, watch: bool, count: int | None, duration: float | None) -> None:
    from alphapulse_cli.readers.moments import replay_warning

    books.settle()
    for follower in books.followers:
        if follower.groups.is_replay:
            stderr.warning(replay_warning(follower.set_name, follower.groups.now_ns()))
    depth = depth or (TABLE_DEPTH if form == "table" else None)
    if not watch:
        views = books.views(depth)
        print_views(views, form)
        _print_states(views)
    elif form == "table" and stderr.is_terminal(sys.stdout):
        _live(books, depth or TABLE_DEPTH, count, duration)
    elif form == "table":
        console = render.console(sys.stdout)
        for view in books.changes(depth, count, duration):
            if view is not None:
                console.print(picture([view]))
    elif form == "csv":
        render.emit_csv(_csv_rows(books.changes(depth, count, duration)), CSV_COLUMNS)
    else:
        render.emit_json(None if view is None else view.row() for view in books.changes(depth, count, duration))


def print_views(views: "list[View]", form: str) -> None:
    """Print views as table, json or csv."""
    if form == "json":
        render.emit_json(view.row() for view in views)
    elif form == "csv":
        render.emit_csv(_csv_rows(views), CSV_COLUMNS)
    else:
        render.console(sys.stdout).print(picture(views))


def _print_states(views: "Iterable[View]") -> None:
    for view in views:
        if view.state.name != "LIVE":
            stderr.warning(f"{view.id} is not live: {_state_words(view)}")
        elif remark(view.trading_status):
            stderr.warning(f"{view.id}: {remark(view.trading_status)}, according to the exchange; it does not take all orders")


def _state_words(view: "View") -> str:
    from alphapulse_cli.readers.moments import REPLAY
    from alphapulse_cli.wire.delta import state_words

    words = state_words(view.state, view.reason, view.trading_status)
    return f"{words}, {REPLAY}" if view.replay else words


CSV_COLUMNS = ("exchange", "symbol", "state", "version", "side", "price", "size", "trading_status")


def _csv_rows(views: "Iterable[View | None]") -> "Iterator[render.Row | None]":
    """Iterate over rows, one a level, best first."""
    for view in views:
        if view is None:
            yield None
            continue
        trading = "" if view.trading_status is None else view.trading_status.name
        for side, levels in (("bid", view.bids), ("ask", view.asks)):
            for price, size, _ in levels:
                cells = (view.exchange, view.symbol, view.state.name, view.version, side, price, size, trading)
                yield dict(zip(CSV_COLUMNS, cells, strict=True))


def _live(books: "Books", depth: int, count: int | None, duration: float | None) -> None:
    """Show the books, refreshed in place at most five times a second, until `count` refreshes or `duration` seconds."""
    import time

    from rich.live import Live

    end = None if duration is None else time.monotonic() + duration
    with stderr.drawing(), Live(console=render.console(sys.stdout), auto_refresh=False, vertical_overflow="crop") as live:
        shown = 0
        while True:
            live.update(picture(books.views(depth)), refresh=True)
            shown += 1
            now = time.monotonic()
            if (count is not None and shown >= count) or (end is not None and now >= end):
                return
            until = min(now + REFRESH_S, end or now + REFRESH_S)
            while (left := until - time.monotonic()) > 0:
                books.poll()
                books.wait(left)


def picture(views: "list[View]") -> "Group":
    """Draw all books, one below the other."""
    from rich.console import Group

    return Group(*(part for view in views for part in _one(view)))


def _one(view: "View") -> "Iterator[Any]":
    from rich.text import Text

    from alphapulse_cli.readers.moments import REPLAY

    state = _state_words(view)
    spread = f"spread {view.spread} ({view.spread_bps:.2f} bps)" if view.spread and view.spread_bps is not None else "one-sided"
    age = "-" if view.age_ms is None else f"{max(view.age_ms, 0):.0f} ms"
    yield Text.assemble(
        (safe(view.id), "bold"),
        "  ",
        (state, "green" if state.removesuffix(f", {REPLAY}") == "LIVE" else "bold red"),
        f"  v{view.version}  {spread}  {view.bid_levels} bids, {view.ask_levels} asks  age {age}",
    )
    yield _ladder(view)
    yield Text("")


def _ladder(view: "View") -> "Table":
    """Table of bids and asks side by side, best on top."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    for title, right in (("total", True), ("size", True), ("bid", True), ("ask", False), ("size", True), ("total", True)):
        table.add_column(title, justify="right" if right else "left", no_wrap=True)
    for row in range(max(len(view.bids), len(view.asks))):
        bid = view.bids[row] if row < len(view.bids) else ("", "", "")
        ask = view.asks[row] if row < len(view.asks) else ("", "", "")
        table.add_row(
            Text(bid[2], style="dim"),
            bid[1],
            Text(bid[0], style="green"),
            Text(ask[0], style="red"),
            ask[1],
            Text(ask[2], style="dim"),
        )
    return table


def _verify(directory: "Directory", wanted: "Wanted", duration: float, form: str, how: str) -> ExitCode:
    from alphapulse_cli.apps.reconstruct import ProofVerdict, verify
    from alphapulse_cli.readers.moments import replay_warning

    proofs = verify(directory, wanted, duration, lambda name: stderr.note(f"{name}: left out, its collector is gone"), how)
    render.emit_rows((proof.row() for proof in proofs), COLUMNS, form)
    for name in sorted({proof.set_name for proof in proofs if proof.replay}):
        stderr.warning(replay_warning(name))
    failed = [proof for proof in proofs if proof.verdict is ProofVerdict.FAILED]
    unproved = [proof for proof in proofs if proof.verdict is ProofVerdict.UNPROVED]
    for proof in failed:
        stderr.error(f"{proof.set_name}:{proof.symbol} FAILED: {proof.why}")
    if failed:
        return ExitCode.INTEGRITY
    if unproved or not proofs:
        stderr.warning(f"{len(unproved)} of {len(proofs)} books could not be proved; a longer --duration may help")
        return ExitCode.FAILED
    stderr.note(f"all {len(proofs)} books proved, level for level")
    return ExitCode.DONE
