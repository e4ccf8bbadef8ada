"""Options shared by several commands, declared once; and the start of every command: its `app` and the settings.

    app = options.command_app()

    @app.command()
    def trades(symbols: options.Symbols = None, as_json: options.Json = False, duration: options.Duration = None) -> None: …
        settings = options.settings()                          # flags lie above it: settings.choose("shm_dir", shm_dir)

An option that the configuration can set defaults to None, which means "not given". Lists may be repeated or written with commas.
"""

from collections.abc import Callable, Iterable
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from alphapulse_cli.cli import stderr
from alphapulse_cli.errors import AlphapulseError, UsageError

if TYPE_CHECKING:
    from alphapulse_cli.edges.config.layers import Settings

CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
LONGEST_SENTENCE = 10_000
FORMATS = ("table", "json", "csv")
TABLE_OR_JSON = ("table", "json")
WHENCE = ("now", "oldest", "-10s", "-1m")


class Group(TyperGroup):
    """Group of commands that answers an unknown name with UsageError and the near matches."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands with the whole first sentence of each, wrapped to the terminal and never cut."""
        shown = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, command.get_short_help_str(LONGEST_SENTENCE)) for name, command in shown if command and not command.hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def command_names(self) -> list[str]:
        """Names that may be typed after the group's name."""
        return list(self.commands)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command of that name. UsageError for an unknown name, except while a shell completes."""
        name = args[0]
        if name in self.command_names() or name.startswith("-"):
            return super().resolve_command(ctx, args)
        if ctx.resilient_parsing:
            return None, None, args[1:]
        import difflib

        names = self.command_names()
        lower = name.lower()
        near = [lower] if lower in names else difflib.get_close_matches(lower, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"{ctx.command_path} --help lists the commands"
        raise UsageError(f"no such command: {name[:40]!r}", hint)


def command_app(**settings: Any) -> typer.Typer:
    """Make the `app` of a command's module: plain help, without typer's tracebacks and completion options."""
    usual = {"cls": Group, "rich_markup_mode": None, "context_settings": CONTEXT}
    return typer.Typer(add_completion=False, pretty_exceptions_enable=False, **usual | settings)


LOOKS_AT_SETTINGS: "list[Callable[[Settings], None]]" = []  # checks of settings just read; the root command adds one


def settings() -> "Settings":
    """Configuration below the flags, read once a process; applies its `log_level` and `color`. UsageError for a faulty one."""
    loaded = read_settings()
    stderr.use_colour(loaded.get("color"))
    stderr.start_log(loaded.get("log_level"))
    return loaded


@cache
def read_settings() -> "Settings":
    """Configuration below the flags, read at the first call of a process. UsageError for a faulty one."""
    from alphapulse_cli.edges.config import layers

    loaded = layers.load()
    for look in LOOKS_AT_SETTINGS:
        look(loaded)
    return loaded


def parse_duration(text: str) -> float:
    """Seconds of "10", "10s", "500ms", "2m", "1h" or "1h30m". UsageError for other texts, for zero and for more than 366 days."""
    from alphapulse_cli.edges import quantities

    try:
        return quantities.duration_s(text)
    except ValueError as error:
        raise UsageError(str(error), "write 10s, 2m, 1h, 500ms or 1h30m; a bare number is seconds") from None


def split_lists(values: Iterable[str]) -> list[str]:
    """Split lists with commas: ["a", "b", "c"] for ["a,b", "c"], in order, without repetitions."""
    return list(dict.fromkeys(part.strip() for value in values for part in value.split(",") if part.strip()))


def _exchanges(values: list[str] | None) -> list[str] | None:
    return split_lists(values) if values else None


def _symbols(values: list[str] | None) -> list[str] | None:
    """Canonical symbols, BTC-USD or kraken:BTC-USD, of any notation ("btc/usd").

    UsageError for a symbol with no meaning, or several.
    """
    from alphapulse_cli.market.instrument import understood_id

    if not values:
        return None
    ids = (understood_id(symbol) for symbol in split_lists(values))
    return list(dict.fromkeys(f"{exchange}:{symbol}" if exchange else symbol for exchange, symbol in ids))


def _choices(values: list[str] | None) -> list[str] | None:
    """Canonical choices of symbols: symbols as `_symbols`, patterns, top:N. UsageError for other texts."""
    from alphapulse_cli.market.choice import understood_choice

    return list(dict.fromkeys(map(understood_choice, split_lists(values)))) if values else None


def _begun(incomplete: str) -> tuple[str, str]:
    """Split a comma list into the part before its last word (comma included) and the incomplete last word."""
    before, comma, begun = incomplete.rpartition(",")
    return before + comma, begun


def chosen_exchanges(context: Any) -> list[str]:
    """Exchanges and sets that the command line names so far: of --exchange, or of an argument EXCHANGE."""
    found: list[str] = []
    for parameter in context.command.params:
        is_argument = str(parameter.metavar).startswith("EXCHANGE")
        if is_argument or "--exchange" in parameter.opts:
            # while an option still lacks its value the parser leaves the arguments in `args`
            value = context.params.get(parameter.name) or (context.args if is_argument else ())
            found += [value] if isinstance(value, str) else value
    return found


def complete_exchange(incomplete: str) -> list[str]:
    """Completions of an exchange's name, the last of a list with commas."""
    from alphapulse_cli import exchanges

    before, begun = _begun(incomplete)
    return [before + name for name in exchanges.names() if name.startswith(begun) and name not in before.split(",")]


def complete_symbol(context: typer.Context, incomplete: str) -> list[str]:
    """Completions of a symbol, the last of a list: symbols with a book here, then configured ones.

    Of the exchanges that are named before it, as in `--exchange kraken` or `kraken:`, if any are.
    """
    before, begun = _begun(incomplete)
    exchange, colon, begun = begun.rpartition(":")
    try:
        chosen = settings()
        wanted = [exchange] if colon else chosen_exchanges(context)
        configured = [one.rpartition(":") for one in chosen.get("symbols") if "-" in one and "*" not in one]
        here = _symbols_here(context.params.get("shm_dir") or chosen.get("shm_dir"), wanted)
    except (AlphapulseError, OSError):  # a prompt is no place for an error
        return []
    known = [*here, *(symbol for of, _, symbol in configured if not of or not wanted or of in wanted)]
    heads = dict.fromkeys(before + exchange + colon + symbol for symbol in known if symbol.upper().startswith(begun.upper()))
    return [word for word in heads if word.removeprefix(before) not in before.split(",")]


def _symbols_here(shm_dir: str, wanted: list[str]) -> list[str]:
    """Symbols whose book images are in the segments' directory, in sets of the `wanted` names or exchanges; of all for none."""
    from alphapulse_cli.readers.selection import Wanted, find_sets
    from alphapulse_cli.shm import directory

    folder = directory.directory_path(shm_dir or None)
    parsed = [directory.parse_segment_name(path.name) for path in folder.iterdir()] if folder.is_dir() else []
    books = [(found[1], found[2]) for found in parsed if found is not None and found[2]]
    if books and wanted:
        with directory.open_directory(shm_dir or None) as opened:
            sets = find_sets(opened, Wanted.of(wanted, None))
        books = [(name, symbol) for name, symbol in books if name in sets]
    return sorted({symbol for _, symbol in books})


def _format(form: str | None) -> str | None:
    return _one_of(form, FORMATS)


def _table_or_json(form: str | None) -> str | None:
    return _one_of(form, TABLE_OR_JSON)


def _one_of(form: str | None, offered: tuple[str, ...]) -> str | None:
    if form is not None and form not in offered:
        message = f"--format {form}: this is not a table of rows" if form in FORMATS else f"unknown format: {form[:20]!r}"
        raise UsageError(message, f"formats are: {', '.join(offered)}")
    return form


def _wait(how: str | None) -> str | None:
    from alphapulse_cli.edges.config import value_types

    if how is not None and how not in value_types.WAIT.choices:
        raise UsageError(f"unknown way to wait: {how[:20]!r}", f"ways are: {', '.join(value_types.WAIT.choices)}")
    return how


def complete_words(*words: str, several: bool = False) -> Callable[[str], list[str]]:
    """Make a completion of these words; with `several`, of the last word in a list with commas, without those before it."""

    def complete(incomplete: str) -> list[str]:
        before, begun = _begun(incomplete) if several else ("", incomplete)
        return [before + word for word in words if word.startswith(begun) and word not in before.split(",")]

    return complete


def complete_moment(incomplete: str) -> list[str]:
    """Completions of a time: the full hours of the last day, in UTC."""
    from datetime import UTC, datetime, timedelta

    now = datetime.now(UTC)
    hours = (f"{now - timedelta(hours=back):%Y-%m-%dT%H:00:00Z}" for back in range(24))
    return [hour for hour in hours if hour.startswith(incomplete)]


def complete_mischief(incomplete: str) -> list[str]:
    """Completions of the last kind in a list of mischief."""
    from alphapulse_cli.sim.mischief import KINDS

    return complete_words(*KINDS, several=True)(incomplete)


def complete_mode(context: typer.Context, incomplete: str) -> list[str]:
    """Completions of a feed's name, of the exchanges that are named before it, if any are.

    Where the option belongs to several exchanges each is written coinbase=exchange.
    """
    from alphapulse_cli import exchanges

    name, equals, begun = incomplete.rpartition("=")
    chosen = [one for one in chosen_exchanges(context) if one in exchanges.names()]
    of = [name] if equals else chosen or exchanges.names()
    modes = {one: [mode.name for mode in exchanges.get(one).facts.modes] for one in of if one in exchanges.names()}
    if len(chosen) > 1 and not equals:
        return [word for one in chosen for mode in modes[one] if (word := f"{one}={mode}").startswith(begun)]
    return [name + equals + mode for mode in dict.fromkeys(chain(*modes.values())) if mode.startswith(begun)]


Exchanges = Annotated[
    list[str] | None,
    typer.Option(
        "--exchange",
        "--exchanges",
        "-e",
        metavar="NAME",
        callback=_exchanges,
        autocompletion=complete_exchange,
        show_default=False,
        help="Only this exchange. Repeat it, or separate names with commas.",
    ),
]
Symbols = Annotated[
    list[str] | None,
    typer.Option(
        "--symbol",
        "--symbols",
        "-s",
        metavar="SYMBOL",
        callback=_symbols,
        autocompletion=complete_symbol,
        show_default=False,
        help="Only this symbol: BTC-USD or kraken:BTC-USD. Repeat it, or separate symbols with commas.",
    ),
]
Choices = Annotated[
    list[str] | None,
    typer.Option(
        "--symbol",
        "--symbols",
        "-s",
        metavar="SYMBOL",
        callback=_choices,
        autocompletion=complete_symbol,
        show_default=False,
        help="Only this symbol: BTC-USD or kraken:BTC-USD; a quoted pattern, '*-USD'; or the most traded, top:50. Repeat it, or"
        " separate with commas.",
    ),
]
ShmDir = Annotated[
    str | None,
    typer.Option(
        "--shm-dir",
        metavar="DIR",
        show_default=False,
        help="Directory of the segments, instead of the configured or the default one.",
    ),
]
Duration = Annotated[
    float | None,
    typer.Option(
        "--duration",
        metavar="TIME",
        parser=parse_duration,
        show_default=False,
        help="Stop after this time: 10s, 2m, 1h; a bare number is seconds.",
    ),
]
FromTime = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="TIME",
        autocompletion=complete_moment,
        show_default=False,
        help="From this time of the recording on: RFC 3339 with Z or an offset, as in 2026-11-27T08:00:00Z.",
    ),
]
ToTime = Annotated[
    str,
    typer.Option(
        "--to", metavar="TIME", autocompletion=complete_moment, show_default=False, help="Up to this time of the recording."
    ),
]
Count = Annotated[
    int | None,
    typer.Option(
        "--count", "-n", min=1, metavar="N", show_default=False, help="Stop after this many groups or trades, or books shown."
    ),
]
Json = Annotated[bool, typer.Option("--json", show_default=False, help="Same as --format json: one JSON object per line.")]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="HOW",
        callback=_format,
        autocompletion=complete_words(*FORMATS),
        show_default=False,
        help="table, json or csv. Default: table on a terminal, json in a pipe.",
    ),
]
FormatWithoutRows = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="HOW",
        callback=_table_or_json,
        autocompletion=complete_words(*TABLE_OR_JSON),
        show_default=False,
        help="table or json. Default: table on a terminal, json in a pipe.",
    ),
]
Local = Annotated[
    bool | None,
    typer.Option("--local/--utc", show_default=False, help="Show times in tables in local time with its offset, or in UTC."),
]
WaitFor = Annotated[
    bool,
    typer.Option("--wait-for", help="Wait for an exchange or symbol that is not collected yet, instead of exit code 3."),
]
Wait = Annotated[
    str | None,
    typer.Option(
        "--wait",
        metavar="HOW",
        callback=_wait,
        autocompletion=complete_words("spin", "yield", "sleep", "wake"),
        show_default=False,
        help="How to wait for records, fastest first: spin, yield, sleep or wake.",
    ),
]
Supervised = Annotated[bool, typer.Option("--supervised", hidden=True, help="End with standard input: for child processes.")]
