"""`alphapulse reconstruct`: the full book of a symbol, rebuilt exactly in this process; or the proof that every replica is."""

import sys
from collections.abc import Iterator, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alphapulse_cli.cli import options, render, talk
from alphapulse_cli.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Group

    from alphapulse_cli.apps.reconstruct import Books, BookView, Proof

app = options.command_app()

REFRESH_S, LOOK_S, PROVE_S = 0.25, 0.005, 10.0
CSV_HEAD = "exchange,symbol,state,version,side,price,size\n"
PROOF_COLUMNS = (
    render.Column("set"),
    render.Column("symbol"),
    render.Column("state"),
    render.Column("levels", right=True),
    render.Column("checks_ok", "checks ok", right=True),
    render.Column("checks_bad", "bad", right=True),
    render.Column("image_equal", "equals image"),
    render.Column("exchange_checksum", "exchange's checksum"),
    render.Column("gaps", right=True),
    render.Column("missed", right=True),
    render.Column("verdict"),
)


class Format(StrEnum):
    """How books are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@app.command()
def reconstruct(
    symbols: options.Symbols = None,
    names: options.Exchanges = None,
    depth: Annotated[
        int | None,
        typer.Option(
            "--depth",
            "-d",
            min=1,
            metavar="N",
            show_default=False,
            help="The best N levels a side; all if not given (a table: 20).",
        ),
    ] = None,
    form: Annotated[
        Format | None, typer.Option("--format", "-f", show_default=False, help="table on a terminal, json elsewhere.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on: in place on a terminal, a JSON object a change elsewhere.")
    ] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Prove every book for --duration (10s), and set the exit code.")] = False,
    duration: options.Duration = None,
    count: options.Count = None,
    shm_dir: options.ShmDir = None,
    as_json: options.Json = False,
) -> None:
    """The full book of a symbol: rebuilt here, exactly, from the collector's image and every change since.

    A book that is not LIVE says so. --verify follows all books (or those named), compares each with its writer's CHECKs and image, and ends
    with 0 only if every one was proved, 4 if one differs or could not be proved.

    Example: alphapulse reconstruct --symbol kraken:BTC-USD --depth 10
    """
    from alphapulse_cli.apps.reconstruct import Books
    from alphapulse_cli.shm.directory import open_directory

    if as_json and form not in (None, Format.JSON):
        raise UsageError(f"--json and --format {form.value} contradict each other")
    if verify and (watch or form is Format.CSV):
        raise UsageError("--verify goes with neither --watch nor csv")
    where = options.settings().choose("shm_dir", shm_dir)
    with open_directory(where or None) as directory:
        books = Books(directory, names or (), symbols or ())
        wanted = form or (Format.JSON if render.wants_json(as_json) else Format.TABLE)
        if verify:
            raise typer.Exit(_verify(books, duration or PROVE_S, as_json=wanted is Format.JSON))
        if watch:
            _watch(books, wanted, depth, duration, count)
        else:
            _once(books, wanted, depth)


def _once(books: "Books", form: Format, depth: int | None) -> None:
    import time

    books.join(time.sleep)
    views = books.views(depth if form is not Format.TABLE else depth or 20)
    _print(views, form)
    _say_what_is_not_live(views)


def _print(views: "Sequence[BookView]", form: Format) -> None:
    if form is Format.JSON:
        render.emit_json(map(_json, views))
    elif form is Format.CSV:
        sys.stdout.write(CSV_HEAD)
        sys.stdout.writelines(_csv(views))
    else:
        render.console(sys.stdout).print(_picture(views))


def _watch(books: "Books", form: Format, depth: int | None, duration: float | None, count: int | None) -> None:
    """Until the duration, or `count` changes, are over."""
    import time

    until = None if duration is None else time.monotonic() + duration
    left = count if count is not None else sys.maxsize
    books.join(time.sleep)
    if form is Format.TABLE and talk.is_terminal(sys.stdout):
        _watch_screen(books, depth, until)
        return
    seen: dict[tuple[str, str], tuple[int, object]] = {}
    if form is Format.CSV:
        sys.stdout.write(CSV_HEAD)
    while left > 0 and (until is None or time.monotonic() < until):
        news = [view for view in books.views(depth) if seen.get((view.set_name, view.symbol)) != (view.version, view.state)][:left]
        for view in news:
            seen[view.set_name, view.symbol] = (view.version, view.state)
        left -= len(news)
        if form is Format.CSV:
            sys.stdout.writelines(_csv(news))
            sys.stdout.flush()
        elif form is Format.TABLE:
            _print(news, form)
        elif news:
            render.emit_json([*map(_json, news), None])
        while left > 0 and not books.poll() and (until is None or time.monotonic() < until):
            time.sleep(LOOK_S)


def _watch_screen(books: "Books", depth: int | None, until: float | None) -> None:
    import time

    from rich.live import Live

    with Live(console=render.console(sys.stdout), auto_refresh=False, vertical_overflow="crop") as live:
        while until is None or time.monotonic() < until:
            live.update(_picture(books.views(depth or 10)), refresh=True)
            shown = time.monotonic()
            while time.monotonic() - shown < REFRESH_S:
                books.poll()
                time.sleep(LOOK_S)


def _verify(books: "Books", duration: float, *, as_json: bool) -> int:
    import time

    from alphapulse_cli.errors import ExitCode

    until = time.monotonic() + duration
    while time.monotonic() < until:
        if not books.poll():
            time.sleep(LOOK_S)
    proofs = books.proofs(time.sleep)
    render.emit_rows(map(_proof_row, proofs), PROOF_COLUMNS, as_json)
    failed = [proof for proof in proofs if proof.verdict != "proved"]
    if not failed:
        return ExitCode.DONE
    which = ", ".join(f"{proof.set_name}:{proof.symbol} {proof.verdict}" for proof in failed)
    talk.error(
        f"{len(failed)} of {len(proofs)} books were not proved: {which}",
        "longer: --duration 30; what is not LIVE: alphapulse segments",
    )
    return ExitCode.INTEGRITY


def _proof_row(proof: "Proof") -> dict[str, Any]:
    return {
        "set": proof.set_name,
        "exchange": proof.exchange,
        "symbol": proof.symbol,
        "state": proof.state.name,
        "version": proof.version,
        "levels": proof.levels,
        "checks_ok": proof.checks_ok,
        "checks_bad": proof.checks_bad,
        "image_equal": proof.image_equal,
        "exchange_checksum": proof.exchange_checksum.name.lower(),
        "gaps": proof.gaps,
        "missed": proof.missed,
        "verdict": proof.verdict,
    }


def _json(view: "BookView") -> dict[str, Any]:
    from dataclasses import asdict

    row = {"set": view.set_name, **asdict(view), "state": view.state.name, "reason": view.reason.name}
    del row["set_name"]
    if view.spread_bps is not None:
        row["spread_bps"] = round(view.spread_bps, 4)
    return row


def _csv(views: "Sequence[BookView]") -> Iterator[str]:
    for view in views:
        head = f"{view.exchange},{view.symbol},{view.state.name},{view.version}"
        for side, levels in (("bid", view.bids), ("ask", view.asks)):
            for price, size in levels:
                yield f"{head},{side},{price},{size}\n"


def _say_what_is_not_live(views: "Sequence[BookView]") -> None:
    for view in views:
        if view.state.name != "LIVE":
            why = view.reason.name.lower().replace("_", " ")
            talk.warning(f"{view.set_name}:{view.symbol} is {view.state.name} ({why}): do not trade on it")


def _picture(views: "Sequence[BookView]") -> "Group":
    """Each book with a line about it and its sides beside one another, the sizes added up from the best price on."""
    from rich.console import Group, RenderableType
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = []
    for view in views:
        live = view.state.name == "LIVE"
        words = f"{view.state.name}" if live else f"{view.state.name} ({view.reason.name.lower().replace('_', ' ')})"
        spread = "" if view.spread_bps is None else f"  spread {view.spread_bps:.2f} bps"
        line = Text(f"{talk.safe(view.set_name)}:{talk.safe(view.symbol)}  ", style="bold")
        line.append(words, style="green" if live else "red")
        line.append(f"  version {view.version}  levels {view.bid_levels} + {view.ask_levels}{spread}", style="")
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in ("sum", "bid size", "bid", "ask", "ask size", "sum"):
            table.add_column(title, justify="left" if title == "ask" else "right", no_wrap=True)
        for bid, ask in zip(*_padded(_summed(view.bids), _summed(view.asks)), strict=True):
            table.add_row(bid[2], bid[1], Text(bid[0], style="green"), Text(ask[0], style="red"), ask[1], ask[2])
        parts += [line, table, Text("")]
    return Group(*parts[:-1])


def _summed(levels: "Sequence[tuple[str, str]]") -> list[tuple[str, str, str]]:
    """(price, size, size of all levels so far), exactly."""
    total, rows = Decimal(0), []
    for price, size in levels:
        total += Decimal(size)
        rows.append((price, size, format(total, "f")))
    return rows


def _padded(
    one: list[tuple[str, str, str]], other: list[tuple[str, str, str]]
) -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    """Both as long as the longer one."""
    length = max(len(one), len(other))
    empty = ("", "", "")
    return one + [empty] * (length - len(one)), other + [empty] * (length - len(other))
