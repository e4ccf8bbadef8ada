"""`alphapulse arb watch|scan|history|explain|counters`: opportunities between exchanges that could have been traded."""

import gc
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alphapulse_cli.cli import options, render, stderr
from alphapulse_cli.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from alphapulse_cli.apps.arb.keep import Keeper
    from alphapulse_cli.apps.arb.watch import Watch
    from alphapulse_cli.flow.arbitrage.candidate import ArbitragePolicy
    from alphapulse_cli.flow.arbitrage.exact import Exact

app = options.command_app(
    help="Find cross-exchange opportunities: walked through the depth, net of fees, only on live books of markets that take orders."
)


def _complete_fee(context: typer.Context, incomplete: str) -> list[str]:
    """Completions of an exchange's name, each with the = before its fee: of those named by --exchange, if any are."""
    names = options.chosen_exchanges(context) or _exchange_names()
    return [f"{name}=" for name in names if name in _exchange_names() and name.startswith(incomplete)]


Fees = Annotated[
    list[str] | None,
    typer.Option(
        "--fee",
        metavar="NAME=FRACTION",
        autocompletion=_complete_fee,
        show_default=False,
        help="Your taker fee: kraken=0.0016 for 0.16 %; may be repeated. Default: the configured fee, else the exchange's lowest tier.",
    ),
]
Size = Annotated[
    str | None,
    typer.Option("--size", metavar="N", show_default=False, help="Largest size of an opportunity, in the base currency."),
]
Notional = Annotated[
    str | None,
    typer.Option(
        "--notional",
        metavar="N",
        show_default=False,
        help="Largest cost of the buy side before fees, in the currency of the profit.",
    ),
]
MinBps = Annotated[str, typer.Option("--min-bps", metavar="N", help="Smallest net profit, in basis points of the amount spent.")]
MinProfit = Annotated[str, typer.Option("--min-profit", metavar="N", help="Smallest net profit, in the quote currency.")]
TreatAsUsd = Annotated[
    bool,
    typer.Option(
        "--treat-as-usd", help="Treat USD, USDT and USDC as one currency; otherwise a live book such as USDT-USD must convert."
    ),
]
TrustUnverified = Annotated[
    bool,
    typer.Option(
        "--trust-unverified",
        help="Use LIVE but unverified books too: the exchange's checksums never match them (collect --checksum warn).",
    ),
]
MaxAge = Annotated[
    float,
    typer.Option(
        "--max-age", metavar="TIME", parser=options.parse_duration, help="Use no book whose last change is older than this."
    ),
]
MaxSkew = Annotated[
    float,
    typer.Option(
        "--max-skew",
        metavar="TIME",
        parser=options.parse_duration,
        help="Compare no books whose feed delays differ by more than this.",
    ),
]
Triangular = Annotated[bool, typer.Option("--triangular", help="Look for cycles of three symbols within each exchange, too.")]
StorePath = Annotated[
    str | None,
    typer.Option("--store", metavar="FILE", show_default=False, help="File of kept opportunities, instead of the user's own."),
]


def _every(text: str) -> float:
    return 0.0 if text == "0" else options.parse_duration(text)


@app.command()
def watch(
    symbols: options.Symbols = None,
    exchanges: options.Exchanges = None,
    size: Size = None,
    notional: Notional = None,
    min_bps: MinBps = "0",
    min_profit: MinProfit = "0",
    fees: Fees = None,
    treat_as_usd: TreatAsUsd = False,
    trust_unverified: TrustUnverified = False,
    max_age: MaxAge = "10s",  # type: ignore[assignment]  # the parser's
    max_skew: MaxSkew = "500ms",  # type: ignore[assignment]
    triangular: Triangular = False,
    every: Annotated[
        float,
        typer.Option(
            "--every",
            metavar="TIME",
            parser=_every,
            help="Shortest time between two reported changes of one opportunity; 0 reports all.",
        ),
    ] = "100ms",  # type: ignore[assignment]
    count: Annotated[
        int | None,
        typer.Option(
            "--count", "-n", min=1, metavar="N", show_default=False, help="Stop after the first N opportunities have closed."
        ),
    ] = None,
    duration: options.Duration = None,
    form: options.Format = None,
    as_json: options.Json = False,
    keep: Annotated[
        bool, typer.Option("--keep/--no-keep", help="Keep the opportunities for `arb history` and `arb explain`.")
    ] = True,
    store: StorePath = None,
    wait_for: options.WaitFor = False,
    wait: options.Wait = None,
    shm_dir: options.ShmDir = None,
) -> None:
    """Watch opportunities open, change and close: a live table on a terminal, a JSON object an event in a pipe.

    Each opportunity is walked through both books to the size that earns most, net of taker fees, within lot and minimum sizes.
    Every opening and closing is reported, changes no more often than --every. Books that are not LIVE, too old or out of step, and
    markets that take no orders, are not used; the opportunities held back for such a reason are counted. Those of a replay are
    marked REPLAY ("replay" in JSON) and not kept; replayed and live sets are not compared.

    Example: alphapulse arb watch --symbols BTC-USD --min-bps 5 --fee kraken=0.0016
    """
    from alphapulse_cli.apps.arb.keep import Keeper
    from alphapulse_cli.apps.arb.watch import Watch, configured_fees
    from alphapulse_cli.cli import standing
    from alphapulse_cli.edges.opportunities.watch_counters import Tally
    from alphapulse_cli.readers.moments import REPLAY
    from alphapulse_cli.readers.selection import Wanted, until_there
    from alphapulse_cli.shm.directory import open_directory

    form = render.chosen_format(form, as_json)
    _refuse_one(exchanges, triangular)
    settings = options.settings()
    policy = _policy(size, notional, min_bps, min_profit, max_age, max_skew, every, treat_as_usd, triangular, trust_unverified)
    fee_texts = configured_fees(settings, _fees(fees))
    wanted, how = Wanted.of(exchanges, symbols), settings.choose("wait", wait)
    with ExitStack() as opened:
        directory = opened.enter_context(open_directory(settings.choose("shm_dir", shm_dir) or None, create=wait_for))
        tally = opened.enter_context(Tally(directory))

        def attach() -> Watch:
            with ExitStack() as undone:
                look = standing.Standing(directory, wanted).look
                made = Watch(directory, wanted, policy, fee_texts, how, "arb watch", tally=tally, observe=look)
                watching = undone.enter_context(made)
                watching.require_books()
                undone.pop_all()
            return watching

        attached, duration = until_there(attach, stderr.note, duration) if wait_for else (attach(), duration)
        watching = opened.enter_context(attached)
        if watching.is_replay:
            stderr.warning(f"{REPLAY}: these opportunities are of the past, and are not kept")
        place = _keeps_at(store) if keep and not watching.is_replay else None
        keeper = opened.enter_context(Keeper(place, str(directory.path), policy, stderr.warning))
        _warn_if_alone(watching, triangular)
        gc.freeze()  # objects made so far stay: a garbage collection in the middle of a change need not visit them
        try:
            if form == "json":
                render.emit_json(_events_until(watching, keeper, count, duration))
            elif form == "csv":
                render.emit_csv(_events(_events_until(watching, keeper, count, duration)))
            else:
                from alphapulse_cli.cli import arb_board

                arb_board.run(watching, keeper, count, duration)
        finally:  # also after Ctrl-C and a closed pipe
            for event in watching.end():
                keeper.hold(event)
        _report_end(watching)


def _refuse_one(exchanges: list[str] | None, triangular: bool) -> None:
    """Check that there is something to compare. UsageError for a single exchange without --triangular."""
    if exchanges is not None and len(exchanges) == 1 and not triangular:
        raise UsageError(
            f"only one exchange, {exchanges[0]}: there is nothing to compare it with",
            f"name another, as in --exchange {exchanges[0]} --exchange …, or look for cycles within it with --triangular",
        )


def _warn_if_alone(watching: "Watch", triangular: bool) -> None:
    if len(watching.exchanges) == 1 and not triangular:
        stderr.warning(
            f"only {watching.exchanges[0]} is collected: there is nothing to compare; collect another exchange, or use --triangular"
        )


def _events_until(watching: "Watch", keeper: "Keeper", count: int | None, duration: float | None) -> "Iterator[render.Row | None]":
    """Iterate over the events as rows, with a row for missed records among them; each event is yielded first, then kept."""
    from alphapulse_cli.apps.arb.rows import event_row

    missed = 0
    for event in watching.events(count, duration):
        if event is not None:
            keeper.hold(event)
            yield event_row(event) | ({"replay": True} if watching.is_replay else {})
            yield None  # printed at once, then kept
            keeper.catch_up()
            continue
        if watching.missed > missed:
            yield {"event": "missed", "missed": watching.missed - missed}
            missed = watching.missed
            yield None


def _events(rows: "Iterator[render.Row | None]") -> "Iterator[render.Row | None]":
    """Iterate over the rows of events alone, for CSV; missed records are reported on stderr."""
    for row in rows:
        if row is not None and row["event"] == "missed":
            stderr.warning(f"{row['missed']} records missed: they were overwritten before they could be read")
        else:
            yield row


def _report_end(watching: "Watch") -> None:
    from alphapulse_cli.readers.moments import REPLAY

    status = watching.status()
    held = ", ".join(f"{count} {why.meaning}" for why, count in sorted(status.refused.items(), key=lambda one: -one[1]))
    stderr.note(f"{f'{REPLAY}: ' if status.replay else ''}{status.opened} opportunities opened; held back: {held or 'none'}")
    for name in status.left_out:
        stderr.note(f"{name} was left out: it is {'live' if status.replay else f'a {REPLAY}'}, and the others are not")
    for one, other in status.not_compared:
        stderr.note(f"{one} and {other} were not compared: collect a book that converts between them, or use --treat-as-usd")


@app.command()
def scan(
    symbols: options.Symbols = None,
    exchanges: options.Exchanges = None,
    size: Size = None,
    notional: Notional = None,
    min_bps: MinBps = "0",
    min_profit: MinProfit = "0",
    fees: Fees = None,
    treat_as_usd: TreatAsUsd = False,
    trust_unverified: TrustUnverified = False,
    max_age: MaxAge = "10s",  # type: ignore[assignment]
    max_skew: MaxSkew = "500ms",  # type: ignore[assignment]
    triangular: Triangular = False,
    everything: Annotated[
        bool,
        typer.Option(
            "--all", help="List every way to trade, the most profitable first, each with the reason if it is no opportunity."
        ),
    ] = False,
    form: options.Format = None,
    as_json: options.Json = False,
    shm_dir: options.ShmDir = None,
) -> None:
    """Look at all books once and list the opportunities there are now. Exit code 0 if there is one, 1 if there is none.

    Example: alphapulse arb scan --all
    """
    from alphapulse_cli.apps.arb.watch import Watch, configured_fees
    from alphapulse_cli.readers.moments import REPLAY
    from alphapulse_cli.readers.selection import Wanted
    from alphapulse_cli.shm.directory import open_directory

    _refuse_one(exchanges, triangular)
    settings = options.settings()
    policy = _policy(size, notional, min_bps, min_profit, max_age, max_skew, 1.0, treat_as_usd, triangular, trust_unverified)
    fee_texts = configured_fees(settings, _fees(fees))
    with (
        open_directory(settings.choose("shm_dir", shm_dir) or None) as directory,
        Watch(directory, Wanted.of(exchanges, symbols), policy, fee_texts, label="arb scan") as watching,
    ):
        watching.settle()
        watching.require_books()
        _warn_if_alone(watching, triangular)
        if watching.is_replay:
            stderr.warning(f"{REPLAY}: these books are of the past")
        found = watching.looks(everything)
        render.emit_rows(found, _scan_columns(found, everything), render.chosen_format(form, as_json), _scan_sentence)
        status = watching.status()
        for one in (*status.not_live, *status.not_tradable):
            stderr.warning(f"{one}: not used")
        for one, other in status.not_compared:
            stderr.note(f"{one} and {other} are not compared: collect a book that converts between them, or use --treat-as-usd")
        if not status.open:
            stderr.note(f"no opportunity among {status.candidates} ways to trade")
            raise typer.Exit(ExitCode.FAILED)


SCAN_RANKS = {
    "note": 3,
    "buy_price": 2,
    "sell_price": 2,
    "size": 1,
}  # columns left out on a narrow terminal, the highest number first


def _scan_columns(rows: "list[dict[str, Any]]", everything: bool) -> "list[render.Column]":
    names = ["symbol", "buy", "sell"] + (["verdict", "best_bps"] if everything else [])
    names += (
        ["size", "net", "currency", "net_bps", "buy_price", "sell_price"]
        if any(row["id"] for row in rows) or not everything
        else []
    )
    if any(row["note"] for row in rows):
        names.append("note")
    right = {"best_bps", "size", "net", "net_bps", "buy_price", "sell_price"}
    titles = {"best_bps": "best prices bps", "net_bps": "net bps"}
    return [render.Column(name, titles.get(name, ""), name in right, SCAN_RANKS.get(name, 0)) for name in names]


def _scan_sentence(row: "render.Row") -> str:
    """One way to trade if there is no room for a table."""
    parts = [str(row["verdict"])]
    if row["best_bps"] is not None:
        parts.append(f"best prices {row['best_bps']} bps")
    if row["id"]:
        parts.append(f"net {row['net']} {row['currency']}, {row['net_bps']} bps, size {row['size']}")
    parts += [str(row["note"])] if row["note"] else []
    return f"{row['symbol']} {row['buy']} > {row['sell']}: {'; '.join(parts)}"


@app.command()
def history(
    symbols: options.Symbols = None,
    last: Annotated[
        str | None,
        typer.Option(
            "--last", metavar="TIME", show_default=False, help="Only opportunities that opened in the last 1h, 1d or the like."
        ),
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, metavar="N", help="Number of opportunities to list.")] = 20,
    show: Annotated[
        str,
        typer.Option(
            "--show",
            metavar="WHAT",
            autocompletion=options.complete_words("seen", "pairs", "survival"),
            show_default=False,
            help="seen, pairs or survival. Default: all three on a terminal, seen in a pipe.",
        ),
    ] = "",
    after: Annotated[str, typer.Option("--after", metavar="MS,…", help="Ages for survival, in milliseconds.")] = "5,50,500",
    everywhere: Annotated[
        bool, typer.Option("--everywhere", help="Opportunities of all segment directories, not of this one only.")
    ] = False,
    form: options.Format = None,
    as_json: options.Json = False,
    store: StorePath = None,
    shm_dir: options.ShmDir = None,
) -> None:
    """List what `arb watch` saw: each opportunity, sums by pair, and how many were still there after 5, 50 and 500 ms.

    Example: alphapulse arb history --last 1h --show survival
    """
    from alphapulse_cli.cli import arb_history

    path = _store_path(store)
    place = None if everywhere else _place(shm_dir)
    since_s = None if last is None else options.parse_duration(last)
    arb_history.show(path, place, _bare(symbols), since_s, count, show, _milliseconds(after), render.chosen_format(form, as_json))


@app.command()
def explain(
    identifier: Annotated[
        str, typer.Argument(metavar="ID", help="Id of the opportunity, or a unique beginning of it; `last` for the newest.")
    ],
    form: options.FormatWithoutRows = None,
    as_json: options.Json = False,
    store: StorePath = None,
    shm_dir: options.ShmDir = None,
) -> None:
    """Show the working of one opportunity: both books at its opening, the walk level by level, the fees, the sums, the times.

    Example: alphapulse arb explain last
    """
    from alphapulse_cli.cli import arb_explain

    form = render.chosen_format(form, as_json, options.TABLE_OR_JSON)
    arb_explain.show(_store_path(store), _place(shm_dir), identifier, as_json=form == "json")


NO_HOME = "name a file with --store, or set HOME or XDG_STATE_HOME"
COUNTED = ("pid", "books", "books_live", "candidates", "looks", "opened", "open", "missed", "held_back")


@app.command()
def counters(form: options.Format = None, as_json: options.Json = False, shm_dir: options.ShmDir = None) -> None:
    """Show the counters of each running `arb watch` since it began, a row each; they are updated about once a second.

    Example: alphapulse arb counters --json
    """
    from alphapulse_cli.edges.opportunities.watch_counters import read_tallies
    from alphapulse_cli.shm.directory import open_directory

    with open_directory(options.settings().choose("shm_dir", shm_dir) or None) as directory:
        rows = read_tallies(directory)
    form = render.chosen_format(form, as_json)
    if form == "json":
        render.emit_json(rows)
    elif form == "csv":
        render.emit_csv(rows)
    elif rows:
        shown = [{**row, "held_back": ", ".join(f"{why} {count}" for why, count in row["held_back"].items())} for row in rows]
        render.emit_table(shown, [render.Column(name, right=name != "held_back") for name in COUNTED])
    if not rows:
        stderr.note("no alphapulse arb watch is running on these segments")


def _policy(
    size: str | None,
    notional: str | None,
    min_bps: str,
    min_profit: str,
    max_age: float,
    max_skew: float,
    every: float,
    treat_as_usd: bool,
    triangular: bool,
    trust_unverified: bool,
) -> "ArbitragePolicy":
    from alphapulse_cli.flow.arbitrage.candidate import ArbitragePolicy
    from alphapulse_cli.flow.arbitrage.exact import parse

    return ArbitragePolicy(
        _cap(size, "size"),
        _cap(notional, "notional"),
        parse(min_profit, "profit"),
        parse(min_bps, "number of basis points"),
        int(max_age * 1e9),
        int(max_skew * 1e6),
        int(every * 1e9),
        treat_as_usd,
        triangular,
        trust_unverified,
    )


def _cap(text: str | None, what: str) -> "Exact | None":
    from alphapulse_cli.flow.arbitrage.exact import ZERO, parse

    if text is None:
        return None
    found = parse(text, what)
    if found == ZERO:
        raise UsageError(f"a {what} of 0 allows nothing", f"leave --{what} out for no limit")
    return found


def _fees(values: list[str] | None) -> dict[str, str]:
    """Fees by exchange, {"kraken": "0.0016"}, of ["kraken=0.0016"]. UsageError for an unknown exchange."""
    found = {}
    for value in options.split_lists(values or ()):
        name, equals, text = value.partition("=")
        if not equals or name not in _exchange_names():
            raise UsageError(
                f"not a fee: {value[:40]!r}", f"write NAME=FRACTION, as kraken=0.0016; names: {', '.join(_exchange_names())}"
            )
        found[name] = text
    return found


def _exchange_names() -> list[str]:
    from alphapulse_cli import exchanges

    return list(exchanges.names())


def _store_path(store: str | None) -> "Path":
    """Path of the store: the file of --store, or the user's own. UsageError for a user without a home directory."""
    found = _kept_at(store)
    if found is None:
        raise UsageError("no opportunities are kept: this user has no home directory", NO_HOME)
    return found


def _kept_at(store: str | None) -> "Path | None":
    from alphapulse_cli.edges.opportunities.store import default_path
    from alphapulse_cli.edges.paths import expanded

    return expanded(store) if store else default_path()


def _keeps_at(store: str | None) -> "Path | None":
    """Path of the store as from `_kept_at`, with a warning if there is none."""
    found = _kept_at(store)
    if found is None:
        stderr.warning(f"opportunities are not kept: this user has no home directory; {NO_HOME}")
    return found


def _place(shm_dir: str | None) -> str:
    from alphapulse_cli.shm.directory import directory_path

    return str(directory_path(options.settings().choose("shm_dir", shm_dir) or None).resolve())


def _bare(symbols: list[str] | None) -> tuple[str, ...]:
    return tuple(symbol.rpartition(":")[2] for symbol in symbols or ())


def _milliseconds(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isascii() and part.isdecimal() and len(part) <= 9 and int(part) for part in parts):
        raise UsageError(f"not milliseconds: {text[:40]!r}", "write --after 5,50,500")
    return tuple(sorted({int(part) for part in parts}))
